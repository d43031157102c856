package translog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// step is one operation of the script that the fault tests run.
type step struct {
	name   string
	run    func(l *Log, m *model) error
	blocks int // for a rewind: how many it drops
}

// script touches everything that writes: several segments, sealing, erasure everywhere, rewinds into sealed and
// unsealed segments.
func script() []step {
	add := func(n int) step {
		return step{name: "append", run: func(l *Log, m *model) error {
			b := makeBlock(m.height()+1, uint64(len(m.leaves)), n)
			s, err := l.Stage(b)
			if err != nil {
				return err
			}
			if err := l.Append(s); err != nil {
				return err
			}
			m.push(b)
			return nil
		}}
	}
	sync := step{name: "sync", run: func(l *Log, _ *model) error { return l.Sync() }}
	erase := func(index uint64) step {
		return step{name: "erase", run: func(l *Log, m *model) error {
			err := l.Erase(index, []byte("gone"))
			if err == nil {
				m.erase(index, []byte("gone"))
			}
			return err
		}}
	}
	rewind := func(blocks int) step {
		return step{name: "rewind", blocks: blocks, run: func(l *Log, m *model) error {
			size := m.blocks[len(m.blocks)-blocks].First
			err := l.Rewind(size)
			if err == nil {
				m.rewind(size)
			}
			return err
		}}
	}
	return []step{
		add(40), add(1), sync, add(60), add(90), add(100), erase(3), add(30), erase(300), sync, add(200), add(2), rewind(1),
		add(8), rewind(4), add(50), sync, add(120), erase(1), erase(200), add(3), rewind(6), add(77), add(5), sync,
	}
}

const scriptSegment = 1500

// TestCrash takes a copy of what is durable before every single write, at random more, and opens it: after Rewind to
// the last synced size the log is whole and can go on.
func TestCrash(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			fs := newFS(t)
			type clone struct {
				fs     *vfs.MemFS
				synced uint64
			}
			var mu sync.Mutex
			var clones []clone
			var synced uint64
			rng := rand.New(rand.NewPCG(seed, 1))
			hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
					mu.Lock()
					defer mu.Unlock()
					cfg := vfs.CrashCloneCfg{}
					if seed > 0 {
						cfg = vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed) * 30, RNG: rng}
					}
					clones = append(clones, clone{fs.CrashClone(cfg), synced})
				}
				return nil
			})
			l := mustOpen(t, Options{FS: errorfs.Wrap(fs, hook), SegmentBytes: scriptSegment})
			m := &model{}
			for _, s := range script() {
				if s.name == "rewind" {
					mu.Lock()
					synced = min(synced, m.blocks[len(m.blocks)-s.blocks].First)
					mu.Unlock()
				}
				if err := s.run(l, m); err != nil {
					t.Fatal(s.name, err)
				}
				mu.Lock()
				if s.name == "sync" {
					synced = uint64(len(m.leaves))
				}
				now := clones
				clones = nil
				mu.Unlock()
				for _, c := range now {
					recoverClone(t, c.fs, m, c.synced)
				}
			}
			m.compare(t, l)
		})
	}
}

// recoverClone opens a copy as after a crash and checks that nothing up to size was lost.
func recoverClone(t *testing.T, fs vfs.FS, m *model, size uint64) {
	t.Helper()
	l, err := Open(testDir, Options{FS: fs, SegmentBytes: scriptSegment})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Rewind(size); err != nil {
		t.Fatal(err)
	}
	if h := l.Head(); h.Size != size || h.Root != naiveRoot(m.leaves[:size]) {
		t.Fatalf("head %+v after the crash, want size %d", h, size)
	}
	if err := l.Check(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	s, err := l.Stage(makeBlock(1000, size, 300))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Append(s); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
}

// TestWriteErrors lets every write of the script fail in turn. The operation reports it, succeeds when it is tried
// again, and nothing is lost.
func TestWriteErrors(t *testing.T) {
	for fail := 0; ; fail++ {
		var mu sync.Mutex
		count, failed := 0, ""
		inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if count++; count == fail+1 {
				failed = fmt.Sprint(op.Kind, " ", op.Path)
				return errorfs.ErrInjected
			}
			return nil
		})
		fs := newFS(t)
		o := Options{FS: errorfs.Wrap(fs, inject), SegmentBytes: scriptSegment}
		l, err := Open(testDir, o)
		if errors.Is(err, errorfs.ErrInjected) {
			l, err = Open(testDir, o)
		}
		if err != nil {
			t.Fatal(failed, err)
		}
		m := &model{}
		for i, s := range script() {
			err := s.run(l, m)
			if err != nil && !errors.Is(err, errorfs.ErrInjected) {
				t.Fatalf("write %d (%s), step %d: %s: %v", fail, failed, i, s.name, err)
			}
			if err != nil {
				err = s.run(l, m)
			}
			if err != nil {
				t.Fatalf("write %d (%s), step %d again: %s: %v", fail, failed, i, s.name, err)
			}
		}
		waitSealed(t, l)
		m.compare(t, l)
		if err := l.Close(); err != nil {
			err = l.hashes.close()
			if err != nil {
				t.Fatal(err)
			}
		}
		mu.Lock()
		last := count <= fail
		mu.Unlock()
		l = mustOpen(t, Options{FS: fs, SegmentBytes: scriptSegment})
		if l.Head().Size > uint64(len(m.leaves)) || l.Damage() != nil {
			must(t, l.Rewind(uint64(len(m.leaves))))
		}
		m.compare(t, l)
		if last {
			t.Logf("%d writes", fail)
			return
		}
	}
}
