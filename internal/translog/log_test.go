package translog

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// TestProofs compares roots, inclusion and consistency proofs and tiles with the definitions (RFC 6962 section 2.1)
// at many sizes, over blocks of random size, in sealed and unsealed segments.
func TestProofs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l, err := Open(testDir, Options{FS: newFS(t), SegmentBytes: int64(rapid.IntRange(500, 20000).Draw(rt, "segment"))})
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		m := &model{}
		want := rapid.IntRange(1, 1100).Draw(rt, "size")
		for len(m.leaves) < want {
			m.add(t, l, rapid.IntRange(1, 90).Draw(rt, "block"))
		}
		for range 40 {
			size := rapid.IntRange(1, len(m.leaves)).Draw(rt, "tree")
			compareTree(rt, l, m, size, rapid.IntRange(0, size-1).Draw(rt, "index"), rapid.IntRange(1, size).Draw(rt, "old"))
		}
	})
}

type fataler interface{ Fatalf(string, ...any) }

func compareTree(t fataler, l *Log, m *model, size, index, old int) {
	if root, err := l.RootAt(uint64(size)); err != nil || root != naiveRoot(m.leaves[:size]) {
		t.Fatalf("root at %d: %x, %v", size, root, err)
	}
	path, err := l.Inclusion(uint64(index), uint64(size))
	if err != nil || !sameHashes(path, naivePath(index, m.leaves[:size])) {
		t.Fatalf("inclusion of %d in %d: %v", index, size, err)
	}
	path, err = l.Consistency(uint64(old), uint64(size))
	if err != nil || !sameHashes(path, naiveConsistency(old, m.leaves[:size], true)) {
		t.Fatalf("consistency of %d and %d: %v", old, size, err)
	}
}

func sameHashes(a, b [][32]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestEverySize walks through all sizes up to 1100 with one entry a block (RFC 6962 section 2.1).
func TestEverySize(t *testing.T) {
	l := mustOpen(t, Options{FS: newFS(t), SegmentBytes: 30000})
	m := &model{}
	for len(m.leaves) < 1100 {
		m.add(t, l, 1)
		n := len(m.leaves)
		compareTree(t, l, m, n, n*7919%n, 1+n*31%n)
	}
	for size := 1; size <= len(m.leaves); size++ {
		compareTree(t, l, m, size, (size*7919+1)%size, 1+size*13%size)
	}
	m.compare(t, l)
	for n := uint64(0); n < 5; n++ {
		for _, width := range []int{1, 2, 75, 76, 77, 255, 256} {
			have := min(256, max(0, len(m.leaves)-int(n)*256))
			b, err := l.Tile(0, n, width)
			e, err2 := l.EntryTile(n, width)
			if width > have {
				if !errors.Is(err, ErrNotFound) || !errors.Is(err2, ErrNotFound) {
					t.Fatalf("tile %d width %d: %v, %v", n, width, err, err2)
				}
				continue
			}
			if err != nil || err2 != nil || len(b) != 32*width {
				t.Fatalf("tile %d width %d: %v, %v", n, width, err, err2)
			}
			for i := range width {
				if [32]byte(b[32*i:]) != m.leaves[int(n)*256+i] {
					t.Fatalf("tile %d: hash %d differs", n, i)
				}
				size := int(e[0])<<8 | int(e[1])
				r, err := l.Record(n<<8 + uint64(i))
				if err != nil || string(e[2:2+size]) != string(r.Entry.AppendBinary(nil)) {
					t.Fatalf("bundle %d: entry %d differs: %v", n, i, err)
				}
				e = e[2+size:]
			}
			if len(e) > 0 {
				t.Fatalf("bundle %d: %d bytes left", n, len(e))
			}
		}
	}
	b, err := l.Tile(1, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if [32]byte(b[32*i:]) != naiveRoot(m.leaves[256*i:256*(i+1)]) {
			t.Fatalf("hash %d of level 1 differs", i)
		}
	}
	for _, bad := range []struct {
		level int
		n     uint64
		width int
	}{{1, 0, 5}, {1, 1, 1}, {2, 0, 1}, {0, 5, 1}, {-1, 0, 1}, {8, 0, 1}, {0, 0, 0}, {0, 0, 257}, {0, 1 << 60, 1}, {7, 1, 1}} {
		if _, err := l.Tile(bad.level, bad.n, bad.width); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestReopen closes and opens the log again and again.
func TestReopen(t *testing.T) {
	fs := newFS(t)
	m := &model{}
	for i := range 30 {
		l, err := Open(testDir, Options{FS: fs, SegmentBytes: 4000})
		if err != nil {
			t.Fatal(err)
		}
		if d := l.Damage(); d != nil {
			t.Fatal(d)
		}
		if len(l.Mended()) > 0 {
			t.Fatal(l.Mended())
		}
		m.compare(t, l)
		for j := range 5 {
			m.add(t, l, 1+(i*7+j*3)%40)
		}
		if i%3 == 0 {
			waitSealed(t, l)
		}
		m.compare(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRandom drives all operations of the writer in random order against the model.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fs := newFS(t)
		o := Options{FS: fs, SegmentBytes: int64(rapid.IntRange(300, 6000).Draw(rt, "segment")), CacheBytes: 1 << 16}
		l, err := Open(testDir, o)
		if err != nil {
			rt.Fatal(err)
		}
		m := &model{}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) { m.add(t, l, rapid.IntRange(1, 60).Draw(rt, "entries")) },
			"erase": func(rt *rapid.T) {
				if len(m.leaves) == 0 {
					rt.Skip()
				}
				index := uint64(rapid.IntRange(0, len(m.leaves)-1).Draw(rt, "index"))
				residue := rapid.SampledFrom([][]byte{nil, []byte(`{"m2m:cin":{"cs":4}}`)}).Draw(rt, "residue")
				if err := l.Erase(index, residue); err != nil {
					rt.Fatal(err)
				}
				m.erase(index, residue)
			},
			"rewind": func(rt *rapid.T) {
				if len(m.blocks) == 0 {
					rt.Skip()
				}
				size := m.blocks[rapid.IntRange(0, len(m.blocks)-1).Draw(rt, "block")].First
				if err := l.Rewind(size); err != nil {
					rt.Fatal(err)
				}
				m.rewind(size)
			},
			"seal":    func(*rapid.T) { waitSealed(t, l) },
			"rebuild": func(rt *rapid.T) { must(rt, l.RebuildHashes()) },
			"sync":    func(rt *rapid.T) { must(rt, l.Sync()) },
			"reopen": func(rt *rapid.T) {
				must(rt, l.Close())
				if l, err = Open(testDir, o); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(*rapid.T) { m.compare(t, l) },
		})
		must(rt, l.Close())
	})
}

func must(t interface{ Fatal(...any) }, err error) {
	if err != nil {
		t.Fatal(err)
	}
}
