package ingress

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/guard"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

func (n *network) revoke(originator string) {
	n.t.Helper()
	h, _ := identity.TokenHash(testToken(originator))
	content, err := json.Marshal(ledger.OwnRequest{Key: hex.EncodeToString(h[:8])})
	must(n.t, err)
	n.want(onem2m.StatusDeleted, n.ingress.Own(context.Background(), proof.OpRevoke, content, testEvidence("Coperator")))
}

// What came with a credential ends within a second of the commit that revokes it, once; what came with another does not,
// nor what was stopped being watched.
func TestWatch(t *testing.T) {
	n := newNetwork(t, 0)
	ended := make(chan string, 100)
	watch := func(ev binding.Evidence, name string) func() {
		return n.ingress.Watch(ev, func() { ended <- name })
	}
	n.enrol("Cdev")
	n.enrol("Cother")
	watch(testEvidence("Cdev"), "one")
	watch(testEvidence("Cdev"), "two")
	stop := watch(testEvidence("Cdev"), "stopped")
	watch(testEvidence("Cother"), "other")
	watch(binding.Evidence{}, "nobody")
	stop()
	stop()
	n.enrol("Cthird") // changes credentials, but none of these
	time.Sleep(2 * watchRest)
	n.revoke("Cdev")
	began := time.Now()
	got := map[string]bool{<-ended: true, <-ended: true}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
	if !got["one"] || !got["two"] {
		t.Errorf("ended %v", got)
	}
	watch(testEvidence("Cdev"), "late")
	if name := <-ended; name != "late" {
		t.Errorf("%s ended", name)
	}
	time.Sleep(2 * watchTick)
	if len(ended) > 0 {
		t.Errorf("%s ended", <-ended)
	}
	n.ingress.watch.mu.Lock()
	defer n.ingress.watch.mu.Unlock()
	if len(n.ingress.watch.shown) != 1 {
		t.Errorf("%d credentials are watched, want one", len(n.ingress.watch.shown))
	}
}

// An end that waits, against its contract, keeps no other from ending.
func TestWatchSlowEnd(t *testing.T) {
	n := newNetwork(t, 0)
	n.enrol("Cdev")
	hold, ended := make(chan struct{}), make(chan struct{}, 64)
	defer close(hold)
	for range 8 {
		n.ingress.Watch(testEvidence("Cdev"), func() { <-hold })
		n.ingress.Watch(testEvidence("Cdev"), func() { ended <- struct{}{} })
	}
	n.revoke("Cdev")
	for range 8 {
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Fatal("one that waits holds up the others")
		}
	}
}

// A request that waits for long ends with the key that signed it, whatever it came over, and with the quarantine of who it is
// from, when it came through another CSE.
func TestWatchRequest(t *testing.T) {
	n := newNetwork(t, 0)
	n.enrolKey("Cdev")
	n.enrol("/far")
	ended := make(chan string, 4)
	signed := n.signed(1)
	signed.Signature, _ = onem2m.ParseSignature(signed.VendorInformation)
	n.ingress.watchRequest(signed, binding.Evidence{}, func() { ended <- "signed" })
	behind := &onem2m.Request{From: "/far/Cx"}
	n.ingress.watchRequest(behind, testEvidence("/far"), func() { ended <- "behind" })
	n.ingress.watchRequest(&onem2m.Request{From: "/far"}, testEvidence("/far"), func() { ended <- "far" })
	next := func(want string) {
		t.Helper()
		select {
		case got := <-ended:
			if got != want {
				t.Errorf("%s ended, want %s", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s does not end", want)
		}
	}
	id := sha256.Sum256(deviceKey("Cdev").Public().(ed25519.PublicKey))
	content, _ := json.Marshal(ledger.OwnRequest{Key: hex.EncodeToString(id[:8])})
	n.want(onem2m.StatusDeleted, n.ingress.Own(context.Background(), proof.OpRevoke, content, testEvidence("Coperator")))
	next("signed")
	content, _ = json.Marshal(ledger.QuarantineRequest{Originator: "/far/Cx", Reason: "test"})
	n.want(onem2m.StatusCreated, n.ingress.Own(context.Background(), proof.OpQuarantine, content, testEvidence("Coperator")))
	next("behind")
	if len(ended) > 0 {
		t.Errorf("%s ended", <-ended)
	}
}

// What a binding asks by itself, to find out what a client may get, is no attempt of the client's: with a credential that has
// just ended neither its address nor its originator is blamed, and the audit trail has nothing of it.
func TestAsking(t *testing.T) {
	n := newNetwork(t, 0)
	g, err := guard.New(guard.Options{})
	must(t, err)
	defer g.Close()
	n.ingress.o.Guard = g
	n.enrol("Cdev")
	ask := func() onem2m.StatusCode {
		ev := testEvidence("Cdev")
		ev.Source = "203.0.113.5"
		return n.ingress.Do(binding.Asking(context.Background()), &onem2m.Request{
			Operation: onem2m.Retrieve, To: "tally", From: "Cdev", RequestID: "mqtt", ReleaseVersion: "4",
			ResultContent: onem2m.ResultContentAttributes, SourceIP: ev.Source,
		}, ev).Status
	}
	for range 20 {
		if s := ask(); s != onem2m.StatusOriginatorHasNoPrivilege {
			t.Fatalf("status %d", s)
		}
	}
	n.revoke("Cdev")
	for range 20 {
		if s := ask(); s != onem2m.StatusSecurityAssociationRequired {
			t.Fatalf("status %d", s)
		}
	}
	if g.Locked("203.0.113.5") > 0 || len(g.Counts()) > 0 {
		t.Errorf("the address is locked for %s, events %v", g.Locked("203.0.113.5"), g.Counts())
	}
	n.ingress.denials.mu.Lock()
	defer n.ingress.denials.mu.Unlock()
	for k, c := range n.ingress.denials.kinds {
		t.Errorf("noted: %+v %d times", k, c.count)
	}
}

// Two thousand idle connections, each with a credential of its own that has to be looked up on the ledger, are looked at in
// a small part of the second, also by the race detector, which takes fifty times as long.
func TestWatchCrowd(t *testing.T) {
	const crowd = 2000
	n := newNetwork(t, 0)
	ended := make(chan struct{}, crowd)
	end := func() { ended <- struct{}{} }
	w := &n.ingress.watch
	w.mu.Lock()
	for i := range crowd {
		ev := testEvidence(fmt.Sprintf("C%d", i))
		w.shown[showing{ev: ev.Shown()}] = &watched{showing: showing{ev: ev}, ends: map[*func()]struct{}{&end: {}}}
	}
	w.mu.Unlock()
	w.wake()
	began := time.Now()
	for range crowd {
		<-ended
	}
	took := time.Since(began)
	t.Logf("one look at %d: %s", crowd, took)
	if took > time.Second {
		t.Errorf("one look at %d takes %s", crowd, took)
	}
}
