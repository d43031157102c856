package ingest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/tallystick/tallystick/onem2m"
)

// decodeSenMLJSON reads a pack in JSON (RFC 8428 clause 5). A stream may lack the bracket at its end (clause 5.1).
func decodeSenMLJSON(body []byte) ([]record, error) {
	text, err := onem2m.ScanValue(body)
	if err != nil {
		if open := bytes.TrimRight(body, " \t\r\n,"); len(open) > 0 && open[0] == '[' && open[len(open)-1] == '}' {
			text, err = onem2m.ScanValue(append(bytes.Clone(open), ']'))
		}
	}
	if err != nil {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the body is no JSON: %v", err)
	}
	if text[0] != '[' {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "a SenML pack is an array of records")
	}
	var records []record
	for v := range onem2m.Elements(text) {
		if v[0] != '{' {
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "SenML record %d is no object", len(records)+1)
		}
		if len(records) == maxRecords {
			return nil, tooMany()
		}
		var rec record
		for label, value := range onem2m.Fields(v) {
			if l := slices.Index(labelNames[:], label); l >= 0 {
				rec.fields[l] = value
			} else {
				rec.addOther(label, onem2m.AppendCompact(nil, value))
			}
		}
		records = append(records, rec)
	}
	return records, nil
}

// cborLabels are the labels of SenML in CBOR (RFC 8428 table 4), in the order of labelNames.
var cborLabels = [labels]int64{-2, -3, -4, -5, -6, -1, 0, 1, 2, 3, 4, 8, 5, 6, 7}

// cborMode bounds what a pack can have the decoder do.
var cborMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: 16, MaxArrayElements: 1 << 13, MaxMapPairs: 64,
		IntDec: cbor.IntDecConvertSignedOrFail,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return mode
}()

// decodeSenMLCBOR reads a pack in CBOR (RFC 8428 clause 6). Numbers become the decimal text that stands for them:
// decimal fractions (RFC 8949 clause 3.4.4) exactly, floating-point numbers as the shortest that reads back the same.
func decodeSenMLCBOR(body []byte) ([]record, error) {
	var raw []map[any]cbor.RawMessage
	if err := cborMode.Unmarshal(body, &raw); err != nil {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the body is no SenML pack in CBOR: %v", err)
	}
	if len(raw) > maxRecords {
		return nil, tooMany()
	}
	records := make([]record, len(raw))
	for i, m := range raw {
		for key, value := range m {
			if err := records[i].setCBOR(key, value); err != nil {
				return nil, onem2m.Errorf(onem2m.StatusBadRequest, "SenML record %d: label %v: %v", i+1, key, err)
			}
		}
		slices.SortFunc(records[i].others, func(a, b field) int { return strings.Compare(a.label, b.label) })
	}
	return records, nil
}

var (
	errLabel = errors.New("a label is an integer of RFC 8428 or a text string")
	errTwice = errors.New("given twice, as an integer and as a text")
	errData  = errors.New("want a byte string")
	errText  = errors.New("want no byte string")
	errTag   = errors.New("a tag that no number has")
)

func (rec *record) setCBOR(key any, raw cbor.RawMessage) error {
	label := -1
	switch k := key.(type) {
	case int64:
		label = slices.Index(cborLabels[:], k)
	case string:
		if label = slices.Index(labelNames[:], k); label < 0 {
			text, err := onem2m.CBORToJSON(raw)
			rec.addOther(k, text)
			return err
		}
	}
	switch {
	case label < 0:
		return errLabel
	case rec.fields[label] != nil:
		return errTwice
	}
	var err error
	switch bytesValue := raw[0]>>5 == 2; {
	case label == labelData && !bytesValue:
		err = errData
	case label == labelData:
		var b []byte
		if err = cborMode.Unmarshal(raw, &b); err == nil {
			rec.fields[label] = onem2m.AppendQuote(nil, base64.RawURLEncoding.EncodeToString(b))
		}
	case bytesValue:
		err = errText
	case raw[0]>>5 == 6:
		rec.fields[label], err = taggedNumber(raw)
	default:
		rec.fields[label], err = onem2m.CBORToJSON(raw)
	}
	return err
}

// taggedNumber gives a big integer (tags 2 and 3) or a decimal fraction (tag 4) as text.
func taggedNumber(raw cbor.RawMessage) ([]byte, error) {
	var tag cbor.RawTag
	if err := cborMode.Unmarshal(raw, &tag); err != nil {
		return nil, err
	}
	switch tag.Number {
	case 2, 3:
		var n big.Int
		if err := cborMode.Unmarshal(raw, &n); err != nil {
			return nil, err
		}
		return boundedInt(&n)
	case 4:
		var parts []cbor.RawMessage
		if err := cborMode.Unmarshal(tag.Content, &parts); err != nil {
			return nil, err
		}
		if len(parts) != 2 {
			return nil, errors.New("a decimal fraction has an exponent and a mantissa")
		}
		var exponent int64
		var mantissa big.Int
		if err := cborMode.Unmarshal(parts[0], &exponent); err != nil {
			return nil, err
		}
		if exponent < -maxExponent || exponent > maxExponent {
			return nil, errors.New("the exponent is out of bounds")
		}
		if err := cborMode.Unmarshal(parts[1], &mantissa); err != nil {
			return nil, err
		}
		if _, err := boundedInt(&mantissa); err != nil {
			return nil, err
		}
		d := decimal{exponent: int(exponent)}
		d.coefficient.Set(&mantissa)
		return []byte(d.String()), nil
	}
	return nil, errTag
}

// boundedInt writes a number that is not too long to reckon with.
func boundedInt(n *big.Int) ([]byte, error) {
	if n.BitLen() > 1024 {
		return nil, errors.New("the number is too large")
	}
	return n.Append(nil, 10), nil
}
