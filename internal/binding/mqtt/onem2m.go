package mqttbinding

import (
	"context"
	"errors"
	"fmt"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// maxAsking bounds the requests of a connection that are not answered and whose PUBLISH was acknowledged.
const maxAsking = 256

// primitive handles a PUBLISH to a oneM2M topic (TS-0010 clause 6.4). What is published there is answered on the
// response topic; a reason code other than success says that the message was not even read.
func (c *conn) primitive(pk *packets.Packet, p *publication, t *oneM2MTopic) {
	if code := c.session.mayPublish(t); code.Code != 0 {
		if code == codeNotAuthorized {
			c.denied(binding.NotOriginator, "publish", t.originator, t.String())
		}
		c.settle(p, result{code: code})
		return
	}
	text, err := pk.Payload, error(nil)
	if t.cbor {
		text, err = onem2m.CBORToJSON(pk.Payload)
	}
	if t.kind == kindResponse {
		if resp, err2 := onem2m.ParseResponse(text); err == nil && err2 == nil {
			c.broker.calls.answer(t.receiver, resp)
		}
		c.settle(p, result{})
		return
	}
	if err != nil {
		err = onem2m.Errorf(onem2m.StatusBadRequest, "CBOR: %v", err)
		text = nil
	}
	prim, err2 := onem2m.ParsePrimitive(text)
	if err == nil {
		err = err2
	}
	req := prim.Request
	if req == nil {
		req = &onem2m.Request{RequestID: prim.Response.RequestID}
		err = onem2m.Errorf(onem2m.StatusBadRequest, "want a request primitive: this is a response")
	}
	if err == nil {
		if err = c.session.agree(t, req); err != nil {
			c.denied(binding.NotOriginator, binding.Doing(req.Operation), req.From, req.To)
		}
	}
	if err != nil {
		c.respond(t, req, prim.Wrapped, refusal(err))
		c.settle(p, result{})
		return
	}
	c.ask(pk, p, t, req, prim.Wrapped)
}

// denied tells of a refusal that the handler knows nothing of.
func (c *conn) denied(why binding.Reason, doing, from, to string) {
	binding.Denied(c.broker.o.Handler, c.evidence, binding.Denial{Reason: why, Doing: doing, From: from, To: to})
}

// ask hands a request on. The PUBLISH of a write is acknowledged when it is committed; what may take as long as it
// likes, such as a request to a polling channel, holds no acknowledgement of later messages back.
func (c *conn) ask(pk *packets.Packet, p *publication, t *oneM2MTopic, req *onem2m.Request, wrapped bool) {
	req.SourceIP = c.ip
	from := req.From
	write := req.Operation == onem2m.Create || req.Operation == onem2m.Update || req.Operation == onem2m.Delete
	if req.Operation == onem2m.Create {
		req.Delivery = p.delivery
	}
	silent := req.ResponseType == onem2m.ResponseTypeNone
	held := 0
	if !write {
		held, p.size = p.size, 0
		c.mu.Lock()
		c.asking++
		c.pendingBytes -= held
		c.mu.Unlock()
		c.settle(p, result{})
	}
	done := func(resp *onem2m.Response) {
		if !silent || !resp.Status.Success() {
			answer := *resp
			if answer.To == "" {
				answer.To = from
			}
			c.respond(t, req, wrapped, &answer)
		}
		if write {
			p.recorded = req.Delivery != nil && resp.Status.Success()
			c.settle(p, result{})
			return
		}
		c.memory.release(held)
		c.mu.Lock()
		c.asking--
		c.mu.Unlock()
		c.signalRoom()
	}
	ctx := c.broker.ctx
	if !write {
		ctx = c.present() // nobody is there to take what a polling channel would give
	}
	c.start(ctx, req, done)
}

// present returns a context that ends with the connection. It is made with the first request that needs it: many
// connections have none.
func (c *conn) present() context.Context {
	if c.stay == nil {
		c.stay, c.left = context.WithCancel(c.broker.ctx)
	}
	return c.stay
}

// start hands a request to the handler. Readings keep their order if the handler can keep it.
func (c *conn) start(ctx context.Context, req *onem2m.Request, done func(*onem2m.Response)) {
	if s, ok := c.broker.o.Handler.(binding.Starter); ok {
		s.Start(ctx, req, c.evidence, done)
		return
	}
	go func() { done(c.broker.o.Handler.Do(ctx, req, c.evidence)) }()
}

// respond publishes a response in the format of the request (TS-0010 clause 6.4.3).
func (c *conn) respond(t *oneM2MTopic, req *onem2m.Request, wrapped bool, resp *onem2m.Response) {
	rt := *t
	rt.kind = kindResponse
	if t.kind == kindRegistrationRequest {
		rt.kind = kindRegistrationResponse
	}
	resp.RequestID, resp.ReleaseVersion = req.RequestID, req.ReleaseVersion
	if resp.From == "" {
		resp.From = c.broker.o.CSEID
	}
	payload := onem2m.Primitive{Response: resp, Wrapped: wrapped}.Append(nil)
	if t.cbor {
		var err error
		if payload, err = onem2m.JSONToCBOR(payload); err != nil {
			c.broker.o.Log.Error("encode a response as CBOR", "request", req.RequestID, "error", err)
			return
		}
	}
	owner := c.session.owner
	c.broker.deliver(rt.String(), payload, func(s *session) bool {
		return (s.owner == owner || s.isAnyone()) && s.entitled(&rt)
	})
}

// refusal is the response to what is no request.
func refusal(err error) *onem2m.Response {
	status, why := onem2m.StatusBadRequest, err.Error()
	var e *onem2m.Error
	if errors.As(err, &e) {
		status, why = e.Status, e.Message
	}
	return &onem2m.Response{Status: status, Content: append(onem2m.AppendQuote([]byte(`{"m2m:dbg":`), why), '}')}
}

// mayPublish says whether the session's client may publish on a topic (TS-0010 clause 7.4): requests to this CSE as
// itself, and responses to this CSE's requests to it.
func (s *session) mayPublish(t *oneM2MTopic) packets.Code {
	o := &s.broker.o
	here := func(id string) bool { return id == topicID(o.CSEID) || id == o.CSEName }
	own, cse := t.originator, t.receiver
	if t.kind == kindResponse {
		own, cse = cse, own
	}
	switch {
	case t.kind == kindRegistrationResponse:
		return codeNotAuthorized
	case !here(cse):
		return packets.ErrTopicNameInvalid
	case s.isAnyone() || s.is(own) || t.kind == kindRegistrationRequest && own == topicID(s.client):
		return refusalNone
	default:
		return codeNotAuthorized
	}
}

// agree checks that the originator in the topic is the one in the primitive: whoever the topic lets send must not speak
// for another. A registration names a credential in the topic instead.
func (s *session) agree(t *oneM2MTopic, req *onem2m.Request) error {
	if t.kind == kindRegistrationRequest || req.From == "" {
		return nil
	}
	prefix := topicID(s.broker.o.CSEID) + ":"
	from := topicID(req.From)
	if from == t.originator || prefix+from == t.originator || from == prefix+t.originator {
		return nil
	}
	return &onem2m.Error{
		Status:  onem2m.StatusOriginatorHasNoPrivilege,
		Message: fmt.Sprintf("the originator %q is not the one of the topic, %q", req.From, t.originator),
	}
}
