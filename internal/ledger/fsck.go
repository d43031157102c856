package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/cometbft/cometbft/types"

	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/internal/tree"
)

// Finding is the first thing that a check found wrong, and where.
type Finding struct {
	Part string // "log", "tree", "blocks"
	Err  error
}

func (f *Finding) Error() string { return fmt.Sprintf("%s: %v", f.Part, f.Err) }

// Unwrap returns the cause.
func (f *Finding) Unwrap() error { return f.Err }

// Report is what a check without findings saw.
type Report struct {
	Entries    uint64   `json:"entries"` // of the log
	Height     uint64   `json:"height"`
	Records    int      `json:"records"`    // of the tree, compared with those rebuilt from the log
	FirstBlock int64    `json:"firstBlock"` // the oldest block that was not pruned
	LastBlock  int64    `json:"lastBlock"`
	Blocks     int64    `json:"blocks"`             // checked
	Repaired   []string `json:"repaired,omitempty"` // what was healed first
}

// Progress is told how far a check is.
type Progress func(step string, done, total uint64)

// checked is what a check looks at: the committed state at one moment.
type checked struct {
	log     *translog.Log
	view    *tree.View
	meta    meta
	history *History // nil when CometBFT is not part of it
	genesis *Genesis
	doc     []byte
	chainID string
	scratch string // folder for the rebuilt tree, removed afterwards
}

// Check recomputes everything from the bytes on disk while the node runs: log, tree and blocks. It returns a
// *Finding when something is wrong.
func (a *App) Check(ctx context.Context, history *History, scratch string, progress Progress) (*Report, error) {
	view := a.tree.View()
	defer view.Close()
	v, err := view.Local(localMeta)
	if err != nil {
		return nil, &Finding{"tree", err}
	}
	m, err := decodeMeta(v)
	if err != nil {
		return nil, &Finding{"tree", err}
	}
	c := checked{a.log, view, m, history, a.genesis, a.Options.Genesis, a.ChainID, scratch}
	return c.run(ctx, progress)
}

func (c *checked) run(ctx context.Context, progress Progress) (*Report, error) {
	rep := &Report{Entries: c.meta.LogSize, Height: c.meta.Height}
	err := c.log.Check(ctx, func(done, total uint64) { progress("log", done, total) })
	if err != nil {
		return nil, found("log", err)
	}
	if err := c.view.Check(ctx); err != nil {
		return nil, found("tree", err)
	}
	hashes, err := c.checkTree(ctx, rep, progress)
	if err != nil {
		return nil, err
	}
	if err := c.checkBlocks(ctx, rep, hashes, progress); err != nil {
		return nil, found("blocks", err)
	}
	return rep, nil
}

func found(part string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var f *Finding
	if errors.As(err, &f) {
		return err
	}
	return &Finding{part, err}
}

// checkTree rebuilds the tree from the log and compares it with the one on disk, record by record. It returns the
// application hash after each height that has a retained block.
func (c *checked) checkTree(ctx context.Context, rep *Report, progress Progress) (map[uint64][32]byte, error) {
	if err := os.RemoveAll(c.scratch); err != nil {
		return nil, err
	}
	defer os.RemoveAll(c.scratch)
	r := newReplayer(c.genesis, c.doc, c.log)
	if err := r.open(filepath.Join(c.scratch, TreeDir), tree.Options{}); err != nil {
		return nil, err
	}
	defer r.app.tree.Close()
	hashes := make(map[uint64][32]byte)
	base := uint64(0)
	if c.history != nil {
		base = uint64(c.history.blocks.Base())
	}
	err := r.run(ctx, c.meta.LogSize, func(m meta) error {
		if m.Height+1 < base {
			clear(hashes) // only the newest before the first block matters
		}
		hashes[m.Height] = m.AppHash
		progress("tree", m.LogSize, c.meta.LogSize)
		return nil
	})
	if err != nil {
		return nil, found("log", err)
	}
	if got := r.app.last; got.LogSize != c.meta.LogSize || got.LogRoot != c.meta.LogRoot || got.Chain != c.meta.Chain || got.AppHash != c.meta.AppHash {
		return nil, &Finding{"tree", fmt.Errorf("at log size %d the log gives the application hash %x, the tree recorded %x", got.LogSize, got.AppHash, c.meta.AppHash)}
	}
	return hashes, c.compare(r.app.tree, rep)
}

// compare walks both trees in key order.
func (c *checked) compare(rebuilt *tree.Tree, rep *Report) error {
	other := rebuilt.View()
	defer other.Close()
	next, stop := pull(other.Dump)
	var diff error
	err := c.view.Dump(func(k, v []byte) bool {
		k2, v2, ok := next()
		switch {
		case !ok || bytes.Compare(k, k2) < 0:
			diff = fmt.Errorf("record %q is on disk, but the log does not give it", k)
		case bytes.Compare(k, k2) > 0:
			diff = fmt.Errorf("record %q, which the log gives, is missing on disk", k2)
		case !bytes.Equal(v, v2):
			diff = fmt.Errorf("record %q is %x on disk, the log gives %x", k, v, v2)
		}
		rep.Records++
		return diff == nil
	})
	if err == nil && diff == nil {
		if k2, _, ok := next(); ok {
			diff = fmt.Errorf("record %q, which the log gives, is missing on disk", k2)
		}
	}
	if e := stop(); e != nil {
		return fmt.Errorf("read the rebuilt tree: %w", e)
	}
	if err = errors.Join(err, diff); err != nil {
		return &Finding{"tree", err}
	}
	return nil
}

