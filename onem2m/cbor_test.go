package onem2m

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"
)

// RFC 8949 appendix A, and what this package refuses.
func TestCBORToJSON(t *testing.T) {
	for in, want := range map[string]string{
		"00": "0", "17": "23", "1818": "24", "1903e8": "1000", "1bffffffffffffffff": "18446744073709551615", "20": "-1", "3903e7": "-1000",
		"3bffffffffffffffff": "-18446744073709551616", "3bfffffffffffffffe": "-18446744073709551615",
		"f90000": "0", "f98000": "-0", "f93c00": "1", "fb3ff199999999999a": "1.1", "f97bff": "65504", "fa47c35000": "100000",
		"fb7e37e43c8800759c": "1e+300", "f90001": "5.960464477539063e-8", "f90400": "0.00006103515625", "f9c400": "-4",
		"f4": "false", "f5": "true", "f6": "null", "60": `""`, "6161": `"a"`, "62225c": `"\"\\"`, "62c3bc": `"ü"`,
		"40": `""`, "4401020304": `"AQIDBA=="`, "80": "[]", "83010203": "[1,2,3]", "a0": "{}", "a26161016162820203": `{"a":1,"b":[2,3]}`,
		"5f42010243030405ff": `"AQIDBAU="`, "7f657374726561646d696e67ff": `"streaming"`, "9fff": "[]", "9f018202039f0405ffff": "[1,[2,3],[4,5]]",
		"bf61610161629f0203ffff": `{"a":1,"b":[2,3]}`, "d9d9f701": "1", "1800": "0", "6100": `"\u0000"`,
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(in, err)
		}
		want = strings.ReplaceAll(want, "e-8", "e-08")
		if got, err := CBORToJSON(b); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"": "ends early", "18": "ends early", "61": "ends early", "8201": "ends early", "9f01": "ends early", "a16161": "ends early",
		"0000": "after the end", "1c": "reserved", "1f": "reserved", "ff": "reserved", "f7": "simple", "f0": "simple", "f820": "simple",
		"f97c00": "infinity", "f97e00": "NaN", "faff800000": "infinity", "fb7ff8000000000000": "NaN", "c074": "tags", "a10101": "key",
		"a2616101616102": "two members", "61ff": "UTF-8", "5f6161ff": "chunk", "7f5fffff": "chunk", "7f7f6161ffff": "chunk",
		"9bffffffffffffffff": "ends early", "7bffffffffffffffff": "ends early", "bf6161ff": "reserved", "82ff01": "reserved",
		"7f61c361bcff": "UTF-8",
	} {
		b, _ := hex.DecodeString(in)
		if got, err := CBORToJSON(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v, want an error with %q", in, got, err, want)
		}
	}
	deep := append(bytes.Repeat([]byte{0x81}, MaxDepth), 0x00)
	if _, err := CBORToJSON(deep); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
	if _, err := CBORToJSON(append([]byte{0x81}, deep...)); err == nil {
		t.Errorf("%d levels accepted", MaxDepth+1)
	}
	if _, err := CBORToJSON(make([]byte, MaxDocument+1)); err == nil {
		t.Error("a document that is too long was accepted")
	}
	if _, err := CBORToJSON(append([]byte{0x5a, 0, 0x0F, 0xFF, 0xFB}, make([]byte, MaxDocument-5)...)); err == nil {
		t.Error("a document whose JSON text is too long was accepted")
	}
}

