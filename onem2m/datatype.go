package onem2m

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// check says what is wrong with a value that ParseContent has accepted, nil when it has the data type.
func (a *AttributeDef) check(value []byte) error {
	if !a.List {
		return a.checkOne(value)
	}
	if value[0] != '[' {
		return errors.New("want a list")
	}
	n := 0
	for element := range Elements(value) {
		if err := a.checkOne(element); err != nil {
			return fmt.Errorf("element %d: %w", n, err)
		}
		n++
	}
	if n == 0 && a.NonEmpty {
		return errors.New("want at least one element")
	}
	return nil
}

// checkOne checks a value, or one element of a list.
func (a *AttributeDef) checkOne(value []byte) error {
	switch a.Kind {
	case KindAny:
		if IsNull(value) {
			return errors.New("null is not a value")
		}
		return nil
	case KindCreator:
		if !IsNull(value) {
			return errors.New("want null, the CSE names the creator")
		}
		return nil
	case KindBoolean:
		if value[0] != 't' && value[0] != 'f' {
			return errors.New("want true or false")
		}
		return nil
	case KindInteger, KindNonNegInteger, KindPositiveInteger, KindEnum:
		return a.checkInteger(value)
	case KindFloat:
		if c := value[0]; c != '-' && (c < '0' || c > '9') {
			return errors.New("want a number")
		}
		return nil
	case KindSeconds:
		_, err := ParseDurationOrSeconds(value)
		return err
	case KindComplex:
		return a.Complex.check(value)
	case KindCoordinates:
		return checkCoordinates(value)
	}
	if value[0] != '"' {
		return fmt.Errorf("want a string (%s)", a.Kind)
	}
	if a.Kind == KindString { // any text will do; it need not be decoded
		return nil
	}
	s, _ := Unquote(value)
	return checkText(a.Kind, s)
}

func (a *AttributeDef) checkInteger(value []byte) error {
	v, ok := Int(value)
	switch {
	case !ok:
		return errors.New("want an integer of at most 64 bits")
	case a.Kind == KindNonNegInteger && v < 0:
		return errors.New("want an integer of at least 0")
	case a.Kind == KindPositiveInteger && v < 1:
		return errors.New("want an integer of at least 1")
	case a.Kind == KindEnum && !a.Enum.Contains(v):
		return fmt.Errorf("%d is not a value of %s", v, a.Enum.Name)
	}
	return nil
}

