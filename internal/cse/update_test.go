package cse_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// TS-0004 clause 7.3.3.6 and the Update columns of clause 7.4.
func TestUpdate(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"lbl":["a"],"mni":5}`)
	cin := n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"1"}`)
	nod := n.MustCreate("Coperator", "tally", onem2m.TypeNode, `{"ni":"n1"}`)
	sub := n.MustCreate("Ca", cnt, onem2m.TypeSubscription, `{"nu":["Ca"]}`)
	for _, test := range []struct {
		from, to string
		typ      onem2m.ResourceType
		body     string
		want     onem2m.StatusCode
	}{
		{"Ca", cnt, onem2m.TypeContainer, `{"mni":3}`, onem2m.StatusUpdated},
		{"Ca", cnt, onem2m.TypeContainer, `{}`, onem2m.StatusUpdated},
		{"Ca", cnt, onem2m.TypeContainer, `{"lbl":null}`, onem2m.StatusUpdated},
		{"Ca", cnt, onem2m.TypeContainer, `{"et":"20271123T070000"}`, onem2m.StatusBadRequest}, // its subscription would end later
		{"Ca", sub, onem2m.TypeSubscription, `{"et":"20271123T070000"}`, onem2m.StatusUpdated},
		{"Ca", cnt, onem2m.TypeContainer, `{"et":"20271123T070000"}`, onem2m.StatusUpdated},
		{"Ca", cnt, onem2m.TypeContainer, `{"et":null}`, onem2m.StatusUpdated},
		{"Ca", cnt, onem2m.TypeContainer, `{"et":"20251123T070000"}`, onem2m.StatusBadRequest},
		{"Ca", cnt, onem2m.TypeContainer, `{"rn":"x"}`, onem2m.StatusBadRequest},
		{"Ca", cnt, onem2m.TypeContainer, `{"cr":null}`, onem2m.StatusBadRequest},
		{"Ca", cnt, onem2m.TypeContainer, `{"st":9}`, onem2m.StatusBadRequest},
		{"Ca", cnt, onem2m.TypeContainer, `{"mni":"x"}`, onem2m.StatusBadRequest},
		{"Ca", cnt, onem2m.TypeContainer, `{"api":"Nx"}`, onem2m.StatusBadRequest},
		{"Ca", cnt, onem2m.TypeAE, `{"rr":true}`, onem2m.StatusBadRequest},
		{"Ca", cnt, onem2m.TypeContainer, `{"daci":["x"]}`, onem2m.StatusBadRequest},
		{"Cb", cnt, onem2m.TypeContainer, `{"mni":3}`, onem2m.StatusOriginatorHasNoPrivilege},
		{"Ca", cin, onem2m.TypeContentInstance, `{"con":"2"}`, onem2m.StatusOperationNotAllowed},
		{"Ca", cnt + "/la", onem2m.TypeContentInstance, `{"con":"2"}`, onem2m.StatusOperationNotAllowed},
		{"Ca", "Ca", onem2m.TypeAE, `{"api":"Nx"}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeAE, `{"rr":null}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeAE, `{"rr":true,"apn":"new"}`, onem2m.StatusUpdated},
		{"Coperator", nod, onem2m.TypeNode, `{"ni":null}`, onem2m.StatusBadRequest},
		{"Coperator", nod, onem2m.TypeNode, `{"ni":"n2"}`, onem2m.StatusUpdated},
		{"Ca", sub, onem2m.TypeSubscription, `{"nu":[]}`, onem2m.StatusBadRequest},
		{"Ca", sub, onem2m.TypeSubscription, `{"nct":2,"enc":{"net":[3]}}`, onem2m.StatusBadRequest},
		{"Ca", sub, onem2m.TypeSubscription, `{"nct":3,"enc":{"net":[3]}}`, onem2m.StatusUpdated},
		{"Ca", sub, onem2m.TypeSubscription, `{"nct":2}`, onem2m.StatusBadRequest},                    // with the stored net 3
		{"Coperator", "tally", onem2m.TypeCSEBase, `{"lbl":["x"]}`, onem2m.StatusOperationNotAllowed}, // TS-0004 clause 7.4.3.2.3
	} {
		req := n.Complete(onem2m.Request{
			Operation: onem2m.Update, From: test.from, To: test.to, Content: csetest.Content(test.typ, test.body),
		})
		early := n.Check(n.State, req, n.Env())
		got := n.Execute(req)
		if got.Response.Status != test.want {
			t.Errorf("%s %s: %d %s, want %d", test.to, test.body, got.Response.Status, got.Response.Content, test.want)
		}
		if (early == nil) != (test.want == onem2m.StatusUpdated) || early != nil && early.Status != test.want {
			t.Errorf("%s: the check before ordering says %+v, want %d", test.body, early, test.want)
		}
	}
}

