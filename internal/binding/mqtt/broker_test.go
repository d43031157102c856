package mqttbinding

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

func eachVersion(t *testing.T, f func(t *testing.T, version byte)) {
	for _, v := range []byte{version311, version5} {
		t.Run(fmt.Sprint("version ", v), func(t *testing.T) { f(t, v) })
	}
}

// TestAuthentication: the password is the token, the username a claim that must agree (MQTT 5.0 clause 3.1.3).
func TestAuthentication(t *testing.T) {
	b := newBed(t)
	username := func(u string) connectOption {
		return func(p *packets.Packet) { p.Connect.UsernameFlag, p.Connect.Username = true, []byte(u) }
	}
	for _, c := range []struct {
		token, claim string
		v3, v5       byte
	}{
		{"t-dev", "", 0, 0},
		{"t-dev", "Cdev", 0, 0},
		{"t-dev", "/cse/Cdev", 0, 0},
		{"t-dev", "Cother", 5, 0x87},
		{"t-none", "", 4, 0x86},
		{"", "Cdev", 4, 0x86},
		{"", "", 4, 0x86},
	} {
		eachVersion(t, func(t *testing.T, v byte) {
			_, ack := b.dial(t, v, "c1", c.token, username(c.claim))
			want := c.v3
			if v == version5 {
				want = c.v5
			}
			if ack.ReasonCode != want {
				t.Errorf("token %q, username %q: %#x, want %#x", c.token, c.claim, ack.ReasonCode, want)
			}
		})
	}
	b.mu.Lock()
	b.lab = true
	b.mu.Unlock()
	b.client(t, version5, "Canybody", "")
}

// TestPublish: a publish is acknowledged once it is committed, with its media type, and in the order of the publishes
// [MQTT-4.6.0-2].
func TestPublish(t *testing.T) {
	eachVersion(t, func(t *testing.T, v byte) {
		b := newBed(t)
		hold := make(chan struct{})
		b.hold = hold
		p := b.client(t, v, "dev", "t-dev")
		const n = 600 // more than may be under way
		go func() {
			for i := range n {
				p.publish("tally/dev/temp", fmt.Sprint(i), 1, uint16(i+1))
			}
		}()
		p.expectNothing()
		if got := len(b.stored("dev/temp")); got > maxInFlight {
			t.Errorf("%d publishes under way; the bound is %d", got, maxInFlight)
		}
		close(hold)
		for i := range n {
			p.expect(packets.Puback, uint16(i+1), 0)
		}
		stored := b.stored("dev/temp")
		for i, s := range stored {
			if s != fmt.Sprint(i) {
				t.Fatalf("reading %d is %s", i, s)
			}
		}
		if len(stored) != n {
			t.Errorf("%d of %d stored", len(stored), n)
		}
	})
}

// TestQoS2: a message is stored once however often it comes before PUBREL [MQTT-4.3.3-10].
func TestQoS2(t *testing.T) {
	eachVersion(t, func(t *testing.T, v byte) {
		b := newBed(t)
		p := b.client(t, v, "dev", "t-dev")
		p.publish("tally/dev/temp", "21", 2, 7)
		p.expect(packets.Pubrec, 7, 0)
		p.publish("tally/dev/temp", "21", 2, 7, dup)
		p.expect(packets.Pubrec, 7, 0)
		p.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrel}, PacketID: 7})
		p.expect(packets.Pubcomp, 7, 0)
		p.publish("tally/dev/temp", "21", 2, 7)
		p.expect(packets.Pubrec, 7, 0)
		if got := b.stored("dev/temp"); len(got) != 2 {
			t.Errorf("stored %q", got)
		}
		unknown := byte(0)
		if v == version5 {
			unknown = packets.ErrPacketIdentifierNotFound.Code
		}
		p.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrel}, PacketID: 8})
		p.expect(packets.Pubcomp, 8, unknown)
	})
}

