package ingest

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// The labels of SenML (RFC 8428 clause 4.3), in the order in which a resolved record has them.
const (
	labelBaseName = iota
	labelBaseTime
	labelBaseUnit
	labelBaseValue
	labelBaseSum
	labelVersion
	labelName
	labelUnit
	labelValue
	labelString
	labelBool
	labelData
	labelSum
	labelTime
	labelUpdate
	labels
)

var labelNames = [labels]string{"bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut"}

const (
	// senMLVersion is the newest version of SenML that is known (RFC 8428 clause 4.4).
	senMLVersion = 10
	// relativeTime is the time in seconds below which one counts from now (RFC 8428 clause 4.5.3). No absolute time is
	// before it: 1978-07-04T21:24:16Z.
	relativeTime = 1 << 28
	// endOfTime is the first second that no oneM2M timestamp can say, 10000-01-01T00:00:00Z.
	endOfTime = 253402300800
	// maxName bounds a record's name in bytes; the RFC has no limit.
	maxName = 1024
)

// record is one SenML record: JSON text by label, nil for those that it does not have.
type record struct {
	fields [labels][]byte
	// others are labels that RFC 8428 does not have, kept as they are; but base fields among them, which could not be
	// resolved, are left out.
	others []field
}

type field struct {
	label string
	value []byte
}

// decoder reads the records of a pack. It has checked that no label comes twice and that values are JSON.
type decoder func(body []byte) ([]record, error)

// fromSenML makes an instance of each record of a pack, in the order of their times, as resolved records have to be (RFC
// 8428 clause 4.6); records of one time stay in the order of the pack.
func fromSenML(decode decoder, body []byte, now int64) ([]content, error) {
	records, err := decode(body)
	if err != nil {
		return nil, err
	}
	r := resolver{now: microseconds(now), version: -1}
	pack := make([]content, 0, len(records))
	for i := range records {
		c, ok, err := r.resolve(&records[i])
		if err != nil {
			return nil, onem2m.Errorf(err.Status, "SenML record %d: %s", i+1, err.Message)
		}
		if ok {
			c.from = "SenML record " + strconv.Itoa(i+1)
			pack = append(pack, c)
		}
	}
	if len(pack) == 0 {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the SenML pack has no record with a value")
	}
	slices.SortStableFunc(pack, func(a, b content) int { return a.time.compare(*b.time) })
	return pack, nil
}

// resolver resolves the records of one pack (RFC 8428 clause 4.6): afterwards each says all by itself.
type resolver struct {
	now     decimal
	base    [labelVersion][]byte // what the base fields are so far
	version int64                // -1 before the first record
}

// resolve gives the record as a pack of its own: what reads an instance can hand its content to any SenML parser, and
// its content type says what it is. A record that only has base fields holds for those after it and gives none.
func (r *resolver) resolve(rec *record) (content, bool, *onem2m.Error) {
	if err := r.bases(rec); err != nil {
		return content{}, false, err
	}
	if !rec.regular() {
		return content{}, false, nil
	}
	if err := r.check(rec); err != nil {
		return content{}, false, err
	}
	var out [labels][]byte
	copy(out[labelName:], rec.fields[labelName:])
	name, err := r.name(rec)
	if err != nil {
		return content{}, false, err
	}
	out[labelName] = onem2m.AppendQuote(nil, name)
	if out[labelUnit] == nil {
		out[labelUnit] = r.base[labelBaseUnit]
	}
	if out[labelString] == nil && out[labelBool] == nil && out[labelData] == nil {
		out[labelValue], err = sum(r.base[labelBaseValue], out[labelValue])
	}
	if err == nil {
		out[labelSum], err = sum(r.base[labelBaseSum], out[labelSum])
	}
	if err != nil {
		return content{}, false, err
	}
	if out[labelValue] == nil && out[labelString] == nil && out[labelBool] == nil && out[labelData] == nil && out[labelSum] == nil {
		return content{}, false, onem2m.Errorf(onem2m.StatusBadRequest, "it has neither a value nor a sum")
	}
	at, err := r.time(rec)
	if err != nil {
		return content{}, false, err
	}
	out[labelTime] = []byte(at.text)
	if r.version != senMLVersion {
		out[labelVersion] = []byte{byte('0' + r.version)}
	}
	return content{info: "application/senml+json:0", con: appendRecord(&out, rec.others), time: &at.decimal}, true, nil
}

// addOther notes a label that RFC 8428 does not have.
func (rec *record) addOther(label string, value []byte) {
	if !strings.HasPrefix(label, "b") || mustUnderstand(label) {
		rec.others = append(rec.others, field{label, value})
	}
}

// mustUnderstand says whether a pack with an unknown label must be refused (RFC 8428 clause 4.4).
func mustUnderstand(label string) bool { return strings.HasSuffix(label, "_") }

// regular says whether the record has anything but base fields.
func (rec *record) regular() bool {
	return len(rec.others) > 0 || slices.ContainsFunc(rec.fields[labelName:], func(v []byte) bool { return v != nil })
}

// bases takes over the base fields of a record, which hold from it on.
func (r *resolver) bases(rec *record) *onem2m.Error {
	for l := range r.base {
		v := rec.fields[l]
		if v == nil {
			continue
		}
		if l == labelBaseName || l == labelBaseUnit {
			if v[0] != '"' {
				return wrongType(l, "a string")
			}
		} else if err := checkNumber(l, v); err != nil {
			return err
		}
		r.base[l] = v
	}
	return r.checkVersion(rec.fields[labelVersion])
}

