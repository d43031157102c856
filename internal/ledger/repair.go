package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cometbft/cometbft/store"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/internal/tree"
)

// FsckOptions say what to check.
type FsckOptions struct {
	Dir     string // a node's data folder; nobody else may use it meanwhile
	Scratch string // folder for a rebuilt tree, removed afterwards
	ChainID string
	Genesis []byte // app_state of the genesis document
	// Repair heals before the check what another copy allows: the tree from the log, the log's hashes from its
	// segments, the end of the log from the blocks. What is replaced is kept aside, with ".damaged" in its name.
	Repair   bool
	Progress Progress
}

// Fsck checks the files of a node that does not run. Damage comes as a *Finding.
func Fsck(ctx context.Context, o FsckOptions) (*Report, error) {
	g, err := parseGenesis(o.Genesis)
	if err != nil {
		return nil, err
	}
	f := &fsck{o: o, genesis: g}
	defer f.close()
	if err := f.open(); err != nil {
		return nil, err
	}
	if o.Repair {
		if err := f.repair(ctx); err != nil {
			return nil, err
		}
	}
	rep, err := f.check(ctx)
	if err != nil {
		return nil, err
	}
	rep.Repaired = f.repaired
	return rep, nil
}

// fsck is a check of files at rest.
type fsck struct {
	o        FsckOptions
	genesis  *Genesis
	log      *translog.Log
	tree     *tree.Tree
	treeErr  error // why the tree could not be opened
	chain    *pebble.DB
	blocks   *store.BlockStore
	meta     meta
	repaired []string
}

func (f *fsck) path(name string) string { return filepath.Join(f.o.Dir, name) }

func (f *fsck) open() error {
	var err error
	if f.log, err = translog.Open(f.path(LogDir), translog.Options{}); err != nil {
		return &Finding{"log", err}
	}
	err = guard("open the block store", func() (err error) {
		if f.chain, err = openChain(filepath.Join(f.path(ChainDir), "blocks"), discard, true); err != nil {
			return err
		}
		f.blocks = store.NewBlockStore(newStore(f.chain, blockStoreID))
		return nil
	})
	if err != nil {
		return &Finding{"blocks", fmt.Errorf("%w; no other copy of them is on this disk: move the folder away and copy %s from another node, or start over with the log kept as evidence", err, ChainDir)}
	}
	f.openTree()
	return nil
}

// openTree opens the tree, or notes why it cannot be.
func (f *fsck) openTree() {
	f.meta = meta{}
	f.treeErr = guard("open the tree", func() error {
		if _, err := os.Stat(f.path(TreeDir)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the folder %s is missing", f.path(TreeDir))
		}
		t, err := tree.Open(f.path(TreeDir), logReader{&App{log: f.log}}, tree.Options{AtRest: true})
		if err != nil {
			return err
		}
		f.tree = t
		v, err := t.Local(localMeta)
		if err == nil && v != nil { // nil: killed before the first block's write, or rebuilt from nothing
			f.meta, err = decodeMeta(v)
		}
		return err
	})
}

func (f *fsck) close() {
	if f.tree != nil {
		f.tree.Close()
	}
	if f.chain != nil {
		f.chain.Close()
	}
	if f.log != nil {
		f.log.Close()
	}
}

// check looks at everything. A log that is ahead of the tree is no damage: it was written first when the process was
// killed, and the next start drops or repeats what the tree does not know.
func (f *fsck) check(ctx context.Context) (*Report, error) {
	if f.treeErr != nil {
		return nil, &Finding{"tree", f.treeErr}
	}
	if err := f.carry(); err != nil {
		return nil, err
	}
	view := f.tree.View()
	defer view.Close()
	c := checked{f.log, view, f.meta, chainHistory(f.chain, f.blocks), f.genesis, f.o.Genesis, f.o.ChainID, f.o.Scratch}
	rep, err := c.run(ctx, f.o.Progress)
	if err != nil {
		return nil, err
	}
	if err := readAll(ctx, f.chain); err != nil {
		return nil, found("blocks", err)
	}
	return rep, nil
}

// readAll reads all that a store holds, so that every checksum is compared.
func readAll(ctx context.Context, db *pebble.DB) error {
	it, err := db.NewIter(nil)
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		if _, err = it.ValueAndErr(); err == nil {
			err = ctx.Err()
		}
	}
	return errors.Join(err, it.Close())
}

