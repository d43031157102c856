package ingress

import (
	"errors"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
)

// Explain says whether an originator may do something, and which rule decides, to the holder of a credential: to operators of the
// network about anybody, to those of an organisation about its originators, to others about themselves. All but the first are told
// of no policy and no resource that they may not retrieve. Errors are *onem2m.Error.
func (g *Ingress) Explain(cred *identity.Credential, q *cse.Question) (*cse.Explanation, error) {
	core := g.o.App.Core()
	if core == nil {
		return nil, onem2m.Errorf(onem2m.StatusNotFound, "the network has no block yet")
	}
	q.Originator = g.local(q.Originator)
	view := g.o.App.View()
	defer view.Close()
	organisation, err := identity.OrganisationOf(view, q.Originator)
	switch {
	case err != nil:
		return nil, onem2m.Errorf(onem2m.StatusInternalServerError, "look up %s: %v", q.Originator, err)
	case cred.MayActFor(""):
		q.Viewer = ""
	case cred.MayActFor(organisation) || q.Originator == cred.Originator:
		q.Viewer = cred.Originator
	default:
		return nil, onem2m.Errorf(onem2m.StatusOriginatorHasNoPrivilege, "the rights of %s are explained to itself and to its operators", q.Originator)
	}
	now := g.now()
	x, err := core.Explain(view, q, cse.Env{Time: now, MayRegister: true})
	if err != nil {
		if errors.As(err, new(*onem2m.Error)) {
			return nil, err
		}
		return nil, onem2m.Errorf(onem2m.StatusInternalServerError, "read the resource tree: %v", err)
	}
	if g.o.App.Genesis().CSE.Lab {
		return x, nil
	}
	holds, err := identity.Holds(view, q.Originator, now)
	switch {
	case err != nil:
		return nil, onem2m.Errorf(onem2m.StatusInternalServerError, "look up the credentials of %s: %v", q.Originator, err)
	case g.o.App.Quarantined(q.Originator) != nil:
		x.Notes = append(x.Notes, q.Originator+" is in quarantine: nothing of it is accepted, whatever the rights are")
	case !holds && q.Originator != g.o.App.Genesis().CSE.CSEID:
		x.Notes = append(x.Notes, q.Originator+" has no valid credential here: nothing is accepted as its own, whatever the rights are")
	}
	return x, nil
}
