package mqttbinding

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

func (b *Broker) find(owner, client string) *session {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.sessions[sessionKey{owner, client}]
}

// TestBackWhileSessionEnds: a client that is back before its session has been cleared away gets a new one, all of it.
func TestBackWhileSessionEnds(t *testing.T) {
	b := newBed(t)
	old := b.client(t, version5, "app", "t-app")
	old.subscribe("tally/old", 1)
	s := b.broker.find("Capp", "app")
	b.broker.subs.Lock() // the session cannot be cleared away
	old.Close()
	eventually(t, "the client is gone", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.conn == nil
	})
	time.AfterFunc(50*time.Millisecond, b.broker.subs.Unlock)
	p, ack := b.dial(t, version5, "app", "t-app", persistent(0))
	if ack.SessionPresent {
		t.Error("the session is said to be still there")
	}
	p.subscribe("tally/new", 1)
	b.put("new", "1")
	p.expectMessage("tally/new", "1")
	p.goodbye()
	eventually(t, "nothing is left", func() bool {
		b.broker.mu.RLock()
		defer b.broker.mu.RUnlock()
		return len(b.broker.sessions) == 0 && len(b.broker.away) == 0
	})
}

// TestCleanStartEndsSession: Clean Start ends the session that was, and with it the wait for its will (MQTT 5.0 clauses
// 3.1.2.4 and 3.1.2.5).
func TestCleanStartEndsSession(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	s := b.client(t, version5, "app", "t-app")
	s.subscribe("tally/#", 1)
	delayed := func(p *packets.Packet) { p.Connect.WillProperties.WillDelayInterval = 60 }
	p := b.client(t, version5, "dev", "t-dev", persistent(60), willOf("tally/dev/state", "lost"), delayed)
	p.subscribe("tally/dev/x", 1)
	p.Close()
	eventually(t, "the client is gone", func() bool {
		s := b.broker.find("Cdev", "dev")
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.late != nil
	})
	_, ack := b.dial(t, version5, "dev", "t-dev")
	if ack.SessionPresent {
		t.Error("the session is still there")
	}
	s.expectMessage("tally/dev/state", "lost")
	b.broker.subs.RLock()
	defer b.broker.subs.RUnlock()
	if n := b.broker.trie.root.children["tally"].children["dev"]; n != nil {
		t.Error("a subscription of the session that was is still there")
	}
}

// TestReceiveMaximumOfResumed: what is sent again counts too for the Receive Maximum [MQTT-3.3.4-9], which may be lower
// than that of the connection before.
func TestReceiveMaximumOfResumed(t *testing.T) {
	b := newBed(t)
	p := b.client(t, version5, "app", "t-app", persistent(60))
	p.subscribe("tally/dev/#", 1)
	for i := range 6 {
		b.put("dev/temp", fmt.Sprint(i))
	}
	ids := make(map[string]uint16)
	for range 6 {
		m := p.next()
		ids[string(m.Payload)] = m.PacketID
	}
	p.Close()
	p = b.client(t, version5, "app", "t-app", persistent(60), receiveMax(2))
	var waiting []*packets.Packet
	for i := range 6 {
		for len(waiting) < min(2, 6-i) {
			m := p.next()
			if !m.FixedHeader.Dup || m.PacketID != ids[string(m.Payload)] { // [MQTT-4.4.0-1]
				t.Errorf("message %s again: DUP %v, identifier %d, was %d", m.Payload, m.FixedHeader.Dup, m.PacketID, ids[string(m.Payload)])
			}
			waiting = append(waiting, m)
		}
		p.expectNothing()
		if got := string(waiting[0].Payload); got != fmt.Sprint(i) {
			t.Errorf("message %d is %s", i, got)
		}
		p.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: waiting[0].PacketID})
		waiting = waiting[1:]
	}
}

// TestAwayCostsNothing: what waits for a client that leaves is not kept, but read from the log when it is back.
func TestAwayCostsNothing(t *testing.T) {
	b := newBed(t)
	p := b.client(t, version5, "app", "t-app", persistent(60), receiveMax(1))
	p.subscribe("tally/dev/#", 1)
	const n = 300
	for i := range n {
		b.put("dev/temp", fmt.Sprint(i))
	}
	s := b.broker.find("Capp", "app")
	queued := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.queue)
	}
	eventually(t, "the queue is long", func() bool { return queued() >= n-1 })
	p.Close()
	eventually(t, "the client is gone", func() bool { return queued() == 0 })
	p = b.client(t, version5, "app", "t-app", persistent(60))
	for i := range n {
		p.expectMessage("tally/dev/temp", fmt.Sprint(i))
	}
}

// TestLargeMessagesInFlight: few large messages are sent to a client that acknowledges none.
func TestLargeMessagesInFlight(t *testing.T) {
	b := newBed(t)
	p := b.client(t, version5, "app", "t-app", persistent(60))
	p.subscribe("tally/dev/#", 1)
	large := strings.Repeat("x", maxSentBytes*2/3)
	for range 4 {
		b.put("dev/temp", large)
	}
	for range 4 {
		m := p.next()
		p.expectNothing()
		p.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: m.PacketID})
	}
}

// TestMaximumPacketSize: a client never gets a packet that is larger than it takes [MQTT-3.1.2-24]; an acknowledgement
// does without its reason then [MQTT-3.4.2-2].
func TestMaximumPacketSize(t *testing.T) {
	b := newBed(t)
	b.refuse = func(*binding.Message) *onem2m.Response {
		return &onem2m.Response{Status: onem2m.StatusBadRequest, Content: []byte(`{"m2m:dbg":"` + strings.Repeat("because ", 20) + `"}`)}
	}
	p := b.client(t, version5, "dev", "t-dev", func(p *packets.Packet) { p.Properties.MaximumPacketSize = 45 })
	p.publish("tally/dev/temp", "1", 1, 1)
	if ack := p.expect(packets.Puback, 1, 0x99); ack.Properties.ReasonString != "" {
		t.Errorf("PUBACK with %q", ack.Properties.ReasonString)
	}
	p.subscribe("tally/dev/#", 0)
	b.put("dev/temp", strings.Repeat("x", 40))
	b.put("dev/temp", "short")
	p.expectMessage("tally/dev/temp", "short")
}

// TestLevelsOfSubscriptions: filters of very many levels take no memory without bound.
func TestLevelsOfSubscriptions(t *testing.T) {
	b := newBed(t)
	p := b.client(t, version5, "app", "t-app")
	granted := 0
	for i := range 100 {
		code := p.subscribe(fmt.Sprint("tally/", i, strings.Repeat("/+", 60)), 1)
		if code == 1 {
			granted++
		} else if code != packets.ErrQuotaExceeded.Code {
			t.Fatalf("filter %d: %#x", i, code)
		}
	}
	if granted*62 > maxSubLevels || granted == 0 {
		t.Errorf("%d filters of 62 levels were granted", granted)
	}
}
