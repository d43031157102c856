package ledger

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

func validAudit() Audit {
	return Audit{
		Node: "node1", Since: 1, Until: 2,
		Denied: []Denied{
			{Source: "10.0.0.1", Claimed: `C"<x>`, Reason: "credential", Doing: "create", Binding: "mqtt", On: "tally/a", Count: 3},
			{Source: "2001:db8:1:2::/64", Key: "0011223344556677", Originator: "Cdev", Reason: "privilege", Doing: "retrieve", Count: 1},
		},
		Others: []DeniedOthers{{Reason: "credential", Count: 7}}, Unsure: 2,
	}
}

func TestAuditIsChecked(t *testing.T) {
	good := validAudit()
	b, err := good.Encode()
	must(t, err)
	if _, err := DecodeAudit(b); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	for name, spoil := range map[string]func(*Audit){
		"time":             func(a *Audit) { a.Until = 0 },
		"nothing":          func(a *Audit) { a.Denied, a.Others, a.Unsure = nil, nil, 0 },
		"rows":             func(a *Audit) { a.Others = make([]DeniedOthers, MaxAuditRows+1) },
		"reason":           func(a *Audit) { a.Denied[0].Reason = "" },
		"long word":        func(a *Audit) { a.Denied[0].Doing = strings.Repeat("a", 17) },
		"binding":          func(a *Audit) { a.Denied[0].Binding = "a b" },
		"count":            func(a *Audit) { a.Denied[0].Count = 0 },
		"others uncounted": func(a *Audit) { a.Others[0].Count = 0 },
		"claimed":          func(a *Audit) { a.Denied[0].Claimed = strings.Repeat("x", MaxAuditText+1) },
		"on":               func(a *Audit) { a.Denied[0].On = strings.Repeat("x", MaxAuditText+1) },
		"originator":       func(a *Audit) { a.Denied[0].Originator = strings.Repeat("x", proof.MaxID+1) },
		"key":              func(a *Audit) { a.Denied[1].Key = "00112233445566" },
		"key in capitals":  func(a *Audit) { a.Denied[1].Key = "AABBCCDDEEFF0011" },
		"source":           func(a *Audit) { a.Denied[0].Source = "10.0.0.1/8" },
		"long source":      func(a *Audit) { a.Denied[0].Source = "2001:db8::1" },
		"source with host": func(a *Audit) { a.Denied[0].Source = "2001:db8::1/64" },
	} {
		a := validAudit()
		spoil(&a)
		b, err := a.Encode()
		must(t, err)
		if _, err := DecodeAudit(b); err == nil {
			t.Errorf("%s: taken: %s", name, b)
		}
	}
	for name, b := range map[string][]byte{
		"white space":   bytes.Replace(b, []byte(`,"since"`), []byte(`, "since"`), 1),
		"unknown field": bytes.Replace(b, []byte(`,"since"`), []byte(`,"x":1,"since"`), 1),
		"field twice":   bytes.Replace(b, []byte(`,"since"`), []byte(`,"since":4,"since"`), 1),
		"escaped":       bytes.Replace(b, []byte(`<`), []byte(`\u003c`), 1),
		"too long":      append(bytes.Clone(b), bytes.Repeat([]byte(" "), MaxAuditBytes)...),
	} {
		if _, err := DecodeAudit(b); err == nil {
			t.Errorf("%s: taken: %.200s", name, b)
		}
	}
}

// FuzzDecodeAudit: what is taken is in its one encoding.
func FuzzDecodeAudit(f *testing.F) {
	a := validAudit()
	b, err := a.Encode()
	must(f, err)
	f.Add(b)
	f.Add([]byte(`{"node":"n","since":1,"until":1,"unsure":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := DecodeAudit(b)
		if err != nil {
			return
		}
		again, err := a.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q encodes to %q: %v", b, again, err)
		}
	})
}

// TestAuditIsByWhoSigned: a member can speak for itself only, and nobody else can at all.
func TestAuditIsByWhoSigned(t *testing.T) {
	a := openApp(t, "data", memFS(t))
	defer a.Close()
	h := newHistory(1, a.Head)
	_, err := apply(a, 1, nil)
	must(t, err)
	forged := auditItem("node1", 1)
	forged.From, forged.Key = "Coperator", testKeyID("Coperator")
	var got []Result
	a.Committed = func(_ uint64, r []Result) { got = r }
	_, err = apply(a, 2, h.block(2_000_000, h.batch([]Item{auditItem("node1", 1), auditItem("node2", 1), forged, auditItem("node1", 0)})))
	must(t, err)
	want := []onem2m.StatusCode{onem2m.StatusCreated, onem2m.StatusOriginatorHasNoPrivilege, onem2m.StatusOriginatorHasNoPrivilege, onem2m.StatusBadRequest}
	for i, r := range got[0].Responses {
		if r.Status != want[i] {
			t.Errorf("item %d: %d %s, want %d", i, r.Status, r.Content, want[i])
		}
	}
	rec, err := a.Log().Record(a.Head().LogSize - 1)
	must(t, err)
	if e := rec.Entry; e.Operation != proof.OpAudit || e.Originator != "/tally" || !bytes.Equal(rec.Payload, auditItem("node1", 1).Content) {
		t.Errorf("the entry is %+v with %s", e, rec.Payload)
	}
}
