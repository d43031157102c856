package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/tallystick/tallystick/internal/ledger"
)

const (
	diskReadings = 120_000
	// diskRetain is how many blocks the node of this section keeps, so that a short run comes to prune.
	diskRetain = 256
)

// disk measures what readings occupy on the disk of a node that got them over HTTP, and what the last of them
// added: what grows with the readings tells itself from what does not.
func (b *Bench) disk(ctx context.Context) (*Section, error) {
	s := &Section{Name: "disk", Title: "Disk: bytes for each reading, everything counted", Subject: "node", Against: "zstd"}
	dir := filepath.Join(b.dir, "disk")
	n, err := b.Program.startNode(ctx, dir, diskRetain)
	if err != nil {
		return nil, err
	}
	readings := b.scaled(diskReadings)
	if b.Long {
		readings *= 10
	}
	// The first part lets the stores come to the files that they then use again and again.
	if _, _, err := b.load(ctx, n, readings/5); err != nil {
		return nil, err
	}
	if err := n.start(ctx, &b.Program); err != nil {
		return nil, err
	}
	part, partFloor, err := b.load(ctx, n, readings*2/5)
	if err != nil {
		return nil, err
	}
	if err := n.start(ctx, &b.Program); err != nil {
		return nil, err
	}
	last := readings - readings/5 - readings*2/5
	whole, floor, err := b.load(ctx, n, last)
	if err != nil {
		return nil, err
	}
	total := float64(readings)
	each := func(name string, size int64, goal *Goal) {
		s.add(name, "bytes/reading", float64(size)/total, float64(floor)/total, goal)
	}
	each("everything", whole.all, ratioAtMost(3))
	each("  log", whole.log, nil)
	each("  tree", whole.tree, nil)
	each("  block store, pruned", whole.blocks, nil)
	each("  consensus's write-ahead log", whole.wal, nil)
	each("  of all that, reserved and never written", whole.reserved, nil)
	further := func(name string, size int64) {
		s.add(name, "bytes/reading", float64(size)/float64(last), float64(floor-partFloor)/float64(last), nil)
	}
	further("the last 40 %, everything", whole.all-part.all)
	further("  log", whole.log-part.log)
	further("  tree", whole.tree-part.tree)
	further("  block store", whole.blocks-part.blocks)
	further("  consensus's write-ahead log", whole.wal-part.wal)
	s.note("%d readings at %d connections; the node was stopped in order and started again after 20 %% and 60 %% of them;\n"+
		"what the files occupy, preallocated space and their last blocks included.", readings, goalConns)
	s.note("zstd: level 3 of all request contents as one stream, %.1f bytes each.", float64(floor)/total)
	s.note("the node keeps its newest %d blocks (default 1024) so that it has pruned.", diskRetain)
	s.note("the last 40 %%: what they added, which is what further readings cost; negative where files shrank.")
	return s, os.RemoveAll(dir)
}

// load sends so many readings more, stops the node and returns what all readings occupy there and as zstd.
func (b *Bench) load(ctx context.Context, n *node, readings int) (p parts, floor int64, err error) {
	_, err = n.load(ctx, &b.Program, loadJob{Conns: goalConns, Total: uint64(readings)})
	if err = errors.Join(err, n.close()); err != nil {
		return p, 0, err
	}
	if p, err = partSizes(n.dir); err != nil {
		return p, 0, err
	}
	floor, err = compressed(n.next)
	return p, floor, err
}

// parts are the sizes of the parts of a data folder.
type parts struct {
	all, log, tree, blocks, wal int64
	reserved                    int64 // what files occupy beyond their length
}

func partSizes(dir string) (p parts, err error) {
	chain := filepath.Join(dir, ledger.ChainDir)
	for _, part := range []struct {
		size *int64
		path string
	}{
		{&p.all, dir},
		{&p.log, filepath.Join(dir, ledger.LogDir)},
		{&p.tree, filepath.Join(dir, ledger.TreeDir)},
		{&p.blocks, filepath.Join(chain, "blocks")},
		{&p.wal, filepath.Join(chain, "data")},
	} {
		if *part.size, _, err = diskBytes(part.path); err != nil {
			return p, err
		}
	}
	_, p.reserved, err = diskBytes(dir)
	return p, err
}

// compressed returns the size of the zstd stream of the first readings of each sensor, all sensors in turn.
func compressed(counts [sensors]uint64) (int64, error) {
	r, err := loadReadings()
	if err != nil {
		return 0, err
	}
	var out countingWriter
	z, err := zstd.NewWriter(&out)
	if err != nil {
		return 0, err
	}
	var buf []byte
	for n, more := uint64(0), true; more; n++ {
		more = false
		buf = buf[:0]
		for i, c := range counts {
			if n < c {
				buf, more = r.append(buf, i, n), true
			}
		}
		if _, err := z.Write(buf); err != nil {
			return 0, fmt.Errorf("compress the readings: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return 0, fmt.Errorf("compress the readings: %w", err)
	}
	return int64(out), nil
}

type countingWriter int64

var _ io.Writer = (*countingWriter)(nil)

func (w *countingWriter) Write(p []byte) (int, error) {
	*w += countingWriter(len(p))
	return len(p), nil
}

// turns is how many readings each sensor sent of n that were sent in turn.
func turns(n uint64) (counts [sensors]uint64) {
	for i := range counts {
		counts[i] = (n + sensors - 1 - uint64(i)) / sensors
	}
	return counts
}
