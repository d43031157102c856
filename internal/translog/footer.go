package translog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A sealed segment ends with an index of its frames, the footer, and a trailer of fixed size that leads to it.
// Format version 1:
//
//	footer:  "TLI" version=1 | uvarint frames | for each: uvarint bytes, uvarint entries
//	trailer: first index, next index, height of the last block, 8 bytes little-endian each;
//	         footer bytes, CRC32C of the footer, CRC32C of the trailer up to here, 4 bytes little-endian each;
//	         "TLE" version=1
const (
	footerMagic  = "TLI\x01"
	trailerMagic = "TLE\x01"
	trailerSize  = 3*8 + 3*4 + len(trailerMagic)
	maxFooter    = 1 << 26
)

// frameRef is the place of a frame in a segment file.
type frameRef struct {
	first  uint64 // index of its first entry
	offset int64
}

// trailer is the end of a sealed segment.
type trailer struct {
	first, next, height uint64
	footer              int // bytes
	sum                 uint32
}

// appendFooter encodes the footer and trailer of a segment with these frames, the last of which ends at end.
func appendFooter(dst []byte, refs []frameRef, end int64, next, height uint64) []byte {
	start := len(dst)
	dst = append(dst, footerMagic...)
	dst = binary.AppendUvarint(dst, uint64(len(refs)))
	for i, r := range refs {
		after := frameRef{next, end}
		if i+1 < len(refs) {
			after = refs[i+1]
		}
		dst = binary.AppendUvarint(dst, uint64(after.offset-r.offset))
		dst = binary.AppendUvarint(dst, after.first-r.first)
	}
	size, sum := len(dst)-start, crc32.Checksum(dst[start:], castagnoli)
	start = len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, refs[0].first)
	dst = binary.LittleEndian.AppendUint64(dst, next)
	dst = binary.LittleEndian.AppendUint64(dst, height)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, trailerMagic...)
}

// isTrailer says whether a file that ends with b was sealed, however damaged it may be.
func isTrailer(b []byte) bool {
	return len(b) == trailerSize && string(b[trailerSize-len(trailerMagic):]) == trailerMagic
}

// parseTrailer decodes the last trailerSize bytes of a sealed segment.
func parseTrailer(b []byte) (trailer, error) {
	if !isTrailer(b) {
		return trailer{}, errors.New("no trailer")
	}
	t := trailer{
		first:  binary.LittleEndian.Uint64(b),
		next:   binary.LittleEndian.Uint64(b[8:]),
		height: binary.LittleEndian.Uint64(b[16:]),
		footer: int(binary.LittleEndian.Uint32(b[24:])),
		sum:    binary.LittleEndian.Uint32(b[28:]),
	}
	if sum := crc32.Checksum(b[:32], castagnoli); sum != binary.LittleEndian.Uint32(b[32:]) {
		return trailer{}, fmt.Errorf("trailer checksum does not match its bytes")
	}
	if t.next <= t.first || t.footer > maxFooter {
		return trailer{}, fmt.Errorf("trailer: indexes %d to %d, footer of %d bytes", t.first, t.next, t.footer)
	}
	return t, nil
}

// parseFooter decodes the footer that a trailer leads to and returns the frames and where the last one ends.
func parseFooter(b []byte, t trailer) ([]frameRef, int64, error) {
	if len(b) != t.footer {
		return nil, 0, fmt.Errorf("footer of %d bytes, the trailer says %d", len(b), t.footer)
	}
	if sum := crc32.Checksum(b, castagnoli); sum != t.sum {
		return nil, 0, fmt.Errorf("footer checksum %08x, the bytes have %08x", t.sum, sum)
	}
	if len(b) < len(footerMagic) || string(b[:len(footerMagic)]) != footerMagic {
		return nil, 0, errors.New("no footer starts here")
	}
	r := reader{rest: b[len(footerMagic):]}
	refs := make([]frameRef, r.count("frames", len(r.rest)/2))
	at := frameRef{first: t.first}
	for i := range refs {
		refs[i] = at
		at.offset += int64(r.count("frame bytes", math.MaxInt32))
		at.first += uint64(r.count("frame entries", maxEntries))
		if at.first == refs[i].first {
			r.fail(errors.New("a frame without entries"))
		}
	}
	switch {
	case r.err != nil:
		return nil, 0, fmt.Errorf("footer: %w", r.err)
	case len(refs) == 0 || len(r.rest) > 0 || at.first != t.next:
		return nil, 0, fmt.Errorf("footer: %d frames up to index %d of %d, %d bytes left", len(refs), at.first, t.next, len(r.rest))
	}
	return refs, at.offset, nil
}
