package translog

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Rewind drops everything past a size, which must be a block boundary, and clears the damage beyond it: the way back
// to the state that the ledger recorded, after a crash or before damaged blocks are appended again. It is an error
// when the log is shorter than size; the error says what is missing. After another error the log may be used for
// nothing but another Rewind or Close.
func (l *Log) Rewind(size uint64) error {
	l.mu.RLock()
	head, damage, closed := l.head, l.damage, l.closed
	l.mu.RUnlock()
	switch {
	case closed:
		return ErrClosed
	case size > head.Size && damage != nil:
		return fmt.Errorf("translog: rewind to size %d: entries %d to %d cannot be read: %w", size, head.Size, size-1, damage)
	case size > head.Size:
		return fmt.Errorf("translog: rewind to size %d: the log ends at %d (height %d), entries %d to %d are missing", size, head.Size, head.Height, head.Size, size-1)
	case size == head.Size && damage == nil:
		return nil
	}
	e, tail, height, err := l.stateAt(size)
	if err != nil {
		return fmt.Errorf("translog: rewind to size %d: %w", size, err)
	}
	l.replace.Lock()
	defer l.replace.Unlock()
	to := Head{Size: size, Root: e.root(), Height: height}
	if err := l.drop(to); err != nil {
		l.mu.Lock()
		if l.damage == nil {
			l.damage = &CorruptError{File: segmentName(size), Offset: -1, Index: size, What: "a rewind did not finish", Err: err}
		}
		l.mu.Unlock()
		return fmt.Errorf("translog: rewind to size %d: %w", size, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head, l.edge, l.tail, l.damage = to, e, tail, nil
	l.sealer.wake()
	return nil
}

// stateAt computes the edge, the leaf hashes of the last tile and the height that the log had at a size.
func (l *Log) stateAt(size uint64) (e edge, tail [][32]byte, height uint64, err error) {
	if size == 0 {
		return e, nil, 0, nil
	}
	f, err := l.frameAt(size-1, false)
	if err != nil {
		return e, nil, 0, err
	}
	m := &f.blocks[f.block(int(size-1-f.first))]
	if end := f.first + uint64(m.end); end != size {
		return e, nil, 0, fmt.Errorf("it is inside the block of height %d, entries %d to %d", m.height, f.first+uint64(m.start), end-1)
	}
	if e, err = l.edgeFromFiles(size &^ (tileWidth - 1)); err != nil {
		return e, nil, 0, err
	}
	err = l.leaves(e.size, size, func(leaf [32]byte) error {
		tail = append(tail, leaf)
		e.add(leaf, nil)
		return nil
	})
	return e, tail, m.height, err
}

// drop removes from the files, then from memory, what is past a size. replace must be held.
func (l *Log) drop(to Head) error {
	if l.hashes.marked > to.Size {
		// Hashes past the new end are left-overs from now on and must not be taken for durable ones.
		if err := l.hashes.mark(to); err != nil {
			return err
		}
	}
	if err := l.closeActive(); err != nil {
		return err
	}
	// From the last to the first, so that what is left after a crash has no gap before the new end.
	for n := len(l.stale); n > 0; n-- {
		if err := l.removeSegment(l.stale[n-1]); err != nil {
			return err
		}
		l.stale = l.stale[:n-1]
	}
	for n := len(l.segments); n > 0 && l.segments[n-1].next > to.Size; n-- {
		g := l.segments[n-1]
		if g.first < to.Size {
			break
		}
		if err := l.removeSegment(segmentName(g.first)); err != nil {
			return err
		}
		l.mu.Lock()
		l.segments = l.segments[:n-1]
		l.head.Size, l.head.Height = g.first, to.Height
		l.mu.Unlock()
	}
	if n := len(l.segments); n > 0 {
		if err := l.shorten(l.segments[n-1], to); err != nil {
			return err
		}
	}
	if err := l.syncDir(); err != nil {
		return err
	}
	l.newNames = false
	l.cache.drop(func(cacheKey) bool { return true })
	l.mu.Lock()
	l.recent.clear()
	l.mu.Unlock()
	return nil
}

func (l *Log) removeSegment(name string) error {
	if err := l.fs.Remove(l.path(name)); err != nil && !oserror.IsNotExist(err) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	delete(l.unsynced, name)
	return nil
}

// shorten ends the last segment at a size that it holds: whole frames are copied, the blocks of a frame that goes
// beyond are written as a shorter frame.
func (l *Log) shorten(g *segment, to Head) error {
	if g.next == to.Size && (g.sealed || g.size == g.end) {
		return nil
	}
	p, err := l.locate(to.Size - 1)
	if err != nil {
		return err
	}
	refs := g.frames
	if g.sealed {
		x, err := l.footer(&p, g.next, g.size)
		if err != nil {
			return err
		}
		refs = x.refs
	}
	var kept []frameRef
	for _, r := range refs {
		if r.first <= p.first {
			kept = append(kept, r)
		}
	}
	f, _, err := l.frameOnce(p.first, false)
	if err != nil {
		return err
	}
	whole, part := p.offset+p.length, []byte(nil)
	if f.first+uint64(f.entries) > to.Size {
		var blocks []*Block
		for i := range f.blocks {
			if f.first+uint64(f.blocks[i].end) <= to.Size {
				blocks = append(blocks, f.materialise(i, true))
			}
		}
		whole = p.offset
		if part, err = l.enc.appendFrame(nil, f.first, blocks); err != nil {
			return err
		}
	}
	end := whole + int64(len(part))
	err = l.replaceSegment(&p, func(dst io.Writer, src vfs.File) error {
		if err := copyBytes(dst, src, 0, whole); err != nil {
			return err
		}
		_, err := dst.Write(part)
		return err
	})
	if err != nil && !errors.Is(err, errFolder) {
		return err
	}
	l.newNames = l.newNames || err != nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.generation++
	g.generation, g.sealed, g.unsealable = l.generation, false, false
	g.frames, g.end, g.size, g.next, g.height = kept, end, end, to.Size, to.Height
	g.full = l.isFull(g)
	l.head.Size, l.head.Height = to.Size, to.Height
	delete(l.unsynced, p.segment)
	return err
}
