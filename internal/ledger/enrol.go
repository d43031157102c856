package ledger

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// applyEnrol binds a credential to an originator, for an operator or for who has a one-time code.
func (a *App) applyEnrol(b *building, r *OwnRequest, o *own) error {
	if r.Code != "" {
		return a.redeem(b, r, o)
	}
	if err := a.mayBind(r, o); err != nil {
		return err
	}
	c, err := r.credential()
	if err != nil {
		return &refusal{onem2m.StatusBadRequest, err.Error()}
	}
	return a.enrol(b, c, o.From, o.auth, enrolment(&c))
}

// mayBind says why who asks may not have a credential bound to an originator, by himself or by an invitation. An
// organisation that is not named is his own.
func (a *App) mayBind(r *OwnRequest, o *own) error {
	if o.by != nil && r.Organisation == "" {
		r.Organisation = o.by.Organisation
	}
	if err := o.mayActFor(r.Organisation); err != nil {
		return err
	}
	switch {
	case r.Originator == a.genesis.CSE.CSEID:
		return &refusal{onem2m.StatusBadRequest, r.Originator + " is this CSE, which needs no credential"}
	case o.by != nil && o.by.Organisation != "" && r.Originator == a.genesis.CSE.Admin: // enrolled or not yet
		return &refusal{onem2m.StatusOriginatorHasNoPrivilege, r.Originator + " administers the network, and is none of an organisation's"}
	case o.by != nil && o.by.Organisation != "" && (r.Role == identity.Node.String() || strings.HasPrefix(r.Originator, "/")):
		return &refusal{onem2m.StatusOriginatorHasNoPrivilege, "nodes and other CSEs are enrolled by operators of the network: a CSE speaks for whoever is behind it"}
	}
	return nil
}

// credential is what an enrolment asks for.
func (r *OwnRequest) credential() (identity.Credential, error) {
	c := identity.Credential{
		Kind: identity.Token, Originator: r.Originator, Organisation: r.Organisation, NotBefore: r.NotBefore, NotAfter: r.NotAfter,
	}
	value, what := r.TokenHash, "tokenHash is not a SHA-256 in hex"
	if r.PublicKey != "" {
		if r.TokenHash != "" {
			return c, errors.New("both a tokenHash and a publicKey: a credential is one of them")
		}
		c.Kind, value, what = identity.Key, r.PublicKey, "publicKey is not 32 bytes in hex"
	}
	h, err := hex.DecodeString(value)
	if err != nil || len(h) != len(c.Value) {
		return c, errors.New(what)
	}
	c.Value = [32]byte(h)
	if c.Role, err = identity.ParseRole(r.Role); err != nil {
		return c, err
	}
	if err := identity.CheckOriginator(c.Originator, c.Role); err != nil {
		return c, err
	}
	return c, c.Check()
}

// enrolment is the request that asks for a credential, as it is recorded.
func enrolment(c *identity.Credential) OwnRequest {
	r := OwnRequest{
		Originator: c.Originator, Role: c.Role.String(), Organisation: c.Organisation, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
	if value := hex.EncodeToString(c.Value[:]); c.Kind == identity.Key {
		r.PublicKey = value
	} else {
		r.TokenHash = value
	}
	return r
}

// enrol binds a credential. The entry says who asked, how he was known and in which words.
func (a *App) enrol(b *building, c identity.Credential, by string, auth proof.Auth, words OwnRequest) error {
	c.Index = b.nextIndex()
	switch err := identity.Enrol(b.state, c, b.time); {
	case errors.Is(err, identity.ErrExists), errors.Is(err, identity.ErrForeign), errors.Is(err, identity.ErrMany):
		return &refusal{onem2m.StatusConflict, err.Error()}
	case err != nil:
		return err
	}
	payload, err := json.Marshal(words)
	if err != nil {
		return err
	}
	id := c.ID()
	a.forget(b, id)
	b.record(proof.Entry{
		Operation: proof.OpEnrol, Originator: by, Target: c.Originator, Resource: hex.EncodeToString(id[:]),
		Status: uint32(onem2m.StatusCreated), Auth: auth,
	}, payload)
	return nil
}

// revoke ends a credential.
func (a *App) revoke(b *building, key string, o *own) error {
	var id identity.KeyID
	h, err := hex.DecodeString(key)
	if err != nil || len(h) != len(id) {
		return &refusal{onem2m.StatusBadRequest, "key is not the ID of a credential: 8 bytes in hex"}
	}
	copy(id[:], h)
	c, err := identity.Lookup(b.state, id)
	if err != nil {
		return err
	}
	if c == nil {
		return a.withdraw(b, id, o)
	}
	if err := o.mayActFor(c.Organisation); err != nil {
		return err
	}
	if c.Role == identity.Node && a.memberKey(c) {
		return &refusal{onem2m.StatusConflict, c.Originator + " is a member's node: its key is bound as long as it is a member"}
	}
	c, err = identity.Revoke(b.state, id, b.nextIndex(), max(1, a.genesis.CSE.Approvals))
	switch {
	case errors.Is(err, identity.ErrUnknown):
		return &refusal{onem2m.StatusNotFound, err.Error()}
	case errors.Is(err, identity.ErrLast):
		return &refusal{onem2m.StatusConflict, err.Error()}
	case err != nil:
		return err
	}
	a.forget(b, id)
	b.record(proof.Entry{
		Operation: proof.OpRevoke, Originator: o.From, Target: c.Originator, Resource: hex.EncodeToString(id[:]),
		Status: uint32(onem2m.StatusDeleted), Auth: o.auth,
	}, o.Content)
	return nil
}

// memberKey says whether a credential is the key by which a member signs its batches: revoking it would change nothing
// about that, and only look as if it did.
func (a *App) memberKey(c *identity.Credential) bool {
	for _, m := range a.genesis.Members {
		if [32]byte(m.Key) == c.Value {
			return true
		}
	}
	return false
}