// TestRefusedPublish: MQTT 5.0 gets a reason code; MQTT 3.1.1 loses the connection and the session [MQTT-3.3.5-2], and
// a client that repeats itself for ever has to wait.
func TestRefusedPublish(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.refuse = func(m *binding.Message) *onem2m.Response {
		switch string(m.Body) {
		case "forbidden":
			return &onem2m.Response{Status: onem2m.StatusOriginatorHasNoPrivilege, Content: []byte(`{"m2m:dbg":"no right"}`)}
		case "busy":
			return &onem2m.Response{Status: onem2m.StatusInternalServerError}
		}
		return nil
	}
	p := b.client(t, version5, "five", "t-dev")
	p.publish("tally/dev/temp", "forbidden", 1, 1)
	if pk := p.expect(packets.Puback, 1, 0x87); pk.Properties.ReasonString != "no right" {
		t.Errorf("reason %q", pk.Properties.ReasonString)
	}
	p.publish("tally/dev/temp", "busy", 2, 2)
	p.expect(packets.Pubrec, 2, 0x97)
	p.publish("elsewhere", "x", 1, 3)
	p.expect(packets.Puback, 3, 0x90)
	p.publish("tally/dev/temp", "good", 1, 4)
	p.expect(packets.Puback, 4, 0)

	p = b.client(t, version311, "three", "t-dev", persistent(0))
	p.publish("tally/dev/temp", "good", 1, 1)
	p.publish("tally/dev/temp", "forbidden", 1, 2)
	p.expect(packets.Puback, 1, 0)
	p.expectEnd(0)
	p, ack := b.dial(t, version311, "three", "t-dev", persistent(0))
	if ack.ReasonCode != 0 || ack.SessionPresent {
		t.Fatalf("after the refusal: %#x, session present %v", ack.ReasonCode, ack.SessionPresent)
	}
	p.publish("tally/dev/temp", "forbidden", 1, 2, dup)
	p.expectEnd(0)
	if _, ack := b.dial(t, version311, "three", "t-dev", persistent(0)); ack.ReasonCode != 3 {
		t.Errorf("the same again: %#x, want server unavailable", ack.ReasonCode)
	}

	p = b.client(t, version311, "later", "t-dev", persistent(0))
	p.publish("tally/dev/temp", "busy", 1, 1)
	p.expectEnd(0)
	if _, ack := b.dial(t, version311, "later", "t-dev", persistent(0)); ack.ReasonCode != 0 || !ack.SessionPresent {
		t.Errorf("after a passing refusal: %#x, session present %v", ack.ReasonCode, ack.SessionPresent)
	}
}

// TestSentAgain: what a client sends again within its session is stored once, whether the first time is under way, done
// or from before a restart (MQTT 5.0 clause 4.4).
func TestSentAgain(t *testing.T) {
	eachVersion(t, func(t *testing.T, v byte) {
		b := newBed(t)
		hold := make(chan struct{})
		b.hold = hold
		p := b.client(t, v, "dev", "t-dev", persistent(60))
		p.publish("tally/dev/temp", "1", 1, 1)
		p.publish("tally/dev/temp", "2", 1, 2)
		p.expectNothing()
		p.Close()
		p, ack := b.dial(t, v, "dev", "t-dev", persistent(60))
		if !ack.SessionPresent {
			t.Fatal("the session is gone")
		}
		p.publish("tally/dev/temp", "1", 1, 1, dup)
		p.publish("tally/dev/temp", "2", 1, 2, dup)
		p.publish("tally/dev/temp", "3", 1, 3)
		p.expectNothing()
		close(hold)
		for i := range 3 {
			p.expect(packets.Puback, uint16(i+1), 0)
		}
		p.publish("tally/dev/temp", "4", 1, 4)
		p.expect(packets.Puback, 4, 0)
		b.restart()
		p, ack = b.dial(t, v, "dev", "t-dev", persistent(60))
		if !ack.SessionPresent {
			t.Fatal("the session did not survive the restart")
		}
		p.publish("tally/dev/temp", "4", 1, 4, dup) // as if the acknowledgement had been lost
		p.expect(packets.Puback, 4, 0)
		if got := b.stored("dev/temp"); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
			t.Errorf("stored %q", got)
		}
	})
}

// TestIdentifierUsedAgain: a message that is sent again is not taken for an older one with the same packet identifier
// and content, which its client knows to have been acknowledged.
func TestIdentifierUsedAgain(t *testing.T) {
	for _, restart := range []bool{false, true} {
		b := newBed(t)
		p := b.client(t, version311, "dev", "t-dev", persistent(0))
		p.publish("tally/dev/temp", "21", 1, 1)
		p.expect(packets.Puback, 1, 0)
		p.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
		p.expectEnd(0)
		if restart {
			b.restart()
		}
		b.client(t, version311, "dev", "t-dev", persistent(0)).Close() // with it the next message, which never came
		p = b.client(t, version311, "dev", "t-dev", persistent(0))
		p.publish("tally/dev/temp", "21", 1, 1, dup)
		p.expect(packets.Puback, 1, 0)
		if got := b.stored("dev/temp"); len(got) != 2 {
			t.Errorf("restart %v: stored %q", restart, got)
		}
	}
}

