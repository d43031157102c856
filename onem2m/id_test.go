package onem2m

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestInstanceRI(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		index := rapid.Uint64().Draw(t, "index")
		typ := rapid.SampledFrom([]ResourceType{TypeContentInstance, TypeTimeSeriesInst}).Draw(t, "type")
		if got, at, ok := ParseInstanceRI(ResourceRI(typ, index)); !ok || got != typ || at != index {
			t.Fatalf("%s %d came back as %s %d, %t", typ, index, got, at, ok)
		}
		ri := rapid.SampledFrom([]string{"cin", "tsi"}).Draw(t, "prefix") + rapid.StringMatching(`[0-9a-zA-Z]{0,14}`).Draw(t, "ri")
		if typ, index, ok := ParseInstanceRI(ri); ok && ResourceRI(typ, index) != ri {
			t.Fatalf("%s and %s are the same instance", ri, ResourceRI(typ, index))
		}
	})
	if _, got, ok := ParseInstanceRI(InstanceRI(math.MaxUint64)); !ok || got != math.MaxUint64 {
		t.Error("the last position does not come back")
	}
	for _, ri := range []string{"", "cin", "tsi", "cin00", "cin01", "cinA", "cnt1", "cin1 ", "cin-1", "cin3w5e11264sgsg", "cinzzzzzzzzzzzzzz", "ci", "xcin1", "tsi01"} {
		if _, index, ok := ParseInstanceRI(ri); ok {
			t.Errorf("%q was read as %d", ri, index)
		}
	}
	if got := ResourceRI(TypeSubscription, 36); got != "sub10" {
		t.Errorf("ResourceRI: %s", got)
	}
}

// The types of instances are those that some type holds, and only those.
func TestInstanceTypes(t *testing.T) {
	held := map[ResourceType]bool{}
	for _, d := range Types() {
		if in := d.Type.InstanceType(); in != 0 {
			held[in] = true
			if !d.AllowsChild(in) || d.Type.VirtualChild("la") != TypeLatest || d.Type.VirtualChild("ol") != TypeOldest {
				t.Errorf("%s does not hold %s in full", d.Name, in)
			}
		}
	}
	for _, d := range Types() {
		if d.Type.IsInstance() != held[d.Type] {
			t.Errorf("%s: IsInstance %t", d.Name, d.Type.IsInstance())
		}
	}
}
