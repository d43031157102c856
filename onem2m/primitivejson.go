package onem2m

import (
	"slices"
	"strconv"
)

// Primitive is one message of a binding that carries primitives as they are (TS-0010, TS-0020), of a polling channel or
// between CSEs: a request or a response, never both.
type Primitive struct {
	Request  *Request
	Response *Response
	// Wrapped says that the primitive is the value of a member m2m:rqp or m2m:rsp. TS-0004 clause 8.4 has no such
	// member in JSON, many implementations do; an answer is written as the question was.
	Wrapped bool
}

// The root members of wrapped primitives.
const (
	tagRequest  = "m2m:rqp"
	tagResponse = "m2m:rsp"
)

// primitiveNames are the short names of primitive parameters and filter criteria (TS-0004 clause 8.2.2).
var primitiveNames = []string{
	tagRequest, tagResponse, "op", "to", "fr", "rqi", "rvi", "ty", "pc", "rcn", "drt", "fc", "atrl", "ot", "rqet", "rset", "rp",
	"oet", "ec", "rt", "rtv", "nu", "gid", "vsi", "rids", "tkns", "tids", "ltids", "rsc", "cnst", "cnot", "m2m:atrl", "nm", "val",
	"fu", "fo", "crb", "cra", "ms", "us", "sts", "stb", "exb", "exa", "lbl", "lbq", "chty", "pty", "sza", "szb", "cty",
	"catr", "patr", "clbl", "palb", "lim", "lvl", "ofst", "arp", "atr",
}

// ParsePrimitive parses a primitive by its short names (TS-0004 clauses 8.2.2 and 8.4), bare ({"op":1,...}) or wrapped
// ({"m2m:rqp":{"op":1,...}}). A bare object with the member rsc is a response, any other a request. The text is at most
// MaxDocument bytes, valid as ScanValue has it. A member that is null counts as not there; members that are no
// parameter are skipped; what would change the meaning of the request and is not supported is refused. Numbers may be
// given as strings, and a list of one value as that value. The contents point into text.
//
// Errors are *Error. Even then Request or Response is set, to what could be read, so that a refusal can carry the
// request identifier; what is set is for nothing else.
func ParsePrimitive(text []byte) (Primitive, error) {
	var room [20]Member
	members, root, err := parsePrimitiveMembers(text, room[:0])
	p := Primitive{Wrapped: root != ""}
	if root == tagResponse || root == "" && slices.ContainsFunc(members, func(m Member) bool { return m.Name == "rsc" }) {
		p.Response = new(Response)
		parseErr := p.Response.set(members)
		if err == nil {
			err = parseErr
		}
		return p, err
	}
	p.Request = &Request{ResultContent: ResultContentDefault}
	parseErr := p.Request.set(members)
	if err == nil {
		err = parseErr
	}
	return p, err
}

// ParseRequest parses a request primitive as ParsePrimitive does. The result is never nil.
func ParseRequest(text []byte) (*Request, error) {
	p, err := ParsePrimitive(text)
	switch {
	case p.Request != nil:
		return p.Request, err
	case err == nil:
		err = badRequest("want a request primitive: this is a response")
	}
	return &Request{ResultContent: ResultContentDefault, RequestID: p.Response.RequestID}, err
}

// ParseResponse parses a response primitive as ParsePrimitive does. The result is never nil.
func ParseResponse(text []byte) (*Response, error) {
	p, err := ParsePrimitive(text)
	switch {
	case p.Response != nil:
		return p.Response, err
	case err == nil:
		err = badRequest("want a response primitive: this is a request")
	}
	return &Response{RequestID: p.Request.RequestID}, err
}

// parsePrimitiveMembers checks the text and appends the members of the primitive to dst; root is the tag that wraps
// them, "" when none does. With an error it returns the members before the place where the text is bad.
func parsePrimitiveMembers(text []byte, dst []Member) (members []Member, root string, err error) {
	if len(text) > MaxDocument {
		return dst, "", Errorf(StatusContentsUnacceptable, "the primitive is longer than %d bytes", MaxDocument)
	}
	i := skipSpace(text, 0)
	if i >= len(text) || text[i] != '{' {
		return dst, "", badRequest("primitive: want one JSON object")
	}
	i = skipSpace(text, i+1)
	if span, err := scanName(text, i); err == nil {
		switch tag := intern(text[i:span.nameEnd]); tag {
		case tagRequest, tagResponse:
			if i = span.value; i >= len(text) || text[i] != '{' {
				return dst, tag, badRequest("primitive: %s is not a JSON object", tag)
			}
			root, i = tag, skipSpace(text, i+1)
		}
	}
	members = dst
	if i < len(text) && text[i] == '}' {
		i++
	} else {
		for more := true; more; {
			next, end, another, err := parseMember(text, i, members)
			if err != nil {
				return members, root, badRequest("primitive: %v", err)
			}
			members, i, more = next, end, another
		}
	}
	if i = skipSpace(text, i); root != "" {
		if i >= len(text) || text[i] != '}' {
			return members, root, badRequest("primitive: expected } after %s, byte %d", root, i)
		}
		i = skipSpace(text, i+1)
	}
	if i != len(text) {
		return members, root, badRequest("primitive: %v", syntaxAt(i, errTrailing))
	}
	return members, root, nil
}

