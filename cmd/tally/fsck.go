package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/node"
)

type fsckCmd struct {
	remote
	Repair bool `help:"Heal what another copy on this disk allows. The node must be stopped."`
}

func (c *fsckCmd) Run(ctx context.Context, s *streams) error {
	progress := fsckProgress(s.err)
	rep, err := node.Fsck(ctx, c.Data, c.Repair, progress)
	if errors.Is(err, node.ErrRunning) && !c.Repair {
		fmt.Fprintln(s.err, "The node is running; it checks itself.")
		rep, err = c.online(ctx, progress)
	}
	clearLine(s.err)
	var f *ledger.Finding
	if errors.As(err, &f) {
		what, _, _ := strings.Cut(f.Err.Error(), "\n") // what follows in errors of the key-value store is a stack trace
		fmt.Fprintf(s.out, "WRONG in the %s: %s\n", f.Part, what)
		if !c.Repair {
			fmt.Fprintln(s.out, "tally fsck --repair heals what another copy on this disk allows; stop the node first.")
		}
		return errFound
	}
	if err != nil {
		return err
	}
	for _, r := range rep.Repaired {
		fmt.Fprintf(s.out, "Repaired: %s\n", r)
	}
	fmt.Fprintf(s.out, "All is well: %d log entries, %d tree records rebuilt from them and compared, %d blocks (%d to %d), height %d.\n",
		rep.Entries, rep.Records, rep.Blocks, rep.FirstBlock, rep.LastBlock, rep.Height)
	return nil
}

func (c *fsckCmd) online(ctx context.Context, progress ledger.Progress) (*ledger.Report, error) {
	cl, err := c.connect()
	if err != nil {
		return nil, err
	}
	body, err := cl.Stream(ctx, http.MethodPost, node.Prefix+"/fsck", nil)
	if err != nil {
		return nil, fmt.Errorf("ask the node to check itself: %w", err)
	}
	defer body.Close()
	return node.ReadFsck(body, progress)
}

// fsckProgress draws one line on a terminal and nothing elsewhere.
func fsckProgress(w io.Writer) ledger.Progress {
	if !isTerminal(w) {
		return func(string, uint64, uint64) {}
	}
	last := ""
	return func(step string, done, total uint64) {
		line := fmt.Sprintf("checking the %s: %d %%", step, done*100/max(total, 1))
		if line != last {
			last = line
			fmt.Fprintf(w, "\r\033[K%s", line)
		}
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

func clearLine(w io.Writer) {
	if isTerminal(w) {
		fmt.Fprint(w, "\r\033[K")
	}
}