// An UPDATE changes what it names and lastModifiedTime, and counts in a container's stateTag (TS-0001 clause
// 9.6.1.3.2); earlier versions of the resource stay as they were.
func TestUpdateEffects(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c","lbl":["a"],"mni":5,"or":"http://o/"}`)
	before, _ := n.State.Resource(cnt)
	encoded := before.AppendBinary(nil)
	at, index := n.Time, n.Next
	result := n.Update("Ca", "tally/ae1/c", onem2m.TypeContainer, `{"lbl":["b"],"mni":null}`)
	after, _ := n.State.Resource(cnt)
	if string(after.Get("lbl")) != `["b"]` || after.Get("mni") != nil || string(after.Get("or")) != `"http://o/"` ||
		after.Modified != at || after.Created != before.Created || after.Owner != "Ca" {
		t.Errorf("updated to %+v", after)
	}
	if c, _, _ := n.State.Container(cnt); c.StateTag != 1 || c.Modified != at {
		t.Errorf("counters %+v", c)
	}
	if string(before.AppendBinary(nil)) != string(encoded) {
		t.Error("the earlier version was changed")
	}
	want := []cse.Effect{{
		Operation: onem2m.Update, Originator: "Ca", Target: cnt, Resource: cnt, Type: onem2m.TypeContainer,
		Status: onem2m.StatusUpdated, Payload: []byte(`{"m2m:cnt":{"lbl":["b"],"mni":null}}`),
	}}
	if diff := cmp.Diff(want, result.Effects); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if n.Next != index+1 {
		t.Errorf("%d effects", n.Next-index)
	}
}

