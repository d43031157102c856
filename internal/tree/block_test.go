package tree

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

var update = flag.Bool("update", false, "write the golden files anew")

// history makes blocks that use every kind of record, and returns their digests.
func history(t testing.TB, tr *Tree, log *memLog) []string {
	t.Helper()
	var digests []string
	commit := func(b *Block) {
		t.Helper()
		d := b.Digest()
		digests = append(digests, hex.EncodeToString(d[:]))
		must(t, b.Commit())
	}
	b := tr.Begin(1, 1700000000000000)
	must(t, b.Put(resource(onem2m.TypeCSEBase, "", "cb", "base")))
	ae := resource(onem2m.TypeAE, "cb", "Ca", "x")
	ae.Expires = 1800000000000000
	must(t, b.Put(ae))
	must(t, b.Put(resource(onem2m.TypeContainer, "Ca", "cnt1", "y")))
	must(t, b.Put(resource(onem2m.TypeContainer, "Ca", "cnt2", "z")))
	must(t, b.Put(resource(onem2m.TypeSubscription, "cnt1", "sub1", "x")))
	must(t, b.SetAux("k", []byte("v")))
	b.SetLocal("cursor", []byte("7"))
	commit(b)
	b = tr.Begin(2, 1700000001000000)
	for i := range uint64(150) {
		ref := cse.InstanceRef{Index: 10 + i, Size: i % 7, StateTag: i + 1, Time: 1700000001000000}
		if i%5 == 0 {
			ref.Expires = ref.Time + 3600_000_000
		}
		name := ""
		if i == 3 || i == 100 {
			name = fmt.Sprint("n", i)
		}
		log.add(ref.Index, "cnt1")
		must(t, b.AppendInstance("cnt1", ref, name))
	}
	log.add(500, "cnt2")
	must(t, b.AppendInstance("cnt2", cse.InstanceRef{Index: 500, Size: 3, StateTag: 1, Time: 1700000001000000}, ""))
	commit(b)
	b = tr.Begin(3, 1700000002000000)
	for _, index := range []uint64{10, 11, 12, 13, 80, 159} {
		must(t, b.RemoveInstance("cnt1", index))
	}
	must(t, b.Remove("cnt2"))
	must(t, b.SetAux("k", nil))
	commit(b)
	return digests
}

