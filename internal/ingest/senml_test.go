package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/onem2m"
)

func resolved(t *testing.T, decode decoder, body []byte) ([]string, error) {
	t.Helper()
	pack, err := fromSenML(decode, body, noon)
	var out []string
	for _, c := range pack {
		if c.info != "application/senml+json:0" {
			t.Errorf("contentInfo %s", c.info)
		}
		out = append(out, string(c.con))
	}
	return out, err
}

// TestSenMLExamples: the examples of RFC 8428 clause 5.1, and what its rules make of numbers that no double holds.
func TestSenMLExamples(t *testing.T) {
	const now = "1795435200"
	for _, tt := range []struct {
		name, pack string
		want       []string
	}{
		{"5.1.1", `[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]`,
			[]string{`[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1,"t":` + now + `}]`}},
		{"5.1.2", `[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]`,
			[]string{`[{"n":"urn:dev:ow:10e2073a01080063:voltage","u":"V","v":120.1,"t":` + now + `}]`,
				`[{"n":"urn:dev:ow:10e2073a01080063:current","u":"A","v":1.2,"t":` + now + `}]`}},
		{"5.1.2, version 5", `[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
			{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3}]`,
			[]string{`[{"bver":5,"n":"urn:dev:ow:10e2073a0108006:current","u":"A","v":1.2,"t":1276020071.001}]`,
				`[{"bver":5,"n":"urn:dev:ow:10e2073a0108006:current","u":"A","v":1.3,"t":1276020072.001}]`,
				`[{"bver":5,"n":"urn:dev:ow:10e2073a0108006:voltage","u":"V","v":120.1,"t":1.276020076001e+09}]`}},
		{"clause 4.6: in order of time", `[{"bn":"x","bt":1795435200,"v":1,"t":3},{"v":2,"t":1},{"v":3,"t":0.5},{"v":4,"t":1.0},{"v":5,"t":-1e1}]`,
			[]string{`[{"n":"x","v":5,"t":1795435190}]`, `[{"n":"x","v":3,"t":1795435200.5}]`, `[{"n":"x","v":2,"t":1795435201}]`,
				`[{"n":"x","v":4,"t":1795435201.0}]`, `[{"n":"x","v":1,"t":1795435203}]`}},
		{"base only, sums and values", `[{"bn":"x","bv":20.1,"bs":1e3},{"v":0.20},{"s":-1.5},{"vs":"a"},{"bv":0,"vb":false},{"vd":"AQI"}]`,
			[]string{`[{"n":"x","v":20.30,"s":1e3,"t":` + now + `}]`, `[{"n":"x","v":20.1,"s":998.5,"t":` + now + `}]`, `[{"n":"x","vs":"a","s":1e3,"t":` + now + `}]`,
				`[{"n":"x","vb":false,"s":1e3,"t":` + now + `}]`, `[{"n":"x","vd":"AQI","s":1e3,"t":` + now + `}]`}},
		{"digits stay", `[{"bn":"x","v":21.50,"t":1276020076.0010,"ut":0.10,"u":"Cel"},{"v":123456789012345678901234567890.5}]`,
			[]string{`[{"n":"x","u":"Cel","v":21.50,"t":1276020076.0010,"ut":0.10}]`, `[{"n":"x","v":123456789012345678901234567890.5,"t":` + now + `}]`}},
		{"before 2^28 a time counts from now", `[{"bn":"x","v":1,"t":-0.001},{"v":1,"t":268435455},{"v":1,"t":268435456},{"v":1,"bt":268435450,"t":5},{"v":1,"t":6}]`,
			[]string{`[{"n":"x","v":1,"t":268435456}]`, `[{"n":"x","v":1,"t":268435456}]`, `[{"n":"x","v":1,"t":1795435199.999}]`,
				`[{"n":"x","v":1,"t":2063870655}]`, `[{"n":"x","v":1,"t":2063870655}]`}},
		{"unknown labels stay, base fields that are unknown go", `[{"bn":"x","bct":"text/plain","v":1,"ct": {"a" : 1}}]`,
			[]string{`[{"n":"x","v":1,"t":` + now + `,"ct":{"a":1}}]`}},
		{"stream without an end", "[{\"bn\":\"x\",\"v\":1},\n{\"v\":2},\n",
			[]string{`[{"n":"x","v":1,"t":` + now + `}]`, `[{"n":"x","v":2,"t":` + now + `}]`}},
	} {
		got, err := resolved(t, decodeSenMLJSON, []byte(tt.pack))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		for _, one := range got { // what is resolved resolves to itself
			again, err := resolved(t, decodeSenMLJSON, []byte(one))
			if err != nil || len(again) != 1 || again[0] != one {
				t.Errorf("%s: %s resolves to %s, %v", tt.name, one, again, err)
			}
		}
	}
}

