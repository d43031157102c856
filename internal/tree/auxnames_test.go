package tree

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestAuxNames: names with a prefix, in order, from after any of them on; those of other prefixes never.
func TestAuxNames(t *testing.T) {
	tr, err := Open("tree", nil, Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	b := tr.Begin(1, 1)
	for _, name := range []string{"q/z", "r/a/C1", "r/a/C10", "r/a/C2", "r/ab/C1", "r0"} {
		if err := b.SetAux(name, []byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	v := tr.View()
	defer v.Close()
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"r/", "", []string{"r/a/C1", "r/a/C10", "r/a/C2", "r/ab/C1"}},
		{"r/a/", "", []string{"r/a/C1", "r/a/C10", "r/a/C2"}},
		{"r/a/", "r/a/C1", []string{"r/a/C10", "r/a/C2"}},
		{"r/a/", "r/a/C11", []string{"r/a/C2"}},
		{"r/a/", "q", []string{"r/a/C1", "r/a/C10", "r/a/C2"}},
		{"r/a/", "r/ab/C1", nil},
		{"x/", "", nil},
	} {
		var got []string
		for name, err := range v.AuxNames(c.prefix, c.after) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q after %q: %q, want %q", c.prefix, c.after, got, c.want)
		}
	}
	for name := range v.AuxNames("r/", "") {
		if name != "r/a/C1" {
			t.Error(name)
		}
		break
	}
}
