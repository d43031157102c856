package ledger

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

func testPublicKey(name string) string {
	seed := sha256.Sum256([]byte(name))
	return hex.EncodeToString(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
}

func testPublicKeyID(name string) identity.KeyID {
	b, _ := hex.DecodeString(testPublicKey(name))
	return identity.KeyIDOf([32]byte(b))
}

// testCode gives the secret and the hash of a code.
func testCode(n int) (secret, hash string) {
	s, ok := identity.CodeSecret(fmt.Sprintf("%020d", n))
	if !ok {
		panic("not a code")
	}
	h := identity.CodeHash(s)
	return hex.EncodeToString(s[:]), hex.EncodeToString(h[:])
}

// redeeming is the request of who has a code, and nothing else.
func redeeming(from string, r OwnRequest) Item {
	content, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return Item{Operation: proof.OpEnrol, From: from, Content: content, ResultContent: onem2m.ResultContentDefault, Release: "4"}
}

// identities makes an enrolment, an invitation or a redemption, of keys and organisations too.
func (h *history) identities() Item {
	secret, hash := testCode(h.rng.IntN(8))
	who := h.pick("Corg0", "Corg1", "Corg2", "Cae0")
	r := OwnRequest{Originator: who, Role: h.pick("device", "gateway", "operator", "organisation"), Organisation: h.pick("", "acme", "zeta")}
	if h.rng.IntN(3) == 0 {
		r.NotBefore = h.time - 5_000_000
		r.NotAfter = h.time + h.rng.Int64N(20_000_000)
	}
	name := fmt.Sprint("key", h.rng.IntN(12))
	switch h.rng.IntN(4) {
	case 0:
		r.PublicKey = testPublicKey(name)
		return h.own(proof.OpEnrol, r)
	case 1:
		r.CodeHash, r.Until = hash, h.time+h.rng.Int64N(30_000_000)
		return h.own(proof.OpInvite, r)
	case 2:
		id := testPublicKeyID(name)
		if h.rng.IntN(3) == 0 {
			b, _ := hex.DecodeString(hash)
			id = identity.KeyID(b)
		}
		return h.own(proof.OpRevoke, OwnRequest{Key: hex.EncodeToString(id[:])})
	}
	if h.rng.IntN(2) == 0 {
		return redeeming(who, OwnRequest{Code: secret, PublicKey: testPublicKey(name)})
	}
	h.tokens++
	return redeeming(who, OwnRequest{Code: secret, TokenHash: testHash(fmt.Sprint("extra", h.tokens))})
}

// TestOwnOperations: what validators make of enrolments, invitations and revocations, whatever the node that accepted
// them thought of them; and that all of it is repeated from the log alone.
func TestOwnOperations(t *testing.T) {
	a, h, do := executing(t, memFS(t))
	defer a.Close()
	as := func(who, token string, op proof.Operation, r OwnRequest) Item {
		it := h.own(op, r)
		it.From, it.Key = who, testKeyID(token)
		return it
	}
	ae := func(who string, key identity.KeyID) Item {
		return Item{
			Operation: proof.Operation(onem2m.Create), From: who, Key: key, To: "tally", Type: onem2m.TypeAE,
			Content: []byte(`{"m2m:ae":{"api":"Nx","rr":false,"srv":["4"]}}`), ResultContent: onem2m.ResultContentDefault, Release: "4",
		}
	}
	key := func(id identity.KeyID) string { return hex.EncodeToString(id[:]) }
	enrol := func(r OwnRequest) Item { return h.own(proof.OpEnrol, r) }
	secret0, hash0 := testCode(0)
	secret1, hash1 := testCode(1)
	secret2, hash2 := testCode(2)
	secret3, hash3 := testCode(3)
	soon := h.time + 60_000_000
	none := identity.KeyID{}
	const denied, conflict, bad, missing = onem2m.StatusOriginatorHasNoPrivilege, onem2m.StatusConflict, onem2m.StatusBadRequest, onem2m.StatusNotFound
	for _, c := range []struct {
		what   string
		item   Item
		status onem2m.StatusCode
		says   string
	}{
		{"an operator of an organisation", enrol(OwnRequest{Originator: "Cacme", Role: "operator", Organisation: "acme", TokenHash: testHash("Cacme")}), onem2m.StatusCreated, ""},
		{"an operator of another one", enrol(OwnRequest{Originator: "Czeta", Role: "operator", Organisation: "zeta", TokenHash: testHash("Czeta")}), onem2m.StatusCreated, ""},
		{"he enrols into his own, unnamed", as("Cacme", "Cacme", proof.OpEnrol, OwnRequest{Originator: "Ca1", TokenHash: testHash("Ca1")}), onem2m.StatusCreated, ""},
		{"and named", as("Cacme", "Cacme", proof.OpEnrol, OwnRequest{Originator: "Ca2", Organisation: "acme", PublicKey: testPublicKey("Ca2")}), onem2m.StatusCreated, ""},
		{"not into another", as("Cacme", "Cacme", proof.OpEnrol, OwnRequest{Originator: "Ca3", Organisation: "zeta", TokenHash: testHash("Ca3")}), denied, "of the organisation acme only"},
		{"nor a name of another", as("Czeta", "Czeta", proof.OpEnrol, OwnRequest{Originator: "Ca1", TokenHash: testHash("z1")}), conflict, "belongs to another organisation"},
		{"nor one of the network", as("Czeta", "Czeta", proof.OpEnrol, OwnRequest{Originator: "Coperator", TokenHash: testHash("z2")}), denied, "administers the network"},
		{"nor another CSE", as("Czeta", "Czeta", proof.OpEnrol, OwnRequest{Originator: "/in", TokenHash: testHash("z3")}), denied, "other CSEs are enrolled by operators of the network"},
		{"nor a node", as("Czeta", "Czeta", proof.OpEnrol, OwnRequest{Originator: "node:x", Role: "node", PublicKey: testPublicKey("z")}), denied, "nodes"},
		{"a network operator cannot move a name either", enrol(OwnRequest{Originator: "Ca1", TokenHash: testHash("x1")}), conflict, "belongs to another organisation"},
		{"a device enrols nobody", as("Ca1", "Ca1", proof.OpEnrol, OwnRequest{Originator: "Ca4", TokenHash: testHash("Ca4")}), denied, "is no operator"},
		{"nor does nobody", redeeming("Ca4", OwnRequest{Originator: "Ca4", TokenHash: testHash("Ca4")}), denied, "is no operator"},
		{"nor revokes", Item{Operation: proof.OpRevoke, From: "Cacme", Content: []byte(`{"key":"` + key(testKeyID("Ca1")) + `"}`), Release: "4"}, denied, "credential"},
		{"a role that there is not", enrol(OwnRequest{Originator: "Cb", Role: "root", TokenHash: testHash("Cb")}), bad, "role"},
		{"two credentials in one", enrol(OwnRequest{Originator: "Cb", TokenHash: testHash("Cb"), PublicKey: testPublicKey("Cb")}), bad, "both"},
		{"a key of small order", enrol(OwnRequest{Originator: "Cb", PublicKey: strings.Repeat("00", 32)}), bad, "prime order"},
		{"a key's holder acts", ae("Ca2", testPublicKeyID("Ca2")), onem2m.StatusCreated, ""},
		{"as nobody else", ae("Ca1", testPublicKeyID("Ca2")), denied, "not valid"},

		{"a credential of a time to come", enrol(OwnRequest{Originator: "Cl", TokenHash: testHash("late"), NotBefore: h.time + 1_000_000_000}), onem2m.StatusCreated, ""},
		{"does not count yet", ae("Cl", testKeyID("late")), denied, "not valid"},
		{"one that ends now", enrol(OwnRequest{Originator: "Cl", TokenHash: testHash("over"), NotAfter: h.time + 1}), onem2m.StatusCreated, ""},
		{"is over", ae("Cl", testKeyID("over")), denied, "not valid"},

		{"one revokes within his own", as("Cacme", "Cacme", proof.OpRevoke, OwnRequest{Key: key(testKeyID("Ca1"))}), onem2m.StatusDeleted, ""},
		{"and no other's", as("Czeta", "Czeta", proof.OpRevoke, OwnRequest{Key: key(testPublicKeyID("Ca2"))}), denied, "of the organisation zeta only"},
		{"a member's node keeps its key", h.own(proof.OpRevoke, OwnRequest{Key: key(identity.KeyIDOf([32]byte(testKey.Public().(ed25519.PublicKey))))}), conflict, "as long as it is a member"},

		{"an invitation", as("Cacme", "Cacme", proof.OpInvite, OwnRequest{Originator: "Ci", CodeHash: hash0, Until: soon}), onem2m.StatusCreated, ""},
		{"twice with the same code", as("Cacme", "Cacme", proof.OpInvite, OwnRequest{Originator: "Ci", CodeHash: hash0, Until: soon}), conflict, "exists"},
		{"for a name of another", as("Cacme", "Cacme", proof.OpInvite, OwnRequest{Originator: "Czeta", CodeHash: hash3, Until: soon}), conflict, "another organisation"},
		{"into another", as("Cacme", "Cacme", proof.OpInvite, OwnRequest{Originator: "Ci", Organisation: "zeta", CodeHash: hash3, Until: soon}), denied, "only"},
		{"by a device", as("Ca2", "Ca2", proof.OpInvite, OwnRequest{Originator: "Ci", CodeHash: hash3, Until: soon}), denied, "not valid"},
		{"for ever", h.own(proof.OpInvite, OwnRequest{Originator: "Ci", CodeHash: hash3, Until: soon * 2}), bad, "at most"},
		{"another code", redeeming("Ci", OwnRequest{Code: secret3, PublicKey: testPublicKey("Ci")}), denied, "the code is not known"},
		{"the hash of the code", redeeming("Ci", OwnRequest{Code: hash0, PublicKey: testPublicKey("Ci")}), denied, "the code is not known"},
		{"another's code", redeeming("Ca2", OwnRequest{Code: secret0, PublicKey: testPublicKey("Ci")}), denied, "the code is not known"},
		{"no key", redeeming("Ci", OwnRequest{Code: secret0}), bad, "tokenHash"},
		{"the code", redeeming("Ci", OwnRequest{Code: secret0, PublicKey: testPublicKey("Ci"), Role: "operator", Organisation: "zeta"}), onem2m.StatusCreated, ""},
		{"once more", redeeming("Ci", OwnRequest{Code: secret0, PublicKey: testPublicKey("other")}), denied, "the code is not known"},
		{"who redeemed acts", ae("Ci", testPublicKeyID("Ci")), onem2m.StatusCreated, ""},
		{"but is no operator", func() Item {
			it := h.own(proof.OpInvite, OwnRequest{Originator: "Cj", CodeHash: hash3, Until: soon})
			it.From, it.Key = "Ci", testPublicKeyID("Ci")
			return it
		}(), denied, "is no operator"},
		{"a code that ends", h.own(proof.OpInvite, OwnRequest{Originator: "Ck", CodeHash: hash1, Until: h.time + 44_000_000}), onem2m.StatusCreated, ""},
		{"a code that is taken back", h.own(proof.OpInvite, OwnRequest{Originator: "Ck", CodeHash: hash2, Until: soon}), onem2m.StatusCreated, ""},
		{"not by another organisation", as("Czeta", "Czeta", proof.OpRevoke, OwnRequest{Key: hash2[:16]}), denied, "only"},
		{"but by an operator", h.own(proof.OpRevoke, OwnRequest{Key: hash2[:16]}), onem2m.StatusDeleted, ""},
		{"it is gone", redeeming("Ck", OwnRequest{Code: secret2, TokenHash: testHash("Ck")}), denied, "the code is not known"},
		{"nothing there", h.own(proof.OpRevoke, OwnRequest{Key: hash2[:16]}), missing, "no such"},
		{"a code that is over", redeeming("Ck", OwnRequest{Code: secret1, TokenHash: testHash("Ck")}), denied, "the code is not known"},
		{"the last operator stays", h.own(proof.OpRevoke, OwnRequest{Key: key(testKeyID("Coperator"))}), conflict, "last operator"},
		{"nobody's credential", ae("Ci", none), denied, "not valid"},
	} {
		if res := do(c.item); res[0].Status != c.status || !strings.Contains(string(res[0].Content), c.says) {
			t.Errorf("%s: %d %s, want %d %q", c.what, res[0].Status, res[0].Content, c.status, c.says)
		}
	}
	if _, err := a.Check(context.Background(), nil, t.TempDir(), noProgress); err != nil {
		t.Error(err)
	}
}
