package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/internal/guard"
	"github.com/tallystick/tallystick/internal/node"
)

type eventsCmd struct {
	remote
	JSON bool `help:"Print JSON."`
}

func (c *eventsCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	b, err := cl.API(ctx, http.MethodGet, node.Prefix+"/events", nil)
	if err != nil {
		return fmt.Errorf("ask the node what it noticed: %w", err)
	}
	if c.JSON {
		s.out.Write(b)
		return nil
	}
	var all []guard.Event
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("ask the node what it noticed: %w", err)
	}
	if len(all) == 0 {
		fmt.Fprintln(s.out, "The node noticed nothing unusual since it started.")
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	for _, e := range all {
		who := e.Originator
		if who == "" {
			who = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.6g\tat most %.6g\t%s\t%s\n",
			e.When.UTC().Format(time.RFC3339), who, e.Source, e.Detector, e.Value, e.Expected, e.Action, e.Detail)
	}
	return nil
}
