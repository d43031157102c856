package cse_test

import (
	"testing"

	"github.com/tallystick/tallystick/onem2m"
)

// A pollingChannel is its owner's alone, and an AE has one at most (TS-0004 clauses 7.4.21.2 and 7.4.22.2).
func TestPollingChannel(t *testing.T) {
	n := newRecorder(t)
	n.register("Ca", "ae", `"rr":true`)
	all := n.must("Ca", "tally/ae", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["all"],"acop":63}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
	n.do(onem2m.Request{Operation: onem2m.Update, From: "Ca", To: "tally/ae", Content: []byte(`{"m2m:ae":{"acpi":["` + all + `"]}}`)})
	create := func(from, to string) onem2m.Request {
		return onem2m.Request{Operation: onem2m.Create, From: from, To: to, Type: onem2m.TypePollingChannel, Content: []byte(`{"m2m:pch":{"rn":"pch"}}`)}
	}
	for _, test := range []struct {
		name string
		req  onem2m.Request
		want onem2m.StatusCode
	}{
		{"by others", create("Coperator", "tally/ae"), onem2m.StatusOriginatorHasNoPrivilege},
		{"below the CSEBase", create("Coperator", "tally"), onem2m.StatusInvalidChildResourceType},
		{"before there is one", onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: "tally/ae/pch/pcu"}, onem2m.StatusNotFound},
		{"by the AE", create("/tally/Ca", "tally/ae"), onem2m.StatusCreated},
		{"a second one", onem2m.Request{Operation: onem2m.Create, From: "Ca", To: "tally/ae", Type: onem2m.TypePollingChannel, Content: []byte(`{"m2m:pch":{}}`)}, onem2m.StatusBadRequest},
		{"update by others", onem2m.Request{Operation: onem2m.Update, From: "Coperator", To: "tally/ae/pch", Content: []byte(`{"m2m:pch":{"rqag":true}}`)}, onem2m.StatusOriginatorHasNoPrivilege},
		{"update", onem2m.Request{Operation: onem2m.Update, From: "Ca", To: "tally/ae/pch", Content: []byte(`{"m2m:pch":{"rqag":true}}`)}, onem2m.StatusUpdated},
		{"delete by others", onem2m.Request{Operation: onem2m.Delete, From: "Coperator", To: "tally/ae/pch"}, onem2m.StatusOriginatorHasNoPrivilege},
		{"create at pcu", onem2m.Request{Operation: onem2m.Create, From: "Ca", To: "tally/ae/pch/pcu", Type: onem2m.TypeContainer, Content: []byte(`{"m2m:cnt":{}}`)}, onem2m.StatusOperationNotAllowed},
		{"update of pcu", onem2m.Request{Operation: onem2m.Update, From: "Ca", To: "tally/ae/pch/pcu", Content: []byte(`{"m2m:pch":{}}`)}, onem2m.StatusOperationNotAllowed},
		{"delete of pcu", onem2m.Request{Operation: onem2m.Delete, From: "Ca", To: "tally/ae/pch/pcu"}, onem2m.StatusOperationNotAllowed},
		{"retrieve by others", onem2m.Request{Operation: onem2m.Retrieve, From: "Coperator", To: "tally/ae/pch"}, onem2m.StatusOriginatorHasNoPrivilege},
		{"poll by others", onem2m.Request{Operation: onem2m.Retrieve, From: "Coperator", To: "tally/ae/pch/pcu"}, onem2m.StatusOriginatorHasNoPrivilege},
		{"answer by others", onem2m.Request{Operation: onem2m.Notify, From: "Coperator", To: "tally/ae/pch/pcu", Content: []byte(`{"m2m:rsp":{"rsc":2000,"rqi":"1"}}`)}, onem2m.StatusOriginatorHasNoPrivilege},
		{"an empty answer", onem2m.Request{Operation: onem2m.Notify, From: "Ca", To: "tally/ae/pch/pcu", Content: []byte(`{}`)}, onem2m.StatusBadRequest},
		{"no answer", onem2m.Request{Operation: onem2m.Notify, From: "Ca", To: "tally/ae/pch/pcu"}, onem2m.StatusBadRequest},
		{"a request", onem2m.Request{Operation: onem2m.Notify, From: "Ca", To: "tally/ae/pch/pcu", Content: []byte(`{"m2m:rqp":{"rsc":2000,"rqi":"1"}}`)}, onem2m.StatusBadRequest},
		{"non-blocking poll", onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: "tally/ae/pch/pcu", ResponseType: 1}, onem2m.StatusBadRequest},
	} {
		req := n.Complete(test.req)
		var rsp onem2m.Response
		if req.Operation == onem2m.Retrieve && req.ResponseType == 0 || req.Operation == onem2m.Notify {
			result := n.Read(n.State, req, n.Env())
			if rsp = result.Response; result.Poll != nil {
				t.Errorf("%s: is to be polled", test.name)
			}
		} else {
			rsp = n.do(*req).Response
		}
		if rsp.Status != test.want {
			t.Errorf("%s: %d %s, want %d", test.name, rsp.Status, rsp.Content, test.want)
		}
	}
	poll := n.Retrieve("Ca", "/tally/Ca/pch/pcu").Poll
	if poll == nil || poll.Owner != "Ca" || !poll.Aggregate || poll.Answer != nil {
		t.Errorf("a poll: %+v", poll)
	}
	answer := n.Read(n.State, n.Complete(onem2m.Request{
		Operation: onem2m.Notify, From: "Ca", To: "tally/ae/pch/pcu", Content: []byte(`{"m2m:rsp":{"rsc":2000,"rqi":"1","fr":"Ca"}}`),
	}), n.Env()).Poll
	if answer == nil || answer.Answer == nil || answer.Answer.RequestID != "1" || answer.Owner != "Ca" {
		t.Errorf("an answer: %+v", answer)
	}
	n.replay()
}

// The way to an AE knows whether it polls (TS-0004 clause 7.3.3.9.1).
func TestPollingRoute(t *testing.T) {
	n := newRecorder(t)
	n.register("Ca", "ae", `"rr":false`)
	if n.Route(n.State, "Ca").Polls {
		t.Error("without a channel it polls")
	}
	n.must("Ca", "tally/ae", onem2m.TypePollingChannel, `{}`)
	if !n.Route(n.State, "tally/ae").Polls {
		t.Error("with a channel it does not poll")
	}
}

// A CSE can poll too, and an AE of another CSE that is registered here: under the ID by which requests find them.
func TestPollingOfOthers(t *testing.T) {
	n := newLab(t)
	n.MustCreate("/mn-1", "tally", onem2m.TypeRemoteCSE, remoteBody(`,"rn":"mn","cb":"/mn-1/cse"`))
	n.MustCreate("/mn-1/Cfar", "tally", onem2m.TypeAE, `{"rn":"far","api":"Na","rr":false,"srv":["4"]}`)
	for _, test := range []struct{ who, below, target string }{
		{"/mn-1", "tally/mn", "/mn-1/cse/x"}, {"/mn-1/Cfar", "tally/far", "tally/far"},
	} {
		n.MustCreate(test.who, test.below, onem2m.TypePollingChannel, `{"rn":"p"}`)
		poll, route := n.Retrieve(test.who, test.below+"/p/pcu").Poll, n.Route(n.State, test.target)
		if poll == nil || !route.Polls || poll.Owner != route.Entity {
			t.Errorf("%s: polls as %+v, is sought as %+v", test.who, poll, route)
		}
		wantStatus(t, "the administrator", n.Retrieve("CAdmin", test.below+"/p/pcu"), onem2m.StatusOriginatorHasNoPrivilege)
	}
}
