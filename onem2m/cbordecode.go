package onem2m

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// MaxDocument is the size in bytes of the longest CBOR or JSON text that CBORToJSON and JSONToCBOR read or write.
const MaxDocument = 1 << 20

// CBORToJSON converts one CBOR data item (RFC 8949) to compact JSON text, deterministically. Maps must have text
// strings as keys, none of them twice; their order is kept. Integers stay exact, floating-point numbers become the
// shortest decimal that reads back as the same number, NaN and the infinities are refused. A byte string becomes its
// base64 text (RFC 4648 clause 4, padded). Indefinite lengths are accepted. Tag 55799, which only says that this is
// CBOR, is skipped in front of the item; any other tag would change what a value means and is refused, as are
// undefined, other simple values, more than MaxDepth levels and bytes after the item.
func CBORToJSON(b []byte) ([]byte, error) {
	if len(b) > MaxDocument {
		return nil, fmt.Errorf("CBOR: longer than %d bytes", MaxDocument)
	}
	d := cborDecoder{in: b}
	if len(b) >= 3 && b[0] == 0xD9 && b[1] == 0xD9 && b[2] == 0xF7 {
		d.pos = 3
	}
	err := d.item(0)
	if err == nil && d.pos != len(b) {
		err = errTrailing
	}
	if err != nil {
		return nil, fmt.Errorf("CBOR, byte %d: %w", d.pos, err)
	}
	return d.out, nil
}

// The major types of CBOR (RFC 8949 clause 3.1).
const (
	cborUnsigned = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborSimple
)

const (
	cborIndefinite = 31
	cborBreak      = cborSimple<<5 | cborIndefinite
)

var (
	errCBORHead   = errors.New("reserved length encoding")
	errCBORTag    = errors.New("tags are not accepted")
	errCBORSimple = errors.New("undefined and other simple values have no JSON form")
	errCBORFloat  = errors.New("NaN and infinity have no JSON form")
	errCBORKey    = errors.New("the key of a map is not a text string")
	errCBORChunk  = errors.New("a chunk of a string is not a string of the same type and definite length")
	errTooLong    = fmt.Errorf("JSON text would be longer than %d bytes", MaxDocument)
)

type cborDecoder struct {
	in  []byte
	pos int
	out []byte
}

// head reads the start of a data item: its major type, its argument and whether its length is indefinite.
func (d *cborDecoder) head() (major int, info byte, arg uint64, err error) {
	if d.pos >= len(d.in) {
		return 0, 0, 0, errEnd
	}
	first := d.in[d.pos]
	d.pos++
	major, info = int(first>>5), first&31
	switch {
	case info < 24:
		return major, info, uint64(info), nil
	case info <= 27:
		n := 1 << (info - 24)
		if len(d.in)-d.pos < n {
			return 0, 0, 0, errEnd
		}
		for _, c := range d.in[d.pos : d.pos+n] {
			arg = arg<<8 | uint64(c)
		}
		d.pos += n
		return major, info, arg, nil
	case info == cborIndefinite && major >= cborBytes && major <= cborMap:
		return major, info, 0, nil
	}
	return 0, 0, 0, errCBORHead
}

func (d *cborDecoder) item(depth int) error {
	major, info, arg, err := d.head()
	if err != nil {
		return err
	}
	switch major {
	case cborUnsigned:
		d.out = strconv.AppendUint(d.out, arg, 10)
	case cborNegative: // the value is -1 - arg
		if arg == math.MaxUint64 {
			d.out = append(d.out, "-18446744073709551616"...)
		} else {
			d.out = strconv.AppendUint(append(d.out, '-'), arg+1, 10)
		}
	case cborBytes:
		b, err := d.text(major, info, arg)
		if err != nil {
			return err
		}
		d.out = append(d.out, '"')
		d.out = base64.StdEncoding.AppendEncode(d.out, b)
		d.out = append(d.out, '"')
	case cborText:
		b, err := d.text(major, info, arg)
		if err != nil {
			return err
		}
		d.out = AppendQuote(d.out, string(b))
	case cborArray, cborMap:
		if depth >= MaxDepth {
			return errDepth
		}
		if major == cborArray {
			err = d.array(info, arg, depth+1)
		} else {
			err = d.object(info, arg, depth+1)
		}
		if err != nil {
			return err
		}
	case cborTag:
		return errCBORTag
	case cborSimple:
		if err := d.simple(info, arg); err != nil {
			return err
		}
	}
	if len(d.out) > MaxDocument {
		return errTooLong
	}
	return nil
}

