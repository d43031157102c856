package node

import (
	"encoding/json"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// TestOperatorSeesNoContents: an operator may have any entry proved, but what a device recorded is shown only if a
// policy lets the operator retrieve it.
func TestOperatorSeesNoContents(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	defer stopNode(t, n)
	ctx := t.Context()
	dev, _ := enrol(t, n, "Cdev")
	operator := client.New("http://"+n.Addr(), OperatorID, token(t, dir), 1)
	for _, r := range []struct {
		to      string
		ty      onem2m.ResourceType
		content string
	}{
		{"tally", onem2m.TypeAE, `{"m2m:ae":{"rn":"dev","api":"Nx","rr":false,"srv":["4"]}}`},
		{"tally/dev", onem2m.TypeContainer, `{"m2m:cnt":{"rn":"c"}}`},
		{"tally/dev/c", onem2m.TypeContentInstance, `{"m2m:cin":{"con":"nobody's business"}}`},
	} {
		_, err := dev.Create(ctx, r.to, r.ty, json.RawMessage(r.content))
		must(t, err)
	}
	newest := n.App().Head().LogSize - 1
	payload := func() string {
		t.Helper()
		file, err := operator.Proof(ctx, "", newest)
		must(t, err)
		v, err := n.App().Policy().Verify(file)
		must(t, err)
		if v.Entry.Originator != "Cdev" || v.Entry.Operation != proof.Operation(onem2m.Create) {
			t.Errorf("the bundle is about %+v", v.Entry)
		}
		return string(v.Payload)
	}
	if got := payload(); got != "" {
		t.Errorf("the operator got %s", got)
	}
	_, err := dev.Create(ctx, "tally/dev", onem2m.TypeACP, json.RawMessage(
		`{"m2m:acp":{"rn":"p","pv":{"acr":[{"acor":["Cdev"],"acop":63},{"acor":["Coperator"],"acop":2}]},"pvs":{"acr":[{"acor":["Cdev"],"acop":63}]}}}`))
	must(t, err)
	_, err = dev.Update(ctx, "tally/dev/c", json.RawMessage(`{"m2m:cnt":{"acpi":["tally/dev/p"]}}`))
	must(t, err)
	if got := payload(); got != `{"m2m:cin":{"con":"nobody's business"}}` {
		t.Errorf("with a policy the operator got %q", got)
	}
}
