package cse_test

import (
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// list is a JSON array of count strings, # in format being the number of each.
func list(count int, format string) string {
	var out []string
	for i := range count {
		out = append(out, `"`+strings.ReplaceAll(format, "#", fmt.Sprint(i))+`"`)
	}
	return "[" + strings.Join(out, ",") + "]"
}

func wantRefused(t *testing.T, what string, result cse.Result, detail string) {
	t.Helper()
	if result.Response.Status != onem2m.StatusNotAcceptable || !strings.Contains(string(result.Response.Content), detail) {
		t.Errorf("%s: %d %.300s, want %d with %q", what, result.Response.Status, result.Response.Content, onem2m.StatusNotAcceptable, detail)
	}
	if len(result.Effects) != 0 || len(result.Events) != 0 || result.Err != nil {
		t.Errorf("%s: %d effects, %d events, %v", what, len(result.Effects), len(result.Events), result.Err)
	}
}

// TS-0001 clause 9.6.8: notificationURI is a list of targets; one that is named many times is notified once.
func TestTargetsBounded(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	const limit = "the limit is 16"
	sub := n.MustCreate("Ca", "Ca", onem2m.TypeSubscription, `{"rn":"s","nct":3,"enc":{"net":[3]},"nu":`+list(2000, "http://victim/")+`}`)
	wantHas(t, n, sub, `"nu":["http://victim/"]`)
	wantEvents(t, "notified once", create(n, "Ca", onem2m.TypeContainer, `{"rn":"x"}`),
		`http://victim/ {"m2m:sgn":{"nev":{"net":3,"rep":{"m2m:uri":"/tally/cnt5"}},"sur":"/tally/sub4"}}`)

	n.MustCreate("Ca", "Ca", onem2m.TypeSubscription, `{"nu":`+list(16, "http://h/#")+`}`)
	wantRefused(t, "create", create(n, "Ca", onem2m.TypeSubscription, `{"nu":`+list(17, "http://h/#")+`}`), limit)
	wantRefused(t, "update", n.Update("Ca", sub, onem2m.TypeSubscription, `{"nu":`+list(17, "http://h/#")+`}`), limit)
	wantStatus(t, "update", n.Update("Ca", sub, onem2m.TypeSubscription, `{"nu":["http://b","http://a","http://b"]}`), onem2m.StatusUpdated)
	wantHas(t, n, sub, `"nu":["http://b","http://a"]`)

	wantRefused(t, "points of access", n.Update("Ca", "Ca", onem2m.TypeAE, `{"poa":`+list(17, "http://h/#")+`}`), "poa: 17 targets; "+limit)
	wantStatus(t, "points of access", n.Update("Ca", "Ca", onem2m.TypeAE, `{"poa":`+list(16, "http://h/#")+`}`), onem2m.StatusUpdated)
}

// A request to a fanOutPoint is verified before its members are asked (TS-0004 clause 7.4.8.2.1), so what they all
// refuse must not have anybody asked.
func TestVerificationBounded(t *testing.T) {
	n, cnt := watched(t, `"nct":3`)
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"grp","mnm":9,"mid":["`+cnt+`"]}`)
	for nu, want := range map[string]int{
		list(40_000, "http://h/#"): 0, list(40_000, "http://h/"): 1, list(17, "http://h/#"): 0, list(16, "http://h/#"): 16,
	} {
		req := n.Complete(onem2m.Request{
			Operation: onem2m.Create, From: "Ca", To: "Ca/grp/fopt", Type: onem2m.TypeSubscription,
			Content: csetest.Content(onem2m.TypeSubscription, `{"nu":`+nu+`}`),
		})
		got := 0
		for _, e := range n.VerificationRequest(n.State, req, n.Env()) {
			got += len(e.Targets)
		}
		if got != want {
			t.Errorf("%.60s: %d targets asked, want %d", nu, got, want)
		}
	}
}

// A resource has at most 32 subscriptions (TS-0001 clause 9.6.8 leaves their number to the CSE).
func TestSubscriptionsBounded(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	var last string
	for range 32 {
		last = n.MustCreate("Ca", "Ca", onem2m.TypeSubscription, `{"nu":["http://h"]}`)
	}
	wantRefused(t, "33rd", create(n, "Ca", onem2m.TypeSubscription, `{"nu":["http://h"]}`), "the limit is 32")
	wantStatus(t, "update at the limit", n.Update("Ca", last, onem2m.TypeSubscription, `{"nu":["http://i"]}`), onem2m.StatusUpdated)
	wantStatus(t, "delete", n.Delete("Ca", last), onem2m.StatusDeleted)
	n.MustCreate("Ca", "Ca", onem2m.TypeSubscription, `{"nu":["http://h"]}`)
}

// subscribed makes a container with as many subscriptions as it may have, which count down 99 notifications.
func subscribed(n *csetest.Network, name string) string {
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"`+name+`"}`)
	for range 32 {
		n.MustCreate("Ca", cnt, onem2m.TypeSubscription, `{"nu":["http://h"],"exc":99,"enc":{"net":[1,2,3,4]}}`)
	}
	return cnt
}

