package tree

import (
	"encoding/binary"
	"errors"

	"github.com/tallystick/tallystick/internal/cse"
)

// container is what the tree keeps of one container beside its resource: counters and the ends of its posting list.
// A container in the cache is shared and never changed. Byte slices are only ever appended to or replaced, so that
// a copy of the struct is a snapshot.
type container struct {
	cse.Counters
	named uint64 // live instances with a name of their own
	dated bool   // it is a timeSeries: postings have the time of generation; meaningless when Count is 0

	// The posting list is the chunks under p/ and the tail, in ascending order of their names.
	first    uint64 // name of the chunk, or the tail, that holds the oldest live posting
	skip     int    // postings at its front that are gone
	tailName uint64 // meaningless when tailN is 0
	tailN    int
	tail     []byte
	last     posting // the last of the tail

	// head is where the oldest live posting lies in the first chunk; found when first needed.
	head head
}

type head struct {
	known bool
	chunk []byte // postings of the first chunk; unused while that is the tail
	n     int    // how many; likewise
	off   int
	prev  posting
}

// headOf is the head at the very start of the tail.
func headOf(tailName uint64) head {
	return head{known: true, prev: posting{InstanceRef: cse.InstanceRef{Index: tailName}}}
}

// headInTail says that the tail holds the oldest live posting.
func (c *container) headInTail() bool { return c.tailN > 0 && c.first == c.tailName }

// hasChunks says that there are chunks beside the tail.
func (c *container) hasChunks() bool { return c.Count > 0 && !c.headInTail() }

// size estimates the memory that c takes in a cache.
func (c *container) size() int64 { return int64(cap(c.tail)+len(c.head.chunk)) + 400 }

// datedFlag is set in the number of postings in the tail when they are dated.
const datedFlag = 0x80

// encode appends the record of c.
func (c *container) encode(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, c.StateTag)
	dst = binary.AppendUvarint(dst, uint64(c.Modified))
	dst = binary.AppendUvarint(dst, c.Count)
	if c.Count == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, c.Bytes)
	dst = binary.AppendUvarint(dst, c.named)
	dst = binary.AppendUvarint(dst, c.first)
	dst = binary.AppendUvarint(dst, c.Oldest-c.first)
	dst = binary.AppendUvarint(dst, c.Newest-c.Oldest)
	tailN := byte(c.tailN)
	if c.dated {
		tailN |= datedFlag
	}
	dst = append(dst, byte(c.skip), tailN)
	if c.tailN > 0 {
		dst = binary.AppendUvarint(dst, c.tailName-c.first)
		dst = append(dst, c.tail...)
	}
	return dst
}

var errContainer = errors.New("malformed container record")

// decodeContainer decodes a record that encode made. The result does not refer to b.
func decodeContainer(b []byte) (*container, error) {
	d := decoder{b: b}
	c := new(container)
	c.StateTag = d.uvarint()
	c.Modified = int64(d.uvarint())
	c.Count = d.uvarint()
	if c.Count == 0 {
		if d.bad || len(d.b) != 0 {
			return nil, errContainer
		}
		return c, nil
	}
	c.Bytes = d.uvarint()
	c.named = d.uvarint()
	c.first = d.uvarint()
	c.Oldest = c.first + d.uvarint()
	c.Newest = c.Oldest + d.uvarint()
	c.skip = int(d.byte())
	tailN := d.byte()
	c.dated, c.tailN = tailN&datedFlag != 0, int(tailN&^datedFlag)
	if d.bad || c.Oldest < c.first || c.Newest < c.Oldest || c.skip >= chunkLimit || c.tailN > chunkLimit || c.named > c.Count {
		return nil, errContainer
	}
	if c.tailN == 0 {
		if len(d.b) != 0 {
			return nil, errContainer
		}
		return c, nil
	}
	c.tailName = c.first + d.uvarint()
	if d.bad || c.tailName < c.first || c.tailName > c.Newest {
		return nil, errContainer
	}
	if c.headInTail() && (c.skip >= c.tailN || c.Count != uint64(c.tailN-c.skip)) {
		return nil, errContainer
	}
	c.tail = append([]byte(nil), d.b...)
	var room [chunkLimit]posting
	ps, err := readPostings(room[:0], c.tailName, c.tailN, c.tail, c.dated)
	if err != nil {
		return nil, err
	}
	c.last = ps[len(ps)-1]
	if c.last.Index != c.Newest || c.headInTail() && ps[c.skip].Index != c.Oldest {
		return nil, errContainer
	}
	return c, nil
}

// push adds a posting at the tail. It returns the chunk that this filled, if any.
func (c *container) push(p *posting) (full stagedChunk, filled bool, err error) {
	if c.tailN == chunkLimit {
		// A container that keeps only few instances never gets to have chunks: dead postings make room first.
		if c.headInTail() && c.skip >= chunkLimit/2 {
			if err := c.trimTail(); err != nil {
				return full, false, err
			}
		} else {
			full, filled = stagedChunk{name: c.tailName, record: encodeChunk(c.tailN, c.tail)}, true
			if c.headInTail() && c.head.known {
				c.head.chunk, c.head.n = full.record[1:], c.tailN
			}
			c.tail, c.tailN = nil, 0
		}
	}
	if c.tailN == 0 {
		c.tailName = p.Index
		c.last = posting{InstanceRef: cse.InstanceRef{Index: p.Index}}
	}
	c.tail = appendPosting(c.tail, &c.last, p, c.dated)
	c.tailN++
	c.last = *p
	if c.Count == 0 {
		c.Oldest, c.first, c.skip = p.Index, c.tailName, 0
		c.head = headOf(c.tailName)
	}
	c.Newest = p.Index
	c.Count++
	c.Bytes += p.Size
	if p.named {
		c.named++
	}
	c.StateTag, c.Modified = p.StateTag, p.Time
	return full, filled, nil
}

// trimTail writes the tail anew without the postings that are gone from its front.
func (c *container) trimTail() error {
	var room [chunkLimit]posting
	ps, err := readPostings(room[:0], c.tailName, c.tailN, c.tail, c.dated)
	if err != nil {
		return err
	}
	c.setTail(ps[c.skip:])
	return nil
}

// setTail replaces the tail, which holds the head too when the head was in it.
func (c *container) setTail(ps []posting) {
	inTail := c.headInTail()
	c.tail, c.tailN = nil, len(ps)
	if len(ps) == 0 {
		return
	}
	if inTail {
		c.tailName = ps[0].Index
		c.first, c.skip = c.tailName, 0
		c.head = headOf(c.tailName)
	}
	c.tail = appendPostings(make([]byte, 0, 16*len(ps)), c.tailName, ps, c.dated)
	c.last = ps[len(ps)-1]
}

// discount takes a removed posting out of the counters; the last one empties the container.
func (c *container) discount(p *posting) {
	c.Count--
	c.Bytes -= p.Size
	if p.named {
		c.named--
	}
	if c.Count == 0 {
		*c = container{Counters: cse.Counters{StateTag: c.StateTag, Modified: c.Modified}}
	}
}
