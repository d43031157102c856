package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

type proofCmd struct {
	remote
	Resource string  `arg:"" optional:"" help:"Address of the resource, for example tally/Cdevice/readings/la."`
	Index    *uint64 `help:"Index of a log entry instead of a resource; for operators." placeholder:"N"`
	Out      string  `short:"o" help:"File to write the bundle to; - for standard output." default:"-"`
}

func (c *proofCmd) Run(ctx context.Context, s *streams) error {
	if (c.Resource == "") == (c.Index == nil) {
		return fmt.Errorf("name either a resource or an --index")
	}
	cl, err := c.connect()
	if err != nil {
		return err
	}
	var index uint64
	if c.Index != nil {
		index = *c.Index
	}
	b, err := cl.Proof(ctx, strings.TrimPrefix(c.Resource, "./"), index)
	if err != nil {
		return fmt.Errorf("fetch the proof: %w", err)
	}
	if c.Out == "-" {
		_, err = s.out.Write(b)
		return err
	}
	if err := os.WriteFile(c.Out, b, 0o644); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	fmt.Fprintf(s.out, "Wrote %s (%d bytes). Check it with: tally verify %s --policy <file>\n", c.Out, len(b), c.Out)
	return nil
}
