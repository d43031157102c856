package mqttbinding

import (
	"net"
	"slices"

	"github.com/mochi-mqtt/server/v2/packets"
)

// message is what subscribers get. It is shared and not changed.
type message struct {
	topic     string
	payload   []byte
	mediaType string
	// Of a reading: its container, for which the subscriber needs the right to read, and its place in the log.
	container string
	index     uint64
	reading   bool
}

// outgoing is a message for one session.
type outgoing struct {
	*message
	qos    byte // as granted: 0 or 1
	retain bool
	shared bool
	ids    []int  // subscription identifiers
	id     uint16 // packet identifier once it was sent with QoS 1
}

// outbox is what one session still has to get. Messages leave it in the order of the log. What the session has no room
// for, or is not there to take, is read from the log again from cursor on. The session's lock guards it.
type outbox struct {
	queue     []*outgoing
	bytes     int
	sent      []*outgoing // QoS 1, not acknowledged, oldest first
	sentBytes int
	again     int // how many of sent are to be sent once more, after the client came back
	lastID    uint16

	visit   int    // counts the connections
	behind  bool   // readings from cursor on are not in the queue
	cursor  uint64 // meaningful while behind
	seen    uint64 // log index after the last reading that was queued
	reading bool   // a goroutine catches up
}

// fits says whether a message has room. One that is larger than all the room has it alone. s.mu is held.
func (o *outbox) fits(m *message) bool {
	return len(o.queue) == 0 || len(o.queue) < maxQueue && o.bytes+len(m.payload) <= maxQueueBytes
}

// offer queues a message that is no reading for the session. It is false when the session has no room for it, or will
// never come back for it.
func (s *session) offer(m *outgoing) bool {
	s.mu.Lock()
	if s.gone || !s.fits(m.message) || s.conn == nil && m.qos == 0 {
		s.mu.Unlock()
		return false
	}
	s.push(m)
	c := s.conn
	s.mu.Unlock()
	c.wake()
	return true
}

// offerReading queues a reading that the feed has come to. One that the session has no room for it gets later.
func (s *session) offerReading(m *outgoing) {
	s.mu.Lock()
	if s.behind || s.gone || m.index < s.seen {
		s.mu.Unlock()
		return
	}
	if !s.fits(m.message) {
		if m.qos > 0 && !m.shared {
			s.behind, s.cursor = true, m.index
		}
		s.mu.Unlock()
		return
	}
	s.push(m)
	s.seen = m.index + 1
	c := s.conn
	s.mu.Unlock()
	c.wake()
}

// push appends to the queue. s.mu is held.
func (s *session) push(m *outgoing) {
	s.queue = append(s.queue, m)
	s.bytes += len(m.payload)
}

// park notes where the session has come to when its client leaves. Of the queue only what is not in the log waits there,
// or would not be read from there again, but for messages of QoS 0. s.mu is held.
func (s *session) park() {
	s.visit++
	if !s.behind {
		s.behind, s.cursor = true, max(s.broker.feed.position.Load(), s.seen)
	}
	s.queue = slices.DeleteFunc(s.queue, func(m *outgoing) bool {
		again := m.reading && m.qos > 0 && !m.retain && !m.shared
		if again {
			s.cursor = min(s.cursor, m.index)
		}
		return again || m.qos == 0
	})
	s.queue = slices.Clip(s.queue)
	s.bytes = 0
	for _, m := range s.queue {
		s.bytes += len(m.payload)
	}
}

// position is where to read the log from if all that is in memory is lost: at the oldest reading that the client has
// not acknowledged.
func (s *session) position() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.cursor
	if !s.behind {
		at = max(s.broker.feed.position.Load(), s.seen)
	}
	for _, list := range [][]*outgoing{s.sent, s.queue} {
		for _, m := range list {
			if m.reading && m.qos > 0 && !m.retain {
				at = min(at, m.index)
			}
		}
	}
	return at
}

// wake starts the writer of a connection that may have something to write. c may be nil.
func (c *conn) wake() {
	if c == nil {
		return
	}
	c.mu.Lock()
	if c.accepted && !c.ending {
		c.kick()
	}
	c.mu.Unlock()
}

// waiting says whether next has something for the client.
func (s *session) waiting(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn == c && s.ready(c)
}

