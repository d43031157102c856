package onem2m

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// JSONToCBOR converts JSON text, checked as ScanValue does, to CBOR in the preferred serialization of RFC 8949
// clause 4.1: definite lengths, every head and every floating-point number as short as it can be. Members keep their
// order. An integer that fits in 64 bits, signed or not, becomes a CBOR integer. Any other number becomes a
// floating-point number if the shortest decimal of that is the number given, and is refused otherwise: nothing is
// rounded silently.
func JSONToCBOR(text []byte) ([]byte, error) {
	if len(text) > MaxDocument {
		return nil, fmt.Errorf("JSON text: longer than %d bytes", MaxDocument)
	}
	value, err := ScanValue(text)
	if err != nil {
		return nil, err
	}
	return appendCBOR(make([]byte, 0, len(value)), value)
}

// appendCBOR appends a valid JSON value.
func appendCBOR(dst, value []byte) ([]byte, error) {
	switch value[0] {
	case '{':
		start, n := len(dst), 0
		dst = append(dst, 0)
		for name, v := range Fields(value) {
			dst = appendCBORText(dst, name)
			var err error
			if dst, err = appendCBOR(dst, v); err != nil {
				return nil, err
			}
			n++
		}
		return setCBORHead(dst, start, cborMap, n), nil
	case '[':
		start, n := len(dst), 0
		dst = append(dst, 0)
		for v := range Elements(value) {
			var err error
			if dst, err = appendCBOR(dst, v); err != nil {
				return nil, err
			}
			n++
		}
		return setCBORHead(dst, start, cborArray, n), nil
	case '"':
		s, _ := Unquote(value)
		return appendCBORText(dst, s), nil
	case 't':
		return append(dst, cborSimple<<5|21), nil
	case 'f':
		return append(dst, cborSimple<<5|20), nil
	case 'n':
		return append(dst, cborSimple<<5|22), nil
	}
	return appendCBORNumber(dst, value)
}

func appendCBORText(dst []byte, s string) []byte {
	return append(appendCBORHead(dst, cborText, uint64(len(s))), s...)
}

func appendCBORHead(dst []byte, major byte, arg uint64) []byte {
	major <<= 5
	switch {
	case arg < 24:
		return append(dst, major|byte(arg))
	case arg <= math.MaxUint8:
		return append(dst, major|24, byte(arg))
	case arg <= math.MaxUint16:
		return append(dst, major|25, byte(arg>>8), byte(arg))
	case arg <= math.MaxUint32:
		return append(dst, major|26, byte(arg>>24), byte(arg>>16), byte(arg>>8), byte(arg))
	}
	return append(dst, major|27, byte(arg>>56), byte(arg>>48), byte(arg>>40), byte(arg>>32),
		byte(arg>>24), byte(arg>>16), byte(arg>>8), byte(arg))
}

// setCBORHead fills in the head of an array or map, for which one byte was left at start, once its length is known.
func setCBORHead(dst []byte, start int, major byte, n int) []byte {
	var buf [9]byte
	head := appendCBORHead(buf[:0], major, uint64(n))
	dst[start] = head[0]
	return slices.Insert(dst, start+1, head[1:]...)
}

func appendCBORNumber(dst, number []byte) ([]byte, error) {
	s := string(number)
	if !bytes.ContainsAny(number, ".eE") && s != "-0" {
		if v, err := strconv.ParseUint(s, 10, 64); err == nil {
			return appendCBORHead(dst, cborUnsigned, v), nil
		}
		if v, err := strconv.ParseInt(s, 10, 64); err == nil {
			return appendCBORHead(dst, cborNegative, uint64(-(v + 1))), nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !sameDecimal(s, string(appendFloat(nil, f))) {
		return nil, fmt.Errorf("number %.64s: has no exact CBOR form", s)
	}
	return appendCBORFloat(dst, f), nil
}

// appendCBORFloat appends the shortest of the three floating-point forms that holds f exactly.
func appendCBORFloat(dst []byte, f float64) []byte {
	single := float32(f)
	if float64(single) != f {
		v := math.Float64bits(f)
		return append(dst, cborSimple<<5|27, byte(v>>56), byte(v>>48), byte(v>>40), byte(v>>32),
			byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	if h, ok := floatToHalf(f); ok {
		return append(dst, cborSimple<<5|25, byte(h>>8), byte(h))
	}
	v := math.Float32bits(single)
	return append(dst, cborSimple<<5|26, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// floatToHalf converts a finite number to IEEE 754 half precision; ok is false when that cannot hold it exactly.
func floatToHalf(f float64) (h uint16, ok bool) {
	fraction, exponent := math.Frexp(math.Abs(f)) // fraction in [0.5, 1), the value is fraction * 2^exponent
	switch {
	case f == 0:
	case exponent > 16 || exponent < -23:
		return 0, false
	case exponent < -13: // subnormal: a multiple of 2^-24
		h = uint16(math.Ldexp(fraction, exponent+24))
	default:
		h = uint16(exponent+14)<<10 | uint16(math.Ldexp(fraction, 11))&0x3FF
	}
	if math.Signbit(f) {
		h |= 0x8000
	}
	return h, halfToFloat(h) == f
}

// sameDecimal says whether two JSON numbers stand for the same decimal.
func sameDecimal(a, b string) bool {
	negA, digitsA, exponentA, okA := decimal(a)
	negB, digitsB, exponentB, okB := decimal(b)
	return okA && okB && digitsA == digitsB && (digitsA == "" || negA == negB && exponentA == exponentB)
}

// decimal takes a JSON number apart: 0.DIGITS * 10^exponent, DIGITS without zeros at either end.
func decimal(s string) (negative bool, digits string, exponent int, ok bool) {
	s, negative = strings.CutPrefix(s, "-")
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e > MaxDocument || e < -MaxDocument {
			return false, "", 0, false
		}
		exponent, s = e, s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	exponent += len(whole)
	digits = whole + fraction
	trimmed := strings.TrimLeft(digits, "0")
	exponent -= len(digits) - len(trimmed)
	return negative, strings.TrimRight(trimmed, "0"), exponent, true
}