// labels is a JSON array of labels, which are short, of size bytes.
func labels(size int) string { return list(size/1003, strings.Repeat("x", 1000)) }

const overflow = "the change would call for more than 16777216 bytes of notifications"

// The notifications of one request are bounded (TS-0004 clause 7.5.1.2.2); what goes beyond changes nothing.
func TestEventsBounded(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := subscribed(n, "c")
	label := func(size int) string { return `{"lbl":` + labels(size) + `}` }
	reading := func(size int) string { return `{"con":"` + strings.Repeat("x", size) + `"}` }

	if got := create(n, cnt, onem2m.TypeContentInstance, reading(500_000)); len(got.Events) != 32 {
		t.Errorf("a reading that fits: %d, %d events", got.Response.Status, len(got.Events))
	}
	before := n.State.Dump()
	wantRefused(t, "reading", create(n, cnt, onem2m.TypeContentInstance, reading(600_000)), overflow)
	wantRefused(t, "update", n.Update("Ca", cnt, onem2m.TypeContainer, label(600_000)), overflow)
	wantRefused(t, "create", create(n, cnt, onem2m.TypeContainer, label(600_000)), overflow)
	if diff := cmp.Diff(before, n.State.Dump()); diff != "" {
		t.Errorf("refused requests left writes (-want +got):\n%s", diff)
	}
	for i := range 3 {
		n.MustCreate("Ca", cnt, onem2m.TypeContainer, `{"rn":"part`+fmt.Sprint(i)+`",`+label(200_000)[1:])
	}
	before = n.State.Dump()
	wantRefused(t, "delete with what is below", n.Delete("Ca", cnt), overflow)
	if diff := cmp.Diff(before, n.State.Dump()); diff != "" {
		t.Errorf("a refused delete left writes (-want +got):\n%s", diff)
	}
	wantStatus(t, "delete a part", n.Delete("Ca", cnt+"/part0"), onem2m.StatusDeleted)
	wantStatus(t, "delete the rest", n.Delete("Ca", cnt), onem2m.StatusDeleted)
}

// A request to a fanOutPoint is one request (TS-0001 clause 10.7): beyond the bound it is refused as a whole, not
// member by member, in nested groups too.
func TestFanOutEventsBounded(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	a, b := subscribed(n, "a"), subscribed(n, "b")
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"g","mnm":9,"mid":["`+a+`","`+b+`"]}`)
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"gg","mnm":9,"mid":["Ca/g/fopt"]}`)
	for _, to := range []string{"Ca/g/fopt", "Ca/gg/fopt"} {
		before := n.State.Dump()
		size := strings.Repeat("x", 300_000) // 9.6 MB of notifications at each member
		wantRefused(t, "create in "+to, create(n, to, onem2m.TypeContentInstance, `{"con":"`+size+`"}`), overflow)
		wantRefused(t, "update in "+to, n.Update("Ca", to, onem2m.TypeContainer, `{"lbl":`+labels(300_000)+`}`), overflow)
		if diff := cmp.Diff(before, n.State.Dump()); diff != "" {
			t.Errorf("%s: refused requests left writes (-want +got):\n%s", to, diff)
		}
		result := create(n, to, onem2m.TypeContentInstance, `{"con":"`+size[:200_000]+`"}`)
		if len(result.Effects) != 2 || len(result.Events) != 64 {
			t.Errorf("%s: %d effects, %d events", to, len(result.Effects), len(result.Events))
		}
	}
}

