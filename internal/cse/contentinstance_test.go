package cse_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// TS-0004 clause 7.4.7.2.1: creation of a contentInstance.
func TestCreateInstance(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"mbs":10}`)
	none := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"mni":0}`)
	zero := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"mbs":0}`)
	next := onem2m.InstanceRI(n.Next + 100)
	cin := onem2m.TypeContentInstance
	runCreates(t, n, []createCase{
		{"Ca", cnt, cin, `{"con":"0123456789"}`, onem2m.StatusCreated},
		{"Ca", cnt, cin, `{"con":"01234567890"}`, onem2m.StatusNotAcceptable},
		{"Ca", none, cin, `{"con":"1"}`, onem2m.StatusNotAcceptable},
		{"Ca", zero, cin, `{"con":"1"}`, onem2m.StatusNotAcceptable},
		{"Ca", zero, cin, `{"con":""}`, onem2m.StatusCreated},
		{"Ca", cnt, cin, `{}`, onem2m.StatusBadRequest},
		{"Ca", cnt, cin, `{"con":null}`, onem2m.StatusBadRequest},
		{"Ca", cnt, cin, `{"con":{"a":1}}`, onem2m.StatusCreated},
		{"Ca", cnt, cin, `{"con":21.5}`, onem2m.StatusCreated},
		{"Ca", cnt, cin, `{"con":"x","cs":1}`, onem2m.StatusBadRequest},
		{"Ca", cnt, cin, `{"con":"x","acpi":[]}`, onem2m.StatusBadRequest},
		{"Ca", cnt, cin, `{"con":"x","rn":"n1"}`, onem2m.StatusCreated},
		{"Ca", cnt, cin, `{"con":"x","rn":"n1"}`, onem2m.StatusConflict},
		{"Ca", cnt, cin, `{"con":"x","et":"20251123T070000"}`, onem2m.StatusBadRequest},
		{"Ca", cnt, cin, `{"con":"x","cr":null}`, onem2m.StatusCreated},
		{"Ca", cnt, cin, `{"con":"x","cr":"Ca"}`, onem2m.StatusBadRequest},
		{"Ca", cnt, cin, `{"con":"x","dcnt":3}`, onem2m.StatusNotImplemented},
		{"Cb", cnt, cin, `{"con":"x"}`, onem2m.StatusOriginatorHasNoPrivilege},
	})
	// The name of an instance to come is taken (its ID is its name).
	if _, result := n.Create("Ca", cnt, cin, `{"con":"x","rn":"`+next+`"}`); result.Response.Status != onem2m.StatusConflict {
		t.Errorf("reserved name: %d", result.Response.Status)
	}
	unnamed := n.MustCreate("Ca", cnt, cin, `{"con":"x"}`)
	if _, result := n.Create("Ca", cnt, cin, `{"con":"x","rn":"`+unnamed+`"}`); result.Response.Status != onem2m.StatusConflict {
		t.Errorf("name of another: %d", result.Response.Status)
	}
	for cnf, ok := range map[string]bool{
		"text/plain": false, "text/plain:0": true, "application/json:1": true, "application/xml:2:0": true, "a/b:0:5": true,
		"": false, "text": false, "/plain": false, "text/": false, "text/plain:": false, "text/plain:3": false,
		"text/plain:0:6": false, "text/plain:0:": false, "text/plain:0:0:0": false, "te xt/plain": false, "text/plain:01": false,
	} {
		_, result := n.Create("Ca", cnt, cin, fmt.Sprintf(`{"cnf":%q,"con":"x"}`, cnf))
		if got := result.Response.Status == onem2m.StatusCreated; got != ok {
			t.Errorf("contentInfo %q: %d", cnf, result.Response.Status)
		}
	}
}

// What an instance leaves behind: counters, effect, response.
func TestCreateInstanceEffects(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c"}`)
	index, at := n.Next, n.Time
	ri, result := n.Create("/tally/Ca", "tally/ae1/c", onem2m.TypeContentInstance, `{"con":"21"}`)
	want := []cse.Effect{{
		Operation: onem2m.Create, Originator: "Ca", Target: cnt, Resource: onem2m.InstanceRI(index),
		Type: onem2m.TypeContentInstance, Status: onem2m.StatusCreated, Payload: []byte(`{"m2m:cin":{"con":"21"}}`),
	}}
	if diff := cmp.Diff(want, result.Effects); diff != "" || ri != onem2m.InstanceRI(index) {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if result.Response.Location != "tally/ae1/c/"+ri || result.Response.To != "/tally/Ca" || result.Response.From != "/tally" {
		t.Errorf("response %+v", result.Response)
	}
	c, _, _ := n.State.Container(cnt)
	if c != (cse.Counters{Count: 1, Bytes: 2, StateTag: 1, Modified: at, Oldest: index, Newest: index}) {
		t.Errorf("counters %+v", c)
	}
	if _, ref, _, _ := n.State.LookupInstance(index); ref != (cse.InstanceRef{Index: index, Size: 2, StateTag: 1, Time: at}) {
		t.Errorf("reference %+v", ref)
	}
}

