package ingress

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// TestKnown: a token is known from its enrolment to its revocation.
func TestKnown(t *testing.T) {
	n := newNetwork(t, 0)
	token := testToken("Cdev")
	for _, stranger := range []string{"", "x", token} {
		if n.ingress.Known(binding.Evidence{Token: stranger}) {
			t.Errorf("%q is known", stranger)
		}
	}
	n.enrol("Cdev")
	if !n.ingress.Known(binding.Evidence{Token: token}) || !n.ingress.Known(testEvidence("Coperator")) {
		t.Error("an enrolled one is not known")
	}
	h, _ := identity.TokenHash(token)
	content, err := json.Marshal(ledger.OwnRequest{Key: hex.EncodeToString(h[:8])})
	must(t, err)
	n.want(onem2m.StatusDeleted, n.ingress.Own(context.Background(), proof.OpRevoke, content, testEvidence("Coperator")))
	if n.ingress.Known(binding.Evidence{Token: token}) {
		t.Error("a revoked one is known")
	}
}
