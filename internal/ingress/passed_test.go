package ingress

import (
	"context"
	"testing"

	"github.com/tallystick/tallystick/onem2m"
)

// TestPassedIsNoLeave: that an originator could write to a container before spares it no check that matters. A right that
// was taken away, a container that is gone, a credential that was revoked, other addresses and what no content may be are
// refused as at the first time.
func TestPassedIsNoLeave(t *testing.T) {
	n := ready(t, 0)
	passes := func(who string) bool {
		r := reading(1)
		r.From, r.ReleaseVersion = who, "4"
		way, ok := passageOf(&r)
		return ok && n.ingress.passed.has(way, n.app.StructureVersion(), n.ingress.now())
	}
	again := func(want onem2m.StatusCode, who string, req onem2m.Request) {
		t.Helper()
		for range 2 { // also with the first answer known
			n.want(want, n.do(who, req))
		}
	}
	update := func(content string) {
		t.Helper()
		n.want(onem2m.StatusUpdated, n.do("Cdev", onem2m.Request{Operation: onem2m.Update, To: "tally/dev/c", Content: []byte(content)}))
	}
	n.enrol("Cother")
	again(onem2m.StatusOriginatorHasNoPrivilege, "Cother", reading(1))
	n.want(onem2m.StatusCreated, n.do("Cdev", onem2m.Request{Operation: onem2m.Create, To: "tally/dev", Type: onem2m.TypeACP, Content: []byte(
		`{"m2m:acp":{"rn":"p","pv":{"acr":[{"acor":["Cother"],"acop":1},{"acor":["Cdev"],"acop":63}]},"pvs":{"acr":[{"acor":["Cdev"],"acop":63}]}}}`)}))
	update(`{"m2m:cnt":{"acpi":["tally/dev/p"]}}`)
	again(onem2m.StatusCreated, "Cother", reading(2))
	again(onem2m.StatusCreated, "Cdev", reading(3))
	if !passes("Cother") || !passes("Cdev") {
		t.Error("readings do not let the next one pass")
	}

	bad := reading(4)
	bad.Content = []byte(`{"m2m:cin":{"con":1,`)
	again(onem2m.StatusBadRequest, "Cother", bad)
	bad.Content = []byte(`{"m2m:cin":{"con":"x","st":5}}`)
	again(onem2m.StatusBadRequest, "Cother", bad)
	bad.Content = nil
	again(onem2m.StatusBadRequest, "Cother", bad)
	bad = reading(5)
	bad.From, bad.ResultContent = "Cother", onem2m.ResultContentDefault
	bad.RequestID, bad.ReleaseVersion = "", "4" // which the ledger does not see
	n.want(onem2m.StatusBadRequest, n.ingress.Do(context.Background(), &bad, testEvidence("Cother")))
	if !passes("Cother") {
		t.Error("refused contents take the way away")
	}

	update(`{"m2m:cnt":{"acpi":null}}`)
	if passes("Cother") {
		t.Error("the way is still known after a change of rights")
	}
	again(onem2m.StatusOriginatorHasNoPrivilege, "Cother", reading(6))
	again(onem2m.StatusCreated, "Cdev", reading(7))
	n.want(onem2m.StatusDeleted, n.do("Cdev", onem2m.Request{Operation: onem2m.Delete, To: "tally/dev/c"}))
	again(onem2m.StatusNotFound, "Cdev", reading(8))
}
