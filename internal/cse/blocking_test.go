package cse_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// TS-0004 clause 7.4.8.2.1: what a subscription that updates wait for may say, and that there is one at most; clause
// 7.4.8.2.3: no update makes one.
func TestBlockingSubscription(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	for body, want := range map[string]onem2m.StatusCode{
		`{"nu":["Ca","http://x"],"enc":{"net":[7]}}`:        onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[7],"sza":1}}`:           onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[7,7]}}`:                 onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[7]},"bn":{"num":1}}`:    onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[7]},"exc":1}`:           onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[7]},"nct":1}`:           onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[7]},"nct":3,"ln":true}`: onem2m.StatusBadRequest,
	} {
		_, got := n.Create("Ca", "Ca", onem2m.TypeSubscription, body)
		wantStatus(t, body, got, want)
	}
	sub := n.MustCreate("Ca", "Ca", onem2m.TypeSubscription, `{"nu":["Ca"],"enc":{"net":[7],"atr":["lbl"]}}`)
	if got := n.Retrieve("Ca", sub); !strings.Contains(string(got.Response.Content), `"nct":2`) {
		t.Errorf("the default of nct: %s", got.Response.Content)
	}
	_, second := n.Create("Ca", "Ca", onem2m.TypeSubscription, `{"nu":["Ca"],"enc":{"net":[7],"atr":["apn"]}}`)
	wantStatus(t, "a second one", second, 4124)
	wantStatus(t, "repeated", n.Update("Ca", sub, onem2m.TypeSubscription, `{"enc":{"net":[7],"atr":["lbl"]}}`), onem2m.StatusBadRequest)
	wantStatus(t, "two targets", n.Update("Ca", sub, onem2m.TypeSubscription, `{"nu":["Ca","http://x"]}`), onem2m.StatusBadRequest)
	wantStatus(t, "labels", n.Update("Ca", sub, onem2m.TypeSubscription, `{"lbl":["x"]}`), onem2m.StatusUpdated)
	wantStatus(t, "another event", n.Update("Ca", sub, onem2m.TypeSubscription, `{"enc":{"net":[1]}}`), onem2m.StatusUpdated)
	wantStatus(t, "and back", n.Update("Ca", sub, onem2m.TypeSubscription, `{"enc":{"net":[7]}}`), onem2m.StatusBadRequest)
}

// TS-0001 clause 9.6.8: an update waits for the answer when it touches the attributes; a group's cannot wait.
func TestBlockingUpdate(t *testing.T) {
	n, cnt := watched(t, `"enc":{"net":[7],"atr":["lbl"]}`)
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"grp","mnm":9,"mid":["`+cnt+`"]}`)
	ask := func(to, body string) string {
		req := n.Complete(onem2m.Request{Operation: onem2m.Update, From: "Ca", To: to, Content: csetest.Content(onem2m.TypeContainer, body)})
		ri, e := n.BlockingUpdate(n.State, req, n.Env())
		if e == nil {
			return ri
		}
		return ri + " " + strings.Join(sgn(cse.Result{Events: []cse.Event{*e}}), " ")
	}
	want := cnt + ` http://h {"m2m:sgn":{"nev":{"net":7,"rep":{"m2m:cnt":{"lbl":["x"]}}},"sur":"/tally/sub5","cr":"Ca"}}`
	if got := ask(cnt, `{"lbl":["x"]}`); got != want {
		t.Errorf("asks %s, want %s", got, want)
	}
	for _, to := range []string{cnt, "nowhere", "Ca/grp/fopt", "Ca"} {
		if got := ask(to, `{"mni":3}`); got != "" {
			t.Errorf("%s: asks %s", to, got)
		}
	}
	// What was agreed calls for no notification of its own.
	wantEvents(t, "agreed", n.Update("Ca", cnt, onem2m.TypeContainer, `{"lbl":["x"]}`))
	for body, status := range map[string]int{`{"lbl":["x"]}`: 4127, `{"mni":3}`: 2004} {
		got := n.Update("Ca", "Ca/grp/fopt", onem2m.TypeContainer, body)
		if want := fmt.Sprintf(`"rsc":%d`, status); !strings.Contains(string(got.Response.Content), want) {
			t.Errorf("%s through a group: %s, want %s", body, got.Response.Content, want)
		}
	}
}

// TS-0004 clause 7.5.1.2.2, steps 2.2 to 2.4: what the delivery of a notification needs to know.
func TestDeliveryAttributes(t *testing.T) {
	for attributes, want := range map[string]string{
		`"nct":3`:                               "{ <nil> false 0}",
		`"nec":3,"nse":true`:                    "{3 <nil> false 1}",
		`"ln":true,"nec":2`:                     "{4 <nil> true 0}",
		`"nec":4`:                               "{4 <nil> true 0}",  // TS-0001 clause 8.1.2, event category latest
		`"nec":2,"bn":{"num":3}`:                "{2 <nil> false 0}", // the same, immediate
		`"nec":3,"bn":{"num":3}`:                "{3 &{3 60000000} false 0}",
		`"pn":1`:                                "{4 <nil> true 0}",
		`"pn":2`:                                "{ <nil> false 0}",
		`"bn":{"num":3}`:                        "{ &{3 60000000} false 0}",
		`"bn":{"num":7,"dur":"PT1H"},"ln":true`: "{4 &{7 3600000000} true 0}",
		`"bn":{"num":7,"dur":2}`:                "{ &{7 2000000} false 0}",
		`"bn":{}`:                               "{ &{0 60000000} false 0}",
	} {
		n, cnt := watched(t, attributes)
		result := n.Update("Ca", cnt, onem2m.TypeContainer, `{"mni":4}`)
		e := result.Events[0]
		got := fmt.Sprint(struct {
			c string
			b *cse.Batch
			l bool
			s cse.Statistics
		}{e.Category, nil, e.Latest, e.Statistics})
		if e.Batch != nil {
			got = strings.Replace(got, "<nil>", fmt.Sprint(e.Batch), 1)
		}
		if len(result.Events) != 1 || got != want {
			t.Errorf("%s: %s, want %s", attributes, got, want)
		}
	}
}

