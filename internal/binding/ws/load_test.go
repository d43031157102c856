package wsbinding

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// Requests are answered in the order in which they are done, many being under way at a time, but no more than the limit.
func TestPipelined(t *testing.T) {
	var under, most atomic.Int64
	w := &world{}
	release := make(chan struct{})
	w.do = func(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
		if n := under.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer under.Add(-1)
		if req.RequestID == "0" {
			<-release
		}
		time.Sleep(time.Millisecond)
		return &onem2m.Response{Status: onem2m.StatusCreated, RequestID: req.RequestID, ReleaseVersion: "4"}
	}
	_, url := serve(t, w, nil)
	c := dial(t, url, "oneM2M.json", "Cdev-token")
	const count = 2000
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range count {
			if err := c.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, reading, i, i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	seen := make(map[string]bool)
	for len(seen) < count {
		if len(seen) == count-1 {
			close(release)
		}
		_, text, err := c.receive()
		must(t, err)
		rsp, err := onem2m.ParseResponse([]byte(text))
		if err != nil || seen[rsp.RequestID] {
			t.Fatalf("%s, %v", text, err)
		}
		seen[rsp.RequestID] = true
		if rsp.RequestID == "0" && len(seen) < count {
			t.Error("the first answer was held back for nothing")
		}
	}
	wg.Wait()
	if n := most.Load(); n < 32 || n > 256 {
		t.Errorf("%d requests were under way at a time", n)
	}
}

// A message over the limit closes the connection with code 1009; one up to it passes.
func TestLongMessages(t *testing.T) {
	_, url := serve(t, &world{}, func(o *Options) { o.MaxMessage = 100_000 })
	c := dial(t, url, "oneM2M.json", "Cdev-token")
	text := fmt.Sprintf(reading, 1, 5)
	for _, n := range []int{4096, 4097, 50_000, 100_000} {
		c.send(text + strings.Repeat(" ", n-len(text)))
		c.want(`{"rsc":2001,"rqi":"1","rvi":"4","to":"Cdev","pc":{"m2m:cin":{"con":"5"}}}`)
	}
	go func() { // more than the kernel's buffers take
		_ = c.Write(context.Background(), websocket.MessageText, make([]byte, 20_000_000))
	}()
	if code := c.closed(); code != websocket.StatusMessageTooBig {
		t.Errorf("closed with %v", code)
	}
}

// Long messages of all connections share a bounded memory; it is given back however a connection ends.
func TestMessageMemory(t *testing.T) {
	w := &world{}
	hold := make(chan struct{})
	w.do = func(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
		<-hold
		return &onem2m.Response{Status: onem2m.StatusOK, RequestID: req.RequestID}
	}
	b, url := serve(t, w, func(o *Options) { o.MaxMessage, o.MessageMemory = 100_000, 150_000 })
	text := fmt.Sprintf(reading, 1, 5)
	first := dial(t, url, "oneM2M.json", "Cdev-token")
	first.send(text + strings.Repeat(" ", 90_000))
	second := dial(t, url, "oneM2M.json", "Cdev-token")
	second.send(text + strings.Repeat(" ", 90_000))
	small := dial(t, url, "oneM2M.json", "Cdev-token")
	small.send(text)
	third := dial(t, url, "oneM2M.json", "Cdev-token")
	must(t, third.Write(context.Background(), websocket.MessageText, make([]byte, 5000)))
	third.CloseNow()
	time.Sleep(20 * time.Millisecond)
	close(hold)
	for _, c := range []*client{small, first, second} {
		if _, text, err := c.receive(); err != nil || !strings.Contains(text, "2000") {
			t.Errorf("%s, %v", text, err)
		}
	}
	until(t, "the memory is given back", func() bool { return b.memory.TryAcquire(150_000) })
	b.memory.Release(150_000)
}

// A client that sends and never reads is not served beyond the window, and holds nobody else up.
func TestSlowReader(t *testing.T) {
	w := &world{}
	var executed atomic.Int64
	big := []byte(`"` + strings.Repeat("x", 200_000) + `"`)
	w.do = func(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
		executed.Add(1)
		return &onem2m.Response{Status: onem2m.StatusOK, RequestID: req.RequestID, Content: big}
	}
	_, url := serve(t, w, nil)
	slow := dial(t, url, "oneM2M.json", "Cdev-token")
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	for i := range 5000 {
		if slow.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"op":2,"to":"c","fr":"Cdev","rqi":"%d"}`, i)) != nil {
			break
		}
	}
	time.Sleep(50 * time.Millisecond)
	if n := executed.Load(); n > 500 { // the window, and what the kernel's buffers took
		t.Errorf("%d requests of a client that reads nothing were executed", n)
	}
	good := dial(t, url, "oneM2M.json", "Cdev-token")
	good.send(`{"op":2,"to":"c","fr":"Cdev","rqi":"1"}`)
	if _, text, err := good.receive(); err != nil || len(text) < 200_000 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// The messages of a plain device are answered in their order, though many are under way.
func TestPlainDevice(t *testing.T) {
	_, url := serve(t, &world{}, nil)
	c := dial(t, url+"/ingest/dev/room?ct=application%2Fsenml%2Bjson", "", "Cdev-token")
	start := time.Now()
	for i := range 40 {
		c.send(fmt.Sprintf(`{"wait":%d,"bad":%v}`, 50-i, i == 7))
	}
	for i := range 40 {
		if i == 7 {
			c.want(`{"rsc":4000,"dbg":"dev/room application/senml+json is bad"}`)
		} else {
			c.want(`{"rsc":2001}`)
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("40 messages took %s: one after another", took)
	}
	_, none := serve(t, &world{}, func(o *Options) { o.Plain = nil })
	if ws, rsp, err := try(none+"/ingest/dev/room", "", "Cdev-token"); err == nil || rsp.StatusCode != 404 {
		ws.CloseNow()
		t.Errorf("no door for plain devices: %v, %v", rsp, err)
	}
}

// tick lets time pass for a binding.
func tick(b *Binding, n int64) {
	now := b.clock.Add(n)
	b.mu.Lock()
	var all []*conn
	for c := range b.conns {
		all = append(all, c)
	}
	b.mu.Unlock()
	for _, c := range all {
		c.lookAfter(now)
	}
}

// A revoked credential ends its connections, whether it was shown in the handshake or in a request.
func TestRevoked(t *testing.T) {
	w := &world{}
	b, url := serve(t, w, nil)
	inHandshake, inRequest, other := dial(t, url, "oneM2M.json", "Cdev-token"), dial(t, url, "oneM2M.json", ""), dial(t, url, "oneM2M.json", "Cother-token")
	inRequest.send(`{"op":2,"to":"c","fr":"Cdev","rqi":"1","tkns":["Cdev-token"]}`)
	if _, text, err := inRequest.receive(); err != nil || !strings.Contains(text, `"rsc":2000`) {
		t.Fatalf("%s, %v", text, err)
	}
	w.revoke("Cdev-token")
	for _, c := range []*client{inHandshake, inRequest} {
		if code := c.closed(); code != websocket.StatusPolicyViolation {
			t.Errorf("closed with %v", code)
		}
	}
	other.send(`{"op":2,"to":"c","fr":"Cother","rqi":"1"}`)
	if _, text, err := other.receive(); err != nil || !strings.Contains(text, "2000") {
		t.Errorf("another's connection: %s, %v", text, err)
	}
	until(t, "the originator does not count as connected", func() bool { return !b.Connected("Cdev") })
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (b *Binding) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

// Silent connections end: those that answer no ping, that stop within a message, that show no credential.
func TestSilentClients(t *testing.T) {
	b, url := serve(t, &world{}, nil)
	half, silent, stranger := dial(t, url, "oneM2M.json", "Cdev-token"), dial(t, url, "oneM2M.json", "Cdev-token"), dial(t, url, "oneM2M.json", "")
	w, err := half.Writer(t.Context(), websocket.MessageText)
	must(t, err)
	_, err = w.Write([]byte(`{"op":`))
	must(t, err)
	alive := dial(t, url, "oneM2M.json", "Calive-token")
	go func() { // answers pings
		_, _, _ = alive.Read(context.Background())
	}()
	until(t, "all are connected", func() bool { return b.Connected("Calive") && b.Connected("Cdev") && b.connections() == 4 })
	b.mu.Lock()
	answering := b.peers["Calive"][0]
	b.mu.Unlock()
	tick(b, ticks(strangerTime)+1)
	stranger.closed()
	for range 3 {
		tick(b, ticks(pingInterval))
		until(t, "the ping is answered", func() bool { return answering.heard.Load() >= b.clock.Load() })
	}
	silent.closed()
	half.closed()
	until(t, "only the one that answers is left", func() bool { return b.connections() == 1 })
}

// A TCP connection that vanishes leaves nothing behind.
func TestVanished(t *testing.T) {
	w := &world{}
	hold := make(chan struct{})
	w.do = func(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
		<-hold
		return &onem2m.Response{Status: onem2m.StatusOK}
	}
	b, url := serve(t, w, nil)
	for range 20 {
		c := dial(t, url, "oneM2M.json", "Cdev-token")
		c.send(fmt.Sprintf(reading, 1, 1))
		c.CloseNow()
	}
	raw, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	must(t, err)
	fmt.Fprintf(raw, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: oneM2M.json\r\nAuthorization: Bearer Cdev-token\r\n\r\n\x81\xfe")
	raw.Close()
	close(hold)
	until(t, "no connection is left", func() bool { return b.connections() == 0 && !b.Connected("Cdev") })
}

// What is under way when the node stops is answered first.
func TestClose(t *testing.T) {
	w := &world{}
	w.do = func(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
		time.Sleep(50 * time.Millisecond)
		return &onem2m.Response{Status: onem2m.StatusOK, RequestID: req.RequestID}
	}
	b, url := serve(t, w, nil)
	c := dial(t, url, "oneM2M.json", "Cdev-token")
	c.send(fmt.Sprintf(reading, 1, 1))
	until(t, "the request is under way", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.seen) == 1
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		b.Close(ctx)
	})
	if _, text, err := c.receive(); err != nil || !strings.Contains(text, "2000") {
		t.Errorf("%s, %v", text, err)
	}
	if code := c.closed(); code != websocket.StatusGoingAway {
		t.Errorf("closed with %v", code)
	}
	wg.Wait()
}

var _ binding.Client = (*Binding)(nil)