// TestSenMLRefused: what RFC 8428 does not allow refuses the whole pack.
func TestSenMLRefused(t *testing.T) {
	for _, pack := range []string{
		``, `{}`, `[]`, `[1]`, `[{}]`, `[{"bn":"x"}]`, `[{"n":"x"}]`, `[{"n":"x","u":"Cel"}]`, // clause 4.2: a value or a sum
		`[{"v":1}]`, `[{"n":"","v":1}]`, `[{"n":"-x","v":1}]`, `[{"n":"x y","v":1}]`, `[{"n":"é","v":1}]`, `[{"bn":"_","n":"x","v":1}]`, // clause 4.5.1
		`[{"n":"x","v":1,"vs":"a"}]`, `[{"n":"x","v":1,"vb":true}]`, `[{"n":"x","vs":"a","vd":""}]`,
		`[{"n":"x","v":"1"}]`, `[{"n":"x","v":null}]`, `[{"n":"x","v":true}]`, `[{"n":"x","vs":1}]`, `[{"n":"x","vb":"true"}]`, `[{"n":"x","vb":null}]`, `[{"n":"x","vd":"!"}]`,
		`[{"n":1,"v":1}]`, `[{"bn":1,"n":"x","v":1}]`, `[{"bu":1,"n":"x","v":1}]`, `[{"bt":"1","n":"x","v":1}]`, `[{"bv":[],"n":"x","v":1}]`, `[{"t":"1","n":"x","v":1}]`, `[{"u":1,"n":"x","v":1}]`,
		`[{"n":"x","v":1,"new_":1}]`, `[{"bnew_":1,"n":"x","v":1}]`, // clause 4.4
		`[{"bver":11,"n":"x","v":1}]`, `[{"bver":0,"n":"x","v":1}]`, `[{"bver":1.5,"n":"x","v":1}]`, `[{"bver":"10","n":"x","v":1}]`,
		`[{"n":"x","v":1},{"bver":5,"n":"x","v":1}]`, `[{"bver":5,"n":"x","v":1},{"bver":10,"n":"x","v":1}]`,
		`[{"n":"x","v":1,"t":253402300800}]`, `[{"n":"x","v":1,"t":1795435200000}]`, `[{"n":"x","v":1,"t":-1795435200}]`, `[{"n":"x","v":1,"bt":1e300}]`,
		`[{"n":"x","v":1e401}]`, `[{"n":"x","v":1e-99999999999}]`, `[{"n":"x","v":` + strings.Repeat("1", 401) + `}]`,
		`[{"n":"x","n":"y","v":1}]`, `[{"n":"` + strings.Repeat("x", 1025) + `","v":1}]`,
		`[` + strings.Repeat(`{"n":"x","v":1},`, 4096) + `{"n":"x","v":1}]`,
	} {
		if got, err := resolved(t, decodeSenMLJSON, []byte(pack)); err == nil {
			t.Errorf("%.80s is taken: %s", pack, got)
		}
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSenMLCBOR: labels are numbers, data are bytes, and decimal fractions and large integers are exact (RFC 8428
// clause 6, RFC 8949 clauses 3.4.3 and 3.4.4).
func TestSenMLCBOR(t *testing.T) {
	large, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	body := marshal(t, []map[any]any{
		{-2: "urn:dev:x:", -3: 1276020076.001, -4: "A", -1: 5, 0: "v", 1: "V", 2: 120.1},
		{0: "c", 6: -5, 2: cbor.Tag{Number: 4, Content: []any{-2, 130}}},
		{0: "d", 8: []byte{0xfb, 0xff}}, {0: "b", 4: true}, {0: "s", 3: "text", 5: large}, {"n": "t", "v": -7, "x": []int{1}},
		{0: "h", 2: float32(0.5), 7: 3},
	})
	got, err := resolved(t, decodeSenMLCBOR, body)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`[{"n":"urn:dev:x:c","u":"A","v":1.30,"t":1276020071.001,"bver":5}]`,
		`[{"n":"urn:dev:x:v","u":"V","v":120.1,"t":1276020076.001,"bver":5}]`,
		`[{"n":"urn:dev:x:d","u":"A","vd":"-_8","t":1276020076.001,"bver":5}]`,
		`[{"n":"urn:dev:x:b","u":"A","vb":true,"t":1276020076.001,"bver":5}]`,
		`[{"n":"urn:dev:x:s","u":"A","vs":"text","s":123456789012345678901234567890,"t":1276020076.001,"bver":5}]`,
		`[{"n":"urn:dev:x:t","u":"A","v":-7,"t":1276020076.001,"x":[1],"bver":5}]`,
		`[{"n":"urn:dev:x:h","u":"A","v":0.5,"t":1276020076.001,"ut":3,"bver":5}]`,
	}
	for i := range want {
		want[i] = canonical(t, want[i])
		got[i] = canonical(t, got[i])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	huge := new(big.Int).Lsh(big.NewInt(1), 2000)
	for _, v := range []any{
		1, map[any]any{0: "x", 2: 1}, []any{1}, []map[any]any{{0: "x", 2: "1"}}, []map[any]any{{0: "x", 99: 1}}, []map[any]any{{0: "x", 8: "text"}},
		[]map[any]any{{0: "x", 3: []byte{1}}}, []map[any]any{{0: "x", "n": "y", 2: 1}}, []map[any]any{{0: "x", 2: huge}}, []map[any]any{{1.5: "x"}},
		[]map[any]any{{0: "x", 2: cbor.Tag{Number: 4, Content: []any{-500, 1}}}}, []map[any]any{{0: "x", 2: cbor.Tag{Number: 4, Content: []any{1}}}},
		[]map[any]any{{0: "x", 2: cbor.Tag{Number: 5, Content: []any{1, 1}}}}, []map[any]any{{0: "x", 2: cbor.Tag{Number: 4, Content: []any{0, huge}}}},
	} {
		if got, err := resolved(t, decodeSenMLCBOR, marshal(t, v)); err == nil {
			t.Errorf("%v is taken: %s", v, got)
		}
	}
	for _, raw := range []string{"", "\x81", "\x81\xa2\x00\x61x\x00\x61y", "\x9f\xa2\x00\x61x\x02\x01", "\x81\xa1\x00\x61\xff"} {
		if got, err := resolved(t, decodeSenMLCBOR, []byte(raw)); err == nil {
			t.Errorf("%x is taken: %s", raw, got)
		}
	}
}

// canonical gives JSON with the members of objects in order of their names.
func canonical(t *testing.T, s string) string {
	t.Helper()
	var v []map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// drawDecimal draws a number as text.
func drawDecimal(t *rapid.T, label string) string {
	return rapid.StringMatching(`-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,9})?([eE][+-]?[0-2]?[0-9])?`).Draw(t, label)
}

func ratOf(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return r
}

// TestResolveIsExact compares with a reference in rational numbers that knows all records at once (RFC 8428 clause 4.6).
func TestResolveIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type rec map[string]string
		n := rapid.IntRange(1, 6).Draw(t, "records")
		var pack []rec
		for i := range n {
			r := rec{"v": drawDecimal(t, "v")}
			if i == 0 {
				r["bn"] = `"base:"`
			}
			r["n"] = fmt.Sprintf("%q", rapid.StringMatching(`[a-zA-Z0-9:./_-]{0,8}`).Draw(t, "n"))
			for _, l := range []string{"bv", "bs", "s"} {
				if rapid.Bool().Draw(t, "has "+l) {
					r[l] = drawDecimal(t, l)
				}
			}
			for _, l := range []string{"t", "bt"} {
				if rapid.Bool().Draw(t, "has "+l) {
					r[l] = rapid.StringMatching(`-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?`).Draw(t, l)
				}
			}
			pack = append(pack, r)
		}
		var texts []string
		for _, r := range pack {
			var members []string
			for k, v := range r {
				members = append(members, fmt.Sprintf("%q:%s", k, v))
			}
			slices.Sort(members)
			texts = append(texts, "{"+strings.Join(members, ",")+"}")
		}
		got, err := fromSenML(decodeSenMLJSON, []byte("["+strings.Join(texts, ",")+"]"), noon)
		late, base := false, map[string]string{}
		for _, r := range pack {
			if v, ok := r["bt"]; ok {
				base["bt"] = v
			}
			at := new(big.Rat)
			for _, v := range []string{base["bt"], r["t"]} {
				if v != "" {
					at.Add(at, ratOf(v))
				}
			}
			if at.Cmp(big.NewRat(1<<28, 1)) < 0 {
				at.Add(at, big.NewRat(noon, 1e6))
			}
			late = late || at.Cmp(big.NewRat(1<<28, 1)) < 0 || at.Cmp(big.NewRat(endOfTime, 1)) >= 0
		}
		if late != (err != nil) {
			t.Fatalf("%v", err)
		}
		if late {
			return
		}
		clear(base)
		type result struct {
			v, s, t *big.Rat
			hasSum  bool
		}
		var want []result
		for _, r := range pack {
			for _, l := range []string{"bv", "bs", "bt"} {
				if v, ok := r[l]; ok {
					base[l] = v
				}
			}
			add := func(b, f string) (*big.Rat, bool) {
				sum, has := new(big.Rat), false
				for _, v := range []string{base[b], r[f]} {
					if v != "" {
						sum.Add(sum, ratOf(v))
						has = true
					}
				}
				return sum, has
			}
			var w result
			w.v, _ = add("bv", "v")
			w.s, w.hasSum = add("bs", "s")
			if w.t, _ = add("bt", "t"); w.t.Cmp(big.NewRat(1<<28, 1)) < 0 {
				w.t.Add(w.t, big.NewRat(noon, 1e6))
			}
			want = append(want, w)
		}
		slices.SortStableFunc(want, func(a, b result) int { return a.t.Cmp(b.t) })
		for i, w := range want {
			var out []map[string]json.RawMessage
			if err := json.Unmarshal(got[i].con, &out); err != nil || len(out) != 1 {
				t.Fatalf("%s: %v", got[i].con, err)
			}
			o := out[0]
			if ratOf(string(o["v"])).Cmp(w.v) != 0 {
				t.Fatalf("record %d: v %s, want %s", i, o["v"], w.v)
			}
			if w.hasSum != (o["s"] != nil) || w.hasSum && ratOf(string(o["s"])).Cmp(w.s) != 0 {
				t.Fatalf("record %d: s %s, want %s", i, o["s"], w.s)
			}
			if ratOf(string(o["t"])).Cmp(w.t) != 0 {
				t.Fatalf("record %d: t %s, want %s", i, o["t"], w.t.FloatString(9))
			}
			micro := new(big.Rat).Mul(w.t, big.NewRat(1e6, 1))
			if floor := new(big.Int).Div(micro.Num(), micro.Denom()); got[i].unixMicro(0) != floor.Int64() {
				t.Fatalf("record %d: at %d us, want %s", i, got[i].unixMicro(0), floor)
			}
			if _, ok := o["bv"]; ok {
				t.Fatalf("record %d is not resolved: %s", i, got[i].con)
			}
		}
	})
}

// TestJSONAndCBORAgree: the same pack in both encodings resolves to the same records.
func TestJSONAndCBORAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "records")
		var text []map[string]any
		var binary []map[any]any
		for range n {
			a, b := map[string]any{"n": "x"}, map[any]any{0: "x"}
			put := func(l int, v any) { a[labelNames[l]], b[cborLabels[l]] = v, v }
			put(labelValue, rapid.Int64().Draw(t, "v"))
			for _, l := range []int{labelBaseTime, labelTime, labelSum, labelBaseValue} {
				if rapid.Bool().Draw(t, "has") {
					put(l, rapid.Int64Range(-1e8, 1e11).Draw(t, labelNames[l]))
				}
			}
			text, binary = append(text, a), append(binary, b)
		}
		j, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cbor.Marshal(binary)
		if err != nil {
			t.Fatal(err)
		}
		fromJSON, err1 := fromSenML(decodeSenMLJSON, j, noon)
		fromCBOR, err2 := fromSenML(decodeSenMLCBOR, c, noon)
		if err1 != nil || err2 != nil || len(fromJSON) != len(fromCBOR) {
			t.Fatalf("%v, %v", err1, err2)
		}
		for i := range fromJSON {
			if !bytes.Equal(fromJSON[i].con, fromCBOR[i].con) {
				t.Fatalf("%s and %s", fromJSON[i].con, fromCBOR[i].con)
			}
		}
	})
}

