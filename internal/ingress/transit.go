package ingress

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
)

// maxTransits bounds the requests for other CSEs that are under way at once on one node.
const maxTransits = 1024

// transits are the requests for other CSEs that are under way.
type transits struct {
	mu      sync.Mutex
	pending map[string]bool
}

// begin notes a request; why it may not leave is the response.
func (t *transits) begin(key string) *onem2m.Response {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.pending[key]:
		// It has come back here, or its originator uses a request identifier twice.
		return failure(onem2m.StatusTargetNotReachable, "the same request is already on its way: the CSEs between here and the target form a circle")
	case len(t.pending) >= maxTransits:
		return failure(onem2m.StatusInternalServerError, "the node is busy: too many requests for other CSEs are under way; try again later")
	case t.pending == nil:
		t.pending = make(map[string]bool)
	}
	t.pending[key] = true
	return nil
}

func (t *transits) end(key string) {
	t.mu.Lock()
	delete(t.pending, key)
	t.mu.Unlock()
}

// elsewhere gives an address on another CSE of this service provider in its SP-relative form; ok is false for others.
func (g *Ingress) elsewhere(to string) (target string, ok bool) {
	cfg := &g.o.App.Genesis().CSE
	if rest, found := strings.CutPrefix(to, cfg.SPID+"/"); found {
		to = "/" + rest
	}
	if len(to) < 2 || to[0] != '/' || to[1] == '/' {
		return "", false
	}
	rest, found := strings.CutPrefix(to, cfg.CSEID)
	if found && (rest == "" || rest[0] == '/') {
		return "", false
	}
	return to, true
}

// transit hands a request on to the next CSE on the way to its target and gives that one's response (TS-0004 clause
// 7.3.2.6). The receiver decides about rights; here it is only made sure who the originator is, and that it does not
// register at another CSE through this one.
func (g *Ingress) transit(ctx context.Context, core *cse.Core, req *onem2m.Request, target string, from *identity.Credential) *onem2m.Response {
	cfg := &g.o.App.Genesis().CSE
	switch {
	case req.RequestID == "":
		return failure(onem2m.StatusBadRequest, "the request has no request identifier (rqi)")
	case req.From == "":
		return failure(onem2m.StatusBadRequest, "the request names no originator (fr)")
	case req.Operation == onem2m.Create && (req.Type == onem2m.TypeAE || req.Type == onem2m.TypeRemoteCSE):
		// TS-0004 clause 7.3.2.8.
		return failure(onem2m.StatusBadRequest, "a registration is not handed on: register at "+req.To+" itself")
	}
	far, path, _ := strings.Cut(target[1:], "/")
	view := g.o.App.View()
	hop, err := core.Hop(view, "/"+far, g.now())
	view.Close()
	switch {
	case err != nil:
		return failure(onem2m.StatusInternalServerError, "find the way to another CSE: "+err.Error())
	case hop == "":
		return failure(onem2m.StatusNotFound, fmt.Sprintf("target %q is on a CSE that is not known here", req.To))
	case hop == from.Originator && from.Kind != 0:
		return failure(onem2m.StatusNotFound, fmt.Sprintf("target %q is on a CSE that %s does not know, nor do we", req.To, hop))
	}
	key := strings.Join([]string{req.From, req.RequestID, target, strconv.Itoa(int(req.Operation))}, "\x00")
	if refused := g.transits.begin(key); refused != nil {
		return refused
	}
	defer g.transits.end(key)
	ctx, cancel := context.WithTimeout(ctx, g.Timeout())
	defer cancel()
	on := *req
	on.To = target
	if on.ResponseType == onem2m.ResponseTypeNone {
		on.ResponseType = 0 // who wants no answer is told a refusal all the same, and silence would look like one
	}
	if on.From[0] != '/' {
		on.From = cfg.CSEID + "/" + on.From
	}
	if path == "" {
		on.To = target + "/-"
	}
	resp, err := g.o.Outside.Request(ctx, []string{hop}, &on)
	if err != nil {
		return failure(onem2m.StatusTargetNotReachable, fmt.Sprintf("hand the request on to %s: %v", hop, err))
	}
	out := *resp
	out.Location = seenFromHere(out.Location, "/"+far)
	out.Content = urisSeenFromHere(out.Content, "/"+far)
	return &out
}

// seenFromHere makes an address that is relative to another CSE SP-relative.
func seenFromHere(id, cseID string) string {
	if id == "" || id[0] == '/' || strings.Contains(id, "://") {
		return id
	}
	return cseID + "/" + id
}

// urisSeenFromHere does so with the addresses in a list of URIs (m2m:uril), or in a single one (m2m:uri); other contents
// stay as they are.
func urisSeenFromHere(content []byte, cseID string) []byte {
	if len(content) == 0 || content[0] != '{' {
		return content
	}
	if list := onem2m.Field(content, "m2m:uril"); list != nil && list[0] == '[' {
		out := []byte(`{"m2m:uril":[`)
		first := true
		for uri := range onem2m.Elements(list) {
			if !first {
				out = append(out, ',')
			}
			first = false
			text, _ := onem2m.Unquote(uri)
			out = onem2m.AppendQuote(out, seenFromHere(text, cseID))
		}
		return append(out, "]}"...)
	}
	if uri := onem2m.Field(content, "m2m:uri"); uri != nil && uri[0] == '"' {
		text, _ := onem2m.Unquote(uri)
		out := onem2m.AppendQuote([]byte(`{"m2m:uri":`), seenFromHere(text, cseID))
		return append(out, '}')
	}
	return content
}