// TS-0001 clause 9.6.6: whatever is done to a container, its instances stay within maxNrOfInstances, maxByteSize and
// maxInstanceAge, the oldest go first, and no more go than must.
func TestRetention(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := csetest.NewNetwork(t)
		n.Register("Ca", "ae1")
		limit := func(name string, max int) int { return rapid.IntRange(-1, max).Draw(rt, name) }
		mni, mbs, mia := limit("mni", 4), limit("mbs", 12), limit("mia", 5)
		attribute := func(name string, v int, absent string) string {
			if v < 0 {
				return absent
			}
			return fmt.Sprintf(`%q:%d,`, name, v)
		}
		body := `{` + attribute("mni", mni, "") + attribute("mbs", mbs, "") + attribute("mia", mia, "") + `"lbl":[]}`
		cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, body)
		type kept struct {
			size int
			time int64
		}
		var model []kept
		fits := func(extra []kept) bool {
			size := 0
			for _, k := range extra {
				size += k.size
			}
			return (mni < 0 || len(extra) <= mni) && (mbs < 0 || size <= mbs)
		}
		overdue := func(k kept, now int64) bool { return mia >= 0 && now-k.time >= int64(mia)*1_000_000 }
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			now := n.Time
			if rapid.IntRange(0, 4).Draw(rt, "what") == 0 {
				mni, mbs, mia = limit("mni", 4), limit("mbs", 12), limit("mia", 5)
				result := n.Update("Ca", cnt, onem2m.TypeContainer,
					`{`+attribute("mni", mni, `"mni":null,`)+attribute("mbs", mbs, `"mbs":null,`)+attribute("mia", mia, `"mia":null,`)+`"lbl":[]}`)
				if result.Response.Status != onem2m.StatusUpdated {
					rt.Fatalf("update: %d %s", result.Response.Status, result.Response.Content)
				}
				for len(model) > 0 && (!fits(model) || overdue(model[0], now)) {
					model = model[1:]
				}
			} else {
				size := rapid.IntRange(0, 8).Draw(rt, "size")
				_, result := n.Create("Ca", cnt, onem2m.TypeContentInstance, `{"con":"`+strings.Repeat("x", size)+`"}`)
				if mni == 0 || mbs >= 0 && size > mbs {
					if result.Response.Status != onem2m.StatusNotAcceptable {
						rt.Fatalf("instance that can never fit: %d", result.Response.Status)
					}
					continue
				}
				if result.Response.Status != onem2m.StatusCreated {
					rt.Fatalf("create: %d %s", result.Response.Status, result.Response.Content)
				}
				added := kept{size, now}
				for len(model) > 0 && (!fits(append(model[:len(model):len(model)], added)) || overdue(model[0], now)) {
					model = model[1:]
				}
				model = append(model, added)
			}
			var got []kept
			size := 0
			for ref := range n.State.Instances(cnt, false) {
				got = append(got, kept{int(ref.Size), ref.Time})
				size += int(ref.Size)
			}
			if diff := cmp.Diff(model, got, cmp.AllowUnexported(kept{})); diff != "" && len(model)+len(got) > 0 {
				rt.Fatalf("mni %d, mbs %d, mia %d: kept (-want +got):\n%s", mni, mbs, mia, diff)
			}
			if c, _, _ := n.State.Container(cnt); int(c.Count) != len(got) || int(c.Bytes) != size {
				rt.Fatalf("counters %+v for %d instances of %d bytes", c, len(got), size)
			}
		}
	})
}

// An instance with an expirationTime of its own, or too old for its container, is not there any more.
func TestInstanceExpires(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"mia":60}`)
	own := n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"1","et":"20261123T070030"}`)
	aged := n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"2"}`)
	for _, test := range []struct {
		after     int64
		own, aged onem2m.StatusCode
	}{{10, 2000, 2000}, {30, 4004, 2000}, {70, 4004, 4004}} {
		n.Time = csetest.Start + test.after*1_000_000
		if got := n.Retrieve("Ca", own).Response.Status; got != test.own {
			t.Errorf("after %d s, with its own expiration: %d", test.after, got)
		}
		if got := n.Retrieve("Ca", aged).Response.Status; got != test.aged {
			t.Errorf("after %d s, aged: %d", test.after, got)
		}
	}
	if got := n.Delete("Ca", cnt+"/la").Response.Status; got != onem2m.StatusNotFound {
		t.Errorf("delete of la when all are too old: %d", got)
	}
	n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"3"}`)
	if c, _, _ := n.State.Container(cnt); c.Count != 1 {
		t.Errorf("%d instances after the next one came", c.Count)
	}
}

