package ingress

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Invited returns the invitation that a one-time code opens. The answer is the same for all that is no such code.
func (g *Ingress) Invited(code string) (*identity.Invitation, error) {
	secret, ok := identity.CodeSecret(code)
	if !ok {
		return nil, identity.ErrCode
	}
	view := g.o.App.View()
	defer view.Close()
	return identity.OpenInvitation(view, secret, max(time.Now().UnixMicro(), g.o.App.Head().Time))
}

// Redeem binds a credential by a one-time code, which is used up by that: the hash of a token or a public key, as in
// ledger.OwnRequest. Who has the code needs no other credential.
func (g *Ingress) Redeem(ctx context.Context, code, tokenHash, publicKey string) *onem2m.Response {
	v, err := g.Invited(code)
	switch {
	case errors.Is(err, identity.ErrCode):
		return failure(onem2m.StatusOriginatorHasNoPrivilege, err.Error())
	case err != nil:
		return failure(onem2m.StatusInternalServerError, "look the code up: "+err.Error())
	}
	if err := g.o.Refuse(); err != nil {
		return failure(onem2m.StatusInternalServerError, err.Error())
	}
	secret, _ := identity.CodeSecret(code)
	content, err := json.Marshal(ledger.OwnRequest{Code: hex.EncodeToString(secret[:]), TokenHash: tokenHash, PublicKey: publicKey})
	if err != nil {
		return failure(onem2m.StatusInternalServerError, err.Error())
	}
	return g.submit(ctx, &onem2m.Request{}, ledger.Item{
		Operation: proof.OpEnrol, From: v.Originator, Content: content, ResultContent: onem2m.ResultContentDefault, Release: "4",
	})
}