// text reads the bytes of a string, joining the chunks of one of indefinite length.
func (d *cborDecoder) text(major int, info byte, arg uint64) ([]byte, error) {
	if info != cborIndefinite {
		return d.chunk(major, arg)
	}
	var joined []byte
	for !d.atBreak() {
		chunkMajor, chunkInfo, n, err := d.head()
		if err != nil {
			return nil, err
		}
		if chunkMajor != major || chunkInfo == cborIndefinite {
			return nil, errCBORChunk
		}
		b, err := d.chunk(major, n)
		if err != nil {
			return nil, err
		}
		joined = append(joined, b...)
	}
	return joined, nil
}

func (d *cborDecoder) chunk(major int, n uint64) ([]byte, error) {
	if n > uint64(len(d.in)-d.pos) {
		return nil, errEnd
	}
	b := d.in[d.pos : d.pos+int(n)]
	if major == cborText && !utf8.Valid(b) {
		return nil, errUTF8
	}
	d.pos += int(n)
	return b, nil
}

// atBreak skips the end of an item of indefinite length if it is here.
func (d *cborDecoder) atBreak() bool {
	if d.pos < len(d.in) && d.in[d.pos] == cborBreak {
		d.pos++
		return true
	}
	return false
}

// more says whether an array or map has an item after the first n.
func (d *cborDecoder) more(info byte, length, n uint64) bool {
	if info == cborIndefinite {
		return !d.atBreak()
	}
	return n < length
}

func (d *cborDecoder) array(info byte, length uint64, depth int) error {
	d.out = append(d.out, '[')
	for n := uint64(0); d.more(info, length, n); n++ {
		if n > 0 {
			d.out = append(d.out, ',')
		}
		if err := d.item(depth); err != nil {
			return err
		}
	}
	d.out = append(d.out, ']')
	return nil
}

func (d *cborDecoder) object(info byte, length uint64, depth int) error {
	var names nameSet
	d.out = append(d.out, '{')
	for n := uint64(0); d.more(info, length, n); n++ {
		if n > 0 {
			d.out = append(d.out, ',')
		}
		major, keyInfo, arg, err := d.head()
		if err != nil {
			return err
		}
		if major != cborText {
			return errCBORKey
		}
		key, err := d.text(major, keyInfo, arg)
		if err != nil {
			return err
		}
		start := len(d.out)
		d.out = AppendQuote(d.out, string(key))
		if !names.add(d.out[start:len(d.out):len(d.out)]) {
			return fmt.Errorf("two members named %.64q in one map", key)
		}
		d.out = append(d.out, ':')
		if err := d.item(depth); err != nil {
			return err
		}
	}
	d.out = append(d.out, '}')
	return nil
}

func (d *cborDecoder) simple(info byte, arg uint64) error {
	switch info {
	case 20:
		d.out = append(d.out, "false"...)
	case 21:
		d.out = append(d.out, "true"...)
	case 22:
		d.out = append(d.out, "null"...)
	case 25:
		return d.float(halfToFloat(uint16(arg)))
	case 26:
		return d.float(float64(math.Float32frombits(uint32(arg))))
	case 27:
		return d.float(math.Float64frombits(arg))
	default:
		return errCBORSimple
	}
	return nil
}

func (d *cborDecoder) float(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return errCBORFloat
	}
	d.out = appendFloat(d.out, f)
	return nil
}

// appendFloat appends the shortest decimal that reads back as f, with an exponent only where ECMAScript has one.
func appendFloat(dst []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64)
}

// halfToFloat converts an IEEE 754 half-precision number.
func halfToFloat(h uint16) float64 {
	exponent, fraction := int(h>>10&31), float64(h&0x3FF)
	var f float64
	switch exponent {
	case 0:
		f = math.Ldexp(fraction, -24)
	case 31:
		f = math.Inf(1)
		if fraction != 0 {
			f = math.NaN()
		}
	default:
		f = math.Ldexp(fraction+1024, exponent-25)
	}
	if h&0x8000 != 0 {
		return math.Copysign(f, -1)
	}
	return f
}
