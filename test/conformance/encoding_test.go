//go:build scenario

package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// toCBOR encodes JSON text as CBOR, with this package's own hands: the server's codec is what is tested.
func toCBOR(t *testing.T, text []byte) []byte {
	t.Helper()
	b, err := cbor.Marshal(numbers(decode(t, text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// numbers gives JSON's numbers types that CBOR knows.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	}
	return v
}

// fromCBOR decodes CBOR to JSON text.
func fromCBOR(t *testing.T, b []byte) []byte {
	t.Helper()
	var v any
	if err := cbor.Unmarshal(b, &v); err != nil {
		t.Fatalf("the content is no CBOR: %v: %x", err, b)
	}
	text, err := json.Marshal(plain(v))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// plain makes of CBOR's maps ones that JSON knows.
func plain(v any) any {
	switch v := v.(type) {
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[fmt.Sprint(k)] = plain(x)
		}
		return m
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}

// encodePrimitive gives a primitive in the encoding of a wire.
func encodePrimitive(t *testing.T, p primitive, asCBOR bool) []byte {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if asCBOR {
		return toCBOR(t, text)
	}
	return text
}

// decodePrimitive reads a response primitive.
func decodePrimitive(t *testing.T, b []byte, asCBOR bool) primitive {
	t.Helper()
	if asCBOR {
		b = fromCBOR(t, b)
	}
	var p primitive
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatalf("no primitive: %v: %s", err, b)
	}
	if inner, ok := p["m2m:rsp"]; ok && len(p) == 1 {
		p = nil
		if err := json.Unmarshal(inner, &p); err != nil {
			t.Fatalf("no primitive: %v: %s", err, b)
		}
	}
	return p
}

// queryOf gives the parameters that HTTP and CoAP carry in a query (TS-0009 clause 6.2.2.2, TS-0008 clause 6.2.2.5).
func queryOf(t *testing.T, req primitive) []string {
	t.Helper()
	var query []string
	add := func(name string, raw json.RawMessage) {
		switch v := decode(t, raw).(type) {
		case []any:
			for _, x := range v {
				query = append(query, name+"="+fmt.Sprint(x))
			}
		default:
			query = append(query, name+"="+fmt.Sprint(v))
		}
	}
	for name, raw := range req {
		switch name {
		case "rcn", "drt", "rp", "rids", "tids", "ltids":
			add(name, raw)
		case "rt":
			var rt struct {
				Type json.RawMessage `json:"rtv"`
			}
			if err := json.Unmarshal(raw, &rt); err != nil {
				t.Fatal(err)
			}
			add("rt", rt.Type)
		case "atrl":
			var list []string
			if err := json.Unmarshal(raw, &list); err != nil {
				t.Fatal(err)
			}
			query = append(query, "atrl="+strings.Join(list, "+"))
		case "fc":
			var fc primitive
			if err := json.Unmarshal(raw, &fc); err != nil {
				t.Fatal(err)
			}
			for k, v := range fc {
				if k == "atr" { // a list of {nm,val}
					var list []struct {
						Name  string `json:"nm"`
						Value any    `json:"val"`
					}
					if err := json.Unmarshal(v, &list); err != nil {
						t.Fatal(err)
					}
					for _, a := range list {
						query = append(query, a.Name+"="+fmt.Sprint(a.Value))
					}
					continue
				}
				add(k, v)
			}
		}
	}
	return query
}

// pathOf gives a target as the path of HTTP and CoAP (TS-0009 clause 6.2.1, TS-0008 clause 6.2.2.3), without the first
// slash.
func pathOf(to string) string {
	switch {
	case strings.HasPrefix(to, "//"):
		return "_" + to[1:]
	case strings.HasPrefix(to, "/"):
		return "~" + to
	}
	return to
}

func compactJSON(t *testing.T, b []byte) json.RawMessage {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatalf("the content is no JSON: %v: %s", err, b)
	}
	return out.Bytes()
}
