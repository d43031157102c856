package cse_test

import (
	"testing"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// Whatever the request, execution neither panics nor fails, a refusal changes nothing, and a request that Check
// refuses is refused by execution in the same way.
func FuzzExecute(f *testing.F) {
	for _, seed := range []struct {
		op      uint8
		to      string
		typ     int32
		content string
	}{
		{1, "tally/ae1", 3, `{"m2m:cnt":{"mni":3,"acpi":["acp1"]}}`},
		{1, "tally/ae1/cnt1", 4, `{"m2m:cin":{"con":"x","cnf":"text/plain:0","rn":"a","et":"20301010T000000"}}`},
		{1, "tally/ae1/cnt1", 23, `{"m2m:sub":{"nu":["http://x/"],"enc":{"net":[1,2,3,4],"chty":[4]},"nct":3}}`},
		{1, "tally/ae1", 9, `{"m2m:grp":{"mnm":3,"mid":["Ca","tally/ae1/cnt1/la"],"mt":3,"csy":3}}`},
		{1, "tally/ae1", 1, `{"m2m:acp":{"pv":{"acr":[{"acor":["C*"],"acop":63,"acco":[{"actw":["* * * * * * *"],"acip":{"ipv4":["10.0.0.0/8"]}}],"acod":[{"chty":[4]}]}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}}`},
		{1, "tally", 2, `{"m2m:ae":{"api":"Nx","rr":true,"srv":["4"]}}`},
		{1, "tally/ae1/grp1/fopt", 4, `{"m2m:cin":{"con":{"a":[1,null]}}}`},
		{3, "tally/ae1/cnt1", 0, `{"m2m:cnt":{"mbs":0,"lbl":null}}`},
		{3, "tally/ae1/cnt1", 0, `{"m2m:cnt":{"acpi":[]}}`},
		{3, "tally/ae1/grp1", 0, `{"m2m:grp":{"mid":[],"mnm":1}}`},
		{4, "tally/ae1/cnt1/la", 0, ``},
		{4, "tally/ae1", 0, ``},
	} {
		f.Add(seed.op, "Ca", seed.to, seed.typ, []byte(seed.content))
	}
	n, _, _, _, _ := addressNetwork(f)
	f.Fuzz(func(t *testing.T, op uint8, from, to string, typ int32, content []byte) {
		req := n.Complete(onem2m.Request{
			Operation: onem2m.Operation(op % 6), From: from, To: to, Type: onem2m.ResourceType(typ), Content: content,
		})
		before := n.State.Snapshot()
		defer n.State.Rollback(before)
		early := n.Check(n.State, req, n.Env())
		result := n.Core.Execute(n.State, req, n.Env())
		if result.Err != nil {
			t.Fatalf("failure of a sound state: %v", result.Err)
		}
		if early != nil && (early.Status != result.Response.Status || len(result.Effects) != 0) {
			t.Fatalf("check %d %s, execution %d %s", early.Status, early.Content, result.Response.Status, result.Response.Content)
		}
		if len(result.Effects) == 0 && !sameDump(before.Dump(), n.State.Dump()) {
			t.Fatalf("refused with %d and changed the state", result.Response.Status)
		}
		for _, ri := range n.State.IDs() {
			res, _ := n.State.Resource(ri)
			if _, err := cse.DecodeResource(res.AppendBinary(nil)); err != nil {
				t.Fatalf("stored resource %s cannot be read back: %v", ri, err)
			}
		}
	})
}

func sameDump(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
