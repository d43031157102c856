package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

const million = 1_000_000

var (
	quickSizes = []uint64{100_000, million}
	longSizes  = []uint64{100_000, million, 10 * million}
)

// growBlock is the readings a block of a ledger that is grown.
const growBlock = 256

// scale grows one ledger and compares what it costs at each size with the smallest.
func (b *Bench) scale(ctx context.Context) (*Section, error) {
	sizes := quickSizes
	if b.Long {
		sizes = longSizes
	}
	if b.Scale != 1 {
		sizes = []uint64{uint64(b.scaled(100_000)), uint64(b.scaled(million))}
	}
	s := &Section{Name: "scale", Title: "Growth: one ledger in a process of its own, apply path without consensus"}
	dir := filepath.Join(b.dir, "scale")
	if b.Profile != "" {
		if err := os.MkdirAll(b.Profile, 0o755); err != nil {
			return nil, err
		}
	}
	var all []growth
	err := b.Program.job(ctx, RoleGrow, growJob{Dir: dir, Block: growBlock, Sizes: sizes, Profile: b.Profile}, func(line []byte) error {
		var g growth
		err := json.Unmarshal(line, &g)
		all = append(all, g)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(all) != len(sizes) {
		return nil, fmt.Errorf("the growing process told of %d sizes, not %d", len(all), len(sizes))
	}
	first := &all[0]
	s.Subject, s.Against = "at this size", "at "+count(first.Readings)
	for i := range all {
		if err := s.addGrowth(&all[i], first); err != nil {
			return nil, err
		}
	}
	if err := s.addFurther(&all[len(all)-2], &all[len(all)-1]); err != nil {
		return nil, err
	}
	s.note("flat means a ratio of at most 1.20 to the smallest size. Reads and bundles are made in the process, without HTTP.")
	s.note("rows with (zstd) are next to zstd of the same contents instead.")
	s.note("memory in use is what lives after a collection; the resident set also holds garbage and caches up to their bound.")
	return s, os.RemoveAll(dir)
}

func (s *Section) addGrowth(g, first *growth) error {
	at := " at " + count(g.Readings)
	flat := func(name, unit string, value, reference float64) {
		if g == first {
			s.add(name+at, unit, value, 0, nil)
		} else {
			s.add(name+at, unit, value, reference, ratioAtMost(1.2))
		}
	}
	flat("apply, median block", "us/reading", g.Late, first.Late)
	s.add("apply, mean with all stalls"+at, "us/reading", g.Wall, 0, nil)
	flat("apply, CPU of all goroutines", "us/reading", g.CPU, first.CPU)
	flat("resident set", "MB", float64(g.Resident)/1e6, float64(first.Resident)/1e6)
	flat("memory in use", "MB", float64(g.Heap)/1e6, float64(first.Heap)/1e6)
	flat("latest instance, p50", "us", g.LatestP50, first.LatestP50)
	flat("bundle made, p50", "us", g.BundleP50, first.BundleP50)
	s.add("bundle made, p99"+at, "us", g.BundleP99, 0, nil)
	s.add("bundle verified, p50"+at, "us", g.VerifyP50, 0, atMost(1000))
	s.add("largest bundle"+at, "bytes", float64(g.MaxBundle), 0, atMost(4095))
	raw, err := compressed(turns(g.Readings))
	if err != nil {
		return err
	}
	n := float64(g.Readings)
	disk := g.LogBytes + g.TreeBytes
	s.add("disk, log and tree (zstd)"+at, "bytes/reading", float64(disk)/n, float64(raw)/n, ratioAtMost(3))
	s.add("disk, log (zstd)"+at, "bytes/reading", float64(g.LogBytes)/n, float64(raw)/n, nil)
	s.add("disk, reserved in the tree (zstd)"+at, "bytes/reading", float64(g.Reserved)/n, float64(raw)/n, nil)
	return nil
}

// addFurther tells what the readings between two sizes added on disk.
func (s *Section) addFurther(from, to *growth) error {
	a, err := compressed(turns(from.Readings))
	if err != nil {
		return err
	}
	b, err := compressed(turns(to.Readings))
	if err != nil {
		return err
	}
	n := float64(to.Readings - from.Readings)
	floor := float64(b-a) / n
	name := fmt.Sprintf("disk, from %s to %s", count(from.Readings), count(to.Readings))
	s.add(name+", log and tree (zstd)", "bytes/reading", float64(to.LogBytes+to.TreeBytes-from.LogBytes-from.TreeBytes)/n, floor, nil)
	s.add(name+", log (zstd)", "bytes/reading", float64(to.LogBytes-from.LogBytes)/n, floor, nil)
	return nil
}

// count prints a number of readings for people.
func count(n uint64) string {
	switch {
	case n >= million && n%million == 0:
		return fmt.Sprintf("%dM", n/million)
	case n >= 1000:
		return fmt.Sprintf("%dk", int(math.Round(float64(n)/1000)))
	}
	return fmt.Sprint(n)
}
