package ledger

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// isErased says whether a node has taken a payload out of its log, or still would.
func (n *ordered) isErased(index uint64) bool {
	n.t.Helper()
	must(n.t, n.a.erasePending())
	rec, err := n.a.Log().Record(index)
	must(n.t, err)
	return rec.Erased
}

// TestErasureThatIsUndone: a payload goes by an erasure that was committed, and by no other: not by a proposal, by an
// approval that was refused, or by a unit of which another request was refused.
func TestErasureThatIsUndone(t *testing.T) {
	n := newOrdered(t, twoOperators(t))
	index := cinIndex(n)
	act := Act{Operation: proof.OpErase, Content: fmt.Appendf(nil, `{"index":%d}`, index)}
	id := n.propose("Coperator", act)
	if n.isErased(index) {
		t.Error("the proposal erased")
	}
	n.expect("approve", n.by("Csecond", proof.OpApprove, Approval{Proposal: id}), onem2m.StatusUpdated, "")
	if !n.isErased(index) {
		t.Error("the approval did not erase")
	}
	n.check()

	n = newOrdered(t)
	index = cinIndex(n)
	erase := n.h.own(proof.OpErase, OwnRequest{Index: index})
	erase.Together = 1
	again := n.h.own(proof.OpErase, OwnRequest{Index: index})
	if got := n.unit(erase, again); got[0].Status != onem2m.StatusNotFound {
		t.Errorf("%v", got)
	}
	if n.isErased(index) {
		t.Error("a unit that was refused erased")
	}
	n.check()
}

// unit has items executed in one block.
func (n *ordered) unit(items ...Item) []onem2m.Response {
	n.t.Helper()
	n.got, n.height, n.h.time = nil, n.height+1, n.h.time+1_000_000
	_, err := apply(n.a, n.height, n.h.block(n.h.time, n.h.batch(items)))
	must(n.t, err)
	return n.got
}

// TestOneOperatorTriesMore: other ways by which one operator might come to what takes two.
func TestOneOperatorTriesMore(t *testing.T) {
	n := newOrdered(t, twoOperators(t))
	secret, hash := testCode(1)
	r := OwnRequest{Originator: "Cevil", Role: "operator", CodeHash: hash, Until: n.h.time + 60_000_000, Code: secret}
	n.expect("an invitation that looks like its use", n.by("Coperator", proof.OpInvite, r), onem2m.StatusOriginatorHasNoPrivilege, "takes two operators")
	n.expect("its use", redeeming("Cevil", OwnRequest{Code: secret, TokenHash: testHash("Cevil")}), onem2m.StatusOriginatorHasNoPrivilege, "code")

	// A token gives what a role and a policy of the CSEBase would.
	for what, permission := range map[string]string{
		"a role by a token":       `{"ris":["tally/x"],"rids":["admin@acme"]}`,
		"privileges on the base":  `{"ris":["cb"],"pv":{"acr":[{"acor":["all"],"acop":63}]}}`,
		"the same by its name":    `{"ris":["tally"],"pv":{"acr":[{"acor":["all"],"acop":63}]}}`,
		"the same by a long name": `{"ris":["x","//ledger.example/tally/-"],"pv":{"acr":[{"acor":["all"],"acop":63}]}}`,
	} {
		jwt := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil,
			`{"tkvr":"1","jti":"t@x","iss":"Coperator","azp":"Cevil","nbf":1795410000,"exp":1795500000,"tkps":{"pm":[%s]}}`, permission)) + "."
		n.expect(what, n.request("Coperator", onem2m.Create, "tally", onem2m.TypeToken, fmt.Sprintf(`{"m2m:tk":{"tkid":"t@x","tkob":%q}}`, jwt)), onem2m.StatusOriginatorHasNoPrivilege, "takes two operators")
	}

	// A CSE with two credentials, which speaks for whoever is behind it.
	for _, name := range []string{"mn1", "mn2"} {
		content := fmt.Appendf(nil, `{"originator":"/mn","role":"operator","tokenHash":%q}`, testHash(name))
		id := n.propose("Coperator", Act{Operation: proof.OpEnrol, Content: content})
		n.expect("approve", n.by("Csecond", proof.OpApprove, Approval{Proposal: id}), onem2m.StatusUpdated, "")
	}
	behind := func(who, name string, op proof.Operation, content any) Item {
		it := n.by(who, op, content)
		it.Key = testKeyID(name)
		return it
	}
	id := testKeyID("Csecond")
	key := hex.EncodeToString(id[:])
	resp := n.do(behind("/mn/Ca", "mn1", proof.OpPropose, Act{Operation: proof.OpRevoke, Content: []byte(`{"key":"` + key + `"}`)}))
	if resp.Status != onem2m.StatusCreated {
		t.Fatalf("%d %s", resp.Status, resp.Content)
	}
	var proposal uint64
	_, err := fmt.Sscanf(string(resp.Content), `{"proposal":%d}`, &proposal)
	must(t, err)
	n.expect("by another name behind the same CSE", behind("/mn/Cb", "mn2", proof.OpApprove, Approval{Proposal: proposal}), onem2m.StatusOriginatorHasNoPrivilege, "another operator")
	n.check()
}

// TestQuarantinedIsNotToldOfDeliveries: who is shut out is refused, also what it delivered before.
func TestQuarantinedIsNotToldOfDeliveries(t *testing.T) {
	n := newOrdered(t)
	it := n.request("Cdev", onem2m.Create, "tally", onem2m.TypeAE, `{"m2m:ae":{"rn":"dev","api":"Nx","rr":false,"srv":["4"]}}`)
	it.Delivery = &onem2m.Delivery{Session: [8]byte{1}, ID: 1, Message: [8]byte{2}, Window: 16}
	n.expect("the first time", it, onem2m.StatusCreated, "")
	again := *it.Delivery
	again.Again = true
	it.Delivery = &again
	n.expect("again", it, onem2m.StatusCreated, "")
	n.expect("quarantine", n.h.quarantineItem(proof.OpQuarantine, QuarantineRequest{Originator: "Cdev", Reason: "x"}), onem2m.StatusCreated, "")
	n.expect("again, shut out", it, onem2m.StatusOriginatorHasNoPrivilege, "quarantine")
	n.check()
}

