package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/node"
)

type eraseCmd struct {
	remote
	Index uint64 `arg:"" help:"Index of the reading's log entry, as tally verify prints it."`
}

func (c *eraseCmd) Run(ctx context.Context, s *streams) error {
	cl, err := c.connect()
	if err != nil {
		return err
	}
	if _, err := cl.API(ctx, http.MethodPost, node.Prefix+"/erase", ledger.OwnRequest{Index: c.Index}); err != nil {
		return fmt.Errorf("erase the payload of entry %d: %w", c.Index, err)
	}
	fmt.Fprintf(s.out, "The payload of entry %d is erased. Its proof, without the payload, stays valid.\n", c.Index)
	fmt.Fprintln(s.out, "Consensus blocks that still hold it go when they are pruned (retainBlocks in config.json).")
	return nil
}
