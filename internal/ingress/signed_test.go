package ingress

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

func deviceKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func (n *network) enrolKey(who string) {
	n.t.Helper()
	content, _ := json.Marshal(ledger.OwnRequest{Originator: who, PublicKey: hex.EncodeToString(deviceKey(who).Public().(ed25519.PublicKey))})
	n.want(onem2m.StatusCreated, n.ingress.Own(context.Background(), proof.OpEnrol, content, testEvidence("Coperator")))
}

// signed is a reading that Cdev signed.
func (n *network) signed(counter uint64) *onem2m.Request {
	req := reading(int(counter))
	req.From, req.RequestID, req.ReleaseVersion, req.ResultContent = "Cdev", "r", "4", onem2m.ResultContentDefault
	must(n.t, req.Sign(n.app.Genesis().Origin, deviceKey("Cdev"), counter, time.Now().Unix()+60))
	return &req
}

func TestSigned(t *testing.T) {
	n := ready(t, 0)
	n.enrolKey("Cdev")
	n.enrol("Cother")
	ctx := context.Background()
	do := func(req *onem2m.Request, ev binding.Evidence) *onem2m.Response { return n.ingress.Do(ctx, req, ev) }
	n.want(onem2m.StatusCreated, do(n.signed(1), binding.Evidence{}))
	n.want(onem2m.StatusCreated, do(n.signed(2), testEvidence("Cdev")))
	n.want(onem2m.StatusOriginatorHasNoPrivilege, do(n.signed(3), testEvidence("Cother")))
	n.want(onem2m.StatusSecurityAssociationRequired, do(n.signed(3), testEvidence("nobody")))
	if again := do(n.signed(2), binding.Evidence{}); again.Status != onem2m.StatusConflict || !strings.Contains(string(again.Content), "newest that was used is 2") {
		t.Errorf("a counter again: %d %s", again.Status, again.Content)
	}

	for what, c := range map[string]struct {
		status onem2m.StatusCode
		change func(*onem2m.Request)
	}{
		"content":         {onem2m.StatusSecurityAssociationRequired, func(r *onem2m.Request) { r.Content = []byte(`{"m2m:cin":{"con":"x"}}`) }},
		"target":          {onem2m.StatusSecurityAssociationRequired, func(r *onem2m.Request) { r.To = "tally/dev" }},
		"originator":      {onem2m.StatusOriginatorHasNoPrivilege, func(r *onem2m.Request) { r.From = "Cother" }},
		"operation":       {onem2m.StatusSecurityAssociationRequired, func(r *onem2m.Request) { r.Operation = onem2m.Delete }},
		"a read":          {onem2m.StatusBadRequest, func(r *onem2m.Request) { r.Operation = onem2m.Retrieve }},
		"a filter":        {onem2m.StatusBadRequest, func(r *onem2m.Request) { r.Filter = &onem2m.FilterCriteria{Labels: []string{"a"}} }},
		"later execution": {onem2m.StatusBadRequest, func(r *onem2m.Request) { r.OperationExecution = "PT10S" }},
		"non-blocking":    {onem2m.StatusBadRequest, func(r *onem2m.Request) { r.ResponseType = onem2m.ResponseTypeNonBlockingSync }},
		"another CSE":     {onem2m.StatusBadRequest, func(r *onem2m.Request) { r.To = "/other/cse/dev" }},
		"cut short":       {onem2m.StatusBadRequest, func(r *onem2m.Request) { r.VendorInformation = r.VendorInformation[:100] }},
		"a key of nobody's": {onem2m.StatusSecurityAssociationRequired, func(r *onem2m.Request) {
			must(t, r.Sign(n.app.Genesis().Origin, deviceKey("x"), 9, time.Now().Unix()+60))
		}},
		"another network": {onem2m.StatusSecurityAssociationRequired, func(r *onem2m.Request) {
			must(t, r.Sign("other.example/net", deviceKey("Cdev"), 9, time.Now().Unix()+60))
		}},
		"lapsed": {onem2m.StatusSecurityAssociationRequired, func(r *onem2m.Request) {
			must(t, r.Sign(n.app.Genesis().Origin, deviceKey("Cdev"), 9, time.Now().Unix()-1))
		}},
	} {
		req := n.signed(9)
		c.change(req)
		if resp := do(req, binding.Evidence{}); resp.Status != c.status {
			t.Errorf("%s changed: %d %s, want %d", what, resp.Status, resp.Content, c.status)
		}
	}
	n.want(onem2m.StatusCreated, do(n.signed(9), binding.Evidence{}))

	req := n.signed(10)
	if ev := (binding.Evidence{}).SignedBy(req); !n.ingress.Known(ev) || n.ingress.Known(binding.Evidence{}) {
		t.Error("a device that signs is to be known before its content is read, and nobody else")
	}
	done := make(chan *onem2m.Response, 1)
	n.ingress.Start(ctx, req, binding.Evidence{}, func(r *onem2m.Response) { done <- r })
	n.want(onem2m.StatusCreated, <-done)

	id := onem2m.KeyID(deviceKey("Cdev").Public().(ed25519.PublicKey))
	content, _ := json.Marshal(ledger.OwnRequest{Key: hex.EncodeToString(id[:])})
	n.want(onem2m.StatusDeleted, n.ingress.Own(ctx, proof.OpRevoke, content, testEvidence("Coperator")))
	n.want(onem2m.StatusSecurityAssociationRequired, do(n.signed(11), binding.Evidence{}))
}

