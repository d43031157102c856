package tree

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// memLog is a log in memory.
type memLog struct {
	mu sync.RWMutex
	at map[uint64]string
}

func newMemLog() *memLog { return &memLog{at: map[uint64]string{}} }

func (l *memLog) add(index uint64, container string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at[index] = container
}

func (l *memLog) Instance(index uint64) (string, cse.InstanceContent, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	ri, ok := l.at[index]
	if !ok {
		return "", cse.InstanceContent{}, ErrNotInstance
	}
	return ri, cse.InstanceContent{Content: fmt.Appendf(nil, `{"m2m:cin":{"con":"%d"}}`, index), Time: int64(index)}, nil
}

func openTree(t testing.TB, fs vfs.FS, log LogReader, cacheBytes int64) *Tree {
	t.Helper()
	tr, err := Open("tree", log, Options{FS: fs, Cache: cacheBytes})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return tr
}

func must(t interface {
	Helper()
	Fatalf(string, ...any)
}, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func resource(ty onem2m.ResourceType, pi, ri, rn string) *cse.Resource {
	return &cse.Resource{
		Type: ty, RI: ri, PI: pi, RN: rn, Created: 1700000000000000, Modified: 1700000000000000,
		Attrs: []cse.Attr{{Name: "lbl", Value: []byte(`["a","b"]`)}},
	}
}

func collect[T any](t interface {
	Helper()
	Fatalf(string, ...any)
}, seq func(func(T, error) bool)) []T {
	t.Helper()
	var out []T
	for v, err := range seq {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		out = append(out, v)
	}
	return out
}

func dump(t interface {
	Helper()
	Fatalf(string, ...any)
}, tr *Tree) []string {
	t.Helper()
	var out []string
	must(t, tr.Dump(func(key, value []byte) bool {
		out = append(out, fmt.Sprintf("%q=%x", key, value))
		return true
	}))
	return out
}

// universe is what tests draw IDs and names from, so that they meet again.
var universe = struct{ ids, names, auxes []string }{
	ids:   []string{"cb", "Ca", "Cb", "cnt1", "cnt2", "cnt3", "cnt4", "ts1", "ts2", "sub1", "sub2", "sub3"},
	names: []string{"x", "y", "z", "cnt1"},
	auxes: []string{"j", "k", "k/1"},
}

// generatedRange is from where tests draw times of generation.
const generatedRange = 600

// same compares everything that a reader can say with the model.
func same(t interface {
	Helper()
	Fatalf(string, ...any)
}, got cse.Reader, want *csetest.State, indexes []uint64) {
	t.Helper()
	check := func(what string, g, w any) {
		t.Helper()
		if d := cmp.Diff(w, g); d != "" {
			t.Fatalf("%s (-want +got):\n%s", what, d)
		}
	}
	for _, ri := range universe.ids {
		g, err := got.Resource(ri)
		must(t, err)
		w, _ := want.Resource(ri)
		if (g == nil) != (w == nil) || g != nil && !bytes.Equal(g.AppendBinary(nil), w.AppendBinary(nil)) {
			t.Fatalf("resource %q: got %+v, want %+v", ri, g, w)
		}
		for _, rn := range universe.names {
			g, err := got.Child(ri, rn)
			must(t, err)
			w, _ := want.Child(ri, rn)
			check("child "+ri+"/"+rn, g, w)
		}
		all := collect(t, want.Children(ri, ""))
		check("children of "+ri, collect(t, got.Children(ri, "")), all)
		for _, c := range all {
			check("children of "+ri+" after "+c.RI, collect(t, got.Children(ri, c.RI)), collect(t, want.Children(ri, c.RI)))
		}
		gs, err := got.Subscriptions(ri)
		must(t, err)
		ws, _ := want.Subscriptions(ri)
		if !slices.Equal(gs, ws) {
			t.Fatalf("subscriptions of %q: got %q, want %q", ri, gs, ws)
		}
		gc, gok, err := got.Container(ri)
		must(t, err)
		wc, wok, _ := want.Container(ri)
		check("container "+ri, gok, wok)
		check("counters of "+ri, gc, wc)
		step := int64(1)
		if w == nil || w.Type != onem2m.TypeTimeSeries {
			step = 37 // it has none
		}
		for at := int64(0); at < generatedRange; at += step {
			g, err := got.Generated(ri, at)
			must(t, err)
			if w, _ := want.Generated(ri, at); g != w {
				t.Fatalf("time of generation %d in %s: got %t, want %t", at, ri, g, w)
			}
		}
		for _, newestFirst := range []bool{false, true} {
			check(fmt.Sprintf("instances of %s, newest first %v", ri, newestFirst),
				collect(t, got.Instances(ri, newestFirst)), collect(t, want.Instances(ri, newestFirst)))
		}
	}
	for _, key := range universe.auxes {
		g, err := got.Aux(key)
		must(t, err)
		w, _ := want.Aux(key)
		check("aux "+key, g, w)
	}
	for _, before := range []int64{0, 1, 3, 5, 1 << 60} {
		check("due", collect(t, got.Due(before)), collect(t, want.Due(before)))
	}
	for _, index := range indexes {
		gri, gref, gok, err := got.LookupInstance(index)
		must(t, err)
		wri, wref, wok, _ := want.LookupInstance(index)
		check(fmt.Sprintf("lookup of %d", index), gok, wok)
		check(fmt.Sprintf("lookup of %d", index), gri, wri)
		check(fmt.Sprintf("lookup of %d", index), gref, wref)
	}
}
