package tree

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// cpuTime is what the process has used, in nanoseconds: a better measure than the clock on a shared machine.
func cpuTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// check is must at the price of a comparison.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// benchTree has n containers below one AE, each with a few instances.
func benchTree(b *testing.B, n int) (*Tree, []string) {
	t, err := Open(b.TempDir(), newMemLog(), Options{FS: vfs.Default})
	must(b, err)
	b.Cleanup(func() { must(b, t.Close()) })
	blk := t.Begin(1, 1)
	must(b, blk.Put(resource(onem2m.TypeCSEBase, "", "cb", "base")))
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("cnt%d", i)
		must(b, blk.Put(resource(onem2m.TypeContainer, "cb", names[i], names[i])))
	}
	must(b, blk.Commit())
	return t, names
}

// BenchmarkAppend is the path of a reading: mark, counters, subscriptions, append; and its share of digest and commit.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ containers, each, keep int }{
		{1, 32, 0}, {1, 1000, 0}, {32, 32, 0}, {1000, 1, 0}, {1, 1, 0}, {32, 32, 1000},
	} {
		b.Run(fmt.Sprintf("containers=%d/each=%d/keep=%d", c.containers, c.each, c.keep), func(b *testing.B) {
			t, names := benchTree(b, c.containers)
			b.ReportAllocs()
			b.ResetTimer()
			start := cpuTime()
			index, height := uint64(100), uint64(1)
			for done := 0; done < b.N; done += c.containers * c.each {
				height++
				blk := t.Begin(height, int64(height))
				for i := range c.containers * c.each {
					ri := names[i%c.containers]
					blk.Mark()
					counters, _, err := blk.Container(ri)
					check(err)
					_, err = blk.Subscriptions(ri)
					check(err)
					index++
					check(blk.AppendInstance(ri, cse.InstanceRef{Index: index, Size: 8, StateTag: counters.StateTag + 1, Time: int64(height) * 4000}, ""))
					if c.keep > 0 && counters.Count >= uint64(c.keep) {
						check(blk.RemoveInstance(ri, counters.Oldest))
					}
				}
				blk.Digest()
				check(blk.Commit())
			}
			b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkLatest is what the tree does for a retrieval of the latest instance.
func BenchmarkLatest(b *testing.B) {
	t, names := benchTree(b, 1000)
	blk := t.Begin(2, 2)
	for i := range 50_000 {
		must(b, blk.AppendInstance(names[i%1000], cse.InstanceRef{Index: uint64(i + 1), Size: 8, Time: int64(i)}, ""))
	}
	must(b, blk.Commit())
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		v := t.View()
		ri, err := v.Child("cb", names[i%1000])
		check(err)
		if _, ok, err := v.Container(ri); !ok || err != nil {
			b.Fatal(ok, err)
		}
		for _, err := range v.Instances(ri, true) {
			check(err)
			break
		}
		v.Close()
	}
}

func BenchmarkView(b *testing.B) {
	t, _ := benchTree(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		t.View().Close()
	}
}