// TestSentAgainAfterCrash: what a client publishes after a goodbye is recognised when it is sent again, though the node
// was killed before it had saved anything more.
func TestSentAgainAfterCrash(t *testing.T) {
	b := newBed(t)
	p := b.client(t, version311, "dev", "t-dev", persistent(0))
	p.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
	p.expectEnd(0)
	p = b.client(t, version311, "dev", "t-dev", persistent(0))
	p.publish("tally/dev/temp", "21", 1, 1)
	p.expect(packets.Puback, 1, 0)
	p.Close()
	if err := b.broker.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(b.dir, movingFile)); err != nil {
		t.Fatal(err)
	}
	b.start()
	p = b.client(t, version311, "dev", "t-dev", persistent(0))
	p.publish("tally/dev/temp", "21", 1, 1, dup)
	p.expect(packets.Puback, 1, 0)
	if got := b.stored("dev/temp"); len(got) != 1 {
		t.Errorf("stored %q", got)
	}
}

// TestLive: subscribers get what is committed, whatever way it came, by filters with and without wildcards.
func TestLive(t *testing.T) {
	eachVersion(t, func(t *testing.T, v byte) {
		b := newBed(t)
		s := b.client(t, v, "app", "t-app")
		for _, f := range []string{"tally/dev/temp", "tally/+/temp", "tally/dev/#"} {
			if code := s.subscribe(f, 2); code != 1 {
				t.Fatalf("%s: granted %#x", f, code)
			}
		}
		b.put("dev/temp", "21")
		s.expectMessage("tally/dev/temp", "21")
		b.put("dev/hum", "40")
		s.expectMessage("tally/dev/hum", "40")
		b.put("else/hum", "41")
		p := b.client(t, v, "dev", "t-dev")
		p.publish("tally/dev/temp", "22", 0, 0)
		m := s.expectMessage("tally/dev/temp", "22")
		if m.FixedHeader.Retain {
			t.Error("live data has the RETAIN flag [MQTT-3.3.1-12]")
		}
		s.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe}, PacketID: 3, Filters: packets.Subscriptions{{Filter: "tally/dev/#"}}})
		s.expect(packets.Unsuback, 3, 0)
		b.put("dev/hum", "42")
		s.expectNothing()
	})
}

// TestRightsAtDelivery: nobody gets what he may not read, by no filter, and a right that is revoked stops what is on its
// way.
func TestRightsAtDelivery(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.denyReading("Capp", "dev/secret")
	s := b.client(t, version5, "app", "t-app", receiveMax(1))
	if code := s.subscribe("tally/dev/secret", 1); code != 0x87 {
		t.Errorf("granted %#x", code)
	}
	for _, f := range []string{"tally/#", "#", "+/dev/+", "$share/g/tally/dev/+"} {
		if code := s.subscribe(f, 1); code != 1 {
			t.Errorf("%s: %#x", f, code)
		}
	}
	b.put("dev/secret", "no")
	b.put("dev/open", "yes")
	first := s.next() // not acknowledged: what follows has to wait
	if string(first.Payload) != "yes" {
		t.Fatalf("got %q", first.Payload)
	}
	b.put("dev/open", "waits")
	s.expectNothing()
	b.denyReading("Capp", "dev/open")
	b.mu.Lock()
	b.changed = true
	b.mu.Unlock()
	b.put("dev/other", "fine")
	time.Sleep(20 * time.Millisecond)
	s.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: first.PacketID})
	s.expectMessage("tally/dev/other", "fine")
	s.expectNothing()
	for _, f := range []string{"$SYS/#", "/oneM2M/resp/Cdev/#", "/oneM2M/req/+/Cdev/json", "elsewhere"} {
		if code := s.subscribe(f, 1); code != 0x87 {
			t.Errorf("%s: granted %#x", f, code)
		}
	}
}

// TestRevoked: the connection of a revoked credential ends within a second or so.
func TestRevoked(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, v byte) {
		b := newBed(t)
		p := b.client(t, v, "dev", "t-dev")
		b.revoke("t-dev")
		p.expectEnd(0x87)
	})
}