// TS-0004 clause 7.3.3.7: DELETE takes everything below with it, and is one effect.
func TestDelete(t *testing.T) {
	n := csetest.NewNetwork(t)
	empty := n.State.Dump()
	n.Register("Ca", "ae1")
	c1 := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c1"}`)
	c2 := n.MustCreate("Ca", c1, onem2m.TypeContainer, `{"rn":"c2"}`)
	cin := n.MustCreate("Ca", c2, onem2m.TypeContentInstance, `{"rn":"i","con":"1"}`)
	n.MustCreate("Ca", c2, onem2m.TypeSubscription, `{"nu":["Ca"],"exc":1,"enc":{"net":[2,4]},"nct":3}`)
	n.MustCreate("Ca", c1, onem2m.TypeSubscription, `{"nu":["Ca"],"exc":1,"enc":{"net":[4]},"nct":3}`)
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"mnm":3,"mid":["`+c1+`"]}`)
	for _, test := range []struct {
		from, to string
		want     onem2m.StatusCode
	}{
		{"Cb", c1, onem2m.StatusOriginatorHasNoPrivilege},
		{"Coperator", "tally", onem2m.StatusOperationNotAllowed},
		{"Ca", "nothing", onem2m.StatusNotFound},
		{"Ca", c1 + "/la", onem2m.StatusNotFound},
		{"Cb", cin, onem2m.StatusOriginatorHasNoPrivilege},
	} {
		req := n.Complete(onem2m.Request{Operation: onem2m.Delete, From: test.from, To: test.to})
		if early := n.Check(n.State, req, n.Env()); early == nil || early.Status != test.want {
			t.Errorf("check %s as %s: %+v, want %d", test.to, test.from, early, test.want)
		}
		if got := n.Execute(req).Response; got.Status != test.want {
			t.Errorf("%s as %s: %d %s, want %d", test.to, test.from, got.Status, got.Content, test.want)
		}
	}
	result := n.Delete("Ca", "tally/ae1")
	want := []cse.Effect{{
		Operation: onem2m.Delete, Originator: "Ca", Target: "Ca", Resource: "Ca", Type: onem2m.TypeAE, Status: onem2m.StatusDeleted,
	}}
	if diff := cmp.Diff(want, result.Effects); diff != "" || result.Response.Status != onem2m.StatusDeleted {
		t.Errorf("%d %s; effects (-want +got):\n%s", result.Response.Status, result.Response.Content, diff)
	}
	if diff := cmp.Diff(empty, n.State.Dump()); diff != "" {
		t.Errorf("left behind (-want +got):\n%s", diff)
	}
	// The AE-ID is free again.
	n.Register("Ca", "other")
	if got := n.Retrieve("Ca", "tally/other").Response.Status; got != onem2m.StatusOK {
		t.Errorf("registered again: %d", got)
	}
}

// DELETE of one instance, by ID, by name, and through la and ol (TS-0001 clauses 10.2.22 and 10.2.23).
func TestDeleteInstance(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c"}`)
	var ids []string
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		ids = append(ids, n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"rn":"`+name+`","con":"12"}`))
	}
	for i, test := range []struct{ to, gone, oldest, newest string }{
		{cnt + "/la", ids[4], ids[0], ids[3]},
		{"tally/ae1/c/ol", ids[0], ids[1], ids[3]},
		{ids[2], ids[2], ids[1], ids[3]},
		{cnt + "/b", ids[1], ids[3], ids[3]},
	} {
		at := n.Time
		result := n.Delete("Ca", test.to)
		want := []cse.Effect{{
			Operation: onem2m.Delete, Originator: "Ca", Target: test.gone, Resource: test.gone,
			Type: onem2m.TypeContentInstance, Status: onem2m.StatusDeleted,
		}}
		if diff := cmp.Diff(want, result.Effects); diff != "" {
			t.Errorf("%s: effects (-want +got):\n%s", test.to, diff)
		}
		c, _, _ := n.State.Container(cnt)
		if int(c.Count) != 4-i || int(c.Bytes) != 2*(4-i) || int(c.StateTag) != 6+i || c.Modified != at ||
			onem2m.InstanceRI(c.Oldest) != test.oldest || onem2m.InstanceRI(c.Newest) != test.newest {
			t.Errorf("after %s: %+v", test.to, c)
		}
		if got := n.Retrieve("Ca", test.gone).Response.Status; got != onem2m.StatusNotFound {
			t.Errorf("%s after its deletion: %d", test.gone, got)
		}
	}
}

// TS-0001 clause 9.6.1.3.1: what has expired is removed, soonest first, with what is below it.
func TestExpire(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	untouched := n.State.Dump()
	late := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"et":"20261123T090000"}`)
	soon := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"et":"20261123T080000"}`)
	below := n.MustCreate("Ca", soon, onem2m.TypeContainer, `{"et":"20261123T083000"}`)
	n.MustCreate("Ca", below, onem2m.TypeContentInstance, `{"con":"1"}`)
	n.MustCreate("Ca", soon, onem2m.TypeSubscription, `{"nu":["http://x/"]}`)

	const hour = 3600 * 1_000_000
	expire := func(at int64, limit int) []string {
		t.Helper()
		result := n.Expire(n.State, cse.Env{Time: at, NextIndex: n.Next}, limit)
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		var gone []string
		for _, e := range result.Effects {
			if e.Operation != onem2m.Delete || e.Originator != "/tally" || e.Type != onem2m.TypeContainer || e.Status != onem2m.StatusDeleted {
				t.Errorf("effect %+v", e)
			}
			gone = append(gone, e.Resource)
		}
		return gone
	}
	if got := expire(csetest.Start+hour-1, 9); got != nil {
		t.Errorf("too early: %v", got)
	}
	if got := expire(csetest.Start+2*hour, 1); !cmp.Equal(got, []string{soon}) {
		t.Errorf("one at most: %v", got)
	}
	if got := expire(csetest.Start+2*hour, 9); !cmp.Equal(got, []string{late}) {
		t.Errorf("the rest: %v", got)
	}
	if diff := cmp.Diff(untouched, n.State.Dump()); diff != "" {
		t.Errorf("left behind (-want +got):\n%s", diff)
	}
}

// Genesis gives the administrator the CSEBase and nobody anything else.
func TestGenesis(t *testing.T) {
	n := csetest.NewNetwork(t)
	state := csetest.NewState()
	result, err := cse.New(csetest.Config, cse.Identity{}).Genesis(state, cse.Env{Time: csetest.Start, NextIndex: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Effects) != 2 || result.Effects[0].Type != onem2m.TypeCSEBase || result.Effects[1].Type != onem2m.TypeACP ||
		result.Effects[1].Originator != "Coperator" || result.Effects[1].Target != "cb" {
		t.Errorf("effects %+v", result.Effects)
	}
	for _, e := range result.Effects {
		if !strings.HasPrefix(string(e.Payload), `{"m2m:`) {
			t.Errorf("payload %s", e.Payload)
		}
	}
	if diff := cmp.Diff(n.State.Dump(), state.Dump()); diff != "" {
		t.Errorf("two networks differ:\n%s", diff)
	}
	for from, want := range map[string]int{"Coperator": 3, "Ca": 0, "/tally": 0, "coperator": 0} {
		if got := operations(n, from, "tally", "") &^ (4 | 8 | 32); got != want {
			t.Errorf("%s is allowed %d on the CSEBase, want %d", from, got, want)
		}
	}
}
