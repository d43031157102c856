package translog

import (
	"crypto/sha256"
	"math/bits"

	"github.com/transparency-dev/merkle/rfc6962"
)

// tileBits is the height of a tile: a tile holds up to 256 hashes (C2SP tlog-tiles).
const (
	tileBits  = 8
	tileWidth = 1 << tileBits
	maxLevel  = 64 / tileBits // levels of tiles that a log can have
)

// edge is the right edge of the tree of the first size leaves: the roots of the complete subtrees that cover it.
// It is a value: a copy can grow without touching the original.
type edge struct {
	size  uint64
	nodes [64][32]byte // nodes[level] counts when bit level of size is set
}

// sum is the root of a complete subtree of 256^level leaves.
type sum struct {
	level int
	n     uint64 // its place among the subtrees of that level
	hash  [32]byte
}

// nodeHash is the hash of an inner node (RFC 6962 section 2.1).
func nodeHash(left, right *[32]byte) [32]byte {
	var b [65]byte
	b[0] = rfc6962.RFC6962NodeHashPrefix
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// add appends a leaf and returns sums with the tile roots that it completed.
func (e *edge) add(leaf [32]byte, sums []sum) []sum {
	h, level := leaf, 0
	for ; e.size>>level&1 == 1; level++ {
		h = nodeHash(&e.nodes[level], &h)
		if up := level + 1; up%tileBits == 0 {
			sums = append(sums, sum{level: up / tileBits, n: (e.size+1)>>up - 1, hash: h})
		}
	}
	e.nodes[level] = h
	e.size++
	return sums
}

// root is the Merkle tree hash (RFC 6962 section 2.1).
func (e *edge) root() [32]byte {
	if e.size == 0 {
		return sha256.Sum256(nil)
	}
	level := bits.TrailingZeros64(e.size)
	h := e.nodes[level]
	for level++; level < bits.Len64(e.size); level++ {
		if e.size>>level&1 == 1 {
			h = nodeHash(&e.nodes[level], &h)
		}
	}
	return h
}
