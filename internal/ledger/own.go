package ledger

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// OwnRequest is the content of the ledger's own operations.
type OwnRequest struct {
	// Of an enrolment.
	Originator   string `json:"originator,omitempty"`   // the AE-ID, CSE-ID or node that the credential speaks for
	Role         string `json:"role,omitempty"`         // device (default), gateway, operator, organisation or node
	Organisation string `json:"organisation,omitempty"` // default that of the operator
	TokenHash    string `json:"tokenHash,omitempty"`    // SHA-256 of the token in hex; or
	PublicKey    string `json:"publicKey,omitempty"`    // the Ed25519 public key in hex
	NotBefore    int64  `json:"notBefore,omitempty"`    // Unix microseconds, 0 for none
	NotAfter     int64  `json:"notAfter,omitempty"`     // likewise

	// Of an invitation, which has those of an enrolment but the credential; times are those of the credential to be.
	CodeHash string `json:"codeHash,omitempty"` // identity.CodeHash in hex
	Until    int64  `json:"until,omitempty"`    // the code counts until then, Unix microseconds
	// Code is what enrols by an invitation: identity.CodeSecret in hex. All else but the credential is the invitation's.
	Code string `json:"code,omitempty"`

	Key   string `json:"key,omitempty"`   // revoke: the ID in hex of a credential or an invitation
	Index uint64 `json:"index,omitempty"` // erase: the log index of the instance
}

// own is one of the ledger's own operations while it is executed.
type own struct {
	*Item
	auth proof.Auth
	// by is the credential of who asks for it, nil when an entry is repeated: what he was allowed is not asked again.
	by *identity.Credential
}

// mayActFor refuses an operation on what belongs to an organisation to all but its operators and the network's.
func (o *own) mayActFor(organisation string) error {
	switch {
	case o.by == nil || o.by.MayActFor(organisation):
		return nil
	case o.by.Role != identity.Operator:
		return &refusal{onem2m.StatusOriginatorHasNoPrivilege, o.From + " is no operator"}
	}
	// Not even that it exists is said: names of others are none of his business.
	return &refusal{onem2m.StatusOriginatorHasNoPrivilege, o.From + " is an operator of the organisation " + o.by.Organisation + " only"}
}

// applyOwn executes one of the ledger's own operations.
func (a *App) applyOwn(b *building, o *own) (onem2m.Response, error) {
	var r OwnRequest
	if err := json.Unmarshal(o.Content, &r); err != nil {
		return failure(onem2m.StatusBadRequest, "the content is no JSON object of the expected form"), nil
	}
	mark, was := b.state.Mark(), *b
	status := onem2m.StatusDeleted
	var err error
	switch o.Operation {
	case proof.OpEnrol:
		status = onem2m.StatusCreated
		err = a.applyEnrol(b, &r, o)
	case proof.OpInvite:
		status = onem2m.StatusCreated
		err = a.invite(b, &r, o)
	case proof.OpRevoke:
		err = a.revoke(b, r.Key, o)
	case proof.OpErase:
		err = a.erase(b, r.Index, o)
	case proof.OpReset:
		err = a.reset(b, o)
	case proof.OpPropose:
		index := b.nextIndex()
		if err = a.propose(b, o); err == nil {
			return onem2m.Response{Status: onem2m.StatusCreated, Content: fmt.Appendf(nil, `{"proposal":%d}`, index)}, nil
		}
	case proof.OpApprove:
		status = onem2m.StatusUpdated
		err = a.approve(b, o)
	}
	var bad *refusal
	switch {
	case errors.As(err, &bad):
		b.state.Rollback(mark)
		a.undo(b, &was)
		return failure(bad.status, bad.Error()), nil
	case err != nil:
		return onem2m.Response{}, err
	}
	return onem2m.Response{Status: status}, nil
}

// refusal is a request that cannot be met, as opposed to a ledger that cannot go on.
type refusal struct {
	status onem2m.StatusCode
	why    string
}

func (r *refusal) Error() string { return r.why }
