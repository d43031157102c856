package cse_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// Whatever one organisation asks of what another has, the answer is the one for what does not exist, byte for byte but for the name.
func TestSeparation(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Organisations["Ca"], n.Organisations["Cb"] = "hospital.example", "factory.example"
	n.Register("Ca", "ae1")
	n.Register("Cb", "ae2")
	for name, typ := range map[string]onem2m.ResourceType{"cnt": onem2m.TypeContainer, "grp": onem2m.TypeGroup, "acp": onem2m.TypeACP, "tms": onem2m.TypeTimeSeries, "dac": onem2m.TypeDAC, "pch": onem2m.TypePollingChannel} {
		body := map[string]string{"grp": `,"mnm":9,"mid":["Ca"]`, "acp": `,"pv":{"acr":[]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}`, "dac": `,"dae":true,"dap":["Ca"]`}[name]
		n.MustCreate("Ca", "Ca", typ, fmt.Sprintf(`{"rn":%q%s}`, name, body))
	}
	n.MustCreate("Ca", "tally/ae1/cnt", onem2m.TypeContentInstance, `{"con":"secret","rn":"one"}`)
	n.MustCreate("Ca", "tally/ae1/cnt", onem2m.TypeSubscription, `{"rn":"sub","nu":["Ca"]}`)
	requests := []onem2m.Request{
		{Operation: onem2m.Retrieve},
		{Operation: onem2m.Retrieve, ResultContent: onem2m.ResultContentAttributesAndChildren},
		{Operation: onem2m.Retrieve, ResultContent: 99},
		{Operation: onem2m.Retrieve, Attributes: []string{"nope"}},
		{Operation: onem2m.Retrieve, Filter: &onem2m.FilterCriteria{Usage: onem2m.FilterUsageDiscovery}},
		{Operation: onem2m.Retrieve, Filter: &onem2m.FilterCriteria{Usage: onem2m.FilterUsageDiscovery, Types: []onem2m.ResourceType{4}}},
		{Operation: onem2m.Retrieve, Filter: &onem2m.FilterCriteria{Usage: 9}},
		{Operation: onem2m.Update, Content: []byte(`{"m2m:cnt":{"lbl":["x"]}}`)},
		{Operation: onem2m.Update, Content: []byte(`{"m2m:grp":{"nope":1}}`)},
		{Operation: onem2m.Update, Content: []byte(`{"m2m:cnt":{"acpi":[]}}`)},
		{Operation: onem2m.Update},
		{Operation: onem2m.Delete},
		{Operation: onem2m.Notify, Content: []byte(`{"m2m:sgn":{"nev":{"net":1},"sur":"x"}}`)},
		{Operation: onem2m.Notify, Content: []byte(`{"m2m:cnt":{}}`)},
		{Operation: onem2m.Create, Type: onem2m.TypeContainer, Content: []byte(`{"m2m:cnt":{"rn":"one"}}`)},
		{Operation: onem2m.Create, Type: onem2m.TypeContentInstance, Content: []byte(`{"m2m:cin":{"con":"1"}}`)},
		{Operation: onem2m.Create, Type: onem2m.TypeSubscription, Content: []byte(`{"m2m:sub":{"nu":["Cb"]}}`)},
		{Operation: onem2m.Create, Type: onem2m.TypeAE, Content: []byte(`{"m2m:ae":{"api":"Nx","rr":false,"srv":["4"]}}`)},
		{Operation: onem2m.Create, Type: onem2m.TypeRole, Content: []byte(`{"m2m:rol":{}}`)},
	}
	answer := func(req onem2m.Request, to string) []byte {
		req.From, req.To, req.RequestID, req.ReleaseVersion = "Cb", to, "r", "4"
		if req.ResultContent == 0 {
			req.ResultContent = onem2m.ResultContentDefault
		}
		var rsp onem2m.Response
		if req.Operation == onem2m.Retrieve || req.Operation == onem2m.Notify {
			rsp = n.Read(n.State, &req, n.Env()).Response
		} else {
			before := n.State.Snapshot()
			rsp = n.Core.Execute(n.State, &req, n.Env()).Response
			n.State.Rollback(before)
			if checked := n.Check(n.State, &req, n.Env()); checked == nil || checked.Status != rsp.Status || !bytes.Equal(checked.Content, rsp.Content) {
				t.Errorf("operation %d type %d on %s: checked as %+v, executed as %+v", req.Operation, req.Type, to, checked, rsp)
			}
		}
		return bytes.ReplaceAll(fmt.Appendf(nil, "%d %s", rsp.Status, rsp.Content), []byte(to), []byte("TARGET"))
	}
	for _, there := range []string{"cnt", "grp", "acp", "tms", "dac", "pch", "cnt/one", "cnt/sub", "cnt/la", "cnt/ol", "grp/fopt", "grp/fopt/cnt", "pch/pcu"} {
		for i, req := range requests {
			if got, want := answer(req, "tally/ae1/"+there), answer(req, "tally/ae1/nothing"); !bytes.Equal(got, want) {
				t.Errorf("request %d on %s: %s\nwhere there is nothing: %s", i, there, got, want)
			}
			if got := answer(req, "-/ae1/"+there); bytes.Contains(got, []byte("secret")) || bytes.Contains(got, []byte("does not exist")) {
				t.Errorf("request %d on %s: %s", i, there, got)
			}
		}
	}
	// A group cannot be used to ask what there is either.
	for _, member := range []string{"tally/ae1/cnt", "tally/ae1/nothing"} {
		_, result := n.Create("Cb", "Cb", onem2m.TypeGroup, `{"mnm":9,"mid":["`+member+`"]}`)
		if result.Response.Status != onem2m.StatusReceiverHasNoPrivileges {
			t.Errorf("group with %s: %s %s", member, result.Response.Status, result.Response.Content)
		}
	}
	// An AE does not write into a node of others.
	node := n.MustCreate("Coperator", "tally", onem2m.TypeNode, `{"ni":"1"}`)
	if got := n.Update("Cb", "Cb", onem2m.TypeAE, `{"nl":"`+node+`"}`).Response.Status; got != onem2m.StatusUpdated {
		t.Fatal(got)
	}
	if got := n.Retrieve("Coperator", node).Response.Content; bytes.Contains(got, []byte(`"hael"`)) {
		t.Errorf("the node lists an AE of another organisation: %s", got)
	}
}
