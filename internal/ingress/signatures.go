package ingress

import (
	"sync"

	"github.com/tallystick/tallystick/internal/ledger"
)

// signatures verifies those that come at the same time together, which costs a third of verifying each. No signature
// waits for others to come: what arrives while some are verified is verified next.
type signatures struct {
	mu      sync.Mutex
	waiting []signatureWaiter
	running bool
}

type signatureWaiter struct {
	signed *signedRequest
	then   func(valid bool)
}

// add has the signature of a request verified, and tells then whether it is valid: from a goroutine that tells one after
// another, in the order in which they were added. then must not wait for anything.
func (s *signatures) add(app *ledger.App, signed *signedRequest, then func(valid bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, signatureWaiter{signed, then})
	if !s.running {
		s.running = true
		go s.run(app)
	}
}

// run verifies until nothing waits.
func (s *signatures) run(app *ledger.App) {
	var checks []ledger.SignedItem
	for {
		s.mu.Lock()
		now := s.waiting
		s.waiting = nil
		s.running = len(now) > 0
		s.mu.Unlock()
		if len(now) == 0 {
			return
		}
		checks = checks[:0]
		for _, w := range now {
			checks = append(checks, ledger.SignedItem{Item: &w.signed.item, By: w.signed.cred})
		}
		for i, valid := range app.VerifySignatures(checks) {
			now[i].then(valid)
		}
	}
}
