package cse

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/tallystick/tallystick/onem2m"
)

// The first byte of an encoded Resource. Version 2 has Wake, and a resource without one is encoded as version 1.
const (
	resourceVersion     = 1
	resourceVersionWake = 2
)

// storedResource is the encoding of a Resource: deterministic CBOR (RFC 8949 section 4.2.1), an array.
type storedResource struct {
	_        struct{} `cbor:",toarray"`
	Type     int32
	RI       string
	PI       string
	RN       string
	Created  int64
	Modified int64
	Expires  int64
	StateTag uint64
	Owner    string
	Attrs    []storedAttr
}

// storedWake is a Resource with a Wake.
type storedWake struct {
	_        struct{} `cbor:",toarray"`
	Resource storedResource
	Wake     int64
}

type storedAttr struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	Value []byte
}

// Bounds of an encoded resource.
const (
	maxEncoded = maxContent + 1<<16 // bytes
	maxAttrs   = 64
)

var (
	encodeMode = must(cbor.CoreDetEncOptions().EncMode())
	decodeMode = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  5,
		MaxArrayElements: maxAttrs,
		MaxMapPairs:      16, // the least the library allows; the format has no maps
		UTF8:             cbor.UTF8RejectInvalid,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic("cse: CBOR options: " + err.Error())
	}
	return v
}

// AppendBinary appends the encoding of a resource: a version byte and deterministic CBOR. Equal resources have equal
// encodings.
func (r *Resource) AppendBinary(dst []byte) []byte {
	stored := storedResource{
		Type: int32(r.Type), RI: r.RI, PI: r.PI, RN: r.RN,
		Created: r.Created, Modified: r.Modified, Expires: r.Expires, StateTag: r.StateTag, Owner: r.Owner,
		Attrs: make([]storedAttr, len(r.Attrs)),
	}
	for i, a := range r.Attrs {
		stored.Attrs[i] = storedAttr{Name: a.Name, Value: a.Value}
	}
	version, v := byte(resourceVersion), any(&stored)
	if r.Wake != 0 {
		version, v = resourceVersionWake, &storedWake{Resource: stored, Wake: r.Wake}
	}
	out := bytes.NewBuffer(append(dst, version))
	if err := encodeMode.NewEncoder(out).Encode(v); err != nil {
		// Strings, integers and byte strings always encode, and a buffer takes all.
		panic("cse: encode resource " + r.RI + ": " + err.Error())
	}
	return out.Bytes()
}

// DecodeResource decodes what AppendBinary made, and nothing else: an encoding that AppendBinary would not have made
// is an error. The result does not alias b.
func DecodeResource(b []byte) (*Resource, error) {
	res, err := decodeResource(b)
	if err != nil {
		return nil, fmt.Errorf("decode resource of %d bytes: %w", len(b), err)
	}
	return res, nil
}

func decodeResource(b []byte) (*Resource, error) {
	switch {
	case len(b) == 0:
		return nil, errors.New("empty")
	case len(b) > maxEncoded:
		return nil, fmt.Errorf("longer than %d bytes", maxEncoded)
	case b[0] != resourceVersion && b[0] != resourceVersionWake:
		return nil, fmt.Errorf("version %d, this program knows versions up to %d", b[0], resourceVersionWake)
	}
	var waking storedWake
	stored := &waking.Resource
	into := any(stored)
	if b[0] == resourceVersionWake {
		into = &waking
	}
	if err := decodeMode.Unmarshal(b[1:], into); err != nil {
		return nil, err
	}
	res := &Resource{
		Type: onem2m.ResourceType(stored.Type), RI: stored.RI, PI: stored.PI, RN: stored.RN,
		Created: stored.Created, Modified: stored.Modified, Expires: stored.Expires, StateTag: stored.StateTag,
		Owner: stored.Owner, Wake: waking.Wake,
		Attrs: make([]Attr, len(stored.Attrs)),
	}
	for i, a := range stored.Attrs {
		if i > 0 && stored.Attrs[i-1].Name >= a.Name {
			return nil, fmt.Errorf("attribute %q is not in ascending order", a.Name)
		}
		value, err := onem2m.ScanValue(a.Value)
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
		}
		if len(value) != len(a.Value) {
			return nil, fmt.Errorf("attribute %q has blanks around its value", a.Name)
		}
		res.Attrs[i] = Attr{Name: a.Name, Value: a.Value}
	}
	if res.RI == "" || res.RN == "" {
		return nil, errors.New("no resource ID or name")
	}
	if !bytes.Equal(res.AppendBinary(nil), b) {
		return nil, errors.New("not in its one deterministic form")
	}
	return res, nil
}
