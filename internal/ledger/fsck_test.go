package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/store"
	"github.com/cometbft/cometbft/types"
	"github.com/google/go-cmp/cmp"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func noProgress(string, uint64, uint64) {}

// TestCheckAfterHistory: the tree that replaying the log gives is the tree that execution gave, after all that can
// happen: expiry, erasure, groups, credentials, policies that look at the client's address, several releases.
func TestCheckAfterHistory(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			a := openApp(t, "data", memFS(t))
			defer func() { a.Close() }()
			h := newHistory(100+seed, func() Status { return a.Head() })
			for height := int64(1); height <= 200; height++ {
				_, err := apply(a, height, h.next())
				must(t, err)
				if height%100 == 0 {
					rep, err := a.Check(context.Background(), nil, t.TempDir(), noProgress)
					if err != nil {
						t.Fatalf("height %d: %v", height, err)
					}
					t.Logf("%+v", rep)
				}
			}
		})
	}
}

// chain is a node of one validator in a folder, with real consensus.
type chain struct {
	t         testing.TB
	dir       string
	doc       *types.GenesisDoc
	app       *App
	consensus *Consensus
	committed chan uint64
}

func newChain(t testing.TB, dir string) *chain {
	t.Helper()
	c := &chain{t: t, dir: dir, committed: make(chan uint64, 1000)}
	params := types.DefaultConsensusParams()
	params.Block.MaxBytes = MaxBlockBytes
	pub := validatorKey.PubKey()
	c.doc = &types.GenesisDoc{
		GenesisTime: time.Now().UTC(), ChainID: testChain, ConsensusParams: params, AppState: testGenesis(t),
		Validators: []types.GenesisValidator{{Address: pub.Address(), PubKey: pub, Power: 10}},
	}
	must(t, c.doc.ValidateAndComplete())
	must(t, os.MkdirAll(filepath.Join(dir, ChainDir), 0o700))
	must(t, CreateValidator(vfs.Default, filepath.Join(dir, ChainDir, "state")))
	return c
}

// in is the same chain in another folder.
func (c *chain) in(t testing.TB, dir string) *chain {
	return &chain{t: t, dir: dir, doc: c.doc, committed: make(chan uint64, 1000)}
}

func (c *chain) start() error {
	o := testOptions(c.t)
	o.Committed = func(height uint64, results []Result) {
		if len(results) > 0 {
			c.committed <- height
		}
	}
	var err error
	if c.app, err = Open(c.dir, vfs.Default, o); err != nil {
		return err
	}
	v, err := OpenValidator(vfs.Default, filepath.Join(c.dir, ChainDir, "state"), validatorKey)
	if err == nil {
		c.consensus, err = StartConsensus(c.app, ConsensusOptions{
			Dir: filepath.Join(c.dir, ChainDir), Genesis: c.doc, Validator: v, NodeKey: &p2p.NodeKey{PrivKey: validatorKey}, Logger: discard,
		})
	}
	if err != nil {
		c.app.Close()
	}
	return err
}

func (c *chain) stop() {
	c.t.Helper()
	must(c.t, c.consensus.Stop())
	must(c.t, c.app.Close())
}

// submit orders a batch and waits for its commit.
func (c *chain) submit(items []Item) {
	c.t.Helper()
	for len(c.committed) > 0 { // blocks executed again at start
		<-c.committed
	}
	_, tx := c.app.Sign([32]byte{1}, items)
	must(c.t, c.consensus.Submit(tx))
	select {
	case <-c.committed:
	case <-time.After(20 * time.Second):
		c.t.Fatal("a batch is not committed")
	}
}

// state is what a node says when it is started in dir.
func (c *chain) state() string {
	c.t.Helper()
	must(c.t, c.start())
	defer c.stop()
	return dump(c.t, c.app)
}

func (c *chain) fsck(repair bool) (*Report, error) {
	return Fsck(context.Background(), FsckOptions{
		Dir: c.dir, Scratch: filepath.Join(c.dir, "scratch"), ChainID: testChain, Genesis: testGenesis(c.t),
		Repair: repair, Progress: noProgress,
	})
}

