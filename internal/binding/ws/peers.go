package wsbinding

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// Connected says whether a client is connected that has proven to be an originator.
func (b *Binding) Connected(originator string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.peers[originator]) > 0
}

// greet finds out whom a new connection speaks for. In a lab network the client's word is enough.
func (c *conn) greet(claim string) {
	switch {
	case c.format == formatPlain || c.stranger.Load():
	case !c.evidence.Anonymous():
		if c.b.o.Originator != nil {
			if who, ok := c.b.o.Originator(c.evidence); ok {
				c.speaksFor(who)
			}
		}
	case claim != "":
		c.speaksFor(claim)
	}
}

// shown notes a valid credential that came in a request.
func (c *conn) shown(ev binding.Evidence) {
	c.mu.Lock()
	if ev == c.evidence || slices.Contains(c.tokens, ev.Token) || len(c.tokens) >= maxOriginators {
		c.mu.Unlock()
		return
	}
	c.tokens = append(slices.Clip(c.tokens), ev.Token)
	c.mu.Unlock()
	c.trusted()
	c.watch(ev)
	if c.b.o.Originator != nil {
		if who, ok := c.b.o.Originator(ev); ok {
			c.speaksFor(who)
		}
	}
}

// trusted ends that a connection counts as a stranger's.
func (c *conn) trusted() {
	if c.stranger.Swap(false) {
		c.b.strangers.Add(-1)
	}
}

// claimed notes who a client is that shows no credential, which only a lab network lets pass: as whom a request of its
// was executed, and the AE that it registered.
func (c *conn) claimed(req *onem2m.Request, rsp *onem2m.Response) {
	if !rsp.Status.Success() {
		return
	}
	c.speaksFor(req.From)
	if req.Operation == onem2m.Create && req.Type == onem2m.TypeAE {
		if id, ok := onem2m.Unquote(onem2m.Field(onem2m.Field(rsp.Content, "m2m:ae"), "aei")); ok {
			c.speaksFor(id)
		}
	}
}

// speaksFor has requests to an originator sent to this connection from now on.
func (c *conn) speaksFor(originator string) {
	c.mu.Lock()
	full := c.ended || slices.Contains(c.proven, originator) || len(c.proven) >= maxOriginators
	c.mu.Unlock()
	if full || len(originator) < 2 { // "C" and "S" ask for an ID
		return
	}
	if b := c.b; b.join(c, originator) && b.o.Arrived != nil {
		b.o.Arrived(originator)
	}
}

// join notes that a connection speaks for an originator; false when it did before, or ended.
func (b *Binding) join(c *conn, originator string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || slices.Contains(c.proven, originator) {
		return false
	}
	c.proven = append(c.proven, originator)
	b.peers[originator] = append(slices.Clip(b.peers[originator]), c)
	return true
}

// forget takes a connection out of peers. b.mu is held.
func (b *Binding) forget(c *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, who := range c.proven {
		left := slices.DeleteFunc(slices.Clone(b.peers[who]), func(x *conn) bool { return x == c })
		if len(left) == 0 {
			delete(b.peers, who)
		} else {
			b.peers[who] = left
		}
	}
	c.proven = nil
}

// asked holds the requests to the peer that wait for its answer, by request identifier.
type asked map[string]chan *onem2m.Response

// all takes all out.
func (a asked) all() []chan *onem2m.Response {
	var all []chan *onem2m.Response
	for id, w := range a {
		all = append(all, w)
		delete(a, id)
	}
	return all
}

var (
	errEnded = errors.New("the connection ended before an answer came")
	errSlow  = errors.New("the peer does not take what was sent to it before")
)

// ask sends a request to the peer and waits for its answer.
func (c *conn) ask(ctx context.Context, req *onem2m.Request) (*onem2m.Response, error) {
	p := onem2m.Primitive{Request: req, Wrapped: c.wrapped.Load()}
	answer := make(chan *onem2m.Response, 1)
	c.mu.Lock()
	_, twice := c.asked[req.RequestID]
	var err error
	switch {
	case c.ended:
		err = errEnded
	case twice:
		err = fmt.Errorf("a request with the identifier %q is under way", req.RequestID)
	case len(c.asked) >= maxAsked || len(c.out) > maxUnwritten:
		err = errSlow
	default:
		if c.asked == nil {
			c.asked = make(asked)
		}
		c.asked[req.RequestID] = answer
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	defer func() {
		c.mu.Lock()
		delete(c.asked, req.RequestID)
		c.mu.Unlock()
	}()
	if !c.put(mark{}, p) {
		return nil, errEnded
	}
	select {
	case rsp, ok := <-answer:
		if !ok {
			return nil, errEnded
		}
		return rsp, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", binding.ErrNoAnswer, ctx.Err())
	}
}

// answered hands an answer of the peer to who waits for it. One that nobody waits for is dropped.
func (c *conn) answered(rsp *onem2m.Response) {
	c.mu.Lock()
	w := c.asked[rsp.RequestID]
	delete(c.asked, rsp.RequestID)
	c.mu.Unlock()
	if w != nil {
		w <- rsp
	}
}

// SchemeConn is the scheme of the address of an originator that is connected: "conn:<originator>".
const SchemeConn = "conn"

// Send implements binding.Client for ws and wss, to WebSocket servers, and for conn, to clients that are connected.
func (b *Binding) Send(ctx context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
	originator, isConn := strings.CutPrefix(to.URL, SchemeConn+":")
	if !isConn {
		return b.sendTo(ctx, to, req)
	}
	b.mu.Lock()
	peers := b.peers[originator]
	b.mu.Unlock()
	if len(peers) == 0 {
		return nil, fmt.Errorf("send a request to %s: it has no connection open", originator)
	}
	if to.Token != "" {
		with := *req
		with.Tokens = []string{to.Token}
		req = &with
	}
	rsp, err := peers[len(peers)-1].ask(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("send a request to %s over its connection: %w", originator, err)
	}
	return rsp, nil
}