// TestGatewayCarries: what a device signed may come by a gateway, which speaks for nobody but itself otherwise.
func TestGatewayCarries(t *testing.T) {
	n := ready(t, 0)
	n.enrolKey("Cdev")
	content, _ := json.Marshal(ledger.OwnRequest{Originator: "Cgate", Role: "gateway", TokenHash: hash("Cgate")})
	n.want(onem2m.StatusCreated, n.ingress.Own(context.Background(), proof.OpEnrol, content, testEvidence("Coperator")))
	n.want(onem2m.StatusCreated, n.ingress.Do(context.Background(), n.signed(1), testEvidence("Cgate")))
	plain := n.signed(2)
	plain.VendorInformation = ""
	n.want(onem2m.StatusOriginatorHasNoPrivilege, n.ingress.Do(context.Background(), plain, testEvidence("Cgate")))
}

// TestSignedInOrder: readings that one goroutine starts are committed in that order, and bad signatures among them refuse
// nobody else.
func TestSignedInOrder(t *testing.T) {
	n := ready(t, 0)
	n.enrolKey("Cdev")
	const count = 300
	answers := make([]*onem2m.Response, count)
	var wg sync.WaitGroup
	for i := range count {
		req := n.signed(uint64(i + 1))
		if i%50 == 7 {
			req.Content = []byte(`{"m2m:cin":{"con":"forged"}}`)
		}
		wg.Add(1)
		n.ingress.Start(context.Background(), req, binding.Evidence{}, func(r *onem2m.Response) {
			answers[i] = r
			wg.Done()
		})
	}
	wg.Wait()
	last := ""
	for i, a := range answers {
		switch {
		case i%50 == 7:
			if a.Status != onem2m.StatusSecurityAssociationRequired {
				t.Errorf("reading %d is forged: %d %s", i, a.Status, a.Content)
			}
		case a.Status != onem2m.StatusCreated:
			t.Errorf("reading %d: %d %s", i, a.Status, a.Content)
		case len(a.Location) < len(last) || len(a.Location) == len(last) && a.Location <= last:
			t.Errorf("reading %d is %s, after %s", i, a.Location, last)
		default:
			last = a.Location
		}
	}
}

// TestSignedAtOnce: of many copies that come at once, one takes effect.
func TestSignedAtOnce(t *testing.T) {
	n := ready(t, 0)
	n.enrolKey("Cdev")
	var mu sync.Mutex
	count := make(map[onem2m.StatusCode]int)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			resp := n.ingress.Do(context.Background(), n.signed(uint64(1+i%10)), binding.Evidence{})
			mu.Lock()
			defer mu.Unlock()
			count[resp.Status]++
		})
	}
	wg.Wait()
	if count[onem2m.StatusCreated] != 10 || count[onem2m.StatusConflict] != 50 {
		t.Errorf("%v", count)
	}
}
