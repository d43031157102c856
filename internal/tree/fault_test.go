package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// makeBlock does the same for a height on every tree: resources come and go, instances are added and evicted.
func makeBlock(tr *Tree, height uint64) error {
	b := tr.Begin(height, int64(height))
	defer b.Discard()
	if height == 1 {
		if err := b.Put(resource(onem2m.TypeCSEBase, "", "cb", "base")); err != nil {
			return err
		}
		for _, ri := range []string{"cnt1", "cnt2"} {
			if err := b.Put(resource(onem2m.TypeContainer, "cb", ri, ri)); err != nil {
				return err
			}
		}
		return b.Commit()
	}
	ri := fmt.Sprint("Ca", height)
	if err := b.Put(resource(onem2m.TypeAE, "cb", ri, ri)); err != nil {
		return err
	}
	if height > 5 {
		if err := b.Remove(fmt.Sprint("Ca", height-3)); err != nil {
			return err
		}
	}
	for i := range uint64(20) {
		ri := []string{"cnt1", "cnt2"}[i%2]
		if err := b.AppendInstance(ri, cse.InstanceRef{Index: height*100 + i, Size: i, Time: int64(height)}, ""); err != nil {
			return err
		}
	}
	for {
		c, _, err := b.Container("cnt1")
		if err != nil {
			return err
		}
		if c.Count <= 100 {
			break
		}
		if err := b.RemoveInstance("cnt1", c.Oldest); err != nil {
			return err
		}
	}
	if height%7 == 0 {
		if err := b.Remove("cnt2"); err != nil {
			return err
		}
		if err := b.Put(resource(onem2m.TypeContainer, "cb", "cnt2", "cnt2")); err != nil {
			return err
		}
	}
	b.SetLocal("height", fmt.Append(nil, height))
	return b.Commit()
}

// versions gives the dump of an undisturbed tree after each height.
func versions(t *testing.T, heights uint64) [][]string {
	t.Helper()
	tr := openTree(t, vfs.NewMem(), newMemLog(), 0)
	defer func() { must(t, tr.Close()) }()
	all := [][]string{nil}
	for h := uint64(1); h <= heights; h++ {
		must(t, makeBlock(tr, h))
		all = append(all, dump(t, tr))
	}
	return all
}

// recovered opens a copy of the disk and expects the state after one block, not before the block synced.
func recovered(t *testing.T, fs vfs.FS, all [][]string, synced uint64, what string) {
	t.Helper()
	tr, err := Open("tree", newMemLog(), Options{FS: fs})
	if err != nil {
		t.Fatalf("%s: reopen: %v", what, err)
	}
	height, _ := tr.Last()
	if height < synced {
		t.Fatalf("%s: block %d is left, but block %d was synced", what, height, synced)
	}
	if !slices.Equal(dump(t, tr), all[height]) {
		t.Fatalf("%s: the state is not that of block %d", what, height)
	}
	must(t, tr.Check(context.Background()))
	if local, err := tr.Local("height"); err != nil || height > 1 && string(local) != fmt.Sprint(height) {
		t.Fatalf("%s: local record %q at height %d, %v", what, local, height, err)
	}
	for h := height + 1; h < uint64(len(all)); h++ {
		must(t, makeBlock(tr, h)) // replay
	}
	if !slices.Equal(dump(t, tr), all[len(all)-1]) {
		t.Fatalf("%s: replay from block %d leads elsewhere", what, height)
	}
	must(t, tr.Close())
}

// TestCrash cuts the power after each block, with more or less of what was not synced on disk.
func TestCrash(t *testing.T) {
	const heights = 40
	all := versions(t, heights)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, syncEvery := range []uint64{1, 4, 100} {
		fs := vfs.NewCrashableMem()
		tr := openTree(t, fs, newMemLog(), 1)
		var synced uint64
		for h := uint64(1); h <= heights; h++ {
			must(t, makeBlock(tr, h))
			if h%syncEvery == 0 {
				if h%2 == 0 {
					must(t, tr.Sync())
				} else {
					// What the consensus engine does with a block of its own makes ours durable too.
					must(t, tr.DB().Set([]byte("z/x"), []byte("y"), pebble.Sync))
				}
				synced = h
			}
			if h%11 == 0 {
				_, err := tr.DB().AsyncFlush()
				must(t, err)
			}
			percent := rng.IntN(101)
			clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			recovered(t, clone, all, synced, fmt.Sprintf("crash after block %d with %d %% unsynced", h, percent))
		}
		must(t, tr.Close())
	}
}

