package translog

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"

	"github.com/transparency-dev/merkle/compact"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// RootAt returns the root that the log had at a size (RFC 6962 section 2.1). ErrNotFound for a size it never had.
func (l *Log) RootAt(size uint64) ([32]byte, error) {
	head := l.Head()
	switch {
	case size == head.Size:
		return head.Root, nil
	case size > head.Size:
		return [32]byte{}, fmt.Errorf("%w: size %d of %d", ErrNotFound, size, head.Size)
	}
	e, err := l.edgeAt(size)
	if err != nil {
		return [32]byte{}, err
	}
	return e.root(), nil
}

// edgeAt builds the right edge that the tree had at a size.
func (l *Log) edgeAt(size uint64) (edge, error) {
	e := edge{size: size}
	for _, id := range compact.RangeNodes(0, size, nil) {
		h, err := l.node(id)
		if err != nil {
			return edge{}, err
		}
		e.nodes[id.Level] = h
	}
	return e, nil
}

// Inclusion returns the audit path of the entry at index in the tree of the given size (RFC 6962 section 2.1.1),
// lowest node first. ErrNotFound when the log is shorter than size or size does not include index.
func (l *Log) Inclusion(index, size uint64) ([][32]byte, error) {
	if head := l.Head(); size > head.Size || index >= size {
		return nil, fmt.Errorf("%w: index %d in size %d of %d", ErrNotFound, index, size, head.Size)
	}
	nodes, err := merkle.Inclusion(index, size)
	if err != nil {
		return nil, fmt.Errorf("translog: prove index %d in size %d: %w", index, size, err)
	}
	return l.proofHashes(nodes)
}

// Consistency returns the proof that the tree of the first size is a prefix of the tree of the second (RFC 6962
// section 2.1.2), lowest node first; empty when a is 0 or both are equal. ErrNotFound when the log is shorter than b
// or b is smaller than a.
func (l *Log) Consistency(a, b uint64) ([][32]byte, error) {
	if head := l.Head(); a > b || b > head.Size {
		return nil, fmt.Errorf("%w: sizes %d and %d of %d", ErrNotFound, a, b, head.Size)
	}
	nodes, err := merkle.Consistency(a, b)
	if err != nil {
		return nil, fmt.Errorf("translog: prove consistency of sizes %d and %d: %w", a, b, err)
	}
	return l.proofHashes(nodes)
}

// proofHashes fetches the nodes of a proof.
func (l *Log) proofHashes(nodes merkle.Nodes) ([][32]byte, error) {
	hashes := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h, err := l.node(id)
		if err != nil {
			return nil, err
		}
		hashes[i] = h[:]
	}
	hashes, err := nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	if err != nil {
		return nil, fmt.Errorf("translog: build a proof: %w", err)
	}
	out := make([][32]byte, len(hashes))
	for i := range hashes {
		copy(out[i][:], hashes[i])
	}
	return out, nil
}

// node returns the root of the complete subtree of 2^id.Level leaves with number id.Index.
func (l *Log) node(id compact.NodeID) ([32]byte, error) {
	level, up := int(id.Level)/tileBits, id.Level%tileBits
	n, at := id.Index>>(tileBits-up), id.Index&(1<<(tileBits-up)-1)
	t, err := l.tile(level, n, int(at+1)<<up)
	if err != nil {
		return [32]byte{}, err
	}
	return t.node(up, at), nil
}

// tile is the hashes of a tile and, once one of them was asked for, the roots of the complete subtrees within.
type tile struct {
	hashes [][32]byte
	once   sync.Once
	rows   [tileBits][][32]byte // rows[0] is hashes
}

func newTile(hashes [][32]byte) *tile { return &tile{hashes: hashes} }

func (t *tile) node(up uint, at uint64) [32]byte {
	t.once.Do(func() {
		t.rows[0] = t.hashes
		for up := 1; up < tileBits; up++ {
			below := t.rows[up-1]
			row := make([][32]byte, len(below)/2)
			for i := range row {
				row[i] = nodeHash(&below[2*i], &below[2*i+1])
			}
			t.rows[up] = row
		}
	})
	return t.rows[up][at]
}

// bytes is what a tile takes in memory, its rows included.
func (t *tile) bytes() int64 { return int64(len(t.hashes))*64 + 256 }

