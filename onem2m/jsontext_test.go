package onem2m

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// accepted says what another strict JSON reader thinks of text, and how deep it nests.
func accepted(text []byte) (ok bool, depth int) {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	values := 0
	for {
		_, err := dec.ReadToken()
		if errors.Is(err, io.EOF) && dec.StackDepth() == 0 {
			return values == 1, depth
		}
		if err != nil {
			return false, depth
		}
		depth = max(depth, dec.StackDepth())
		if dec.StackDepth() == 0 {
			values++
		}
	}
}

var jsonSeeds = []string{
	`{"m2m:cin":{"con":"73.96","cnf":"text/plain:0"}}`, `[]`, ` [ 1 , -0.5e+10 , true , null ] `, `"\ud83d\ude00"`, `"\ud83d"`,
	`"\ude00"`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `01`, `-`, `1.`, `1e`, `"`, `"\x"`, "\"\x01\"", "\"\xff\"", "\"\xed\xa0\x80\"",
	`{"a"}`, `{"a":}`, `{,}`, `[1,]`, `nul`, `truee`, ``, ` `, `1 2`, `{"a":{"b":[{}]}}`, "\xef\xbb\xbf1", `"\u00zz"`, `[1}`,
	`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"i":11}`,
}

// ScanValue agrees with jsontext on what is JSON; the depth limit is the only difference.
func FuzzScanValue(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s))
	}
	f.Add([]byte(strings.Repeat("[", 40) + strings.Repeat("]", 40)))
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := ScanValue(text)
		ok, depth := accepted(text)
		if err == nil && (!ok || depth > MaxDepth) || err != nil && ok && depth <= MaxDepth {
			t.Fatalf("%q: ScanValue: %v; jsontext accepts: %t, depth %d", text, err, ok, depth)
		}
		if err != nil {
			return
		}
		compact := AppendCompact(nil, value)
		want := jsontext.Value(bytes.Clone(value))
		if err := want.Compact(jsontext.PreserveRawStrings(true), jsontext.CanonicalizeRawInts(false)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(compact, want) {
			t.Fatalf("%q: compact %q, want %q", text, compact, want)
		}
		if s, isString := Unquote(value); isString {
			if Size(value) != len(s) {
				t.Fatalf("%q: size %d, length %d", value, Size(value), len(s))
			}
			plain, err := jsontext.AppendUnquote(nil, value)
			if err != nil || string(plain) != s {
				t.Fatalf("%q: unquoted %q, want %q (%v)", value, s, plain, err)
			}
			if again, _ := Unquote(AppendQuote(nil, s)); again != s {
				t.Fatalf("%q: quoted and unquoted %q", s, again)
			}
		}
		walk(t, value)
	})
}

// walk visits a value through Fields and Elements and checks that each part is a whole value.
func walk(t *testing.T, value []byte) {
	for _, v := range Fields(value) {
		walkPart(t, v)
	}
	for v := range Elements(value) {
		walkPart(t, v)
	}
}

func walkPart(t *testing.T, v []byte) {
	if whole, err := ScanValue(v); err != nil || !bytes.Equal(whole, v) {
		t.Fatalf("part %q is not one value: %v", v, err)
	}
	walk(t, v)
}

func FuzzParseContent(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s))
	}
	f.Add([]byte(`{"m2m:sub":{"nu":["http://x"],"enc":{"net":[1,2],"om":[{"ops":1}]}}}`))
	f.Add([]byte(`{"m2m:acp":{"pv":{"acr":[{"acor":["a"],"acop":1,"acco":[{"actw":["* * * * * * *"]}]}]},"pvs":{}}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		tag, members, err := ParseContent(content)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Status != StatusBadRequest {
				t.Fatalf("%q: %v is no BAD_REQUEST", content, err)
			}
			return
		}
		if ok, _ := accepted(content); !ok {
			t.Fatalf("%q: accepted, but is not JSON", content)
		}
		for _, m := range members {
			walkPart(t, m.Value)
		}
		if d := LookupTag(tag); d != nil {
			_ = d.CheckCreate(members)
			_ = d.CheckUpdate(members)
		}
	})
}

func TestQuoteRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		quoted := AppendQuote(nil, s)
		if _, err := ScanValue(quoted); err != nil {
			t.Fatal(err)
		}
		got, ok := Unquote(quoted)
		if !ok || got != s || Size(quoted) != len(s) {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
	if got := string(AppendQuote(nil, "a\xffb\x00\"\\\n")); got != `"a`+"\uFFFD"+`b\u0000\"\\\n"` {
		t.Errorf("quoted as %s", got)
	}
}

func TestSize(t *testing.T) {
	for value, want := range map[string]int{
		`"73.96"`: 5, `""`: 0, `"é"`: 2, `"\u00e9"`: 2, `"\ud83d\ude00"`: 4, `"\n\\"`: 2, `73.96`: 5, `{"a":1}`: 7, `true`: 4, `"\u20ac"`: 3,
	} {
		if got := Size([]byte(value)); got != want {
			t.Errorf("%s: size %d, want %d", value, got, want)
		}
	}
}

func TestReaders(t *testing.T) {
	if string(Field([]byte(`{"a":[1,"]"],"b":{"c":"}"} }`), "b")) != `{"c":"}"}` || Field([]byte(`{"a":1}`), "b") != nil {
		t.Error("Field reads the wrong member")
	}
	for value, want := range map[string]int64{"0": 0, "-5": -5, "9223372036854775807": 1<<63 - 1} {
		if v, ok := Int([]byte(value)); !ok || v != want {
			t.Errorf("%s: %d, %t", value, v, ok)
		}
	}
	for _, value := range []string{"", "1.0", "1e2", "9223372036854775808", `"1"`, "true", "null"} {
		if _, ok := Int([]byte(value)); ok {
			t.Errorf("%s is taken for an integer", value)
		}
	}
}
