package mqttbinding

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mochi-mqtt/server/v2/packets"
)

// raw sends bytes and returns what came back until the broker ended the connection.
func (b *bed) raw(t *testing.T, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte(text))
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	got, err := io.ReadAll(c)
	if err != nil && strings.Contains(err.Error(), "timeout") {
		t.Fatalf("%q: the connection goes on", text)
	}
	return string(got)
}

// TestBadConnect: what is no CONNECT, or none of a version that is served, ends the connection at once; one that sends
// nothing is not waited for long.
func TestBadConnect(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for text, want := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n":                                    "",
		"\x30\x03\x00\x01a":                                         "", // [MQTT-3.1.0-1]
		"\x10\x0c\x00\x04MQTT\x06\x02\x00\x3c\x00\x00":              "\x20\x02\x00\x01",
		"\x10\x0c\x00\x04MQTS\x04\x02\x00\x3c\x00\x00":              "",
		"\x10\xff\xff\xff\x7f":                                      "", // longer than a CONNECT may be
		"\x10\x80\x80\x80\x80\x01":                                  "",
		"\x10\x0c\x00\x04MQTT\x04\x03\x00\x3c\x00\x00":              "",                 // [MQTT-3.1.2-3], [MQTT-3.1.4-1]
		"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00":              "\x20\x02\x00\x04", // nobody
		"\x10\x0c\x00\x04MQTT\x04\x00\x00\x3c\x00\x00":              "\x20\x02\x00\x02", // no client identifier, no clean session
		"\x10\x13\x00\x04MQTT\x04\x42\x00\x3c\x00\x00\x00\x05t-dev": "",                 // a password without a username [MQTT-3.1.2-22]
		"": "",
	} {
		if got := b.raw(t, text); got != want {
			t.Errorf("%q: answered %q, want %q", text, got, want)
		}
	}
}

// TestProtocolErrors: a client that breaks the protocol is told how, and cut off.
func TestProtocolErrors(t *testing.T) {
	b := newBed(t)
	for name, c := range map[string]struct {
		send func(p *peer)
		code byte
	}{
		"second CONNECT [MQTT-3.1.0-2]": {func(p *peer) {
			p.Write([]byte("\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00"))
		}, 0x82},
		"what only a server sends":           {func(p *peer) { p.Write([]byte{0x20, 2, 0, 0}) }, 0x82},
		"truncated SUBSCRIBE":                {func(p *peer) { p.Write([]byte{0x82, 6, 0, 1, 0, 0, 1, 'a'}) }, 0x81},
		"wildcard in a topic [MQTT-3.3.2-2]": {func(p *peer) { p.publish("tally/+/x", "1", 1, 1) }, 0x82},
		"topic alias too high [MQTT-3.3.2-9]": {func(p *peer) {
			p.publish("tally/a/x", "1", 1, 1, func(pk *packets.Packet) { pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 17, true })
		}, 0x94},
		"alias that stands for nothing": {func(p *peer) {
			p.publish("", "1", 1, 1, func(pk *packets.Packet) { pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 3, true })
		}, 0x82},
		"packet too large [MQTT-3.2.2-15]": {func(p *peer) { p.Write([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}) }, 0x95},
		"reserved flags":                   {func(p *peer) { p.Write([]byte{0x80, 0}) }, 0x81},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.client(t, version5, "dev", "t-dev")
			p.T = t
			c.send(p)
			p.expectEnd(c.code)
		})
	}
}

// TestTopicAlias: an alias stands for its topic until another takes its place (MQTT 5.0 clause 3.3.2.3.4).
func TestTopicAlias(t *testing.T) {
	b := newBed(t)
	p := b.client(t, version5, "dev", "t-dev")
	alias := func(pk *packets.Packet) { pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 1, true }
	for i, topic := range []string{"tally/dev/a", "", "tally/dev/b", ""} {
		p.publish(topic, fmt.Sprint(i), 1, uint16(i+1), alias)
		p.expect(packets.Puback, uint16(i+1), 0)
	}
	if a, bb := strings.Join(b.stored("dev/a"), " "), strings.Join(b.stored("dev/b"), " "); a != "0 1" || bb != "2 3" {
		t.Errorf("stored %q and %q", a, bb)
	}
}

// TestKeepalive: a client that is silent for one and a half times its keep alive is cut off [MQTT-3.1.2-22], one that
// pings is not.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	keep := func(p *packets.Packet) { p.Connect.Keepalive = 1 }
	silent := b.client(t, version5, "silent", "t-dev", keep)
	alive := b.client(t, version5, "alive", "t-dev", keep)
	for range 4 {
		time.Sleep(500 * time.Millisecond)
		alive.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
		alive.expect(packets.Pingresp, 0, 0)
	}
	silent.expectEnd(0x8D)
}