// TestWriteErrors lets each write to disk fail in turn, once or from then on, as on a full disk. The failure is
// an error, never the end of the process, and after a restart the state is that of some block.
func TestWriteErrors(t *testing.T) {
	const heights = 12
	all := versions(t, heights)
	for mode := range 4 {
		// A new tree, or one whose log is replayed and flushed when it is opened.
		once, old := mode%2 == 0, mode/2 == 1
		for at := int64(0); ; at++ {
			var n atomic.Int64
			var injected atomic.Bool
			mem := vfs.NewCrashableMem()
			var before uint64
			if old {
				before = 4
				tr := openTree(t, mem, newMemLog(), 0)
				for h := uint64(1); h <= before; h++ {
					must(t, makeBlock(tr, h))
				}
				must(t, tr.Close())
			}
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
					return nil
				}
				if i := n.Add(1) - 1; i == at || i > at && !once {
					injected.Store(true)
					return syscall.ENOSPC
				}
				return nil
			}))
			what := fmt.Sprintf("write %d fails, once %v, old tree %v", at, once, old)
			synced, err := disturbed(fs, heights)
			if err == nil && injected.Load() && !once {
				t.Fatalf("%s: no error", what)
			}
			if err != nil && !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), "no space") {
				t.Fatalf("%s: the error does not say so: %v", what, err)
			}
			recovered(t, mem.CrashClone(vfs.CrashCloneCfg{}), all, max(synced, before), what)
			if !injected.Load() {
				break
			}
		}
	}
}

// disturbed makes blocks until an error and tells the last one that was synced without.
func disturbed(fs vfs.FS, heights uint64) (synced uint64, err error) {
	tr, err := Open("tree", newMemLog(), Options{FS: fs})
	if err != nil {
		return 0, err
	}
	defer func() {
		if err2 := tr.Close(); err == nil {
			err = err2
		}
	}()
	synced, _ = tr.Last()
	for h := synced + 1; h <= heights; h++ {
		if err := makeBlock(tr, h); err != nil {
			return synced, err
		}
		if h%3 == 0 {
			if err := tr.Sync(); err != nil {
				return synced, err
			}
			synced = h
		}
	}
	return synced, nil
}

// TestBitFlips damages table files. Each damage is an error when the data is read, or does no harm.
func TestBitFlips(t *testing.T) {
	fs := vfs.NewMem()
	tr := openTree(t, fs, newMemLog(), 0)
	for h := uint64(1); h <= 10; h++ {
		must(t, makeBlock(tr, h))
	}
	must(t, tr.DB().Flush())
	want := dump(t, tr)
	must(t, tr.Close())
	names, err := fs.List("tree")
	must(t, err)
	found := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		path := fs.PathJoin("tree", name)
		original := readAll(t, fs, path)
		for i := 0; i < len(original); i += 1 + len(original)/60 {
			damaged := slices.Clone(original)
			damaged[i] ^= 0x10
			writeAll(t, fs, path, damaged)
			err := examine(fs, want)
			if err != nil {
				found++
				if !errors.Is(err, ErrCorrupt) && !strings.Contains(err.Error(), "corrupt") && !strings.Contains(err.Error(), "checksum") {
					t.Errorf("byte %d of %s: the error does not say so: %v", i, name, err)
				}
			}
		}
		writeAll(t, fs, path, original)
	}
	if found == 0 {
		t.Error("no damage was noticed")
	}
	must(t, examine(fs, want))
}

// examine reads everything there is.
func examine(fs vfs.FS, want []string) (err error) {
	tr, err := Open("tree", newMemLog(), Options{FS: fs})
	if err != nil {
		return err
	}
	defer func() {
		if err2 := tr.Close(); err == nil {
			err = err2
		}
	}()
	if err := tr.Check(context.Background()); err != nil {
		return err
	}
	r := &recorder{}
	got := dump(r, tr)
	if r.err == nil && !slices.Equal(got, want) {
		return errors.New("damage was not noticed")
	}
	return r.err
}

func readAll(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	must(t, err)
	b, err := io.ReadAll(f)
	must(t, errors.Join(err, f.Close()))
	return b
}

func writeAll(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(b)
	must(t, errors.Join(err, f.Sync(), f.Close()))
}

func TestOpenErrors(t *testing.T) {
	fs := vfs.NewMem()
	tr := openTree(t, fs, newMemLog(), 0)
	must(t, tr.db.Set(keyFormat, []byte{formatVersion + 1}, pebble.Sync))
	must(t, tr.Close())
	if _, err := Open("tree", newMemLog(), Options{FS: fs}); err == nil || !strings.Contains(err.Error(), "format version 2") {
		t.Errorf("a later format: %v", err)
	}
	fs = vfs.NewMem()
	tr = openTree(t, fs, newMemLog(), 0)
	must(t, makeBlock(tr, 1))
	if _, err := Open("tree", newMemLog(), Options{FS: fs}); err == nil {
		t.Error("the same tree is opened twice")
	}
	must(t, tr.db.Delete(keyFormat, pebble.Sync))
	must(t, tr.Close())
	if _, err := Open("tree", newMemLog(), Options{FS: fs}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no format: %v", err)
	}
}
