package ingest

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of a query.
const (
	maxQuery      = 8 << 10 // bytes
	maxParameters = 64
)

// fromQuery makes one JSON object of the parameters of a GET, in their order: {"temperature":21.5,"door":"open"}. A
// value that is a JSON number becomes that number, with its digits as they are; any other a string. The encoding is that
// of HTML forms, in which a '+' is a blank.
func fromQuery(query string) ([]content, error) {
	if len(query) > maxQuery {
		return nil, onem2m.Errorf(onem2m.StatusContentsUnacceptable, "the query has %d bytes; the limit is %d", len(query), maxQuery)
	}
	seen := make(map[string]bool)
	object := []byte{'{'}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		switch {
		case err != nil:
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "parameter %.64q: %v", pair, err)
		case name == "" || !utf8.ValidString(name) || !utf8.ValidString(value):
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "parameter %.64q has no name or is no UTF-8", pair)
		case seen[name]:
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "parameter %.64q is given twice", name)
		case len(seen) == maxParameters:
			return nil, onem2m.Errorf(onem2m.StatusContentsUnacceptable, "the query has more than %d parameters", maxParameters)
		}
		if len(seen) > 0 {
			object = append(object, ',')
		}
		seen[name] = true
		object = append(onem2m.AppendQuote(object, name), ':')
		if isNumber(value) {
			object = append(object, value...)
		} else {
			object = onem2m.AppendQuote(object, value)
		}
	}
	if len(seen) == 0 {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the query has no parameters")
	}
	return one(plain("application/json", append(object, '}'))), nil
}

// isNumber says whether text is a JSON number (RFC 8259 clause 6).
func isNumber(s string) bool {
	if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return false
	}
	v, err := onem2m.ScanValue([]byte(s))
	return err == nil && len(v) == len(s)
}