// prune drops all blocks but the newest, as a long-running network does.
func (c *chain) prune() {
	c.t.Helper()
	db, err := openChain(filepath.Join(c.dir, ChainDir, "blocks"), discard, false)
	must(c.t, err)
	blocks := store.NewBlockStore(newStore(db, blockStoreID))
	state, err := sm.NewStore(newStore(db, "state"), sm.StoreOptions{}).Load()
	must(c.t, err)
	_, _, err = blocks.PruneBlocks(blocks.Height(), state)
	must(c.t, err)
	must(c.t, db.Close())
}

// flush has the tree and the block store write their tables, as time and size do.
func (c *chain) flush() {
	must(c.t, c.app.tree.DB().Flush())
	must(c.t, c.consensus.db.Flush())
}

// history runs random batches through consensus.
func (c *chain) history(seed uint64, n int) {
	h := newHistory(seed, func() Status { return c.app.Head() })
	h.time = time.Now().UnixMicro()
	var items []Item
	for _, who := range historyOriginators {
		items = append(items, h.enrol(who, who), h.enrolKey(who))
	}
	c.submit(items)
	for range n {
		c.submit(h.items(1 + h.rng.IntN(20)))
	}
}

// damaged copies a folder and changes one file in the copy.
func (c *chain) damaged(t testing.TB, change func(dir string)) *chain {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "node")
	must(t, os.CopyFS(dir, os.DirFS(c.dir)))
	change(dir)
	return c.in(t, dir)
}

func flip(t testing.TB, file string, at int64) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	b[at] ^= 0x10
	must(t, os.WriteFile(file, b, 0o600))
}

// largest is the largest file that matches.
func largest(t testing.TB, dir, pattern string) string {
	t.Helper()
	best, size := "", int64(0)
	files, _ := filepath.Glob(filepath.Join(dir, pattern))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.Size() > size {
			best, size = f, info.Size()
		}
	}
	if best == "" {
		t.Fatalf("no %s in %s", pattern, dir)
	}
	return best
}