// carry brings the log to the tree's size as the next start would.
func (f *fsck) carry() error {
	a := &App{log: f.log, tree: f.tree, last: f.meta}
	if err := a.recoverLog(); err != nil {
		return &Finding{"log", err}
	}
	return nil
}

// repair heals what it can.
func (f *fsck) repair(ctx context.Context) error {
	if f.treeErr == nil {
		// The tree may have what the log lacks. If it does not, the log is cut below.
		if err := f.carry(); err != nil && f.log.Damage() == nil && f.log.Head().Size >= f.meta.LogSize {
			f.treeErr = err
		}
	}
	good, err := f.intact(ctx)
	if err != nil {
		return err
	}
	if f.treeErr == nil && good >= f.meta.LogSize {
		if _, err := f.check(ctx); err == nil {
			return nil
		} else if found := new(Finding); !errors.As(err, &found) || found.Part != "tree" {
			return err
		}
	}
	return f.rebuild(ctx, good)
}

// intact returns the size up to which the log is whole, after its hashes were made again from its segments.
func (f *fsck) intact(ctx context.Context) (uint64, error) {
	if d := f.log.Damage(); d != nil {
		return f.log.Head().Size, f.keepAside(d.File)
	}
	var d *translog.CorruptError
	if err := f.log.RebuildHashes(); err != nil && !errors.As(err, &d) {
		return 0, err
	}
	err := f.log.Check(ctx, func(done, total uint64) { f.o.Progress("log", done, total) })
	if errors.As(err, &d) {
		return d.Index, f.keepAside(d.File)
	}
	return f.log.Head().Size, err
}

// keepAside copies a damaged file of the log before it is cut.
func (f *fsck) keepAside(name string) error {
	aside := fmt.Sprintf("%s.damaged-%d", f.path(LogDir), time.Now().Unix())
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(f.path(LogDir), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(aside, name), b, 0o600)
}

// rebuild makes a new tree from the log's first size entries. CometBFT executes the blocks after them at the next
// start, which writes the rest of the log anew; so they must not have been pruned.
func (f *fsck) rebuild(ctx context.Context, size uint64) error {
	r := newReplayer(f.genesis, f.o.Genesis, f.log)
	if err := os.RemoveAll(f.o.Scratch); err != nil {
		return err
	}
	fresh := filepath.Join(f.o.Scratch, TreeDir)
	if err := r.open(fresh, tree.Options{}); err != nil {
		return err
	}
	err := r.run(ctx, size, func(m meta) error {
		f.o.Progress("tree", m.LogSize, size)
		return nil
	})
	last := r.app.last
	if err == nil {
		err = f.carryLocals(r.app.tree, &last)
	}
	if e := r.app.tree.Close(); err == nil {
		err = e
	}
	if err != nil {
		return found("log", err)
	}
	if f.blocks.Base() > int64(last.Height)+1 {
		return &Finding{"log", fmt.Errorf("entries from %d on are lost: the blocks that could restore them were pruned (the oldest is %d, %d is needed); copy %s and %s from another node",
			size, f.blocks.Base(), last.Height+1, LogDir, TreeDir)}
	}
	return f.exchange(fresh, size, last)
}

// carryLocals takes over what the log does not give: which batch numbers were used as of last, and the height of the
// last block, which need not have had an entry.
func (f *fsck) carryLocals(t *tree.Tree, last *meta) error {
	if err := f.carryHeight(t, last); err != nil {
		return err
	}
	seqs := make(map[string]sequence)
	if f.tree != nil {
		a := &App{tree: f.tree, seqs: seqs}
		if err := a.loadSeqs(); err != nil {
			clear(seqs)
		}
	}
	// The blocks after last are executed again, so their batches count as not used.
	again := make(map[string][]uint64)
	err := f.batches(int64(last.Height)+1, f.blocks.Height(), func(b *Batch) { again[b.Node] = append(again[b.Node], b.Seq) })
	if err != nil {
		return err
	}
	for name, used := range again {
		seqs[name] = usedBefore(slices.Min(used))
	}
	err = f.batches(f.blocks.Base(), int64(last.Height), func(b *Batch) {
		s := seqs[b.Node]
		s.use(b.Seq)
		seqs[b.Node] = s
	})
	if err != nil {
		return err
	}
	for name, s := range seqs {
		if err := t.SetLocal(localSeq+name, s.encode()); err != nil {
			return err
		}
	}
	if err := f.carryResults(t, int64(last.Height)); err != nil {
		return err
	}
	if err := f.carryOutbox(t, last.LogSize); err != nil {
		return err
	}
	return t.Sync()
}

