package onem2m

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestInstanceRI(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		index := rapid.Uint64().Draw(t, "index")
		if got, ok := ParseInstanceRI(InstanceRI(index)); !ok || got != index {
			t.Fatalf("%d came back as %d, %t", index, got, ok)
		}
		ri := "cin" + rapid.StringMatching(`[0-9a-zA-Z]{0,14}`).Draw(t, "ri")
		if index, ok := ParseInstanceRI(ri); ok && InstanceRI(index) != ri {
			t.Fatalf("%s and %s are the same instance", ri, InstanceRI(index))
		}
	})
	if got, ok := ParseInstanceRI(InstanceRI(math.MaxUint64)); !ok || got != math.MaxUint64 {
		t.Error("the last position does not come back")
	}
	for _, ri := range []string{"", "cin", "cin00", "cin01", "cinA", "cnt1", "cin1 ", "cin-1", "cin3w5e11264sgsg", "cinzzzzzzzzzzzzzz", "ci", "xcin1"} {
		if index, ok := ParseInstanceRI(ri); ok {
			t.Errorf("%q was read as %d", ri, index)
		}
	}
	if got := ResourceRI(TypeSubscription, 36); got != "sub10" {
		t.Errorf("ResourceRI: %s", got)
	}
}