// TestGolden fixes the keys, the values and the digest: they are on disk and in the application hash.
func TestGolden(t *testing.T) {
	log := newMemLog()
	tr := openTree(t, vfs.NewMem(), log, 0)
	defer func() { must(t, tr.Close()) }()
	digests := history(t, tr, log)
	must(t, tr.Check(context.Background()))
	got := "digests\n" + strings.Join(digests, "\n") + "\nrecords\n" + strings.Join(dump(t, tr), "\n") + "\n"
	const file = "testdata/format1.golden"
	if *update {
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if got != string(want) {
		t.Fatalf("the format changed; got:\n%s", got)
	}
}

func TestEmptyBlock(t *testing.T) {
	tr := openTree(t, vfs.NewMem(), newMemLog(), 0)
	defer func() { must(t, tr.Close()) }()
	b := tr.Begin(1, 5)
	m := b.Mark()
	must(t, b.Put(resource(onem2m.TypeCSEBase, "", "cb", "base")))
	if b.Empty() {
		t.Fatal("a block with a resource is empty")
	}
	b.Rollback(m)
	b.SetLocal("x", []byte("y"))
	if !b.Empty() || b.Digest() != sha256.Sum256(nil) {
		t.Fatal("a block that was rolled back is not empty")
	}
	must(t, b.Commit())
	if h, tm := tr.Last(); h != 1 || tm != 5 {
		t.Fatalf("last is %d, %d", h, tm)
	}
	if v, err := tr.Local("x"); string(v) != "y" || err != nil {
		t.Fatalf("local record %q, %v", v, err)
	}
}

func TestRefusals(t *testing.T) {
	log := newMemLog()
	tr := openTree(t, vfs.NewMem(), log, 0)
	defer func() { must(t, tr.Close()) }()
	history(t, tr, log)
	renamed := resource(onem2m.TypeContainer, "Ca", "cnt1", "other")
	negative := resource(onem2m.TypeContainer, "Ca", "cnt9", "n")
	negative.Expires = -1
	for _, c := range []struct {
		what string
		do   func(b *Block) error
	}{
		{"NUL byte", func(b *Block) error { return b.Put(resource(onem2m.TypeContainer, "Ca", "c\x00", "n")) }},
		{"not a resource", func(b *Block) error { return b.Put(resource(onem2m.TypeContentInstance, "cnt1", "cin5", "n")) }},
		{"out of range", func(b *Block) error { return b.Put(negative) }},
		{"cannot change", func(b *Block) error { return b.Put(renamed) }},
		{"belongs to", func(b *Block) error { return b.Put(resource(onem2m.TypeContainer, "Ca", "cnt9", "y")) }},
		{"belongs to", func(b *Block) error { return b.AppendInstance("cnt1", cse.InstanceRef{Index: 900}, "x") }},
		{"belongs to", func(b *Block) error { return b.AppendInstance("cnt1", cse.InstanceRef{Index: 900}, "n100") }},
		{"later one", func(b *Block) error { return b.AppendInstance("cnt1", cse.InstanceRef{Index: 100}, "") }},
		{"no container", func(b *Block) error { return b.AppendInstance("Ca", cse.InstanceRef{Index: 900}, "") }},
		{"no container", func(b *Block) error { return b.RemoveInstance("cnt2", 500) }},
		{"no container", func(b *Block) error { return b.SetCounters("nobody", 1, 1) }},
		{"not there", func(b *Block) error { return b.RemoveInstance("cnt1", 13) }},
		{"not there", func(b *Block) error { return b.RemoveInstance("cnt1", 80) }},
		{"not there", func(b *Block) error { return b.Remove("cnt2") }},
	} {
		b := tr.Begin(4, 4)
		m := b.Mark()
		if err := c.do(b); err == nil || !strings.Contains(err.Error(), c.what) {
			t.Errorf("error %v, want %q", err, c.what)
		}
		b.Rollback(m)
		if !b.Empty() {
			t.Errorf("%s: a trace is left", c.what)
		}
		b.Discard()
	}
}

func TestOneBlockAtATime(t *testing.T) {
	tr := openTree(t, vfs.NewMem(), newMemLog(), 0)
	defer func() { must(t, tr.Close()) }()
	a, b := tr.Begin(1, 1), tr.Begin(1, 1)
	must(t, a.Commit())
	if err := a.Commit(); err == nil {
		t.Error("a block is committed twice")
	}
	if err := b.Commit(); err == nil {
		t.Error("a block is committed on a version that it did not see")
	}
	b.Discard()
}

// TestWhileWalking removes what a walk is about to come to, as eviction by age does.
func TestWhileWalking(t *testing.T) {
	log := newMemLog()
	tr := openTree(t, vfs.NewMem(), log, 0)
	defer func() { must(t, tr.Close()) }()
	history(t, tr, log)
	for _, newestFirst := range []bool{false, true} {
		b := tr.Begin(4, 4)
		before := collect(t, b.Instances("cnt1", newestFirst))
		var seen []cse.InstanceRef
		for ref, err := range b.Instances("cnt1", newestFirst) {
			must(t, err)
			seen = append(seen, ref)
			must(t, b.RemoveInstance("cnt1", ref.Index))
		}
		if !slices.Equal(before, seen) {
			t.Errorf("newest first %v: saw %d of %d", newestFirst, len(seen), len(before))
		}
		if c, ok, err := b.Container("cnt1"); !ok || err != nil || c.Count != 0 || c.Bytes != 0 {
			t.Errorf("left %+v, %v, %v", c, ok, err)
		}
		b.Discard()
	}
}

// TestCommittedBytes proves that what a block does, and gives up, does not reach the readers of its base.
func TestCommittedBytes(t *testing.T) {
	log := newMemLog()
	tr := openTree(t, vfs.NewMem(), log, 0)
	defer func() { must(t, tr.Close()) }()
	history(t, tr, log)
	v := tr.View()
	defer v.Close()
	before := collect(t, v.Instances("cnt1", false))
	for range 3 {
		b := tr.Begin(4, 4)
		m := b.Mark()
		for i := range uint64(70) {
			must(t, b.AppendInstance("cnt1", cse.InstanceRef{Index: 1000 + i}, ""))
		}
		b.Rollback(m)
		must(t, b.AppendInstance("cnt1", cse.InstanceRef{Index: 2000}, ""))
		b.Discard()
		if !slices.Equal(before, collect(t, v.Instances("cnt1", false))) {
			t.Fatal("a view changed")
		}
	}
}

// TestConcurrentReaders runs readers of old and new versions beside blocks, each comparing its view with the model
// of the block that made it.
func TestConcurrentReaders(t *testing.T) {
	log := newMemLog()
	tr := openTree(t, vfs.NewMem(), log, 20<<10) // so small that entries come and go
	defer func() { must(t, tr.Close()) }()
	model := csetest.NewState()
	var mu sync.Mutex
	models := map[uint64]*csetest.State{0: model.Snapshot()}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	fail := make(chan error, 8)
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				v := tr.View()
				height, _ := v.Last()
				mu.Lock()
				want := models[height]
				mu.Unlock()
				r := &recorder{}
				for range 3 {
					same(r, v, want, nil)
				}
				v.Close()
				if r.err != nil {
					fail <- fmt.Errorf("block %d: %w", height, r.err)
					return
				}
			}
		})
	}
	index := uint64(0)
	for height := uint64(1); height < 150; height++ {
		b := tr.Begin(height, 1)
		states := []cse.State{b, model}
		for _, s := range states {
			if height == 1 {
				must(t, s.Put(resource(onem2m.TypeCSEBase, "", "cb", "base")))
			}
			for i, ri := range []string{"cnt1", "cnt2", "cnt3", "cnt4"} {
				switch (height + uint64(i)*5) % 20 {
				case 1:
					must(t, s.Put(resource(onem2m.TypeContainer, "cb", ri, ri)))
					must(t, s.Put(resource(onem2m.TypeSubscription, ri, fmt.Sprint("sub", i), "x")))
				case 19:
					if r, _ := s.Resource(ri); r != nil {
						must(t, s.Remove(fmt.Sprint("sub", i)))
						must(t, s.Remove(ri))
					}
				default:
					if r, _ := s.Resource(ri); r != nil {
						for k := range uint64(9) {
							must(t, s.AppendInstance(ri, cse.InstanceRef{Index: index + uint64(i)*10 + k + 1, Time: 5}, ""))
						}
						if c, _, _ := s.Container(ri); c.Count > 90 {
							must(t, s.RemoveInstance(ri, c.Oldest))
						}
					}
				}
			}
		}
		index += 100
		snapshot := model.Snapshot()
		mu.Lock()
		models[height] = snapshot
		mu.Unlock()
		must(t, b.Commit())
	}
	close(stop)
	wg.Wait()
	select {
	case err := <-fail:
		t.Fatal(err)
	default:
	}
}

