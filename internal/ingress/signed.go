package ingress

import (
	"context"
	"fmt"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
)

// signer returns the valid credential of the key that a signature names, nil for none; the signature is not verified.
// The error is a *ledger.Quarantine when the key's originator is in quarantine.
func (a *authenticator) signer(vsi string) (*identity.Credential, error) {
	s, err := onem2m.ParseSignature(vsi)
	if err != nil {
		return nil, nil
	}
	return a.admitted(a.valid(shown{shownSigner, string(s.Key[:])}))
}

// signedRequest is a request that says that a device signed it, while it is found out whether that is so.
type signedRequest struct {
	req  *onem2m.Request
	ev   binding.Evidence
	cred *identity.Credential // of the key that it names
	item ledger.Item
}

// identifySigner finds who a request is from that the device itself signed, and takes the signature into the request. It
// needs no other evidence; if there is some, it has to be of the same originator, or of a gateway that carries what
// devices signed. Everything is refused that the signature does not cover and that would make the request another one.
func (g *Ingress) identifySigner(req *onem2m.Request, ev binding.Evidence) (*identity.Credential, *onem2m.Response) {
	s, refused := g.readSigned(req, ev)
	if refused != nil {
		return nil, refused
	}
	valid := make(chan bool, 1)
	g.signatures.add(g.o.App, s, func(ok bool) { valid <- ok })
	if refused := g.judgeSigned(s, <-valid); refused != nil {
		return nil, refused
	}
	return s.cred, nil
}

// readSigned does what has to be done before a signature is verified.
func (g *Ingress) readSigned(req *onem2m.Request, ev binding.Evidence) (*signedRequest, *onem2m.Response) {
	s, err := onem2m.ParseSignature(req.VendorInformation)
	if err != nil {
		return nil, failure(onem2m.StatusBadRequest, err.Error())
	}
	cred, err := g.auth.signer(req.VendorInformation)
	if q := quarantined(err); q != nil {
		return nil, shutOut(q)
	}
	if err != nil {
		return nil, failure(onem2m.StatusInternalServerError, "check the credential: "+err.Error())
	}
	if cred == nil {
		return nil, g.badSignature(req, ev)
	}
	claimed := req.From
	if claimed == "" && req.Operation == onem2m.Create && req.Type == onem2m.TypeAE {
		claimed = cred.Originator
	}
	if !g.claims(claimed, cred.Originator) {
		return nil, failure(onem2m.StatusOriginatorHasNoPrivilege, fmt.Sprintf("the originator %q is not who the signature's key is for", req.From))
	}
	req.From = cred.Originator
	if refused := g.carrier(ev, cred); refused != nil {
		return nil, refused
	}
	if _, err := s.AppendSigned(nil, g.o.App.Genesis().Origin, req); err != nil {
		return nil, failure(onem2m.StatusBadRequest, err.Error())
	}
	if _, away := g.elsewhere(req.To); away {
		return nil, failure(onem2m.StatusBadRequest, "a signed request is for resources of this CSE: nothing would stop its repetition elsewhere")
	}
	req.Signature = s
	return &signedRequest{req: req, ev: ev, cred: cred, item: newItem(req, cred)}, nil
}

// judgeSigned refuses a request whose signature is not valid, or that the network would not take.
func (g *Ingress) judgeSigned(s *signedRequest, valid bool) *onem2m.Response {
	if !valid {
		return g.badSignature(s.req, s.ev)
	}
	view := g.o.App.View()
	defer view.Close()
	refused, err := ledger.Fresh(view, &s.item, g.now())
	switch {
	case err != nil:
		return failure(onem2m.StatusInternalServerError, "check the counter: "+err.Error())
	case refused != nil && !g.delivered(s.req):
		return refused
	}
	return nil
}

// startSigned is begin for a reading that says that its device signed it, and answers a refusal itself. Such readings are
// queued in the order in which they came, among themselves.
func (g *Ingress) startSigned(ctx context.Context, core *cse.Core, s *started) {
	claimed := s.req.From
	signed, refused := g.readSigned(s.req, s.ev)
	if refused != nil {
		g.noteUnidentified(claimed, s.req, s.ev, refused)
		s.finish(refused)
		return
	}
	ctx = binding.Hurried(ctx) // who waited in its place would keep all others waiting
	g.signatures.add(g.o.App, signed, func(valid bool) {
		refused := g.judgeSigned(signed, valid)
		if refused != nil {
			g.noteUnidentified(claimed, s.req, s.ev, refused)
			s.finish(refused)
			return
		}
		g.started(ctx, core, s, g.queue(ctx, core, s, signed.cred))
	})
}

// carrier refuses a signed request that came with evidence of somebody else.
func (g *Ingress) carrier(ev binding.Evidence, signer *identity.Credential) *onem2m.Response {
	if ev.Anonymous() {
		return nil
	}
	cred, err := g.auth.authenticate(ev)
	if q := quarantined(err); q != nil {
		return shutOut(q)
	}
	switch {
	case err != nil:
		return failure(onem2m.StatusInternalServerError, "check the credential: "+err.Error())
	case cred == nil:
		return failure(onem2m.StatusSecurityAssociationRequired, "the token or certificate beside the signature is not valid")
	case cred.Originator != signer.Originator && cred.Role != identity.Gateway:
		return failure(onem2m.StatusOriginatorHasNoPrivilege, fmt.Sprintf("the signature is %s's, the token or certificate beside it is not; only a gateway carries what others signed", signer.Originator))
	}
	return nil
}

// badSignature refuses a request that is not signed by a key that is enrolled. It tells a stranger nothing about which
// keys there are.
func (g *Ingress) badSignature(req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
	if g.o.Guard != nil {
		g.o.Guard.Failed(ev.Source, req.From, true)
	}
	if why, locked := g.unknown(ev); locked > 0 {
		return failure(why.Status, why.Message)
	}
	return failure(onem2m.StatusSecurityAssociationRequired, "the signature in the vendor information (vsi) is not a valid one, of this very request for this network, by a key that is enrolled")
}
