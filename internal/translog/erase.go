package translog

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/proof"
)

// Erase removes the payload of an entry, its salt and the device's signature from disk, keeps the commitment, so that every proof stays
// valid, and keeps residue, which may be nil, in place of the payload. The seed of the batch goes too, because it
// would give the salt back, and with the salt a payload of few possible values could be guessed from the
// commitment; the other entries of the batch get their salts stored instead. Erasing again changes nothing.
//
// The segment file is replaced: on return the erasure is durable, and the payload is in no file of the log. How
// soon the storage device overwrites the bytes is beyond this program.
func (l *Log) Erase(index uint64, residue []byte) error {
	if len(residue) > proof.MaxPayload {
		return fmt.Errorf("translog: erase index %d: residue of %d bytes, the limit is %d", index, len(residue), proof.MaxPayload)
	}
	l.replace.Lock()
	defer l.replace.Unlock()
	l.mu.RLock()
	err := l.writable()
	l.mu.RUnlock()
	if err != nil {
		return fmt.Errorf("translog: erase index %d: %w", index, err)
	}
	f, _, err := l.frameOnce(index, false)
	if err != nil {
		return fmt.Errorf("translog: erase index %d: %w", index, err)
	}
	if f.bare(int(index - f.first)).Erased {
		// An earlier call may have failed to make the new file's name durable.
		return l.syncDir()
	}
	blocks := make([]*Block, len(f.blocks))
	for i := range blocks {
		blocks[i] = f.materialise(i, true)
	}
	b := blocks[f.block(int(index-f.first))]
	b.erase(int(index-b.First), residue)
	with, err := l.enc.appendFrame(nil, f.first, blocks)
	if err != nil {
		return err
	}
	if err := l.exchange(index, with); err != nil {
		return fmt.Errorf("translog: erase index %d: %w", index, err)
	}
	return nil
}

// erase takes the payload and salt out of record i.
func (b *Block) erase(i int, residue []byte) {
	r := &b.Records[i]
	seed := r.Seed
	r.Payload, r.Signed, r.Salt, r.Seed, r.Counter = nil, nil, [32]byte{}, NoSeed, 0
	r.Erased, r.Residue = true, residue
	if seed == NoSeed {
		return
	}
	b.Seeds = slices.Delete(slices.Clone(b.Seeds), int(seed), int(seed)+1)
	for j := range b.Records {
		switch r := &b.Records[j]; {
		case r.Seed == NoSeed || r.Seed < seed:
		case r.Seed == seed:
			r.Seed, r.Counter = NoSeed, 0
		default:
			r.Seed--
		}
	}
}

// exchange replaces the frame that holds index by another one of the same entries. replace must be held.
func (l *Log) exchange(index uint64, with []byte) error {
	p, err := l.locate(index)
	if err != nil {
		return err
	}
	l.mu.RLock()
	g := l.segmentOf(index)
	refs, old := g.frames, *g
	l.mu.RUnlock()
	if old.sealed {
		x, err := l.footer(&p, old.next, old.size)
		if err != nil {
			return err
		}
		refs = x.refs
	}
	grown := int64(len(with)) - p.length
	moved := make([]frameRef, len(refs), len(refs)+1)
	for i, r := range refs {
		moved[i] = r
		if r.offset > p.offset {
			moved[i].offset += grown
		}
	}
	end := old.end + grown
	size := end
	var footer []byte
	if old.sealed {
		footer = appendFooter(nil, moved, end, old.next, old.height)
		size += int64(len(footer))
	}
	err = l.replaceSegment(&p, func(dst io.Writer, src vfs.File) error {
		if err := copyBytes(dst, src, 0, p.offset); err != nil {
			return err
		}
		if _, err := dst.Write(with); err != nil {
			return err
		}
		if err := copyBytes(dst, src, p.offset+p.length, old.end); err != nil {
			return err
		}
		_, err := dst.Write(footer)
		return err
	})
	if err != nil && !errors.Is(err, errFolder) {
		return err
	}
	l.newNames = l.newNames || err != nil
	l.mu.Lock()
	l.generation++
	g.generation, g.end, g.size = l.generation, end, size
	if !old.sealed {
		g.frames = moved
	}
	l.recent.forget(index)
	last := g == l.segments[len(l.segments)-1]
	l.mu.Unlock()
	l.cache.drop(func(k cacheKey) bool { return k.kind != cacheTile && k.at >= old.first && k.at < old.next })
	delete(l.unsynced, p.segment)
	if last {
		// The open file is the old one. It is opened again by the next Append.
		err = errors.Join(err, l.closeActive())
	}
	return err
}

// replaceSegment replaces the segment file that p names by what write makes of it.
func (l *Log) replaceSegment(p *place, write func(dst io.Writer, src vfs.File) error) error {
	src, err := l.openSegment(p)
	if err != nil {
		return err
	}
	err = replaceFile(l.fs, l.dir, p.segment, func(dst vfs.File) error { return write(dst, src) })
	return errors.Join(err, src.Close())
}

// copyBytes copies the bytes of src from offset from up to to.
func copyBytes(dst io.Writer, src vfs.File, from, to int64) error {
	buf := make([]byte, min(to-from, 1<<20))
	for from < to {
		b := buf[:min(to-from, int64(len(buf)))]
		if _, err := src.ReadAt(b, from); err != nil {
			return fmt.Errorf("copy %d bytes at byte %d: %w", len(b), from, err)
		}
		// Write may change what it is given.
		if _, err := dst.Write(b); err != nil {
			return err
		}
		from += int64(len(b))
	}
	return nil
}
