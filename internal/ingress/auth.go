package ingress

import (
	"sync"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
)

// authenticator finds the credential of what a client showed. It keeps the answers, positive ones only, until any
// credential on the ledger changes.
type authenticator struct {
	app *ledger.App
	now func() int64 // Unix microseconds

	mu      sync.RWMutex
	version uint64
	known   map[string]*identity.Credential // by token, public key, or ID of the key of a signature
}

const maxKnown = 1 << 16

// authenticate returns nil without an error when the evidence is no valid credential. The error is a *ledger.Quarantine when
// the credential's originator is in quarantine.
func (a *authenticator) authenticate(ev binding.Evidence) (*identity.Credential, error) {
	return a.admitted(a.find(ev))
}

// admitted gives a credential that was found, unless its originator is in quarantine.
func (a *authenticator) admitted(c *identity.Credential, err error) (*identity.Credential, error) {
	if c == nil || c.Role == identity.Operator {
		return c, err
	}
	if q := a.app.Quarantined(c.Originator); q != nil {
		return nil, q
	}
	return c, nil
}

// find returns the valid credential of what a client showed, nil for none. A token counts more than the key of the
// connection that it came over: a gateway shows tokens of others over its own connection. One that is not valid is
// refused, whatever the key.
func (a *authenticator) find(ev binding.Evidence) (*identity.Credential, error) {
	shown := ev.Token
	if shown == "" {
		shown = ev.Key
	}
	if shown == "" {
		return nil, nil
	}
	return a.cached(shown, func() (*identity.Credential, error) { return a.lookup(ev) })
}

// cached returns the valid credential of what was shown, which lookup finds; nil for none.
func (a *authenticator) cached(shown string, lookup func() (*identity.Credential, error)) (*identity.Credential, error) {
	version := a.app.IdentityVersion()
	a.mu.RLock()
	c, ok := a.known[shown]
	ok = ok && a.version == version
	a.mu.RUnlock()
	if !ok {
		var err error
		if c, err = lookup(); c == nil || err != nil {
			return nil, err
		}
	}
	if !c.Valid(a.now()) {
		return nil, nil
	}
	if !ok {
		a.mu.Lock()
		if a.version != version || a.known == nil || len(a.known) >= maxKnown {
			a.version, a.known = version, make(map[string]*identity.Credential)
		}
		a.known[shown] = c
		a.mu.Unlock()
	}
	return c, nil
}

// lookup returns the credential, valid or not, of a token or else of a key; nil when there is none.
func (a *authenticator) lookup(ev binding.Evidence) (*identity.Credential, error) {
	var want identity.Credential
	if ev.Token != "" {
		hash, ok := identity.TokenHash(ev.Token)
		if !ok {
			return nil, nil
		}
		want.Kind, want.Value = identity.Token, hash
	} else {
		if len(ev.Key) != len(want.Value) {
			return nil, nil
		}
		want.Kind = identity.Key
		copy(want.Value[:], ev.Key)
	}
	view := a.app.View()
	defer view.Close()
	c, err := identity.Lookup(view, want.ID())
	if err != nil || c == nil || c.Kind != want.Kind || c.Value != want.Value {
		return nil, err
	}
	return c, nil
}
