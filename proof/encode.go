package proof

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// The versions of entries: the first element of every encoded one. Which one it is follows from the entry.
const (
	entryVersion       = 1
	signedEntryVersion = 2 // of entries with AuthSignature
)

// entryFields is the number of elements of the array that encodes an entry of version 1; version 2 has one more.
const entryFields = 12

// The CBOR major types that an entry uses (RFC 8949 section 3.1), shifted to their place in the initial byte.
const (
	majorUint  = 0 << 5
	majorNint  = 1 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5
)

// appendHead appends the initial byte of a data item and its argument in the shortest form (RFC 8949 section 4.2.1).
func appendHead(dst []byte, major byte, arg uint64) []byte {
	switch {
	case arg < 24:
		return append(dst, major|byte(arg))
	case arg <= 0xff:
		return append(dst, major|24, byte(arg))
	case arg <= 0xffff:
		return append(dst, major|25, byte(arg>>8), byte(arg))
	case arg <= 0xffffffff:
		return append(dst, major|26, byte(arg>>24), byte(arg>>16), byte(arg>>8), byte(arg))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), arg)
}

// appendText appends a text string (RFC 8949 section 3.1, major type 3).
func appendText(dst []byte, s string) []byte {
	return append(appendHead(dst, majorText, uint64(len(s))), s...)
}

// AppendBinary appends the encoding of the entry to dst and returns the extended slice. It does not check the
// entry: the IDs must be valid UTF-8 of at most MaxID bytes, and a counter from 1 to 2^63-1 where there must be one,
// otherwise DecodeEntry refuses the result.
func (e *Entry) AppendBinary(dst []byte) []byte {
	if e.Auth.Method == AuthSignature {
		dst = append(dst, majorArray|(entryFields+1), majorUint|signedEntryVersion)
	} else {
		dst = append(dst, majorArray|entryFields, majorUint|entryVersion)
	}
	dst = appendHead(dst, majorUint, e.Height)
	if e.Time >= 0 {
		dst = appendHead(dst, majorUint, uint64(e.Time))
	} else {
		dst = appendHead(dst, majorNint, ^uint64(e.Time)) // RFC 8949 section 3.1: a negative integer n is written as -1-n
	}
	dst = appendHead(dst, majorUint, uint64(e.Operation))
	dst = appendText(dst, e.Originator)
	dst = appendText(dst, e.Target)
	dst = appendText(dst, e.Resource)
	dst = appendHead(dst, majorUint, uint64(e.Type))
	dst = appendHead(dst, majorUint, uint64(e.Status))
	dst = append(dst, majorBytes|24, byte(len(e.Commitment)))
	dst = append(dst, e.Commitment[:]...)
	dst = appendHead(dst, majorUint, uint64(e.Auth.Method))
	dst = append(dst, majorBytes|byte(len(e.Auth.Key)))
	dst = append(dst, e.Auth.Key[:]...)
	if e.Auth.Method == AuthSignature {
		dst = appendHead(dst, majorUint, e.Auth.Counter)
	}
	return dst
}

// DecodeEntry decodes an entry. It accepts only the bytes that AppendBinary produces for that entry: integers and
// lengths in their shortest form, definite lengths, valid UTF-8, IDs of at most MaxID bytes, nothing after the end
// (RFC 8949 section 4.2.1). An entry of another version is refused with an error that names the version.
// The entry keeps no reference to b.
func DecodeEntry(b []byte) (Entry, error) {
	if len(b) > MaxEntry {
		return Entry{}, fmt.Errorf("decode entry: %d bytes, the limit is %d", len(b), MaxEntry)
	}
	d := entryDecoder{rest: b}
	e, err := d.entry()
	if err != nil {
		return Entry{}, fmt.Errorf("decode entry: byte %d: %w", len(b)-len(d.rest), err)
	}
	return e, nil
}

// entryDecoder reads an entry item by item; rest is what is not read yet.
type entryDecoder struct {
	rest []byte
}

