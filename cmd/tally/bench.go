package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tallystick/tallystick/bench"
	"github.com/tallystick/tallystick/internal/node"
)

type benchCmd struct {
	Dir     string        `help:"Folder on a real disk to work in; the run cleans up after itself." default:"." type:"existingdir"`
	Only    []string      `help:"Measure only these: apply, signed, http, ingest, ws, ws-ledger, la, idle, mqtt, mqtt-crowd, coap, abuse, secure, disk, proof, scale." placeholder:"NAME,..."`
	Long    bool          `help:"Grow to 10 million readings instead of one million."`
	JSON    bool          `help:"Print one JSON document instead of tables."`
	Rounds  int           `help:"Rounds of which the median counts." default:"3"`
	Round   time.Duration `help:"Length of one round of HTTP load." default:"2s"`
	Scale   float64       `help:"Multiply the fixed numbers of readings, to try things out." default:"1"`
	Profile string        `help:"Folder for profiles: CPU of the apply path, memory of the growing ledger." type:"path" placeholder:"DIR"`
	Role    string        `hidden:"" help:"What to do as a process that the benchmarks started."`
}

func (c *benchCmd) Run(ctx context.Context, s *streams) error {
	if c.Role != "" {
		return bench.RunRole(ctx, c.Role, os.Stdin, s.out)
	}
	if c.Rounds < 1 || c.Round < 10*time.Millisecond || c.Scale <= 0 {
		return errors.New("--rounds and --scale must be positive, --round at least 10ms")
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to start it as node and as load generator: %w", err)
	}
	o := bench.Options{
		Program: program(exe), Dir: c.Dir, Only: c.Only, Long: c.Long, Rounds: c.Rounds, Round: c.Round, Scale: c.Scale, Profile: c.Profile, Out: s.out,
	}
	if c.JSON {
		o.Out = nil
	}
	r, err := bench.Run(ctx, o)
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted; the benchmark's processes and files are gone")
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return r.WriteJSON(s.out)
	}
	return nil
}

// program tells the benchmarks how to run the rest of this command line.
func program(exe string) bench.Program {
	return bench.Program{
		Path:  exe,
		Role:  func(role string) []string { return []string{"bench", "--role", role} },
		Init:  func(dir string) []string { return []string{"network", "init", "--data", dir, "--http", "127.0.0.1:0"} },
		Start: func(dir string) []string { return []string{"node", "start", "--data", dir} },
		Enrol: func(dir, url, id string) []string {
			return []string{"device", "enrol", "--data", dir, "--url", url, id}
		},
		OperatorToken: func(dir string) string { return node.Operator(dir).Token },
		Operator:      node.OperatorID,
		Config:        func(dir string) string { return filepath.Join(dir, "config.json") },
		CA:            node.CAPath,
		Lab: func(dir, mqtt, coap string) []string {
			return []string{"lab", "--data", dir, "--http", "127.0.0.1:0", "--mqtt", mqtt, "--coap", coap}
		},
	}
}
