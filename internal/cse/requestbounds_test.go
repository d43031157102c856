package cse_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/onem2m"
)

// group makes containers, with attributes, and a group of them.
func (r *recorder) group(name string, n int, attributes string) {
	r.t.Helper()
	var members []string
	for i := range n {
		r.must("Coperator", "tally", onem2m.TypeContainer, fmt.Sprintf(`{"rn":"%s%d",%s}`, name, i, attributes))
		members = append(members, fmt.Sprintf(`"tally/%s%d"`, name, i))
	}
	r.must("Coperator", "tally", onem2m.TypeGroup, fmt.Sprintf(`{"rn":%q,"mnm":%d,"mid":[%s]}`, name, n, strings.Join(members, ",")))
}

// A non-blocking request to a group that calls for too many notifications is refused as a whole, as a blocking one is:
// what the first members did must not stay without an entry in the log.
func TestNonBlockingOverflow(t *testing.T) {
	n := newRecorder(t)
	n.group("g", 40, `"lbl":["x`+strings.Repeat(`","`+strings.Repeat("x", 2000), 250)+`"]`)
	for i := range 40 {
		n.must("Coperator", fmt.Sprintf("tally/g%d", i), onem2m.TypeSubscription, `{"nu":["http://x/"]}`)
	}
	update := onem2m.Request{Operation: onem2m.Update, From: "Coperator", To: "tally/g/fopt", Content: []byte(`{"m2m:cnt":{"mni":5}}`)}
	blocking := n.do(update).Response
	update.ResponseType = onem2m.ResponseTypeNonBlockingSync
	if rsp := n.do(update).Response; rsp.Status != onem2m.StatusNotAcceptable || rsp.Status != blocking.Status {
		t.Errorf("%d %s, a blocking one %d", rsp.Status, rsp.Content, blocking.Status)
	}
	n.replay()
}

// A pending <request> may turn out to be what its own operation deletes: it is a member of the group, or its target has
// come to be its own ID. It is gone then, or refused as it would have been before (TS-0004 clause 7.4.12.2.4).
func TestRequestDeletesItself(t *testing.T) {
	n := newRecorder(t)
	remove := onem2m.Request{
		Operation: onem2m.Delete, From: "Coperator", To: onem2m.ResourceRI(onem2m.TypeRequest, n.Next), ResponseType: onem2m.ResponseTypeNonBlockingSync,
		OperationExecution: "PT1M", RequestID: "self",
	}
	itself := accepted(t, n.do(remove).Response, acceptedSync)
	if itself != remove.To {
		t.Fatalf("the <request> is %s", itself)
	}
	remove.To = "tally/g/fopt"
	member := accepted(t, n.do(remove).Response, acceptedSync)
	n.must("Coperator", "tally", onem2m.TypeContainer, `{"rn":"c"}`)
	n.must("Coperator", "tally", onem2m.TypeGroup, `{"rn":"g","mnm":9,"mid":["`+member+`","tally/c"]}`)
	n.tick(n.Time + 61_000_000)
	expect(t, n.request("Coperator", itself), map[string]string{"rs": "2", "ors/rsc": "4000"})
	for _, gone := range []string{member, "tally/c"} {
		if rsp := n.Retrieve("Coperator", gone).Response; rsp.Status != onem2m.StatusNotFound {
			t.Errorf("%s: %d", gone, rsp.Status)
		}
	}
	n.replay()
}

// What is fanned out later is small also when there was no group yet when the request was accepted: at its time there is
// nobody to be refused, and each member gets the content.
func TestLaterFanOutIsBounded(t *testing.T) {
	n := newRecorder(t)
	large := accepted(t, n.do(onem2m.Request{
		Operation: onem2m.Create, From: "Coperator", To: "tally/g/fopt", Type: onem2m.TypeContentInstance,
		Content: []byte(`{"m2m:cin":{"con":"` + strings.Repeat("x", 500_000) + `"}}`), ResponseType: 1, OperationExecution: "PT1M", RequestID: "q",
	}).Response, acceptedSync)
	n.group("g", 3, `"lbl":["x"]`)
	n.tick(n.Time + 61_000_000)
	expect(t, n.request("Coperator", large), map[string]string{"rs": "2", "ors/rsc": "5207"})
	n.replay()
}

// No <request> is larger than an entry of the log can be, whatever parameters the request has.
func TestRequestFitsIntoLog(t *testing.T) {
	n := newRecorder(t)
	n.must("Coperator", "tally", onem2m.TypeContainer, `{"rn":"c"}`)
	for name, change := range map[string]func(*onem2m.Request){
		"vendor information": func(r *onem2m.Request) { r.VendorInformation = strings.Repeat("v", 500_000) },
		"request identifier": func(r *onem2m.Request) { r.RequestID = strings.Repeat("v", 500_000) },
		"group request":      func(r *onem2m.Request) { r.GroupRequestID = strings.Repeat("g", 200_000) },
		"escapes":            func(r *onem2m.Request) { r.VendorInformation = strings.Repeat("\x01", 100_000) },
		"much": func(r *onem2m.Request) {
			r.VendorInformation, r.RequestID = strings.Repeat("v", 2000), strings.Repeat("q", 2000)
		},
	} {
		for _, execution := range []string{"", "PT1M"} {
			req := onem2m.Request{
				Operation: onem2m.Create, From: "Coperator", To: "tally/c", Type: onem2m.TypeContentInstance, RequestID: "q",
				Content:      []byte(`{"m2m:cin":{"con":"` + strings.Repeat("x", 520_000) + `"}}`),
				ResponseType: 1, OperationExecution: execution,
			}
			change(&req)
			rsp := n.do(req).Response
			if want := name == "much"; (rsp.Status == acceptedSync) != want || !want && rsp.Status != onem2m.StatusNotAcceptable {
				t.Errorf("%s, %q: %d %.200s", name, execution, rsp.Status, rsp.Content)
			}
		}
	}
	n.tick(n.Time + 61_000_000)
	for _, e := range n.log {
		if len(e.Payload) > 1<<20 {
			t.Errorf("%s %d: a payload of %d bytes", e.Resource, e.Operation, len(e.Payload))
		}
	}
	n.replay()
}

// Requests that read within a block share a bound of what they look at (a search is done by every node).
func TestWorkOfBlock(t *testing.T) {
	n := newRecorder(t)
	for i := range 20 {
		n.must("Coperator", "tally", onem2m.TypeContainer, fmt.Sprintf(`{"rn":"c%d","lbl":["x"]}`, i))
	}
	work := 30
	search := onem2m.Request{
		Operation: onem2m.Retrieve, From: "Coperator", To: "tally", ResponseType: 1, Filter: &onem2m.FilterCriteria{Usage: onem2m.FilterUsageDiscovery},
	}
	var got []string
	for range 4 {
		env := n.Env()
		env.Work = &work
		result := n.Core.Execute(n.State, n.Complete(search), env)
		n.Next += uint64(len(result.Effects))
		got = append(got, string(onem2m.Field(onem2m.Field(n.request("Coperator", accepted(t, result.Response, acceptedSync)), "ors"), "rsc")))
	}
	if fmt.Sprint(got) != "[2000 2000 5000 5000]" {
		t.Errorf("%v, %d left", got, work)
	}
}
