package ingress

import (
	"context"
	"fmt"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/guard"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of what is done together: it has to fit into one batch.
const (
	maxTogether      = 4096
	maxTogetherBytes = batchBytes + batchBytes/2
)

// DoTogether executes writes of the client that showed ev of which either all are committed or none, in their order: a
// later one may address what an earlier one makes. It returns one response each, or else a single one, the first
// refusal. The first request's expiration and delivery are those of all. The requests have no other originator than
// the first has.
func (g *Ingress) DoTogether(ctx context.Context, reqs []*onem2m.Request, ev binding.Evidence) []onem2m.Response {
	var pass guard.Pass
	each, refused := g.doTogether(ctx, reqs, ev, &pass)
	if refused != nil {
		each = []onem2m.Response{*refused}
	}
	endPass(&pass, each[0].Status, binding.IsTrying(ctx))
	for i := range min(len(each), len(reqs)) {
		each[i].RequestID, each[i].ReleaseVersion = reqs[i].RequestID, reqs[i].ReleaseVersion
	}
	return each
}

func (g *Ingress) doTogether(ctx context.Context, reqs []*onem2m.Request, ev binding.Evidence, pass *guard.Pass) (each []onem2m.Response, refused *onem2m.Response) {
	core := g.o.App.Core()
	if core == nil {
		return nil, errNoBlock()
	}
	if err := g.o.Refuse(); err != nil {
		return nil, failure(onem2m.StatusInternalServerError, err.Error())
	}
	if len(reqs) == 0 || len(reqs) > maxTogether {
		return nil, failure(onem2m.StatusContentsUnacceptable, fmt.Sprintf("%d records; one message may have 1 to %d", len(reqs), maxTogether))
	}
	items := make([]ledger.Item, len(reqs))
	size := 0
	var cred *identity.Credential
	defer func() {
		switch {
		case cred == nil: // noted
		case refused != nil:
			g.noteDenied(reqs[0], cred, ev, refused)
		case len(each) > 0:
			g.noteDenied(reqs[0], cred, ev, &each[0])
		}
	}()
	for i, req := range reqs {
		cred, refused = g.identify(req, ev)
		if refused != nil {
			return nil, refused
		}
		if i == 0 {
			if *pass, refused = g.admit(ctx, req, cred, ev, len(reqs)); refused != nil {
				return nil, refused
			}
		}
		withoutCredentials(req)
		if refused := g.present(core, req); refused != nil {
			return nil, refused
		}
		items[i] = newItem(req, cred)
		switch resp := g.check(core, req); {
		case resp == nil:
			release, refused := g.agree(ctx, core, req, &items[i])
			if refused != nil {
				return nil, refused
			}
			defer release()
		case i > 0 && resp.Status == onem2m.StatusNotFound:
			// It may be what an earlier one makes.
		case g.delivered(reqs[0]):
			// All was done at the first delivery, so it cannot be done again.
		default:
			return nil, resp
		}
		size += items[i].Size()
	}
	if size > maxTogetherBytes {
		return nil, failure(onem2m.StatusContentsUnacceptable, fmt.Sprintf("the records of one message take %d bytes in all; the limit is %d", size, maxTogetherBytes))
	}
	items[0].Together = uint16(len(items) - 1)
	each, refused = g.submitAll(ctx, reqs[0], items...)
	if refused == nil && !each[0].Status.Success() {
		each = each[:1]
	}
	return each, refused
}
