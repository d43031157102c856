package cse_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// logged is what the log keeps of an effect and needs to repeat it.
type logged struct {
	cse.Effect
	index uint64
	time  int64
}

// repeat executes a logged effect again, as a rebuild of the state from the log does.
func repeat(t *testing.T, core *cse.Core, state *csetest.State, e logged, payload []byte) {
	t.Helper()
	req := &onem2m.Request{
		Operation: e.Operation, From: e.Originator, To: e.Resource, RequestID: "replay", ReleaseVersion: "4",
		Content: payload, ResultContent: onem2m.ResultContentNothing,
	}
	if e.Operation == onem2m.Create {
		req.To, req.Type = e.Target, e.Type
	}
	result := core.Execute(state, req, cse.Env{Time: e.time, NextIndex: e.index, Agreed: true})
	if len(result.Effects) == 0 || result.Effects[0].Resource != e.Resource || result.Effects[0].Status != e.Status {
		t.Fatalf("repeating %+v gave %d %s %+v", e.Effect, result.Response.Status, result.Response.Content, result.Effects)
	}
	state.Log(e.index, e.time, result.Effects)
}

// The effects of all requests, executed again in order, rebuild the state, even when the payloads of readings were
// redacted: evictions, removed children and counted notifications need no effects of their own.
func TestReplay(t *testing.T) {
	n := csetest.NewNetwork(t)
	var log []logged
	do := func(name string, req onem2m.Request) string {
		t.Helper()
		at, index := n.Time, n.Next
		result := n.Execute(n.Complete(req))
		if !result.Response.Status.Success() {
			t.Fatalf("%s: %d %s", name, result.Response.Status, result.Response.Content)
		}
		for i, e := range result.Effects {
			log = append(log, logged{e, index + uint64(i), at})
		}
		return result.Effects[0].Resource
	}
	create := func(from, to string, typ onem2m.ResourceType, body string) string {
		t.Helper()
		return do("create "+body, onem2m.Request{Operation: onem2m.Create, From: from, To: to, Type: typ, Content: csetest.Content(typ, body)})
	}
	update := func(from, to string, typ onem2m.ResourceType, body string) {
		t.Helper()
		do("update "+body, onem2m.Request{Operation: onem2m.Update, From: from, To: to, Content: csetest.Content(typ, body)})
	}
	remove := func(from, to string) {
		t.Helper()
		do("delete "+to, onem2m.Request{Operation: onem2m.Delete, From: from, To: to})
	}

	update("Coperator", "tally/acpAdmin", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["all"],"acop":1,"acod":[{"chty":[2]}]},{"acor":["Coperator"],"acop":63}]}}`)
	for _, from := range []string{"", "C", "S"} {
		create(from, "tally", onem2m.TypeAE, `{"api":"Nx","rr":false,"srv":["4"]}`)
	}
	n.MayRegister = true
	create("/tally/Ca", "-", onem2m.TypeAE, `{"rn":"ae1","api":"Nx","rr":false,"srv":["4"]}`)
	n.MayRegister = false
	c1 := create("Ca", "tally/ae1", onem2m.TypeContainer, `{"rn":"c1","mni":3,"cr":null}`)
	c2 := create("Ca", "tally/ae1", onem2m.TypeContainer, `{"rn":"c2","mbs":9}`)
	create("Ca", c1, onem2m.TypeSubscription, `{"nu":["http://x/"],"exc":2,"enc":{"net":[3]}}`)
	grp := create("Ca", "Ca", onem2m.TypeGroup, `{"rn":"g","mnm":5,"mid":["`+c1+`","tally/ae1/c2","`+c1+`"]}`)
	for i := range 7 {
		create("Ca", "tally/ae1/g/fopt", onem2m.TypeContentInstance, fmt.Sprintf(`{"con":"secret %d","lbl":["me"],"cr":null}`, i))
	}
	create("Ca", c1, onem2m.TypeContentInstance, `{"rn":"named","con":{"a":1},"et":"20301010T000000"}`)
	remove("Ca", "tally/ae1/c1/named")
	remove("Ca", c2+"/ol")
	update("Ca", c1, onem2m.TypeContainer, `{"mni":1,"lbl":["x"]}`)
	update("Ca", grp, onem2m.TypeGroup, `{"mid":["`+c2+`"]}`)
	deep := create("Ca", c2, onem2m.TypeContainer, `{"et":"20261123T080000"}`)
	create("Ca", deep, onem2m.TypeContentInstance, `{"con":"x"}`)
	n.Time = csetest.Start + 7200_000_000
	result := n.Expire(n.State, n.Env(), 10)
	for i, e := range result.Effects {
		log = append(log, logged{e, n.Next + uint64(i), n.Time})
	}
	n.Next += uint64(len(result.Effects))
	create("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c3","disr":true}`)
	create("Ca", "Ca/c3", onem2m.TypeContentInstance, `{"con":"unread"}`)
	update("Ca", "Ca/c3", onem2m.TypeContainer, `{"disr":false}`)
	update("Ca", grp, onem2m.TypeGroup, `{"mid":["`+c1+`","/other/x","Ca/c3"]}`)
	remove("Ca", "Ca/g/fopt")

	for name, redact := range map[string]bool{"as logged": false, "redacted": true} {
		again := csetest.NewNetwork(t)
		for _, e := range log {
			payload := e.Payload
			if redact && e.Type == onem2m.TypeContentInstance && e.Operation == onem2m.Create {
				payload = cse.Redact(payload)
			}
			repeat(t, again.Core, again.State, e, payload)
		}
		if diff := cmp.Diff(n.State.Dump(), again.State.Dump()); diff != "" {
			t.Errorf("%s: rebuilt state differs (-first +rebuilt):\n%s", name, diff)
		}
	}
}