// What was gathered goes when the subscription ends, whatever ends it; statistics end and begin anew (TS-0001 clause
// 10.2.10.8).
func TestEndOfGathering(t *testing.T) {
	count := func(result cse.Result) (ends, anew int) {
		for _, e := range result.Events {
			if e.Content == nil && len(e.Targets) == 1 {
				ends++
			}
			if e.Statistics == cse.CountAnew {
				anew++
			}
		}
		return ends, anew
	}
	for _, end := range []func(*csetest.Network, string) cse.Result{
		func(n *csetest.Network, cnt string) cse.Result { return n.Delete("Ca", cnt+"/sub1") },
		func(n *csetest.Network, cnt string) cse.Result { return n.Delete("Ca", cnt) },
		func(n *csetest.Network, cnt string) cse.Result {
			n.Update("Ca", cnt+"/sub1", onem2m.TypeSubscription, `{"exc":1}`)
			return n.Update("Ca", cnt, onem2m.TypeContainer, `{"mni":4}`)
		},
	} {
		n, cnt := watched(t, `"bn":{"num":3},"nse":true`)
		if ends, anew := count(end(n, cnt)); ends != 1 || anew != 1 {
			t.Errorf("%d ends, %d counted anew", ends, anew)
		}
	}
	n, cnt := watched(t, `"nct":3`)
	for _, step := range []struct {
		body string
		anew int
	}{{`{"nse":true}`, 1}, {`{"exc":4}`, 0}, {`{"nse":false}`, 0}, {`{"nse":true}`, 1}, {`{"nse":true}`, 1}, {`{"nse":null}`, 1}} {
		if _, anew := count(n.Update("Ca", cnt+"/sub1", onem2m.TypeSubscription, step.body)); anew != step.anew {
			t.Errorf("%s: counted anew %d times, want %d", step.body, anew, step.anew)
		}
	}
}

// A subscription gets the ID that its targets were told; nobody can take one that is in use.
func TestAssignedRI(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	ri := cse.AssignedRI([10]byte{1, 2})
	create := func(typ onem2m.ResourceType, assigned, body string) cse.Result {
		req := n.Complete(onem2m.Request{Operation: onem2m.Create, From: "Ca", To: "Ca", Type: typ, Content: csetest.Content(typ, body)})
		env := n.Env()
		env.Assigned = assigned
		return n.Core.Execute(n.State, req, env)
	}
	got := create(onem2m.TypeSubscription, ri, `{"nu":["Ca"]}`)
	if len(got.Effects) != 1 || got.Effects[0].Resource != ri || !strings.Contains(string(got.Response.Content), `"ri":"`+ri+`"`) {
		t.Errorf("%d %s", got.Response.Status, got.Response.Content)
	}
	wantStatus(t, "again", create(onem2m.TypeSubscription, ri, `{"nu":["Ca"]}`), onem2m.StatusConflict)
	for _, other := range []string{"Ca", "sub5", ri + "0", strings.ToUpper(ri), "sub-zzzzzzzzzzzzzzzzzzzz"} {
		got := create(onem2m.TypeSubscription, other, `{"rn":"n`+strings.ToLower(other)+`","nu":["Ca"]}`)
		if len(got.Effects) != 1 || got.Effects[0].Resource == other {
			t.Errorf("%s: %d %s", other, got.Response.Status, got.Response.Content)
		}
		n.State.Remove(got.Effects[0].Resource)
	}
	if got := create(onem2m.TypeContainer, cse.AssignedRI([10]byte{3}), `{}`); len(got.Effects) != 1 || !strings.HasPrefix(got.Effects[0].Resource, "cnt") {
		t.Errorf("a container: %+v", got.Effects)
	}
}

// What clients of Mobius expect: structured addresses, and modified attributes of what was created.
func TestMobiusNotifications(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Core = cse.New(cse.Config{SPID: "//tally.example", CSEID: "/tally", Name: "tally", BaseRI: "cb", Admin: "Coperator", Release: "4", Mobius: true}, cse.Identity{})
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"cnt1"}`)
	n.MustCreate("Ca", cnt, onem2m.TypeSubscription, `{"rn":"s","nu":["http://h"],"nct":2,"enc":{"net":[3]}}`)
	got := sgn(create(n, cnt, onem2m.TypeContentInstance, `{"con":"7"}`))
	if len(got) != 1 || !strings.Contains(got[0], `"sur":"tally/ae1/cnt1/s"`) || !strings.Contains(got[0], `"con":"7"`) {
		t.Errorf("%s", got)
	}
}
