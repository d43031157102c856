package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/cometbft/cometbft/types"

	"github.com/cockroachdb/pebble/v2/vfs"

	httpbinding "github.com/tallystick/tallystick/internal/binding/http"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/proof"
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
	rep, err := ledger.Fsck(ctx, ledger.FsckOptions{
		Dir: dir, Scratch: filepath.Join(dir, scratchDir), ChainID: genesis.ChainID, Genesis: genesis.AppState,
		Repair: repair, Progress: progress,
	})
	if err != nil {
		return nil, err
	}
	rewritten, err := checkPolicy(dir, genesis, repair)
	if err != nil {
		return nil, err
	}
	if rewritten {
		rep.Repaired = append(rep.Repaired, PolicyPath(dir)+", written again from the genesis document")
	}
	return rep, checkKeys(dir)
}

// checkPolicy compares the policy file with the genesis document that it follows from, and writes it again if told to.
func checkPolicy(dir string, genesis *types.GenesisDoc, repair bool) (rewritten bool, err error) {
	var g ledger.Genesis
	if err := json.Unmarshal(genesis.AppState, &g); err != nil {
		return false, fmt.Errorf("read the genesis document: %w", err)
	}
	members := make([]proof.Member, len(g.Members))
	for i, m := range g.Members {
		members[i] = proof.Member{Name: m.Name, Key: m.Key}
	}
	want, err := proof.NewPolicy(g.Origin, members)
	if err != nil {
		return false, err
	}
	have, err := os.ReadFile(PolicyPath(dir))
	if err == nil && bytes.Equal(have, want.Marshal()) {
		return false, nil
	}
	if repair {
		return true, writeFile(PolicyPath(dir), want.Marshal(), 0o644)
	}
	if err == nil {
		err = fmt.Errorf("%s is not what follows from the genesis document", PolicyPath(dir))
	}
	return false, &ledger.Finding{Part: "policy", Err: err}
}

// checkKeys reads the keys and the validator's sign state as a start would.
func checkKeys(dir string) error {
	for _, name := range []string{nodeKeyFile, validatorFile, peerKeyFile} {
		if _, err := loadKey(dir, name); err != nil {
			return &ledger.Finding{Part: "keys", Err: fmt.Errorf("%w; no other copy is on this disk: restore it from a backup", err)}
		}
	}
	v, err := ledger.OpenValidator(vfs.Default, filepath.Join(dir, ledger.ChainDir, signStateFile), nil)
	if err != nil {
		return &ledger.Finding{Part: "validator's sign state", Err: err}
	}
	return v.Close()
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
	if !n.networkOperator(w, r) {
		return
	}
	if !n.checking.TryLock() {
		refuse(w, http.StatusConflict, "a check is under way already")
		return
	}
	defer n.checking.Unlock()
	lines := newFsckLines(w)
	last := ""
	rep, err := n.app.Check(r.Context(), n.consensus.History(), filepath.Join(n.dir, scratchDir), func(step string, done, total uint64) {
		if now := fmt.Sprint(step, done*100/max(total, 1)); now != last {
			last = now
			lines.write(fsckLine{Step: step, Done: done, Total: total})
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
	lines.write(line)
}

// fsckLines writes the lines of a check, which may take longer than the server allows a request: every line has the
// whole time for itself.
type fsckLines struct {
	enc  *json.Encoder
	conn *http.ResponseController
}

// newFsckLines sends the header, so that the client knows at once that the check goes on.
func newFsckLines(w http.ResponseWriter) *fsckLines {
	l := &fsckLines{json.NewEncoder(w), http.NewResponseController(w)}
	w.Header().Set("Content-Type", "application/x-ndjson")
	l.extend()
	l.conn.Flush()
	return l
}

// write sends one line. When it fails the client is gone, and with it the context of the request.
func (l *fsckLines) write(line fsckLine) {
	l.extend()
	l.enc.Encode(line)
	l.conn.Flush()
}

func (l *fsckLines) extend() { l.conn.SetWriteDeadline(time.Now().Add(httpbinding.WriteTimeout)) }

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
