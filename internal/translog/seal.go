package translog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/zstd"
)

// groupBytes is how many bytes of columns and payloads a frame of a sealed segment has, about: enough for good
// compression, little enough to read one record in about a millisecond.
const groupBytes = 256 << 10

const sealSuffix = ".seal" + tmpSuffix

// sealer rewrites full segments in the background.
type sealer struct {
	signal chan struct{}
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func (s *sealer) start(l *Log) {
	ctx, cancel := context.WithCancel(context.Background())
	s.signal, s.cancel = make(chan struct{}, 1), cancel
	s.wake()
	s.done.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.signal:
				l.sealFull(ctx)
			}
		}
	})
}

// wake makes the sealer look for full segments.
func (s *sealer) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// stop ends the sealer, in the middle of a segment if need be.
func (s *sealer) stop() {
	s.cancel()
	s.done.Wait()
}

// sealFull seals every full segment. After a failure it waits for the next signal, except that a damaged segment
// is left alone for good.
func (l *Log) sealFull(ctx context.Context) {
	var enc *encoder
	for ctx.Err() == nil {
		g, snapshot := l.nextFull()
		if g == nil {
			return
		}
		var err error
		if enc == nil {
			enc, err = newEncoder(zstd.SpeedBetterCompression)
		}
		if err == nil {
			err = l.seal(ctx, enc, g, &snapshot)
		}
		if errors.Is(err, errReplaced) {
			continue
		}
		bad := (*CorruptError)(nil)
		damaged := errors.As(err, &bad)
		l.mu.Lock()
		if ctx.Err() == nil {
			l.sealError = err
		}
		g.unsealable = g.unsealable || damaged
		l.mu.Unlock()
		if err != nil && !damaged {
			return
		}
	}
}

// nextFull returns the first segment that waits to be sealed, and a copy of its state.
func (l *Log) nextFull() (*segment, segment) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.damage != nil {
		return nil, segment{}
	}
	for _, g := range l.segments {
		if g.full && !g.sealed && !g.unsealable {
			return g, *g
		}
	}
	return nil, segment{}
}

// errReplaced says that the segment was replaced while it was being sealed.
var errReplaced = errors.New("the segment was replaced meanwhile")

// seal rewrites a segment as it was at the time of the snapshot into large frames.
func (l *Log) seal(ctx context.Context, enc *encoder, g *segment, snapshot *segment) error {
	name := segmentName(g.first)
	tmp := name + sealSuffix
	var refs []frameRef
	var end, size int64
	err := writeFile(l.fs, l.path(tmp), func(dst vfs.File) (err error) {
		refs, end, size, err = l.writeSealed(ctx, enc, dst, g, snapshot)
		return err
	})
	if err == nil {
		l.replace.Lock()
		defer l.replace.Unlock()
		err = l.stillThere(ctx, g, snapshot)
	}
	if err != nil {
		err = fmt.Errorf("translog: seal %s: %w", name, err)
		return errors.Join(err, removeIfThere(l.fs, l.path(tmp)))
	}
	err = commitFile(l.fs, l.dir, name, tmp)
	if err != nil && !errors.Is(err, errFolder) {
		return err
	}
	l.newNames = l.newNames || err != nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.generation++
	g.generation, g.sealed, g.frames, g.end, g.size = l.generation, true, nil, end, size
	l.cache.put(cacheKey{kind: cacheFooter, generation: g.generation, at: g.first}, &footerIndex{refs: refs, end: end}, int64(len(refs))*16+64)
	return err
}

// stillThere says whether the segment is as it was at the time of the snapshot.
func (l *Log) stillThere(ctx context.Context, g *segment, snapshot *segment) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.segmentOf(snapshot.first) != g || g.generation != snapshot.generation || g.next != snapshot.next {
		return errReplaced
	}
	return nil
}

// writeSealed writes the frames, footer and trailer of a sealed segment to dst.
func (l *Log) writeSealed(ctx context.Context, enc *encoder, dst io.Writer, g, snapshot *segment) (refs []frameRef, end, size int64, err error) {
	var group []*Block
	var bytes int64
	var buf []byte
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		refs = append(refs, frameRef{first: group[0].First, offset: end})
		var err error
		if buf, err = enc.appendFrame(buf[:0], group[0].First, group); err != nil {
			return err
		}
		end += int64(len(buf))
		group, bytes = group[:0], 0
		_, err = dst.Write(buf)
		return err
	}
	for i, r := range snapshot.frames {
		if err := l.stillThere(ctx, g, snapshot); err != nil {
			return nil, 0, 0, err
		}
		p := place{segment: segmentName(g.first), start: g.first, first: r.first, offset: r.offset, length: snapshot.end - r.offset}
		if i+1 < len(snapshot.frames) {
			p.length = snapshot.frames[i+1].offset - r.offset
		}
		f, err := l.readFrame(&p)
		if err != nil {
			return nil, 0, 0, err
		}
		for j := range f.blocks {
			b := f.materialise(j, false)
			n := sealedBytes(b)
			if bytes > 0 && bytes+n > groupBytes {
				if err := flush(); err != nil {
					return nil, 0, 0, err
				}
			}
			group, bytes = append(group, b), bytes+n
		}
	}
	if err := flush(); err != nil {
		return nil, 0, 0, err
	}
	buf = appendFooter(buf[:0], refs, end, snapshot.next, snapshot.height)
	_, err = dst.Write(buf)
	return refs, end, end + int64(len(buf)), err
}

// sealedBytes is about what a block adds to the columns and payloads of a frame.
func sealedBytes(b *Block) int64 {
	n := int64(16 + 32*len(b.Seeds) + 8*len(b.Records))
	for i := range b.Records {
		n += int64(len(b.Records[i].kept()) + len(b.Records[i].Signed))
	}
	return n
}
