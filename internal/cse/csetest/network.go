package csetest

import (
	"fmt"
	"testing"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// Config is the configuration of the networks that tests make.
var Config = cse.Config{
	SPID: "//tally.example", CSEID: "/tally", Name: "tally", BaseRI: "cb", Admin: "Coperator", Release: "4",
}

// Start is the time of the first block in tests: 2026-11-23 07:00:00 UTC, a Monday.
const Start = int64(1_795_417_200_000_000)

// Network is a core with a state in memory, driven as the ledger drives it: one request a block.
type Network struct {
	*cse.Core
	State *State
	Time  int64  // of the next block
	Next  uint64 // log index of the next effect
	// MayRegister is handed to the core with every request.
	MayRegister bool
	// Organisations are those of originators, Keys the signing keys by ID.
	Organisations map[string]string
	Keys          map[string]SigningKey

	t       testing.TB
	request int
}

// SigningKey is an Ed25519 public key of an originator.
type SigningKey struct {
	Originator string
	Public     []byte
}

// NewNetwork makes a network with its CSEBase and administrator.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	return NewNetworkOf(t, Config)
}

// NewNetworkOf makes a network with another configuration than Config.
func NewNetworkOf(t testing.TB, cfg cse.Config) *Network {
	t.Helper()
	n := &Network{State: NewState(), Time: Start, Next: 1, Organisations: make(map[string]string), Keys: make(map[string]SigningKey), t: t}
	n.Core = cse.New(cfg, cse.Identity{
		OrganisationOf: func(_ cse.Reader, originator string) (string, error) { return n.Organisations[originator], nil },
		SigningKey: func(_ cse.Reader, id string, _ int64) (string, []byte, error) {
			return n.Keys[id].Originator, n.Keys[id].Public, nil
		},
	})
	result, err := n.Genesis(n.State, n.Env())
	if err != nil {
		t.Fatalf("genesis: %v", err)
	}
	n.Next += uint64(len(result.Effects))
	return n
}

// Env is what surrounds the next request.
func (n *Network) Env() cse.Env {
	return cse.Env{Time: n.Time, NextIndex: n.Next, MayRegister: n.MayRegister}
}

// Complete fills what a request must have and the test does not care about.
func (n *Network) Complete(req onem2m.Request) *onem2m.Request {
	n.request++
	if req.RequestID == "" {
		req.RequestID = fmt.Sprintf("r%d", n.request)
	}
	if req.ReleaseVersion == "" {
		req.ReleaseVersion = "4"
	}
	if req.ResultContent == 0 {
		req.ResultContent = onem2m.ResultContentDefault
	}
	return &req
}

// Execute executes a request in a block of its own, one second after the last. Writes of a request that was refused
// or failed are rolled back, as the ledger does. One that was refused for anything but NOT_ACCEPTABLE, which is the
// status of a bound that shows after the first write, and made writes fails the test.
func (n *Network) Execute(req *onem2m.Request) cse.Result {
	n.t.Helper()
	before := n.State.Snapshot()
	result := n.Core.Execute(n.State, req, n.Env())
	if len(result.Effects) == 0 {
		late := result.Err != nil || result.Response.Status == onem2m.StatusNotAcceptable
		if !late && fmt.Sprint(before.Dump()) != fmt.Sprint(n.State.Dump()) {
			n.t.Errorf("%+v was refused with %d but changed the state", req, result.Response.Status)
		}
		n.State.Rollback(before)
	}
	n.State.Log(n.Next, n.Time, result.Effects)
	n.Next += uint64(len(result.Effects))
	n.Time += 1_000_000
	return result
}

// Create executes a CREATE of {"tag":body} as from and returns the resource ID and the result.
func (n *Network) Create(from, to string, typ onem2m.ResourceType, body string) (string, cse.Result) {
	n.t.Helper()
	result := n.Execute(n.Complete(onem2m.Request{
		Operation: onem2m.Create, From: from, To: to, Type: typ, Content: Content(typ, body),
	}))
	if len(result.Effects) != 1 {
		return "", result
	}
	return result.Effects[0].Resource, result
}

// MustCreate is Create that fails the test unless the resource was created.
func (n *Network) MustCreate(from, to string, typ onem2m.ResourceType, body string) string {
	n.t.Helper()
	ri, result := n.Create(from, to, typ, body)
	if result.Response.Status != onem2m.StatusCreated {
		n.t.Fatalf("create %s below %s as %s with %s: %d %s", typ, to, from, body, result.Response.Status, result.Response.Content)
	}
	return ri
}

// Register registers an AE and returns its AE-ID.
func (n *Network) Register(id, name string) string {
	n.t.Helper()
	was := n.MayRegister
	n.MayRegister = true
	defer func() { n.MayRegister = was }()
	return n.MustCreate(id, "tally", onem2m.TypeAE, fmt.Sprintf(`{"rn":%q,"api":"Ntest","rr":false,"srv":["4"]}`, name))
}

// Update executes an UPDATE with {"tag":body}.
func (n *Network) Update(from, to string, typ onem2m.ResourceType, body string) cse.Result {
	n.t.Helper()
	return n.Execute(n.Complete(onem2m.Request{
		Operation: onem2m.Update, From: from, To: to, Content: Content(typ, body),
	}))
}

// Delete executes a DELETE.
func (n *Network) Delete(from, to string) cse.Result {
	n.t.Helper()
	return n.Execute(n.Complete(onem2m.Request{Operation: onem2m.Delete, From: from, To: to}))
}

// Retrieve reads a resource.
func (n *Network) Retrieve(from, to string) cse.Result {
	return n.Read(n.State, n.Complete(onem2m.Request{Operation: onem2m.Retrieve, From: from, To: to}), n.Env())
}

// Content is the primitive content with one representation: {"m2m:cnt":body}.
func Content(typ onem2m.ResourceType, body string) []byte {
	tag := "m2m:unknown"
	if def := onem2m.Lookup(typ); def != nil {
		tag = def.Tag
	}
	return fmt.Appendf(nil, `{%q:%s}`, tag, body)
}
