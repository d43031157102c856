package ingress

import (
	"sync"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
)

// authenticator finds the credential of what a client showed. It keeps the answers, positive ones only, until any credential on
// the ledger changes.
type authenticator struct {
	app *ledger.App

	mu      sync.RWMutex
	version uint64
	known   map[string]*identity.Credential // by token
}

const maxKnown = 1 << 16

// authenticate returns nil without an error when the evidence is no valid credential. The error is a *ledger.Quarantine when
// the credential's originator is in quarantine.
func (a *authenticator) authenticate(ev binding.Evidence) (*identity.Credential, error) {
	c, err := a.find(ev)
	if c == nil || c.Role == identity.Operator {
		return c, err
	}
	if q := a.app.Quarantined(c.Originator); q != nil {
		return nil, q
	}
	return c, nil
}

func (a *authenticator) find(ev binding.Evidence) (*identity.Credential, error) {
	if ev.Anonymous() {
		return nil, nil
	}
	token := ev.Token
	version := a.app.IdentityVersion()
	a.mu.RLock()
	c, ok := a.known[token]
	ok = ok && a.version == version
	a.mu.RUnlock()
	if ok {
		return c, nil
	}
	hash, ok := identity.TokenHash(token)
	if !ok {
		return nil, nil
	}
	view := a.app.View()
	c, err := identity.Lookup(view, identity.KeyID(hash[:8]))
	view.Close()
	if err != nil || c == nil || c.Revoked || c.Hash != hash {
		return nil, err
	}
	a.mu.Lock()
	if a.version != version || a.known == nil || len(a.known) >= maxKnown {
		a.version, a.known = version, make(map[string]*identity.Credential)
	}
	a.known[token] = c
	a.mu.Unlock()
	return c, nil
}
