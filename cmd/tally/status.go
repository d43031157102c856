package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/internal/node"
)

type statusCmd struct {
	remote
	JSON bool `help:"Print JSON."`
}

func (c *statusCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	b, err := cl.API(ctx, http.MethodGet, node.Prefix+"/status", nil)
	if err != nil {
		return fmt.Errorf("ask the node how it is: %w", err)
	}
	if c.JSON {
		s.out.Write(b)
		return nil
	}
	var r node.StatusReport
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("ask the node how it is: %w", err)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "member\t%s of %s\n", r.Name, r.Origin)
	if r.Lab {
		fmt.Fprintf(w, "lab\tANYBODY ON THIS MACHINE IS WHO HE SAYS HE IS\n")
	}
	fmt.Fprintf(w, "height\t%d, %s\n", r.Height, r.BlockTime.Format(time.RFC3339))
	fmt.Fprintf(w, "committed\t%d entries\n", r.Committed)
	fmt.Fprintf(w, "published\t%d entries\n", r.Published)
	fmt.Fprintf(w, "log root\t%s\n", r.LogRoot)
	if r.AppHash != "" { // else the rest is none of this originator's business
		fmt.Fprintf(w, "log on disk\t%.1f MB in %d segments\n", float64(r.LogBytes)/1e6, r.Segments)
		fmt.Fprintf(w, "disk\t%.1f GB free\n", float64(r.FreeBytes)/1e9)
	}
	for _, l := range r.Listens {
		how := "in plain text"
		if l.Encrypted {
			how = "encrypted"
		}
		fmt.Fprintf(w, "listens\t%s, %s; %s\n", l, how, l.Why)
		if l.Warning != "" {
			fmt.Fprintf(w, "WARNING\t%s is open %s\n", l, l.Warning)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(r.Events)) {
		fmt.Fprintf(w, "events\t%d of %s\n", r.Events[d], d)
	}
	for _, id := range r.Quarantined {
		fmt.Fprintf(w, "quarantine\t%s\n", id)
	}
	if r.Refusing != "" {
		fmt.Fprintf(w, "writes\trefused: %s\n", r.Refusing)
	}
	return nil
}
