package coapbinding

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/plgd-dev/go-coap/v3/message"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// ledger is a handler that knows what it is told to know, until it is revoked.
type ledger struct {
	fake
	lock  sync.Mutex
	known map[binding.Evidence]bool
	seen  binding.Evidence
	ends  []func()
}

func (l *ledger) Known(ev binding.Evidence) bool {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.known[ev.Shown()]
}

func (l *ledger) Watch(_ binding.Evidence, end func()) (stop func()) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.ends = append(l.ends, end)
	return func() {}
}

func (l *ledger) Do(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
	l.lock.Lock()
	l.seen = ev
	l.lock.Unlock()
	return l.fake.Do(ctx, req, ev)
}

// withoutToken is a request that shows nothing.
func withoutToken(t *testing.T, mid int32) []byte {
	t.Helper()
	m, err := decode(create(t, message.Confirmable, mid, "a"))
	must(t, err)
	var options message.Options
	for _, o := range m.Options {
		if !strings.HasPrefix(string(o.Value), tokenParameter) {
			options = append(options, o)
		}
	}
	m.Options = options
	b, err := encode(m)
	must(t, err)
	return b
}

// A session is whose it is by the key of a certificate, whoever made that out, or by a pre-shared key (RFC 7252 clause
// 9.1.3). It ends with its credential.
func TestIdentities(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	must(t, err)
	const identity = "0123456789abcdef"
	secret := bytes.Repeat([]byte{7}, 32)
	psk := func(secret []byte, identity string, suites ...dtls.CipherSuiteID) []dtls.ClientOption {
		return []dtls.ClientOption{
			dtls.WithPSK(func([]byte) ([]byte, error) { return secret, nil }), dtls.WithPSKIdentityHint([]byte(identity)), dtls.WithCipherSuites(suites...),
		}
	}
	for name, c := range map[string]struct {
		options []dtls.ClientOption
		want    binding.Evidence
	}{
		"certificate": {
			[]dtls.ClientOption{dtls.WithCertificates(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})},
			binding.Evidence{Key: string(pub)},
		},
		"pre-shared key, CCM_8": {psk(secret, identity, dtls.TLS_PSK_WITH_AES_128_CCM_8), binding.Evidence{PSK: identity}},
		"pre-shared key, ECDHE": {psk(secret, identity, dtls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256), binding.Evidence{PSK: identity}},
	} {
		t.Run(name, func(t *testing.T) {
			l := &ledger{known: map[binding.Evidence]bool{c.want: true}}
			s := New(l, Options{PreSharedKey: func(id string) []byte {
				if id != identity {
					return nil
				}
				return secret
			}})
			addr, pool := serveDTLS(t, s)
			conn := dialDTLS(t, addr, pool, c.options...)
			askDTLS(t, conn, withoutToken(t, 1))
			l.lock.Lock()
			got, ends := l.seen.Shown(), l.ends
			l.lock.Unlock()
			if got != c.want || len(ends) != 1 {
				t.Fatalf("evidence %+v, %d watches", got, len(ends))
			}
			ends[0]()
			must(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
			if _, err := conn.Read(make([]byte, maxRecord)); err == nil {
				t.Error("the session goes on")
			} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Error("the session does not end within a second")
			}
		})
	}
	// A wrong key, and an identity that nobody has, fail in the same way.
	l := &ledger{}
	s := New(l, Options{PreSharedKey: func(id string) []byte {
		if id != identity {
			return nil
		}
		return secret
	}})
	addr, _ := serveDTLS(t, s)
	for name, options := range map[string][]dtls.ClientOption{
		"wrong key": psk(bytes.Repeat([]byte{8}, 32), identity, dtls.TLS_PSK_WITH_AES_128_CCM_8),
		"nobody":    psk(secret, "fedcba9876543210", dtls.TLS_PSK_WITH_AES_128_CCM_8),
		"a path":    psk(secret, "../../node.key", dtls.TLS_PSK_WITH_AES_128_CCM_8),
	} {
		udp, err := net.Dial("udp", addr)
		must(t, err)
		c, err := dtls.ClientWithOptions(connected{udp.(*net.UDPConn)}, udp.RemoteAddr(), options...)
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := c.HandshakeContext(ctx); err == nil {
			t.Errorf("%s: a session", name)
		}
		cancel()
		c.Close()
	}
}