// wideState has many more resources below one than are there: without anything below them.
type wideState struct {
	*csetest.State
	parents []string
	count   int
	sample  cse.Resource // what each of them is, but for the IDs
	removed map[string]bool
	left    map[string]int // by parent, the first that may be there
}

func (s *wideState) virtual(ri string) (parent string, ok bool) {
	_, parent, ok = strings.Cut(ri, "-of-")
	return parent, ok
}

func (s *wideState) Resource(ri string) (*cse.Resource, error) {
	parent, ok := s.virtual(ri)
	if !ok {
		return s.State.Resource(ri)
	}
	if s.removed[ri] {
		return nil, nil
	}
	res := s.sample
	res.RI, res.RN, res.PI = ri, ri, parent
	return &res, nil
}

func (s *wideState) Subscriptions(pi string) ([]string, error) {
	if _, ok := s.virtual(pi); ok {
		return nil, nil
	}
	return s.State.Subscriptions(pi)
}

func (s *wideState) Children(pi, after string) iter.Seq2[cse.ChildRef, error] {
	for _, parent := range s.parents {
		if pi == parent {
			return func(yield func(cse.ChildRef, error) bool) {
				for i := s.left[pi]; i < s.count; i++ {
					ri := fmt.Sprintf("wide%d-of-%s", i, pi)
					if s.removed[ri] {
						if i == s.left[pi] {
							s.left[pi]++
						}
						continue
					}
					if !yield(cse.ChildRef{RI: ri, RN: ri, Type: s.sample.Type}, nil) {
						return
					}
				}
			}
		}
	}
	if _, ok := s.virtual(pi); ok {
		return func(func(cse.ChildRef, error) bool) {}
	}
	return s.State.Children(pi, after)
}

func (s *wideState) Remove(ri string) error {
	if _, ok := s.virtual(ri); ok {
		s.removed[ri] = true
		return nil
	}
	return s.State.Remove(ri)
}

