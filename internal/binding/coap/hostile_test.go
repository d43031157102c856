package coapbinding

import (
	"crypto/x509"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/onem2m"
)

// RFC 7252 clauses 4.3 and 5.4.1: a non-confirmable request with a critical option that is not known is rejected, not
// answered.
func TestNonConfirmableBadOption(t *testing.T) {
	f := &fake{}
	_, addr := serve(t, f, Options{}, nil)
	c := newRaw(t, addr)
	b, err := encode(&message.Message{Type: message.NonConfirmable, Code: codes.GET, MessageID: 5, Token: message.Token("t"), Options: oneM2M("tally", num(9999, 1))})
	must(t, err)
	c.send(b)
	if m := c.receive(); m.Type != message.Reset || m.MessageID != 5 || m.Code != codes.Empty {
		t.Errorf("got %v, want a Reset", m)
	}
	c.silence()
}

// A GET that is repeated because its answer was lost is executed again, unless that does something: a polling channel
// gives each request once (TS-0004 clause 7.4.22), and one that does not wait makes a <request> resource.
func TestRepeatedGet(t *testing.T) {
	for path, want := range map[string]struct {
		query string
		n     int
	}{"tally/a/c": {"rt=3", 2}, "tally/a/ch/pcu": {"rt=3", 1}, "tally/a/d": {"rt=1", 1}} {
		f := &fake{respond: func(*onem2m.Request) *onem2m.Response { return &onem2m.Response{Status: onem2m.StatusOK} }}
		s, addr := serve(t, f, Options{}, nil)
		c := newRaw(t, addr)
		b, err := encode(&message.Message{
			Type: message.Confirmable, Code: codes.GET, MessageID: 7, Token: message.Token("t"), Options: oneM2M(path, str(message.URIQuery, want.query)),
		})
		must(t, err)
		for range 2 {
			c.send(b)
			if m := c.receive(); m.Code != codes.Content {
				t.Errorf("%s: %v", path, m)
			}
			must(t, s.exchanges.drain(t.Context())) // the answer is sent a moment before the request has ended
		}
		if f.count() != want.n {
			t.Errorf("%s?%s: executed %d times, want %d", path, want.query, f.count(), want.n)
		}
	}
}

func dialDTLS(t *testing.T, addr string, pool *x509.CertPool, more ...dtls.ClientOption) *dtls.Conn {
	t.Helper()
	udp, err := net.Dial("udp", addr)
	must(t, err)
	c, err := dtls.ClientWithOptions(connected{udp.(*net.UDPConn)}, udp.RemoteAddr(),
		append([]dtls.ClientOption{dtls.WithRootCAs(pool), dtls.WithServerName("localhost")}, more...)...)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.HandshakeContext(t.Context()))
	return c
}

func askDTLS(t *testing.T, c *dtls.Conn, request []byte) {
	t.Helper()
	_, err := c.Write(request)
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
	b := make([]byte, maxRecord)
	n, err := c.Read(b)
	must(t, err)
	if m, err := decode(b[:n]); err != nil || m.Code != codes.Created {
		t.Fatalf("got %v, %v", m, err)
	}
}

// RFC 7252 clause 9.1.3.3: small devices have this one cipher suite.
func TestCCM8(t *testing.T) {
	s := newServer(&fake{}, Options{}, defaultLimits())
	addr, pool := serveDTLS(t, s)
	askDTLS(t, dialDTLS(t, addr, pool, dtls.WithCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8)), create(t, message.Confirmable, 1, "a"))
}

// Sessions of strangers make place for one another, not for them those who showed a credential.
func TestStrangersSessions(t *testing.T) {
	l := defaultLimits()
	l.sessions = 2
	s := newServer(&fake{}, Options{}, l)
	addr, pool := serveDTLS(t, s)
	c := dialDTLS(t, addr, pool)
	askDTLS(t, c, create(t, message.Confirmable, 1, "a"))
	for range 4 {
		dialDTLS(t, addr, pool)
	}
	askDTLS(t, c, create(t, message.Confirmable, 2, "b"))
}

// What waits for one session to read it is bounded in bytes too.
func TestAssociationQueue(t *testing.T) {
	a := &association{queue: make(chan packet, packetQueue), deadline: newDeadline()}
	large := make([]byte, 20_000)
	for round := range 3 {
		for range packetQueue {
			a.deliver(netip.AddrPort{}, large)
		}
		if n := len(a.queue); n != packetBytes/len(large) {
			t.Fatalf("round %d: %d datagrams of %d bytes wait", round, n, len(large))
		}
		for len(a.queue) > 0 {
			_, _, err := a.ReadFrom(make([]byte, maxDatagram))
			must(t, err)
		}
	}
}

// RFC 7252 clause 5.4.1: an answer with a critical option that is not known is rejected.
func TestAnswerWithUnknownOption(t *testing.T) {
	m := &message.Message{Code: codes.Content, Options: message.Options{num(optionRSC, 2000), num(9998, 1)}}
	req := &onem2m.Request{Operation: onem2m.Retrieve}
	_, err := readAnswer(m, req)
	must(t, err)
	m.Options = append(m.Options, num(9999, 1))
	if rsp, err := readAnswer(m, req); err == nil {
		t.Errorf("got %+v", rsp)
	}
}

// Who has one token keeps nobody else out, however many sockets he has.
func TestRequestsOfOneToken(t *testing.T) {
	let := make(chan struct{})
	f := &fake{lab: true, respond: func(req *onem2m.Request) *onem2m.Response {
		if req.From == "CA" {
			<-let
		}
		return &onem2m.Response{Status: onem2m.StatusOK}
	}}
	s, addr := serve(t, f, Options{}, func(l *limits) { l.runningPerToken = 2 })
	for i := range 3 {
		c := newRaw(t, addr)
		c.send(create(t, message.Confirmable, int32(i), "a"))
		if i < 2 {
			for f.count() <= i {
				time.Sleep(time.Millisecond)
			}
			continue
		}
		if m := c.receive(); m.Code != codes.ServiceUnavailable {
			t.Errorf("got %v, want 5.03", m)
		}
	}
	other := newRaw(t, addr)
	b, err := encode(&message.Message{Type: message.Confirmable, Code: codes.GET, MessageID: 1, Options: message.Options{str(message.URIPath, "tally"), str(optionFR, "CB"), str(optionRQI, "r")}})
	must(t, err)
	other.send(b)
	if m := other.receive(); m.Code != codes.Content {
		t.Errorf("another: %v", m)
	}
	close(let)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		s.exchanges.mu.Lock()
		n := len(s.exchanges.shown) + len(s.exchanges.peers)
		s.exchanges.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d are still counted", n)
		}
	}
}