// check says what is wrong with a value of a complex type. A null member is refused: an UPDATE replaces the whole
// attribute, so there is nothing to remove.
func (c *ComplexDef) check(value []byte) error {
	if value[0] != '{' {
		return fmt.Errorf("want an object (%s)", c.Name)
	}
	var seen uint64
	for name, v := range Fields(value) {
		i := search(c.Members, name)
		if i < 0 {
			return fmt.Errorf("%s has no member %.64q", c.Name, name)
		}
		seen |= 1 << i // ParseContent refuses a name given twice
		if err := c.Members[i].check(v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for i := range c.Members {
		if c.Members[i].Create == Mandatory && seen&(1<<i) == 0 {
			return fmt.Errorf("%s must have %s", c.Name, c.Members[i].Short)
		}
	}
	return nil
}

// checkCoordinates accepts a GeoJSON coordinate list as an array or, as many clients send it, inside a string.
func checkCoordinates(value []byte) error {
	if s, ok := Unquote(value); ok {
		inner, err := ScanValue([]byte(s))
		if err != nil {
			return fmt.Errorf("want coordinates: %w", err)
		}
		value = inner
	}
	if value[0] != '[' {
		return errors.New("want a list of coordinates")
	}
	for i := 0; i < len(value); i++ {
		if c := value[i]; c == '"' || c == '{' || c == 't' || c == 'f' || c == 'n' {
			return errors.New("want numbers as coordinates")
		}
	}
	return nil
}

// maxText bounds the names, IDs, addresses and times of a representation, in bytes.
const maxText = 2048

// checkText checks a data type that is written as a string.
func checkText(k Kind, s string) error {
	if k == KindJWT {
		return checkJWT(s)
	}
	if len(s) > maxText {
		return fmt.Errorf("longer than %d bytes", maxText)
	}
	switch k {
	case KindToken:
		if s == "" || s[0] == ' ' || s[len(s)-1] == ' ' || strings.Contains(s, "  ") || strings.ContainsAny(s, "\t\r\n") {
			return errors.New("want a token: no blank at either end, none doubled, no tab, no line break")
		}
	case KindNCName:
		if !isNCName(s) {
			return fmt.Errorf("%.64q is not a name", s)
		}
	case KindResourceName:
		return checkResourceName(s)
	case KindAppID:
		if len(s) < 2 || s[0] != 'R' && s[0] != 'r' && s[0] != 'N' {
			return errors.New("an App-ID starts with R, r or N (TS-0001 clause 7.1.3)")
		}
		return checkVisible(s)
	case KindID, KindAnyURI:
		if s == "" {
			return fmt.Errorf("want a non-empty %s", k)
		}
		return checkVisible(s)
	case KindIssuedID:
		return checkIssuedID(s)
	case KindTimestamp:
		_, err := ParseTime(s)
		return err
	case KindAbsRelTimestamp:
		_, err := ParseAbsRel(s, MinTime+(MaxTime-MinTime)/2)
		return err
	case KindDateTime:
		return checkDateTime(s)
	case KindDuration:
		_, err := ParseDuration(s)
		return err
	case KindSchedule:
		return checkSchedule(s)
	case KindIPv4, KindIPv6:
		return checkAddress(k, s)
	}
	return nil
}

// checkDateTime accepts what is made of the characters of dates and times, such as "2026-11-23", "071500" and
// "20261123T071500,5Z". What day and time it is, only the specialization that has the attribute says.
func checkDateTime(s string) error {
	if s == "" || len(s) > 40 || s[0] < '0' || s[0] > '9' {
		return errors.New("want a date or time")
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && !strings.ContainsRune("-:T.,Z+", rune(c)) {
			return errors.New("want a date or time")
		}
	}
	return nil
}

// checkVisible refuses blanks and control characters, which no ID and no URI has.
func checkVisible(s string) error {
	for _, r := range s {
		if r <= ' ' || r == 0x7F || r >= 0x80 && r <= 0xA0 || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("%.64q has a blank or a control character", s)
		}
	}
	return nil
}

func isNCName(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf:
		case i > 0 && (c == '-' || c == '.' || c >= '0' && c <= '9'):
		default:
			return false
		}
	}
	return true
}

// maxResourceName is the length of the longest resource name, in bytes.
const maxResourceName = 256

// checkResourceName says what is wrong with a name for a resource (rn, TS-0004 clause 6.3.3): it is made of the
// unreserved characters of RFC 3986 and is not the name of a virtual resource, nor "." or "..", which paths swallow,
// nor "-", which stands for the CSEBase.
func checkResourceName(s string) error {
	if s == "" || len(s) > maxResourceName {
		return fmt.Errorf("want a name of 1 to %d bytes", maxResourceName)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
		default:
			return fmt.Errorf("%.64q has a character other than a-z A-Z 0-9 - . _ ~", s)
		}
	}
	switch s {
	case "la", "ol", "fopt", "pcu", ".", "..", "-", "_", "~":
		return fmt.Errorf("the name %q is reserved", s)
	}
	return nil
}

func checkAddress(k Kind, s string) error {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("%.64q is neither an IP address nor a prefix", s)
		}
		addr = prefix.Addr()
	}
	if addr.Is4() != (k == KindIPv4) || addr.Zone() != "" {
		return fmt.Errorf("%.64q is not an %s address", s, k)
	}
	return nil
}

// checkSchedule says what is wrong with an m2m:scheduleEntry (TS-0004 clause 6.3.3): seven fields apart by one
// blank, second, minute, hour, day of month, month, day of week and year, each "*" or a list of numbers, ranges a-b
// and steps */n.
func checkSchedule(s string) error {
	bounds := [...][2]int64{{0, 59}, {0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}, {1970, 9999}}
	fields := strings.Split(s, " ")
	if len(fields) != len(bounds) {
		return fmt.Errorf("schedule %.64q: want %d fields", s, len(bounds))
	}
	for i, field := range fields {
		for part := range strings.SplitSeq(field, ",") {
			if !validSchedulePart(part, bounds[i][0], bounds[i][1]) {
				return fmt.Errorf("schedule %.64q: field %d: bad value %.32q", s, i+1, part)
			}
		}
	}
	return nil
}

func validSchedulePart(s string, low, high int64) bool {
	if s == "*" {
		return true
	}
	if step, ok := strings.CutPrefix(s, "*/"); ok {
		n, ok := digits(step)
		return ok && n > 0 && n <= high
	}
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	a, okA := digits(first)
	b, okB := digits(last)
	return okA && okB && a >= low && b <= high && a <= b
}