// checkVersion refuses a version that is newer than known, or that changes within a pack (RFC 8428 clause 4.4).
func (r *resolver) checkVersion(v []byte) *onem2m.Error {
	version := r.version
	switch {
	case v != nil:
		n, ok := onem2m.Int(v)
		if !ok || n < 1 || n > senMLVersion {
			return onem2m.Errorf(onem2m.StatusBadRequest, "version (bver) %.20s is none of 1 to %d", v, senMLVersion)
		}
		version = n
	case version < 0:
		version = senMLVersion
	}
	if r.version >= 0 && r.version != version {
		return onem2m.Errorf(onem2m.StatusBadRequest, "version (bver) %d after %d: a pack has one", version, r.version)
	}
	r.version = version
	return nil
}

// check refuses fields of a wrong type and more values than one (RFC 8428 clause 4.2).
func (*resolver) check(rec *record) *onem2m.Error {
	values := 0
	for l := labelName; l < labels; l++ {
		v := rec.fields[l]
		if v == nil {
			continue
		}
		switch l {
		case labelValue, labelString, labelBool, labelData:
			values++
		}
		switch l {
		case labelValue, labelSum, labelTime, labelUpdate:
			if err := checkNumber(l, v); err != nil {
				return err
			}
		case labelBool:
			if v[0] != 't' && v[0] != 'f' {
				return wrongType(l, "true or false")
			}
		default:
			if v[0] != '"' {
				return wrongType(l, "a string")
			}
		}
	}
	if values > 1 {
		return onem2m.Errorf(onem2m.StatusBadRequest, "it has %d of v, vs, vb and vd; one record has one value", values)
	}
	if v := rec.fields[labelData]; v != nil {
		s, _ := onem2m.Unquote(v)
		if _, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "=")); err != nil {
			return onem2m.Errorf(onem2m.StatusBadRequest, "vd is no base64url: %v", err)
		}
	}
	for _, o := range rec.others {
		if mustUnderstand(o.label) {
			return onem2m.Errorf(onem2m.StatusBadRequest, "label %.40q must be understood and is not", o.label)
		}
	}
	return nil
}

// name joins base name and name (RFC 8428 clause 4.5.1): letters, digits and "-:./_", the first a letter or a digit.
func (r *resolver) name(rec *record) (string, *onem2m.Error) {
	name := ""
	for _, v := range [][]byte{r.base[labelBaseName], rec.fields[labelName]} {
		s, _ := onem2m.Unquote(v)
		name += s
	}
	if name == "" || len(name) > maxName {
		return "", onem2m.Errorf(onem2m.StatusBadRequest, "its name (bn and n) has %d bytes; want 1 to %d", len(name), maxName)
	}
	for i := range len(name) {
		b := name[i]
		alphanumeric := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
		if !alphanumeric && (i == 0 || strings.IndexByte("-:./_", b) < 0) {
			return "", onem2m.Errorf(onem2m.StatusBadRequest, "its name %.80q has a character that no name has, byte %d", name, i)
		}
	}
	return name, nil
}

type instant struct {
	text    string
	decimal decimal
}

// time gives the absolute time in seconds: base time and time together count from now when they are less than 2^28
// (RFC 8428 clause 4.5.3). Times that could not be told from relative ones, or that no oneM2M timestamp has, are refused.
func (r *resolver) time(rec *record) (instant, *onem2m.Error) {
	text, err := sum(r.base[labelBaseTime], rec.fields[labelTime])
	if err != nil {
		return instant{}, err
	}
	if text == nil {
		return instant{r.now.String(), r.now}, nil
	}
	d, bad := parseDecimal(text)
	if bad != nil {
		return instant{}, bad
	}
	if d.less(relativeTime) {
		d = r.now.plus(d)
		text = []byte(d.String())
	}
	if d.less(relativeTime) || !d.less(endOfTime) {
		return instant{}, onem2m.Errorf(onem2m.StatusBadRequest, "its time %.40s is none from 1978 to 9999; SenML counts in seconds", text)
	}
	return instant{string(text), d}, nil
}

// sum adds a base field, which may be missing, to a field. What needs no sum keeps its text.
func sum(base, value []byte) ([]byte, *onem2m.Error) {
	switch {
	case base == nil:
		return value, nil
	case value == nil:
		return base, nil
	}
	a, err := parseDecimal(base)
	if err != nil {
		return nil, err
	}
	b, err := parseDecimal(value)
	if err != nil {
		return nil, err
	}
	return []byte(a.plus(b).String()), nil
}

func checkNumber(label int, v []byte) *onem2m.Error {
	if _, err := parseDecimal(v); err != nil {
		return onem2m.Errorf(err.Status, "%s: %s", labelNames[label], err.Message)
	}
	return nil
}

func wrongType(label int, want string) *onem2m.Error {
	return onem2m.Errorf(onem2m.StatusBadRequest, "%s is not %s", labelNames[label], want)
}

// appendRecord writes a pack of one record.
func appendRecord(fields *[labels][]byte, others []field) []byte {
	b := []byte("[{")
	add := func(label string, value []byte) {
		if len(b) > 2 {
			b = append(b, ',')
		}
		b = append(onem2m.AppendQuote(b, label), ':')
		b = append(b, value...)
	}
	for l, v := range fields {
		if v != nil {
			add(labelNames[l], v)
		}
	}
	for _, o := range others {
		add(o.label, o.value)
	}
	return append(b, "}]"...)
}
