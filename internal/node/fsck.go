package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"github.com/cometbft/cometbft/types"

	"github.com/tallystick/tallystick/internal/ledger"
)

const scratchDir = "fsck.tmp"

// Fsck checks the data folder of a node that does not run, and with repair heals what another copy allows first.
// What is wrong comes as a *ledger.Finding.
func Fsck(ctx context.Context, dir string, repair bool, progress ledger.Progress) (*ledger.Report, error) {
	if _, err := LoadConfig(dir); err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	defer unlock()
	genesis, err := types.GenesisDocFromFile(filepath.Join(dir, genesisFile))
	if err != nil {
		return nil, fmt.Errorf("read the genesis document: %w", err)
	}
	return ledger.Fsck(ctx, ledger.FsckOptions{
		Dir: dir, Scratch: filepath.Join(dir, scratchDir), ChainID: genesis.ChainID, Genesis: genesis.AppState,
		Repair: repair, Progress: progress,
	})
}

// fsckLine is one line of what POST /-/fsck answers: progress, and at the end a report, a finding or an error.
type fsckLine struct {
	Step   string         `json:"step,omitempty"`
	Done   uint64         `json:"done,omitempty"`
	Total  uint64         `json:"total,omitempty"`
	Report *ledger.Report `json:"report,omitempty"`
	Part   string         `json:"part,omitempty"`
	Error  string         `json:"error,omitempty"`
}

// serveFsck has the node check itself while it runs. One check runs at a time.
func (n *Node) serveFsck(w http.ResponseWriter, r *http.Request) {
	if !n.operator(w, r) {
		return
	}
	if !n.checking.TryLock() {
		refuse(w, http.StatusConflict, "a check is under way already")
		return
	}
	defer n.checking.Unlock()
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc, flush := json.NewEncoder(w), http.NewResponseController(w)
	last := ""
	rep, err := n.app.Check(r.Context(), n.consensus.Blocks(), filepath.Join(n.dir, scratchDir), func(step string, done, total uint64) {
		if now := fmt.Sprint(step, done*100/max(total, 1)); now != last {
			last = now
			enc.Encode(fsckLine{Step: step, Done: done, Total: total})
			flush.Flush()
		}
	})
	line := fsckLine{Report: rep}
	var f *ledger.Finding
	switch {
	case errors.As(err, &f):
		line.Part, line.Error = f.Part, f.Err.Error()
	case err != nil:
		line.Error = err.Error()
	}
	enc.Encode(line)
}

// ReadFsck reads the answer of POST /-/fsck.
func ReadFsck(body io.Reader, progress ledger.Progress) (*ledger.Report, error) {
	sc := bufio.NewScanner(body)
	for sc.Scan() {
		var l fsckLine
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("read the node's answer: %w", err)
		}
		switch {
		case l.Part != "":
			return nil, &ledger.Finding{Part: l.Part, Err: errors.New(l.Error)}
		case l.Error != "":
			return nil, errors.New(l.Error)
		case l.Report != nil:
			return l.Report, nil
		}
		progress(l.Step, l.Done, l.Total)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read the node's answer: %w", err)
	}
	return nil, errors.New("the node broke off the check")
}
