package ingress

import (
	"errors"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// Originator gives the AE-ID that a credential is for. Errors are *onem2m.Error.
func (g *Ingress) Originator(ev binding.Evidence) (string, error) {
	cred, err := g.Authenticate(ev)
	switch {
	case errors.Is(err, ErrNoCredential):
		why, _ := g.unknown(ev)
		return "", why
	case quarantined(err) != nil:
		return "", onem2m.Errorf(onem2m.StatusOriginatorHasNoPrivilege, "%v", err)
	case err != nil:
		return "", onem2m.Errorf(onem2m.StatusInternalServerError, "check the credential: %v", err)
	}
	return cred.Originator, nil
}

// Labelled says whether the resource at an address has a label (lbl). The answer is the same for all who ask, and is
// not for telling them. The response is a refusal, nil when there is an answer.
func (g *Ingress) Labelled(to, label string) (bool, *onem2m.Response) {
	core := g.o.App.Core()
	if core == nil {
		return false, errNoBlock()
	}
	view := g.o.App.View()
	res := core.Read(view, &onem2m.Request{
		Operation: onem2m.Retrieve, To: to, From: g.o.App.Genesis().CSE.CSEID, RequestID: "-", ReleaseVersion: "4",
		ResultContent: onem2m.ResultContentAttributes,
	}, cse.Env{Time: g.now(), Agreed: true})
	view.Close()
	if res.Err != nil {
		return false, failure(onem2m.StatusInternalServerError, "read the resource tree: "+res.Err.Error())
	}
	if !res.Response.Status.Success() {
		return false, &res.Response
	}
	for _, resource := range onem2m.Fields(res.Response.Content) {
		for l := range onem2m.Elements(onem2m.Field(resource, "lbl")) {
			if s, _ := onem2m.Unquote(l); s == label {
				return true, nil
			}
		}
	}
	return false, nil
}
