//go:build scenario

package attack

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	coapdtls "github.com/plgd-dev/go-coap/v3/dtls"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/udp/client"

	"github.com/tallystick/tallystick/test/scenario"
)

// TestPreSharedKeys: devices that speak DTLS with keys from a list, or with one key for all of a model, were found by the
// hundred thousand. Here the list of Mirai is tried as identities and keys, and the key of one device with the name of
// another; then the right one, before and after its revocation.
func TestPreSharedKeys(t *testing.T) {
	s := open(t, encrypted)
	alice := s.device(t, "alice", "alice-reading")
	bob := s.device(t, "bob", "bob-reading")
	identity, key := presharedKey(t, alice)
	theirs, _ := presharedKey(t, bob)

	conn, err := dialPSK(t, s, identity, key)
	if err != nil {
		t.Fatal("with the right key: ", err)
	}
	defer conn.Close()
	own := ask{op: 2, to: "tally/alice/readings/la", fr: "Calice"}
	if r := askOn(t, conn, own); r.code != "2000" {
		t.Fatalf("with the right key: %s %s", r.code, r.raw)
	}
	for _, a := range []ask{{fr: "Cbob", to: "tally/bob/readings/la"}, {fr: "Calice", to: "tally/bob/readings/la"}, {fr: "Cbob", to: "tally/bob/readings/la", token: bob.token}} {
		a.op = 2
		if r := askOn(t, conn, a); !refusedAs(r.code) {
			t.Errorf("alice's session as %s with the token %.9s: %s %s", a.fr, a.token, r.code, r.raw)
		}
	}

	type login struct {
		identity string
		key      []byte
	}
	logins := []login{{theirs, key}, {identity, []byte(alice.token)}, {"Calice", key}, {identity, nil}, {"", key}, {"../node.key", key}}
	for _, pair := range pairs(t) {
		logins = append(logins, login{pair[0], []byte(pair[1])}, login{identity, []byte(pair[1])})
	}
	var all sync.WaitGroup
	for _, l := range logins {
		all.Go(func() {
			if c, err := dialPSK(t, s, l.identity, l.key); err == nil {
				c.Close()
				t.Errorf("a session with identity %q and a key of %d bytes", l.identity, len(l.key))
			}
		})
	}
	all.Wait()
	if r := askOn(t, conn, own); r.code != "2000" {
		t.Errorf("alice's session after the attack: %s", r.code)
	}

	s.revoke(t, alice)
	since := time.Now()
	if r := askOn(t, conn, own); r.success() {
		t.Errorf("the session still reads: %s", r.raw)
	}
	ends(t, "the session of DTLS", since, func() bool {
		select {
		case <-conn.Done():
			return true
		default:
			return false
		}
	})
	if c, err := dialPSK(t, s, identity, key); err == nil {
		if r := askOn(t, c, own); r.success() {
			t.Errorf("a new session after the revocation reads: %s", r.raw)
		}
		c.Close()
	}
}

// presharedKey derives key and identity of a device's DTLS from its token.
func presharedKey(t *testing.T, c credential) (identity string, key []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(c.token), 0o600); err != nil {
		t.Fatal(err)
	}
	r := scenario.Run(t, "device", "psk", file)
	var text string
	if _, err := fmt.Sscanf(r.Stdout, "identity %s\nkey %s", &identity, &text); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	key, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return identity, key
}

// dialPSK makes a session of DTLS with a pre-shared key.
func dialPSK(t *testing.T, s *site, identity string, key []byte) (*client.Conn, error) {
	udp, err := net.Dial("udp", s.address(t, "coaps"))
	if err != nil {
		return nil, err
	}
	options := []dtls.ClientOption{
		dtls.WithPSK(func([]byte) ([]byte, error) { return key, nil }), dtls.WithPSKIdentityHint([]byte(identity)),
		dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_CCM_8),
	}
	c, err := dtls.ClientWithOptions(packets{udp}, udp.RemoteAddr(), options...)
	if err != nil {
		return nil, errors.Join(err, udp.Close())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return coapdtls.Client(c), nil
}

// packets is a connected socket as one that is not.
type packets struct{ net.Conn }

func (p packets) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.Read(b)
	return n, p.RemoteAddr(), err
}

func (p packets) WriteTo(b []byte, _ net.Addr) (int, error) { return p.Write(b) }

// askOn is askCoAP over a session that is open.
func askOn(t *testing.T, c *client.Conn, a ask) reply {
	t.Helper()
	return sendOn(t, c, codes.GET, pathOf(a.to), a.token, a.options)
}