// TestAwayAndBack: a session gets what was committed while its client was away, across a restart too, and what it did
// not acknowledge.
func TestAwayAndBack(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, v byte) {
		b := newBed(t)
		s := b.client(t, v, "app", "t-app", persistent(3600))
		s.subscribe("tally/dev/#", 1)
		b.put("dev/temp", "0")
		s.next() // not acknowledged
		s.Close()
		for i := range 3 {
			b.put("dev/temp", fmt.Sprint("a", i))
		}
		s, ack := b.dial(t, v, "app", "t-app", persistent(3600))
		if !ack.SessionPresent {
			t.Fatal("no session")
		}
		if m := s.expectMessage("tally/dev/temp", "0"); !m.FixedHeader.Dup {
			t.Error("a message that is sent again has no DUP flag [MQTT-3.3.1-1]")
		}
		for i := range 3 {
			s.expectMessage("tally/dev/temp", fmt.Sprint("a", i))
		}
		b.put("dev/temp", "live")
		s.expectMessage("tally/dev/temp", "live")
		s.goodbye()
		time.Sleep(20 * time.Millisecond)
		b.put("dev/temp", "b0")
		b.restart()
		b.put("dev/temp", "b1")
		s = b.client(t, v, "app", "t-app", persistent(3600))
		s.expectMessage("tally/dev/temp", "b0")
		s.expectMessage("tally/dev/temp", "b1")
		s.goodbye()
		s, ack = b.dial(t, v, "app", "t-app") // a clean start
		if ack.SessionPresent {
			t.Error("session present after a clean start [MQTT-3.2.2-2]")
		}
		b.put("dev/temp", "gone")
		s.expectNothing()
	})
}

// TestManyMissed: a client that was away gets everything in order, though it takes more than the session holds.
func TestManyMissed(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	s := b.client(t, version5, "app", "t-app", persistent(60))
	s.subscribe("tally/dev/#", 1)
	s.goodbye()
	time.Sleep(20 * time.Millisecond)
	const n = 3*maxQueue + 17
	for i := range n {
		b.put("dev/temp", fmt.Sprint(i))
	}
	s = b.client(t, version5, "app", "t-app", persistent(60))
	for i := range n {
		s.expectMessage("tally/dev/temp", fmt.Sprint(i))
		if i%100 == 0 {
			b.put("dev/temp", fmt.Sprint("more", i))
		}
	}
	for i := 0; i < n; i += 100 {
		s.expectMessage("tally/dev/temp", fmt.Sprint("more", i))
	}
	s.expectNothing()
}

// TestRetained: the last publish with the RETAIN flag is what a new subscriber gets; an empty one clears it
// [MQTT-3.3.1-5] to [MQTT-3.3.1-11].
func TestRetained(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, v byte) {
		b := newBed(t)
		p := b.client(t, v, "dev", "t-dev")
		p.publish("tally/dev/temp", "kept", 1, 1, retain)
		p.expect(packets.Puback, 1, 0)
		p.publish("tally/dev/temp", "not kept", 1, 2)
		p.expect(packets.Puback, 2, 0)
		p.publish("tally/dev/hum", "40", 1, 3, retain)
		p.expect(packets.Puback, 3, 0)
		b.restart()
		s := b.client(t, v, "app", "t-app")
		s.subscribe("tally/#", 1)
		if m := s.expectMessage("tally/dev/hum", "40"); !m.FixedHeader.Retain {
			t.Error("a retained message has no RETAIN flag")
		}
		s.expectMessage("tally/dev/temp", "kept")
		s.expectNothing()
		p = b.client(t, v, "dev", "t-dev")
		p.publish("tally/dev/temp", "", 1, 1, retain)
		p.expect(packets.Puback, 1, 0)
		s.expectMessage("tally/dev/temp", "")
		s.subscribe("tally/dev/temp", 1)
		s.expectNothing()
		b.denyReading("Cother", "dev/hum")
		o := b.client(t, v, "other", "t-other")
		o.subscribe("tally/+/+", 1)
		o.expectNothing()
	})
}

// TestWill: a will is published when the connection is lost, not after DISCONNECT, and not without the right to.
func TestWill(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, v byte) {
		b := newBed(t)
		s := b.client(t, v, "app", "t-app")
		s.subscribe("tally/dev/#", 1)
		p := b.client(t, v, "dev", "t-dev", willOf("tally/dev/state", "lost"))
		p.goodbye()
		s.expectNothing()
		p = b.client(t, v, "dev", "t-dev", willOf("tally/dev/state", "lost"))
		p.Close()
		s.expectMessage("tally/dev/state", "lost")
		p = b.client(t, v, "dev", "t-dev", willOf("tally/dev/state", "revoked"))
		b.revoke("t-dev")
		p.expectEnd(0x87)
		s.expectNothing()
		if got := b.stored("dev/state"); !slices.Equal(got, []string{"lost"}) {
			t.Errorf("stored %q", got)
		}
	})
}

