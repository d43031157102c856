package onem2m

import (
	"bytes"
	"iter"
	"strconv"
	"unicode/utf8"
)

// ScanValue checks that text is exactly one JSON value (RFC 8259) with blanks around it at most, and gives the value
// without them. Text must be valid UTF-8, nest no deeper than MaxDepth, and no object may name a member twice.
func ScanValue(text []byte) ([]byte, error) {
	start := skipSpace(text, 0)
	end, err := scanValue(text, start, 0)
	if err != nil {
		return nil, err
	}
	if i := skipSpace(text, end); i != len(text) {
		return nil, syntaxAt(i, errTrailing)
	}
	return text[start:end], nil
}

// The functions below take values that ScanValue or ParseContent has accepted.

// Unquote gives the text of a JSON string; ok is false when value is not a string.
func Unquote(value []byte) (s string, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	inner := value[1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	return string(appendUnquoted(nil, value)), true
}

// appendUnquoted appends the text of a valid JSON string.
func appendUnquoted(dst, value []byte) []byte {
	b := value[1 : len(value)-1]
	for len(b) > 0 {
		if b[0] != '\\' {
			n := bytes.IndexByte(b, '\\')
			if n < 0 {
				n = len(b)
			}
			dst, b = append(dst, b[:n]...), b[n:]
			continue
		}
		n := escapeLength(b)
		switch b[1] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(b[2:])
			if n == 12 {
				low, _ := hex4(b[8:])
				r = (r-0xD800)<<10 + (low - 0xDC00) + 0x10000
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, b[1])
		}
		b = b[n:]
	}
	return dst
}

// Size gives contentSize (cs, TS-0001 clause 9.6.7), in bytes: of a JSON string the text that it stands for, of any
// other value its JSON text.
func Size(value []byte) int {
	if len(value) < 2 || value[0] != '"' {
		return len(value)
	}
	b := value[1 : len(value)-1]
	size := len(b)
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return size
		}
		b = b[i:]
		n := escapeLength(b)
		size -= n
		switch n {
		case 2:
			size++
		case 6:
			r, _ := hex4(b[2:])
			size += utf8.RuneLen(r)
		default: // a surrogate pair stands for a character of four bytes
			size += 4
		}
		b = b[n:]
	}
}

const hexDigits = "0123456789abcdef"

// AppendQuote appends s as a JSON string with as few escapes as RFC 8259 allows. A byte that is not UTF-8 becomes
// U+FFFD.
func AppendQuote(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// AppendCompact appends a value without the blanks between its tokens.
func AppendCompact(dst, value []byte) []byte {
	for i := 0; i < len(value); {
		switch value[i] {
		case ' ', '\t', '\n', '\r':
			i++
		case '"':
			end := stringEnd(value, i)
			dst = append(dst, value[i:end]...)
			i = end
		default:
			dst = append(dst, value[i])
			i++
		}
	}
	return dst
}

// Int gives the value of a JSON number that is written as an integer (no fraction, no exponent) and fits in 64 bits.
func Int(value []byte) (v int64, ok bool) {
	if len(value) == 0 || len(value) > 20 || value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return 0, false
	}
	v, err := strconv.ParseInt(string(value), 10, 64)
	return v, err == nil
}

// IsNull says whether a value is null.
func IsNull(value []byte) bool { return len(value) == 4 && value[0] == 'n' }

// Elements gives the elements of an array in order, none when value is not an array.
func Elements(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if len(value) == 0 || value[0] != '[' {
			return
		}
		for i := skipSpace(value, 1); i < len(value) && value[i] != ']'; {
			end := valueEnd(value, i)
			if !yield(value[i:end:end]) {
				return
			}
			if i = skipSpace(value, end); i < len(value) && value[i] == ',' {
				i = skipSpace(value, i+1)
			}
		}
	}
}

// Fields gives the members of an object in order, none when value is not an object.
func Fields(value []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if len(value) == 0 || value[0] != '{' {
			return
		}
		for i := skipSpace(value, 1); i < len(value) && value[i] == '"'; {
			nameEnd := stringEnd(value, i)
			start := skipSpace(value, skipSpace(value, nameEnd)+1)
			end := valueEnd(value, start)
			if !yield(intern(value[i:nameEnd]), value[start:end:end]) {
				return
			}
			if i = skipSpace(value, end); i < len(value) && value[i] == ',' {
				i = skipSpace(value, i+1)
			}
		}
	}
}

// Field gives the value of one member of an object, nil when it has none of that name.
func Field(value []byte, name string) []byte {
	for n, v := range Fields(value) {
		if n == name {
			return v
		}
	}
	return nil
}

// stringEnd gives the end of the valid string that starts at i.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}

// valueEnd gives the end of the valid value that starts at i.
func valueEnd(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		for depth := 0; i < len(b); {
			switch b[i] {
			case '"':
				i = stringEnd(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return len(b)
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}
