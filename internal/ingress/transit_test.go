package ingress

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/onem2m"
)

// TestTransit: a request for another CSE is handed on with an originator that is known there, and always with an answer
// wanted: a next hop that says nothing could as well be dead (TS-0004 clause 7.3.2.6).
func TestTransit(t *testing.T) {
	n := ready(t, 0)
	n.enrol("/other")
	n.want(onem2m.StatusCreated, n.do("/other", onem2m.Request{
		Operation: onem2m.Create, To: "tally", Type: onem2m.TypeRemoteCSE,
		Content: []byte(`{"m2m:csr":{"rn":"other","csi":"/other","cb":"/other/base","rr":true,"srv":["4"],"poa":["ws://127.0.0.1:1"]}}`),
	}))
	var on *onem2m.Request
	n.outside.request = func(_ []string, req *onem2m.Request) (*onem2m.Response, error) {
		on = req
		return &onem2m.Response{Status: onem2m.StatusDeleted}, nil
	}
	req := onem2m.Request{Operation: onem2m.Delete, To: "/other/base/x", ResponseType: onem2m.ResponseTypeNone}
	n.want(onem2m.StatusDeleted, n.do("Cdev", req))
	if on == nil || on.ResponseType != 0 || on.From != "/tally/Cdev" || on.To != "/other/base/x" || on.RequestID != "r" {
		t.Errorf("%+v", on)
	}
}

// TestFarMembers: a request to a fanOutPoint reaches the members on other CSEs too (TS-0004 clause 7.4.14.3), once what
// it does here is done.
func TestFarMembers(t *testing.T) {
	n := ready(t, 0)
	n.enrol("/other")
	n.want(onem2m.StatusCreated, n.do("/other", onem2m.Request{
		Operation: onem2m.Create, To: "tally", Type: onem2m.TypeRemoteCSE,
		Content: []byte(`{"m2m:csr":{"rn":"other","csi":"/other","cb":"/other/base","rr":true,"srv":["4"],"poa":["ws://127.0.0.1:1"]}}`),
	}))
	n.want(onem2m.StatusCreated, n.do("Cdev", onem2m.Request{
		Operation: onem2m.Create, To: "tally/dev", Type: onem2m.TypeGroup,
		Content: []byte(`{"m2m:grp":{"rn":"g","mnm":9,"mid":["tally/dev/c","/other/base/x","/nowhere/base/y","/other/base/z"]}}`),
	}))
	var mu sync.Mutex
	asked := map[string]onem2m.Request{}
	n.outside.request = func(_ []string, req *onem2m.Request) (*onem2m.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[req.To] = *req
		if strings.HasPrefix(req.To, "/other/base/z") {
			return nil, errors.New("no route")
		}
		return &onem2m.Response{Status: onem2m.StatusCreated, Content: []byte(`{"m2m:cin":{"ri":"1"}}`)}, nil
	}
	for _, test := range []struct {
		to   string
		rest string
		op   onem2m.Operation
		here onem2m.StatusCode
	}{
		{"tally/dev/g/fopt", "", onem2m.Create, onem2m.StatusCreated},
		{"tally/dev/g/fopt/la", "/la", onem2m.Retrieve, onem2m.StatusOK},
	} {
		clear(asked)
		req := onem2m.Request{Operation: test.op, To: test.to}
		if test.op == onem2m.Create {
			req.Type, req.Content = onem2m.TypeContentInstance, []byte(`{"m2m:cin":{"con":"1"}}`)
		}
		resp := n.do("Cdev", req)
		n.want(onem2m.StatusOK, resp)
		var got []string
		for member := range onem2m.Elements(onem2m.Field(onem2m.Field(resp.Content, "m2m:agr"), "m2m:rsp")) {
			got = append(got, fmt.Sprintf("%s %s", onem2m.Field(member, "fr"), onem2m.Field(member, "rsc")))
		}
		want := []string{
			fmt.Sprintf(`"tally/dev/c%s" %d`, test.rest, test.here), fmt.Sprintf(`"/other/base/x%s" 2001`, test.rest),
			fmt.Sprintf(`"/nowhere/base/y%s" 4004`, test.rest), fmt.Sprintf(`"/other/base/z%s" 5103`, test.rest),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%s", test.to, diff, resp.Content)
		}
		if on := asked["/other/base/x"+test.rest]; len(asked) != 2 || on.From != "/tally/Cdev" || on.Operation != test.op || on.Type != req.Type {
			t.Errorf("%s: asked %+v", test.to, asked)
		}
	}
	// Who may not use the group asks nobody.
	clear(asked)
	n.enrol("Celse")
	n.want(onem2m.StatusOriginatorHasNoPrivilege, n.do("Celse", onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/g/fopt"}))
	if len(asked) != 0 {
		t.Errorf("asked %+v", asked)
	}
}
