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
	if r.Size >= maxNumber || r.Time < 0 || r.Time >= maxNumber || r.Expires < 0 || r.Expires >= maxNumber {
		return fmt.Errorf("tree: instance %d: size %d, time %d or expiry %d out of range", r.Index, r.Size, r.Time, r.Expires)
	}
	return nil
}

func (p *posting) lifetime() int64 {
	if p.Expires == 0 {
		return 0
	}
	return p.Expires - p.Time
}

func zigzag(n int64) uint64   { return uint64(n<<1) ^ uint64(n>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// appendPosting encodes p as differences from prev, five to eight bytes for a steady sensor. The first posting of
// a chunk has posting{Index: name of the chunk} before it.
func appendPosting(dst []byte, prev, p *posting) []byte {
	dst = binary.AppendUvarint(dst, p.Index-prev.Index)
	size := p.Size << 1
	if p.named {
		size |= 1
	}
	dst = binary.AppendUvarint(dst, size)
	dst = binary.AppendUvarint(dst, zigzag(int64(p.StateTag-prev.StateTag-1)))
	dst = binary.AppendUvarint(dst, zigzag(p.Time-prev.Time))
	if p.Expires == 0 {
		return append(dst, 0)
	}
	return binary.AppendUvarint(dst, 1+zigzag(p.lifetime()-prev.lifetime()))
}

// readPosting decodes the posting at the start of b into p and returns its length.
func readPosting(b []byte, prev, p *posting) (int, error) {
	var f [5]uint64
	at := 0
	for i := range f {
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
	if next.Index < prev.Index || checkPosting(&next.InstanceRef) != nil {
		return 0, errPosting
	}
	*p = next
	return at, nil
}

// readPostings decodes all n postings of a chunk, appended to dst. Indexes ascend strictly.
func readPostings(dst []posting, name uint64, n int, b []byte) ([]posting, error) {
	prev := posting{InstanceRef: cse.InstanceRef{Index: name}}
	for i := range n {
		var p posting
		k, err := readPosting(b, &prev, &p)
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
func appendPostings(dst []byte, name uint64, ps []posting) []byte {
	prev := &posting{InstanceRef: cse.InstanceRef{Index: name}}
	for i := range ps {
		dst = appendPosting(dst, prev, &ps[i])
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
func decodeChunk(dst []posting, name uint64, record []byte) ([]posting, error) {
	n, b, err := splitChunk(record)
	if err != nil {
		return nil, err
	}
	return readPostings(dst, name, n, b)
}