// ready says whether there is a message that may be sent: the client takes only so many that it has not acknowledged
// [MQTT-3.3.4-9]. s.mu is held.
func (s *session) ready(c *conn) bool {
	switch {
	case s.again > 0:
		return len(s.sent)-s.again < c.window
	case len(s.queue) == 0:
		return false
	case s.queue[0].qos == 0 || len(s.sent) == 0:
		return true
	}
	return len(s.sent) < c.window && s.sentBytes+len(s.queue[0].payload) <= maxSentBytes
}

// burst bounds what next returns at a time, in bytes.
const burst = 64 << 10

// next takes messages for the client out of the queue and encodes them. It asks for the right to read every reading
// now: a right that was revoked while it waited stops it.
func (s *session) next(c *conn) (out net.Buffers) {
	for size := 0; size < burst; {
		m, dup := s.take(c)
		if m == nil {
			break
		}
		if m.reading && !s.mayRead(m.container, c.ip) {
			s.drop(m)
			continue
		}
		b := m.encode(c, dup)
		if b == nil {
			s.drop(m)
			continue
		}
		out = append(out, b)
		size += len(b)
	}
	s.catchUp()
	return out
}

// take returns the next message to send. One of QoS 1 has its packet identifier and is in sent.
func (s *session) take(c *conn) (m *outgoing, dup bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c || !s.ready(c) {
		return nil, false
	}
	if s.again > 0 {
		m = s.sent[len(s.sent)-s.again]
		s.again--
		return m, true
	}
	m = s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	if len(s.queue) == 0 {
		s.queue = nil
	}
	s.bytes -= len(m.payload)
	if m.qos > 0 {
		m.id = s.freeID()
		s.sent = append(s.sent, m)
		s.sentBytes += len(m.payload)
	}
	return m, false
}

// freeID returns a packet identifier that no message in sent has. s.mu is held.
func (s *session) freeID() uint16 {
	for {
		s.lastID++
		if s.lastID != 0 && !slices.ContainsFunc(s.sent, func(m *outgoing) bool { return m.id == s.lastID }) {
			return s.lastID
		}
	}
}

// drop forgets a message that is not to be sent after all.
func (s *session) drop(m *outgoing) {
	if m.qos > 0 {
		s.forget(m.id)
	}
}

// forget removes a message from sent.
func (s *session) forget(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.sent, func(m *outgoing) bool { return m.id == id })
	if i < 0 {
		return false
	}
	if i >= len(s.sent)-s.again {
		s.again--
	}
	s.sentBytes -= len(s.sent[i].payload)
	s.sent = slices.Delete(s.sent, i, i+1)
	s.broker.moved.Add(1)
	return true
}

// acknowledged handles PUBACK.
func (s *session) acknowledged(c *conn, id uint16) {
	if s.forget(id) {
		c.wake()
	}
}

// encode writes the message as a PUBLISH for a connection; nil when it is larger than the client takes, who then never
// gets it [MQTT-3.1.2-25].
func (m *outgoing) encode(c *conn, dup bool) []byte {
	pk := &packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: m.qos, Dup: dup, Retain: m.retain},
		TopicName:   m.topic, Payload: m.payload, PacketID: m.id,
	}
	pk.Properties.ContentType, pk.Properties.SubscriptionIdentifier = m.mediaType, m.ids
	b, err := encode(pk, c.version)
	if err != nil || c.maxPacket > 0 && len(b) > c.maxPacket {
		return nil
	}
	return b
}

// catchUp reads what the session has missed, in the background, when its client is there and has room.
func (s *session) catchUp() {
	s.mu.Lock()
	start := !s.reading && s.hungry()
	s.reading = s.reading || start
	s.mu.Unlock()
	if start {
		s.broker.background(func() { s.broker.feed.catchUp(s) })
	}
}

// hungry says whether the session has missed readings and room for any reading. s.mu is held.
func (s *session) hungry() bool {
	return s.behind && s.conn != nil && !s.gone && len(s.queue) <= maxQueue/2 && s.bytes <= maxQueueBytes/2
}

// goOn says whether catching up may go on now. When it is false next starts it again.
func (s *session) goOn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = s.hungry()
	return s.reading
}

// matched merges a session's subscriptions that match one message (MQTT 5.0 clause 3.3.4).
type matched struct {
	session *session
	qos     byte
	shared  bool
	ids     []int
}

func (m *matched) add(sub *subscription) {
	m.qos = max(m.qos, min(sub.options.Qos, 1))
	if id := sub.options.Identifier; id > 0 {
		m.ids = append(m.ids, id)
	}
}
