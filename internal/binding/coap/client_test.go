package coapbinding

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// certificate makes a certificate for this machine and the pool that trusts it.
func certificate(t testing.TB) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	parsed, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// serveDTLS adds a DTLS socket to a server.
func serveDTLS(t testing.TB, s *Server) (addr string, pool *x509.CertPool) {
	t.Helper()
	cert, pool := certificate(t)
	conn, err := ListenUDP("127.0.0.1:0")
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- s.ServeDTLS(conn, func() *tls.Certificate { return cert }) }()
	t.Cleanup(func() {
		shutdown(t, s)
		must(t, <-done)
	})
	return conn.LocalAddr().String(), pool
}

// shutdown ends a server after a test, whose own context has ended.
func shutdown(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	must(t, s.Shutdown(ctx))
}

// What the client sends is what the server gets, by UDP and DTLS, in JSON and CBOR, small and large (TS-0008 clause 6).
func TestClient(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	for _, secure := range []bool{false, true} {
		for _, cbor := range []bool{false, true} {
			for _, con := range []string{"21", long} {
				content := `{"m2m:cin":{"con":"` + con + `"}}`
				f := &fake{respond: func(req *onem2m.Request) *onem2m.Response {
					return &onem2m.Response{
						Status: onem2m.StatusCreated, Content: []byte(content), Location: "tally/a/c/i", OriginatingTimestamp: "20261123T120000",
						VendorInformation: "v", ReleaseVersion: "4",
					}
				}}
				s := newServer(f, Options{}, defaultLimits())
				var url string
				var o ClientOptions
				if secure {
					var addr string
					addr, o.RootCAs = serveDTLS(t, s)
					url = "coaps://" + addr
				} else {
					conn, err := ListenUDP("127.0.0.1:0")
					must(t, err)
					go s.Serve(conn)
					t.Cleanup(func() { shutdown(t, s) })
					url = "coap://" + conn.LocalAddr().String()
				}
				c := NewClient(o)
				t.Cleanup(c.Close)
				rsp, err := c.Send(t.Context(), binding.Address{URL: url, CBOR: cbor, Token: goodToken}, &onem2m.Request{
					Operation: onem2m.Create, To: "/other/base/a", From: "/tally/CA", RequestID: "r1", ReleaseVersion: "3", Type: onem2m.TypeContentInstance,
					Content: []byte(content), ResultContent: onem2m.ResultContentAttributes, EventCategory: "2", RequestExpiration: "20991123T120000",
				})
				if err != nil {
					t.Fatalf("secure %v, CBOR %v, %d bytes: %v", secure, cbor, len(con), err)
				}
				if rsp.Status != onem2m.StatusCreated || string(rsp.Content) != content || rsp.Location != "tally/a/c/i" || rsp.RequestID != "r1" || rsp.VendorInformation != "v" {
					t.Errorf("got %+v", rsp)
				}
				req := f.last(t)
				if req.To != "/other/base/a" || req.From != "/tally/CA" || req.RequestID != "r1" || req.ReleaseVersion != "3" || req.Type != 4 ||
					string(req.Content) != content || req.ResultContent != 1 || req.EventCategory != "2" || f.tokens[0] != goodToken || f.count() != 1 {
					t.Errorf("%d requests, got %+v", f.count(), req)
				}
			}
		}
	}
}

// A notification goes to the URL as it is, and one who answers with a code alone has taken it.
func TestClientNotifiesDevice(t *testing.T) {
	f := &fake{}
	_, addr := serve(t, f, Options{Plain: f}, nil)
	c := NewClient(ClientOptions{})
	defer c.Close()
	url := "coap://" + addr + "/ingest/a/c?tkns=" + goodToken
	rsp, err := c.Send(t.Context(), binding.Address{URL: url}, &onem2m.Request{Operation: onem2m.Notify, From: "/tally", RequestID: "r", Content: []byte(`{"m2m:sgn":{}}`)})
	must(t, err)
	if rsp.Status != onem2m.StatusCreated || f.message(0).Path != "a/c" {
		t.Errorf("got %+v of %+v", rsp, f.message(0))
	}
	_, err = c.Send(t.Context(), binding.Address{URL: url[:strings.IndexByte(url, '?')]}, &onem2m.Request{Operation: onem2m.Notify, RequestID: "r"})
	var answer *binding.AnswerError
	if !errors.As(err, &answer) || answer.Code != 403 || !answer.Final {
		t.Errorf("a target that refuses: %v", err)
	}
}

// Who does not answer, or is not who the certificate says, is an error.
func TestClientFails(t *testing.T) {
	f := &fake{}
	s := newServer(f, Options{}, defaultLimits())
	addr, _ := serveDTLS(t, s)
	c := NewClient(ClientOptions{})
	defer c.Close()
	req := &onem2m.Request{Operation: onem2m.Retrieve, To: "tally", RequestID: "r"}
	if rsp, err := c.Send(t.Context(), binding.Address{URL: "coaps://" + addr}, req); err == nil {
		t.Errorf("a certificate that nobody vouches for: %+v", rsp)
	}
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer silent.Close()
	c.ackTimeout = 4 * time.Millisecond
	if _, err := c.Send(t.Context(), binding.Address{URL: "coap://" + silent.LocalAddr().String()}, req); !errors.Is(err, errSilent) {
		t.Errorf("got %v", err)
	}
	for _, url := range []string{"http://a", "coap:", "coap://[", "coap://"} {
		if _, err := c.Send(t.Context(), binding.Address{URL: url}, req); err == nil {
			t.Errorf("%s was taken for an address", url)
		}
	}
}

// Sessions and handshakes are bounded; whoever is idle for longest makes place (RFC 6347 clause 4.2.1).
func TestSessionLimits(t *testing.T) {
	f := &fake{}
	l := defaultLimits()
	l.sessions, l.handshakes, l.handshakeTime = 2, 3, time.Second
	s := newServer(f, Options{}, l)
	addr, pool := serveDTLS(t, s)
	// Forged ClientHellos that nobody follows up.
	hello := append([]byte{recordHandshake, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, clientHello}, make([]byte, 40)...)
	for range 10 {
		c := newRaw(t, addr)
		c.send(hello)
	}
	for range 4 {
		c := NewClient(ClientOptions{RootCAs: pool})
		defer c.Close()
		rsp, err := c.Send(t.Context(), binding.Address{URL: "coaps://" + addr, Token: goodToken}, &onem2m.Request{Operation: onem2m.Create, Type: 4, To: "tally", RequestID: "r"})
		must(t, err)
		if rsp.Status != onem2m.StatusCreated {
			t.Errorf("got %+v", rsp)
		}
	}
}
