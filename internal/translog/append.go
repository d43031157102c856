package translog

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const category vfs.DiskWriteCategory = "translog"

// Append writes a staged block and makes it readable. It does not sync. After an error the log is as before, and
// the same block may be appended again.
func (l *Log) Append(s *Staged) error {
	l.mu.RLock()
	err := l.writable()
	head := l.head
	l.mu.RUnlock()
	if err == nil && s.before != head {
		err = fmt.Errorf("it was staged after index %d, the log is at %d", s.before.Size, head.Size)
	}
	if err != nil {
		return fmt.Errorf("translog: append the block of height %d: %w", s.block.Height, err)
	}
	if len(s.block.Records) == 0 {
		return nil
	}
	if l.buf, err = l.enc.appendFrame(l.buf[:0], s.before.Size, []*Block{s.block}); err != nil {
		return err
	}
	g, err := l.activeSegment(s.before.Size)
	if err != nil {
		return err
	}
	// Hashes first: some too many do no harm, while a frame without its hashes would.
	if err := l.hashes.write(s.sums); err != nil {
		return err
	}
	name := segmentName(g.first)
	if _, err := l.active.WriteAt(l.buf, g.end); err != nil {
		return fmt.Errorf("translog: write the block of height %d to %s at byte %d: %w", s.block.Height, name, g.end, err)
	}
	l.unsynced[name] = struct{}{}
	l.keepTiles(s)

	l.mu.Lock()
	g.frames = append(g.frames, frameRef{first: s.before.Size, offset: g.end})
	g.end += int64(len(l.buf))
	g.size = max(g.size, g.end)
	g.next, g.height = s.head.Size, s.head.Height
	if g.next == g.first+uint64(len(s.leaves)) {
		l.segments = append(l.segments, g)
	}
	l.head, l.edge = s.head, s.edge
	l.tail = append(l.tail, s.leaves...)
	if done := len(l.tail) &^ (tileWidth - 1); done > 0 {
		l.tail = append([][32]byte(nil), l.tail[done:]...)
	}
	l.recent.add(s.block)
	g.full = l.isFull(g)
	full := g.full
	l.mu.Unlock()
	if full {
		l.roll()
	}
	return nil
}

// segmentFrames is the number of frames from which on a segment is sealed, however short it is: frames of few entries
// cost several times what they cost in a sealed segment.
const segmentFrames = 1 << 14

func (l *Log) isFull(g *segment) bool {
	return g.end >= l.segmentBytes || len(g.frames) >= segmentFrames
}

// activeSegment returns the last segment, open for writing; a new one, not yet in the list, when the last one is
// sealed or full.
func (l *Log) activeSegment(size uint64) (*segment, error) {
	var g *segment
	l.mu.RLock()
	if n := len(l.segments); n > 0 && !l.segments[n-1].full {
		g = l.segments[n-1]
	}
	l.mu.RUnlock()
	if l.active != nil {
		if g != nil {
			return g, nil
		}
		// The file was created for a first block that could not be written.
		if err := l.closeActive(); err != nil {
			return nil, err
		}
	}
	name := segmentName(size)
	if g != nil {
		name = segmentName(g.first)
	} else {
		g = &segment{first: size, next: size}
		if err := l.fs.Remove(l.path(name)); err != nil && !oserror.IsNotExist(err) {
			return nil, fmt.Errorf("translog: remove the left-over %s: %w", name, err)
		}
		l.replace.Lock()
		l.newNames = true
		l.replace.Unlock()
	}
	f, err := l.fs.OpenReadWrite(l.path(name), category)
	if err != nil {
		return nil, fmt.Errorf("translog: open %s for writing: %w", name, err)
	}
	l.active = f
	return g, nil
}

func (l *Log) closeActive() error {
	if l.active == nil {
		return nil
	}
	f := l.active
	l.active = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("translog: close the last segment: %w", err)
	}
	return nil
}

// roll ends the last segment: the next block starts a new one, and the sealer takes over.
func (l *Log) roll() {
	if err := l.closeActive(); err != nil {
		l.mu.Lock()
		l.sealError = err
		l.mu.Unlock()
	}
	l.sealer.wake()
}

// Sync makes everything appended so far durable.
func (l *Log) Sync() error {
	l.mu.RLock()
	closed, head := l.closed, l.head
	l.mu.RUnlock()
	if closed {
		return ErrClosed
	}
	return l.sync(head)
}

func (l *Log) sync(head Head) error {
	if err := l.syncSegments(); err != nil {
		return err
	}
	return l.hashes.sync(head)
}

// syncSegments syncs files by name. It holds replace, because between the renaming of a file and the syncing of the
// folder a crash would bring back the file of before, which is not the one that was synced.
func (l *Log) syncSegments() error {
	l.replace.Lock()
	defer l.replace.Unlock()
	for name := range l.unsynced {
		if err := l.syncFile(name); err != nil {
			return err
		}
		delete(l.unsynced, name)
	}
	if l.newNames {
		if err := l.syncDir(); err != nil {
			return err
		}
		l.newNames = false
	}
	return nil
}

func (l *Log) syncFile(name string) error {
	f, err := l.fs.OpenReadWrite(l.path(name), category)
	if err != nil {
		return fmt.Errorf("translog: open %s to sync it: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return fmt.Errorf("translog: sync %s: %w", name, err)
	}
	return f.Close()
}

// Close stops the sealer, makes everything durable and closes the files. A damaged log is left as it is.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	head, damaged := l.head, l.damage != nil
	l.mu.Unlock()
	l.sealer.stop()
	var err error
	if !damaged {
		err = l.sync(head)
	}
	return errors.Join(err, l.closeActive(), l.hashes.close())
}