// TestShared: the members of a group share readings, each of which goes to one (MQTT 5.0 clause 4.8.2).
func TestShared(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	a, c := b.client(t, version5, "a", "t-app"), b.client(t, version5, "c", "t-app")
	other := b.client(t, version5, "x", "t-other")
	for _, p := range []*peer{a, c, other} {
		if code := p.subscribe("$share/g/tally/dev/+", 1); code != 1 {
			t.Fatalf("granted %#x", code)
		}
	}
	const n = 10
	for i := range n {
		b.put("dev/temp", fmt.Sprint(i))
	}
	for i := range n {
		other.expectMessage("tally/dev/temp", fmt.Sprint(i)) // a group is its originator's own
	}
	for range n / 2 {
		a.next()
		c.next()
	}
	a.expectNothing()
	c.expectNothing()
	a.Close()
	time.Sleep(20 * time.Millisecond)
	for range 4 {
		b.put("dev/temp", "later")
		c.next()
	}
}

// TestTakeover: a client's second connection ends the first [MQTT-3.1.4-3]; another originator's client of the same
// name is another client.
func TestTakeover(t *testing.T) {
	eachVersion(t, func(t *testing.T, v byte) {
		b := newBed(t)
		first := b.client(t, v, "same", "t-dev")
		b.client(t, v, "same", "t-other")
		first.publish("tally/dev/temp", "1", 1, 1)
		first.expect(packets.Puback, 1, 0)
		second := b.client(t, v, "same", "t-dev")
		first.expectEnd(0x8E)
		second.publish("tally/dev/temp", "1", 1, 1)
		second.expect(packets.Puback, 1, 0)
	})
}

// TestSlowSubscriber: one that takes nothing costs bounded memory and holds nobody up.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	slow := b.client(t, version5, "slow", "t-app")
	slow.subscribe("tally/#", 0)
	good := b.client(t, version5, "good", "t-other")
	good.subscribe("tally/#", 1)
	big := strings.Repeat("x", 64<<10)
	for range 300 {
		b.put("dev/temp", big)
		good.expectMessage("tally/dev/temp", big)
	}
	var s *session
	b.broker.mu.RLock()
	for _, x := range b.broker.sessions {
		if x.client == "slow" {
			s = x
		}
	}
	b.broker.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes > maxQueueBytes || len(s.queue) > maxQueue {
		t.Errorf("%d messages of %d bytes wait", len(s.queue), s.bytes)
	}
}

// TestAnotherThatLooksTheSame: a client that has read the acknowledgement of a message and then sends another with the
// same packet identifier, topic and payload, of which nothing arrives, has it stored when it sends it again, without
// ever having said goodbye. One that has not read the acknowledgement has its message stored once.
func TestAnotherThatLooksTheSame(t *testing.T) {
	eachVersion(t, func(t *testing.T, v byte) {
		b := newBed(t)
		for i := range 4 {
			p, _ := b.dial(t, v, "dev", "t-dev", persistent(60))
			var flags []func(*packets.Packet)
			if i > 0 {
				flags = append(flags, dup)
			}
			p.publish("tally/dev/temp", "21", 1, 1, flags...)
			p.expect(packets.Puback, 1, 0)
			p.Close()
			if got := len(b.stored("dev/temp")); runtime.GOOS == "linux" && got != i+1 {
				t.Fatalf("%d are stored after message %d", got, i+1)
			}
		}
		hold := make(chan struct{})
		b.mu.Lock()
		b.hold = hold
		b.mu.Unlock()
		p, _ := b.dial(t, v, "other", "t-dev", persistent(60))
		p.publish("tally/dev/lost", "21", 1, 1)
		for len(b.stored("dev/lost")) == 0 {
			time.Sleep(time.Millisecond)
		}
		p.Close()
		close(hold)
		p, _ = b.dial(t, v, "other", "t-dev", persistent(60))
		p.publish("tally/dev/lost", "21", 1, 1, dup)
		p.expect(packets.Puback, 1, 0)
		if got := b.stored("dev/lost"); len(got) != 1 {
			t.Errorf("stored %q", got)
		}
	})
}
