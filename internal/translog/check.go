package translog

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/proof"
)

// Check reads every byte of the log again from disk, as far as it goes when Check starts: checksums and order of
// frames, footers, commitments, leaf hashes, hash files and the root. It calls progress, which may be nil, now and
// then with the entries checked so far and all there are. The error is a *CorruptError that names the first thing that is
// wrong and where, the damage that Open found included; nil when all is well. Records of erased payloads are checked
// as far as their commitment goes. It may run while the log is being written.
func (l *Log) Check(ctx context.Context, progress func(done, total uint64)) error {
	l.mu.RLock()
	head, damage := l.head, l.damage
	l.mu.RUnlock()
	c := checker{log: l, ctx: ctx, progress: progress, head: head}
	for c.edge.size < head.Size {
		if err := c.segment(); err != nil {
			return err
		}
	}
	if root := c.edge.root(); root != head.Root {
		return &CorruptError{File: segmentName(0), Offset: -1, What: fmt.Sprintf("all records are readable and give the root %x of size %d, the log has %x", root, head.Size, head.Root)}
	}
	if damage != nil {
		return damage
	}
	return nil
}

type checker struct {
	log      *Log
	ctx      context.Context
	progress func(done, total uint64)
	head     Head
	edge     edge
	height   uint64
}

// segment checks the segment that holds the next entry. When its file is replaced meanwhile, it starts again.
func (c *checker) segment() error {
	for {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		l := c.log
		l.mu.RLock()
		g := l.segmentOf(c.edge.size)
		if g == nil {
			l.mu.RUnlock()
			return fmt.Errorf("translog: check: the log was rewound below %d meanwhile", c.edge.size)
		}
		snapshot := *g
		l.mu.RUnlock()
		p := &place{segment: segmentName(snapshot.first), start: snapshot.first, generation: snapshot.generation, first: c.edge.size}
		trial := *c
		err := trial.file(&snapshot, p)
		if err == nil {
			*c = trial
			return nil
		}
		if l.current(p) {
			return err
		}
	}
}

func (c *checker) file(g *segment, p *place) (err error) {
	f, err := c.log.openSegment(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	end, refs := g.end, g.frames
	if info, err := f.Stat(); err != nil {
		return fmt.Errorf("translog: read the size of %s: %w", p.segment, err)
	} else if info.Size() < g.size || g.sealed && info.Size() != g.size {
		p.offset = info.Size()
		return p.corrupt(fmt.Sprintf("the file has %d bytes, not %d", info.Size(), g.size), nil)
	}
	if g.sealed {
		x, t, err := readFooter(f, p, g.size)
		if err != nil {
			return err
		}
		if t.first != g.first || t.next != g.next || t.height != g.height || x.end != g.end {
			p.offset = g.size - int64(trailerSize)
			return p.corrupt(fmt.Sprintf("the trailer says indexes %d to %d, height %d, the log has %d to %d, height %d", t.first, t.next, t.height, g.first, g.next, g.height), nil)
		}
		refs, end = x.refs, x.end
	}
	for p.offset = 0; p.offset < end && c.edge.size < c.head.Size; p.offset += p.length {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if len(refs) == 0 || refs[0] != (frameRef{first: c.edge.size, offset: p.offset}) {
			return p.corrupt("the index of frames does not name the frame here", nil)
		}
		refs = refs[1:]
		p.first, p.height = c.edge.size, 0
		if err := c.frame(f, p, end); err != nil {
			return err
		}
		if c.progress != nil {
			c.progress(c.edge.size, c.head.Size)
		}
	}
	return nil
}

// frame checks the frame at p.
func (c *checker) frame(f vfs.File, p *place, end int64) error {
	b, err := readAt(f, p, p.offset, int(min(int64(headerMax), end-p.offset)))
	if err != nil {
		return err
	}
	h, err := parseHeader(b)
	if err != nil {
		return p.corrupt("damaged frame", err)
	}
	p.height = h.height
	if p.length = int64(h.length()); p.length > end-p.offset {
		return p.corrupt(fmt.Sprintf("frame of %d bytes, %d are there", p.length, end-p.offset), nil)
	}
	if b, err = readAt(f, p, p.offset, h.length()); err != nil {
		return err
	}
	d, err := decodeFrame(c.log.unzip, b)
	if err != nil {
		return p.corrupt("damaged frame", err)
	}
	if d.first != c.edge.size {
		return p.corrupt(fmt.Sprintf("the frame starts with index %d", d.first), nil)
	}
	if d.blocks[0].height <= c.height {
		return p.corrupt(fmt.Sprintf("height %d after %d", d.blocks[0].height, c.height), nil)
	}
	c.height = d.blocks[len(d.blocks)-1].height
	var entry []byte
	var sums []sum
	for i := 0; i < d.entries && c.edge.size < c.head.Size; i++ {
		r := d.record(i)
		entry = r.Entry.AppendBinary(entry[:0])
		if _, err := proof.DecodeEntry(entry); err != nil {
			return p.corrupt(fmt.Sprintf("entry %d is none", d.first+uint64(i)), err)
		}
		sums = c.edge.add(proof.LeafHash(entry), sums[:0])
		for _, s := range sums {
			if err := c.sum(p, &s); err != nil {
				return err
			}
		}
	}
	return nil
}

// sum compares a computed hash with the one in the hash file.
func (c *checker) sum(p *place, s *sum) error {
	have, err := c.log.hashes.read(s.level, s.n, 1)
	if err != nil {
		return err
	}
	if have[0] != s.hash {
		return &CorruptError{File: hashName(s.level), Offset: int64(s.n) * 32, Index: s.n << (tileBits * s.level), Height: c.height,
			What: fmt.Sprintf("the hash is %x, the records up to %s byte %d give %x", have[0], p.segment, p.offset, s.hash)}
	}
	return nil
}