// carryHeight finds out whether blocks that were pruned are among those whose entries the log has: a block with a batch
// states the application hash before it, and blocks without one change nothing.
func (f *fsck) carryHeight(t *tree.Tree, last *meta) error {
	base := f.blocks.Base()
	if base <= int64(last.Height)+1 {
		return nil
	}
	return guard("read the blocks", func() error {
		for h := base; h <= f.blocks.Height(); h++ {
			blk := f.blocks.LoadBlock(h)
			if blk == nil {
				return nil
			}
			o, ok := stated(blk)
			if ok && o.appHash == last.AppHash {
				last.Height = uint64(base) - 1
				return t.SetLocal(localMeta, last.encode())
			}
			if ok || len(blk.Txs) > 0 {
				return nil
			}
		}
		return nil
	})
}

// carryOutbox takes over the notifications that were not delivered yet, as far as the old tree can be read. Those of
// blocks that are executed again come by themselves.
func (f *fsck) carryOutbox(t *tree.Tree, size uint64) error {
	if f.tree == nil {
		f.repaired = append(f.repaired, "notifications that were not delivered yet are lost with the old tree")
		return nil
	}
	for l, err := range f.tree.Locals(localOutbox) {
		if err != nil {
			f.repaired = append(f.repaired, "some notifications that were not delivered yet could not be read from the old tree")
			return nil
		}
		if l.Key >= outboxKey(size, 0) {
			break
		}
		if err := t.SetLocal(l.Key, l.Value); err != nil {
			return err
		}
	}
	return nil
}

// carryResults writes the results of the last block's transactions, which CometBFT asks for when its own copy of them
// is lost.
func (f *fsck) carryResults(t *tree.Tree, height int64) error {
	a := &App{Options: Options{ChainID: f.o.ChainID}, members: f.genesis.keys()}
	var codes []uint32
	err := guard(fmt.Sprintf("read block %d", height), func() error {
		blk := f.blocks.LoadBlock(height)
		if blk == nil {
			return nil
		}
		codes = make([]uint32, len(blk.Txs))
		for i := 1; i < len(blk.Txs); i++ { // the first is the block's time
			if a.verify(blk.Txs[i]) != nil {
				codes[i] = 1
			}
		}
		return nil
	})
	if err != nil || codes == nil {
		return err
	}
	v, err := json.Marshal(codes)
	if err != nil {
		return err
	}
	return t.SetLocal(localResults, v)
}

// batches calls each for the batches of the blocks that there are from height from to height to.
func (f *fsck) batches(from, to int64, each func(*Batch)) error {
	return guard("read the blocks", func() error {
		for h := max(from, f.blocks.Base(), 1); h <= min(to, f.blocks.Height()); h++ {
			blk := f.blocks.LoadBlock(h)
			if blk == nil {
				continue
			}
			for _, tx := range blk.Txs {
				if b, err := DecodeBatch(tx, nil); err == nil {
					each(b)
				}
			}
		}
		return nil
	})
}

// exchange puts the rebuilt tree in place of the old one.
func (f *fsck) exchange(fresh string, size uint64, last meta) error {
	if f.tree != nil {
		f.tree.Close()
		f.tree = nil
	}
	aside := fmt.Sprintf("%s.damaged-%d", f.path(TreeDir), time.Now().Unix())
	if err := os.Rename(f.path(TreeDir), aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, f.path(TreeDir)); err != nil {
		return err
	}
	f.repaired = append(f.repaired, fmt.Sprintf("the tree, rebuilt from %d log entries; the old one is kept in %s", size, aside))
	if size < f.log.Head().Size || f.log.Damage() != nil {
		if err := f.log.Rewind(size); err != nil {
			return &Finding{"log", err}
		}
		f.repaired = append(f.repaired, fmt.Sprintf("the log is cut to its %d intact entries", size))
	}
	if newest := f.blocks.Height(); newest > int64(last.Height) {
		f.repaired = append(f.repaired, fmt.Sprintf("the blocks from height %d to %d give the entries that follow at the next start", last.Height+1, newest))
	}
	f.openTree()
	if f.treeErr != nil {
		return &Finding{"tree", f.treeErr}
	}
	return nil
}
