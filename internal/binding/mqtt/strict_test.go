package mqttbinding

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// TestStrictPackets: what MQTT 5.0 calls malformed or a protocol error ends the connection, where the codec of the
// packets sees nothing wrong too.
func TestStrictPackets(t *testing.T) {
	b := newBed(t)
	for name, c := range map[string]struct {
		packet string
		code   byte
	}{
		"property twice (clause 2.2.2.2)":               {"\x30\x10\x00\x09tally/d/x\x04\x01\x00\x01\x00", 0x82},
		"property beyond the properties":                {"\x30\x0f\x00\x09tally/d/x\x01\x02\x00\x00", 0x81},
		"payload format 2 (clause 3.3.2.3.2)":           {"\x30\x0e\x00\x09tally/d/x\x02\x01\x02", 0x82},
		"subscription identifier 0 (clause 3.8.2.1.2)":  {"\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00", 0x82},
		"subscription identifier twice":                 {"\x82\x0b\x00\x01\x04\x0b\x01\x0b\x02\x00\x01a\x00", 0x82},
		"reserved bits of SUBSCRIBE [MQTT-3.8.3-5]":     {"\x82\x07\x00\x01\x00\x00\x01a\x40", 0x81},
		"remaining length of five bytes (clause 1.5.5)": {"\x30\x80\x80\x80\x80\x00", 0x81},
		"PINGREQ with a body (clause 3.12)":             {"\xc0\x01\x00", 0x81},
		"SUBSCRIBE without end":                         {"\x82\xff\xff\x1f", 0x95},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.client(t, version5, "dev", "t-dev")
			p.T = t
			p.Write([]byte(c.packet))
			p.expectEnd(c.code)
		})
	}
	connect := func(properties string) string {
		body := "\x00\x04MQTT\x05\x02\x00\x3c" + string(rune(len(properties))) + properties + "\x00\x00"
		return "\x10" + string(rune(len(body))) + body
	}
	for name, text := range map[string]string{
		"receive maximum 0 (clause 3.1.2.11.3)":      connect("\x21\x00\x00"),
		"maximum packet size 0 (clause 3.1.2.11.4)":  connect("\x27\x00\x00\x00\x00"),
		"receive maximum twice":                      connect("\x21\x00\x09\x21\x00\x09"),
		"request problem information 2 (3.1.2.11.7)": connect("\x17\x02"),
	} {
		if got := b.raw(t, text); got != "" {
			t.Errorf("%s: answered %q", name, got)
		}
	}
}

// TestTooManyUnreleased: a client that sends one message of QoS 2 after another and never PUBREL is cut off, and what
// it sent takes no memory from others afterwards.
func TestTooManyUnreleased(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	p := b.client(t, version5, "dev", "t-dev", persistent(60))
	for i := range 2 * maxInFlight {
		p.publish("tally/dev/temp", "x", 2, uint16(i+1))
		p.expect(packets.Pubrec, uint16(i+1), 0)
	}
	p.publish("tally/dev/temp", "x", 2, 7, dup)
	p.expect(packets.Pubrec, 7, 0) // sent again: it is one of them
	for range 3 {
		p.publish("tally/dev/temp", strings.Repeat("x", 1<<20), 2, 9999)
		p.expectEnd(0x93)
		p = b.client(t, version5, "dev", "t-dev", persistent(60))
	}
	p.Close()
	shares := func() int {
		b.broker.memory.mu.Lock()
		defer b.broker.memory.mu.Unlock()
		return len(b.broker.memory.shares)
	}
	for deadline := time.Now().Add(5 * time.Second); shares() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d shares of nobody", shares())
		}
	}
	if !b.broker.memory.all.TryAcquire(maxMemory) {
		t.Error("memory of a message that was refused is not given back")
	}
}

// TestShareOfMemory: an originator whose clients send large packets and never end them keeps nobody else from sending.
func TestShareOfMemory(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for i := range maxMemory>>20 + 4 {
		p := b.client(t, version311, fmt.Sprint("slow", i), "t-other")
		p.Write([]byte("\x30\xff\xff\x3f\x00\x05tally")) // a megabyte, of which seven bytes come
	}
	time.Sleep(50 * time.Millisecond)
	p := b.client(t, version5, "dev", "t-dev")
	p.publish("tally/dev/temp", "21", 1, 1)
	p.expect(packets.Puback, 1, 0)
}

