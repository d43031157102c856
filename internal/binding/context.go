package binding

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

type manner int

const (
	asking  manner = iota // the binding itself asks
	hurried               // nobody can be kept waiting
	trying                // the target may be missing
)

// Asking marks the context of requests that a binding makes by itself to find out what a client may get: they are no doing
// of the client's, and count for none of its quotas.
func Asking(ctx context.Context) context.Context { return context.WithValue(ctx, asking, true) }

// IsAsking says whether a context was marked by Asking.
func IsAsking(ctx context.Context) bool { return ctx.Value(asking) != nil }

// Hurried marks the context of requests of clients that cannot be slowed down, because they wait for nothing before they send
// on: what is too much is refused at once. Others are kept waiting for a moment first. With Asking it marks what holds up
// other clients: nobody else is asked about it.
func Hurried(ctx context.Context) context.Context { return context.WithValue(ctx, hurried, true) }

// IsHurried says whether a context was marked by Hurried.
func IsHurried(ctx context.Context) bool { return ctx.Value(hurried) != nil }

// Trying marks the context of requests whose target may well be missing, which the binding then makes: that it is says nothing
// about the client.
func Trying(ctx context.Context) context.Context { return context.WithValue(ctx, trying, true) }

// IsTrying says whether a context was marked by Trying.
func IsTrying(ctx context.Context) bool { return ctx.Value(trying) != nil }

// Refuser is a Handler that can tell why a client is not known.
type Refuser interface {
	// Refusal is why a client is refused that Known does not know, and for how long it need not try again, 0 when that cannot
	// be said. It is nil for one that is known.
	Refusal(ev Evidence) (*onem2m.Error, time.Duration)
}

// Refusal is why a client is refused that handler does not know, nil when it says no more than that it is not known.
func Refusal(handler any, ev Evidence) *onem2m.Error {
	if r, ok := handler.(Refuser); ok {
		if why, _ := r.Refusal(ev); why != nil && why.Status != onem2m.StatusSecurityAssociationRequired {
			return why
		}
	}
	return nil
}
