package translog

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/zstd"
)

// Open opens the log in a folder, or makes an empty one. The folder belongs to one process at a time, which the
// caller sees to. Damaged segments are no error: the log is opened up to the first damage, which Damage and
// LastGood report. The damage that a reader of all bytes would find, and Open does not, is found by Check.
func Open(dir string, o Options) (*Log, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = defaultCacheBytes
	}
	l := &Log{
		fs: o.FS, dir: dir, segmentBytes: o.SegmentBytes,
		cache:    newCache(o.CacheBytes - o.CacheBytes/4),
		recent:   recent{limit: o.CacheBytes / 4},
		hashes:   &hashStore{fs: o.FS, dir: dir},
		unsynced: make(map[string]struct{}),
	}
	var err error
	if l.enc, err = newEncoder(zstd.SpeedFastest); err != nil {
		return nil, err
	}
	if l.unzip, err = newDecoder(); err != nil {
		return nil, err
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(err, l.hashes.close())
	}
	l.sealer.start(l)
	return l, nil
}

func (l *Log) load() error {
	if err := l.fs.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("translog: create folder %s: %w", l.dir, err)
	}
	if err := syncFolder(l.fs, l.fs.PathDir(l.dir)); err != nil {
		return err
	}
	names, err := l.fs.List(l.dir)
	if err != nil {
		return fmt.Errorf("translog: list folder %s: %w", l.dir, err)
	}
	var firsts []uint64
	for _, name := range names {
		if strings.HasSuffix(name, tmpSuffix) {
			// Left by a crash in the middle of a replacement. It may hold what was erased since.
			if err := l.fs.Remove(l.path(name)); err != nil {
				return fmt.Errorf("translog: remove the left-over %s: %w", name, err)
			}
			continue
		}
		base, ok := strings.CutSuffix(name, ".seg")
		if first, err := strconv.ParseUint(base, 10, 64); ok && err == nil && segmentName(first) == name {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	if err := l.loadSegments(firsts); err != nil {
		return err
	}
	// A process that was killed may have left bytes and names that are not durable yet.
	l.newNames = true
	for _, g := range l.segments {
		if !g.sealed {
			l.unsynced[segmentName(g.first)] = struct{}{}
		}
	}
	return l.settle()
}

// loadSegments opens the segments with these first indexes up to the first damage.
func (l *Log) loadSegments(firsts []uint64) error {
	var next, height uint64
	for i, first := range firsts {
		if first != next {
			missing := &CorruptError{File: segmentName(next), Offset: -1, Index: next, What: fmt.Sprintf("entries %d to %d are missing: the next file is %s", next, first, segmentName(first))}
			if first < next {
				missing = &CorruptError{File: segmentName(first), Offset: -1, Index: first, What: fmt.Sprintf("the file overlaps the one before, which ends at index %d", next)}
			}
			l.damaged(missing, firsts[i:])
			return nil
		}
		g, damage, err := l.loadSegment(first, height)
		if err != nil {
			return err
		}
		rest := firsts[i:]
		if g.next > g.first {
			l.segments = append(l.segments, g)
			next, height = g.next, g.height
			g.full = g.full || i+1 < len(firsts) || l.isFull(g)
			rest = firsts[i+1:]
		}
		if damage != nil {
			l.damaged(damage, rest)
			return nil
		}
	}
	return nil
}

// damaged records the damage at which the log ends, and the segments beyond.
func (l *Log) damaged(cause *CorruptError, stale []uint64) {
	l.damage = cause
	for _, first := range stale {
		l.stale = append(l.stale, segmentName(first))
	}
}

// loadSegment opens one segment: from its footer when it is sealed, else, or when the footer is damaged, from its
// frames. It has what is intact; damage says why that is not all.
func (l *Log) loadSegment(first, height uint64) (g *segment, damage *CorruptError, err error) {
	g = &segment{first: first, next: first, height: height}
	p := &place{segment: segmentName(first), start: first, first: first}
	f, err := l.openSegment(p)
	if err != nil {
		return g, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return g, nil, fmt.Errorf("translog: read the size of %s: %w", p.segment, err)
	}
	g.size = info.Size()
	if g.size >= int64(trailerSize) {
		b, err := readAt(f, p, g.size-int64(trailerSize), trailerSize)
		if err != nil {
			return g, nil, err
		}
		if isTrailer(b) {
			x, t, err := readFooter(f, p, g.size)
			if err == nil && t.first == first && t.height > height {
				g.next, g.height, g.end, g.sealed, g.full = t.next, t.height, x.end, true, true
				return g, nil, nil
			}
			if bad := (*CorruptError)(nil); err != nil && !errors.As(err, &bad) {
				return g, nil, err
			}
		}
	}
	damage, err = l.scan(f, g)
	if damage != nil && damage.Err == errFooterThere {
		l.mended = append(l.mended, &CorruptError{File: p.segment, Offset: damage.Offset, Index: damage.Index, What: "damaged footer; it is made again from the frames"})
		g.full, damage = true, nil
	}
	return g, damage, err
}

// errFooterThere says that a scan ended at a footer.
var errFooterThere = errors.New("a footer starts here")

// scan reads the frames of a segment from its start and fills g with those that are whole and in order.
func (l *Log) scan(f vfs.File, g *segment) (*CorruptError, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, g.size), 1<<20)
	name := segmentName(g.first)
	for g.end < g.size {
		h, err := scanFrame(r, g.size-g.end)
		if err == nil {
			switch {
			case h.first != g.next:
				err = fmt.Errorf("the frame starts with index %d", h.first)
			case h.height <= g.height:
				err = fmt.Errorf("height %d after %d", h.height, g.height)
			}
		}
		if failed := (*readError)(nil); errors.As(err, &failed) {
			return nil, fmt.Errorf("translog: read %s at byte %d: %w", name, g.end, err)
		}
		if err != nil {
			return &CorruptError{File: name, Offset: g.end, Index: g.next, What: "damaged or torn frame", Err: err}, l.lastHeight(f, g)
		}
		g.frames = append(g.frames, frameRef{first: g.next, offset: g.end})
		g.next += uint64(h.entries)
		g.end += int64(h.length())
		g.height = h.height
	}
	return nil, l.lastHeight(f, g)
}

