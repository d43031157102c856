package mqttbinding

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash/maphash"
	"io"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// publicationCost is the memory that a publish takes besides its bytes.
const publicationCost = 512

// publication is a PUBLISH of a client that is not answered yet. The connection's lock guards it.
type publication struct {
	id     uint16
	qos    byte
	size   int
	done   bool
	result result
	in     *inbound // of QoS 1 and 2
	// delivery names it for the ledger; recorded says that this has taken note of it.
	delivery *onem2m.Delivery
	recorded bool
}

// result is what became of a publish: a reason code, and the reason.
type result struct {
	code packets.Code
	// unknown says that the message may have been committed all the same.
	unknown bool
	// passing says that the same message may be taken later: the refusal was no judgement of it.
	passing bool
}

// inbound is what a session knows of a publish of QoS 1 or 2 under one packet identifier. It outlives connections: a
// client that comes back while its message is on its way to a block, and sends it again, waits for the same block.
type inbound struct {
	hash    uint64 // of topic and payload
	conn    *conn  // that it came by first
	result  result
	done    chan struct{} // closed when result is set
	settled bool          // QoS 2: PUBREC was sent, PUBREL is awaited
}

// reserve waits until n bytes of another publish have room.
func (c *conn) reserve(n int) error {
	for {
		c.mu.Lock()
		full := len(c.pending) >= maxInFlight || c.asking >= maxAsking || c.pendingBytes+n > maxInFlightBytes && len(c.pending) > 0
		closed := c.closed || c.ending
		c.mu.Unlock()
		if closed {
			return packets.ErrServerShuttingDown // nobody is told: the connection has ended
		}
		if !full {
			break
		}
		select {
		case <-c.room:
		case <-c.broker.ctx.Done():
			return c.broker.ctx.Err()
		}
	}
	return c.memory.take(c.broker.ctx, n)
}

// publish handles PUBLISH. It returns when the message has its place among all others: what the same client sends later
// comes after it.
func (c *conn) publish(pk *packets.Packet, reserved int) error {
	topic, err := c.topic(pk)
	if err != nil {
		c.memory.release(reserved)
		return err
	}
	p := &publication{id: pk.PacketID, qos: pk.FixedHeader.Qos, size: reserved}
	state := fresh
	if p.qos > 0 {
		p.in, state = c.session.receive(p.id, sameness(topic, pk.Payload))
		if state == fresh || state == again && pk.FixedHeader.Dup {
			if p.delivery, err = c.delivery(pk, p.id, topic); err != nil {
				c.broker.o.Log.Warn("read what is remembered of an MQTT session", "error", err)
				c.memory.release(reserved)
				return packets.ErrServerBusy
			}
		}
	}
	if state == tooMany {
		c.memory.release(reserved)
		return packets.ErrReceiveMaximum // MQTT 5.0 clause 3.3.4
	}
	c.mu.Lock()
	c.pending = append(c.pending, p)
	c.pendingBytes += p.size
	c.mu.Unlock()
	switch state {
	case inUse:
		c.settle(p, result{code: packets.ErrPacketIdentifierInUse})
	case again:
		go func() {
			select {
			case <-p.in.done:
				c.settle(p, p.in.result)
			case <-c.broker.ctx.Done():
			}
		}()
	default:
		c.route(pk, p, topic)
	}
	return nil
}

// topic resolves a topic alias (MQTT 5.0 clause 3.3.2.3.4).
func (c *conn) topic(pk *packets.Packet) (string, error) {
	topic := pk.TopicName
	if a := pk.Properties.TopicAlias; pk.Properties.TopicAliasFlag {
		if topic == "" {
			topic = c.aliases[a]
		} else {
			c.aliases[a] = ""
			if len(topic) <= maxTopic {
				c.aliases[a] = strings.Clone(topic) // the packet's name shares the packet's memory
			}
		}
		if topic == "" {
			return "", packets.ErrProtocolViolationNoTopic
		}
	}
	return topic, nil
}

// route hands a message on by its topic.
func (c *conn) route(pk *packets.Packet, p *publication, topic string) {
	if checkTopic(topic) != nil {
		c.settle(p, result{code: packets.ErrTopicNameInvalid})
		return
	}
	if t, ok := parseOneM2M(topic); ok {
		c.primitive(pk, p, &t)
		return
	}
	path, ok := pathOf(topic)
	if !ok {
		c.settle(p, result{code: packets.ErrTopicNameInvalid})
		return
	}
	if pk.FixedHeader.Retain && len(pk.Payload) == 0 {
		c.clearRetained(pk, p, path)
		return
	}
	m := &binding.Message{
		Path: path, MediaType: pk.Properties.ContentType, Body: pk.Payload, From: c.session.owner, SourceIP: c.ip,
		Delivery: p.delivery,
	}
	retain := pk.FixedHeader.Retain
	c.ingest(m, func(resp *onem2m.Response) {
		if retain && resp.Status.Success() {
			c.broker.retain.note(path, resp)
			c.broker.moved.Add(1)
		}
		p.recorded = resp.Status.Success()
		c.settle(p, outcome(resp))
	})
}