// recorder takes failures in a goroutine that is not the test's.
type recorder struct{ err error }

func (r *recorder) Helper() {}
func (r *recorder) Fatalf(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func TestLocals(t *testing.T) {
	tr := openTree(t, vfs.NewMem(), newMemLog(), 0)
	defer func() { must(t, tr.Close()) }()
	for _, k := range []string{"a/1", "a/2", "a0", "b", "a/\xff\xff"} {
		must(t, tr.SetLocal(k, []byte(k)))
	}
	must(t, tr.SetLocal("a/2", nil))
	var got []string
	for r, err := range tr.Locals("a/") {
		must(t, err)
		if r.Key != string(r.Value) {
			t.Errorf("%q has the value %q", r.Key, r.Value)
		}
		got = append(got, r.Key)
	}
	if !slices.Equal(got, []string{"a/1", "a/\xff\xff"}) {
		t.Errorf("got %q", got)
	}
	var from []string
	for r, err := range tr.LocalsFrom("a/2", "a/") {
		must(t, err)
		from = append(from, r.Key)
	}
	if !slices.Equal(from, []string{"a/\xff\xff"}) {
		t.Errorf("from a/2: %q", from)
	}
	must(t, tr.DropLocals("a/", "a0"))
	if left := collect(t, tr.Locals("")); len(left) != 2 || left[0].Key != "a0" || left[1].Key != "b" {
		t.Errorf("left %+v", left)
	}
	if v, err := tr.Local("nothing"); v != nil || err != nil {
		t.Errorf("absent record: %q, %v", v, err)
	}
	if d := dump(t, tr); len(d) != 0 {
		t.Errorf("local records in the dump: %q", d)
	}
}

// TestCheckFinds damages one record at a time and expects Check to name a record and why.
func TestCheckFinds(t *testing.T) {
	log := newMemLog()
	fs := vfs.NewMem()
	tr := openTree(t, fs, log, 0)
	history(t, tr, log)
	type record struct{ key, value []byte }
	var all []record
	must(t, tr.Dump(func(k, v []byte) bool {
		all = append(all, record{bytes.Clone(k), bytes.Clone(v)})
		return true
	}))
	must(t, tr.Close())
	for _, r := range all {
		if r.key[0] == spaceAux {
			continue // nothing depends on it
		}
		for _, damage := range []string{"removed", "changed", "moved"} {
			tr := openTree(t, fs, log, 0)
			b := tr.db.NewBatch()
			switch damage {
			case "removed":
				must(t, b.Delete(r.key, nil))
			case "changed":
				must(t, b.Set(r.key, append(bytes.Clone(r.value), 1), nil))
			case "moved":
				must(t, b.Set(append(bytes.Clone(r.key), '1'), r.value, nil))
			}
			must(t, tr.db.Apply(b, pebble.NoSync))
			height, time := tr.Last()
			tr.publish(height, time, tr.current.Load().order)
			err := tr.Check(context.Background())
			var c *CorruptionError
			if !errors.As(err, &c) || !errors.Is(err, ErrCorrupt) {
				t.Errorf("%q %s: %v", r.key, damage, err)
			}
			b = tr.db.NewBatch()
			must(t, b.Set(r.key, r.value, nil))
			must(t, b.Delete(append(bytes.Clone(r.key), '1'), nil))
			must(t, tr.db.Apply(b, pebble.NoSync))
			must(t, tr.Close())
		}
	}
}
