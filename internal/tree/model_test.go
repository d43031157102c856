package tree

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// op is one write, to be made on anything that is a cse.State.
type op func(cse.State) error

// driver draws writes that are valid in the model's state and makes them there.
type driver struct {
	t     *rapid.T
	model *csetest.State
	log   *memLog
	next  uint64
}

func (d *driver) existing(keep func(*cse.Resource) bool) []string {
	var out []string
	for _, ri := range d.model.IDs() {
		if r, _ := d.model.Resource(ri); keep(r) {
			out = append(out, ri)
		}
	}
	return out
}

func (d *driver) pick(what string, from []string) string {
	return rapid.SampledFrom(from).Draw(d.t, what)
}

func (d *driver) create() []op {
	parents := d.existing(func(r *cse.Resource) bool { return r.Type != onem2m.TypeSubscription })
	var r *cse.Resource
	if len(parents) == 0 {
		r = resource(onem2m.TypeCSEBase, "", "cb", "base")
	} else {
		ri := d.pick("new", universe.ids[1:])
		if old, _ := d.model.Resource(ri); old != nil {
			r2 := *old
			r2.Expires = rapid.Int64Range(0, 5).Draw(d.t, "expires")
			r2.Modified++
			return []op{func(s cse.State) error { return s.Put(&r2) }}
		}
		ty := map[string]onem2m.ResourceType{"C": onem2m.TypeAE, "c": onem2m.TypeContainer, "s": onem2m.TypeSubscription, "t": onem2m.TypeTimeSeries}[ri[:1]]
		pi := d.pick("parent", parents)
		rn := d.pick("name", universe.names)
		if taken, _ := d.model.Child(pi, rn); taken != "" {
			return nil
		}
		r = resource(ty, pi, ri, rn)
		r.Expires = rapid.Int64Range(0, 5).Draw(d.t, "expires")
	}
	return []op{func(s cse.State) error { return s.Put(r) }}
}

// remove removes a subtree, children or parent first.
func (d *driver) remove() []op {
	all := d.existing(func(r *cse.Resource) bool { return r.PI != "" })
	if len(all) == 0 {
		return nil
	}
	list := []string{d.pick("root", all)}
	for i := 0; i < len(list); i++ {
		for c := range d.model.Children(list[i], "") {
			list = append(list, c.RI)
		}
	}
	if rapid.Bool().Draw(d.t, "children first") {
		slices.Reverse(list)
	}
	var ops []op
	for _, ri := range list {
		ops = append(ops, func(s cse.State) error { return s.Remove(ri) })
	}
	return ops
}

func (d *driver) containers(filled bool) []string {
	return d.existing(func(r *cse.Resource) bool {
		c, ok, _ := d.model.Container(r.RI)
		return ok && (!filled || c.Count > 0)
	})
}

func (d *driver) append() []op {
	list := d.containers(false)
	if len(list) == 0 {
		return nil
	}
	ri := d.pick("container", list)
	n := rapid.SampledFrom([]int{1, 2, 3, 40, 70, 150}).Draw(d.t, "instances")
	keep := rapid.SampledFrom([]int{0, 1, 5, 100}).Draw(d.t, "keep")
	var ops []op
	c, _, _ := d.model.Container(ri)
	live := collect(d.t, d.model.Instances(ri, false))
	times := d.times(ri, n)
	for i := range n {
		if res, _ := d.model.Resource(ri); res.Type == onem2m.TypeTimeSeries && len(times) == i {
			break
		}
		d.next += rapid.SampledFrom([]uint64{1, 1, 2, 300}).Draw(d.t, "step")
		ref := cse.InstanceRef{Index: d.next, Size: uint64(i), StateTag: c.StateTag + uint64(i) + 1, Time: int64(d.next) * 1000}
		if rapid.IntRange(0, 3).Draw(d.t, "mia") == 0 {
			ref.Expires = ref.Time + rapid.Int64Range(1, 3).Draw(d.t, "life")
		}
		if len(times) > 0 {
			ref.Generated = times[i]
		}
		name := ""
		if i == 0 && rapid.Bool().Draw(d.t, "named") {
			name = d.pick("name", universe.names)
			if taken, _ := d.model.Child(ri, name); taken != "" {
				name = ""
			}
		}
		d.log.add(ref.Index, ri)
		ops = append(ops, func(s cse.State) error { return s.AppendInstance(ri, ref, name) })
		live = append(live, ref)
		if keep > 0 && len(live) > keep {
			index := live[0].Index
			live = live[1:]
			ops = append(ops, func(s cse.State) error { return s.RemoveInstance(ri, index) })
		}
	}
	return ops
}

// times draws n times of generation, or as many as are free, for a timeSeries; none for a container.
func (d *driver) times(ri string, n int) []int64 {
	if res, _ := d.model.Resource(ri); res.Type != onem2m.TypeTimeSeries {
		return nil
	}
	var free []int64
	for at := range int64(generatedRange) {
		if taken, _ := d.model.Generated(ri, at); !taken {
			free = append(free, at)
		}
	}
	n = min(n, len(free))
	switch rapid.SampledFrom([]string{"ascending", "late", "descending", "any"}).Draw(d.t, "times") {
	case "ascending":
		return free[len(free)-n:]
	case "descending":
		slices.Reverse(free)
	case "any":
		free = rapid.Permutation(free).Draw(d.t, "order")
	}
	return free[:n]
}

