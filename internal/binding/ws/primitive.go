package wsbinding

import (
	"errors"
	"slices"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// take executes one message. It is false when the connection has ended.
func (c *conn) take(m message) bool {
	if c.format == formatPlain {
		return c.takePlain(m)
	}
	text := m.text
	var p onem2m.Primitive
	var err error
	if c.format == formatCBOR {
		text, err = onem2m.CBORToJSON(m.text)
		if err != nil {
			err = onem2m.Errorf(onem2m.StatusBadRequest, "the message is no usable CBOR: %v", err)
			p.Request = &onem2m.Request{}
		}
	}
	if err == nil {
		p, err = onem2m.ParsePrimitive(text)
	}
	if p.Wrapped != c.wrapped.Load() && err == nil {
		c.wrapped.Store(p.Wrapped)
	}
	if p.Response != nil {
		c.giveBack(m)
		if err == nil {
			c.answered(p.Response)
		}
		return true
	}
	n := cost(max(len(m.text), len(text))) // CBOR may be shorter than the JSON that it becomes
	if !c.room(c.window, n) {
		c.giveBack(m)
		return false
	}
	if err != nil {
		c.giveBack(m)
		c.refuse(p.Request, mark{cost: n}, err)
		return true
	}
	return c.execute(m, p.Request, n)
}

// execute hands a request to the handler.
func (c *conn) execute(m message, req *onem2m.Request, cost int64) bool {
	k := mark{cost: cost}
	if c.dialed && !brings(req) && !(c.near && c.b.o.Handler.Known(binding.Evidence{})) {
		// Whoever answers a request of ours has not proven who he is by that, and a lab network is for this machine only.
		c.giveBack(m)
		c.refuse(req, k, onem2m.Errorf(onem2m.StatusOperationNotAllowed, "on a connection that this node opened a request needs a credential of its own (tkns)"))
		return true
	}
	ev, ok := c.credential(req)
	if !ok {
		c.giveBack(m)
		binding.Denied(c.b.o.Handler, c.evidence, binding.Denial{
			Reason: binding.BadCredential, Doing: binding.Doing(req.Operation), From: req.From, To: req.To,
		})
		not := binding.Refusal(c.b.o.Handler, ev)
		if not == nil {
			not = onem2m.Errorf(onem2m.StatusSecurityAssociationRequired, "a valid bearer token is required (tally device enrol makes one)")
		}
		c.refuse(req, k, not)
		if c.refused++; c.refused >= maxRefused {
			c.hangUp(websocket.StatusPolicyViolation, "no valid credential was shown")
			return false
		}
		return true
	}
	req.SourceIP = c.remote
	if req.Operation == onem2m.Retrieve {
		if !c.room(c.retrieves, 1) {
			c.giveBack(m)
			c.written(k)
			return false
		}
		k.retrieve = true
	}
	done := func(rsp *onem2m.Response) {
		c.giveBack(m)
		if ev.Anonymous() {
			c.claimed(req, rsp)
		}
		c.respond(req, k, rsp)
	}
	if s := c.b.starter; s != nil {
		s.Start(c.ctx, req, ev, done)
		return true
	}
	c.b.running.Go(func() { done(c.b.o.Handler.Do(c.ctx, req, ev)) })
	return true
}

// brings says whether a request has a credential of its own.
func brings(req *onem2m.Request) bool {
	credentials, _ := binding.SplitTokens(req.Tokens)
	return len(credentials) > 0
}

// credential gives the evidence that a request is executed with: its own, or that of the handshake. It is false when what
// was shown is not valid.
func (c *conn) credential(req *onem2m.Request) (ev binding.Evidence, ok bool) {
	credentials, authorization := binding.SplitTokens(req.Tokens)
	if len(credentials) == 0 {
		ev = c.evidence.SignedBy(req)
		return ev, !c.stranger.Load() || c.b.o.Handler.Known(ev)
	}
	known := slices.IndexFunc(credentials, func(token string) bool { return c.b.o.Handler.Known(c.evidence.With(token)) })
	if known < 0 {
		return c.evidence.With(credentials[0]), false
	}
	ev, req.Tokens = c.evidence.With(credentials[known]), authorization
	c.shown(ev)
	return ev, true
}

// refuse answers a request that is not executed.
func (c *conn) refuse(req *onem2m.Request, k mark, err error) {
	status, why := onem2m.StatusBadRequest, err.Error()
	var e *onem2m.Error
	if errors.As(err, &e) {
		status, why = e.Status, e.Message
	}
	c.respond(req, k, &onem2m.Response{
		Status: status, RequestID: req.RequestID, ReleaseVersion: req.ReleaseVersion, To: req.From,
		Content: append(onem2m.AppendQuote([]byte(`{"m2m:dbg":`), why), '}'),
	})
}

// respond answers a request, unless it was met and asked for no answer (TS-0001 clause 8.1.2, noResponse).
func (c *conn) respond(req *onem2m.Request, k mark, rsp *onem2m.Response) {
	if req.ResponseType == onem2m.ResponseTypeNone && rsp.Status.Success() {
		c.written(k)
		return
	}
	if rsp.ReleaseVersion == "" {
		rsp.ReleaseVersion = c.b.o.Release
	}
	c.put(k, onem2m.Primitive{Response: rsp, Wrapped: c.wrapped.Load()})
}
