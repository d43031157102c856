package ingress

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/guard"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
)

// admit asks the guard whether a request of a client that is known is within its quota; count is how many requests it
// stands for. It waits a little where the client can be kept waiting. The pass ends with endPass.
func (g *Ingress) admit(ctx context.Context, req *onem2m.Request, cred *identity.Credential, ev binding.Evidence, count int) (guard.Pass, *onem2m.Response) {
	if g.o.Guard == nil {
		return guard.Pass{}, nil
	}
	p, limit := g.o.Guard.Admit(ctx, &guard.Request{
		Originator: cred.Originator, Actor: req.From, Trusted: g.trusts(cred), Source: ev.Source, Target: req.To,
		Bytes: len(req.Content), Count: count, MayWait: !binding.IsHurried(ctx),
		Subscribes: req.Operation == onem2m.Create && req.Type == onem2m.TypeSubscription,
	})
	if limit != nil {
		return p, failure(onem2m.StatusServiceSubscriptionLimitsExceeded, limit.Error())
	}
	return p, nil
}

// trusts says whether somebody may do what would be unusual for a device: an operator, and in a lab network whoever tries
// something out.
func (g *Ingress) trusts(cred *identity.Credential) bool {
	return cred.Role == identity.Operator || g.o.App.Genesis().CSE.Lab
}

// endPass ends a pass with what became of the request. trying says that its target may well have been missing.
func endPass(p *guard.Pass, status onem2m.StatusCode, trying bool) {
	denied := status == onem2m.StatusOriginatorHasNoPrivilege || status == onem2m.StatusSecurityAssociationRequired
	p.Done(denied, status == onem2m.StatusNotFound && !trying)
}

// failed tells the guard of a client whose credential is none, or is not for whom it claims to be.
func (g *Ingress) failed(ev binding.Evidence, claimed string) {
	if g.o.Guard != nil {
		g.o.Guard.Failed(ev.Source, claimed, !ev.Anonymous())
	}
}

// unknown refuses a client whose credential is none: without a reason when it has shown too many of them.
func (g *Ingress) unknown(ev binding.Evidence) (*onem2m.Error, time.Duration) {
	if g.o.Guard != nil {
		if d := g.o.Guard.Locked(ev.Source); d > 0 {
			return onem2m.Errorf(onem2m.StatusServiceSubscriptionLimitsExceeded,
				"too many requests without a valid credential came from your address; try again in %s", max(d.Round(time.Second), time.Second)), d
		}
	}
	return onem2m.Errorf(onem2m.StatusSecurityAssociationRequired, "%v", ErrNoCredential), 0
}

// Refusal implements the bindings' Refuser.
func (g *Ingress) Refusal(ev binding.Evidence) (*onem2m.Error, time.Duration) {
	cred, err := g.auth.authenticate(ev)
	if ev.Anonymous() && ev.Signed != "" {
		cred, err = g.auth.signer(ev.Signed)
	}
	switch q := quarantined(err); {
	case q != nil:
		return onem2m.Errorf(onem2m.StatusOriginatorHasNoPrivilege, "%v", q), 0
	case err != nil:
		return onem2m.Errorf(onem2m.StatusInternalServerError, "check the credential: %v", err), 0
	case cred != nil:
		return nil, 0
	}
	return g.unknown(ev)
}

// connect counts a connection, or another thing that lasts, for the originator whose credential is shown on it. It is false
// when there are too many; else release takes it off again, once.
func (g *Ingress) connect(ev binding.Evidence) (release func(), ok bool) {
	if g.o.Guard != nil {
		if cred, err := g.auth.authenticate(ev); cred != nil && err == nil {
			return g.o.Guard.Connect(cred.Originator)
		}
	}
	return func() {}, true
}
