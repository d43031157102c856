package tree

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/internal/cse"
)

// chunkLimit is the number of postings that fill a chunk. A container that gets one instance in each block rewrites its
// tail chunk each time, so the tail is kept to a few hundred bytes.
const chunkLimit = 64

// maxNumber bounds times and sizes, so that no difference of two overflows.
const maxNumber = 1 << 61

// posting is one entry of a posting list.
type posting struct {
	cse.InstanceRef
	named bool // the client chose a name: there is a record of it
}

var errPosting = errors.New("malformed posting")

func checkPosting(r *cse.InstanceRef) error {
	if r.Size >= maxNumber || r.Time < 0 || r.Time >= maxNumber || r.Expires < 0 || r.Expires >= maxNumber ||
		r.Generated < 0 || r.Generated >= maxNumber {
		return fmt.Errorf("tree: instance %d: size %d, time %d, expiry %d or time of generation %d out of range", r.Index, r.Size, r.Time, r.Expires, r.Generated)
	}
	return nil
}

func (p *posting) lifetime() int64 {
	if p.Expires == 0 {
		return 0
	}
	return p.Expires - p.Time
}

// lag is how much later than it was received an instance says it was generated.
func (p *posting) lag() int64 { return p.Generated - p.Time }

func zigzag(n int64) uint64   { return uint64(n<<1) ^ uint64(n>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// appendPosting encodes p as differences from prev, five to eight bytes for a steady sensor. The first posting of
// a chunk has posting{Index: name of the chunk} before it. In a dated list, that of a timeSeries, postings have the time
// of generation too.
func appendPosting(dst []byte, prev, p *posting, dated bool) []byte {
	dst = binary.AppendUvarint(dst, p.Index-prev.Index)
	size := p.Size << 1
	if p.named {
		size |= 1
	}
	dst = binary.AppendUvarint(dst, size)
	dst = binary.AppendUvarint(dst, zigzag(int64(p.StateTag-prev.StateTag-1)))
	dst = binary.AppendUvarint(dst, zigzag(p.Time-prev.Time))
	if p.Expires == 0 {
		dst = append(dst, 0)
	} else {
		dst = binary.AppendUvarint(dst, 1+zigzag(p.lifetime()-prev.lifetime()))
	}
	if dated {
		dst = binary.AppendUvarint(dst, zigzag(p.lag()-prev.lag()))
	}
	return dst
}

// readPosting decodes the posting at the start of b into p and returns its length.
func readPosting(b []byte, prev, p *posting, dated bool) (int, error) {
	var f [6]uint64
	at, fields := 0, 5
	if dated {
		fields = 6
	}
	for i := range fields {
		if at < len(b) && b[at] < 0x80 {
			f[i] = uint64(b[at])
			at++
			continue
		}
		u, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return 0, errPosting
		}
		f[i] = u
		at += n
	}
	next := posting{named: f[1]&1 != 0}
	next.Index = prev.Index + f[0]
	next.Size = f[1] >> 1
	next.StateTag = prev.StateTag + 1 + uint64(unzigzag(f[2]))
	next.Time = prev.Time + unzigzag(f[3])
	if f[4] != 0 {
		next.Expires = next.Time + prev.lifetime() + unzigzag(f[4]-1)
		if next.Expires == 0 {
			return 0, errPosting
		}
	}
	if dated {
		next.Generated = next.Time + prev.lag() + unzigzag(f[5])
	}
	if next.Index < prev.Index || checkPosting(&next.InstanceRef) != nil {
		return 0, errPosting
	}
	*p = next
	return at, nil
}

// readPostings decodes all n postings of a chunk, appended to dst. Indexes ascend strictly.
func readPostings(dst []posting, name uint64, n int, b []byte, dated bool) ([]posting, error) {
	prev := posting{InstanceRef: cse.InstanceRef{Index: name}}
	for i := range n {
		var p posting
		k, err := readPosting(b, &prev, &p, dated)
		if err != nil {
			return nil, err
		}
		if i > 0 && p.Index == prev.Index {
			return nil, errPosting
		}
		dst = append(dst, p)
		prev, b = p, b[k:]
	}
	if len(b) != 0 {
		return nil, errPosting
	}
	return dst, nil
}

// appendPostings encodes postings as the content of the chunk with that name.
func appendPostings(dst []byte, name uint64, ps []posting, dated bool) []byte {
	prev := &posting{InstanceRef: cse.InstanceRef{Index: name}}
	for i := range ps {
		dst = appendPosting(dst, prev, &ps[i], dated)
		prev = &ps[i]
	}
	return dst
}

// encodeChunk makes the record of a full chunk: the number of postings, then the postings.
func encodeChunk(n int, postings []byte) []byte {
	return append(append(make([]byte, 0, len(postings)+1), byte(n)), postings...)
}

// splitChunk takes the record of a chunk apart.
func splitChunk(record []byte) (n int, postings []byte, err error) {
	if len(record) == 0 || record[0] == 0 || record[0] > chunkLimit {
		return 0, nil, errors.New("malformed chunk: its number of postings is not 1 to 64")
	}
	return int(record[0]), record[1:], nil
}

// decodeChunk decodes the record of a chunk, appended to dst.
func decodeChunk(dst []posting, name uint64, record []byte, dated bool) ([]posting, error) {
	n, b, err := splitChunk(record)
	if err != nil {
		return nil, err
	}
	return readPostings(dst, name, n, b, dated)
}
