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

// A query in the target of a primitive, as nCube-Thyme for Arduino has it.
func TestQuery(t *testing.T) {
	req := &onem2m.Request{Operation: onem2m.Delete, To: "/Mobius/ae/cnt/sub?rcn=0", ResultContent: onem2m.ResultContentDefault}
	if Request(req, "Mobius", "/Mobius2"); req.To != "Mobius/ae/cnt/sub" || req.ResultContent != onem2m.ResultContentNothing {
		t.Errorf("%+v", req)
	}
	given := &onem2m.FilterCriteria{Usage: onem2m.FilterUsageDiscovery}
	req = &onem2m.Request{Operation: onem2m.Retrieve, To: "/Mobius/ae?ty=4&lbl=a%20b", ResultContent: onem2m.ResultContentDefault, Filter: given}
	if Request(req, "Mobius", "/Mobius2"); req.To != "Mobius/ae" || len(req.Filter.Types) != 1 || req.Filter.Labels[0] != "a b" || req.Filter.Usage != onem2m.FilterUsageDiscovery {
		t.Errorf("%+v %+v", req, req.Filter)
	}
	if given.Types != nil {
		t.Errorf("the filter of the caller was changed: %+v", given)
	}
	for _, to := range []string{"Mobius/ae?rcn=99", "Mobius/ae?rcn", "Mobius/ae?%zz=1", "Mobius/ae?"} {
		req := &onem2m.Request{Operation: onem2m.Retrieve, To: to, ResultContent: onem2m.ResultContentDefault}
		if Request(req, "Mobius", "/Mobius2"); req.To != to || req.ResultContent != onem2m.ResultContentDefault || req.Filter != nil {
			t.Errorf("%s: %+v", to, req)
		}
	}
}

func TestNotification(t *testing.T) {
	const full = `{"m2m:sgn":{"nev":{"net":3,"rep":{"m2m:cin":{"ty":4,"ri":"cin1","pi":"cnt1","rn":"cin1","ct":"20260101T000000","lt":"20260101T000000","et":"20310101T000000","st":1,"cr":"Sa","cs":1,"con":"5","cnf":"text/plain:0"}}},"sur":"Mobius/ae/cnt/sub"}}`
	const short = `{"m2m:sgn":{"nev":{"net":3,"rep":{"m2m:cin":{"cs":1,"con":"5","cnf":"text/plain:0"}}},"sur":"Mobius/ae/cnt/sub"}}`
	req := &onem2m.Request{Operation: onem2m.Notify, Content: []byte(full)}
	for address, want := range map[string]string{
		"mqtt://h:1883/Sa?ct=json&rcn=9": short, "http://h/noti?rcn=9": short, "mqtt://h/Sa?ct=json": full, "mqtt://h/Sa?rcn=1": full, "mqtt://h/%zz?rcn=9": full,
	} {
		if got := Notification(req, address); string(got.Content) != want {
			t.Errorf("%s: %s", address, got.Content)
		}
	}
	if string(req.Content) != full {
		t.Errorf("the notification itself was changed: %s", req.Content)
	}
	for content, want := range map[string]bool{
		full: true, `{"m2m:agn":{"m2m:sgn":[]}}`: true, `{"m2m:sgn":{"sud":true,"sur":"s"}}`: true,
		`{"m2m:sgn":{"nev":{"net":7},"sur":"s"}}`: false, `{"m2m:tsn":{}}`: false, `{"x":1}`: false, ``: false,
	} {
		if Unawaited([]byte(content)) != want {
			t.Errorf("%s: want %t", content, want)
		}
		short := &onem2m.Request{Operation: onem2m.Notify, Content: []byte(content)}
		if got := Notification(short, "mqtt://h/S?rcn=9"); content != full && string(got.Content) != content {
			t.Errorf("%s: %s", content, got.Content)
		}
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