// setAll hands each member that is not null to set and returns the first error; the members after it are set too.
func setAll(members []Member, set func(name string, value []byte) error) error {
	var first error
	for i := range members {
		if IsNull(members[i].Value) {
			continue
		}
		if err := set(members[i].Name, members[i].Value); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (r *Response) set(members []Member) error {
	err := setAll(members, r.setParameter)
	if err == nil && r.Status == 0 {
		err = badRequest("the response has no response status code (rsc)")
	}
	return err
}

func (r *Response) setParameter(name string, value []byte) error {
	switch name {
	case "rsc":
		v, err := intParameter(name, value, 1000, 9999)
		r.Status = StatusCode(v)
		return err
	case "rqi":
		return textParameter(&r.RequestID, name, value)
	case "rvi":
		return textParameter(&r.ReleaseVersion, name, value)
	case "to":
		return textParameter(&r.To, name, value)
	case "fr":
		return textParameter(&r.From, name, value)
	case "pc":
		r.Content = value
	case "ot":
		return textParameter(&r.OriginatingTimestamp, name, value)
	case "rset":
		return timeParameter(&r.ResultExpiration, name, value)
	case "ec":
		return categoryParameter(&r.EventCategory, value)
	case "cnst":
		v, err := intParameter(name, value, 1, 2)
		r.ContentStatus = uint8(v)
		return err
	case "cnot":
		v, err := intParameter(name, value, 0, maxInteger)
		r.ContentOffset = v
		return err
	case "vsi":
		return textParameter(&r.VendorInformation, name, value)
	}
	return nil
}

// maxInteger bounds what a parameter counts.
const maxInteger = 1_000_000_000_000_000 - 1

// parameterText gives the text of a scalar: of a string what it stands for, of any other its JSON text.
func parameterText(name string, value []byte) (string, error) {
	switch value[0] {
	case '{', '[':
		return "", badRequest("parameter %.64q: want one value, not an object or array", name)
	case '"':
		s, _ := Unquote(value)
		return s, nil
	}
	return string(value), nil
}

func intParameter(name string, value []byte, low, high int64) (int64, error) {
	s, err := parameterText(name, value)
	if err != nil {
		return 0, err
	}
	return parameterInt(name, s, low, high)
}

// textParameter sets a parameter that must be a string. An empty one counts as not there.
func textParameter(dst *string, name string, value []byte) error {
	if value[0] != '"' {
		return badRequest("parameter %s: want a string", name)
	}
	var s string
	if len(value) == len(`"4"`) {
		s = shortText(value[1])
	}
	if s == "" {
		s, _ = Unquote(value)
	}
	if s == "" {
		return nil
	}
	if err := checkParameterValue(name, s); err != nil {
		return err
	}
	*dst = s
	return nil
}

// shortText gives the release versions that are one digit, without an allocation; "" for any other byte.
func shortText(c byte) string {
	switch c {
	case '3':
		return "3"
	case '4':
		return "4"
	case '5':
		return "5"
	}
	return ""
}

// timeParameter sets an m2m:absRelTimestamp, of which a relative one may be given as a number of milliseconds.
func timeParameter(dst *string, name string, value []byte) error {
	if c := value[0]; c != '-' && (c < '0' || c > '9') {
		return textParameter(dst, name, value)
	}
	if _, ok := Int(value); !ok {
		return badRequest("parameter %s: want a time or a whole number of milliseconds", name)
	}
	*dst = string(value)
	return nil
}

func categoryParameter(dst *string, value []byte) error {
	v, err := intParameter("ec", value, 0, 999)
	if err != nil {
		return err
	}
	*dst = strconv.FormatInt(v, 10)
	return nil
}

// listParameter adds the values of a list of strings.
func listParameter(dst *[]string, name string, value []byte) error {
	return eachParameter(name, value, func(v string) error { return addValue(dst, name, v) })
}

// eachParameter calls add for each element of an array, or for the value itself when it is none.
func eachParameter(name string, value []byte, add func(string) error) error {
	return eachValue(value, func(v []byte) error {
		s, err := parameterText(name, v)
		if err == nil {
			err = checkParameterValue(name, s)
		}
		if err != nil {
			return err
		}
		return add(s)
	})
}

// eachValue calls one for each element of an array, or for the value itself when it is none.
func eachValue(value []byte, one func([]byte) error) error {
	if value[0] != '[' {
		return one(value)
	}
	for v := range Elements(value) {
		if err := one(v); err != nil {
			return err
		}
	}
	return nil
}
