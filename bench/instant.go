package bench

import (
	"context"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// instant is a handler that says that everything is created, at once.
type instant struct{}

func (instant) Known(binding.Evidence) bool { return true }

func (instant) Watch(binding.Evidence, func()) (stop func()) { return func() {} }

func (instant) Do(_ context.Context, req *onem2m.Request, _ binding.Evidence) *onem2m.Response {
	return &onem2m.Response{Status: onem2m.StatusCreated, RequestID: req.RequestID, ReleaseVersion: req.ReleaseVersion, To: req.From}
}

func (h instant) Start(ctx context.Context, req *onem2m.Request, ev binding.Evidence, done func(*onem2m.Response)) {
	done(h.Do(ctx, req, ev))
}

// instantDoor is what takes the messages of plain devices, and says the same.
type instantDoor struct{ instant }

func (instantDoor) Claim(binding.Evidence, string) (string, bool)    { return "Cbench", true }
func (instantDoor) Originator(binding.Evidence) (string, error)      { return "Cbench", nil }
func (instantDoor) Labelled(string, string) (bool, *onem2m.Response) { return false, nil }

func (h instantDoor) DoTogether(ctx context.Context, reqs []*onem2m.Request, ev binding.Evidence) []onem2m.Response {
	out := make([]onem2m.Response, len(reqs))
	for i, req := range reqs {
		out[i] = *h.Do(ctx, req, ev)
	}
	return out
}
