package translog

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/proof"
)

// A frame of version 2 has of its signed requests, behind the columns, for each entry whose key's method is
// proof.AuthSignature, in order:
//
//	varint counter less the one expected: of the key's entry before, plus 1; 1 for the first
//
// and then for each of them that is not erased:
//
//	uvarint bytes of the signed text with what belongs to it (proof.Signed without its signature)
//
// and then these bytes. The signatures are the last of the plain part, in the same order.
const (
	frameVersion  = 1
	signedVersion = 2
)

// signatures appends the signatures to the plain part.
func (c *encoder) signatures(blocks []*Block) {
	c.eachSigned(blocks, func(r *Record) { c.plain = append(c.plain, r.Signed[:ed25519.SignatureSize]...) })
}

// signed appends counters and texts to raw.
func (c *encoder) signed(blocks []*Block) {
	if c.version != signedVersion {
		return
	}
	expected := make([]uint64, len(c.authList))
	entry := 0
	for _, b := range blocks {
		for i := range b.Records {
			if r := &b.Records[i]; r.signed() {
				next := &expected[c.auth[entry]]
				c.raw = binary.AppendVarint(c.raw, int64(r.Entry.Auth.Counter-*next-1))
				*next = r.Entry.Auth.Counter
			}
			entry++
		}
	}
	c.eachSigned(blocks, func(r *Record) { c.raw = binary.AppendUvarint(c.raw, uint64(len(r.Signed)-ed25519.SignatureSize)) })
	c.eachSigned(blocks, func(r *Record) { c.raw = append(c.raw, r.Signed[ed25519.SignatureSize:]...) })
}

// eachSigned calls f with every record that has a signature.
func (c *encoder) eachSigned(blocks []*Block, f func(*Record)) {
	if c.version != signedVersion {
		return
	}
	for _, b := range blocks {
		for i := range b.Records {
			if r := &b.Records[i]; r.Signed != nil {
				f(r)
			}
		}
	}
}

// signedColumns is what a decoded frame has of signed requests; nothing when there are none.
type signedColumns struct {
	counters []uint64 // of each entry of the frame, 0 for one that is not signed
	ends     []uint32 // end of each entry's part of bytes
	bytes    []byte
}

func (s *signedColumns) memory() int { return len(s.bytes) + 12*len(s.counters) }

// at returns counter and signature of an entry.
func (s *signedColumns) at(entry int) (counter uint64, signed []byte) {
	if s.counters == nil {
		return 0, nil
	}
	start := uint32(0)
	if entry > 0 {
		start = s.ends[entry-1]
	}
	if end := s.ends[entry]; end > start {
		signed = s.bytes[start:end:end]
	}
	return s.counters[entry], signed
}

// decodeSigned reads what a frame of version 2 has of signed requests. It takes the signatures off the end of the plain
// part.
func (f *frame) decodeSigned(h *header, p, r *reader) error {
	signed := func(e int) bool { return f.auths[f.auth.at(e)].Method == proof.AuthSignature }
	if h.version != signedVersion {
		for i := range f.auths {
			if f.auths[i].Method == proof.AuthSignature {
				return errors.New("a signed request in a frame of version 1")
			}
		}
		return nil
	}
	s := &f.signed
	s.counters, s.ends = make([]uint64, f.entries), make([]uint32, f.entries)
	last := make([]uint64, len(f.auths))
	for e := range s.counters {
		if !signed(e) {
			continue
		}
		before := &last[f.auth.at(e)]
		*before += 1 + uint64(r.varint())
		s.counters[e] = *before
		if r.err == nil && (*before == 0 || *before > 1<<63-1) {
			return fmt.Errorf("entry %d: counter %d", e, *before)
		}
	}
	const size = ed25519.SignatureSize
	lengths := make([]int, 0, min(f.entries, len(p.rest)/size))
	total := 0
	for e := range s.ends {
		if signed(e) && f.salt.at(e) != saltErased {
			n := r.count("signed text", maxSigned-size)
			if len(lengths) == cap(lengths) || n == 0 {
				return fmt.Errorf("entry %d: no signed text, or no signature", e)
			}
			lengths = append(lengths, n)
			total += size + n
		}
		if total > maxRaw {
			return fmt.Errorf("signed texts of more than %d bytes", maxRaw)
		}
		s.ends[e] = uint32(total)
	}
	if r.err != nil {
		return fmt.Errorf("signed requests: %w", r.err)
	}
	at := len(p.rest) - size*len(lengths)
	signatures := p.rest[at:]
	p.rest = p.rest[:at]
	if total-size*len(lengths) > len(r.rest) {
		return errShort
	}
	s.bytes = make([]byte, 0, total)
	for i, n := range lengths {
		s.bytes = append(append(s.bytes, signatures[i*size:(i+1)*size]...), r.bytes(n)...)
	}
	return nil
}
