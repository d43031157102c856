package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestTrimWAL: files go once two heights were committed after them, and none of a height that takes long.
func TestTrimWAL(t *testing.T) {
	dir := t.TempDir()
	roll := func(from, to int) {
		for n := from; n <= to; n++ {
			must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("wal.%03d", n)), nil, 0o600))
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "wal"), nil, 0o600))
	w := walTrimmer{dir: dir}
	for i, step := range []struct {
		rollFrom, rollTo int
		height           uint64
		first, left      int // of the rolled files that stay
	}{
		{0, 2, 10, 0, 3},          // noted
		{3, 5, 11, 0, 6},          // one height on: the end of height 11 may be in file 3, nothing goes
		{6, 6, 12, 3, 4},          // files up to 2 go; 6 is the newest now
		{7, 90, 12, 3, 88},        // a height of many rounds
		{91, 91, 13, 3, 89},       // done, but its beginning may still be needed
		{92, 99, 14, 7, 93},       // two heights after the note at 6
		{100, 1002, 40, 100, 903}, // and numbers grow beyond three digits
	} {
		roll(step.rollFrom, step.rollTo)
		w.trim(step.height)
		rolled := w.rolled()
		if _, ok := rolled[step.first]; len(rolled) != step.left || !ok {
			t.Fatalf("step %d: %d files, want %d from %d on", i, len(rolled), step.left, step.first)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "wal")); err != nil {
		t.Error(err)
	}
}
