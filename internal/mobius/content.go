package mobius

import (
	"bytes"

	"github.com/tallystick/tallystick/onem2m"
)

// content gives a representation in which every attribute has the form that the tables want, as far as that can be told
// from the value; the rest, and what cannot be read, stays as it is for the core to judge.
func content(text []byte, create bool) []byte {
	tag, members, err := onem2m.ParseContent(text)
	if err != nil {
		return text
	}
	def := onem2m.LookupTag(tag)
	if def == nil {
		return text
	}
	out := append(onem2m.AppendQuote([]byte{'{'}, tag), ':', '{')
	released := false
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		released = released || m.Name == "srv"
		out = append(onem2m.AppendQuote(out, m.Name), ':')
		out = appendValue(out, def.Attribute(m.Name), m.Value)
	}
	if create && def.Type == onem2m.TypeAE && !released {
		if len(members) > 0 {
			out = append(out, ',')
		}
		out = append(out, `"srv":["`+release+`"]`...)
	}
	return append(out, '}', '}')
}

// appendValue appends the value of an attribute, of a list each element.
func appendValue(dst []byte, a *onem2m.AttributeDef, value []byte) []byte {
	switch {
	case a == nil || onem2m.IsNull(value):
		return append(dst, value...)
	case !a.List:
		return appendScalar(dst, a, value)
	case value[0] != '[':
		return append(appendScalar(append(dst, '['), a, value), ']')
	}
	dst = append(dst, '[')
	first := true
	for element := range onem2m.Elements(value) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendScalar(dst, a, element)
	}
	return append(dst, ']')
}

// appendScalar appends one value: a string that holds what is to be a number or a boolean, as that.
func appendScalar(dst []byte, a *onem2m.AttributeDef, value []byte) []byte {
	switch a.Kind {
	case onem2m.KindBoolean:
		switch string(value) {
		case `"true"`, `"1"`:
			return append(dst, "true"...)
		case `"false"`, `"0"`:
			return append(dst, "false"...)
		}
	case onem2m.KindNonNegInteger, onem2m.KindPositiveInteger, onem2m.KindEnum, onem2m.KindFloat:
		if n := quotedNumber(value); n != nil {
			return append(dst, n...)
		}
	case onem2m.KindComplex:
		if value[0] == '{' {
			return appendComplex(dst, a.Complex, value)
		}
	}
	return append(dst, value...)
}

func appendComplex(dst []byte, def *onem2m.ComplexDef, value []byte) []byte {
	dst = append(dst, '{')
	first := true
	for name, v := range onem2m.Fields(value) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(onem2m.AppendQuote(dst, name), ':')
		dst = appendValue(dst, def.Member(name), v)
	}
	return append(dst, '}')
}

// quotedNumber gives the number in a string, nil when the string holds none as JSON has it.
func quotedNumber(value []byte) []byte {
	if len(value) < 3 || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return nil
	}
	n := value[1 : len(value)-1]
	if n[0] != '-' && (n[0] < '0' || n[0] > '9') {
		return nil
	}
	if text, err := onem2m.ScanValue(n); err != nil || len(text) != len(n) {
		return nil
	}
	return n
}