// TestFsck damages a node's files, one kind at a time. The check finds and names each damage; repair heals what
// another copy allows, after which the node starts with the state that it had, and says clearly what it cannot heal.
func TestFsck(t *testing.T) {
	base := newChain(t, t.TempDir())
	must(t, base.start())
	base.history(1, 120)
	base.flush()
	want := dump(t, base.app)
	size := base.app.Head().LogSize
	if _, err := base.app.Check(context.Background(), base.consensus.History(), t.TempDir(), noProgress); err != nil {
		t.Fatalf("check of the running node: %v", err)
	}
	base.stop()
	if rep, err := base.fsck(false); err != nil || rep.Entries != size || rep.Blocks == 0 {
		t.Fatalf("fsck of a good node: %+v, %v", rep, err)
	}
	if size < 256 {
		t.Fatalf("only %d entries", size)
	}
	segment := filepath.Join(LogDir, "00000000000000000000.seg")
	cut := func(n int64) func(string) {
		return func(dir string) {
			f := filepath.Join(dir, segment)
			info, err := os.Stat(f)
			must(t, err)
			must(t, os.Truncate(f, info.Size()-n))
		}
	}
	remove := func(name string) func(string) {
		return func(dir string) { must(t, os.RemoveAll(filepath.Join(dir, name))) }
	}
	for _, c := range []struct {
		name   string
		change func(dir string)
		part   string // "" when the check need not find anything, because the damage is mended at once
		heals  bool
		pruned bool
	}{
		{"segment, flipped early", func(dir string) { flip(t, filepath.Join(dir, segment), 3000) }, "log", true, false},
		{"segment, flipped late", func(dir string) {
			info, _ := os.Stat(filepath.Join(dir, segment))
			flip(t, filepath.Join(dir, segment), info.Size()-300)
		}, "log", true, false},
		{"segment, cut", cut(2000), "log", true, false},
		{"segment, missing", remove(segment), "log", true, false},
		{"segment, cut, blocks pruned", cut(2000), "log", false, true},
		{"segment, flipped, blocks pruned", func(dir string) { flip(t, filepath.Join(dir, segment), 3000) }, "log", false, true},
		{"hash file, flipped", func(dir string) { flip(t, filepath.Join(dir, LogDir, "hash-1"), 5) }, "", true, false},
		{"hash file, missing", remove(filepath.Join(LogDir, "hash-1")), "", true, false},
		{"hash mark, missing", remove(filepath.Join(LogDir, "hash-mark")), "", true, false},
		{"tree, missing", remove(TreeDir), "tree", true, false},
		{"tree, missing, blocks pruned", remove(TreeDir), "tree", true, true},
		{"tree, table flipped", func(dir string) { flip(t, largest(t, dir, "tree/*.sst"), 700) }, "tree", true, false},
		{"tree, table flipped, blocks pruned", func(dir string) { flip(t, largest(t, dir, "tree/*.sst"), 700) }, "tree", true, true},
		{"tree, table missing", func(dir string) { must(t, os.Remove(largest(t, dir, "tree/*.sst"))) }, "tree", true, false},
		{"blocks, table flipped", func(dir string) { flip(t, largest(t, dir, "chain/blocks/*.sst"), 4000) }, "blocks", false, false},
		{"blocks, missing", remove("chain/blocks"), "blocks", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := base.damaged(t, func(dir string) {
				if c.pruned {
					base.in(t, dir).prune()
				}
				c.change(dir)
			})
			_, err := d.fsck(false)
			var f *Finding
			if c.part != "" && (!errors.As(err, &f) || f.Part != c.part) || c.part == "" && err != nil {
				t.Fatalf("the check finds %v, want it in %q", err, c.part)
			}
			t.Log("found:", err)
			rep, err := d.fsck(true)
			if !c.heals {
				if !errors.As(err, &f) {
					t.Fatalf("repair: %+v, %v, want a clear refusal", rep, err)
				}
				t.Log("refused:", err)
				return
			}
			if err != nil {
				t.Fatalf("repair: %v", err)
			}
			t.Log("repaired:", rep.Repaired)
			if diff := cmp.Diff(want, d.state()); diff != "" {
				t.Errorf("state after the repair (-was +is):\n%s", diff)
			}
			if rep, err := d.fsck(false); err != nil || rep.Entries != size {
				t.Errorf("fsck after the repair: %+v, %v", rep, err)
			}
			must(t, d.start()) // and it goes on
			d.submit([]Item{newHistory(1, nil).enrol("Clater", "later")})
			if got := d.app.Head().LogSize; got < size+1 { // what has expired meanwhile may come before it
				t.Errorf("log size %d after one more entry, want %d", got, size+1)
			}
			d.stop()
		})
	}
}

// TestFsckRandomFlips flips one byte anywhere in a node's log, tree or block store. Either the check finds it, or the
// node does not depend on it: then it starts with the state it had. Nothing panics.
func TestFsckRandomFlips(t *testing.T) {
	base := newChain(t, t.TempDir())
	must(t, base.start())
	base.history(2, 15)
	base.flush()
	base.history(3, 10)
	want := dump(t, base.app)
	base.stop()
	var files []string
	must(t, filepath.WalkDir(base.dir, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(base.dir, path)
		if info, _ := e.Info(); err == nil && !e.IsDir() && info.Size() > 0 && !strings.HasPrefix(rel, "chain/data") && !strings.HasPrefix(rel, "chain/state") {
			files = append(files, rel)
		}
		return err
	}))
	rng := rand.New(rand.NewPCG(4, 4))
	found := make(map[string]int)
	for range 40 {
		name := files[rng.IntN(len(files))]
		at := int64(0)
		d := base.damaged(t, func(dir string) {
			info, err := os.Stat(filepath.Join(dir, name))
			must(t, err)
			at = rng.Int64N(info.Size())
			flip(t, filepath.Join(dir, name), at)
		})
		_, err := d.fsck(false)
		if err != nil {
			var f *Finding
			if !errors.As(err, &f) {
				t.Errorf("%s byte %d: %v, which does not say what is damaged", name, at, err)
			}
			found[filepath.Dir(name)]++
			continue
		}
		if diff := cmp.Diff(want, d.state()); diff != "" {
			t.Errorf("%s byte %d: not found by the check, and the state is (-was +is):\n%s", name, at, diff)
		}
	}
	t.Log("found:", found, "of 40 in", files)
}
