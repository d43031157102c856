package onem2m

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest in JSON or CBOR text, the outermost counted as 1.
const MaxDepth = 32

var (
	errEnd      = errors.New("text ends early")
	errDepth    = fmt.Errorf("arrays and objects nest deeper than %d", MaxDepth)
	errUTF8     = errors.New("text is not valid UTF-8")
	errControl  = errors.New("control character in a string")
	errEscape   = errors.New("bad escape in a string")
	errLiteral  = errors.New("neither object, array, string, number, true, false nor null")
	errNumber   = errors.New("malformed number")
	errTrailing = errors.New("more text after the end of the value")
)

// syntaxError says what is wrong with JSON text and where.
type syntaxError struct {
	offset int
	err    error
}

func (e *syntaxError) Error() string { return fmt.Sprintf("JSON text, byte %d: %v", e.offset, e.err) }
func (e *syntaxError) Unwrap() error { return e.err }

func syntaxAt(offset int, err error) error { return &syntaxError{offset, err} }

// The scan functions take the text and the offset at which a token starts and give the offset just after it.
// They accept RFC 8259 text in UTF-8 and nothing else: an unpaired surrogate escape is refused, and so is an object
// with two members of the same name, at every level.

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// scanValue scans one value; depth is how many arrays and objects enclose it.
func scanValue(b []byte, i, depth int) (int, error) {
	if i >= len(b) {
		return i, syntaxAt(i, errEnd)
	}
	switch c := b[i]; {
	case c == '"':
		return scanString(b, i)
	case c == '-' || c >= '0' && c <= '9':
		return scanNumber(b, i)
	case c == '{':
		return scanObject(b, i, depth)
	case c == '[':
		return scanArray(b, i, depth)
	case c == 't':
		return scanLiteral(b, i, "true")
	case c == 'f':
		return scanLiteral(b, i, "false")
	case c == 'n':
		return scanLiteral(b, i, "null")
	}
	return i, syntaxAt(i, errLiteral)
}

func scanLiteral(b []byte, i int, word string) (int, error) {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return i, syntaxAt(i, errLiteral)
	}
	return i + len(word), nil
}

func scanString(b []byte, i int) (int, error) {
	i++
	for i < len(b) {
		c := b[i]
		switch {
		case c == '"':
			return i + 1, nil
		case c == '\\':
			n := escapeLength(b[i:])
			if n == 0 {
				return i, syntaxAt(i, errEscape)
			}
			i += n
		case c < ' ':
			return i, syntaxAt(i, errControl)
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return i, syntaxAt(i, errUTF8)
			}
			i += n
		}
	}
	return i, syntaxAt(i, errEnd)
}

// escapeLength gives the length of the escape that b starts with (a surrogate pair is one escape), 0 when it is bad.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		r, ok := hex4(b[2:])
		switch {
		case !ok || r >= 0xDC00 && r <= 0xDFFF:
			return 0
		case r < 0xD800 || r > 0xDBFF:
			return 6
		}
		if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
			return 0
		}
		if low, ok := hex4(b[8:]); !ok || low < 0xDC00 || low > 0xDFFF {
			return 0
		}
		return 12
	}
	return 0
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func scanNumber(b []byte, i int) (int, error) {
	if b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && b[i] >= '1' && b[i] <= '9':
		i = skipDigits(b, i)
	default:
		return i, syntaxAt(i, errNumber)
	}
	if i < len(b) && b[i] == '.' {
		start := i + 1
		if i = skipDigits(b, start); i == start {
			return i, syntaxAt(i, errNumber)
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start := i
		if i = skipDigits(b, start); i == start {
			return i, syntaxAt(i, errNumber)
		}
	}
	return i, nil
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

func scanArray(b []byte, i, depth int) (int, error) {
	if depth >= MaxDepth {
		return i, syntaxAt(i, errDepth)
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for {
		var err error
		if i, err = scanValue(b, i, depth+1); err != nil {
			return i, err
		}
		i = skipSpace(b, i)
		switch {
		case i >= len(b):
			return i, syntaxAt(i, errEnd)
		case b[i] == ']':
			return i + 1, nil
		case b[i] != ',':
			return i, syntaxAt(i, errors.New("expected , or ] in an array"))
		}
		i = skipSpace(b, i+1)
	}
}

func scanObject(b []byte, i, depth int) (int, error) {
	if depth >= MaxDepth {
		return i, syntaxAt(i, errDepth)
	}
	var names nameSet
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	for {
		start := i
		colon, err := scanName(b, i)
		if err != nil {
			return i, err
		}
		name := b[start:colon.nameEnd]
		if !names.add(name) {
			return start, syntaxAt(start, fmt.Errorf("two members named %.64s in one object", name))
		}
		if i, err = scanValue(b, colon.value, depth+1); err != nil {
			return i, err
		}
		i = skipSpace(b, i)
		switch {
		case i >= len(b):
			return i, syntaxAt(i, errEnd)
		case b[i] == '}':
			return i + 1, nil
		case b[i] != ',':
			return i, syntaxAt(i, errors.New("expected , or } in an object"))
		}
		i = skipSpace(b, i+1)
	}
}

// nameSpan tells where a member's name ends and its value starts.
type nameSpan struct{ nameEnd, value int }

// scanName scans a member's name and the colon after it.
func scanName(b []byte, i int) (nameSpan, error) {
	if i >= len(b) {
		return nameSpan{}, syntaxAt(i, errEnd)
	}
	if b[i] != '"' {
		return nameSpan{}, syntaxAt(i, errors.New("expected the name of a member in quotation marks"))
	}
	end, err := scanString(b, i)
	if err != nil {
		return nameSpan{}, err
	}
	i = skipSpace(b, end)
	if i >= len(b) {
		return nameSpan{}, syntaxAt(i, errEnd)
	}
	if b[i] != ':' {
		return nameSpan{}, syntaxAt(i, errors.New("expected : after the name of a member"))
	}
	return nameSpan{end, skipSpace(b, i+1)}, nil
}

// nameSet holds the member names of one object, in quotation marks as written. It compares the few names of a usual
// object one by one and goes over to a map before that becomes slow.
type nameSet struct {
	few  [8][]byte
	n    int
	many map[string]struct{}
}

// add says whether the name was not yet in the set.
func (s *nameSet) add(name []byte) bool {
	if bytes.IndexByte(name, '\\') >= 0 {
		name = appendUnquoted([]byte{'"'}, name)
		name = append(name, '"')
	}
	if s.many == nil {
		for _, old := range s.few[:s.n] {
			if bytes.Equal(old, name) {
				return false
			}
		}
		if s.n < len(s.few) {
			s.few[s.n] = name
			s.n++
			return true
		}
		s.many = make(map[string]struct{}, 4*len(s.few))
		for _, old := range s.few {
			s.many[string(old)] = struct{}{}
		}
	}
	if _, ok := s.many[string(name)]; ok {
		return false
	}
	s.many[string(name)] = struct{}{}
	return true
}
