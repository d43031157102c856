package mobius

import (
	"testing"

	"github.com/tallystick/tallystick/onem2m"
)

// Targets as nCube and its relatives write them.
func TestTarget(t *testing.T) {
	for _, c := range []struct{ to, cseID, want string }{
		{"/Mobius/ae/cnt", "/Mobius2", "Mobius/ae/cnt"}, {"/Mobius", "/Mobius2", "Mobius"}, {"Mobius/ae", "/Mobius2", "Mobius/ae"},
		{"/Mobius2/ae", "/Mobius2", "/Mobius2/ae"}, {"/Mobius2/Mobius/ae", "/Mobius2", "/Mobius2/Mobius/ae"}, {"/Mobiusx/ae", "/Mobius2", "/Mobiusx/ae"},
		{"//sp/Mobius2/ae", "/Mobius2", "//sp/Mobius2/ae"}, {"/Mobius/ae/cnt", "/Mobius", "Mobius/ae/cnt"}, {"/Mobius", "/Mobius", "Mobius"},
		{"/Mobius/Mobius/ae", "/Mobius", "/Mobius/Mobius/ae"}, {"/Mobius/-/ae", "/Mobius", "/Mobius/-/ae"}, {"", "/Mobius", ""}, {"/other/x", "/Mobius", "/other/x"},
	} {
		req := &onem2m.Request{Operation: onem2m.Retrieve, To: c.to}
		Request(req, "Mobius", c.cseID)
		if req.To != c.want {
			t.Errorf("%s at %s: %s, want %s", c.to, c.cseID, req.To, c.want)
		}
		Request(req, "Mobius", c.cseID)
		if req.To != c.want {
			t.Errorf("%s at %s, again: %s, want %s", c.to, c.cseID, req.To, c.want)
		}
	}
}

func TestContent(t *testing.T) {
	for _, c := range []struct {
		op       onem2m.Operation
		in, want string
	}{
		{onem2m.Create, `{"m2m:ae":{"rn":"x","api":"0.2.481","rr":"true"}}`, `{"m2m:ae":{"rn":"x","api":"0.2.481","rr":true,"srv":["2a"]}}`},
		{onem2m.Create, `{"m2m:ae":{"rn":"x","srv":["3"]}}`, `{"m2m:ae":{"rn":"x","srv":["3"]}}`},
		{onem2m.Create, `{"m2m:ae":{}}`, `{"m2m:ae":{"srv":["2a"]}}`},
		{onem2m.Update, `{"m2m:ae":{"lbl":"seahorse"}}`, `{"m2m:ae":{"lbl":["seahorse"]}}`},
		{onem2m.Update, `{"m2m:ae":{"lbl":null,"rr":"yes"}}`, `{"m2m:ae":{"lbl":null,"rr":"yes"}}`},
		{onem2m.Create, `{"m2m:cnt":{"mni":"10","mbs":"-1","mia":"1e2","lbl":["1",2]}}`, `{"m2m:cnt":{"mni":10,"mbs":-1,"mia":1e2,"lbl":["1",2]}}`},
		{onem2m.Create, `{"m2m:cnt":{"mni":"ten","mbs":"","mia":"0x10"}}`, `{"m2m:cnt":{"mni":"ten","mbs":"","mia":"0x10"}}`},
		{onem2m.Create, `{"m2m:cin":{"con":"21"}}`, `{"m2m:cin":{"con":"21"}}`},
		{onem2m.Create, `{"m2m:sub":{"rn":"s","enc":{"net":["3"]},"nu":"mqtt://h/Sx?ct=json","nct":"2","exc":"5"}}`, `{"m2m:sub":{"rn":"s","enc":{"net":[3]},"nu":["mqtt://h/Sx?ct=json"],"nct":2,"exc":5}}`},
		{onem2m.Create, `{"m2m:sub":{"enc":{"net":"3"}}}`, `{"m2m:sub":{"enc":{"net":[3]}}}`},
		{onem2m.Create, `{"x:unknown":{"a":"1"}}`, `{"x:unknown":{"a":"1"}}`},
		{onem2m.Create, `{"m2m:cnt":`, `{"m2m:cnt":`},
		{onem2m.Create, ``, ``},
		{onem2m.Retrieve, ` { } `, ``},
		{onem2m.Notify, `{"m2m:sgn":{"vrq":"true"}}`, `{"m2m:sgn":{"vrq":"true"}}`},
	} {
		req := &onem2m.Request{Operation: c.op, Content: []byte(c.in)}
		Request(req, "Mobius", "/Mobius2")
		if string(req.Content) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.in, req.Content, c.want)
		}
	}
}

func TestParameters(t *testing.T) {
	for from, want := range map[string]string{
		"/Sae": "Sae", "/Cae": "Cae", "Sae": "Sae", "/Mobius2": "/Mobius2", "/Smn/Cae": "/Smn/Cae", "": "", "/": "/", "/other": "/other",
	} {
		req := &onem2m.Request{From: from}
		if Request(req, "Mobius", "/Mobius2"); req.From != want {
			t.Errorf("originator %q: %q, want %q", from, req.From, want)
		}
	}
	del := &onem2m.Request{Operation: onem2m.Delete, ResultContent: onem2m.ResultContentDefault}
	if Request(del, "Mobius", "/Mobius2"); del.ResultContent != onem2m.ResultContentAttributes || del.ReleaseVersion != "2a" {
		t.Errorf("%+v", del)
	}
	nothing := &onem2m.Request{Operation: onem2m.Delete, ResultContent: onem2m.ResultContentNothing, ReleaseVersion: "4"}
	if Request(nothing, "Mobius", "/Mobius2"); nothing.ResultContent != onem2m.ResultContentNothing || nothing.ReleaseVersion != "4" {
		t.Errorf("%+v", nothing)
	}
	rsp := &onem2m.Response{Status: onem2m.StatusOriginatorHasAlreadyRegistered}
	if Response(rsp); rsp.Status != onem2m.StatusConflict {
		t.Errorf("%+v", rsp)
	}
}

// What is made of a content is still one JSON value when that was, and doing it again changes nothing.
func FuzzContent(f *testing.F) {
	f.Add([]byte(`{"m2m:sub":{"enc":{"net":["3"],"atr":"x"},"nu":"u","nct":"2"}}`))
	f.Add([]byte(`{"m2m:ae":{"rr":"true","poa":"http://x","loc":{"typ":"1","crd":"[1,2]"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		once := &onem2m.Request{Operation: onem2m.Create, Content: text}
		Request(once, "Mobius", "/Mobius2")
		if _, _, err := onem2m.ParseContent(text); err != nil {
			return
		}
		if _, err := onem2m.ScanValue(once.Content); err != nil {
			t.Fatalf("%s: %v", once.Content, err)
		}
		twice := *once
		if Request(&twice, "Mobius", "/Mobius2"); string(twice.Content) != string(once.Content) {
			t.Fatalf("%s, then %s", once.Content, twice.Content)
		}
	})
}
