package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

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
