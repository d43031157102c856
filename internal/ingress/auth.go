package ingress

import (
	"encoding/hex"
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
	known   map[shown]*identity.Credential
}

const maxKnown = 1 << 16

// shown is one thing that a client showed. Its kind is part of it, so that what is public, such as a key, never does as
// what is secret, such as a token.
type shown struct {
	kind  shownKind
	value string
}

type shownKind uint8

const (
	shownToken  shownKind = iota + 1 // the token
	shownKey                         // the public key, whose possession a handshake proved
	shownPSK                         // the ID in hex of the credential whose pre-shared key a handshake proved
	shownSigner                      // the ID of the key that a signature names, which is verified elsewhere
)

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

// find returns the valid credential of what a client showed, nil for none. A token counts more than what the connection
// that it came over proves, but not without it: who proves to be somebody else has a token that is not his. Gateways and
// other CSEs may show the tokens of those that they speak for. A token that is not valid is refused, whatever the
// connection proves; a certificate or a pre-shared key that is not known beside a valid token does no harm.
func (a *authenticator) find(ev binding.Evidence) (*identity.Credential, error) {
	proven, err := a.valid(shown{shownPSK, ev.PSK})
	if proven == nil && err == nil {
		proven, err = a.valid(shown{shownKey, ev.Key})
	}
	if err != nil || ev.Token == "" {
		return proven, err
	}
	c, err := a.valid(shown{shownToken, ev.Token})
	if err != nil || c == nil {
		return nil, err
	}
	if proven != nil && proven.Originator != c.Originator && proven.Role != identity.Gateway && proven.Originator[0] != '/' {
		return nil, nil
	}
	return c, nil
}

// valid returns the valid credential of one thing that was shown, nil for none.
func (a *authenticator) valid(what shown) (*identity.Credential, error) {
	if what.value == "" {
		return nil, nil
	}
	version := a.app.IdentityVersion()
	a.mu.RLock()
	c, ok := a.known[what]
	ok = ok && a.version == version
	a.mu.RUnlock()
	if !ok {
		var err error
		if c, err = a.lookup(what); c == nil || err != nil {
			return nil, err
		}
	}
	if !c.Valid(a.now()) {
		return nil, nil
	}
	if !ok {
		a.mu.Lock()
		if a.version != version || a.known == nil || len(a.known) >= maxKnown {
			a.version, a.known = version, make(map[shown]*identity.Credential)
		}
		a.known[what] = c
		a.mu.Unlock()
	}
	return c, nil
}

// lookup returns the credential, valid or not, of one thing that was shown; nil when there is none.
func (a *authenticator) lookup(what shown) (*identity.Credential, error) {
	var want identity.Credential // without a value when only the ID was shown: then what proves it was checked elsewhere
	var id identity.KeyID
	switch what.kind {
	case shownToken:
		hash, ok := identity.TokenHash(what.value)
		if !ok {
			return nil, nil
		}
		want.Kind, want.Value = identity.Token, hash
		id = want.ID()
	case shownKey:
		if len(what.value) != len(want.Value) {
			return nil, nil
		}
		want.Kind, want.Value = identity.Key, [32]byte([]byte(what.value))
		id = want.ID()
	case shownPSK:
		b, err := hex.DecodeString(what.value)
		if err != nil || len(b) != len(id) {
			return nil, nil
		}
		want.Kind, id = identity.Token, identity.KeyID(b)
	case shownSigner:
		want.Kind, id = identity.Key, identity.KeyID([]byte(what.value))
	}
	view := a.app.View()
	defer view.Close()
	c, err := identity.Lookup(view, id)
	if err != nil || c == nil || c.Kind != want.Kind || want.Value != [32]byte{} && c.Value != want.Value {
		return nil, err
	}
	return c, nil
}
