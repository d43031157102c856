package coapbinding

import (
	"errors"
	"strings"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// receive takes a datagram, which is the server's own from now on. It never waits: a peer that sends faster than its
// requests are executed is answered that the node is busy, or not at all.
func (s *Server) receive(p peer, datagram []byte) {
	if len(datagram) < headerSize || datagram[0]>>6 != 1 {
		return
	}
	key := exchangeKey{p, uint16(datagram[2])<<8 | uint16(datagram[3])}
	switch message.Type(datagram[0] >> 4 & 3) {
	case message.Acknowledgement, message.Reset:
		s.confirms.done(key)
		return
	}
	if !s.take(len(datagram)) {
		return
	}
	go func() {
		defer s.give(len(datagram))
		s.handle(key, datagram)
	}()
}

// take takes a place for a datagram that is worked on, and says whether there was one.
func (s *Server) take(bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.handling >= 2*s.l.running || s.handlingBytes+bytes > s.l.handlingBytes {
		return false
	}
	s.handling++
	s.handlingBytes += bytes
	s.serving.Add(1)
	return true
}

func (s *Server) give(bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handling--
	s.handlingBytes -= bytes
	s.serving.Done()
}

// handle works on a message of type CON or NON.
func (s *Server) handle(key exchangeKey, datagram []byte) {
	confirmable := message.Type(datagram[0]>>4&3) == message.Confirmable
	m, err := decode(datagram)
	switch {
	case err != nil || !isRequest(m.Code):
		// Malformed, a ping, or a response to nothing that was asked (RFC 7252 clauses 4.2 and 4.3).
		if confirmable {
			key.peer.send(header(message.Reset, key.mid))
		}
		return
	}
	digest := sum(datagram)
	if x := s.exchanges.find(key, digest); x != nil {
		x.again()
		return
	}
	c, err := s.newCall(key.peer, m, len(datagram))
	if !confirmable && isBadOption(err) {
		key.peer.send(header(message.Reset, key.mid)) // rejected, not answered (RFC 7252 clause 5.4.1)
		return
	}
	if err == nil {
		// Nothing of a stranger is remembered, and his payload is not looked at.
		if c.known = s.handler.Known(c.evidence); !c.known {
			err = errUnknown
			if r, ok := s.handler.(binding.Refuser); ok {
				if why, _ := r.Refusal(c.evidence); why != nil && why.Status != errUnknown.Status {
					err = why
				}
			}
		} else if a, ok := key.peer.link.(*association); ok {
			a.shown(c.evidence)
		}
	}
	if err != nil {
		// Not remembered either: to refuse it again costs less.
		s.refuseStranger(key, c, m, err, confirmable)
		return
	}
	x, again := s.exchanges.begin(key, digest, c.evidence.Shown(), confirmable, time.Now())
	switch {
	case again:
		x.again()
	case x == nil:
		s.refuseStranger(key, c, m, errBusy, confirmable)
	default:
		if confirmable {
			x.timer = time.AfterFunc(s.l.ackDelay, x.late)
		}
		s.answer(x, c, m, s.execute(c, key.peer, m))
	}
}

var (
	errUnknown = onem2m.Errorf(onem2m.StatusSecurityAssociationRequired, "a valid token is required, as parameter tkns of the query (tally device enrol makes one)")
	errBusy    = &refusal{code: codes.ServiceUnavailable, status: onem2m.StatusInternalServerError, why: "the node is busy; try again later", maxAge: 5}
)

// execute executes a request and gives the response, without header.
func (s *Server) execute(c *call, p peer, m *message.Message) *message.Message {
	key := newTransferKey(p, m)
	if c.block2.given && c.block2.num > 0 && !c.block1.given {
		if kept := s.downloads.fetch(key, time.Now()); kept != nil {
			return s.part(c, kept, c.block2)
		}
		return s.refuse(c, errGone)
	}
	payload := m.Payload
	if c.block1.given {
		whole, held, err := s.uploads.receive(key, c.block1, payload, time.Now())
		defer s.uploads.release(held)
		if err != nil {
			return s.refuse(c, err)
		}
		if whole == nil {
			return &message.Message{Code: codes.Continue, Options: appendUint(nil, message.Block1, c.block1.value())}
		}
		payload = whole
	}
	if len(payload) > s.l.body {
		return s.refuse(c, s.uploads.tooLarge())
	}
	reply := s.fit(c, key, s.do(c, payload))
	if c.block1.given {
		reply.Options = appendUint(reply.Options, message.Block1, c.block1.value())
	}
	return reply
}

// do executes a request that is complete.
func (s *Server) do(c *call, payload []byte) *message.Message {
	if c.plain {
		return s.ingest(c, payload)
	}
	if err := c.parse(); err != nil {
		return s.refuse(c, err)
	}
	if c.hasContent() {
		var err error
		if c.req.Content, err = c.content(payload); err != nil {
			return s.refuse(c, err)
		}
	}
	return s.respond(c, s.handler.Do(s.ctx, &c.req, c.evidence))
}

// answer sends a response and remembers it. A response to a request that was acknowledged already is a message of its
// own, which the peer acknowledges; it has the request's message ID: no two responses to one peer can so have the same.
func (s *Server) answer(x *exchange, c *call, m *message.Message, reply *message.Message) {
	reply.Token, reply.MessageID = m.Token, m.MessageID
	sortOptions(reply.Options)
	x.mu.Lock()
	if x.timer != nil {
		x.timer.Stop()
	}
	switch {
	case !x.confirmable:
		reply.Type = message.NonConfirmable
	case x.acked:
		reply.Type = message.Confirmable
	default:
		reply.Type = message.Acknowledgement
	}
	datagram, err := encode(reply)
	if err != nil {
		s.o.Log.Error("encode a CoAP response", "err", err)
		datagram = header(message.Reset, x.key.mid)
	}
	x.reply = datagram
	separate := x.acked && err == nil
	x.mu.Unlock()
	if !separate || !s.confirms.add(x.key, datagram) {
		x.key.peer.send(datagram)
	}
	s.exchanges.end(x, !c.repeatable())
}

// refuseStranger answers a request that nothing is remembered of, with no more than three times its bytes: a forged
// source address must not turn the server into an amplifier (RFC 7252 clause 11.3).
func (s *Server) refuseStranger(key exchangeKey, c *call, m *message.Message, err error, confirmable bool) {
	if !confirmable && err == error(errBusy) {
		return
	}
	var e *onem2m.Error
	if errors.As(err, &e) && (e.Status == onem2m.StatusSecurityAssociationRequired || e.Status == onem2m.StatusOriginatorHasNoPrivilege ||
		e.Status == onem2m.StatusServiceSubscriptionLimitsExceeded) {
		binding.Denied(s.handler, c.evidence, binding.Denial{
			Reason: binding.BadCredential, Doing: strings.ToLower(m.Code.String()), From: c.req.From, To: strings.Join(c.path, "/"),
		})
	}
	reply := s.refuse(c, err)
	reply.Type, reply.MessageID, reply.Token = message.NonConfirmable, m.MessageID, m.Token
	if confirmable {
		reply.Type = message.Acknowledgement
	}
	sortOptions(reply.Options)
	datagram, err := encode(reply)
	if err == nil && len(datagram) > 3*c.size {
		reply.Payload = nil
		reply.Options = reply.Options.Remove(message.ContentFormat)
		datagram, err = encode(reply)
	}
	if err == nil {
		key.peer.send(datagram)
	}
}

// refuse makes the response of a request that did not become a primitive.
func (s *Server) refuse(c *call, err error) *message.Message {
	var r *refusal
	if errors.As(err, &r) {
		return s.refuseInCoAP(c, r)
	}
	status, why := onem2m.StatusBadRequest, err.Error()
	var e *onem2m.Error
	if errors.As(err, &e) {
		status, why = e.Status, e.Message
	}
	rsp := &onem2m.Response{Status: status, Content: append(onem2m.AppendQuote([]byte(`{"m2m:dbg":`), why), '}')}
	if c.plain {
		return s.respondPlain(rsp)
	}
	return s.respond(c, rsp)
}
