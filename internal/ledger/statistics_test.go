package ledger

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/notify"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// steps executes requests of Coperator, one block each.
type steps struct {
	t      *testing.T
	a      *App
	h      *history
	height int64
}

func (s *steps) do(op onem2m.Operation, to string, ty onem2m.ResourceType, content string) {
	s.t.Helper()
	s.h.time += 1_000_000
	s.height++
	_, err := apply(s.a, s.height, s.h.block(s.h.time, s.h.batch([]Item{{
		Operation: proof.Operation(op), From: "Coperator", Key: testKeyID("Coperator"), To: to, Type: ty, Content: []byte(content),
		ResultContent: onem2m.ResultContentDefault, Release: "4",
	}})))
	must(s.t, err)
}

// TS-0001 clause 10.2.10.8: what a node keeps of notifications, over restarts, until it begins anew or the subscription
// ends; then nothing of it is left.
func TestStatistics(t *testing.T) {
	fs := memFS(t)
	a := openApp(t, "data", fs)
	s := &steps{t: t, a: a, h: newHistory(1, func() Status { return a.Head() })}
	_, err := apply(a, 1, s.h.next())
	must(t, err)
	s.height = 1
	s.do(onem2m.Create, "tally", onem2m.TypeContainer, `{"m2m:cnt":{"rn":"c"}}`)
	s.do(onem2m.Create, "tally/c", onem2m.TypeSubscription, `{"m2m:sub":{"rn":"s","nu":["http://a","http://b"],"nse":true}}`)
	view := a.View()
	defer view.Close()
	cnt, err := view.Child("cb", "c")
	must(t, err)
	if cnt == "" {
		t.Fatal("there is no container")
	}
	sub, err := view.Child(cnt, "s")
	must(t, err)
	want := func(want string) {
		t.Helper()
		if got := string(a.Statistics(sub, []string{"http://b", "http://a"})); got != want {
			t.Errorf("statistics are %s, want %s", got, want)
		}
	}
	want("")
	a.CountSent(sub, "http://a", 1, 1) // of a time before
	want("")
	s.do(onem2m.Update, "tally/c", 0, `{"m2m:cnt":{"lbl":["1"]}}`)
	s.do(onem2m.Update, "tally/c", 0, `{"m2m:cnt":{"lbl":["2"]}}`)
	want(`[{"tg":"http://b","rqs":0,"rsr":0,"noec":2},{"tg":"http://a","rqs":0,"rsr":0,"noec":2}]`)
	a.CountSent(sub, "http://a", 2, 1)
	a.CountSent(sub, "http://a", 1, 1)
	counted := `[{"tg":"http://b","rqs":0,"rsr":0,"noec":2},{"tg":"http://a","rqs":3,"rsr":2,"noec":2}]`
	want(counted)
	s.do(onem2m.Update, "tally/c/s", 0, `{"m2m:sub":{"nse":false}}`)
	s.do(onem2m.Update, "tally/c", 0, `{"m2m:cnt":{"lbl":["3"]}}`)
	want(counted)
	s.do(onem2m.Update, "tally/c/s", 0, `{"m2m:sub":{"nse":true}}`)
	want("")
	s.do(onem2m.Update, "tally/c", 0, `{"m2m:cnt":{"lbl":["4"]}}`)
	want(`[{"tg":"http://b","rqs":0,"rsr":0,"noec":1},{"tg":"http://a","rqs":0,"rsr":0,"noec":1}]`)
	a.CountSent(sub, "http://b", 1, 0)
	s.do(onem2m.Update, "tally/c/s", 0, `{"m2m:sub":{"nu":["http://b"]}}`)
	s.do(onem2m.Update, "tally/c", 0, `{"m2m:cnt":{"lbl":["5"]}}`)
	if c, err := readCount[eventCount](a.tree.Local, localEvents+sub); err != nil || len(c.Events) != 1 || c.Events["http://b"] != 2 {
		t.Errorf("counts of targets that it had: %+v, %v", c, err)
	}
	s.do(onem2m.Delete, "tally/c/s", 0, "")
	a.CountSent(sub, "http://a", 1, 1) // too late
	want("")
	for _, prefix := range []string{localEvents, localSent} {
		for l, err := range a.tree.Locals(prefix) {
			must(t, err)
			t.Errorf("left behind: %s %s", l.Key, l.Value)
		}
	}
}

// What blocks call for comes out of the outbox as it went in.
func TestOutboxItems(t *testing.T) {
	fs := memFS(t)
	a := openApp(t, "data", fs)
	s := &steps{t: t, a: a, h: newHistory(1, func() Status { return a.Head() })}
	_, err := apply(a, 1, s.h.next())
	must(t, err)
	s.height = 1
	s.do(onem2m.Create, "tally", onem2m.TypeContainer, `{"m2m:cnt":{"rn":"c"}}`)
	s.do(onem2m.Create, "tally/c", onem2m.TypeSubscription, `{"m2m:sub":{"rn":"s1","nu":["http://a","http://b"],"nct":3,"nec":3}}`)
	s.do(onem2m.Create, "tally/c", onem2m.TypeSubscription,
		`{"m2m:sub":{"rn":"s2","nu":["http://a"],"nct":3,"nse":true,"ln":true,"bn":{"num":3,"dur":"PT9S"},"rl":{"mnn":1,"tww":"PT2S"}}}`)
	s.do(onem2m.Update, "tally/c", 0, `{"m2m:cnt":{"lbl":["1"]}}`)
	s.do(onem2m.Delete, "tally/c/s2", 0, "")
	items, err := a.Outbox().Next(notify.Key{}, 100)
	must(t, err)
	var got []string
	for _, it := range items {
		line := fmt.Sprintf("%s %q latest %v counted %v content %v", it.Target, it.Category, it.Latest, it.Counted, it.Content != nil)
		if it.Batch != nil {
			line += fmt.Sprintf(" batch %v", *it.Batch)
		}
		if it.Rate != nil {
			line += fmt.Sprintf(" rate %v", *it.Rate)
		}
		got = append(got, line)
	}
	want := []string{
		`http://a "3" latest false counted false content true`,
		`http://b "3" latest false counted false content true`,
		`http://a "4" latest true counted true content true batch {3 9s} rate {1 2s}`,
		`http://a "" latest false counted false content false`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the outbox has\n%q, want\n%q", got, want)
	}
	must(t, a.Outbox().Done(items[0].Key, items[3].Key))
	if items, _ := a.Outbox().Next(items[0].Key, 100); len(items) != 2 {
		t.Errorf("%d items are left", len(items))
	}
}

// Whatever is in a record of the outbox, it is an item or an error, with durations that a clock can count.
func FuzzOutboxRecord(f *testing.F) {
	f.Add([]byte(`{"sub":"sub5","nu":"http://a","sgn":"e30=","fr":"/tally","time":1}`))
	f.Add([]byte(`{"nu":"http://a","bn":{"num":3,"dur":9223372036854775807},"rl":{"num":1,"dur":5},"ln":true,"nse":true,"ec":"4"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r outboxRecord
		if json.Unmarshal(b, &r) != nil {
			return
		}
		it := r.item(notify.Key{Index: 1})
		if it.Batch != nil && r.Batch.Duration >= 0 && it.Batch.Duration < 0 || it.Rate != nil && r.Rate.Duration >= 0 && it.Rate.Window < 0 {
			t.Errorf("%s: %+v", b, it)
		}
		if it.Batch != nil && r.Batch.Duration == 5 && it.Batch.Duration != 5*time.Microsecond {
			t.Errorf("%s: %v", b, it.Batch.Duration)
		}
	})
}