// ingest stores a message of a plain device.
func (c *conn) ingest(m *binding.Message, done func(*onem2m.Response)) {
	b := c.broker
	if s, ok := b.o.Plain.(binding.PlainStarter); ok {
		s.Start(b.ctx, m, c.evidence, done)
		return
	}
	done(b.o.Plain.Ingest(b.ctx, m, c.evidence))
}

// delivery names the message for the ledger, when the client will send it again under the same packet identifier
// should it not be acknowledged.
func (c *conn) delivery(pk *packets.Packet, id uint16, topic string) (*onem2m.Delivery, error) {
	s := c.session
	goodbyes, lasts := s.delivers()
	if !lasts {
		return nil, nil
	}
	d := &onem2m.Delivery{Session: s.name(), ID: id, Message: messageHash(goodbyes, id, topic, pk.Payload), Window: maxInFlight}
	if c.version < version5 {
		d.Window = onem2m.MaxDeliveries // such a client is not told how many it may have under way
	}
	// Only the goroutine of the session's connection comes here.
	if b := c.broker; !s.uses.known {
		var before []onem2m.Delivery
		if b.o.Remembered != nil {
			var err error
			if before, err = b.o.Remembered(s.owner, d.Session, maxUses); err != nil {
				return nil, err
			}
		}
		s.mu.Lock()
		s.uses.remember(before)
		s.mu.Unlock()
	}
	s.mu.Lock()
	window := s.uses.receive(id, d.Message, pk.FixedHeader.Dup, uint32(s.visit), int(d.Window))
	s.mu.Unlock()
	if window > 0 {
		d.Window, d.Again = uint16(window), true
	}
	return d, nil
}

// sameness tells messages under one packet identifier apart, in this process.
func sameness(topic string, payload []byte) uint64 {
	return maphash.String(samenessSeed, topic) ^ maphash.Bytes(samenessSeed, payload)<<1
}

var samenessSeed = maphash.MakeSeed()

// name names the session for the ledger.
func (s *session) name() (name [8]byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], s.epoch)
	sum := sha256.Sum256(append(n[:], s.client...))
	copy(name[:], sum[:])
	return name
}

// newEpoch tells the sessions of one client apart.
func newEpoch() uint64 {
	var n [8]byte
	rand.Read(n[:])
	return binary.BigEndian.Uint64(n[:])
}

// messageHash names a message of a session. Packet identifiers are used again; goodbyes keeps a message apart from one
// that the same client sent under the same identifier before it said goodbye.
func messageHash(goodbyes uint64, id uint16, topic string, payload []byte) (h [8]byte) {
	d := sha256.New()
	var n [14]byte
	binary.BigEndian.PutUint64(n[:], goodbyes)
	binary.BigEndian.PutUint16(n[8:], id)
	binary.BigEndian.PutUint32(n[10:], uint32(len(topic)))
	d.Write(n[:])
	io.WriteString(d, topic)
	d.Write(payload)
	sum := d.Sum(nil)
	copy(h[:], sum)
	return h
}

// lasts says whether the session outlives its connection.
func (s *session) lasts() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expiry > 0
}

// delivers says whether the session outlives its connection, and how often the client has said goodbye.
func (s *session) delivers() (goodbyes uint64, lasts bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goodbyes, s.expiry > 0
}

// The states of a packet identifier when a PUBLISH comes with it.
type inState int

const (
	fresh inState = iota
	again         // the same message is under way, or was taken and waits for PUBREL
	inUse
	tooMany // the client has more under way than it may
)

// receive notes a publish of QoS 1 or 2 under its packet identifier.
func (s *session) receive(id uint16, hash uint64) (*inbound, inState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in := s.in[id]; in != nil {
		switch {
		case in.hash == hash:
			return in, again // [MQTT-4.3.3-10] for QoS 2
		case in.conn == s.conn || in.settled:
			return nil, inUse
		}
		// The client came back and forgot the message: it may use the identifier for another.
	} else if len(s.in) >= 2*maxInFlight {
		return nil, tooMany
	}
	if s.in == nil {
		s.in = make(map[uint16]*inbound)
	}
	in := &inbound{hash: hash, conn: s.conn, done: make(chan struct{})}
	s.in[id] = in
	return in, fresh
}