// TestSignedWithParameters: no member adds to a signed request what makes a non-blocking one of it, whatever response type
// it states: several entries would have the one counter.
func TestSignedWithParameters(t *testing.T) {
	n := newSignedNet(t)
	for _, kind := range []uint8{0, onem2m.ResponseTypeBlocking, onem2m.ResponseTypeNone, 1} {
		it := n.reading(uint64(kind) + 1)
		it.Parameters = &Parameters{ResponseType: kind, RequestID: "q"}
		if got := n.block(it); got[0].Status.Success() || !strings.Contains(string(got[0].Content), "not valid") {
			t.Errorf("response type %d: %d %s", kind, got[0].Status, got[0].Content)
		}
	}
}

// TestActIsShownAsItIsDone: who approves an act sees the fields that count, whatever else the text had.
func TestActIsShownAsItIsDone(t *testing.T) {
	n := newOrdered(t, twoOperators(t))
	n.propose("Coperator", Act{Operation: proof.OpEnrol, Content: []byte(`{"role":"device","originator":"Ca","tokenHash":"` + testHash("Ca") + `","Role":"operator","role":"operator"}`)})
	all, err := n.a.Proposals()
	must(t, err)
	if want := `{"originator":"Ca","role":"operator","tokenHash":"` + testHash("Ca") + `"}`; len(all) != 1 || string(all[0].Act.Content) != want {
		t.Errorf("shown: %s, want %s", all[0].Act.Content, want)
	}
	n.expect("a field that means nothing", n.by("Coperator", proof.OpPropose, Act{Operation: proof.OpErase, Content: []byte(`{"index":1,"why":"x"}`)}), onem2m.StatusBadRequest, "unknown field")
	n.check()
}

// TestAdministratorIsNobodysElse: no organisation enrols the network's administrator as one of its own, also while it has no
// credential.
func TestAdministratorIsNobodysElse(t *testing.T) {
	var g Genesis
	must(t, json.Unmarshal(testGenesis(t), &g))
	g.CSE.Admin = "Cadmin"
	doc, err := json.Marshal(g)
	must(t, err)
	n := newOrdered(t, func(o *Options) { o.Genesis = doc })
	n.expect("an operator of an organisation", n.by("Coperator", proof.OpEnrol, OwnRequest{Originator: "Cacme", Role: "operator", Organisation: "acme", TokenHash: testHash("Cacme")}), onem2m.StatusCreated, "")
	n.expect("enrol", n.by("Cacme", proof.OpEnrol, OwnRequest{Originator: "Cadmin", TokenHash: testHash("Cadmin")}), onem2m.StatusOriginatorHasNoPrivilege, "administers the network")
	_, hash := testCode(1)
	n.expect("invite", n.by("Cacme", proof.OpInvite, OwnRequest{Originator: "Cadmin", CodeHash: hash, Until: n.h.time + 60_000_000}), onem2m.StatusOriginatorHasNoPrivilege, "administers the network")
	n.check()
}

// TestAuditsAreBounded: a member cannot fill the log with what needs no credential.
func TestAuditsAreBounded(t *testing.T) {
	n := newOrdered(t)
	items := make([]Item, maxAudits+5)
	for i := range items {
		items[i] = auditItem("node1", uint64(i+1))
	}
	size := n.a.Head().LogSize
	for i, r := range n.unit(items...) {
		if want := i < maxAudits; r.Status.Success() != want {
			t.Errorf("audit %d: %d %s", i, r.Status, r.Content)
		}
	}
	if grown := n.a.Head().LogSize - size; grown != maxAudits {
		t.Errorf("%d entries", grown)
	}
	n.h.time += microsecMinute
	n.expect("a minute later", auditItem("node1", 1), onem2m.StatusCreated, "")
	n.check()
}

// TestTwoOperatorsRemain: a network in which acts take two operators keeps two, since it could never enrol another one else.
func TestTwoOperatorsRemain(t *testing.T) {
	n := newOrdered(t, twoOperators(t))
	revoke := func(who string) Act {
		id := testKeyID(who)
		return Act{Operation: proof.OpRevoke, Content: []byte(`{"key":"` + hex.EncodeToString(id[:]) + `"}`)}
	}
	enrol := func(originator, token string) Act {
		return Act{Operation: proof.OpEnrol, Content: fmt.Appendf(nil, `{"originator":%q,"role":"operator","tokenHash":%q}`, originator, testHash(token))}
	}
	approve := func(act Act) {
		t.Helper()
		n.expect("approve", n.by("Csecond", proof.OpApprove, Approval{Proposal: n.propose("Coperator", act)}), onem2m.StatusUpdated, "")
	}
	n.expect("one of two", n.by("Coperator", proof.OpPropose, revoke("Csecond")), onem2m.StatusConflict, "enrol another operator")
	approve(enrol("Coperator", "another token"))
	n.expect("still one of two", n.by("Coperator", proof.OpPropose, revoke("Csecond")), onem2m.StatusConflict, "enrol another operator")
	approve(revoke("another token"))
	approve(enrol("Cthird", "Cthird"))
	approve(revoke("Cthird"))
	approve(enrol("Cfourth", "Cfourth"))
	approve(revoke("Csecond")) // by himself
	n.check()
}
