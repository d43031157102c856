package node

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	wsbinding "github.com/tallystick/tallystick/internal/binding/ws"
	"github.com/tallystick/tallystick/onem2m"
)

// newWebSockets makes the WebSocket binding, which has no listener of its own.
func (n *Node) newWebSockets(roots *x509.CertPool) *wsbinding.Binding {
	return wsbinding.New(wsbinding.Options{
		Handler: door{n}, Plain: plainDoor{n}, Originator: n.originator, Arrived: n.wake, From: n.app.Genesis().CSE.CSEID,
		MaxMessage: n.cfg.MaxBody, Mobius: n.app.Genesis().CSE.Mobius, RootCAs: roots, Log: n.log,
	})
}

// originator says whom a valid credential is for.
func (n *Node) originator(ev binding.Evidence) (string, bool) {
	c, err := n.ingress.Authenticate(ev)
	if err != nil {
		return "", false
	}
	return c.Originator, true
}

// door is the ingress, for bindings that send requests too: those are made before the ingress is, and serve nobody
// until it is there.
type door struct{ n *Node }

func (d door) Known(ev binding.Evidence) bool { return d.n.ingress.Known(ev) }

func (d door) Denied(ev binding.Evidence, why binding.Denial) { d.n.ingress.Denied(ev, why) }

func (d door) Watch(ev binding.Evidence, end func()) (stop func()) {
	return d.n.ingress.Watch(ev, end)
}

func (d door) Refusal(ev binding.Evidence) (*onem2m.Error, time.Duration) {
	return d.n.ingress.Refusal(ev)
}

func (d door) Do(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
	return d.n.ingress.Do(ctx, req, ev)
}

func (d door) DoTogether(ctx context.Context, reqs []*onem2m.Request, ev binding.Evidence) []onem2m.Response {
	return d.n.ingress.DoTogether(ctx, reqs, ev)
}

func (d door) Originator(ev binding.Evidence) (string, error) { return d.n.ingress.Originator(ev) }

func (d door) Labelled(to, label string) (bool, *onem2m.Response) {
	return d.n.ingress.Labelled(to, label)
}

func (d door) Start(ctx context.Context, req *onem2m.Request, ev binding.Evidence, done func(*onem2m.Response)) {
	d.n.ingress.Start(ctx, req, ev, done)
}
