package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// recorded is a history with the state after each block.
type recorded struct {
	blocks [][][]byte
	hashes [][32]byte
	dumps  []string
}

func record(t *testing.T, seed uint64, n int) *recorded {
	a := openApp(t, "data", memFS(t))
	defer a.Close()
	h := newHistory(seed, func() Status { return a.Head() })
	r := &recorded{}
	for range n {
		hash, err := apply(a, int64(len(r.blocks)+1), h.next())
		must(t, err)
		r.blocks, r.hashes, r.dumps = h.blocks, append(r.hashes, hash), append(r.dumps, dump(t, a))
	}
	return r
}

// resume opens what a crash left, executes the blocks after it as CometBFT does, and compares with the state of a node
// that had no crash.
func (r *recorded) resume(t *testing.T, fs vfs.FS, done int) (height int) {
	t.Helper()
	a := openApp(t, "data", fs)
	height = int(a.Head().Height)
	if height > done {
		t.Fatalf("height %d after a crash, only %d blocks were executed", height, done)
	}
	if height > 0 && a.Head().AppHash != r.hashes[height-1] {
		t.Fatalf("height %d after a crash: application hash %x, want %x", height, a.Head().AppHash, r.hashes[height-1])
	}
	for i := height; i < done; i++ {
		hash, err := apply(a, int64(i+1), r.blocks[i])
		must(t, err)
		if hash != r.hashes[i] {
			t.Fatalf("block %d executed again after a crash at height %d: application hash %x, want %x", i+1, height, hash, r.hashes[i])
		}
	}
	if done > 0 {
		if diff := cmp.Diff(r.dumps[done-1], dump(t, a)); diff != "" {
			t.Fatalf("height %d after a crash at height %d (-want +got):\n%s", done, height, diff)
		}
	}
	must(t, a.rewindLog()) // as the next block would: a torn end may be left
	must(t, a.log.Check(t.Context(), nil))
	must(t, a.Close())
	return height
}

// TestCrash takes a copy of what is durable, and at random more, before writes of all kinds. Each copy is opened and
// carried on to the state of a node that never crashed.
func TestCrash(t *testing.T) {
	const blocks = 80
	r := record(t, 5, blocks)
	for _, percent := range []int{0, 50, 90} {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(percent), 1))
			fs := memFS(t)
			type clone struct {
				fs   *vfs.MemFS
				done int
				at   string
			}
			var mu sync.Mutex
			var clones []clone
			done, begun := 0, false // Pebble does not promise to survive a crash while it makes its first files
			hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
					mu.Lock()
					defer mu.Unlock()
					if begun && (done < 2 || rng.IntN(2) == 0) {
						cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}
						clones = append(clones, clone{fs.CrashClone(cfg), done, fmt.Sprint(op.Kind, " ", op.Path)})
					}
				}
				return nil
			})
			a := openApp(t, "data", errorfs.Wrap(fs, hook))
			mu.Lock()
			begun = true
			mu.Unlock()
			for i := range blocks {
				_, err := apply(a, int64(i+1), r.blocks[i])
				must(t, err)
				mu.Lock()
				done++
				mu.Unlock()
				if i%10 == 9 {
					must(t, a.makeDurable(uint64(i+1)))
				}
			}
			must(t, a.Close())
			heights := 0
			for _, c := range clones {
				// A block under way may be in the copy.
				heights += r.resume(t, c.fs, min(c.done+1, blocks))
			}
			t.Logf("%d copies, at height %d on average", len(clones), heights/max(len(clones), 1))
		})
	}
}

// TestFramesRestoreLog: the tree's own sync is enough: what the log had not synced comes back from the frames that
// the tree carries, also when the crash left a torn end.
func TestFramesRestoreLog(t *testing.T) {
	r := record(t, 6, 30)
	for _, torn := range []bool{false, true} {
		fs := memFS(t)
		a := openApp(t, "data", fs)
		for i := range 30 {
			_, err := apply(a, int64(i+1), r.blocks[i])
			must(t, err)
			if i == 12 {
				must(t, a.makeDurable(13))
			}
		}
		must(t, a.tree.Sync())
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		must(t, a.Close())
		if torn {
			name := "data/log/00000000000000000000.seg"
			f, err := crashed.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
			must(t, err)
			info, err := f.Stat()
			must(t, err)
			_, err = f.WriteAt([]byte("what a torn write left behind, in place of the frame"), info.Size())
			must(t, err)
			must(t, f.Close())
		}
		if height := r.resume(t, crashed, 30); height != 30 {
			t.Errorf("torn %v: the node came back at height %d, the tree was synced at 30", torn, height)
		}
	}
}

