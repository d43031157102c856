package ingress

import "github.com/tallystick/tallystick/internal/binding"

// Known says whether what a client showed is a valid credential, so that a binding can turn a stranger away before it
// reads the body. It is true also when that cannot be found out; Do then says why. It is part of the bindings' Handler.
func (g *Ingress) Known(ev binding.Evidence) bool {
	if ev.Anonymous() && g.o.App.Genesis().CSE.Lab {
		return true
	}
	cred, err := g.auth.authenticate(ev)
	if ev.Anonymous() && ev.Signed != "" {
		cred, err = g.auth.signer(ev.Signed)
	}
	if cred == nil && err == nil {
		g.failed(ev, "")
	}
	return cred != nil || err != nil && quarantined(err) == nil
}

// Claim returns the originator that a client speaks for, for a binding whose clients say once who they are and not with
// every request. It is false when what it showed is no valid credential, or claimed, unless empty, is another
// originator: that is noted as a refusal. In a lab network whoever shows nothing is who he claims to be.
func (g *Ingress) Claim(ev binding.Evidence, claimed string) (originator string, ok bool) {
	if ev.Anonymous() && g.o.App.Genesis().CSE.Lab {
		return claimed, g.o.App.Quarantined(g.local(claimed)) == nil
	}
	cred, err := g.auth.authenticate(ev)
	if err != nil {
		return "", false
	}
	if cred == nil {
		g.failed(ev, claimed)
		return "", false
	}
	if claimed != "" && !g.claims(claimed, cred.Originator) {
		g.failed(ev, claimed)
		g.denials.note(ev, binding.Denial{Reason: binding.NotOriginator, Doing: "connect", From: claimed}, cred)
		return "", false
	}
	return cred.Originator, true
}
