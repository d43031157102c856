package ingress

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
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

// Ten thousand idle connections, each with a credential of its own that has to be looked up on the ledger, are looked at in
// a small part of the second.
func TestWatchCrowd(t *testing.T) {
	const crowd = 10_000
	n := newNetwork(t, 0)
	ended := make(chan struct{}, crowd)
	end := func() { ended <- struct{}{} }
	w := &n.ingress.watch
	w.mu.Lock()
	for i := range crowd {
		ev := testEvidence(fmt.Sprintf("C%d", i))
		w.shown[ev.Shown()] = &watched{ev: ev, ends: map[*func()]struct{}{&end: {}}}
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