// lastHeight sets the height of the last block, which the header of a frame of several blocks does not tell.
func (l *Log) lastHeight(f vfs.File, g *segment) error {
	if len(g.frames) == 0 {
		return nil
	}
	at := g.frames[len(g.frames)-1]
	p := &place{segment: segmentName(g.first), first: at.first, offset: at.offset, length: g.end - at.offset}
	b, err := readAt(f, p, p.offset, int(p.length))
	if err != nil {
		return err
	}
	d, err := decodeFrame(l.unzip, b)
	if err != nil {
		return p.corrupt("damaged frame", err)
	}
	g.height = d.blocks[len(d.blocks)-1].height
	return nil
}

// readError is a failure to read, as opposed to reading something wrong.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

// scanFrame reads one frame, of which at most limit bytes are there, and verifies its checksum.
func scanFrame(r *bufio.Reader, limit int64) (header, error) {
	b, err := r.Peek(int(min(limit, int64(headerMax))))
	if err != nil && !errors.Is(err, io.EOF) {
		return header{}, &readError{err}
	}
	if len(b) >= len(footerMagic) && string(b[:len(footerMagic)]) == footerMagic {
		return header{}, errFooterThere
	}
	h, err := parseHeader(b)
	if err != nil {
		return h, err
	}
	if int64(h.length()) > limit {
		return h, fmt.Errorf("frame of %d bytes, %d are there", h.length(), limit)
	}
	sum := crc32.New(castagnoli)
	if _, err := r.Discard(headerFixed); err != nil {
		return h, &readError{err}
	}
	if _, err := io.CopyN(sum, r, int64(h.length()-headerFixed)); err != nil {
		return h, &readError{err}
	}
	if got := sum.Sum32(); got != h.sum {
		return h, fmt.Errorf("frame checksum %08x, the bytes have %08x", h.sum, got)
	}
	return h, nil
}
