package guard

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/nab"
)

func newGuard(t testing.TB, o Options) *Guard {
	t.Helper()
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func request(who, to string) *Request {
	return &Request{Originator: who, Actor: who, Source: "192.0.2.7", Target: to, Bytes: 60, Count: 1}
}

// seen counts the events of each detector about an originator.
func seen(g *Guard, who string) map[Detector]int {
	n := make(map[Detector]int)
	for _, e := range g.Events(maxEvents) {
		if e.Originator == who {
			n[e.Detector]++
		}
	}
	return n
}

// send lets a request through and ends it.
func send(g *Guard, r *Request, denied bool) *Limit {
	p, limit := g.Admit(context.Background(), r)
	if limit == nil {
		p.Done(denied, false)
	}
	return limit
}

func TestQuotaOfMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Options{Quotas: Quotas{Messages: 100, MessageBurst: 200}})
		defer g.Close()
		over := 0
		for range 500 {
			if limit := send(g, request("C1", "a"), false); limit != nil {
				over++
				if limit.After <= 0 || !strings.Contains(limit.Error(), "100 requests a second") {
					t.Fatal(limit)
				}
			}
		}
		if over != 300 {
			t.Errorf("%d of 500 at once are over a burst of 200", over)
		}
		if send(g, request("C2", "a"), false) != nil {
			t.Error("another originator is refused")
		}
		begin := time.Now()
		for range 100 { // one that can be kept waiting is
			r := request("C1", "a")
			r.MayWait = true
			if limit := send(g, r, false); limit != nil {
				t.Fatal(limit)
			}
		}
		if d := time.Since(begin); d < 900*time.Millisecond || d > 1100*time.Millisecond {
			t.Errorf("100 requests at 100 a second took %s", d)
		}
		op := request("Cop", "a")
		op.Trusted = true
		for range 2000 {
			if limit := send(g, op, false); limit != nil {
				t.Fatal("an operator: ", limit)
			}
		}
	})
}

// TestFairShare: one alone may have many requests under way; beside others, half of all beyond a floor.
func TestFairShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Options{})
		defer g.Close()
		count := func() (n int, passes []Pass) {
			for range 5000 {
				p, limit := g.Admit(context.Background(), request("Cflood", "a"))
				if limit == nil {
					n, passes = n+1, append(passes, p)
				}
			}
			return n, passes
		}
		n, passes := count()
		if n != 4096 {
			t.Errorf("alone: %d", n)
		}
		for _, p := range passes {
			p.Done(false, false)
		}
		good, limit := g.Admit(context.Background(), request("Cgood", "a"))
		if limit != nil {
			t.Fatal(limit)
		}
		if n, passes = count(); n != fairFloor {
			t.Errorf("beside another: %d", n)
		}
		good.Done(false, false)
		// One that can wait gets the place that another leaves.
		var wg sync.WaitGroup
		r := request("Cflood", "a")
		r.MayWait = true
		wg.Go(func() {
			if p, limit := g.Admit(context.Background(), r); limit != nil {
				t.Error(limit)
			} else {
				p.Done(false, false)
			}
		})
		time.Sleep(100 * time.Millisecond)
		for _, p := range passes {
			p.Done(false, false)
		}
		wg.Wait()
		if g.underWay.Load() != 0 || g.actor("Cflood").underWay.Load() != 0 {
			t.Error("places are lost")
		}
	})
}

// TestBot: a device that scans and floods is put into quarantine, with evidence, within seconds.
func TestBot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ordered := make(chan string, maxQuarantine)
		g := newGuard(t, Options{Quarantine: func(_ context.Context, who, reason, evidence string) error {
			ordered <- who + ": " + reason + ": " + evidence
			return nil
		}})
		defer g.Close()
		for range 600 { // a good life
			send(g, request("Cbot", "tally/bot/data"), false)
			time.Sleep(time.Second)
		}
		if e := g.Events(9); len(e) != 0 {
			t.Fatalf("a good life raised %v", e)
		}
		begin := time.Now()
		for i := 0; i < 20_000 && len(ordered) == 0; i++ {
			send(g, request("Cbot", fmt.Sprint("tally/victim", i)), true)
			time.Sleep(time.Millisecond)
		}
		if len(ordered) == 0 {
			t.Fatalf("nothing is ordered after %s; events %v", time.Since(begin), g.Events(9))
		}
		if order := <-ordered; !strings.Contains(order, "Cbot: behaviour: refusals and rate: refusals: ") || !strings.Contains(order, "rate: 201") {
			t.Error(order)
		}
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("it took %s", d)
		}
		if e := g.Events(1)[0]; e.Action != ToQuarantine {
			t.Errorf("the newest event is %+v", e)
		}
	})
}

