package mqttbinding

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/internal/binding"
)

// Reason codes (MQTT 5.0 clause 2.4) that more than one place uses.
var (
	codeNotAuthorized = packets.ErrNotAuthorized
	codeShuttingDown  = packets.ErrServerShuttingDown
	codeTakenOver     = packets.ErrSessionTakenOver
	codeQuota         = packets.ErrQuotaExceeded
)

// conn is one network connection. One goroutine reads; another writes, while there is something to write.
type conn struct {
	broker *Broker
	net    net.Conn
	ip     string
	reader *bufio.Reader

	// Set when CONNECT was accepted; fixed afterwards.
	version   byte
	session   *session
	memory    *share
	keepalive time.Duration
	maxPacket int // the largest packet that the client takes; 0: any
	noReasons bool
	window    int // messages of QoS 1 that the client takes at a time
	aliases   [maxTopicAlias + 1]string
	ended     chan struct{} // closed when the connection has left its session
	unwatch   func()        // ends the watch over its credential

	// Of the reader.
	stay context.Context // nil, or ends with the connection
	left func()

	mu           sync.Mutex
	evidence     binding.Evidence
	accepted     bool
	will         *will
	out          net.Buffers
	outBytes     int
	writing      bool
	ending       bool // no more is read; what waits is written, then the connection closes
	closed       bool
	pending      []*publication // not acknowledged, oldest first
	pendingBytes int
	asking       int           // requests that are not answered, their PUBLISH acknowledged
	room         chan struct{} // tells the reader that pending became shorter
	sending      sending
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 1024) }}

// serve reads packets until the connection ends.
func (c *conn) serve() {
	c.reader = readers.Get().(*bufio.Reader)
	c.reader.Reset(c.net)
	c.room = make(chan struct{}, 1)
	stranger := true
	defer func() {
		if stranger {
			c.broker.noStranger(c.ip)
		}
		if c.memory != nil {
			c.memory.disconnect()
		}
		c.closeNow()
		c.reader.Reset(nil)
		readers.Put(c.reader)
	}()
	c.net.SetReadDeadline(time.Now().Add(c.broker.o.ConnectTimeout))
	if !c.begin() {
		return
	}
	c.broker.noStranger(c.ip)
	stranger = false
	goodbye := c.read()
	c.unwatch()
	if c.left != nil {
		c.left()
	}
	c.leave(goodbye)
}

// begin reads CONNECT and handles it.
func (c *conn) begin() bool {
	pk := new(packets.Packet)
	if err := readPacket(c.reader, pk, 0, maxConnect, func(int) error { return nil }); err != nil {
		c.refuseConnect(err)
		return false
	}
	c.version = pk.ProtocolVersion
	return c.connect(pk)
}

// noStranger counts a connection out of those that have not sent CONNECT.
func (b *Broker) noStranger(ip string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.strangers--
	site := siteOf(ip)
	if b.strangersOf[site]--; b.strangersOf[site] <= 0 {
		delete(b.strangersOf, site)
	}
}

// read handles packets until one ends the connection. It returns whether the client said goodbye.
func (c *conn) read() (goodbye bool) {
	var pk *packets.Packet // made with the first packet: many clients send none
	for {
		c.awaitPacket()
		if _, err := c.reader.Peek(1); err != nil {
			c.testify(err)
			c.fault(err)
			return false
		}
		if pk == nil {
			pk = new(packets.Packet)
		}
		reserved := 0
		err := readPacket(c.reader, pk, c.version, c.broker.o.MaxPacket, func(n int) (err error) {
			if n > c.reader.Buffered() {
				c.net.SetReadDeadline(time.Now().Add(packetDeadline))
			}
			reserved, err = c.take(pk.FixedHeader.Type, n)
			return err
		})
		if err == nil && pk.FixedHeader.Type == packets.Disconnect {
			c.memory.release(reserved)
			return c.goodbye(pk)
		}
		if err == nil && pk.FixedHeader.Type == packets.Publish {
			err = c.publish(pk, reserved)
		} else {
			if err == nil {
				err = c.handle(pk)
			}
			c.memory.release(reserved)
		}
		if err != nil {
			c.testify(err)
			c.fault(err)
			return false
		}
		*pk = packets.Packet{} // the next may be long in coming
	}
}

// take waits until a packet of n bytes has room, and returns how much it took.
func (c *conn) take(typ byte, n int) (took int, err error) {
	switch {
	case typ == packets.Publish:
		took, err = n+publicationCost, c.reserve(n+publicationCost)
	case n > maxControl:
		err = packets.ErrPacketTooLarge
	case n > smallControl:
		took, err = n, c.memory.take(c.broker.ctx, n)
	}
	if err != nil {
		return 0, err
	}
	return took, nil
}

// awaitPacket gives the client the time that it promised to need at most (MQTT 5.0 clause 3.1.2.10).
func (c *conn) awaitPacket() {
	var t time.Time
	if c.keepalive > 0 {
		t = time.Now().Add(c.keepalive + c.keepalive/2)
	}
	c.net.SetReadDeadline(t)
	c.mu.Lock()
	if c.ending || c.closed {
		c.net.SetReadDeadline(time.Unix(1, 0)) // the deadline just set may have replaced disconnect's
	}
	c.mu.Unlock()
}

func (c *conn) handle(pk *packets.Packet) error {
	switch pk.FixedHeader.Type {
	case packets.Pubrel:
		c.pubrel(pk)
	case packets.Puback:
		c.session.acknowledged(c, pk.PacketID)
	case packets.Subscribe:
		return c.subscribe(pk)
	case packets.Unsubscribe:
		return c.unsubscribe(pk)
	case packets.Pingreq:
		c.write([]byte{packets.Pingresp << 4, 0})
	default: // a second CONNECT; PUBREC and PUBCOMP of messages that were never sent with QoS 2
		return packets.ErrProtocolViolation
	}
	return nil
}

