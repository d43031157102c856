package translog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A column holds one number of every entry of a frame. On disk: 0 and one number when all are equal, else 1 and
// the numbers, each as an unsigned varint. Small frames are mostly equal columns, which so cost two bytes.
const (
	columnConst = 0
	columnEach  = 1
)

// appendColumn encodes values.
func appendColumn(dst []byte, values []uint32) []byte {
	constant := true
	for _, v := range values {
		if v != values[0] {
			constant = false
			break
		}
	}
	if constant {
		return binary.AppendUvarint(append(dst, columnConst), uint64(values[0]))
	}
	dst = append(dst, columnEach)
	for _, v := range values {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	return dst
}

// column is a decoded column: a constant one takes no memory, whatever count a damaged file claims.
type column struct {
	constant uint32
	values   []uint32 // nil when constant
}

func (c *column) at(i int) uint32 {
	if c.values == nil {
		return c.constant
	}
	return c.values[i]
}

var errShort = errors.New("ends too early")

// reader takes fields from the front of a body. The first failure sticks, and everything read after it is zero.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
		r.rest = nil
	}
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads a number that must not be above limit.
func (r *reader) count(what string, limit int) int {
	v := r.uvarint()
	if v > uint64(limit) {
		r.fail(fmt.Errorf("%s: %d, the limit is %d", what, v, limit))
		return 0
	}
	return int(v)
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail(errShort)
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) value(what string, limit uint32) uint32 {
	v := r.uvarint()
	if v > uint64(limit) {
		r.fail(fmt.Errorf("%s: %d, the limit is %d", what, v, limit))
		return 0
	}
	return uint32(v)
}

// column reads n numbers of at most limit.
func (r *reader) column(what string, n int, limit uint32) column {
	switch kind := r.bytes(1); {
	case r.err != nil:
		return column{}
	case kind[0] == columnConst:
		return column{constant: r.value(what, limit)}
	case kind[0] != columnEach:
		r.fail(fmt.Errorf("%s: column kind %d is not known", what, kind[0]))
		return column{}
	}
	if n > len(r.rest) {
		r.fail(errShort)
		return column{}
	}
	values := make([]uint32, n)
	rest := r.rest
	for i := range values {
		// Most numbers take one byte.
		if len(rest) > 0 && rest[0] < 0x80 && uint32(rest[0]) <= limit {
			values[i] = uint32(rest[0])
			rest = rest[1:]
			continue
		}
		v, w := binary.Uvarint(rest)
		if w <= 0 || v > uint64(limit) || v > math.MaxUint32 {
			r.fail(fmt.Errorf("%s of entry %d: no number up to %d", what, i, limit))
			return column{}
		}
		values[i] = uint32(v)
		rest = rest[w:]
	}
	r.rest = rest
	return column{values: values}
}