// checkPack is what holds of everything that is taken.
func checkPack(t *testing.T, pack []content, err error) {
	if err != nil {
		if e, ok := err.(*onem2m.Error); !ok || e.Status < 4000 || e.Status >= 5000 {
			t.Fatalf("refused with %v", err)
		}
		return
	}
	if len(pack) == 0 || len(pack) > maxRecords {
		t.Fatalf("%d records", len(pack))
	}
	for i := range pack {
		for _, b := range [][]byte{pack[i].contentInstance(), pack[i].timeSeriesInstance(noon)} {
			if _, _, err := onem2m.ParseContent(b); err != nil {
				t.Fatalf("%s: %v", b, err)
			}
		}
	}
}

func FuzzSenML(f *testing.F) {
	f.Add([]byte(`[{"bn":"x","bt":1276020076.001,"bu":"A","bver":5,"n":"y","v":1.5e2},{"t":-5,"vs":"a"},{"vd":"AQI","ct":1}]`))
	f.Add([]byte("\x81\xa3\x00\x61x\x02\xc4\x82\x21\x18\x82\x06\x24"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, decode := range []decoder{decodeSenMLJSON, decodeSenMLCBOR} {
			pack, err := fromSenML(decode, body, noon)
			checkPack(t, pack, err)
			for _, c := range pack {
				again, err := fromSenML(decodeSenMLJSON, c.con, noon+1)
				if err != nil || len(again) != 1 || !bytes.Equal(again[0].con, c.con) {
					t.Fatalf("%s resolves to %v, %v", c.con, again, err)
				}
			}
		}
	})
}

func FuzzBody(f *testing.F) {
	f.Add("", []byte("21.5"))
	f.Add("application/x-ndjson", []byte("{}\n1\n"))
	f.Add("text/plain; charset=utf-8", []byte("x"))
	f.Add("application/x-www-form-urlencoded", []byte("a=1"))
	f.Fuzz(func(t *testing.T, mediaType string, body []byte) {
		pack, err := fromBody(mediaType, body, noon)
		checkPack(t, pack, err)
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("temperature=21.5&humidity=40&a=%20+b")
	f.Fuzz(func(t *testing.T, query string) {
		pack, err := fromQuery(query)
		checkPack(t, pack, err)
	})
}

func FuzzPath(f *testing.F) {
	f.Add("dev/a/b")
	f.Fuzz(func(t *testing.T, path string) {
		names, err := splitPath(path)
		if err == nil && (strings.Join(names, "/") != path || len(names) < 2 || len(names) > maxSegments) {
			t.Fatalf("%q: %q", path, names)
		}
	})
}