// TestNoQuarantine: what looks strange and is not: a backlog after an outage, a device that goes on asking for what it lost
// the right to, one that moves, an operator that looks for something.
func TestNoQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Options{Quarantine: func(_ context.Context, who, reason, evidence string) error {
			t.Errorf("%s is put into quarantine: %s: %s", who, reason, evidence)
			return nil
		}})
		defer g.Close()
		for range 300 {
			send(g, request("Coutage", "tally/a/data"), false)
			send(g, request("Clost", "tally/b/data"), false)
			r := request("Cmoves", "tally/c/data")
			send(g, r, false)
			time.Sleep(time.Second)
		}
		time.Sleep(6 * time.Hour)
		for range 21_600 {
			send(g, request("Coutage", "tally/a/data"), false)
		}
		for range 5000 {
			send(g, request("Clost", "tally/b/data"), true)
		}
		for i := range 5000 {
			r := request("Cop", fmt.Sprint("tally/x", i))
			r.Trusted = true
			send(g, r, true)
		}
		r := request("Cmoves", "tally/c/data")
		r.Source = "2001:db8::1"
		for range 100 {
			send(g, r, false)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if n := seen(g, "Coutage"); n[Rate] == 0 || n[Refusals] != 0 {
			t.Errorf("the backlog raised %v", n)
		}
		if n := seen(g, "Cmoves"); n[Places] != 0 {
			t.Errorf("who moves raised %v", n)
		}
	})
}

func TestDetectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Options{})
		defer g.Close()
		for i := range 200 {
			send(g, request("Csilent", "tally/s/data"), false)
			send(g, request("Csize", "tally/z/data"), false)
			send(g, request("Cwander", "tally/w/data"), false)
			r := request("Cplaces", "tally/p/data")
			send(g, r, false)
			time.Sleep(time.Second + time.Duration(i%3)*50*time.Millisecond)
		}
		big := request("Csize", "tally/z/data")
		big.Bytes = 60_000
		send(g, big, false)
		for i := range 60 {
			send(g, request("Cwander", fmt.Sprint("tally/n", i)), false)
		}
		for i := range 20 { // a stolen key beside its owner's
			r := request("Cplaces", "tally/p/data")
			if i%2 == 0 {
				r.Source = "198.51.100.9"
			}
			send(g, r, false)
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(2 * time.Minute)
		for who, d := range map[string]Detector{"Csilent": Silence, "Csize": Size, "Cwander": Destinations, "Cplaces": Places} {
			if n := seen(g, who); n[d] == 0 || d != Silence && len(n) > 2 {
				t.Errorf("%s raised %v, want %s", who, n, d)
			}
		}
		if g.Counts()[Silence] < 1 {
			t.Error("nothing counted")
		}
	})
}

// TestLockout: bad credentials lock an address out for longer and longer; who keeps still for an hour begins anew.
func TestLockout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Options{})
		defer g.Close()
		const from = "203.0.113.5"
		for range 4 {
			g.Failed(from, "", true)
		}
		if g.Locked(from) != 0 {
			t.Fatal("locked after 4")
		}
		var locks []time.Duration
		for range 12 {
			g.Failed(from, "Cvictim", true)
			d := g.Locked(from)
			locks = append(locks, d)
			time.Sleep(d)
		}
		if locks[0] != time.Second || locks[1] != 2*time.Second || locks[5] != 32*time.Second {
			t.Errorf("locked for %v", locks)
		}
		if max := locks[len(locks)-1]; max != 15*time.Minute {
			t.Logf("the longest is %s", max)
		}
		if g.Locked("203.0.113.6") != 0 || g.Locked("") != 0 || g.Locked("x") != 0 {
			t.Error("another address is locked")
		}
		if seen(g, "Cvictim")[Lockout] == 0 {
			t.Error("no event about who was attacked")
		}
		time.Sleep(2 * time.Hour)
		g.Failed(from, "", true)
		if g.Locked(from) != 0 {
			t.Error("one mistake after hours locks")
		}
		g.Failed("2001:db8:1:2:aaaa::1", "", true)
		for i := range 5 {
			g.Failed(fmt.Sprintf("2001:db8:1:2::%x", i), "", true)
		}
		if g.Locked("2001:db8:1:2:ffff::9") == 0 {
			t.Error("another address of one IPv6 network is not locked")
		}
	})
}

