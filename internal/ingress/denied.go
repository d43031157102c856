package ingress

import (
	"context"
	"strings"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// forRights says whether a status refuses a request for want of identity or rights, here or on another CSE.
func forRights(status onem2m.StatusCode) bool {
	switch status {
	case onem2m.StatusOriginatorHasNoPrivilege, onem2m.StatusSubscriptionCreatorHasNoPrivilege,
		onem2m.StatusOriginatorNotAuthenticated, onem2m.StatusSecurityAssociationRequired:
		return true
	}
	return false
}

// Denied implements binding.Auditor.
func (g *Ingress) Denied(ev binding.Evidence, d binding.Denial) {
	cred, err := g.auth.find(ev)
	if err != nil {
		cred = nil // what is read next meets the same error, and tells it
	}
	switch {
	case cred != nil && cred.Role != identity.Operator && g.o.App.Quarantined(cred.Originator) != nil:
		d.Reason = binding.Quarantined
	case cred == nil && d.Reason == binding.BadCredential && g.o.Guard != nil && g.o.Guard.Locked(ev.Source) > 0:
		d.Reason = binding.LockedOut
	}
	g.denials.note(ev, d, cred)
}

// noteUnidentified notes that a request was refused because of who it is from.
func (g *Ingress) noteUnidentified(claimed string, req *onem2m.Request, ev binding.Evidence, refused *onem2m.Response) {
	d := binding.Denial{Doing: binding.Doing(req.Operation), From: claimed, To: req.To}
	switch refused.Status {
	case onem2m.StatusSecurityAssociationRequired, onem2m.StatusOriginatorNotAuthenticated,
		onem2m.StatusServiceSubscriptionLimitsExceeded: // locked out
		d.Reason = binding.BadCredential
		if onem2m.IsSigned(req.VendorInformation) {
			d.Reason = binding.BadSignature
		}
	case onem2m.StatusOriginatorHasNoPrivilege:
		d.Reason = binding.NotOriginator
	default:
		return
	}
	g.Denied(ev, d)
}

// noteDenied notes a response if it refuses a request for want of rights. Who the request is from is known.
func (g *Ingress) noteDenied(req *onem2m.Request, cred *identity.Credential, ev binding.Evidence, resp *onem2m.Response) {
	n := 0
	if forRights(resp.Status) {
		n = 1
	} else if resp.Status.Success() && strings.Contains(req.To, "/fopt") {
		n = deniedMembers(resp.Content)
	}
	for range n {
		g.denials.note(ev, binding.Denial{
			Reason: binding.NoPrivilege, Doing: binding.Doing(req.Operation), From: req.From, To: req.To,
		}, cred)
	}
}

// deniedMembers counts the members of a group that refused a request, in their aggregated responses (m2m:agr).
func deniedMembers(content []byte) (n int) {
	for rsp := range onem2m.Elements(onem2m.Field(onem2m.Field(content, "m2m:agr"), "m2m:rsp")) {
		if rsc, ok := onem2m.Int(onem2m.Field(rsp, "rsc")); ok && forRights(onem2m.StatusCode(rsc)) {
			n++
		}
	}
	return n
}

// ownName is what a Denial calls one of the ledger's own operations.
func ownName(op proof.Operation) string { return strings.ToLower(op.String()) }

// tell orders an Audit as the CSE's own item and waits until it is committed.
func (g *Ingress) tell(ctx context.Context, content []byte) telling {
	if g.o.App.Core() == nil || g.o.Refuse() != nil {
		return notTold
	}
	resp := g.submit(ctx, &onem2m.Request{}, ledger.Item{
		Operation: proof.OpAudit, From: g.o.App.Genesis().CSE.CSEID, Content: content,
		ResultContent: onem2m.ResultContentDefault, Release: "4",
	})
	switch {
	case resp.Status.Success():
		return told
	case resp.Status == onem2m.StatusRequestTimeout:
		return notKnown
	default:
		return notTold
	}
}

// Report orders what was refused and not told yet. It is called before Close, when no more requests come.
func (g *Ingress) Report(ctx context.Context) { g.denials.report(ctx, true) }
