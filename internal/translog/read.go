package translog

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"sort"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/proof"
)

// Record returns the entry at a log index with its payload, salt and commitment. Payload and Residue are shared and
// must not be changed. The error is ErrNotFound past the end and a *CorruptError where the log is damaged.
func (l *Log) Record(index uint64) (Record, error) {
	l.mu.RLock()
	if r := l.recent.record(index); r != nil {
		out := *r
		l.mu.RUnlock()
		return out, nil
	}
	l.mu.RUnlock()
	f, err := l.frameAt(index, true)
	if err != nil {
		return Record{}, err
	}
	return f.record(int(index - f.first)), nil
}

// Blocks yields the blocks of the log in order, from the one that holds the index from to the last one there is when
// it gets there. Blocks are shared and must not be changed. An error, a *CorruptError where the log is damaged, ends
// the sequence.
func (l *Log) Blocks(from uint64) iter.Seq2[*Block, error] {
	return func(yield func(*Block, error) bool) {
		for next := from; ; {
			if b := l.recentBlock(next); b != nil {
				if !yield(b, nil) {
					return
				}
				next = b.First + uint64(len(b.Records))
				continue
			}
			f, err := l.frameAt(next, false)
			if err != nil {
				if !errors.Is(err, ErrNotFound) {
					yield(nil, err)
				}
				return
			}
			for i := f.block(int(next - f.first)); i < len(f.blocks); i++ {
				if !yield(f.materialise(i, true), nil) {
					return
				}
			}
			next = f.first + uint64(f.entries)
		}
	}
}

func (l *Log) recentBlock(index uint64) *Block {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.recent.block(index)
}

// leaves computes the leaf hashes of the entries from index from up to, not including, to.
func (l *Log) leaves(from, to uint64, add func([32]byte) error) error {
	var entry []byte
	for next := from; next < to; {
		f, err := l.frameAt(next, true)
		if err != nil {
			return err
		}
		end := min(to, f.first+uint64(f.entries))
		for ; next < end; next++ {
			r := f.record(int(next - f.first))
			entry = r.Entry.AppendBinary(entry[:0])
			if err := add(proof.LeafHash(entry)); err != nil {
				return err
			}
		}
	}
	return nil
}

// place is where a frame is.
type place struct {
	segment    string
	start      uint64 // first index of the segment
	generation uint64
	first      uint64 // first index of the frame
	offset     int64
	length     int64
	height     uint64 // of the frame's first block; 0 when unknown
}

func (p *place) corrupt(what string, err error) *CorruptError {
	return &CorruptError{File: p.segment, Offset: p.offset, Index: p.first, Height: p.height, What: what, Err: err}
}

// maxReplaced bounds how often a read starts again because the file was replaced meanwhile.
const maxReplaced = 100

// frameAt returns the frame that holds an index. keep says whether the frame is worth keeping in the cache.
// replace must not be held.
func (l *Log) frameAt(index uint64, keep bool) (*frame, error) {
	for range maxReplaced {
		f, p, err := l.frameOnce(index, keep)
		if err == nil || p.segment == "" || l.current(&p) {
			return f, err
		}
	}
	return nil, fmt.Errorf("translog: read index %d: its segment was replaced %d times meanwhile", index, maxReplaced)
}

// frameOnce is frameAt for when no file can be replaced at the same time: replace is held.
func (l *Log) frameOnce(index uint64, keep bool) (*frame, place, error) {
	p, err := l.locate(index)
	if err != nil {
		return nil, p, err
	}
	key := cacheKey{kind: cacheFrame, generation: p.generation, at: p.first}
	if f := cached[frame](l.cache, key); f != nil {
		return f, p, nil
	}
	f, err := l.readFrame(&p)
	if err == nil && keep {
		l.cache.put(key, f, f.memory)
	}
	return f, p, err
}

// current says whether the file that p points into is still the one in use. A replacement that is just going on is
// waited for, because it changes the file and what is known about it one after the other.
func (l *Log) current(p *place) bool {
	l.replace.Lock()
	defer l.replace.Unlock()
	l.mu.RLock()
	defer l.mu.RUnlock()
	g := l.segmentOf(p.start)
	return g != nil && g.generation == p.generation
}

// segmentOf returns the segment that holds an index, nil when none does. mu must be held.
func (l *Log) segmentOf(index uint64) *segment {
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].next > index })
	if i == len(l.segments) || l.segments[i].first > index {
		return nil
	}
	return l.segments[i]
}