func TestJSONToCBOR(t *testing.T) {
	for in, want := range map[string]string{
		`0`: "00", `24`: "1818", `-1`: "20", `18446744073709551615`: "1bffffffffffffffff", `-9223372036854775808`: "3b7fffffffffffffff",
		`1.5`: "f93e00", `100000.5`: "fa47c35040", `1.1`: "fb3ff199999999999a", `1.10`: "fb3ff199999999999a", `11e-1`: "fb3ff199999999999a",
		`1e300`: "fb7e37e43c8800759c", `-0`: "f98000", `-0.0`: "f98000", `0.00006103515625`: "f90400", `5.960464477539063e-8`: "f90001",
		`65504.0`: "f97bff", `65536.0`: "fa47800000", `10000000000000000000000`: "fb4480f0cf064dd592",
		`[1,[2]]`: "82018102", ` { "b" : 1 , "a" : "x" } `: "a2616201616161" + "78", `true`: "f5", `null`: "f6", `"ü"`: "62c3bc",
	} {
		if got, err := JSONToCBOR([]byte(in)); err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%s: %x, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{``, `{`, `1e400`, `0.10000000000000000001`, `1e-400`, `12345678901234567890123`, `{"a":1,"a":2}`, `1 2`, `1e99999999999999999999`} {
		if got, err := JSONToCBOR([]byte(in)); err == nil {
			t.Errorf("%s: became %x", in, got)
		}
	}
	if _, err := JSONToCBOR(bytes.Repeat([]byte{' '}, MaxDocument+1)); err == nil {
		t.Error("a document that is too long was accepted")
	}
}

// drawJSON makes a JSON value out of integers, fractions, strings, lists and objects.
func drawJSON(t *rapid.T, depth int) any {
	kinds := 6
	if depth >= 4 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.Int64().Draw(t, "integer")
	case 1:
		return rapid.Float64Range(-1e300, 1e300).Draw(t, "float")
	case 2:
		return rapid.String().Draw(t, "string")
	case 3:
		return rapid.SampledFrom([]any{true, false, nil}).Draw(t, "literal")
	case 4:
		list := []any{}
		for range rapid.IntRange(0, 40).Draw(t, "length") {
			list = append(list, drawJSON(t, depth+1))
			if depth > 0 && len(list) > 3 {
				break
			}
		}
		return list
	}
	object := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "length") {
		object[rapid.String().Draw(t, "name")] = drawJSON(t, depth+1)
	}
	return object
}

// JSON to CBOR and back is the same value, and another CBOR library reads the same out of it.
func TestCBORRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(drawJSON(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := JSONToCBOR(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := cbor.Wellformed(encoded); err != nil {
			t.Fatalf("%s: %x: %v", text, encoded, err)
		}
		back, err := CBORToJSON(encoded)
		if err != nil {
			t.Fatalf("%x: %v", encoded, err)
		}
		again, err := JSONToCBOR(back)
		if err != nil || !bytes.Equal(again, encoded) {
			t.Fatalf("%s: %x, then %s: %x, %v", text, encoded, back, again, err)
		}
	})
}

func TestHalfPrecision(t *testing.T) {
	for h := range 1 << 16 {
		f := halfToFloat(uint16(h))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		if back, ok := floatToHalf(f); !ok || back != uint16(h) {
			t.Fatalf("%#04x is %g, which came back as %#04x, %t", h, f, back, ok)
		}
	}
}

// What CBORToJSON accepts is well-formed CBOR, and its output is valid JSON within the limits.
func FuzzCBORToJSON(f *testing.F) {
	for _, s := range []string{"a1676d326d3a63696ea163636f6e6537332e3936", "9f018202039f0405ffff", "bf61610161629f0203ffff", "fb3ff199999999999a", "5f42010243030405ff", "d9d9f7a0", "3bffffffffffffffff"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := CBORToJSON(b)
		if err != nil {
			return
		}
		if err := cbor.Wellformed(b); err != nil {
			t.Fatalf("%x is not well-formed: %v", b, err)
		}
		if len(text) > MaxDocument+2*MaxDepth {
			t.Fatalf("%d bytes of JSON", len(text))
		}
		if _, err := ScanValue(text); err != nil {
			t.Fatalf("%x became %q: %v", b, text, err)
		}
		encoded, err := JSONToCBOR(text)
		if err != nil {
			return // a negative integer below -2^63
		}
		if back, err := CBORToJSON(encoded); err != nil || !bytes.Equal(back, text) {
			t.Fatalf("%s came back as %s, %v", text, back, err)
		}
	})
}

func FuzzJSONToCBOR(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		encoded, err := JSONToCBOR(text)
		if err != nil {
			return
		}
		back, err := CBORToJSON(encoded)
		if err != nil {
			t.Fatalf("%q became %x: %v", text, encoded, err)
		}
		again, err := JSONToCBOR(back) // an integer once written as a fraction is an integer now
		if err != nil {
			t.Fatalf("%q: %x, then %q: %v", text, encoded, back, err)
		}
		if last, err := CBORToJSON(again); err != nil || !bytes.Equal(last, back) {
			t.Fatalf("%q: %q, then %q, %v", text, back, last, err)
		}
	})
}
