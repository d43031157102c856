package ingress

import (
	"testing"

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
