package tree

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// A thousand readings of a timeSeries in a block cost few writes, in whatever order they were generated, and their times
// are found afterwards.
func TestManyTimes(t *testing.T) {
	for name, generated := range map[string]func(i int64) int64{
		"ascending":  func(i int64) int64 { return i * 1000 },
		"descending": func(i int64) int64 { return 1e9 - i*1000 },
		"mixed":      func(i int64) int64 { return i * 7919 % 100_003 },
	} {
		t.Run(name, func(t *testing.T) {
			log := newMemLog()
			tr := openTree(t, vfs.NewMem(), log, 1<<20)
			defer func() { must(t, tr.Close()) }()
			next := int64(0)
			for height := uint64(1); height <= 3; height++ {
				b := tr.Begin(height, int64(height))
				if height == 1 {
					must(t, b.Put(resource(onem2m.TypeCSEBase, "", "cb", "base")))
					must(t, b.Put(resource(onem2m.TypeTimeSeries, "cb", "ts1", "t")))
				}
				for range 1000 {
					ref := cse.InstanceRef{Index: uint64(next) + 10, Size: 2, Time: next, Generated: generated(next)}
					if taken, err := b.Generated("ts1", ref.Generated); err != nil || taken {
						t.Fatalf("time %d is taken: %t, %v", ref.Generated, taken, err)
					}
					log.add(ref.Index, "ts1")
					must(t, b.AppendInstance("ts1", ref, ""))
					next++
				}
				if n := len(b.encode().writes); n > 100 {
					t.Errorf("block %d of 1000 readings makes %d writes", height, n)
				}
				must(t, b.Commit())
			}
			v := tr.View()
			defer v.Close()
			for i := range next {
				if ok, err := v.Generated("ts1", generated(i)); err != nil || !ok {
					t.Fatalf("time %d: %t, %v", generated(i), ok, err)
				}
				if ok, err := v.Generated("ts1", generated(i)+500_000_001); err != nil || ok {
					t.Fatalf("time %d, which nobody has: %t, %v", generated(i)+500_000_001, ok, err)
				}
			}
			must(t, tr.Check(context.Background()))
		})
	}
}
