package httpbinding

import (
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// format is one media type that the binding can write.
type format struct {
	mediaType string
	header    []string // the value of Content-Type; shared, never changed
	cbor      bool
}

func newFormat(mediaType string, cbor bool) *format {
	return &format{mediaType: mediaType, header: []string{mediaType}, cbor: cbor}
}

var (
	formatJSON = newFormat("application/json", false)
	formatCBOR = newFormat("application/cbor", true)
	// formats are in the order of preference when a client has none.
	formats = [...]*format{
		formatJSON, formatCBOR,
		newFormat("application/vnd.onem2m-res+json", false),
		newFormat("application/vnd.onem2m-res+cbor", true),
	}
)

// requestFormat gives the serialization of a request body (TS-0009 clause 6.4.3, TS-0004 clause 6.7).
func requestFormat(mediaType string) *format {
	switch strings.ToLower(mediaType) {
	case "application/json", "application/vnd.onem2m-res+json", "application/vnd.onem2m-ntfy+json":
		return formatJSON
	case "application/cbor", "application/vnd.onem2m-res+cbor", "application/vnd.onem2m-ntfy+cbor":
		return formatCBOR
	}
	return nil
}

// parseContentType splits a Content-Type like application/json;ty=4 into the serialization and the resource type,
// 0 when it names none.
func parseContentType(v string) (*format, onem2m.ResourceType, error) {
	mediaType, rest, more := strings.Cut(v, ";")
	f := requestFormat(strings.TrimSpace(mediaType))
	if f == nil {
		return nil, 0, onem2m.Errorf(onem2m.StatusUnsupportedMediaType, "Content-Type %.64q is neither JSON nor CBOR", v)
	}
	var ty onem2m.ResourceType
	for more {
		var parameter string
		parameter, rest, more = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		switch {
		case strings.EqualFold(name, "ty"):
			if ty != 0 {
				return nil, 0, onem2m.Errorf(onem2m.StatusBadRequest, "Content-Type %.64q has ty twice", v)
			}
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil || n == 0 {
				return nil, 0, onem2m.Errorf(onem2m.StatusBadRequest, "Content-Type %.64q: ty is no resource type", v)
			}
			ty = onem2m.ResourceType(n)
		case strings.EqualFold(name, "charset") && !strings.EqualFold(value, "utf-8"):
			return nil, 0, onem2m.Errorf(onem2m.StatusUnsupportedMediaType, "Content-Type %.64q: the text must be UTF-8", v)
		}
	}
	return f, ty, nil
}

// negotiate picks the media type of the response (RFC 9110 clause 12.5.1, TS-0009 clause 6.4.1): the one of highest
// quality; among equals one that the client names rather than covers with a wildcard; then the serialization of the
// request.
func negotiate(accept []string, body *format) (*format, error) {
	preferred := formatJSON
	if body != nil {
		preferred = body
	}
	if len(accept) == 0 {
		return preferred, nil
	}
	if len(accept) == 1 {
		switch accept[0] {
		case "*/*", "":
			return preferred, nil
		case "application/json":
			return formatJSON, nil
		}
	}
	var ranks [len(formats)]rank
	for _, header := range accept {
		for element := range strings.SplitSeq(header, ",") {
			rankElement(&ranks, element)
		}
	}
	var best *format
	var top rank
	for i, r := range ranks {
		if r.quality == 0 {
			continue
		}
		better := best == nil || r.quality > top.quality || r.quality == top.quality &&
			(r.precision > top.precision || r.precision == top.precision && formats[i] == preferred)
		if better {
			best, top = formats[i], r
		}
	}
	if best == nil {
		return nil, onem2m.Errorf(onem2m.StatusNotAcceptable, "Accept %.64q allows neither JSON nor CBOR", strings.Join(accept, ", "))
	}
	return best, nil
}

// rank is what an Accept header says of one format.
type rank struct {
	precision int // 3 named, 2 application/*, 1 */*, 0 not at all
	quality   int // thousandths
}

// rankElement applies one element of an Accept header. The most precise element decides; one that is malformed is
// left out.
func rankElement(ranks *[len(formats)]rank, element string) {
	mediaRange, parameters, _ := strings.Cut(element, ";")
	mediaRange = strings.TrimSpace(mediaRange)
	quality := 1000
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(name, "q") {
			var ok bool
			if quality, ok = parseQuality(value); !ok {
				return
			}
		}
	}
	for i, f := range formats {
		precision := 0
		switch {
		case strings.EqualFold(mediaRange, f.mediaType):
			precision = 3
		case strings.EqualFold(mediaRange, "application/*"):
			precision = 2
		case mediaRange == "*/*":
			precision = 1
		}
		if precision > ranks[i].precision {
			ranks[i] = rank{precision, quality}
		}
	}
}

// parseQuality reads a qvalue (RFC 9110 clause 12.4.2) as thousandths: 0, 1, or either with up to three decimals.
func parseQuality(s string) (int, bool) {
	whole, decimals, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(decimals) > 3 {
		return 0, false
	}
	n, err := strconv.ParseUint((decimals + "000")[:3], 10, 16)
	if err != nil {
		return 0, false
	}
	q := int(n)
	if whole == "1" {
		q += 1000
	}
	return q, q <= 1000
}
