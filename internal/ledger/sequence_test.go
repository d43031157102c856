package ledger

import (
	"testing"

	"pgregory.net/rapid"
)

// TestSequence compares with the set of all numbers ever used: one is taken when it is new and less than the window
// behind the newest.
func TestSequence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s sequence
		used, newest := map[uint64]bool{0: false}, uint64(0)
		base := rapid.Uint64Max(1<<62).Draw(t, "base")
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			n := base + rapid.Uint64Max(200).Draw(t, "number")
			want := n > newest || newest-n < seqWindow && !used[n]
			if got := s.use(n); got != want {
				t.Fatalf("use %d with newest %d: %v", n, newest, got)
			}
			if want {
				used[n] = true
				newest = max(newest, n)
			}
			if s.newest != newest {
				t.Fatalf("newest %d, want %d", s.newest, newest)
			}
		}
	})
}

// TestUsedBefore: of a member whose batches are executed again from one on, those from it on are free in any order, and
// none before.
func TestUsedBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64Range(1, 300).Draw(t, "first")
		s := usedBefore(first)
		for n := uint64(1); n < first; n++ {
			if s.use(n) {
				t.Fatalf("%d is free", n)
			}
		}
		n := rapid.Uint64Range(1, seqWindow-1).Draw(t, "n")
		for i := range n { // the farthest first
			if seq := first + n - 1 - i; !s.use(seq) {
				t.Fatalf("%d is used", seq)
			}
		}
	})
}
