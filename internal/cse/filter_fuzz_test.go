package cse_test

import (
	"encoding/json"
	"testing"

	"github.com/tallystick/tallystick/onem2m"
)

// Whatever a filter says, the answer is a refusal or a well-formed list.
func FuzzFilter(f *testing.F) {
	f.Add("floor:*", "20261123T070003", "rn", "*o*", "la", int64(3), uint8(1))
	f.Add("", "", "con", "\"", "../x", int64(-1), uint8(3))
	n := building(f)
	f.Fuzz(func(t *testing.T, label, time, name, value, relative string, number int64, operation uint8) {
		fc := onem2m.FilterCriteria{
			Operation: operation, CreatedAfter: time, Labels: []string{label}, ChildLabels: []string{label}, ApplyRelPath: relative,
			Attributes: []onem2m.AttributeFilter{{Name: name, Value: value}}, ParentAttributes: []onem2m.AttributeFilter{{Name: name, Value: value}},
			Limit: &number, Level: &number, StateTagBigger: &number,
		}
		got := discover(n, "Ca", "tally", fc)
		if got.Err != nil || !json.Valid(got.Response.Content) {
			t.Fatalf("%v %s", got.Err, got.Response.Content)
		}
	})
}

// Whatever a NOTIFY carries, only one m2m:sgn object is let through.
func FuzzNotification(f *testing.F) {
	for _, seed := range []string{`{"m2m:sgn":{"sur":"a","nev":{}}}`, `{"m2m:sgn":{"vrq":true}}`, `{"m2m:sgn":{}}`, `[`, ``} {
		f.Add([]byte(seed))
	}
	n, _ := watched(f, `"nct":3`)
	n.MayRegister = true
	n.MustCreate("Cb", "tally", onem2m.TypeAE, `{"rn":"b","api":"Nb","rr":true,"srv":["4"],"poa":["http://b"]}`)
	f.Fuzz(func(t *testing.T, content []byte) {
		got := n.Read(n.State, n.Complete(onem2m.Request{Operation: onem2m.Notify, From: "Cb", To: "Cb", Content: content}), n.Env())
		if got.Response.Status != onem2m.StatusOK {
			return
		}
		var body struct {
			SGN map[string]any `json:"m2m:sgn"`
		}
		if err := json.Unmarshal(content, &body); err != nil || len(body.SGN) == 0 {
			t.Fatalf("%s went through: %v", content, err)
		}
	})
}
