package cse_test

import (
	"testing"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// flatState makes appending an instance cost nothing, so that the benchmark measures the core.
type flatState struct {
	*csetest.State
	counters cse.Counters
}

func (s *flatState) Container(string) (cse.Counters, bool, error) { return s.counters, true, nil }

func (s *flatState) Subscriptions(string) ([]string, error) { return nil, nil }

func (s *flatState) AppendInstance(_ string, ref cse.InstanceRef, _ string) error {
	s.counters.Count++
	s.counters.Bytes += ref.Size
	s.counters.StateTag = ref.StateTag
	return nil
}

func BenchmarkCreateInstance(b *testing.B) {
	n := csetest.NewNetwork(b)
	n.Register("Ca", "ae1")
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Cx","Ca"],"acop":63}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
	for _, test := range []struct{ name, body string }{
		{"creator", `{"rn":"cnt1"}`},
		{"policy", `{"rn":"cnt2","acpi":["` + acp + `"]}`},
	} {
		cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, test.body)
		for _, to := range []string{cnt, "tally/ae1/" + test.body[7:11]} {
			req := n.Complete(onem2m.Request{
				Operation: onem2m.Create, From: "Ca", To: to, Type: onem2m.TypeContentInstance,
				Content: []byte(`{"m2m:cin":{"cnf":"text/plain:0","con":"21.5"}}`),
			})
			b.Run(test.name+"/"+map[bool]string{true: "unstructured", false: "structured"}[to == cnt], func(b *testing.B) {
				st := &flatState{State: n.State}
				env := n.Env()
				b.ReportAllocs()
				for b.Loop() {
					if result := n.Core.Execute(st, req, env); result.Response.Status != onem2m.StatusCreated {
						b.Fatalf("%d %s", result.Response.Status, result.Response.Content)
					}
					env.NextIndex++
				}
			})
		}
	}
}
