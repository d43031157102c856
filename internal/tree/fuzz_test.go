package tree

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse"
)

// FuzzContainer: no bytes make the decoder fail in any other way than with an error, and what it accepts it reads
// the same again after writing it.
func FuzzContainer(f *testing.F) {
	c := container{}
	f.Add(c.encode(nil))
	for i := range uint64(20) {
		if _, _, err := c.push(&posting{InstanceRef: cse.InstanceRef{Index: 5 + i*300, Size: i, Time: int64(i), Expires: int64(i * 9)}}); err != nil {
			f.Fatal(err)
		}
		f.Add(c.encode(nil))
	}
	dated := container{}
	for i := range uint64(5) {
		dated.dated = true
		if _, _, err := dated.push(&posting{InstanceRef: cse.InstanceRef{Index: 5 + i, Time: int64(i), Generated: int64(i * 7)}}); err != nil {
			f.Fatal(err)
		}
		f.Add(dated.encode(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeContainer(b)
		if err != nil {
			return
		}
		again, err := decodeContainer(c.encode(nil))
		if err != nil {
			t.Fatalf("decoding what was encoded: %v", err)
		}
		if d := cmp.Diff(c, again, cmp.AllowUnexported(container{}, posting{}, head{})); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzChunk does the same for chunks.
func FuzzChunk(f *testing.F) {
	f.Add(uint64(7), encodeChunk(2, appendPostings(nil, 7, []posting{
		{InstanceRef: cse.InstanceRef{Index: 7, Size: 1, Time: 5}}, {InstanceRef: cse.InstanceRef{Index: 90, Expires: 6}, named: true},
	}, false)), false)
	f.Add(uint64(7), encodeChunk(2, appendPostings(nil, 7, []posting{
		{InstanceRef: cse.InstanceRef{Index: 7, Time: 5, Generated: 4}}, {InstanceRef: cse.InstanceRef{Index: 8, Time: 9, Generated: 20}},
	}, true)), true)
	f.Fuzz(func(t *testing.T, name uint64, b []byte, dated bool) {
		ps, err := decodeChunk(nil, name, b, dated)
		if err != nil {
			return
		}
		record := encodeChunk(len(ps), appendPostings(nil, name, ps, dated))
		again, err := decodeChunk(nil, name, record, dated)
		if err != nil {
			t.Fatalf("decoding what was encoded: %v", err)
		}
		if d := cmp.Diff(ps, again, cmp.AllowUnexported(posting{})); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzPage does the same for pages of times.
func FuzzPage(f *testing.F) {
	f.Add(uint64(7), appendPage(nil, 7, []int64{7, 9, 1 << 60}))
	f.Add(uint64(0), appendPage(nil, 0, []int64{5}))
	f.Fuzz(func(t *testing.T, name uint64, b []byte) {
		times, err := decodePage(name, b)
		if err != nil {
			return
		}
		again, err := decodePage(name, appendPage(nil, int64(name), times))
		if err != nil || !slices.Equal(times, again) || !slices.IsSorted(times) || times[0] < int64(name) {
			t.Fatalf("%v came back as %v: %v", times, again, err)
		}
	})
}

// FuzzRecords tries the small decoders.
func FuzzRecords(f *testing.F) {
	n := node{order: 3, res: resource(2, "cb", "Ca", "x")}
	f.Add(n.encode(nil))
	kid := child{ChildRef: cse.ChildRef{RI: "Ca", RN: "x", Type: 2}}
	f.Add(kid.encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := decodeNode("Ca", b); err == nil {
			again, err := decodeNode("Ca", n.encode(nil))
			if err != nil || !bytes.Equal(n.encode(nil), again.encode(nil)) {
				t.Fatalf("resource: %v", err)
			}
		}
		if c, err := decodeChild(1, b); err == nil {
			again, err := decodeChild(1, c.encode(nil))
			if err != nil || again != c {
				t.Fatalf("child: %v", err)
			}
		}
		_, _ = decodeNumber(b)
		splitPair(b)
		splitNumber(b)
		splitDue(b)
	})
}
