package ledger

import "testing"

// TestPartEnds: parts cover all signatures once, give every core something from the start, and end small enough.
func TestPartEnds(t *testing.T) {
	for _, cores := range []int{1, 2, 3, 8, 64} {
		for n := range 5000 {
			ends, before := partEnds(n, cores), 0
			for i, end := range ends {
				size := end - before
				if size <= 0 || size > largePart+smallPart/2 {
					t.Fatalf("%d signatures on %d cores: part %d of %d", n, cores, i, size)
				}
				before = end
			}
			if before != n || n >= 2*smallPart*cores && len(ends) < cores {
				t.Fatalf("%d signatures on %d cores: parts end at %v", n, cores, ends)
			}
		}
	}
	ends := partEnds(1024, 2)
	if last := 1024 - ends[len(ends)-2]; last > 1024/6 {
		t.Errorf("the last of the parts %v has %d", ends, last)
	}
}