// TestSessionExpiry: a session is forgotten when its client stays away too long.
func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.client(t, version5, "app", "t-app", persistent(1)).goodbye()
	time.Sleep(2500 * time.Millisecond)
	if _, ack := b.dial(t, version5, "app", "t-app", persistent(1)); ack.SessionPresent {
		t.Error("the session is still there")
	}
	b.broker.mu.RLock()
	defer b.broker.mu.RUnlock()
	if len(b.broker.sessions) != 1 || len(b.broker.away) != 0 {
		t.Errorf("%d sessions, away %v", len(b.broker.sessions), b.broker.away)
	}
}

// TestWillDelay: a will waits for its delay, and is not published when the client is back by then [MQTT-3.1.3-9].
func TestWillDelay(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	delayed := func(p *packets.Packet) { p.Connect.WillProperties.WillDelayInterval = 1 }
	s := b.client(t, version5, "app", "t-app")
	s.subscribe("tally/#", 1)
	b.client(t, version5, "dev", "t-dev", persistent(60), willOf("tally/dev/state", "lost"), delayed).Close()
	p := b.client(t, version5, "dev", "t-dev", persistent(60), willOf("tally/dev/state", "lost again"), delayed)
	time.Sleep(1200 * time.Millisecond)
	s.expectNothing()
	p.Close()
	s.expectMessage("tally/dev/state", "lost again")
}

// TestNothingIsLeft: when the broker is closed nothing of it runs.
func TestNothingIsLeft(t *testing.T) {
	before := goleak.IgnoreCurrent()
	b := newBed(t)
	for i := range 20 {
		p := b.client(t, version5, fmt.Sprint("c", i), "t-dev", persistent(60))
		p.subscribe(fmt.Sprint("tally/", i, "/#"), 1) // others' messages could come before SUBACK
		p.publish("tally/dev/temp", "x", 1, 1)
	}
	b.put("3/temp", "1")
	if err := b.broker.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

// TestIdleConnections: an idle connection costs little: 10,000 of them are to fit in 500 MB.
func TestIdleConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("opens thousands of connections: left out with -short")
	}
	b := newBed(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 500
	for i := range n {
		b.client(t, version311, fmt.Sprint("idle", i), "t-dev")
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapInuse + after.StackInuse - before.HeapInuse - before.StackInuse) / n
	t.Logf("%d bytes a connection, both ends", each)
	if each > 40<<10 {
		t.Errorf("%d bytes a connection, both ends", each)
	}
}

// TestBadFiles: files that say nothing cost their clients the session, and nobody else anything.
func TestBadFiles(t *testing.T) {
	b := newBed(t)
	for _, id := range []string{"torn", "whole"} {
		p := b.client(t, version5, id, "t-app", persistent(60))
		p.subscribe("tally/dev/#", 1)
		p.goodbye()
	}
	if err := b.broker.Close(); err != nil {
		t.Fatal(err)
	}
	torn := (&session{owner: "Capp", client: "torn"}).file() + sessionExt
	for _, name := range []string{torn, movingFile} {
		if err := os.WriteFile(filepath.Join(b.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	for id, present := range map[string]bool{"torn": false, "whole": true} {
		if _, ack := b.dial(t, version5, id, "t-app", persistent(60)); ack.ReasonCode != 0 || ack.SessionPresent != present {
			t.Errorf("%s: %#x, session present %v", id, ack.ReasonCode, ack.SessionPresent)
		}
	}
}

// TestForeignFiles: a file that is too large, or is that of another session, is not taken for a session.
func TestForeignFiles(t *testing.T) {
	b := newBed(t)
	p := b.client(t, version5, "app", "t-app", persistent(60))
	p.subscribe("tally/dev/#", 1)
	p.goodbye()
	if err := b.broker.Close(); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(b.dir, (&session{owner: "Capp", client: "app"}).file()+sessionExt)
	text, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(b.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("copy"+sessionExt, text)
	write((&session{owner: "Capp", client: "large"}).file()+sessionExt, append(text, make([]byte, maxSessionFile)...))
	b.start()
	b.broker.mu.RLock()
	if n := len(b.broker.sessions); n != 1 {
		t.Errorf("%d sessions", n)
	}
	b.broker.mu.RUnlock()
	b.broker.subs.RLock()
	defer b.broker.subs.RUnlock()
	if n := len(b.broker.trie.root.children["tally"].children["dev"].children["#"].subs); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
}

// TestSavingTakesLittleTime: with very many sessions what moves is saved less often.
func TestSavingTakesLittleTime(t *testing.T) {
	b := newBed(t)
	s := &store{dir: t.TempDir()}
	now := time.Now()
	if err := s.saveSometimes(b.broker, now); err != nil {
		t.Fatal(err)
	}
	if !s.rest.After(now) {
		t.Error("it may be saved again at once")
	}
	b.broker.moved.Add(1)
	seen := s.seen
	if err := s.saveSometimes(b.broker, now); err != nil || s.seen != seen {
		t.Errorf("saved again at once, %v", err)
	}
}
