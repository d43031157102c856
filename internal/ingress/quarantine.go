package ingress

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Quarantine shuts an originator out on this node's own account, by policy; the ledger bounds how many one node may. The
// batch's signature says which node it was.
func (g *Ingress) Quarantine(ctx context.Context, r ledger.QuarantineRequest) *onem2m.Response {
	if g.o.App.Core() == nil {
		return errNoBlock()
	}
	if err := g.o.Refuse(); err != nil {
		return failure(onem2m.StatusInternalServerError, err.Error())
	}
	content, err := json.Marshal(r)
	if err != nil {
		return failure(onem2m.StatusInternalServerError, err.Error())
	}
	return g.submit(ctx, &onem2m.Request{}, ledger.Item{
		Operation: proof.OpQuarantine, From: g.o.App.Genesis().CSE.CSEID, Content: content,
		ResultContent: onem2m.ResultContentDefault, Release: "4",
	})
}

// quarantined returns the quarantine that an error of authentication is about, nil when it is about something else.
func quarantined(err error) *ledger.Quarantine {
	var q *ledger.Quarantine
	if err != nil && errors.As(err, &q) {
		return q
	}
	return nil
}

// shutOut refuses a request of an originator in quarantine, or of one that it speaks for.
func shutOut(q *ledger.Quarantine) *onem2m.Response {
	return failure(onem2m.StatusOriginatorHasNoPrivilege, q.Error())
}
