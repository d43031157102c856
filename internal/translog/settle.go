package translog

import (
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
)

// settle computes head, edge and tail from the segments and brings the hash files up to date. A damaged record
// found on the way becomes the end of the log.
func (l *Log) settle() error {
	for {
		l.head = Head{}
		if n := len(l.segments); n > 0 {
			l.head.Size, l.head.Height = l.segments[n-1].next, l.segments[n-1].height
		}
		err := l.restore()
		bad := (*CorruptError)(nil)
		if !errors.As(err, &bad) {
			return err
		}
		if l.damage == nil || bad.Index < l.damage.Index {
			l.damage = bad
		}
		if err := l.cut(bad.Index); err != nil {
			return err
		}
	}
}

// cut takes everything from a frame boundary on out of the view, not from disk.
func (l *Log) cut(size uint64) error {
	for n := len(l.segments); n > 0; n-- {
		g := l.segments[n-1]
		if g.next <= size {
			return nil
		}
		if g.first >= size {
			l.stale = append(l.stale, segmentName(g.first))
			l.segments = l.segments[:n-1]
			continue
		}
		if g.sealed {
			p := &place{segment: segmentName(g.first), start: g.first, first: g.first, generation: g.generation}
			x, err := l.footer(p, g.next, g.size)
			if err != nil {
				return err
			}
			g.frames, g.sealed = append([]frameRef(nil), x.refs...), false
		}
		for i, r := range g.frames {
			if r.first >= size {
				g.frames, g.next, g.end = g.frames[:i], r.first, r.offset
				break
			}
		}
		// The height is that of the last block before the cut, whose frame may turn out damaged as well: then the
		// caller comes back with an earlier boundary.
		f, err := l.frameAt(g.next-1, true)
		if bad := (*CorruptError)(nil); errors.As(err, &bad) {
			size, n = bad.Index, n+1
			continue
		}
		if err != nil {
			return err
		}
		g.height = f.blocks[len(f.blocks)-1].height
		return nil
	}
	return nil
}

// restore computes edge, root and tail for head.Size and writes the hashes that are not known to be durable.
func (l *Log) restore() error {
	mark, ok, err := l.hashes.readMark()
	if err == nil && !ok {
		return l.replay(Head{})
	}
	if err == nil {
		l.hashes.marked = mark.Size
		err = l.replay(mark)
	}
	bad := (*CorruptError)(nil)
	if !errors.As(err, &bad) || !isHashFile(bad.File) {
		return err
	}
	l.mended = append(l.mended, fmt.Errorf("hash files made again from the segments: %w", bad))
	// Until the next Sync, a crash must lead here again.
	if err := l.hashes.unmark(); err != nil {
		return err
	}
	return l.replay(Head{})
}

// replay computes the leaf hashes from the last tile boundary before from on, and writes the hashes above them. The
// tree before is taken from the hash files, which must agree with the root of from.
func (l *Log) replay(from Head) error {
	size := l.head.Size
	e, err := l.edgeFromFiles(min(from.Size, size) &^ (tileWidth - 1))
	if err != nil {
		return err
	}
	var tail [][32]byte
	var sums []sum
	verify := func() error {
		if e.size == from.Size && from.Size > 0 && e.root() != from.Root {
			return &CorruptError{File: hashName(1), Offset: -1, What: fmt.Sprintf("the hashes do not give the root of size %d", from.Size)}
		}
		return nil
	}
	if err := verify(); err != nil {
		return err
	}
	err = l.leaves(e.size, size, func(leaf [32]byte) error {
		sums = e.add(leaf, sums[:0])
		if tail = append(tail, leaf); len(tail) == tileWidth {
			tail = tail[:0]
		}
		if err := verify(); err != nil {
			return err
		}
		return l.hashes.write(sums)
	})
	if err != nil {
		return err
	}
	l.edge, l.head.Root, l.tail = e, e.root(), append([][32]byte(nil), tail...)
	return nil
}

// edgeFromFiles builds the right edge at a size that is a multiple of a tile's width.
func (l *Log) edgeFromFiles(size uint64) (edge, error) {
	e := edge{size: size}
	for _, id := range compact.RangeNodes(0, size, nil) {
		level, up := int(id.Level)/tileBits, id.Level%tileBits
		row, err := l.hashes.read(level, id.Index<<up, 1<<up)
		if err != nil {
			return edge{}, err
		}
		for ; len(row) > 1; row = row[:len(row)/2] {
			for i := range len(row) / 2 {
				row[i] = nodeHash(&row[2*i], &row[2*i+1])
			}
		}
		e.nodes[id.Level] = row[0]
	}
	return e, nil
}

// RebuildHashes makes all hash files again from the segments. The root must come out as it is, otherwise it is the
// records that are wrong, and the error is a *CorruptError.
func (l *Log) RebuildHashes() error {
	l.mu.RLock()
	head, err := l.head, l.writable()
	l.mu.RUnlock()
	if err != nil {
		return fmt.Errorf("translog: rebuild the hash files: %w", err)
	}
	if err := l.hashes.unmark(); err != nil {
		return err
	}
	var e edge
	var sums []sum
	err = l.leaves(0, head.Size, func(leaf [32]byte) error {
		sums = e.add(leaf, sums[:0])
		return l.hashes.write(sums)
	})
	if err != nil {
		return err
	}
	l.cache.drop(func(k cacheKey) bool { return k.kind == cacheTile })
	if root := e.root(); root != head.Root {
		return &CorruptError{File: segmentName(0), Offset: -1, What: fmt.Sprintf("the records give the root %x, the log has %x", root, head.Root)}
	}
	return l.sync(head)
}
