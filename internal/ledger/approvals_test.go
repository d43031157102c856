package ledger

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// twoOperators makes a network in which administrative acts take two.
func twoOperators(t testing.TB) func(*Options) {
	var g Genesis
	must(t, json.Unmarshal(testGenesis(t), &g))
	g.CSE.Approvals = 2
	g.Operators = append(g.Operators, GenesisOperator{Originator: "Csecond", TokenHash: testHash("Csecond")})
	doc, err := json.Marshal(g)
	must(t, err)
	return func(o *Options) { o.Genesis = doc }
}

// ordered is a test's network with one node, each block of which has one item.
type ordered struct {
	t      testing.TB
	a      *App
	h      *history
	got    []onem2m.Response
	height int64
}

func newOrdered(t testing.TB, change ...func(*Options)) *ordered {
	n := &ordered{t: t}
	change = append(change, func(o *Options) {
		o.Committed = func(_ uint64, results []Result) {
			for _, r := range results {
				n.got = append(n.got, r.Responses...)
			}
		}
	})
	n.a = openApp(t, "data", memFS(t), change...)
	n.h = newHistory(1, n.a.Head)
	n.do(n.h.enrol("Cdev", "Cdev"))
	return n
}

func (n *ordered) do(it Item) onem2m.Response {
	n.t.Helper()
	n.got, n.height, n.h.time = nil, n.height+1, n.h.time+1_000_000
	_, err := apply(n.a, n.height, n.h.block(n.h.time, n.h.batch([]Item{it})))
	must(n.t, err)
	return n.got[0]
}

func (n *ordered) expect(what string, it Item, status onem2m.StatusCode, says string) {
	n.t.Helper()
	if r := n.do(it); r.Status != status || !strings.Contains(string(r.Content), says) {
		n.t.Errorf("%s: %d %s, want %d with %q", what, r.Status, r.Content, status, says)
	}
}

func (n *ordered) by(who string, op proof.Operation, content any) Item {
	b, err := json.Marshal(content)
	must(n.t, err)
	return Item{Operation: op, From: who, Key: testKeyID(who), Content: b, ResultContent: onem2m.ResultContentDefault, Release: "4"}
}

func (n *ordered) request(who string, op onem2m.Operation, to string, ty onem2m.ResourceType, content string) Item {
	return Item{
		Operation: proof.Operation(op), From: who, Key: testKeyID(who), To: to, Type: ty, Content: []byte(content),
		ResultContent: onem2m.ResultContentDefault, Release: "4",
	}
}

// propose has an act proposed and returns its number.
func (n *ordered) propose(who string, act Act) uint64 {
	n.t.Helper()
	r := n.do(n.by(who, proof.OpPropose, act))
	var p struct{ Proposal uint64 }
	if err := json.Unmarshal(r.Content, &p); err != nil || r.Status != onem2m.StatusCreated {
		n.t.Fatalf("propose %+v: %d %s", act, r.Status, r.Content)
	}
	return p.Proposal
}

func (n *ordered) check() {
	n.t.Helper()
	if _, err := n.a.Check(context.Background(), nil, n.t.TempDir(), noProgress); err != nil {
		n.t.Error(err)
	}
	must(n.t, n.a.Close())
}

const (
	adminPolicy = "tally/acpAdmin"
	forAll      = `{"m2m:acp":{"pv":{"acr":[{"acor":["Coperator","Cevil"],"acop":63}]}}}`
)

func enrolOperator(who string) OwnRequest {
	return OwnRequest{Originator: who, Role: "operator", TokenHash: testHash(who)}
}

// TestOneOperatorIsNotEnough: what takes two is refused to one, by whatever way he asks for it.
func TestOneOperatorIsNotEnough(t *testing.T) {
	n := newOrdered(t, twoOperators(t))
	const denied = onem2m.StatusOriginatorHasNoPrivilege
	op := "Coperator"
	id := testKeyID("Csecond")
	n.expect("a device is enrolled by one", n.by(op, proof.OpEnrol, OwnRequest{Originator: "Cd2", TokenHash: testHash("Cd2")}), onem2m.StatusCreated, "")
	n.expect("a group", n.request(op, onem2m.Create, "tally", onem2m.TypeGroup, `{"m2m:grp":{"rn":"g","mnm":3,"mid":["acp2"]}}`), onem2m.StatusCreated, "")
	n.expect("a policy of somebody", n.request(op, onem2m.Create, "tally", onem2m.TypeACP, strings.Replace(forAll, `{"pv"`, `{"rn":"p","pvs":{"acr":[{"acor":["Coperator"],"acop":63}]},"pv"`, 1)), onem2m.StatusCreated, "")
	n.expect("which one may change", n.request(op, onem2m.Update, "tally/p", 0, forAll), onem2m.StatusUpdated, "")
	later := n.request(op, onem2m.Update, adminPolicy, 0, forAll)
	for what, it := range map[string]Item{
		"an operator":              n.by(op, proof.OpEnrol, enrolOperator("Cevil")),
		"a gateway":                n.by(op, proof.OpEnrol, OwnRequest{Originator: "Cgw", Role: "gateway", TokenHash: testHash("Cgw")}),
		"an invitation to operate": n.by(op, proof.OpInvite, OwnRequest{Originator: "Cevil", Role: "operator", CodeHash: strings.Repeat("11", 32), Until: n.h.time + 60_000_000}),
		"another CSE":              n.by(op, proof.OpEnrol, OwnRequest{Originator: "/in", TokenHash: testHash("in")}),
		"the other operator's end": n.by(op, proof.OpRevoke, OwnRequest{Key: hex.EncodeToString(id[:])}),
		"erasure":                  n.by(op, proof.OpErase, OwnRequest{Index: 5}),
		"a release":                n.by(op, proof.OpRelease, QuarantineRequest{Originator: "Cdev"}),
		"the CSEBase's policy":     later,
		"by its ID":                n.request(op, onem2m.Update, "acp2", 0, forAll),
		"by a group":               n.request(op, onem2m.Update, "tally/g/fopt", 0, forAll),
		"the policy's end":         n.request(op, onem2m.Delete, adminPolicy, 0, ""),
	} {
		size := n.a.Head().LogSize
		r := n.do(it)
		denials := strings.Count(string(r.Content), "takes two operators")
		if denials == 0 || what != "by a group" && r.Status != denied {
			t.Errorf("%s: %d %s", what, r.Status, r.Content)
		}
		if n.a.Head().LogSize != size {
			t.Errorf("%s: the log grew", what)
		}
	}
	n.check()
}

