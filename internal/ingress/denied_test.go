package ingress

import (
	"testing"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// TestDeniedMembers: each member of a group that refuses a request is a refusal.
func TestDeniedMembers(t *testing.T) {
	tr := &trail{t: t}
	g := &Ingress{denials: newDenials("node1", tr.tell)}
	req := &onem2m.Request{Operation: onem2m.Update, To: "tally/g/fopt", From: "Cdev"}
	for content, want := range map[string]uint64{
		`{"m2m:agr":{"m2m:rsp":[{"rsc":2004,"fr":"a"},{"rsc":4103,"fr":"b"},{"rsc":4103,"fr":"c"},{"rsc":4004}]}}`: 2,
		`{"m2m:agr":{"m2m:rsp":[]}}`: 0, `{}`: 0, ``: 0,
	} {
		g.noteDenied(req, nil, binding.Evidence{}, &onem2m.Response{Status: onem2m.StatusOK, Content: []byte(content)})
		before := tr.total()
		g.Report(t.Context())
		if got := tr.total() - before; got != want {
			t.Errorf("%s: %d refusals, want %d", content, got, want)
		}
	}
}
