package ingress

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// enrolKeyOf binds the key of a seed of equal bytes and returns the public key.
func (n *network) enrolKeyOf(who string, role identity.Role, seed byte) string {
	n.t.Helper()
	public := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)).Public().(ed25519.PublicKey)
	content, err := json.Marshal(ledger.OwnRequest{Originator: who, Role: role.String(), PublicKey: hex.EncodeToString(public)})
	must(n.t, err)
	n.want(onem2m.StatusCreated, n.ingress.Own(context.Background(), proof.OpEnrol, content, testEvidence("Coperator")))
	return string(public)
}

// Who shows what counts as whom.
func TestEvidence(t *testing.T) {
	n := newNetwork(t, 0)
	n.enrol("Ca")
	n.enrol("Cb")
	a, gateway := n.enrolKeyOf("Ca", identity.Device, 1), n.enrolKeyOf("Cgateway", identity.Gateway, 2)
	unknown := string(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)).Public().(ed25519.PublicKey))
	tokenA, tokenB := testToken("Ca"), testToken("Cb")
	hash, _ := identity.TokenHash(tokenB)
	pskB := hex.EncodeToString(hash[:8])
	keyID := identity.KeyIDOf([32]byte([]byte(a)))
	for range 2 { // the second time from what is remembered
		for _, c := range []struct {
			name string
			ev   binding.Evidence
			want string // "" for nobody
		}{
			{"a token", binding.Evidence{Token: tokenA}, "Ca"},
			{"a key", binding.Evidence{Key: a}, "Ca"},
			{"a pre-shared key", binding.Evidence{PSK: pskB}, "Cb"},
			{"both, of one originator", binding.Evidence{Token: tokenA, Key: a}, "Ca"},
			{"both, of two originators", binding.Evidence{Token: tokenB, Key: a}, ""},
			{"a pre-shared key and another's token", binding.Evidence{Token: tokenA, PSK: pskB}, ""},
			{"a token over a gateway's connection", binding.Evidence{Token: tokenB, Key: gateway}, "Cb"},
			{"a token beside a key that nobody knows", binding.Evidence{Token: tokenB, Key: unknown}, "Cb"},
			{"a key beside a token that nobody knows", binding.Evidence{Token: testToken("Cnobody"), Key: a}, ""},
			{"a key beside a password", binding.Evidence{Token: "admin", Key: a}, ""},
			{"a key that nobody knows", binding.Evidence{Key: unknown}, ""},
			{"half a key", binding.Evidence{Key: a[:16]}, ""},
			// What is public must not do as a token.
			{"a public key as a token", binding.Evidence{Token: a}, ""},
			{"an ID as a token", binding.Evidence{Token: pskB}, ""},
			{"a key's ID as a pre-shared key", binding.Evidence{PSK: hex.EncodeToString(keyID[:])}, ""},
			{"no ID", binding.Evidence{PSK: "xyz"}, ""},
			{"nothing", binding.Evidence{}, ""},
		} {
			cred, err := n.ingress.Authenticate(c.ev)
			got := ""
			if err == nil {
				got = cred.Originator
			}
			if got != c.want {
				t.Errorf("%s: %q (%v), want %q", c.name, got, err, c.want)
			}
			if known := n.ingress.Known(c.ev); known != (c.want != "") {
				t.Errorf("%s: known is %v", c.name, known)
			}
		}
	}
	n.revoke("Cb")
	if _, err := n.ingress.Authenticate(binding.Evidence{PSK: pskB}); err == nil {
		t.Error("a pre-shared key outlives its token")
	}
}
