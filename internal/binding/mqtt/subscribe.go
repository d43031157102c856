package mqttbinding

import (
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/internal/binding"
)

// subscribe handles SUBSCRIBE (MQTT 5.0 clause 3.8). QoS 1 is the most that is granted.
func (c *conn) subscribe(pk *packets.Packet) error {
	s := c.session
	codes := make([]byte, len(pk.Filters))
	var fresh []*subscription
	changed := false
	for i, o := range pk.Filters {
		if o.Qos > 2 || o.RetainHandling > 2 {
			return packets.ErrProtocolViolation // [MQTT-3.8.3-4], [MQTT-3.8.3-5]
		}
		o.Filter = strings.Clone(o.Filter) // it shares the packet's memory
		f, err := parseFilter(o.Filter)
		switch {
		case err != nil:
			codes[i] = packets.ErrTopicFilterInvalid.Code
		case f.group != "" && o.NoLocal:
			return packets.ErrProtocolViolationInvalidSharedNoLocal // [MQTT-3.8.3-4]
		case !s.maySubscribe(&f, c.ip):
			c.denied(binding.NoPrivilege, "subscribe", s.owner, o.Filter)
			codes[i] = codeNotAuthorized.Code
		default:
			o.Qos = min(o.Qos, 1)
			sub := &subscription{session: s, text: o.Filter, filter: f, options: o, from: c.broker.o.Live.Head()}
			fits, existed := s.keep(sub)
			if !fits {
				codes[i] = codeQuota.Code
				break
			}
			codes[i], changed = o.Qos, true
			if f.group == "" && (o.RetainHandling == 0 || o.RetainHandling == 1 && !existed) { // [MQTT-3.3.1-9] to -11
				fresh = append(fresh, sub)
			}
		}
		if c.version < version5 && codes[i] > 2 {
			codes[i] = packets.ErrUnspecifiedError.Code // MQTT 3.1.1 clause 3.9.3
		}
	}
	if changed {
		if err := c.broker.store.save(s); err != nil {
			c.broker.o.Log.Warn("keep the subscriptions of an MQTT session", "error", err)
			return packets.ErrServerUnavailable
		}
	}
	ack := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Suback}, PacketID: pk.PacketID, ReasonCodes: codes}
	b, err := encode(ack, c.version)
	if err != nil {
		return err
	}
	c.write(b)
	for _, sub := range fresh {
		c.sendRetained(sub)
	}
	return nil
}

// keep adds a subscription to the session, in place of one with the same filter [MQTT-3.8.4-3].
func (s *session) keep(sub *subscription) (fits, existed bool) {
	b := s.broker
	s.mu.Lock()
	old := s.subs[sub.text]
	levels := len(sub.filter.levels)
	for _, other := range s.subs {
		levels += len(other.filter.levels)
	}
	if old == nil && (len(s.subs) >= maxSubscriptions || levels > maxSubLevels) {
		s.mu.Unlock()
		return false, false
	}
	if old != nil {
		sub.from = old.from
	}
	if s.subs == nil {
		s.subs = make(map[string]*subscription)
	}
	s.subs[sub.text] = sub
	s.mu.Unlock()
	b.subs.Lock()
	if old != nil {
		b.trie.remove(old)
	}
	b.trie.add(sub)
	b.subs.Unlock()
	return true, old != nil
}

// unsubscribe handles UNSUBSCRIBE (MQTT 5.0 clause 3.10).
func (c *conn) unsubscribe(pk *packets.Packet) error {
	s := c.session
	codes := make([]byte, len(pk.Filters))
	for i, o := range pk.Filters {
		s.mu.Lock()
		old := s.subs[o.Filter]
		delete(s.subs, o.Filter)
		s.mu.Unlock()
		if old == nil {
			codes[i] = packets.CodeNoSubscriptionExisted.Code
			continue
		}
		c.broker.subs.Lock()
		c.broker.trie.remove(old)
		c.broker.subs.Unlock()
	}
	if err := c.broker.store.save(s); err != nil {
		c.broker.o.Log.Warn("keep the subscriptions of an MQTT session", "error", err)
		return packets.ErrServerUnavailable
	}
	ack := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsuback}, PacketID: pk.PacketID, ReasonCodes: codes}
	if c.version < version5 {
		ack.ReasonCodes = nil
	}
	b, err := encode(ack, c.version)
	if err != nil {
		return err
	}
	c.write(b)
	return nil
}
