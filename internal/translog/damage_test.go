package translog

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// smallLog makes a log with two sealed segments and one that is not, and returns its files.
func smallLog(t *testing.T) (*model, map[string][]byte) {
	t.Helper()
	fs := newFS(t)
	l, err := Open(testDir, Options{FS: fs, SegmentBytes: 1 << 30})
	must(t, err)
	m := &model{}
	for _, n := range []int{200, 5, 60, 3, 2} {
		m.add(t, l, n)
		if len(m.blocks)%2 == 0 {
			l.mu.Lock()
			l.segments[len(l.segments)-1].full = true
			l.mu.Unlock()
			l.roll()
			waitSealed(t, l)
		}
	}
	must(t, l.Close())
	return m, readFiles(t, fs)
}

func readFiles(t *testing.T, fs vfs.FS) map[string][]byte {
	t.Helper()
	names, err := fs.List(testDir)
	must(t, err)
	files := make(map[string][]byte)
	for _, name := range names {
		info, err := fs.Stat(testDir + "/" + name)
		must(t, err)
		f, err := fs.Open(testDir + "/" + name)
		must(t, err)
		files[name] = make([]byte, info.Size())
		if _, err := f.ReadAt(files[name], 0); err != nil {
			t.Fatal(err)
		}
		must(t, f.Close())
	}
	return files
}

func writeFiles(t *testing.T, files map[string][]byte) *vfs.MemFS {
	t.Helper()
	fs := newFS(t)
	must(t, fs.MkdirAll(testDir, 0o755))
	for name, b := range files {
		f, err := fs.Create(testDir+"/"+name, category)
		must(t, err)
		_, err = f.Write(slices.Clone(b))
		must(t, err)
		must(t, f.Close())
	}
	return fs
}

// findDamage opens damaged files and returns what is said about them: by Open, else by Check, else by a rewind to the
// size that the ledger recorded.
func findDamage(t *testing.T, m *model, files map[string][]byte) (*Log, error) {
	t.Helper()
	l, err := Open(testDir, Options{FS: writeFiles(t, files), SegmentBytes: 1 << 30})
	must(t, err)
	if d := l.Damage(); d != nil {
		return l, d
	}
	if mended := l.Mended(); len(mended) > 0 {
		return l, mended[0]
	}
	if err := l.Check(context.Background(), nil); err != nil {
		return l, err
	}
	return l, l.Rewind(uint64(len(m.leaves)))
}

// heal rewinds to before the damage and appends the blocks from there on again, as the ledger does.
func heal(t *testing.T, l *Log, m *model, found error) {
	t.Helper()
	defer l.Close()
	size, height, cause := l.LastGood()
	bad := (*CorruptError)(nil)
	if errors.As(found, &bad) && cause == nil && strings.HasSuffix(bad.File, ".seg") {
		size = bad.Index
	} else if cause == nil && size == uint64(len(m.leaves)) {
		must(t, l.RebuildHashes())
		m.compare(t, l)
		return
	}
	must(t, l.Rewind(size))
	if h := l.Head(); cause != nil && h.Height != height {
		t.Fatalf("height %d after the rewind, LastGood said %d", h.Height, height)
	}
	for _, b := range m.blocks {
		if b.First >= size {
			c := *b
			s, err := l.Stage(&c)
			must(t, err)
			must(t, l.Append(s))
		}
	}
	m.compare(t, l)
}

// stride is 1, and more for the one long segment, the parts of which others have as well.
func stride(file []byte) int { return 1 + len(file)/1000*9 }

// TestEveryByteFlipped flips every byte of every file in turn: the damage is found, its file is named, and the log is
// whole again after what follows it was appended again.
func TestEveryByteFlipped(t *testing.T) {
	m, files := smallLog(t)
	if len(files) != 5 {
		t.Fatalf("files: %d", len(files))
	}
	for name, b := range files {
		for i := 0; i < len(b); i += stride(b) {
			b[i] ^= 0x41
			l, err := findDamage(t, m, files)
			if err == nil {
				t.Fatalf("%s: flipped byte %d of %d was not found", name, i, len(b))
			}
			if !strings.Contains(err.Error(), name) && !(name == markName && strings.Contains(err.Error(), "hash-")) {
				t.Fatalf("flipped byte %d of %s: %v", i, name, err)
			}
			b[i] ^= 0x41
			heal(t, l, m, err)
		}
	}
}

// TestTruncated cuts every file at every length.
func TestTruncated(t *testing.T) {
	m, files := smallLog(t)
	for name, b := range files {
		for i := 0; i < len(b); i += stride(b) {
			files[name] = b[:i]
			l, err := findDamage(t, m, files)
			if err == nil {
				// Without its footer, and nothing else missing, the segment waits to be sealed: nothing is lost.
				if _, footer, _ := bytes.Cut(b[i:], []byte(footerMagic)); len(b[i:]) != len(footerMagic)+len(footer) {
					t.Fatalf("%s: cut at %d of %d was not found", name, i, len(b))
				}
				m.compare(t, l)
				must(t, l.Close())
				continue
			}
			heal(t, l, m, err)
		}
		files[name] = b
	}
}

// TestMissing removes every file in turn.
func TestMissing(t *testing.T) {
	m, files := smallLog(t)
	for name, b := range files {
		delete(files, name)
		l, err := findDamage(t, m, files)
		if err == nil && name != markName { // without the mark all hashes are made again, and nothing is wrong
			t.Fatalf("missing %s was not found", name)
		}
		files[name] = b
		heal(t, l, m, err)
	}
}

// TestReadDamaged reads records of a damaged frame, which Open does not read, and those around it.
func TestReadDamaged(t *testing.T) {
	m, files := smallLog(t)
	files[segmentName(0)][300] ^= 1
	l, err := Open(testDir, Options{FS: writeFiles(t, files)})
	must(t, err)
	defer l.Close()
	bad := (*CorruptError)(nil)
	if _, err := l.Record(7); !errors.As(err, &bad) || bad.File != segmentName(0) || bad.Index != 0 || bad.Offset != 0 {
		t.Fatalf("record 7: %v", err)
	}
	r, err := l.Record(uint64(len(m.leaves) - 1))
	must(t, err)
	sameRecord(t, &r, &m.blocks[4].Records[1])
	if err := l.Check(context.Background(), nil); !errors.As(err, &bad) || bad.File != segmentName(0) {
		t.Fatalf("check: %v", err)
	}
	for _, err := range l.Blocks(0) {
		if !errors.As(err, &bad) {
			t.Fatalf("blocks: %v", err)
		}
	}
	if err := l.Rewind(1000); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Fatalf("rewind past the end: %v", err)
	}
	if err := l.Rewind(uint64(len(m.leaves)) - 1); err == nil || !strings.Contains(err.Error(), "inside the block") {
		t.Fatalf("rewind into a block: %v", err)
	}
}
