package cse_test

import (
	"sync"
	"testing"

	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// One core answers reads and checks from many goroutines while nothing but its cache is shared.
func TestConcurrentReads(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(`{"acor":["Cb"],"acop":3}`))
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c","acpi":["`+acp+`"]}`)
	n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"d"}`)
	retrieve := n.Complete(onem2m.Request{Operation: onem2m.Retrieve, From: "Cb", To: cnt})
	create := n.Complete(onem2m.Request{
		Operation: onem2m.Create, From: "Cb", To: "tally/ae1/c", Type: onem2m.TypeContentInstance, Content: []byte(`{"m2m:cin":{"con":"1"}}`),
	})
	env := n.Env()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 200 {
				if got := n.Read(n.State, retrieve, env).Response; got.Status != onem2m.StatusOK {
					t.Errorf("retrieve: %d %s", got.Status, got.Content)
				}
				if got := n.Check(n.State, create, env); got != nil {
					t.Errorf("check: %d %s", got.Status, got.Content)
				}
			}
		})
	}
	group.Wait()
}