// TestLostTree: the log is not touched when the tree is gone, until the blocks are executed again.
func TestLostTree(t *testing.T) {
	r := record(t, 7, 20)
	fs := memFS(t)
	a := openApp(t, "data", fs)
	for i := range 20 {
		_, err := apply(a, int64(i+1), r.blocks[i])
		must(t, err)
	}
	size := a.Head().LogSize
	must(t, a.Close())
	must(t, fs.RemoveAll("data/tree"))
	a = openApp(t, "data", fs)
	if a.Head().Height != 0 || a.log.Head().Size != size {
		t.Errorf("height %d, log size %d, want 0 and %d", a.Head().Height, a.log.Head().Size, size)
	}
	must(t, a.Close())
	r.resume(t, fs, 20)
}

// TestWriteErrors lets writes of all kinds fail, one in each run, once or for good. Either nobody notices because it
// did not matter, or the ledger stops with the error; it never goes on with less than it says. Afterwards the node
// comes back.
func TestWriteErrors(t *testing.T) {
	const blocks = 12
	r := record(t, 8, blocks)
	stopped, unnoticed := 0, 0
	for fail := 0; ; fail += 3 {
		for _, forGood := range []bool{false, true} {
			var mu sync.Mutex
			count, failed := 0, ""
			inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				count++
				if count == fail+1 || forGood && count > fail {
					if failed == "" {
						failed = fmt.Sprint(op.Kind, " ", op.Path)
					}
					return errorfs.ErrInjected
				}
				return nil
			})
			fs := memFS(t)
			var fatal error
			o := testOptions(t)
			o.Fatal = func(err error) {
				mu.Lock()
				fatal = errors.Join(fatal, err)
				mu.Unlock()
			}
			a, err := Open("data", errorfs.Wrap(fs, inject), o)
			done := 0
			for err == nil && done < blocks {
				var hash [32]byte
				if hash, err = apply(a, int64(done+1), r.blocks[done]); err == nil {
					if hash != r.hashes[done] {
						t.Fatalf("write %d (%s): block %d gives another hash", fail, failed, done+1)
					}
					done++
				}
				if err == nil && done%4 == 0 {
					err = a.makeDurable(uint64(done))
				} else if err != nil {
					mu.Lock()
					if fatal == nil {
						t.Errorf("write %d (%s): %v, and Fatal was not called", fail, failed, err)
					}
					mu.Unlock()
				}
			}
			if a != nil {
				err = errors.Join(err, a.Close())
			}
			mu.Lock()
			last := count <= fail
			if err == nil && fatal == nil {
				unnoticed++
			} else {
				stopped++
				if e := errors.Join(err, fatal); failed == "" {
					t.Errorf("write %d: %v without a failure", fail, e)
				}
			}
			mu.Unlock()
			// What was reported as executed is there, or is executed again.
			r.resume(t, fs, max(done, 1))
			if last {
				t.Logf("%d writes: %d runs stopped, %d did not have to", fail, stopped, unnoticed)
				return
			}
		}
	}
}

// TestErasureAfterCrash: an erasure that was committed before a crash is done at the next start.
func TestErasureAfterCrash(t *testing.T) {
	fs := memFS(t)
	a := openApp(t, "data", fs)
	h := newHistory(1, func() Status { return a.Head() })
	_, err := apply(a, 1, h.next())
	must(t, err)
	secret := "a secret that has to go"
	create := func(to string, ty onem2m.ResourceType, content string) Item {
		return Item{
			Operation: proof.Operation(onem2m.Create), From: "Coperator", Key: testKeyID("Coperator"), To: to, Type: ty, Content: []byte(content),
			ResultContent: onem2m.ResultContentDefault, Release: "4",
		}
	}
	items := []Item{
		create("tally", onem2m.TypeContainer, `{"m2m:cnt":{"rn":"c"}}`),
		create("tally/c", onem2m.TypeContentInstance, `{"m2m:cin":{"con":"`+secret+`"}}`),
	}
	_, err = apply(a, 2, h.block(h.time+1, h.batch(items)))
	must(t, err)
	index := a.Head().LogSize - 1
	rec, err := a.log.Record(index)
	must(t, err)
	if !strings.Contains(string(rec.Payload), secret) {
		t.Fatalf("entry %d has %q", index, rec.Payload)
	}
	// The erasure as it is committed, before the keeper gets to it.
	must(t, a.makeDurable(2))
	must(t, a.tree.SetLocal(eraseKey(index), []byte{1}))
	must(t, a.tree.Sync())
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	must(t, a.Close())
	a = openApp(t, "data", crashed)
	must(t, a.Close()) // waits for the keeper
	a = openApp(t, "data", crashed)
	defer a.Close()
	if rec, err := a.log.Record(index); err != nil || !rec.Erased {
		t.Errorf("entry %d: %+v, %v: not erased", index, rec, err)
	}
	for l, err := range a.tree.Locals(localErase) {
		must(t, err)
		t.Errorf("entry %d is still to be erased", binary.BigEndian.Uint64([]byte(l.Key[len(localErase):])))
	}
}