// locate finds the frame that holds an index. Even with an error the segment is named when it is known.
func (l *Log) locate(index uint64) (place, error) {
	l.mu.RLock()
	if index >= l.head.Size {
		defer l.mu.RUnlock()
		if l.damage != nil {
			return place{}, l.damage
		}
		return place{}, fmt.Errorf("%w: index %d of %d", ErrNotFound, index, l.head.Size)
	}
	g := l.segmentOf(index)
	p := place{segment: segmentName(g.first), start: g.first, generation: g.generation, first: g.first, offset: -1}
	refs, next, end, size := g.frames, g.next, g.end, g.size
	l.mu.RUnlock()
	if refs == nil {
		index, err := l.footer(&p, next, size)
		if err != nil {
			return p, err
		}
		refs, end = index.refs, index.end
	}
	i := sort.Search(len(refs), func(i int) bool { return refs[i].first > index }) - 1
	if i+1 < len(refs) {
		end = refs[i+1].offset
	}
	p.first, p.offset, p.length = refs[i].first, refs[i].offset, end-refs[i].offset
	return p, nil
}

// footerIndex is the decoded footer of a sealed segment.
type footerIndex struct {
	refs []frameRef
	end  int64
}

// footer returns the index of the sealed segment that p names.
func (l *Log) footer(p *place, next uint64, size int64) (*footerIndex, error) {
	key := cacheKey{kind: cacheFooter, generation: p.generation, at: p.start}
	if x := cached[footerIndex](l.cache, key); x != nil {
		return x, nil
	}
	f, err := l.openSegment(p)
	if err != nil {
		return nil, err
	}
	x, t, err := readFooter(f, p, size)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if t.first != p.start || t.next != next {
		return nil, p.corrupt(fmt.Sprintf("the trailer says indexes %d to %d, the log needs %d to %d", t.first, t.next, p.start, next), nil)
	}
	l.cache.put(key, x, int64(len(x.refs))*16+64)
	return x, nil
}

// readFooter reads the trailer and footer of a sealed segment file of the given size.
func readFooter(f vfs.File, p *place, size int64) (*footerIndex, trailer, error) {
	b, err := readAt(f, p, size-int64(trailerSize), trailerSize)
	if err != nil {
		return nil, trailer{}, err
	}
	at := *p
	at.offset = size - int64(trailerSize)
	t, err := parseTrailer(b)
	if err != nil {
		return nil, t, at.corrupt("damaged trailer", err)
	}
	at.offset -= int64(t.footer)
	if b, err = readAt(f, p, at.offset, t.footer); err != nil {
		return nil, t, err
	}
	x := &footerIndex{}
	if x.refs, x.end, err = parseFooter(b, t); err == nil && x.end != at.offset {
		err = fmt.Errorf("the footer says that frames end at byte %d", x.end)
	}
	if err != nil {
		return nil, t, at.corrupt("damaged footer", err)
	}
	return x, t, nil
}

// readFrame reads and decodes the frame at p.
func (l *Log) readFrame(p *place) (*frame, error) {
	f, err := l.openSegment(p)
	if err != nil {
		return nil, err
	}
	b, err := readAt(f, p, p.offset, int(p.length))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	d, err := decodeFrame(l.unzip, b)
	if err != nil {
		return nil, p.corrupt("damaged frame", err)
	}
	if d.first != p.first {
		return nil, p.corrupt(fmt.Sprintf("the frame starts with index %d", d.first), nil)
	}
	return d, nil
}

func (l *Log) openSegment(p *place) (vfs.File, error) {
	f, err := l.fs.Open(l.path(p.segment))
	if oserror.IsNotExist(err) {
		missing := *p
		missing.offset = -1
		return nil, missing.corrupt("the file is missing", nil)
	}
	if err != nil {
		return nil, fmt.Errorf("translog: open %s: %w", p.segment, err)
	}
	return f, nil
}

// readAt reads n bytes; a file that ends before is damaged.
func readAt(f vfs.File, p *place, offset int64, n int) ([]byte, error) {
	at := *p
	at.offset = offset
	if offset < 0 || n < 0 {
		at.offset = -1
		return nil, at.corrupt("the file is too short", nil)
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, offset); errors.Is(err, io.EOF) {
		return nil, at.corrupt(fmt.Sprintf("the file ends before %d bytes", n), nil)
	} else if err != nil {
		return nil, fmt.Errorf("translog: read %d bytes of %s at byte %d: %w", n, p.segment, offset, err)
	}
	return b, nil
}