// TestApproval: an act takes a second operator, with another credential and another name, and is then in the log with
// both; what is refused leaves no trace.
func TestApproval(t *testing.T) {
	n := newOrdered(t, twoOperators(t))
	const denied = onem2m.StatusOriginatorHasNoPrivilege
	n.expect("a device proposes", n.by("Cdev", proof.OpPropose, Act{Operation: proof.OpErase}), denied, "is no operator")
	n.expect("what would be refused", n.by("Coperator", proof.OpPropose, Act{Operation: proof.OpErase, Content: []byte(`{"index":4711}`)}), onem2m.StatusNotFound, "the act is refused")
	n.expect("what cannot be proposed", n.by("Coperator", proof.OpPropose, Act{Operation: proof.OpReset}), onem2m.StatusBadRequest, "nothing that can be proposed")
	size := n.a.Head().LogSize

	content, err := json.Marshal(enrolOperator("Cthird"))
	must(t, err)
	third := n.propose("Coperator", Act{Operation: proof.OpEnrol, Content: content})
	policy := n.propose("Coperator", Act{Operation: proof.Operation(onem2m.Update), To: adminPolicy, Content: []byte(strings.Replace(forAll, "Cevil", "Cthird", 1))})
	if all, err := n.a.Proposals(); err != nil || len(all) != 2 || all[0].ID != third || all[0].By != "Coperator" {
		t.Fatalf("%v, %v", all, err)
	}
	n.expect("not yet", n.by("Cthird", proof.OpErase, OwnRequest{Index: 1}), denied, "not valid")
	n.expect("himself", n.by("Coperator", proof.OpApprove, Approval{Proposal: third}), denied, "another operator has to approve it")
	n.expect("a device", n.by("Cdev", proof.OpApprove, Approval{Proposal: third}), denied, "is no operator")
	n.expect("another number", n.by("Csecond", proof.OpApprove, Approval{Proposal: third + 100}), onem2m.StatusNotFound, "there is no proposal")
	n.expect("the second", n.by("Csecond", proof.OpApprove, Approval{Proposal: third}), onem2m.StatusUpdated, "")
	n.expect("twice", n.by("Csecond", proof.OpApprove, Approval{Proposal: third}), onem2m.StatusNotFound, "there is no proposal")
	n.expect("the third approves too", n.by("Cthird", proof.OpApprove, Approval{Proposal: policy}), onem2m.StatusUpdated, "")
	var ops []string
	for i := size; i < n.a.Head().LogSize; i++ {
		rec, err := n.a.Log().Record(i)
		must(t, err)
		ops = append(ops, fmt.Sprintf("%s by %s", rec.Entry.Operation, rec.Entry.Originator))
		if rec.Entry.Operation == proof.OpApprove && !strings.Contains(string(rec.Payload), `"by":"Coperator"`) {
			t.Errorf("the approval says %s", rec.Payload)
		}
	}
	want := "[PROPOSE by Coperator PROPOSE by Coperator APPROVE by Csecond ENROL by Coperator APPROVE by Cthird UPDATE by Coperator]"
	if fmt.Sprint(ops) != want {
		t.Errorf("the log has %v, want %s", ops, want)
	}

	// What was true when it was proposed may not be when it is approved.
	id := testKeyID("Cthird")
	revoke := Act{Operation: proof.OpRevoke, Content: []byte(`{"key":"` + hex.EncodeToString(id[:]) + `"}`)}
	first, again := n.propose("Coperator", revoke), n.propose("Coperator", revoke)
	byThird := n.propose("Cthird", Act{Operation: proof.OpErase, Content: []byte(`{"index":` + fmt.Sprint(cinIndex(n)) + `}`)})
	n.expect("once", n.by("Csecond", proof.OpApprove, Approval{Proposal: first}), onem2m.StatusUpdated, "")
	size = n.a.Head().LogSize
	n.expect("it is revoked", n.by("Csecond", proof.OpApprove, Approval{Proposal: again}), onem2m.StatusNotFound, "the act is refused")
	n.expect("who proposed it is gone", n.by("Csecond", proof.OpApprove, Approval{Proposal: byThird}), denied, "not valid any more")
	if n.a.Head().LogSize != size {
		t.Error("what was refused is in the log")
	}
	n.h.time += MaxProposal.Microseconds()
	n.expect("too late", n.by("Csecond", proof.OpApprove, Approval{Proposal: again}), onem2m.StatusNotFound, "there is no proposal")
	if all, err := n.a.Proposals(); err != nil || len(all) != 2 {
		t.Errorf("%d proposals, %v: no block has come since", len(all), err)
	}
	n.propose("Csecond", Act{Operation: proof.OpErase, Content: []byte(`{"index":` + fmt.Sprint(cinIndex(n)) + `}`)})
	if all, err := n.a.Proposals(); err != nil || len(all) != 1 {
		t.Errorf("%d proposals, %v", len(all), err)
	}
	n.check()
}