func (d *entryDecoder) entry() (e Entry, err error) {
	n, err := d.expect("array", majorArray)
	if err != nil {
		return e, err
	}
	// The version is read before the length of the array is judged, because another version may have another length.
	version, err := d.uint("version", 1<<64-1)
	if err != nil {
		return e, err
	}
	signed := version == signedEntryVersion
	if version != entryVersion && !signed {
		return e, fmt.Errorf("version %d is not known, this program knows %d and %d", version, entryVersion, signedEntryVersion)
	}
	fields := uint64(entryFields)
	if signed {
		fields++
	}
	if n != fields {
		return e, fmt.Errorf("array of %d elements, version %d has %d", n, version, fields)
	}
	if e.Height, err = d.uint("height", 1<<64-1); err != nil {
		return e, err
	}
	if e.Time, err = d.int("time"); err != nil {
		return e, err
	}
	op, err := d.uint("operation", 1<<8-1)
	if err != nil {
		return e, err
	}
	e.Operation = Operation(op)
	if e.Originator, err = d.id("originator"); err != nil {
		return e, err
	}
	if e.Target, err = d.id("target"); err != nil {
		return e, err
	}
	if e.Resource, err = d.id("resource"); err != nil {
		return e, err
	}
	typ, err := d.uint("type", 1<<32-1)
	if err != nil {
		return e, err
	}
	e.Type = uint32(typ)
	status, err := d.uint("status", 1<<32-1)
	if err != nil {
		return e, err
	}
	e.Status = uint32(status)
	if err := d.bytes("commitment", e.Commitment[:]); err != nil {
		return e, err
	}
	method, err := d.uint("authentication method", 1<<8-1)
	if err != nil {
		return e, err
	}
	e.Auth.Method = AuthMethod(method)
	if signed != (e.Auth.Method == AuthSignature) {
		return e, fmt.Errorf("authentication method %d in version %d", method, version)
	}
	if err := d.bytes("authentication key", e.Auth.Key[:]); err != nil {
		return e, err
	}
	if signed {
		if e.Auth.Counter, err = d.uint("counter", 1<<63-1); err != nil {
			return e, err
		}
		if e.Auth.Counter == 0 {
			return e, errors.New("counter: 0 is none")
		}
	}
	if len(d.rest) > 0 {
		return e, fmt.Errorf("%d bytes after the end", len(d.rest))
	}
	return e, nil
}

var (
	errTruncated = errors.New("ends too early")
	errNotShort  = errors.New("integer or length is not in its shortest form")
	errLength    = errors.New("indefinite or reserved length")
)

// head reads an initial byte and its argument and refuses any but the shortest form.
func (d *entryDecoder) head() (major byte, arg uint64, err error) {
	if len(d.rest) == 0 {
		return 0, 0, errTruncated
	}
	major, info := d.rest[0]&0xe0, d.rest[0]&0x1f
	if info < 24 {
		d.rest = d.rest[1:]
		return major, uint64(info), nil
	}
	if info > 27 {
		return 0, 0, errLength
	}
	size := 1 << (info - 24)
	if len(d.rest) < 1+size {
		return 0, 0, errTruncated
	}
	for _, c := range d.rest[1 : 1+size] {
		arg = arg<<8 | uint64(c)
	}
	// The smallest argument that needs this form: 24 for one byte, else one more than the next smaller form holds.
	least := uint64(24)
	if size > 1 {
		least = 1 << (4 * size)
	}
	if arg < least {
		return 0, 0, errNotShort
	}
	d.rest = d.rest[1+size:]
	return major, arg, nil
}

// expect reads a head that must be of the given major type.
func (d *entryDecoder) expect(field string, want byte) (uint64, error) {
	major, arg, err := d.head()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", field, err)
	}
	if major != want {
		return 0, fmt.Errorf("%s: CBOR major type %d, want %d", field, major>>5, want>>5)
	}
	return arg, nil
}

func (d *entryDecoder) uint(field string, limit uint64) (uint64, error) {
	v, err := d.expect(field, majorUint)
	if err != nil {
		return 0, err
	}
	if v > limit {
		return 0, fmt.Errorf("%s: %d is more than %d", field, v, limit)
	}
	return v, nil
}

func (d *entryDecoder) int(field string) (int64, error) {
	major, arg, err := d.head()
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s: %w", field, err)
	case major != majorUint && major != majorNint:
		return 0, fmt.Errorf("%s: CBOR major type %d is no integer", field, major>>5)
	case arg > 1<<63-1:
		return 0, fmt.Errorf("%s: does not fit 64 bits with sign", field)
	case major == majorNint:
		return int64(^arg), nil
	}
	return int64(arg), nil
}

func (d *entryDecoder) id(field string) (string, error) {
	n, err := d.expect(field, majorText)
	if err != nil {
		return "", err
	}
	if n > MaxID {
		return "", fmt.Errorf("%s: %d bytes, the limit is %d", field, n, MaxID)
	}
	if uint64(len(d.rest)) < n {
		return "", fmt.Errorf("%s: %w", field, errTruncated)
	}
	s := d.rest[:n]
	if !utf8.Valid(s) {
		return "", fmt.Errorf("%s: not valid UTF-8", field)
	}
	d.rest = d.rest[n:]
	return string(s), nil
}

func (d *entryDecoder) bytes(field string, dst []byte) error {
	n, err := d.expect(field, majorBytes)
	if err != nil {
		return err
	}
	if n != uint64(len(dst)) {
		return fmt.Errorf("%s: %d bytes, want %d", field, n, len(dst))
	}
	if len(d.rest) < len(dst) {
		return fmt.Errorf("%s: %w", field, errTruncated)
	}
	copy(dst, d.rest)
	d.rest = d.rest[len(dst):]
	return nil
}