func (d *driver) removeInstances() []op {
	list := d.containers(true)
	if len(list) == 0 {
		return nil
	}
	ri := d.pick("container", list)
	live := collect(d.t, d.model.Instances(ri, false))
	n := min(rapid.SampledFrom([]int{1, 2, 63, 64, 65, 500}).Draw(d.t, "how many"), len(live))
	switch rapid.SampledFrom([]string{"oldest", "newest", "any", "middle"}).Draw(d.t, "which") {
	case "oldest":
		live = live[:n]
	case "newest":
		live = live[len(live)-n:]
		slices.Reverse(live)
	case "any":
		live = rapid.Permutation(live).Draw(d.t, "order")[:n]
	case "middle":
		from := rapid.IntRange(0, len(live)-n).Draw(d.t, "from")
		live = live[from : from+n]
	}
	var ops []op
	for _, ref := range live {
		ops = append(ops, func(s cse.State) error { return s.RemoveInstance(ri, ref.Index) })
	}
	return ops
}

func (d *driver) counters() []op {
	list := d.containers(false)
	if len(list) == 0 {
		return nil
	}
	ri := d.pick("container", list)
	st := rapid.Uint64Range(0, 1<<40).Draw(d.t, "st")
	return []op{func(s cse.State) error { return s.SetCounters(ri, st, int64(st)) }}
}

func (d *driver) setAux() []op {
	key := d.pick("key", universe.auxes)
	value := rapid.SampledFrom([][]byte{nil, {}, []byte("v"), []byte("w")}).Draw(d.t, "value")
	return []op{func(s cse.State) error { return s.SetAux(key, value) }}
}

// request draws the writes of one request and makes them in the model.
func (d *driver) request() []op {
	var made []op
	for range rapid.IntRange(1, 3).Draw(d.t, "parts") {
		draw := rapid.SampledFrom([]func() []op{
			d.create, d.create, d.create, d.append, d.append, d.append, d.removeInstances, d.removeInstances,
			d.counters, d.setAux, d.remove,
		}).Draw(d.t, "op")
		for _, o := range draw() {
			must(d.t, o(d.model))
			made = append(made, o)
		}
	}
	return made
}

func makeAll(t *rapid.T, s cse.State, ops []op) {
	t.Helper()
	for _, o := range ops {
		must(t, o(s))
	}
}

// TestModel drives two trees and the model with the same blocks. One tree is reopened now and then with another cache
// size and sees requests rolled back; the other one never is, and sees only what is kept.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := newMemLog()
		d := &driver{t: t, model: csetest.NewState(), log: log, next: rapid.SampledFrom([]uint64{0, 1000}).Draw(t, "first")}
		sizes := rapid.SampledFrom([]int64{1, 64 << 10, 8 << 20})
		fs := vfs.NewMem()
		a, err := Open("tree", log, Options{FS: fs, Cache: sizes.Draw(t, "cache")})
		must(t, err)
		b, err := Open("tree", log, Options{FS: vfs.NewMem(), Cache: 4 << 20})
		must(t, err)
		defer func() { must(t, errors.Join(a.Close(), b.Close())) }()

		var indexes []uint64
		for height := range uint64(rapid.IntRange(1, 6).Draw(t, "blocks")) {
			before := d.model.Snapshot()
			old := a.View()
			ba, bb := a.Begin(height+1, int64(height)), b.Begin(height+1, int64(height))
			for range rapid.IntRange(0, 5).Draw(t, "requests") {
				kept := d.model.Snapshot()
				mark := ba.Mark()
				ops := d.request()
				makeAll(t, ba, ops)
				if rapid.IntRange(0, 3).Draw(t, "rollback") == 0 {
					ba.Rollback(mark)
					d.model.Rollback(kept)
				} else {
					bb.Mark()
					makeAll(t, bb, ops)
				}
				indexes = append(indexes, d.next, d.next+1)
			}
			same(t, ba, d.model, indexes)
			if ba.Digest() != bb.Digest() || ba.Empty() != bb.Empty() {
				t.Fatalf("block %d: digests differ", height+1)
			}
			must(t, ba.Commit())
			must(t, bb.Commit())
			same(t, old, before, indexes)
			old.Close()
			if rapid.Bool().Draw(t, "reopen") {
				must(t, a.Close())
				a, err = Open("tree", log, Options{FS: fs, Cache: sizes.Draw(t, "cache")})
				must(t, err)
			}
			v := a.View()
			same(t, v, d.model, indexes)
			v.Close()
			must(t, a.Check(context.Background()))
			if h, tm := a.Last(); h != height+1 || tm != int64(height) {
				t.Fatalf("last block is %d at %d", h, tm)
			}
		}
		if diff := cmp.Diff(dump(t, a), dump(t, b)); diff != "" {
			t.Fatalf("dumps differ:\n%s", diff)
		}
	})
}
