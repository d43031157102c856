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

// TestSequenceFree: numbers freed from the highest on down can be used again in any order, and no other can.
func TestSequenceFree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s sequence
		kept := rapid.Uint64Range(1, 100).Draw(t, "kept")
		freed := rapid.Uint64Range(1, 300).Draw(t, "freed")
		for n := uint64(1); n <= kept+freed; n++ {
			s.use(n)
		}
		for n := kept + freed; n > kept; n-- {
			s.free(n)
		}
		if s.newest != kept {
			t.Fatalf("newest %d, want %d", s.newest, kept)
		}
		for n := uint64(1); n <= kept; n++ {
			if s.use(n) {
				t.Fatalf("%d is free", n)
			}
		}
		for n := kept + 1; n <= kept+freed; n++ {
			if !s.use(n) {
				t.Fatalf("%d is used", n)
			}
		}
	})
}
