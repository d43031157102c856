//go:build scenario

package crash

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/proof"
)

// monitor follows a log from outside as anybody may, without a credential: it remembers the newest checkpoint that
// it saw and demands that every later one contains it, by hashes that it computes from the tiles with a library the
// project does not use otherwise. A log that forgot a published entry in a crash would be found here.
type monitor struct {
	client *client.Client
	policy *proof.Policy
	last   proof.Checkpoint
}

func newMonitor(url string, p *proof.Policy) *monitor {
	return &monitor{client: client.New(url, "", "", 1), policy: p}
}

// look fetches the checkpoint and compares it with the last one. An error of the network changes nothing.
func (m *monitor) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	b, err := m.client.API(ctx, "GET", "/-/checkpoint", nil)
	if err != nil {
		return fmt.Errorf("fetch the checkpoint: %w", err)
	}
	signed, err := proof.ParseSignedCheckpoint(b)
	if err != nil {
		return err
	}
	if _, err := m.policy.Open(signed); err != nil {
		return err
	}
	now := signed.Checkpoint
	if err := m.consistent(ctx, now); err != nil {
		return fmt.Errorf("checkpoint of size %d after one of size %d: %w", now.Size, m.last.Size, err)
	}
	m.last = now
	return nil
}

func (m *monitor) consistent(ctx context.Context, now proof.Checkpoint) error {
	switch {
	case m.last.Size == 0:
		return nil
	case now.Size < m.last.Size:
		return errors.New("the log is shorter than it was published")
	case now.Size == m.last.Size:
		if now.Root != m.last.Root {
			return errors.New("two roots for one size")
		}
		return nil
	}
	tree := tlog.Tree{N: int64(now.Size), Hash: now.Root}
	hashes := tlog.TileHashReader(tree, tiles{ctx, m.client})
	consistency, err := tlog.ProveTree(int64(now.Size), int64(m.last.Size), hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(consistency, tree.N, tree.Hash, int64(m.last.Size), tlog.Hash(m.last.Root))
}

// tiles reads tiles over HTTP (c2sp.org/tlog-tiles). Its paths are those of the Go checksum database but for the
// height, which is always 8.
type tiles struct {
	ctx    context.Context
	client *client.Client
}

func (tiles) Height() int { return 8 }

func (t tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, tile := range want {
		b, err := t.client.API(t.ctx, "GET", "/-/"+strings.Replace(tile.Path(), "tile/8/", "tile/", 1), nil)
		if err != nil {
			return nil, fmt.Errorf("fetch %s: %w", tile.Path(), err)
		}
		out[i] = b
	}
	return out, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}
