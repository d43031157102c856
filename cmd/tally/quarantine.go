package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/node"
)

type deviceQuarantineCmd struct {
	remote
	ID     string `arg:"" name:"ae-id" help:"AE-ID of the device or application, or CSE-ID of another CSE, beginning with a slash."`
	Reason string `help:"Why. The ledger keeps it, and the device is told." required:""`
}

func (c *deviceQuarantineCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	req := ledger.QuarantineRequest{Originator: c.ID, Reason: c.Reason}
	if _, err := cl.API(ctx, http.MethodPost, node.Prefix+"/quarantine", req); err != nil {
		return fmt.Errorf("quarantine %s: %w", c.ID, err)
	}
	fmt.Fprintf(s.out, "%s is in quarantine: every node refuses it until tally device release %s.\n", c.ID, c.ID)
	return nil
}

type deviceReleaseCmd struct {
	remote
	ID     string `arg:"" name:"ae-id" help:"AE-ID or CSE-ID of who is in quarantine."`
	Reason string `help:"Why. The ledger keeps it."`
}

func (c *deviceReleaseCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	q := url.Values{"originator": {c.ID}}
	if c.Reason != "" {
		q.Set("reason", c.Reason)
	}
	if _, err := cl.API(ctx, http.MethodDelete, node.Prefix+"/quarantine?"+q.Encode(), nil); err != nil {
		return fmt.Errorf("release %s: %w", c.ID, err)
	}
	fmt.Fprintf(s.out, "Released %s.\n", c.ID)
	return nil
}

type deviceQuarantinedCmd struct {
	remote
	JSON bool `help:"Print JSON."`
}

func (c *deviceQuarantinedCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	b, err := cl.API(ctx, http.MethodGet, node.Prefix+"/quarantine", nil)
	if err != nil {
		return fmt.Errorf("ask who is in quarantine: %w", err)
	}
	if c.JSON {
		s.out.Write(b)
		return nil
	}
	var all []ledger.Quarantine
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("ask who is in quarantine: %w", err)
	}
	if len(all) == 0 {
		fmt.Fprintln(s.out, "Nobody is in quarantine.")
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	for _, q := range all {
		by := q.By
		if q.Node != "" {
			by = "node " + q.Node
		}
		fmt.Fprintf(w, "%s\tsince %s\tby %s\tentry %d\t%s\n", q.Originator, time.UnixMicro(q.Since).UTC().Format(time.RFC3339), by, q.Index, q.Reason)
		if q.Evidence != "" {
			fmt.Fprintf(w, "\t%s\n", q.Evidence)
		}
	}
	return nil
}
