package ingress

import (
	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// withoutCredentials takes credentials out of the Tokens of a request, so that they are passed on to nobody. A binding has
// taken out the one that counts.
func withoutCredentials(req *onem2m.Request) {
	if len(req.Tokens) > 0 {
		_, req.Tokens = binding.SplitTokens(req.Tokens)
	}
}

// present reduces the tokens that a request presents to their Token-IDs: what has to be ordered of them, since the ledger has
// the tokens.
func (g *Ingress) present(core *cse.Core, req *onem2m.Request) *onem2m.Response {
	if len(req.Tokens)+len(req.LocalTokenIDs) == 0 {
		return nil
	}
	view := g.o.App.View()
	ids, err := core.TokenIDs(view, req)
	view.Close()
	if err != nil {
		return failure(onem2m.StatusInternalServerError, "look up the tokens: "+err.Error())
	}
	req.Tokens, req.LocalTokenIDs, req.TokenIDs = nil, nil, ids
	return nil
}