// cinIndex makes an instance and gives its log index.
func cinIndex(n *ordered) uint64 {
	n.do(n.request("Cdev", onem2m.Create, "tally", onem2m.TypeAE, `{"m2m:ae":{"rn":"dev","api":"Nx","rr":false,"srv":["4"]}}`))
	n.do(n.request("Cdev", onem2m.Create, "tally/dev", onem2m.TypeContainer, `{"m2m:cnt":{"rn":"c"}}`))
	n.expect("an instance", n.request("Cdev", onem2m.Create, "tally/dev/c", onem2m.TypeContentInstance, `{"m2m:cin":{"con":"x"}}`), onem2m.StatusCreated, "")
	return n.a.Head().LogSize - 1
}

// TestProposalsAreBounded: nobody can fill the state with them.
func TestProposalsAreBounded(t *testing.T) {
	n := newOrdered(t, twoOperators(t))
	act := Act{Operation: proof.OpErase, Content: []byte(`{"index":` + fmt.Sprint(cinIndex(n)) + `}`)}
	for range maxOperatorsShare {
		n.propose("Coperator", act)
	}
	n.expect("one more", n.by("Coperator", proof.OpPropose, act), onem2m.StatusConflict, "16 proposals of Coperator stand")
	var more []string
	for i := range maxOrganisationsShare/maxOperatorsShare - 1 { // nobody keeps the others from proposing
		content, err := json.Marshal(enrolOperator(fmt.Sprint("Cmore", i)))
		must(t, err)
		n.expect("approve", n.by("Coperator", proof.OpApprove, Approval{Proposal: n.propose("Csecond", Act{Operation: proof.OpEnrol, Content: content})}), onem2m.StatusUpdated, "")
		more = append(more, fmt.Sprint("Cmore", i))
	}
	for _, who := range more {
		for range maxOperatorsShare {
			n.propose(who, act)
		}
	}
	n.expect("one more of all", n.by("Csecond", proof.OpPropose, act), onem2m.StatusConflict, "64 proposals stand")
	n.check()
}

func TestNoApprovalsNeeded(t *testing.T) {
	n := newOrdered(t)
	n.expect("propose", n.by("Coperator", proof.OpPropose, Act{Operation: proof.OpErase}), onem2m.StatusOperationNotAllowed, "no act takes two operators")
	n.check()
	for _, change := range []func(*Genesis){
		func(g *Genesis) { g.CSE.Approvals = 3 },
		func(g *Genesis) { g.CSE.Approvals = -1 },
		func(g *Genesis) { g.CSE.Approvals = 2 },
		func(g *Genesis) { g.CSE.Approvals, g.Operators = 2, append(g.Operators, g.Operators[0]) },
		func(g *Genesis) {
			g.CSE.Approvals, g.CSE.Lab = 2, true
			g.Operators = append(g.Operators, GenesisOperator{Originator: "Csecond", TokenHash: testHash("Csecond")})
		},
	} {
		var g Genesis
		must(t, json.Unmarshal(testGenesis(t), &g))
		change(&g)
		doc, err := json.Marshal(g)
		must(t, err)
		if _, err := parseGenesis(doc); err == nil {
			t.Errorf("taken: %s", doc)
		}
	}
}

// FuzzDecodeAct: an act that is taken can be encoded and is then the same.
func FuzzDecodeAct(f *testing.F) {
	f.Add([]byte(`{"operation":35,"content":{"index":5}}`))
	f.Add([]byte(`{"operation":3,"to":"tally/acpAdmin","content":{"m2m:acp":{}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		act, err := decodeAct(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(act)
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if len(again) > MaxAct {
			return // what is escaped may be longer
		}
		if _, err := decodeAct(again); err != nil {
			t.Fatalf("%q, encoded again %q: %v", b, again, err)
		}
	})
}
