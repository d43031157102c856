package mqttbinding

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/internal/binding"
)

// sessionKey names a session. Client identifiers are each originator's own: nobody can take over, or keep from
// connecting, the client of another.
type sessionKey struct{ owner, client string }

// session is the state that a client has with the broker (MQTT 5.0 clause 4.1). It may outlive its connections, and
// the process.
type session struct {
	broker *Broker
	owner  string
	client string

	mu       sync.Mutex
	conn     *conn // nil while the client is away
	taken    bool  // somebody is about to attach, or to end what the last connection began
	evidence binding.Evidence
	anyone   bool
	expiry   time.Duration
	since    time.Time // when the client went away
	gone     bool      // not the broker's any more
	stored   bool      // it has a file
	// goodbyes counts the connections that the client ended with DISCONNECT when all its publishes were acknowledged: it
	// will not send them again.
	goodbyes uint64

	// epoch tells the session from others of the same client before and after it.
	epoch uint64
	uses  uses

	subs map[string]*subscription // by filter as the client wrote it
	in   map[uint16]*inbound      // publishes of QoS 1 and 2 by packet identifier

	outbox
	rights rights
	late   *lateWill
}

// subscription is one topic filter of a session.
type subscription struct {
	session *session
	text    string
	filter  filter
	options packets.Subscription
	from    uint64 // log index: what is older was committed before the client subscribed
}

func (s *session) key() sessionKey { return sessionKey{s.owner, s.client} }

// attach gives a connection its session: the one that waits for the client, or a new one. A connection that the client
// has besides is ended first.
func (b *Broker) attach(c *conn, cl *client) (s *session, present bool, err error) {
	key := sessionKey{cl.owner, cl.id}
	for {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return nil, false, codeShuttingDown
		}
		s = b.sessions[key]
		if s == nil {
			if len(b.sessions) >= b.o.MaxSessions {
				b.mu.Unlock()
				return nil, false, codeQuota
			}
			s = &session{broker: b, owner: cl.owner, client: cl.id, taken: true, epoch: newEpoch()}
			s.uses.known = true
			b.sessions[key] = s
			b.mu.Unlock()
			break
		}
		s.mu.Lock()
		old, busy := s.conn, s.taken
		if old == nil && !busy {
			s.taken = true
			b.leftAway(s)
			s.mu.Unlock()
			b.mu.Unlock()
			if !cl.clean {
				present = true
				break
			}
			s.fireLate() // the session ends (MQTT 5.0 clause 3.1.2.5)
			b.discard(s)
			continue
		}
		s.mu.Unlock()
		b.mu.Unlock()
		if old == nil { // another connection of the same client is a moment ahead
			time.Sleep(time.Millisecond)
			continue
		}
		old.disconnect(codeTakenOver) // [MQTT-3.1.4-3]
		<-old.ended
	}
	s.mu.Lock()
	s.conn, s.taken = c, false
	s.again = len(s.sent) // what was not acknowledged is sent again (MQTT 5.0 clause 4.4)
	s.evidence, s.anyone, s.expiry = cl.evidence, cl.anyone, cl.expiry
	s.rights.forget()
	s.stopWill()
	b.moved.Add(1)
	s.mu.Unlock()
	c.session = s
	if err := b.store.save(s); err != nil {
		b.discard(s)
		close(c.ended)
		return nil, false, err
	}
	return s, present, nil
}

// leave ends a connection's part in its session.
func (c *conn) leave(goodbye bool) {
	b, s := c.broker, c.session
	c.mu.Lock()
	will := c.will
	c.will = nil
	c.ending = true
	verdict := c.sending.final()
	c.mu.Unlock()
	if goodbye {
		will = nil // [MQTT-3.14.4-3]
	}
	b.mu.Lock()
	s.mu.Lock()
	s.conn, s.since = nil, time.Now()
	s.taken = true // until all is done that is to be done before the client is back
	b.moved.Add(1)
	lasts := s.expiry > 0 && !b.blame.condemned(s.key())
	if lasts {
		b.away[s.owner]++
	}
	crowded := lasts && b.away[s.owner] > maxAway
	s.uses.ended(verdict)
	s.park()
	s.rights.forget()
	s.mu.Unlock()
	b.mu.Unlock()
	if will != nil && b.ctx.Err() == nil {
		s.fire(will, c.ip, lasts)
	}
	if lasts {
		s.mu.Lock()
		s.taken = false
		s.mu.Unlock()
	} else {
		b.discard(s)
	}
	if crowded {
		b.discardOldest(s.owner)
	}
	close(c.ended)
}

// leftAway counts a session out of those that wait. b.mu is held.
func (b *Broker) leftAway(s *session) {
	if b.away[s.owner]--; b.away[s.owner] <= 0 {
		delete(b.away, s.owner)
	}
}

// over says whether a session's client stayed away too long.
func (s *session) over(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn == nil && !s.taken && !s.gone && now.Sub(s.since) > s.expiry
}

// setExpiry changes how long the session waits for its client. It is false when DISCONNECT may not set that.
func (s *session) setExpiry(d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expiry == 0 && d > 0 {
		return false
	}
	s.expiry = min(d, maxExpiry)
	return true
}

// discard removes a session that nobody else can have got hold of.
func (b *Broker) discard(s *session) {
	b.unsubscribeAll(s)
	s.mu.Lock()
	s.gone = true
	s.conn = nil
	s.stopWill()
	s.mu.Unlock()
	b.mu.Lock()
	if b.sessions[s.key()] == s {
		delete(b.sessions, s.key())
	}
	b.mu.Unlock()
	b.store.remove(s)
}

// discardIfOver removes a session whose time is over, unless its client comes back at this moment.
func (b *Broker) discardIfOver(s *session, now time.Time) {
	b.mu.Lock()
	over := s.over(now)
	if over {
		b.leftAway(s)
		s.mu.Lock()
		s.taken = true
		s.mu.Unlock()
	}
	b.mu.Unlock()
	if over {
		s.fireLate()
		b.discard(s)
	}
}

// discardOldest removes the session of an originator whose client has been away longest.
func (b *Broker) discardOldest(owner string) {
	b.mu.Lock()
	var oldest *session
	for _, s := range b.sessions {
		if s.owner != owner {
			continue
		}
		s.mu.Lock()
		waits, since := s.conn == nil && !s.taken && !s.gone, s.since
		s.mu.Unlock()
		if waits && (oldest == nil || since.Before(oldest.since)) {
			oldest = s
		}
	}
	if oldest != nil {
		b.leftAway(oldest)
		oldest.mu.Lock()
		oldest.taken = true
		oldest.mu.Unlock()
	}
	b.mu.Unlock()
	if oldest != nil {
		oldest.fireLate()
		b.discard(oldest)
	}
}

// subscriptions returns the session's subscriptions, ordered by filter.
func (s *session) subscriptions() []*subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*subscription, 0, len(s.subs))
	for _, text := range slices.Sorted(maps.Keys(s.subs)) {
		all = append(all, s.subs[text])
	}
	return all
}

func (b *Broker) unsubscribeAll(s *session) {
	all := s.subscriptions()
	b.subs.Lock()
	for _, sub := range all {
		b.trie.remove(sub)
	}
	b.subs.Unlock()
	s.mu.Lock()
	s.subs = nil
	s.mu.Unlock()
}