// A DELETE takes all below a resource with it (TS-0001 clause 10.1.4), up to a limit.
func TestDeleteBounded(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	a := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"a"}`)
	b := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"b"}`)
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"g","mnm":9,"mid":["`+a+`","`+b+`"]}`)
	remove := func(st cse.State, to string) cse.Result {
		return n.Core.Execute(st, n.Complete(onem2m.Request{Operation: onem2m.Delete, From: "Ca", To: to}), n.Env())
	}
	wide := func(count int) *wideState {
		return &wideState{State: n.State.Snapshot(), parents: []string{a, b}, count: count, sample: cse.Resource{Type: onem2m.TypeGroup}, removed: map[string]bool{}, left: map[string]int{}}
	}
	st := wide(100_000)
	wantRefused(t, "too much", remove(st, a), "more than 100000 resources with "+a+"; delete parts of it first")
	if diff := cmp.Diff(n.State.Dump(), st.Dump()); diff != "" || len(st.removed) != 0 {
		t.Errorf("a refused delete left writes: %d removals %s", len(st.removed), diff)
	}
	wantStatus(t, "at the limit", remove(wide(99_999), a), onem2m.StatusDeleted)

	// The members of a group share the limit, and the one that goes beyond refuses for itself.
	st = wide(60_000)
	result := remove(st, "Ca/g/fopt")
	if !strings.Contains(string(result.Response.Content), `"rsc":2002`) || !strings.Contains(string(result.Response.Content), `"rsc":5207`) {
		t.Errorf("delete of two members: %d %s", result.Response.Status, result.Response.Content)
	}
	if len(st.removed) != 60_000 {
		t.Errorf("%d resources were removed", len(st.removed))
	}
}

// TS-0001 clause 9.6.1.3.1: expired resources go in blocks of bounded work, and always some of them.
func TestExpireSubtreeBounded(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	a := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"a","et":"20261123T080000"}`)
	b := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"b","et":"20261123T083000"}`)
	st := &wideState{State: n.State, parents: []string{a}, count: 105_000, sample: cse.Resource{Type: onem2m.TypeGroup, Expires: 1}, removed: map[string]bool{}, left: map[string]int{}}
	env := cse.Env{Time: csetest.Start + 2*3600*1_000_000, NextIndex: n.Next}
	for i, want := range []int{10_000, 2} {
		result := n.Core.Expire(st, env, 256)
		if result.Err != nil || len(result.Effects) != want {
			t.Fatalf("call %d: %d effects, want %d, %v", i, len(result.Effects), want, result.Err)
		}
		if i == 0 {
			if e := result.Effects[0]; e.Resource != "wide0-of-"+a || e.Originator != "/tally" || e.Operation != onem2m.Delete {
				t.Errorf("first effect %+v", e)
			}
			if len(st.removed) != 10_000 {
				t.Errorf("%d resources were removed", len(st.removed))
			}
		}
	}
	for _, ri := range []string{a, b} {
		if res, _ := n.State.Resource(ri); res != nil {
			t.Errorf("%s is still there", ri)
		}
	}
}

// The notifications of expiry are bounded too: what would go beyond waits for the next call.
func TestExpireEventsBounded(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := subscribed(n, "c")
	et := func(name, hour string) string {
		return n.MustCreate("Ca", cnt, onem2m.TypeContainer, `{"rn":"`+name+`","et":"20261123T`+hour+`0000","lbl":`+labels(300_000)+`}`)
	}
	first, second := et("first", "08"), et("second", "09")
	env := cse.Env{Time: csetest.Start + 4*3600*1_000_000, NextIndex: n.Next}
	var gone []string
	for call := 0; ; call++ {
		result := n.Core.Expire(n.State, env, 256)
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		size := 0
		for _, e := range result.Events {
			size += len(e.Content)
		}
		if size > 16<<20 {
			t.Errorf("call %d: %d bytes of notifications", call, size)
		}
		if len(result.Effects) == 0 {
			break
		}
		gone = append(gone, "|")
		for _, e := range result.Effects {
			gone = append(gone, e.Resource)
		}
	}
	if diff := cmp.Diff([]string{"|", first, "|", second}, gone); diff != "" {
		t.Errorf("expired (-want +got), calls parted by |:\n%s", diff)
	}
}

// TS-0004 clause 7.5.1.2.4: the subscribers of many subscriptions that expire with one resource are all told, in parts.
func TestExpireSubscribersBounded(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	a := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"a","et":"20261123T080000"}`)
	su := []byte(`"http://h/` + strings.Repeat("x", 2000) + `"`)
	st := &wideState{
		State: n.State, parents: []string{a}, count: 10_000, removed: map[string]bool{}, left: map[string]int{},
		sample: cse.Resource{Type: onem2m.TypeSubscription, Expires: 1, Attrs: []cse.Attr{{Name: "su", Value: su}}},
	}
	events := 0
	for call := 1; ; call++ {
		result := n.Core.Expire(st, cse.Env{Time: csetest.Start + 2*3600*1_000_000, NextIndex: n.Next}, 256)
		size := 0
		for _, e := range result.Events {
			size += len(e.Content) + len(e.Targets[0])
		}
		if result.Err != nil || len(result.Effects) == 0 || size > 16<<20 {
			t.Fatalf("call %d: %d effects, %d bytes of notifications, %v", call, len(result.Effects), size, result.Err)
		}
		events += len(result.Events)
		if res, _ := n.State.Resource(a); res == nil {
			if call != 2 {
				t.Errorf("gone after %d calls", call)
			}
			break
		}
	}
	if events != 10_000 {
		t.Errorf("%d subscribers were told", events)
	}
}

// A single resource whose notifications are over the bound goes all the same, and the last notifications are dropped.
func TestExpireOneTooLarge(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c"}`)
	large := n.MustCreate("Ca", cnt, onem2m.TypeContainer, `{"rn":"large","et":"20261123T080000","lbl":`+labels(900_000)+`}`)
	sub := ""
	for range 32 {
		sub = n.MustCreate("Ca", cnt, onem2m.TypeSubscription, `{"nu":["http://h"],"exc":9,"enc":{"net":[4]}}`)
	}
	result := n.Core.Expire(n.State, cse.Env{Time: csetest.Start + 2*3600*1_000_000, NextIndex: n.Next}, 256)
	if result.Err != nil || len(result.Effects) != 1 || result.Effects[0].Resource != large || len(result.Events) != 16<<20/900_000 {
		t.Errorf("%d effects, %d events, %v", len(result.Effects), len(result.Events), result.Err)
	}
	wantHas(t, n, sub, `"exc":8`)
}