// TS-0001 clause 9.6.6: what has outlived maxInstanceAge is not counted any more, before it is removed too.
func TestCountsOfInstanceAge(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"mia":100}`)
	for i := range 4 {
		n.Time = csetest.Start + int64(i)*20_000_000
		n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"abc"}`)
	}
	for after, want := range map[int64]string{
		90: `"cni":4,"cbs":12`, 110: `"cni":3,"cbs":9`, 150: `"cni":1,"cbs":3`, 170: `"cni":0,"cbs":0`,
	} {
		n.Time = csetest.Start + after*1_000_000
		if got := n.Retrieve("Ca", cnt).Response; !strings.Contains(string(got.Content), want) {
			t.Errorf("after %d s: %s, want %s", after, got.Content, want)
		}
	}
}

// Erasing drops the instance, once.
func TestEraseInstance(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{}`)
	index := n.Next
	n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"12"}`)
	n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"3"}`)
	for range 2 {
		if err := n.EraseInstance(n.State, index, n.Env()); err != nil {
			t.Fatal(err)
		}
		if c, _, _ := n.State.Container(cnt); c.Count != 1 || c.Bytes != 1 || c.StateTag != 3 {
			t.Errorf("counters %+v", c)
		}
	}
	if err := n.EraseInstance(n.State, 99999, n.Env()); err != nil {
		t.Error(err)
	}
}

// A redacted request content keeps nothing of the data and makes the same writes.
func TestRedact(t *testing.T) {
	for content, want := range map[string]string{
		`{"m2m:cin":{"con":"secret"}}`:                                           `{"m2m:cin":{"con":"------"}}`,
		`{"m2m:cin":{"con":"a\u00e9\n\"b"}}`:                                     `{"m2m:cin":{"con":"------"}}`,
		`{"m2m:cin":{"con":21.5,"lbl":["me"],"cnf":"text/plain:0","cr":null}}`:   `{"m2m:cin":{"con":"----"}}`,
		`{"m2m:cin":{"rn":"n","con":{"a":[1]},"et":"20271123T070000","or":"x"}}`: `{"m2m:cin":{"rn":"n","con":"---------","et":"20271123T070000"}}`,
		`{"m2m:cin":{"c\u006fn":"secret"}}`:                                      `{"m2m:cin":{"con":"------"}}`,
		`{"m2m:cin":{"con":""}}`:                                                 `{"m2m:cin":{"con":""}}`,
		``:                                                                       `{"m2m:cin":{}}`,
	} {
		if got := string(cse.Redact([]byte(content))); got != want {
			t.Errorf("%s redacted to %s, want %s", content, got, want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		con := rapid.OneOf(
			rapid.Map(rapid.String(), func(s string) string { return string(onem2m.AppendQuote(nil, s)) }),
			rapid.SampledFrom([]string{`1`, `-2.50`, `true`, `[1,2]`, `{"a":{"b":"\u00e9"}}`, `"\ud83d\ude00"`}),
		).Draw(rt, "con")
		more := rapid.SampledFrom([]string{``, `,"rn":"n1"`, `,"et":"20271123T070000"`, `,"lbl":["x"],"cr":null`, `,"cnf":"text/plain:0"`}).Draw(rt, "more")
		content := []byte(`{"m2m:cin":{"con":` + con + more + `}}`)
		var dumps [2]string
		for i, c := range [][]byte{content, cse.Redact(content)} {
			n := csetest.NewNetwork(t)
			n.Register("Ca", "ae1")
			cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"mbs":100}`)
			n.Execute(n.Complete(onem2m.Request{Operation: onem2m.Create, From: "Ca", To: cnt, Type: onem2m.TypeContentInstance, Content: c}))
			dumps[i] = strings.Join(n.State.Dump(), "\n")
		}
		if dumps[0] != dumps[1] {
			rt.Fatalf("%s:\n%s\n%s:\n%s", content, dumps[0], cse.Redact(content), dumps[1])
		}
	})
}

// The same requests on the same state give the same bytes, whatever the core has seen before.
func TestDeterminism(t *testing.T) {
	run := func(warm bool) []byte {
		n := csetest.NewNetwork(t)
		if warm {
			other := csetest.NewNetwork(t)
			other.Register("Ca", "elsewhere")
			other.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c","mni":1}`)
			n.Core = other.Core
		}
		var out bytes.Buffer
		n.Register("Ca", "ae1")
		cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c","mni":3,"lbl":["x"]}`)
		for i := range 9 {
			_, result := n.Create("Ca", "tally/ae1/c", onem2m.TypeContentInstance, fmt.Sprintf(`{"con":"%d"}`, i))
			fmt.Fprintf(&out, "%+v\n", result)
		}
		fmt.Fprintf(&out, "%+v\n", n.Delete("Ca", cnt+"/ol"))
		fmt.Fprintf(&out, "%s\n", strings.Join(n.State.Dump(), "\n"))
		return out.Bytes()
	}
	if !bytes.Equal(run(false), run(true)) {
		t.Error("results depend on what the core did before")
	}
}