// TestLockedOutClaims: who goes on in spite of a lockout, and claims to be another each time, makes no events of it.
func TestLockedOutClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Options{Quotas: Quotas{Strangers: -1}})
		defer g.Close()
		for i := range 10_000 {
			for range maxFailures {
				g.Failed("203.0.113.5", fmt.Sprint("C", i), true)
			}
		}
		if n := g.Counts()[Lockout]; n > 2 {
			t.Errorf("%d events", n)
		}
	})
}

// TestListener: an address gets no more connections than its share, and gets new ones when it closes some.
func TestListener(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := newGuard(t, Options{Quotas: Quotas{SourceConnections: 2}})
	l := g.Listen(inner)
	defer l.Close()
	accepted := make(chan net.Conn, 9)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	dial()
	a, b := <-accepted, <-accepted
	// Bindings ask the socket what has arrived, and write many buffers to it at once.
	if s, ok := a.(interface{ NetConn() net.Conn }); !ok {
		t.Errorf("%T tells nothing of its socket", a)
	} else if _, ok := s.NetConn().(*net.TCPConn); !ok {
		t.Errorf("%T is no socket", s.NetConn())
	}
	if _, ok := a.(io.ReaderFrom); !ok {
		t.Errorf("%T can do no more than a net.Conn", a)
	}
	if third, err := net.Dial("tcp", inner.Addr().String()); err == nil { // it may be reset as soon as that
		third.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := third.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("the third connection: %v", err)
		}
		third.Close()
	}
	a.Close()
	a.Close()
	dial()
	(<-accepted).Close()
	b.Close()
}

// TestBounded: a flood of addresses and originators takes no more memory than the tables have room for.
func TestBounded(t *testing.T) {
	g := newGuard(t, Options{})
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := held()
	for i := range 400_000 {
		g.Failed(fmt.Sprintf("%d.%d.%d.%d", i>>24, i>>16&255, i>>8&255, i&255), fmt.Sprint("C", i), true)
	}
	for i := range 100_000 {
		send(g, request(fmt.Sprint("/cse/C", i), "a"), false)
	}
	if grown := int64(held()) - int64(before); grown > 24<<20 {
		t.Errorf("%d MiB are held", grown>>20)
	}
	if n := len(g.sources.m); n > maxSources {
		t.Errorf("%d addresses", n)
	}
	runtime.KeepAlive(g)
}

func TestPolicyIsChecked(t *testing.T) {
	for _, r := range []Rule{{Detector: "nothing", Action: Log}, {Detector: "rate", Action: "shout"}, {Detector: "rate+", Action: Log}} {
		if Check([]Rule{r}) == nil {
			t.Errorf("%+v is taken", r)
		}
	}
	if err := Check(DefaultPolicy()); err != nil {
		t.Error(err)
	}
}

func BenchmarkAdmit(b *testing.B) {
	g := newGuard(b, Options{Quotas: Quotas{Messages: -1, MessageBurst: -1, Bytes: -1, ByteBurst: -1}})
	r := request("Cdev", "tally/dev/data")
	for b.Loop() {
		p, limit := g.Admit(context.Background(), r)
		if limit != nil {
			b.Fatal(limit)
		}
		p.Done(false, false)
	}
}

// TestRealReadings: sensors that send as real ones did, with their gaps, raise nothing but silence, and the backlog after an
// outage puts none of them into quarantine.
func TestRealReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Options{Quarantine: func(_ context.Context, who, reason, evidence string) error {
			t.Errorf("%s is put into quarantine: %s: %s", who, reason, evidence)
			return nil
		}})
		defer g.Close()
		for _, s := range nab.Sensors {
			all, err := s.Readings()
			if err != nil {
				t.Fatal(err)
			}
			post := func(r nab.Reading) {
				q := request("C"+s.Name, "tally/"+s.Name+"/data")
				q.Bytes = len(r.Value) + 30
				send(g, q, false)
			}
			at := all[0].Time
			for _, r := range all[:600] {
				time.Sleep(max(r.Time.Sub(at), 0))
				at = r.Time
				post(r)
			}
			for d, n := range seen(g, "C"+s.Name) {
				if d != Silence || n > 20 {
					t.Errorf("%s raised %s %d times", s.Name, d, n)
				}
			}
			time.Sleep(24 * time.Hour)
			for _, r := range all[600:] { // what it could not send meanwhile
				post(r)
			}
			for d := range seen(g, "C"+s.Name) {
				if d != Silence && d != Rate {
					t.Errorf("the backlog of %s raised %s", s.Name, d)
				}
			}
		}
	})
}
