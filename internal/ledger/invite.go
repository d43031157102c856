package ledger

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// MaxInvitation is how long a one-time code can count.
const MaxInvitation = 30 * 24 * time.Hour

// invite lets whoever has a one-time code enrol, once.
func (a *App) invite(b *building, r *OwnRequest, o *own) error {
	if err := a.mayBind(r, o); err != nil {
		return err
	}
	bad := func(why string) error { return &refusal{onem2m.StatusBadRequest, why} }
	hash, err := hex.DecodeString(r.CodeHash)
	if err != nil || len(hash) != 32 {
		return bad("codeHash is not 32 bytes in hex")
	}
	role, err := identity.ParseRole(r.Role)
	if err != nil {
		return bad(err.Error())
	}
	if err := identity.CheckOriginator(r.Originator, role); err != nil {
		return bad(err.Error())
	}
	// Whether the credential to be can be bound is known but for its value; a token is what most roles can have.
	like := identity.Credential{Kind: identity.Token, Role: role, Organisation: r.Organisation, NotBefore: r.NotBefore, NotAfter: r.NotAfter}
	if role == identity.Node || role == identity.Organisation {
		like.Role = identity.Device // these need a key, which is not known yet
	}
	if err := like.Check(); err != nil {
		return bad(err.Error())
	}
	if r.Until < b.time || r.Until > b.time+MaxInvitation.Microseconds() {
		return bad(fmt.Sprintf("a code counts from now on for %s at most", MaxInvitation))
	}
	v := identity.Invitation{
		Hash: [32]byte(hash), Originator: r.Originator, Role: role, Organisation: r.Organisation, Until: r.Until,
		NotBefore: r.NotBefore, NotAfter: r.NotAfter,
	}
	switch err := identity.Invite(b.state, v, b.time); {
	case errors.Is(err, identity.ErrExists), errors.Is(err, identity.ErrForeign), errors.Is(err, identity.ErrManyIn):
		return &refusal{onem2m.StatusConflict, err.Error()}
	case err != nil:
		return err
	}
	payload, err := json.Marshal(OwnRequest{
		Originator: v.Originator, Role: v.Role.String(), Organisation: v.Organisation, NotBefore: v.NotBefore, NotAfter: v.NotAfter,
		CodeHash: r.CodeHash, Until: v.Until,
	})
	if err != nil {
		return err
	}
	id := v.ID()
	b.record(proof.Entry{
		Operation: proof.OpInvite, Originator: o.From, Target: v.Originator, Resource: hex.EncodeToString(id[:]),
		Status: uint32(onem2m.StatusCreated), Auth: o.auth,
	}, payload)
	return nil
}

// redeem binds a credential by an invitation, which is used up. Who asks need not be known: that he knows the code is
// what every node checks.
func (a *App) redeem(b *building, r *OwnRequest, o *own) error {
	secret, err := hex.DecodeString(r.Code)
	if err != nil || len(secret) != 32 {
		return &refusal{onem2m.StatusBadRequest, "code is not 32 bytes in hex"}
	}
	v, err := identity.OpenInvitation(b.state, [32]byte(secret), b.time)
	switch {
	case errors.Is(err, identity.ErrCode):
		return &refusal{onem2m.StatusOriginatorHasNoPrivilege, err.Error()}
	case err != nil:
		return err
	case v.Originator != o.From:
		return &refusal{onem2m.StatusOriginatorHasNoPrivilege, identity.ErrCode.Error()}
	}
	words := OwnRequest{
		Originator: v.Originator, Role: v.Role.String(), Organisation: v.Organisation, NotBefore: v.NotBefore, NotAfter: v.NotAfter,
		TokenHash: r.TokenHash, PublicKey: r.PublicKey, Code: r.Code,
	}
	c, err := words.credential()
	if err != nil {
		return &refusal{onem2m.StatusBadRequest, err.Error()}
	}
	if err := identity.CloseInvitation(b.state, v.ID()); err != nil {
		return err
	}
	return a.enrol(b, c, o.From, proof.Auth{Method: proof.AuthCode, Key: v.ID()}, words)
}

// withdraw ends an invitation that was not used.
func (a *App) withdraw(b *building, id identity.KeyID, o *own) error {
	v, err := identity.LookupInvitation(b.state, id)
	if err != nil {
		return err
	}
	organisation := ""
	if v != nil {
		organisation = v.Organisation
	}
	if err := o.mayActFor(organisation); err != nil {
		return err
	}
	if v == nil {
		return &refusal{onem2m.StatusNotFound, fmt.Sprintf("revoke %x: there is no such credential or invitation", id)}
	}
	if err := identity.CloseInvitation(b.state, id); err != nil {
		return err
	}
	b.record(proof.Entry{
		Operation: proof.OpRevoke, Originator: o.From, Target: v.Originator, Resource: hex.EncodeToString(id[:]),
		Status: uint32(onem2m.StatusDeleted), Auth: o.auth,
	}, o.Content)
	return nil
}
