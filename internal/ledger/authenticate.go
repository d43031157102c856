package ledger

import (
	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// authenticated returns the credential that an item was accepted with, nil when it is not valid for its originator.
func (a *App) authenticated(b *building, it *Item) (*identity.Credential, proof.Auth, error) {
	switch itself := it.From == a.genesis.CSE.CSEID; {
	case it.Key != (identity.KeyID{}):
	case itself && it.Operation == proof.Operation(onem2m.Delete):
		return nil, noAuth, nil // what the CSE deletes is what has expired, and needs no request
	case it.Operation == proof.OpEnrol:
		return &identity.Credential{}, noAuth, nil // who has a one-time code needs no other credential, and may nothing else
	case itself || a.genesis.CSE.Lab:
		// For the CSE any member may speak. It owns nothing but the <remoteCSE> of its registrar.
		return &identity.Credential{Originator: it.From}, noAuth, nil
	}
	cred, err := a.credential(b.state, it.Key)
	if err != nil || !cred.Valid(b.time) {
		return nil, noAuth, err
	}
	auth := proof.Auth{Method: proof.AuthToken, Key: it.Key}
	if cred.Kind == identity.Key {
		auth.Method = proof.AuthKey
	}
	switch {
	case it.Signature != nil:
		if !a.signedBy(b, it, cred) {
			return nil, noAuth, nil
		}
		auth.Method, auth.Counter = proof.AuthSignature, it.Signature.Counter
	case cred.Originator != it.From:
		if ok, err := a.core.SpeaksFor(b.state, cred.Originator, it.From, b.time); err != nil || !ok {
			return nil, noAuth, err
		}
	}
	return cred, auth, nil
}

// authentic says whether an originator has a valid credential, or needs none, and is not in quarantine.
func (a *App) authentic(b *building, originator string) (bool, error) {
	standing, err := a.standing(b)
	if err != nil || standing[originator] != nil {
		return false, err
	}
	if a.genesis.CSE.Lab {
		return true, nil
	}
	return identity.Holds(b.state, originator, b.time)
}

// credential reads a credential through a small cache that this goroutine owns.
func (a *App) credential(r cse.Reader, id identity.KeyID) (*identity.Credential, error) {
	if c, ok := a.creds[id]; ok {
		return c, nil
	}
	c, err := identity.Lookup(r, id)
	if err != nil || c == nil {
		return nil, err
	}
	if len(a.creds) >= 1<<14 {
		clear(a.creds)
	}
	a.creds[id] = c
	return c, nil
}

func (a *App) forget(b *building, id identity.KeyID) {
	delete(a.creds, id)
	b.identities = true
}
