package ingress

import (
	"fmt"

	"github.com/tallystick/tallystick/internal/binding"
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

// identifySigner finds who a request is from that the device itself signed, and takes the signature into the request. It
// needs no other evidence; if there is some, it has to be of the same originator, or of a gateway that carries what
// devices signed. Everything is refused that the signature does not cover and that would make the request another one.
func (g *Ingress) identifySigner(req *onem2m.Request, ev binding.Evidence) (*identity.Credential, *onem2m.Response) {
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
		return nil, badSignature()
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
	it := newItem(req, cred)
	if !g.o.App.VerifySignature(&it, cred) {
		return nil, badSignature()
	}
	view := g.o.App.View()
	defer view.Close()
	refused, err := ledger.Fresh(view, &it, g.now())
	switch {
	case err != nil:
		return nil, failure(onem2m.StatusInternalServerError, "check the counter: "+err.Error())
	case refused != nil && !g.delivered(req):
		return nil, refused
	}
	return cred, nil
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

// badSignature tells a stranger nothing about which keys there are.
func badSignature() *onem2m.Response {
	return failure(onem2m.StatusSecurityAssociationRequired, "the signature in the vendor information (vsi) is not a valid one, of this very request for this network, by a key that is enrolled")
}