// checkBlocks verifies the blocks that were not pruned: each one's hashes, its link to the one before, the
// validators' signatures, the batches' signatures, and the application hash that it states if it has a batch.
func (c *checked) checkBlocks(ctx context.Context, rep *Report, hashes map[uint64][32]byte, progress Progress) error {
	if c.history == nil {
		return nil
	}
	// A running node goes on: only blocks up to the one that follows the checked state are of interest, and the
	// oldest may be pruned meanwhile.
	first, last := c.history.blocks.Base(), min(c.history.blocks.Height(), int64(c.meta.Height)+1)
	rep.FirstBlock, rep.LastBlock = first, last
	if last < int64(c.meta.Height) {
		return fmt.Errorf("the newest block is %d, log and tree are at %d: blocks are missing", last, c.meta.Height)
	}
	members := make(map[string][]byte)
	for _, m := range c.genesis.Members {
		members[m.Name] = m.Key
	}
	var prev *types.BlockMeta
	app, known := lastBefore(hashes, uint64(first))
	for h := first; h <= last && first > 0; h++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		var m *types.BlockMeta
		var blk *types.Block
		if err := guard(fmt.Sprintf("read block %d", h), func() error {
			m, blk = c.history.blocks.LoadBlockMeta(h), c.history.blocks.LoadBlock(h)
			if m == nil || blk == nil {
				return errors.New("it is missing")
			}
			return blk.ValidateBasic()
		}); err != nil {
			if h < c.history.blocks.Base() {
				continue
			}
			return err
		}
		if !bytes.Equal(blk.Hash(), m.BlockID.Hash) {
			return fmt.Errorf("block %d: its contents do not have the hash %X that it is kept under", h, m.BlockID.Hash)
		}
		if prev != nil && !blk.LastBlockID.Equals(prev.BlockID) {
			return fmt.Errorf("block %d does not follow block %d", h, h-1)
		}
		if prev != nil {
			if err := c.history.checkCommit(c.chainID, prev.BlockID, blk); err != nil {
				return err
			}
		}
		if o, ok := stated(blk); known && ok && o.appHash != app {
			return fmt.Errorf("block %d states the application hash %X, log and tree give %X after block %d", h, o.appHash, app, h-1)
		}
		for _, tx := range blk.Txs {
			if len(tx) > 0 && tx[0] == kindBatch {
				if err := c.checkBatch(tx, members); err != nil {
					return fmt.Errorf("block %d: %w", h, err)
				}
			}
		}
		if a, ok := hashes[uint64(h)]; ok {
			app, known = a, true
		}
		prev = m
		rep.Blocks++
		if h%64 == 0 || h == last {
			progress("blocks", uint64(h-first+1), uint64(last-first+1))
		}
	}
	return nil
}

// stated is what a block says of the state before it; a block without batches says nothing.
func stated(blk *types.Block) (opening, bool) {
	if len(blk.Txs) == 0 {
		return opening{}, false
	}
	o, err := decodeTime(blk.Txs[0])
	return o, err == nil
}

// checkCommit verifies the validators' signatures on the block before blk, which blk carries.
func (h *History) checkCommit(chainID string, id types.BlockID, blk *types.Block) error {
	validators, err := h.validators(blk.Height - 1)
	if err != nil {
		return fmt.Errorf("block %d: who its validators were: %w", blk.Height-1, err)
	}
	if err := validators.VerifyCommit(chainID, id, blk.Height-1, blk.LastCommit); err != nil {
		return fmt.Errorf("block %d: %w", blk.Height-1, err)
	}
	return nil
}

func (c *checked) checkBatch(tx []byte, members map[string][]byte) error {
	b, err := DecodeBatch(tx, nil)
	if err != nil {
		return err
	}
	if key := members[b.Node]; key == nil || !VerifyBatch(tx, c.chainID, key) {
		return fmt.Errorf("batch %d of %s: the signature is not valid", b.Seq, b.Node)
	}
	return nil
}

// lastBefore returns the application hash of the newest height before h.
func lastBefore(hashes map[uint64][32]byte, h uint64) (hash [32]byte, ok bool) {
	newest := uint64(0)
	for height, v := range hashes {
		if height < h && height >= newest {
			newest, hash, ok = height, v, true
		}
	}
	return hash, ok
}

// pull turns a walk with a callback into a function that returns one record at a time, valid until the next call.
// stop ends the walk and returns its error.
func pull(walk func(func(k, v []byte) bool) error) (next func() (k, v []byte, ok bool), stop func() error) {
	var err error
	next, end := iter.Pull2(func(yield func(k, v []byte) bool) { err = walk(yield) })
	return next, func() error {
		end()
		return err
	}
}