// goodbye handles DISCONNECT (MQTT 5.0 clause 3.14).
func (c *conn) goodbye(pk *packets.Packet) bool {
	c.testify(nil)
	c.mu.Lock()
	done := len(c.pending) == 0 && c.sending.verdict != useMissed
	c.mu.Unlock()
	if done {
		c.session.mu.Lock()
		c.session.goodbyes++
		c.session.mu.Unlock()
	}
	if pk.Properties.SessionExpiryIntervalFlag {
		if !c.session.setExpiry(expiry(pk.Properties.SessionExpiryInterval)) {
			c.fault(packets.ErrProtocolViolationZeroNonZeroExpiry) // [MQTT-3.14.2-2]
			return false
		}
		if err := c.broker.store.save(c.session); err != nil {
			c.broker.o.Log.Warn("keep an MQTT session", "error", err)
		}
	}
	return pk.ReasonCode == packets.CodeDisconnect.Code // any other leaves the will [MQTT-3.14.4-3]
}

// fault ends the connection because of what the client sent or did not send.
func (c *conn) fault(err error) {
	var code packets.Code
	var timeout net.Error
	switch {
	case errors.As(err, &code):
	case errors.As(err, &timeout) && timeout.Timeout():
		code = packets.ErrKeepAliveTimeout
	default:
		return // the client is gone
	}
	c.broker.o.Log.Debug("MQTT connection ended", "ip", c.ip, "why", code.Reason)
	c.disconnect(code)
}

// disconnect tells the client why its connection ends, and ends it.
func (c *conn) disconnect(code packets.Code) {
	c.testify(nil)
	c.mu.Lock()
	if c.ending || c.closed {
		c.mu.Unlock()
		return
	}
	if !c.accepted {
		c.closed = true
		c.mu.Unlock()
		c.net.Close()
		return
	}
	c.ending = true
	if c.version == version5 {
		c.append(c.withReason(func(why string) []byte {
			pk := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ReasonCode: code.Code}
			pk.Properties.ReasonString = why
			b, err := encode(pk, c.version)
			if err != nil {
				return []byte{packets.Disconnect << 4, 1, code.Code}
			}
			return b
		}, code.Reason))
	}
	c.kick()
	c.mu.Unlock()
	c.net.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	c.net.SetWriteDeadline(time.Now().Add(goodbyeTime))
	c.signalRoom()
}

// closeNow closes the connection. What waits to be written gets a moment.
func (c *conn) closeNow() {
	c.mu.Lock()
	c.ending = true
	if !c.writing && !c.closed {
		c.closed = true
		c.mu.Unlock()
		c.net.Close()
		return
	}
	c.mu.Unlock()
}

// write queues bytes for the client. One that does not take what it asked for is cut off.
func (c *conn) write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending || c.closed {
		return
	}
	c.append(b)
	c.kick()
}

// withReason encodes a packet with a reason, or without when the client does not take one as large [MQTT-3.4.2-2].
func (c *conn) withReason(encode func(why string) []byte, why string) []byte {
	b := encode(why)
	if c.maxPacket > 0 && len(b) > c.maxPacket {
		return encode("")
	}
	return b
}

// append queues a packet, unless it is larger than the client takes, who then never gets it [MQTT-3.1.2-25]. c.mu is held.
func (c *conn) append(b []byte) {
	if c.maxPacket > 0 && len(b) > c.maxPacket {
		return
	}
	c.out = append(c.out, b)
	c.outBytes += len(b) + packetCost
	if c.outBytes > maxOut && !c.closed {
		c.closed = true
		c.net.Close()
	}
}

// kick starts the writer. c.mu is held.
func (c *conn) kick() {
	if !c.writing && !c.closed {
		c.writing = true
		go c.flush()
	}
}

// flush writes what waits, and then what the session has for the client, until there is nothing more.
func (c *conn) flush() {
	for {
		c.mu.Lock()
		if c.closed {
			c.writing = false
			c.mu.Unlock()
			return
		}
		out, acks := c.out, c.sending.acks
		c.out, c.outBytes = nil, 0
		ending, patience := c.ending, packetDeadline
		if ending {
			patience = goodbyeTime
		}
		c.mu.Unlock()
		if len(out) == 0 && !ending {
			out = c.session.next(c)
		}
		if len(out) > 0 {
			c.net.SetWriteDeadline(time.Now().Add(patience))
			n, err := out.WriteTo(c.net)
			c.mu.Lock()
			if err == nil {
				c.sending.note(int(n), acks)
				c.mu.Unlock()
				continue
			}
			c.closed, c.writing = true, false
			c.mu.Unlock()
			c.net.Close()
			return
		}
		c.mu.Lock()
		switch {
		case len(c.out) > 0:
		case c.ending:
			c.closed, c.writing = true, false
			c.mu.Unlock()
			c.net.Close()
			return
		case !c.session.waiting(c):
			c.writing = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// written says whether nobody writes to the connection any more.
func (c *conn) written() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.writing
}

func remoteIP(c net.Conn) string {
	addr := c.RemoteAddr()
	if addr == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	return host
}

// siteOf is what one machine can have of addresses: one of IPv4, 2^64 of IPv6.
func siteOf(ip string) string {
	a, err := netip.ParseAddr(ip)
	if a = a.Unmap(); err != nil || a.Is4() {
		return ip
	}
	site, err := a.WithZone("").Prefix(64)
	if err != nil {
		return ip
	}
	return site.String()
}
