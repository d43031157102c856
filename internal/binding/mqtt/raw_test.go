package mqttbinding

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// peer is a client that sends and receives packets one by one.
type peer struct {
	*testing.T
	net.Conn
	r       *bufio.Reader
	version byte
}

type connectOption func(*packets.Packet)

func persistent(seconds uint32) connectOption {
	return func(p *packets.Packet) {
		p.Connect.Clean = false
		p.Properties.SessionExpiryInterval, p.Properties.SessionExpiryIntervalFlag = seconds, true
	}
}

func willOf(topic, payload string) connectOption {
	return func(p *packets.Packet) {
		p.Connect.WillFlag, p.Connect.WillTopic, p.Connect.WillPayload = true, topic, []byte(payload)
	}
}

func receiveMax(n uint16) connectOption {
	return func(p *packets.Packet) { p.Properties.ReceiveMaximum = n }
}

// dial connects and returns the CONNACK.
func (b *bed) dial(t *testing.T, version byte, id, token string, options ...connectOption) (*peer, *packets.Packet) {
	t.Helper()
	nc, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	p := &peer{T: t, Conn: nc, r: bufio.NewReader(nc), version: version}
	pk := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: version}
	pk.Connect.ProtocolName, pk.Connect.Clean, pk.Connect.Keepalive, pk.Connect.ClientIdentifier = []byte("MQTT"), true, 60, id
	if token != "" {
		pk.Connect.UsernameFlag, pk.Connect.PasswordFlag, pk.Connect.Password = true, true, []byte(token)
	}
	for _, o := range options {
		o(pk)
	}
	p.send(pk)
	ack := p.next()
	if ack.FixedHeader.Type != packets.Connack {
		t.Fatalf("got packet type %d in answer to CONNECT", ack.FixedHeader.Type)
	}
	return p, ack
}

// client connects and expects to be welcome.
func (b *bed) client(t *testing.T, version byte, id, token string, options ...connectOption) *peer {
	t.Helper()
	p, ack := b.dial(t, version, id, token, options...)
	if ack.ReasonCode != 0 {
		t.Fatalf("CONNECT of %s: %#x", id, ack.ReasonCode)
	}
	return p
}

func (p *peer) send(pk *packets.Packet) {
	p.Helper()
	pk.ProtocolVersion = p.version
	pk.Mods.AllowResponseInfo = true
	var buf bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connect:
		err = pk.ConnectEncode(&buf)
	case packets.Publish:
		err = pk.PublishEncode(&buf)
	case packets.Puback:
		err = pk.PubackEncode(&buf)
	case packets.Pubrel:
		pk.FixedHeader.Qos = 1
		err = pk.PubrelEncode(&buf)
	case packets.Subscribe:
		pk.FixedHeader.Qos = 1
		err = pk.SubscribeEncode(&buf)
	case packets.Unsubscribe:
		pk.FixedHeader.Qos = 1
		err = pk.UnsubscribeEncode(&buf)
	case packets.Pingreq:
		err = pk.PingreqEncode(&buf)
	case packets.Disconnect:
		err = pk.DisconnectEncode(&buf)
	}
	if err != nil {
		p.Fatal(err)
	}
	p.Write(buf.Bytes())
}

func (p *peer) read(wait time.Duration) (*packets.Packet, error) {
	p.SetReadDeadline(time.Now().Add(wait))
	first, err := p.r.ReadByte()
	if err != nil {
		return nil, err
	}
	p.SetReadDeadline(time.Now().Add(5 * time.Second)) // half a packet would be lost
	pk := &packets.Packet{ProtocolVersion: p.version}
	if err := pk.FixedHeader.Decode(first); err != nil {
		return nil, err
	}
	n, _, err := packets.DecodeLength(p.r)
	if err != nil {
		return nil, err
	}
	pk.FixedHeader.Remaining = n
	body := make([]byte, n)
	if _, err := io.ReadFull(p.r, body); err != nil {
		return nil, err
	}
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackDecode(body)
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Puback, packets.Pubrec, packets.Pubcomp:
		err = pk.PubackDecode(body)
	case packets.Suback:
		err = pk.SubackDecode(body)
	case packets.Unsuback:
		err = pk.UnsubackDecode(body)
	case packets.Disconnect:
		err = pk.DisconnectDecode(body)
	}
	return pk, err
}

func (p *peer) next() *packets.Packet {
	p.Helper()
	pk, err := p.read(5 * time.Second)
	if err != nil {
		p.Fatalf("read a packet: %v", err)
	}
	return pk
}

func (p *peer) expect(typ byte, id uint16, code byte) *packets.Packet {
	p.Helper()
	pk := p.next()
	if pk.FixedHeader.Type != typ || pk.PacketID != id || pk.ReasonCode != code {
		p.Fatalf("got packet type %d, identifier %d, reason %#x (%s); want %d, %d, %#x",
			pk.FixedHeader.Type, pk.PacketID, pk.ReasonCode, pk.Properties.ReasonString, typ, id, code)
	}
	return pk
}

// expectMessage expects a PUBLISH, and acknowledges it.
func (p *peer) expectMessage(topic, payload string) *packets.Packet {
	p.Helper()
	pk := p.next()
	if pk.FixedHeader.Type != packets.Publish || pk.TopicName != topic || string(pk.Payload) != payload {
		p.Fatalf("got packet type %d, %s %q (%#x); want PUBLISH, %s %q", pk.FixedHeader.Type, pk.TopicName, pk.Payload, pk.ReasonCode, topic, payload)
	}
	if pk.FixedHeader.Qos > 0 {
		p.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: pk.PacketID})
	}
	return pk
}

// expectNothing expects that nothing comes for a while.
func (p *peer) expectNothing() {
	p.Helper()
	pk, err := p.read(60 * time.Millisecond)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		p.Fatalf("got %+v, %v; want nothing", pk, err)
	}
}

// expectEnd expects that the broker ends the connection, with a reason if it can give one.
func (p *peer) expectEnd(code byte) {
	p.Helper()
	pk, err := p.read(5 * time.Second)
	if p.version == version5 {
		if err != nil || pk.FixedHeader.Type != packets.Disconnect || pk.ReasonCode != code {
			p.Fatalf("got %+v, %v; want DISCONNECT %#x", pk, err, code)
		}
		_, err = p.read(5 * time.Second)
	}
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		p.Fatalf("the connection goes on: %+v, %v", pk, err)
	}
}

func (p *peer) publish(topic, payload string, qos byte, id uint16, change ...func(*packets.Packet)) {
	p.Helper()
	pk := &packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos}, TopicName: topic, Payload: []byte(payload), PacketID: id,
	}
	for _, f := range change {
		f(pk)
	}
	p.send(pk)
}

func dup(pk *packets.Packet)    { pk.FixedHeader.Dup = true }
func retain(pk *packets.Packet) { pk.FixedHeader.Retain = true }

// subscribe subscribes to one filter and returns the reason code.
func (p *peer) subscribe(filter string, qos byte, change ...func(*packets.Subscription)) byte {
	p.Helper()
	s := packets.Subscription{Filter: filter, Qos: qos}
	for _, f := range change {
		f(&s)
	}
	p.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 9999, Filters: packets.Subscriptions{s}})
	pk := p.next()
	if pk.FixedHeader.Type != packets.Suback || len(pk.ReasonCodes) != 1 {
		p.Fatalf("got %+v in answer to SUBSCRIBE", pk)
	}
	return pk.ReasonCodes[0]
}

func (p *peer) goodbye() {
	p.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
	p.Close()
}
