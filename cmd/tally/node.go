package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/tallystick/tallystick/internal/node"
)

type nodeCmd struct {
	Start nodeStartCmd `cmd:"" help:"Run the node of a data folder until it is interrupted."`
}

type nodeStartCmd struct {
	Data    string `help:"Data folder." default:"./tally-data" type:"path"`
	Verbose bool   `help:"Log what consensus does."`
	Lab     bool   `help:"Run a lab network, made with tally network init --lab."`
}

func (c *nodeStartCmd) Run(ctx context.Context, s *streams) error {
	level := slog.LevelInfo
	if c.Verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
	if os.Getenv("GOGC") == "" {
		// A node keeps little on its heap, so that collections are many and short of work: half as many make reads some
		// 5 % cheaper, for about 40 MB.
		debug.SetGCPercent(200)
	}
	start := node.Start
	if c.Lab {
		start = node.StartLab
	}
	n, err := start(ctx, c.Data, logger)
	if err != nil {
		return err
	}
	if c.Lab {
		warnLab(s)
	}
	h := n.App().Head()
	url := n.URL()
	if n.Listens()[0].Protocol == "http" {
		url = "http://" + n.Addr()
	}
	fmt.Fprintf(s.out, "Node ready: oneM2M over HTTP on %s, %d entries at height %d.\n", url, h.LogSize, h.Height)
	var more []string
	for _, l := range n.Listens()[1:] {
		more = append(more, l.String())
	}
	if len(more) > 0 {
		fmt.Fprintf(s.out, "It also listens on %s.\n", strings.Join(more, ", "))
	}
	for _, l := range n.Listens() {
		if l.Warning != "" {
			logger.Warn("a listener is open "+l.Warning, "protocol", l.Protocol, "address", l.Address)
		}
	}
	return untilEnd(ctx, n)
}

// untilEnd waits until the process is asked to stop or the node fails, and stops it in order.
func untilEnd(ctx context.Context, n *node.Node) error {
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-n.Failed():
	}
	err := n.Stop(context.WithoutCancel(ctx))
	if failure != nil {
		return fmt.Errorf("the node had to stop: %w; nothing that was acknowledged is lost: mend the cause and start it again", failure)
	}
	return err
}