// tile returns a tile with at least the given number of hashes.
func (l *Log) tile(level int, n uint64, width int) (*tile, error) {
	l.mu.RLock()
	total := l.head.Size >> (tileBits * level)
	var tail [][32]byte
	if level == 0 && n == total>>tileBits {
		// The last level-0 tile grows with every append: it is not kept, and only as much of it made as is needed.
		tail = append(tail, l.tail[:min(width, len(l.tail))]...)
	}
	l.mu.RUnlock()
	var have uint64
	if first := n << tileBits; n <= total>>tileBits && first <= total {
		have = min(tileWidth, total-first)
	}
	if have < uint64(width) {
		return nil, fmt.Errorf("%w: tile %d of level %d has %d hashes, not %d", ErrNotFound, n, level, have, width)
	}
	if tail != nil {
		return newTile(tail), nil
	}
	key := cacheKey{kind: cacheTile, generation: uint64(level), at: n, width: have}
	if t := cached[tile](l.cache, key); t != nil {
		return t, nil
	}
	hashes, err := l.tileHashes(level, n, int(have))
	if err != nil {
		return nil, err
	}
	t := newTile(hashes)
	l.cache.put(key, t, t.bytes())
	return t, nil
}

func (l *Log) tileHashes(level int, n uint64, count int) ([][32]byte, error) {
	if level > 0 {
		return l.hashes.read(level, n<<tileBits, count)
	}
	hashes := make([][32]byte, 0, count)
	first := n << tileBits
	err := l.leaves(first, first+uint64(count), func(h [32]byte) error {
		hashes = append(hashes, h)
		return nil
	})
	return hashes, err
}

// Tile returns the first width hashes, 32 bytes each, of a tile (C2SP tlog-tiles): level 0 has the leaf hashes, each
// level above the roots of 256 hashes below. width is 1 to 256. ErrNotFound when the log is not that long yet.
func (l *Log) Tile(level int, n uint64, width int) ([]byte, error) {
	if level < 0 || level >= maxLevel || width < 1 || width > tileWidth || bits.Len64(n) > 64-tileBits*(level+1) {
		return nil, fmt.Errorf("%w: tile %d of level %d with %d hashes", ErrNotFound, n, level, width)
	}
	t, err := l.tile(level, n, width)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, 32*width)
	for i := range width {
		out = append(out, t.hashes[i][:]...)
	}
	return out, nil
}

// EntryTile returns the first width entries of an entry bundle (C2SP tlog-tiles): each encoded entry after its length
// in 2 bytes, big-endian. width is 1 to 256. ErrNotFound when the log is not that long yet.
func (l *Log) EntryTile(n uint64, width int) ([]byte, error) {
	head := l.Head()
	if width < 1 || width > tileWidth || n > head.Size>>tileBits || head.Size-n<<tileBits < uint64(width) {
		return nil, fmt.Errorf("%w: entry bundle %d with %d entries, the log has %d", ErrNotFound, n, width, head.Size)
	}
	var out []byte
	for i := range uint64(width) {
		r, err := l.Record(n<<tileBits + i)
		if err != nil {
			return nil, err
		}
		at := len(out)
		out = r.Entry.AppendBinary(append(out, 0, 0))
		binary.BigEndian.PutUint16(out[at:], uint16(len(out)-at-2))
	}
	return out, nil
}

// keepTiles puts the level-0 tiles that a block completes into the cache, because the newest entries are those that
// proofs are asked for most.
func (l *Log) keepTiles(s *Staged) {
	if len(l.tail)+len(s.leaves) < tileWidth {
		return
	}
	hashes := append(append(make([][32]byte, 0, len(l.tail)+len(s.leaves)), l.tail...), s.leaves...)
	// Of a very large block the last tiles suffice.
	n := (s.before.Size) >> tileBits
	for ; len(hashes) >= tileWidth; n++ {
		if len(hashes) < maxKeptTiles*tileWidth {
			t := newTile(hashes[:tileWidth:tileWidth])
			l.cache.put(cacheKey{kind: cacheTile, at: n, width: tileWidth}, t, t.bytes())
		}
		hashes = hashes[tileWidth:]
	}
}

const maxKeptTiles = 4
