package tree

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/onem2m"
)

// Who reads while the tree is closed reads to the end, and who begins later gets an error.
func TestReadersAtClose(t *testing.T) {
	tr := openTree(t, vfs.NewMem(), newMemLog(), 1<<20)
	b := tr.Begin(1, 1)
	must(t, b.Put(resource(onem2m.TypeCSEBase, "", "cb", "base")))
	must(t, b.Commit())
	v := tr.View()
	closed := make(chan error, 1)
	go func() { closed <- tr.Close() }()
	late := tr.View()
	for late.v.snap != nil {
		late.Close()
		time.Sleep(time.Millisecond)
		late = tr.View()
	}
	if _, err := late.Aux("x"); !errors.Is(err, errClosed) {
		t.Errorf("a record of a closed tree: error %v", err)
	}
	for _, err := range late.Children("cb", "") {
		if !errors.Is(err, errClosed) {
			t.Errorf("children in a closed tree: error %v", err)
		}
	}
	if _, err := late.Generated("cb", 1); !errors.Is(err, errClosed) {
		t.Errorf("times in a closed tree: error %v", err)
	}
	late.Close()
	if _, err := v.Aux("x"); err != nil {
		t.Errorf("a view from before: %v", err)
	}
	select {
	case err := <-closed:
		t.Fatalf("closed while somebody reads: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	v.Close()
	must(t, <-closed)
}
