package coapbinding

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// raw is a client that sees every datagram.
type raw struct {
	t    testing.TB
	conn net.Conn
}

func newRaw(t testing.TB, addr string) *raw {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return &raw{t, conn}
}

func (r *raw) send(b []byte) {
	r.t.Helper()
	_, err := r.conn.Write(b)
	must(r.t, err)
}

func (r *raw) receive() *message.Message {
	r.t.Helper()
	must(r.t, r.conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	b := make([]byte, maxDatagram)
	n, err := r.conn.Read(b)
	must(r.t, err)
	m, err := decode(b[:n])
	must(r.t, err)
	return m
}

func (r *raw) silence() {
	r.t.Helper()
	must(r.t, r.conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	b := make([]byte, maxDatagram)
	if n, err := r.conn.Read(b); err == nil {
		r.t.Fatalf("got %d bytes, want nothing", n)
	}
}

func create(t testing.TB, typ message.Type, mid int32, token string) []byte {
	t.Helper()
	b, err := encode(&message.Message{
		Type: typ, Code: codes.POST, MessageID: mid, Token: message.Token(token), Payload: []byte(`{"m2m:cin":{"con":"21"}}`),
		Options: oneM2M("tally/a/c", num(optionTY, 4)),
	})
	must(t, err)
	return b
}

// RFC 7252 clause 4.5: a request that arrives again is answered as the first time and not executed again; one that only
// has the same message ID is new.
func TestRepeatedRequest(t *testing.T) {
	f := &fake{}
	_, addr := serve(t, f, Options{}, nil)
	c := newRaw(t, addr)
	for range 3 {
		c.send(create(t, message.Confirmable, 7, "a"))
		if m := c.receive(); m.Type != message.Acknowledgement || m.Code != codes.Created || m.MessageID != 7 || string(m.Token) != "a" {
			t.Errorf("got %v", m)
		}
	}
	if n := f.count(); n != 1 {
		t.Errorf("executed %d times", n)
	}
	c.send(create(t, message.Confirmable, 7, "b"))
	if m := c.receive(); string(m.Token) != "b" || f.count() != 2 {
		t.Errorf("a new request with an old message ID: %v, %d executed", m, f.count())
	}
	c.send(create(t, message.NonConfirmable, 9, "c"))
	if m := c.receive(); m.Type != message.NonConfirmable || m.Code != codes.Created {
		t.Errorf("got %v", m)
	}
	c.send(create(t, message.NonConfirmable, 9, "c"))
	c.silence()
	if n := f.count(); n != 3 {
		t.Errorf("executed %d requests", n)
	}
}

// RFC 7252 clauses 4.2 and 5.2.2: what takes long is acknowledged first; the response comes by itself, and again until
// it is acknowledged.
func TestSeparateResponse(t *testing.T) {
	let := make(chan struct{})
	f := &fake{respond: func(*onem2m.Request) *onem2m.Response { <-let; return &onem2m.Response{Status: onem2m.StatusCreated} }}
	s, addr := serve(t, f, Options{}, func(l *limits) { l.ackDelay, l.ackTimeout = 20*time.Millisecond, 40*time.Millisecond })
	c := newRaw(t, addr)
	c.send(create(t, message.Confirmable, 7, "a"))
	if m := c.receive(); m.Type != message.Acknowledgement || m.Code != codes.Empty || m.MessageID != 7 || len(m.Token) != 0 {
		t.Fatalf("got %v, want an empty acknowledgement", m)
	}
	close(let)
	for range 2 {
		if m := c.receive(); m.Type != message.Confirmable || m.Code != codes.Created || string(m.Token) != "a" {
			t.Fatalf("got %v, want a separate response", m)
		}
	}
	c.send(header(message.Acknowledgement, 7))
	time.Sleep(20 * time.Millisecond)
	s.confirms.mu.Lock()
	if n := len(s.confirms.under); n != 0 {
		t.Errorf("%d responses still wait for an acknowledgement", n)
	}
	s.confirms.mu.Unlock()
	if n := f.count(); n != 1 {
		t.Errorf("executed %d times", n)
	}
}

// RFC 7252 clauses 4.2, 4.3, 5.4.1 and 5.4.5: malformed messages, pings, and options that are not known.
func TestMalformed(t *testing.T) {
	f := &fake{}
	_, addr := serve(t, f, Options{}, nil)
	c := newRaw(t, addr)
	for _, b := range []string{"", "\x40", "\x80\x01\x00\x01", "\x50\x01\x00\x01\xff", "\x60\x00\x00\x01", "\x70\x00\x00\x01", "\x50\x00\x00\x01x"} {
		if b != "" {
			c.send([]byte(b))
		}
	}
	c.silence()
	for name, b := range map[string]string{
		"ping": "\x40\x00\x12\x34", "payload marker without payload": "\x40\x01\x12\x34\xff", "token of 9 bytes": "\x49\x01\x12\x34123456789",
		"option cut off": "\x40\x01\x12\x34\xb5ab", "reserved length": "\x40\x01\x12\x34\xbf", "a response": "\x40\x45\x12\x34", "an empty one with a token": "\x41\x00\x12\x34a",
	} {
		c.send([]byte(b))
		if m := c.receive(); m.Type != message.Reset || m.MessageID != 0x1234 {
			t.Errorf("%s: %v, want a Reset", name, m)
		}
	}
	for name, o := range map[string]message.Options{
		"unknown critical":  oneM2M("tally", num(9999, 1)),
		"originator twice":  oneM2M("tally", str(optionFR, "CB")),
		"If-None-Match":     oneM2M("tally", opt{ID: message.IfNoneMatch}),
		"type of 3 bytes":   oneM2M("tally", num(optionTY, 1<<16)),
		"a response's":      oneM2M("tally", num(optionRSC, 2000)),
		"reserved block":    oneM2M("tally", num(message.Block1, 7)),
		"old option number": oneM2M("tally", str(mobiusRQI, "r")),
	} {
		b, err := encode(&message.Message{Type: message.Confirmable, Code: codes.GET, MessageID: 1, Options: o})
		must(t, err)
		c.send(b)
		if m := c.receive(); m.Code != codes.BadOption {
			t.Errorf("%s: %v, want 4.02", name, m)
		}
	}
	b, err := encode(&message.Message{Type: message.Confirmable, Code: codes.GET, MessageID: 2, Options: oneM2M("tally", num(message.Observe, 0), num(9998, 1))})
	must(t, err)
	c.send(b)
	if m := c.receive(); m.Code != codes.Created && m.Code != codes.Content || f.count() != 1 || optionValue(m, message.Observe) != nil {
		t.Errorf("RFC 7641 4.1: %v", m)
	}
}

// RFC 7252 clause 11.3: who has no credential gets no more than three times the bytes that he sent, and leaves nothing.
func TestStranger(t *testing.T) {
	f := &fake{}
	s, addr := serve(t, f, Options{}, nil)
	c := newRaw(t, addr)
	for _, o := range []message.Options{nil, {str(message.URIPath, "tally")}, {str(message.URIPath, "tally"), str(message.URIQuery, "tkns=tally_bad")}} {
		b, err := encode(&message.Message{Type: message.Confirmable, Code: codes.GET, MessageID: 1, Options: o})
		must(t, err)
		c.send(b)
		m := c.receive()
		answer, err := encode(m)
		must(t, err)
		if m.Code != codes.Forbidden || len(answer) > 3*max(len(b), 5) {
			t.Errorf("%d bytes are answered with %d: %v", len(b), len(answer), m)
		}
	}
	s.exchanges.mu.Lock()
	defer s.exchanges.mu.Unlock()
	if f.count() != 0 || len(s.exchanges.byKey) != 0 {
		t.Errorf("%d executed, %d remembered", f.count(), len(s.exchanges.byKey))
	}
}

// A token that came in clear over the network is refused, over DTLS, from this machine or where the operator allows it not.
func TestTokenInClear(t *testing.T) {
	l := &udpLink{}
	far, near := netip.MustParseAddrPort("192.0.2.1:5683"), netip.MustParseAddrPort("[::ffff:127.0.0.1]:5683")
	for _, c := range []struct {
		p       peer
		allowed bool
		ok      bool
	}{{peer{link: l, addr: far}, false, false}, {peer{link: l, addr: far}, true, true}, {peer{link: l, addr: near}, false, true}, {peer{link: l, secure: true}, false, true}} {
		s := newServer(&fake{}, Options{TokensInClear: c.allowed}, defaultLimits())
		got, err := s.newCall(c.p, &message.Message{Code: codes.GET, Options: oneM2M("tally")}, 100)
		if (err == nil) != c.ok || (got.evidence.Token != "") != c.ok {
			t.Errorf("%+v: token %q, %v", c, got.evidence.Token, err)
		}
		must(t, s.Shutdown(t.Context()))
	}
}

// Requests and responses of many blocks (RFC 7959), with go-coap's client.
func TestBlocks(t *testing.T) {
	long := `{"m2m:cin":{"con":"` + strings.Repeat("x", 100_000) + `"}}`
	f := &fake{respond: func(req *onem2m.Request) *onem2m.Response {
		return &onem2m.Response{Status: onem2m.StatusCreated, Content: bytes.Clone([]byte(long))}
	}}
	s, addr := serve(t, f, Options{}, nil)
	rsp := ask(t, dial(t, addr), codes.POST, []byte(long), oneM2M("tally/a/c", num(optionTY, 4), num(message.ContentFormat, 50)))
	if got := f.last(t); string(got.Content) != long || f.count() != 1 {
		t.Errorf("%d bytes came in %d requests", len(got.Content), f.count())
	}
	if rsp.Code() != codes.Created || body(t, rsp) != long {
		t.Errorf("got %v", rsp)
	}
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	if s.uploads.held != 0 || len(s.uploads.under) != 0 {
		t.Errorf("%d bytes are still held for %d requests", s.uploads.held, len(s.uploads.under))
	}
}

// RFC 7959 clauses 2.5 and 2.9: blocks out of order, of a wrong size, too many, left unfinished.
func TestBadBlocks(t *testing.T) {
	l := defaultLimits()
	l.body, l.transferBytes, l.transfersPerPeer = 4096, 8192, 2
	ts := newTransfers(&l)
	now := time.Now()
	key := func(n uint64) transferKey { return transferKey{peer{addr: netip.MustParseAddrPort("192.0.2.1:1")}, n} }
	put := func(n uint64, num uint32, more bool, size int) error {
		_, held, err := ts.receive(key(n), block{given: true, num: num, more: more, szx: 6}, make([]byte, size), now)
		ts.release(held)
		return err
	}
	for _, c := range []struct {
		n    uint64
		num  uint32
		more bool
		size int
		want error
	}{
		{1, 1, true, 1024, errIncomplete}, {1, 0, true, 1023, errBlockSize}, {1, 0, true, 1024, nil}, {1, 2, true, 1024, errIncomplete},
		{1, 1, false, 10, errIncomplete}, {1, 0, true, 1024, nil}, {1, 1, true, 1024, nil}, {1, 1, true, 1024, nil}, {1, 2, false, 1, nil},
		{2, 0, true, 1024, nil}, {3, 0, true, 1024, nil}, {4, 0, true, 1024, nil},
	} {
		if err := put(c.n, c.num, c.more, c.size); err != c.want && !(err != nil && c.want != nil && err.Error() == c.want.Error()) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if len(ts.under) != 2 || ts.held != 8192 {
		t.Errorf("%d transfers hold %d bytes", len(ts.under), ts.held)
	}
	if err := put(4, 4, true, 1024); err == nil {
		t.Error("more than the largest body was taken")
	}
	ts.expire(now.Add(time.Second))
	if len(ts.under) != 0 || ts.held != 0 || len(ts.peers) != 0 {
		t.Errorf("%d transfers hold %d bytes after they expired", len(ts.under), ts.held)
	}
}

// Devices that speak no oneM2M get no options that they would have to know.
func TestPlain(t *testing.T) {
	f := &fake{}
	_, addr := serve(t, f, Options{Plain: f}, nil)
	c := dial(t, addr)
	with := func(path string, format uint32) message.Options {
		o := message.Options{str(message.URIQuery, "tkns="+goodToken), num(message.ContentFormat, format)}
		for s := range strings.SplitSeq(path, "/") {
			o = append(o, str(message.URIPath, s))
		}
		sortOptions(o)
		return o
	}
	rsp := ask(t, c, codes.POST, []byte("21.5"), with("ingest/a/c", 0))
	if rsp.Code() != codes.Created || len(rsp.Options()) != 0 || body(t, rsp) != "" {
		t.Errorf("got %v", rsp)
	}
	if m := f.message(0); m.Path != "a/c" || m.MediaType != "text/plain;charset=utf-8" || string(m.Body) != "21.5" || m.SourceIP != "127.0.0.1" {
		t.Errorf("got %+v", m)
	}
	ask(t, c, codes.POST, []byte("[]"), with("ingest/a/c", 110))
	if m := f.message(1); m.MediaType != "application/senml+json" {
		t.Errorf("got %+v", m)
	}
	if rsp := ask(t, c, codes.POST, []byte("1"), with("ingest/a/refused", 0)); rsp.Code() != codes.Forbidden || body(t, rsp) != "no rights" || len(rsp.Options()) != 0 {
		t.Errorf("got %v", rsp)
	}
	if rsp := ask(t, c, codes.GET, nil, with("ingest/a/c", 0)); rsp.Code() != codes.MethodNotAllowed {
		t.Errorf("got %v", rsp)
	}
}

// FuzzDatagram sends any bytes through the whole server but its socket.
func FuzzDatagram(f *testing.F) {
	f.Add(create(f, message.Confirmable, 1, "a"))
	f.Add([]byte("\x40\x01\x12\x34\xff"))
	f.Add([]byte("\x40\x02\x00\x01\xbe\x00\x01ingest"))
	h := &fake{lab: true}
	s := newServer(h, Options{Plain: h, Mobius: true}, defaultLimits())
	f.Cleanup(func() { must(f, s.Shutdown(f.Context())) })
	p := peer{link: nowhere{}, addr: netip.MustParseAddrPort("127.0.0.1:1")}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err == nil {
			if again, err := encode(m); err == nil {
				if n, err := decode(again); err != nil || n.Code != m.Code || len(n.Options) != len(m.Options) || !bytes.Equal(n.Payload, m.Payload) {
					t.Errorf("%v became %v: %v", m, n, err)
				}
			}
		}
		if len(b) >= headerSize && b[0]>>6 == 1 {
			s.handle(exchangeKey{p, 1}, b)
		}
	})
}

type nowhere struct{}

func (nowhere) send(netip.AddrPort, []byte)        {}
func (nowhere) remote(a netip.AddrPort) netip.Addr { return a.Addr() }
func (nowhere) proven() binding.Evidence           { return binding.Evidence{} }
