package mqttbinding

import (
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/internal/binding"
)

// will is what is published for a client that goes without a goodbye (MQTT 5.0 clause 3.1.2.5). It is a publish like
// any other, by the client, with the rights that it has when it is published.
type will struct {
	path      string
	payload   []byte
	mediaType string
	retain    bool
	delay     time.Duration
}

// newWill reads the will of a CONNECT. Only topics of plain devices can have one.
func newWill(pk *packets.Packet) (*will, packets.Code) {
	p := &pk.Connect
	path, ok := pathOf(p.WillTopic)
	if checkTopic(p.WillTopic) != nil || !ok {
		return nil, packets.ErrTopicNameInvalid
	}
	return &will{
		path: path, payload: p.WillPayload, mediaType: p.WillProperties.ContentType, retain: p.WillRetain,
		delay: min(expiry(p.WillProperties.WillDelayInterval), maxExpiry),
	}, refusalNone
}

// lateWill is a will whose time has not come.
type lateWill struct {
	fire  func()
	timer *time.Timer
}

// fire publishes a will: at once, or, when the session lasts, after its delay unless the client is back by then.
func (s *session) fire(w *will, ip string, lasts bool) {
	publish := func() { s.publishWill(w, ip) }
	if !lasts || w.delay == 0 {
		s.broker.running.Go(publish)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil || s.gone {
		return
	}
	late := &lateWill{fire: publish}
	late.timer = time.AfterFunc(min(w.delay, s.expiry), s.fireLate)
	s.late = late
}

// fireLate publishes the will that waits, if one does.
func (s *session) fireLate() {
	s.mu.Lock()
	late := s.late
	s.late = nil
	s.mu.Unlock()
	if late != nil {
		late.timer.Stop()
		late.fire()
	}
}

// stopWill forgets the will that waits. s.mu is held.
func (s *session) stopWill() {
	if s.late != nil {
		s.late.timer.Stop()
		s.late = nil
	}
}

func (s *session) publishWill(w *will, ip string) {
	b := s.broker
	if b.ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	ev := s.evidence
	s.mu.Unlock()
	if w.retain && len(w.payload) == 0 {
		resp := b.o.Handler.Do(b.ctx, clearing(w.path, s.owner, ip), ev)
		b.cleared(w.path, resp)
		return
	}
	m := &binding.Message{Path: w.path, MediaType: w.mediaType, Body: w.payload, From: s.owner, SourceIP: ip}
	resp := b.o.Plain.Ingest(b.ctx, m, ev)
	if !resp.Status.Success() {
		b.o.Log.Debug("the will of an MQTT client was refused", "client", s.client, "originator", s.owner, "status", int(resp.Status))
		return
	}
	if w.retain {
		b.retain.note(w.path, resp)
		b.moved.Add(1)
	}
}
