//go:build scenario

package attack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/test/scenario"
)

// TestApprovals: whoever breaks into one administrator's account makes himself a second one, and comes back by that when the
// first is closed. In a network that asks for two operators, one alone, whichever way he tries, makes no operator; an
// approval counts for the act that it was given for, once; and a device approves nothing.
func TestApprovals(t *testing.T) {
	n := &scenario.Network{Dir: filepath.Join(t.TempDir(), "data"), Addr: scenario.FreePort(t), MQTT: scenario.FreePort(t), CoAP: scenario.FreePort(t)}
	if r := scenario.Run(t, "network", "init", "--data", n.Dir, "--http", n.Addr, "--mqtt", n.MQTT, "--coap", n.CoAP, "--approvals", "2"); r.Code != 0 {
		t.Fatal(r)
	}
	s := &site{Network: n, test: t}
	s.process = s.Start(t)
	s.operator = s.Operator(t)
	defer s.operator.Close()
	b, err := os.ReadFile(filepath.Join(n.Dir, "keys", "operator2.token"))
	if err != nil {
		t.Fatal(err)
	}
	second := client.New(s.URL(), "Coperator2", strings.TrimSpace(string(b)), 4)
	defer second.Close()
	device := s.as(s.device(t, "camera", "picture")) // one operator is enough for that
	defer device.Close()

	for _, body := range []map[string]any{{"originator": "Cmine", "role": "operator"}, {"originator": "Cmine", "role": "gateway"}, {"originator": "/mine"}, {"originator": "Ccamera", "role": "operator"}} {
		for _, path := range []string{"/-/credentials", "/-/invitations"} {
			if b, err := s.operator.API(t.Context(), http.MethodPost, path, body); err == nil {
				t.Errorf("one operator alone, %s %v: %s", path, body, b)
			}
		}
	}
	var made struct{ Proposal uint64 }
	propose := map[string]any{"operation": "enrol", "content": map[string]any{"originator": "Cthird", "role": "operator"}}
	if err := json.Unmarshal(s.api(t, http.MethodPost, "/-/proposals", propose), &made); err != nil {
		t.Fatal(err)
	}
	approve := fmt.Sprintf("/-/proposals/%d/approve", made.Proposal)
	if _, err := s.operator.API(t.Context(), http.MethodPost, approve, nil); err == nil {
		t.Error("who proposed it approves it")
	}
	if _, err := device.API(t.Context(), http.MethodPost, approve, nil); err == nil {
		t.Error("a device approves it")
	}
	if _, err := device.API(t.Context(), http.MethodPost, "/-/proposals", propose); err == nil {
		t.Error("a device proposes")
	}
	third := func() int {
		b, err := s.operator.API(t.Context(), http.MethodGet, "/-/devices?originator=Cthird", nil)
		if err != nil {
			return 0
		}
		return strings.Count(string(b), `"key"`)
	}
	if third() != 0 {
		t.Error("the operator is enrolled without a second one's approval")
	}
	if b, err := second.API(t.Context(), http.MethodPost, approve, nil); err != nil {
		t.Fatalf("the second operator approves: %v %s", err, b)
	}
	if third() != 1 {
		t.Errorf("after the approval Cthird has %d credentials", third())
	}
	for _, number := range []uint64{made.Proposal, made.Proposal + 1, made.Proposal - 1, 0} {
		if _, err := second.API(t.Context(), http.MethodPost, fmt.Sprintf("/-/proposals/%d/approve", number), nil); err == nil {
			t.Errorf("an approval of proposal %d, when %d was approved", number, made.Proposal)
		}
	}
	if third() != 1 {
		t.Errorf("after the approval was repeated Cthird has %d credentials", third())
	}
}