// TestLargeMessagesAreForgotten: a client that published much and is idle takes no more memory than another.
func TestLargeMessagesAreForgotten(t *testing.T) {
	b := newBed(t)
	b.refuse = func(*binding.Message) *onem2m.Response { return &onem2m.Response{Status: onem2m.StatusCreated} }
	large := strings.Repeat("x", 1<<20)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 40 {
		p := b.client(t, version5, fmt.Sprint("c", i), "t-dev")
		p.publish("tally/dev/temp", large, 1, 1)
		p.expect(packets.Puback, 1, 0)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 15<<20 {
		t.Errorf("40 idle clients hold %d bytes", grown)
	}
}

// TestWillOfDisconnect: only DISCONNECT with reason code 0 drops the will [MQTT-3.14.4-3].
func TestWillOfDisconnect(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	s := b.client(t, version5, "app", "t-app")
	s.subscribe("tally/#", 1)
	for text, published := range map[string]bool{
		"\xe0\x00": false, "\xe0\x01\x00": false, "\xe0\x02\x00\x00": false,
		"\xe0\x01\x04": true, "\xe0\x02\x04\x00": true, "\xe0\x01\x80": true, "\xe0\x01\x81": true,
	} {
		p := b.client(t, version5, "dev", "t-dev", willOf("tally/dev/state", "lost"))
		p.Write([]byte(text))
		p.Close()
		if published {
			s.expectMessage("tally/dev/state", "lost")
		} else {
			s.expectNothing()
		}
	}
}

// TestAliasOfRefusedTopic: an alias that was given to a topic which is refused stands for no other one.
func TestAliasOfRefusedTopic(t *testing.T) {
	b := newBed(t)
	p := b.client(t, version5, "dev", "t-dev")
	alias := func(pk *packets.Packet) { pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 1, true }
	p.publish("tally/dev/a", "1", 1, 1, alias)
	p.expect(packets.Puback, 1, 0)
	p.publish("tally/dev/"+strings.Repeat("b", maxTopic), "2", 1, 2, alias)
	p.expect(packets.Puback, 2, packets.ErrTopicNameInvalid.Code)
	p.publish("", "3", 1, 3, alias)
	p.expectEnd(0x82)
	if got := b.stored("dev/a"); len(got) != 1 {
		t.Errorf("stored %q", got)
	}
}

// TestConnectionsOfOneOriginator: one token takes no more than three quarters of all connections.
func TestConnectionsOfOneOriginator(t *testing.T) {
	b := newBed(t)
	b.most = 4
	b.restart()
	var last *peer
	for i := range 3 {
		last = b.client(t, version5, fmt.Sprint("c", i), "t-other")
	}
	if _, ack := b.dial(t, version5, "c3", "t-other"); ack.ReasonCode != packets.ErrQuotaExceeded.Code {
		t.Errorf("one too many: %#x", ack.ReasonCode)
	}
	b.client(t, version5, "dev", "t-dev")
	last.goodbye()
	eventually(t, "there is room again", func() bool {
		_, ack := b.dial(t, version5, "c4", "t-other")
		return ack.ReasonCode == 0
	})
}

// TestEmptyRetainedWill: a will may end the retained message of its topic too [MQTT-3.3.1-6].
func TestEmptyRetainedWill(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	p := b.client(t, version5, "dev", "t-dev", willOf("tally/dev/state", ""), func(p *packets.Packet) { p.Connect.WillRetain = true })
	p.publish("tally/dev/state", "here", 1, 1, retain)
	p.expect(packets.Puback, 1, 0)
	kept := func() int {
		b.broker.retain.mu.Lock()
		defer b.broker.retain.mu.Unlock()
		return len(b.broker.retain.index)
	}
	if kept() != 1 {
		t.Fatal("nothing is retained")
	}
	p.Close()
	eventually(t, "nothing is retained any more", func() bool { return kept() == 0 })
}

// TestSiteOf: the addresses that one machine can have count as one.
func TestSiteOf(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "": "",
	} {
		if got := siteOf(ip); got != want {
			t.Errorf("%s: %s, want %s", ip, got, want)
		}
	}
}
