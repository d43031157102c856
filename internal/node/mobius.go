package node

import (
	"context"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/mobius"
	"github.com/tallystick/tallystick/onem2m"
)

// mobiusClient sends requests as clients written for Mobius want them.
type mobiusClient struct{ binding.Client }

// Send implements binding.Client.
func (c mobiusClient) Send(ctx context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
	return c.Client.Send(ctx, to, mobius.Notification(req, to.URL))
}
