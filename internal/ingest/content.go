package ingest

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of a message.
const (
	// maxRecords bounds the instances of one message: what is done together fits into one batch.
	maxRecords = 4096
	// maxContent bounds the request content that one instance becomes, in bytes; the core takes no more.
	maxContent = 1 << 20
	// maxMediaType bounds the media type that contentInfo gets, in bytes.
	maxMediaType = 127
)

// content is what one instance is made of.
type content struct {
	info string   // cnf
	con  []byte   // the text that con is to be
	time *decimal // of the record, in seconds; nil when it says none
	from string   // which part of the message it is, for a refusal
}

// contentInstance is the representation of a contentInstance (TS-0004 clause 7.4.7.1).
func (c *content) contentInstance() []byte {
	b := make([]byte, 0, len(c.con)+len(c.con)/8+len(c.info)+32)
	b = onem2m.AppendQuote(append(b, `{"m2m:cin":{"cnf":`...), c.info)
	b = onem2m.AppendQuote(append(b, `,"con":`...), string(c.con))
	return append(b, "}}"...)
}

// timeSeriesInstance is the representation of a timeSeriesInstance (TS-0004 clause 7.4.39.1). What a record's time is
// not, the time of receipt is: every one must have the time that its data were generated at (dgt).
func (c *content) timeSeriesInstance(now int64) []byte {
	b := make([]byte, 0, len(c.con)+len(c.con)/8+64)
	b = onem2m.AppendQuote(append(b, `{"m2m:tsi":{"dgt":`...), onem2m.FormatTime(c.unixMicro(now)))
	b = onem2m.AppendQuote(append(b, `,"con":`...), string(c.con))
	return append(b, "}}"...)
}

// unixMicro is the record's own time, rounded down, or now when it has none.
func (c *content) unixMicro(now int64) int64 {
	if c.time == nil {
		return now
	}
	return c.time.floor(-6).Int64()
}

// fromBody splits a body by its media type, which may have parameters or be empty.
func fromBody(mediaType string, body []byte, now int64) ([]content, error) {
	if len(body) == 0 {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the message is empty")
	}
	mediaType, parameters, _ := strings.Cut(mediaType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	switch mediaType {
	case "application/senml+json", "application/sensml+json":
		return fromSenML(decodeSenMLJSON, body, now)
	case "application/senml+cbor", "application/sensml+cbor":
		return fromSenML(decodeSenMLCBOR, body, now)
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines":
		return fromLines(body)
	case "", "application/x-www-form-urlencoded":
		// Whoever names no type. curl -d names the second whatever it sends.
		return one(guess(mediaType, body)), nil
	}
	if err := checkMediaType(mediaType); err != nil {
		return nil, err
	}
	switch {
	case isJSON(mediaType):
		if _, err := onem2m.ScanValue(body); err != nil {
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the body is no JSON: %v", err)
		}
		return one(plain(mediaType, body)), nil
	case isText(mediaType):
		if !utf8.Valid(body) || otherCharset(parameters) {
			return nil, onem2m.Errorf(onem2m.StatusUnsupportedMediaType, "the body of type %s is no UTF-8; send it as application/octet-stream, or as UTF-8", mediaType)
		}
		return one(plain(mediaType, body)), nil
	}
	return one(binary(mediaType, body)), nil
}

func one(c content) []content { return []content{c} }

func plain(mediaType string, body []byte) content { return content{info: mediaType + ":0", con: body} }

func binary(mediaType string, body []byte) content {
	return content{info: mediaType + ":1", con: base64.StdEncoding.AppendEncode(nil, body)}
}

// guess is the content of a body of unknown type: JSON where it is an object or an array of it, text where it is UTF-8
// without control characters, else a byte string.
func guess(mediaType string, body []byte) content {
	if b := bytes.TrimLeft(body, " \t\r\n"); len(b) > 0 && (b[0] == '{' || b[0] == '[') {
		if _, err := onem2m.ScanValue(body); err == nil {
			return plain("application/json", body)
		}
	}
	if !utf8.Valid(body) || bytes.ContainsFunc(body, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' && r != '\n' || r == 0x7f }) {
		return binary("application/octet-stream", body)
	}
	if mediaType != "" && bytes.IndexByte(body, '=') > 0 {
		return plain(mediaType, body)
	}
	return plain("text/plain", body)
}

// checkMediaType refuses what contentInfo cannot hold (RFC 9110 clause 8.3.1, TS-0004 table 6.3.3-1).
func checkMediaType(s string) error {
	kind, sub, ok := strings.Cut(s, "/")
	if !ok || !isToken(kind) || !isToken(sub) || len(s) > maxMediaType {
		return onem2m.Errorf(onem2m.StatusUnsupportedMediaType, "%.80q is no media type", s)
	}
	return nil
}

func isToken(s string) bool {
	for i := range len(s) {
		if b := s[i]; (b < 'a' || b > 'z') && (b < '0' || b > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(b)) {
			return false
		}
	}
	return s != ""
}

func isJSON(mediaType string) bool {
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

func isText(mediaType string) bool {
	switch mediaType {
	case "application/xml", "application/yaml", "application/toml", "application/javascript", "application/sql", "application/csv":
		return true
	}
	return strings.HasPrefix(mediaType, "text/") || strings.HasSuffix(mediaType, "+xml") || strings.HasSuffix(mediaType, "+yaml")
}

// otherCharset says whether the parameters of a media type name a charset that is not a part of UTF-8.
func otherCharset(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		value = strings.ToLower(strings.Trim(value, `"`))
		if strings.EqualFold(name, "charset") && value != "utf-8" && value != "utf8" && value != "us-ascii" {
			return true
		}
	}
	return false
}

// fromLines splits lines of JSON, one instance each; empty lines count for nothing.
func fromLines(body []byte) ([]content, error) {
	var pack []content
	n := 0
	for line := range bytes.Lines(body) {
		n++
		line = bytes.Trim(line, " \t\r\n")
		if len(line) == 0 {
			continue
		}
		if _, err := onem2m.ScanValue(line); err != nil {
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "line %d is no JSON: %v", n, err)
		}
		if len(pack) == maxRecords {
			return nil, tooMany()
		}
		c := plain("application/json", line)
		c.from = "line " + strconv.Itoa(n)
		pack = append(pack, c)
	}
	if len(pack) == 0 {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the message has no line of JSON")
	}
	return pack, nil
}

func tooMany() error {
	return onem2m.Errorf(onem2m.StatusContentsUnacceptable, "the message has more than %d records; send it in parts", maxRecords)
}

// checkSize refuses what becomes longer than an instance can be.
func checkSize(pack []content) error {
	for i := range pack {
		// An escape takes up to six bytes; most texts are far from the limit, so few are counted.
		if n := len(pack[i].con); n > maxContent/6-256 && len(pack[i].contentInstance()) > maxContent {
			return onem2m.Errorf(onem2m.StatusContentsUnacceptable, "%s takes more than %d bytes as content of an instance", cmp.Or(pack[i].from, "the message"), maxContent)
		}
	}
	return nil
}