// settle notes what became of a publish, and sends the acknowledgements that are due: in the order of the publishes
// [MQTT-4.6.0-2].
func (c *conn) settle(p *publication, r result) {
	s := c.session
	if p.in != nil {
		s.mu.Lock()
		select {
		case <-p.in.done:
		default:
			p.in.result = r
			close(p.in.done)
		}
		s.mu.Unlock()
	}
	c.memory.release(p.size)
	c.mu.Lock()
	p.done, p.result = true, r
	for len(c.pending) > 0 && c.pending[0].done {
		head := c.pending[0]
		c.pending[0] = nil
		c.pending = c.pending[1:]
		c.pendingBytes -= head.size
		if head.qos > 0 {
			c.acknowledge(head)
		}
	}
	c.mu.Unlock()
	c.signalRoom()
}

// signalRoom wakes the reader that waits in reserve.
func (c *conn) signalRoom() {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

// acknowledge answers a publish of QoS 1 or 2. c.mu is held.
func (c *conn) acknowledge(p *publication) {
	s, r := c.session, p.result
	dead := c.closed || c.ending
	s.mu.Lock()
	if p.in != nil && s.in[p.id] == p.in {
		switch {
		case r.code.Code == 0 && dead: // the client will send it again and be told then
		case r.code.Code == 0 && p.qos == 2:
			p.in.settled = true
		default:
			delete(s.in, p.id)
		}
	}
	if p.in != nil && (r.code.Code != 0 || !dead) {
		s.uses.answered(p, uint32(s.visit))
	}
	s.mu.Unlock()
	if dead {
		return
	}
	if r.code.Code != 0 && c.version < version5 {
		c.refusePublish(r)
		return
	}
	typ := packets.Puback
	if p.qos == 2 {
		typ = packets.Pubrec
	}
	why := r.code.Reason
	if c.noReasons {
		why = ""
	}
	c.sending.acks++
	c.append(c.withReason(func(why string) []byte { return encodeAck(typ, p.id, r.code.Code, why, c.version) }, why))
	c.kick()
}

// refusePublish ends the connection of a client of MQTT 3.1.1, which has no other way to refuse a publish
// [MQTT-3.3.5-2]. If the refusal is final, the session ends too, so that the client does not send the message for ever,
// and one that does all the same is kept waiting. c.mu is held.
func (c *conn) refusePublish(r result) {
	if !r.passing {
		c.broker.blame.note(c.session.key())
	}
	c.broker.o.Log.Debug("MQTT 3.1.1 connection ended: a publish was refused", "client", c.session.client, "why", r.code.Reason)
	c.ending = true
	c.kick()
	c.net.SetReadDeadline(time.Unix(1, 0))
	c.net.SetWriteDeadline(time.Now().Add(goodbyeTime))
}

// pubrel ends a publish of QoS 2 (MQTT 5.0 clause 4.3.3): its packet identifier may be used again.
func (c *conn) pubrel(pk *packets.Packet) {
	s := c.session
	s.mu.Lock()
	in := s.in[pk.PacketID]
	known := in != nil && in.settled
	if known {
		delete(s.in, pk.PacketID)
		if i := s.uses.find(pk.PacketID); i >= 0 {
			s.uses.reused(i) // PUBREC has arrived, and the message is not sent again [MQTT-4.3.3-6]
		}
	}
	s.mu.Unlock()
	code := packets.CodeSuccess
	if !known {
		code = packets.ErrPacketIdentifierNotFound
	}
	c.write(encodeAck(packets.Pubcomp, pk.PacketID, code.Code, "", c.version))
}

// outcome gives a response as a reason code.
func outcome(resp *onem2m.Response) result {
	if resp.Status.Success() {
		return result{}
	}
	r := result{code: packets.ErrImplementationSpecificError}
	switch resp.Status {
	case onem2m.StatusOriginatorHasNoPrivilege, onem2m.StatusSecurityAssociationRequired, onem2m.StatusOperationNotAllowed:
		r.code = codeNotAuthorized
	case onem2m.StatusNotFound:
		r.code = packets.ErrTopicNameInvalid
	case onem2m.StatusBadRequest, onem2m.StatusContentsUnacceptable, onem2m.StatusUnsupportedMediaType, onem2m.StatusInvalidArguments:
		r.code = packets.ErrPayloadFormatInvalid
	case onem2m.StatusRequestTimeout:
		r.code, r.passing, r.unknown = packets.ErrUnspecifiedError, true, true
	case onem2m.StatusInternalServerError, onem2m.StatusServiceSubscriptionLimitsExceeded:
		r.code, r.passing = codeQuota, true
	}
	var why struct {
		Debug string `json:"m2m:dbg"`
	}
	if json.Unmarshal(resp.Content, &why) == nil && why.Debug != "" {
		r.code.Reason = why.Debug
	}
	return r
}
