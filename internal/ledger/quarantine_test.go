package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// quarantine makes a request that quarantines somebody, by an operator or a node, or, more often, a release.
func (h *history) quarantine() Item {
	r := QuarantineRequest{Originator: h.pick("Cae0", "Cae1", "Cae2", "Cae3", "/mn1")}
	if h.rng.IntN(5) < 2 {
		r.Reason, r.Evidence = "flood", h.pick("", "900 a second")
		it := h.quarantineItem(proof.OpQuarantine, r)
		if h.rng.IntN(2) == 0 {
			it.From, it.Key = "/tally", identity.KeyID{}
		}
		return it
	}
	return h.quarantineItem(proof.OpRelease, r)
}

func (h *history) quarantineItem(op proof.Operation, r QuarantineRequest) Item {
	content, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	it := h.own(op, OwnRequest{})
	it.Content = content
	return it
}

// TestQuarantine: who is in quarantine is refused whatever it asks for, itself and what is behind it; only operators
// release, and no node can do more on its own account than the bounds allow.
func TestQuarantine(t *testing.T) {
	var got []onem2m.Response
	fs := memFS(t)
	collect := func(o *Options) {
		o.Committed = func(_ uint64, results []Result) {
			for _, r := range results {
				got = append(got, r.Responses...)
			}
		}
	}
	a := openApp(t, "data", fs, collect)
	h := newHistory(1, func() Status { return a.Head() })
	height := int64(0)
	do := func(items ...Item) []onem2m.Response {
		t.Helper()
		got, height, h.time = nil, height+1, h.time+1_000_000
		_, err := apply(a, height, h.block(h.time, h.batch(items)))
		must(t, err)
		return got
	}
	expect := func(what string, it Item, status onem2m.StatusCode, says string) {
		t.Helper()
		if rsp := do(it); rsp[0].Status != status || !strings.Contains(string(rsp[0].Content), says) {
			t.Errorf("%s: %d %s, want %d with %q", what, rsp[0].Status, rsp[0].Content, status, says)
		}
	}
	byNode := func(who string) Item {
		it := h.quarantineItem(proof.OpQuarantine, QuarantineRequest{Originator: who, Reason: "scan and flood", Evidence: "412 refusals", Node: "node9"})
		it.From, it.Key = "/tally", identity.KeyID{}
		return it
	}
	byOperator := func(op proof.Operation, who, reason string) Item {
		return h.quarantineItem(op, QuarantineRequest{Originator: who, Reason: reason})
	}
	ae := func(who string) Item {
		return Item{
			Operation: proof.Operation(onem2m.Create), From: who, Key: testKeyID(who), To: "tally", Type: onem2m.TypeAE,
			Content: []byte(`{"m2m:ae":{"api":"Nx","rr":false,"srv":["4"]}}`), ResultContent: onem2m.ResultContentNothing, Release: "4",
		}
	}
	do(h.enrol("Cae0", "Cae0"), h.enrol("Cae1", "Cae1"), h.enrol("Cae2", "Cae2"))
	const no = onem2m.StatusOriginatorHasNoPrivilege
	device := byOperator(proof.OpQuarantine, "Cae1", "spite")
	device.From, device.Key = "Cae0", testKeyID("Cae0")
	expect("by a device", device, no, "no operator")
	expect("without a reason", byOperator(proof.OpQuarantine, "Cae0", " "), onem2m.StatusBadRequest, "reason")
	expect("this CSE", byOperator(proof.OpQuarantine, "/tally", "x"), onem2m.StatusBadRequest, "revoke")
	expect("the administrator", byNode("Coperator"), onem2m.StatusBadRequest, "revoke")
	expect("by an operator", byOperator(proof.OpQuarantine, "Cae0", "stolen"), onem2m.StatusCreated, "")
	expect("twice", byOperator(proof.OpQuarantine, "Cae0", "stolen"), onem2m.StatusConflict, "stolen")
	expect("the device", ae("Cae0"), no, "tally device release Cae0")
	expect("another", ae("Cae1"), onem2m.StatusCreated, "")
	expect("by a node", byNode("Cae1"), onem2m.StatusCreated, "")
	if q := a.Quarantined("Cae1"); q == nil || q.Node != "node1" || q.By != "/tally" || q.Evidence != "412 refusals" || a.Quarantined("Cae2") != nil {
		t.Errorf("%+v", q) // the node of the signature, not the one that the content names
	}
	version := a.IdentityVersion()
	self := byOperator(proof.OpRelease, "Cae1", "")
	self.From, self.Key = "Cae1", testKeyID("Cae1")
	expect("release by itself", self, no, "in quarantine")
	self.From, self.Key = "/tally", identity.KeyID{}
	expect("release by a node", self, no, "releases nobody")
	refused := ae("nobody")
	together := byOperator(proof.OpRelease, "Cae1", "")
	together.Together = 1
	do(together, refused)
	expect("after a release that was undone", ae("Cae1"), no, "in quarantine")
	if a.IdentityVersion() != version {
		t.Error("the version of identities changed, but nothing else")
	}
	together = byOperator(proof.OpRelease, "Cae1", "")
	together.Together = 1
	do(byOperator(proof.OpQuarantine, "Cae3", "x"), together, refused) // what is undone last in a block
	if len(a.Quarantines()) != 3 || a.Quarantined("Cae1") == nil {
		t.Errorf("after a release that was undone: %+v", a.Quarantines())
	}
	do(byOperator(proof.OpRelease, "Cae3", ""))
	must(t, a.Close())
	a = openApp(t, "data", fs, collect)
	defer func() { must(t, a.Close()) }()
	if len(a.Quarantines()) != 2 || a.Quarantined("Cae1").Reason != "scan and flood" {
		t.Errorf("after a restart: %+v", a.Quarantines())
	}
	expect("after a restart", ae("Cae1"), no, "in quarantine")
	expect("release of another", byOperator(proof.OpRelease, "Cae9", ""), onem2m.StatusNotFound, "not in quarantine")
	expect("release", byOperator(proof.OpRelease, "Cae0", ""), onem2m.StatusDeleted, "") // the last takes its number
	expect("release", byOperator(proof.OpRelease, "Cae1", "was a test"), onem2m.StatusDeleted, "")
	if a.IdentityVersion() == version {
		t.Error("the version of identities did not change")
	}
	expect("after the release", ae("Cae0"), onem2m.StatusCreated, "")
	expect("by a node again", byNode("Cae1"), onem2m.StatusConflict, "released by an operator")
	expect("by a node, whom an operator had quarantined", byNode("Cae0"), onem2m.StatusCreated, "")
	h.time += releaseImmunity
	expect("by a node an hour later", byNode("Cae1"), onem2m.StatusCreated, "")

	minute := 0
	for i := range 20 {
		if do(byNode(fmt.Sprint("Cx", i)))[0].Status == onem2m.StatusCreated {
			minute++
		}
	}
	if minute+1 != maxByNodeMinute {
		t.Errorf("a node quarantined %d within a minute", minute+1)
	}
	for i := range 60 {
		h.time += int64(20 * time.Second / time.Microsecond)
		do(byNode(fmt.Sprint("Cy", i)))
	}
	if n := len(a.Quarantines()); n != maxByNode {
		t.Errorf("a node has %d in quarantine", n)
	}
	expect("beyond it", byNode("Cz"), onem2m.StatusConflict, "has to look")
	expect("an operator still can", byOperator(proof.OpQuarantine, "Cz", "x"), onem2m.StatusCreated, "")
	if _, err := a.Check(context.Background(), nil, filepath.Join(t.TempDir(), "scratch"), noProgress); err != nil {
		t.Error(err)
	}
}
