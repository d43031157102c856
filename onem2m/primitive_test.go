package onem2m

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TS-0004 clauses 6.4.1, 8.2.2 and 8.4: every parameter by its short name, bare and wrapped.
func TestParseRequest(t *testing.T) {
	const text = `{"op":2,"to":"cse/room","fr":"Cdev","rqi":"r1","rvi":"4","ty":3,"rcn":4,"drt":2,"ot":"20300101T000000",
		"rqet":"20300101T000001","rset":"PT5S","rp":-5,"oet":"20300101T000002","ec":2,"gid":"g","vsi":"v \u00e9","tkns":["t1","t2"],
		"rids":["nurse@hospital.example"],"tids":"t1@das.example","ltids":["tk5"],
		"rt":{"rtv":3,"nu":["http://a","Cx"]},
		"fc":{"fu":1,"fo":2,"crb":"a","cra":"b","ms":"c","us":"d","sts":9,"stb":1,"exb":"e","exa":"f","lbl":["a+b","two words"],
			"lbq":"q","ty":[3,4],"chty":4,"pty":[2],"sza":0,"szb":"100","cty":["application/senml+json"],
			"atr":[{"nm":"cr","val":"Ca,b"},"rn,x"],"catr":{"nm":"con","val":1},"patr":[{"nm":"rn","val":true}],"clbl":"c","palb":["p"],
			"lim":10,"lvl":2,"ofst":1,"arp":"x/la","mni":"10","c.con":"2"},
		"pc":{"m2m:atrl":["lbl","ct"]},"atrl":["et"],"unknown":1,"sqi":null}`
	want := &Request{
		Operation: Retrieve, To: "cse/room", From: "Cdev", RequestID: "r1", ReleaseVersion: "4", Type: TypeContainer,
		ResultContent: ResultContentAttributesAndChildren, DesiredIDType: 2, OriginatingTimestamp: "20300101T000000",
		RequestExpiration: "20300101T000001", ResultExpiration: "PT5S", ResultPersistence: "-5", OperationExecution: "20300101T000002",
		EventCategory: "2", GroupRequestID: "g", VendorInformation: "v é", Tokens: []string{"t1", "t2"},
		RoleIDs: []string{"nurse@hospital.example"}, TokenIDs: []string{"t1@das.example"}, LocalTokenIDs: []string{"tk5"},
		ResponseType: 3, NotificationURIs: []string{"http://a", "Cx"}, Attributes: []string{"et", "lbl", "ct"},
		Filter: &FilterCriteria{
			Usage: FilterUsageDiscovery, Operation: 2, CreatedBefore: "a", CreatedAfter: "b", ModifiedSince: "c", UnmodifiedSince: "d",
			StateTagSmaller: number(9), StateTagBigger: number(1), ExpireBefore: "e", ExpireAfter: "f",
			Labels: []string{"a+b", "two words"}, LabelsQuery: "q", Types: []ResourceType{3, 4}, ChildTypes: []ResourceType{4},
			ParentTypes: []ResourceType{2}, SizeAbove: number(0), SizeBelow: number(100), ContentTypes: []string{"application/senml+json"},
			Attributes:       []AttributeFilter{{"cr", "Ca,b"}, {"rn", "x"}, {"mni", "10"}},
			ChildAttributes:  []AttributeFilter{{"con", "1"}, {"con", "2"}},
			ParentAttributes: []AttributeFilter{{"rn", "true"}},
			ChildLabels:      []string{"c"}, ParentLabels: []string{"p"}, Limit: number(10), Level: number(2), Offset: number(1), ApplyRelPath: "x/la",
		},
	}
	for _, wrapped := range []bool{false, true} {
		in := text
		if wrapped {
			in = " {\"m2m:rqp\" : " + text + " }\n"
		}
		p, err := ParsePrimitive([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Primitive{Request: want, Wrapped: wrapped}, p); diff != "" {
			t.Errorf("wrapped %v (-want +got):\n%s", wrapped, diff)
		}
		again, err := ParsePrimitive(p.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Errorf("written and read again (-first +second):\n%s", diff)
		}
	}
}

// TS-0001 clause 8.2.2.3: a result that nobody is notified of, and one whose notification goes to the originator.
func TestNotificationURIs(t *testing.T) {
	for in, want := range map[string][]string{
		`{"rtv":2,"nu":[]}`: {}, `{"rtv":2,"nu":[ "" ]}`: {}, `{"rtv":2,"nu":["http://a"]}`: {"http://a"}, `{"rtv":2}`: nil,
	} {
		p, err := ParsePrimitive([]byte(`{"op":2,"to":"c","fr":"Ca","rqi":"1","rvi":"4","rt":` + in + `}`))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if diff := cmp.Diff(want, p.Request.NotificationURIs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
	if _, err := ParsePrimitive([]byte(`{"op":2,"to":"c","fr":"Ca","rqi":"1","rvi":"4","rt":{"rtv":2,"nu":["http://a",""]}}`)); err == nil {
		t.Error("an empty text among others is taken")
	}
}

// The contents stay as they are, blanks and all.
func TestRequestContentIsRaw(t *testing.T) {
	const pc = `{ "m2m:cin": {"con": 2.50, "x":[1, {"a":"\u00e9"}]} }`
	r, err := ParseRequest([]byte(`{"op":1,"ty":4,"to":"c","pc":` + pc + `,"rqi":"1"}`))
	if err != nil || string(r.Content) != pc {
		t.Fatalf("content %s, error %v", r.Content, err)
	}
	if got := string(AppendRequest(nil, r)); got != `{"op":1,"to":"c","rqi":"1","ty":4,"pc":`+pc+`}` {
		t.Errorf("written as %s", got)
	}
}

// TS-0004 clause 6.4.2.
func TestParseResponse(t *testing.T) {
	const text = `{"m2m:rsp":{"rsc":2000,"rqi":"r1","rvi":"2a","to":"Cdev","fr":"/cse","ot":"20300101T000000","rset":"PT1S","ec":4,"cnst":1,"cnot":7,"vsi":"v","pc":{"m2m:cnt":{}}}}`
	want := Primitive{Wrapped: true, Response: &Response{
		Status: StatusOK, RequestID: "r1", ReleaseVersion: "2a", To: "Cdev", From: "/cse", OriginatingTimestamp: "20300101T000000",
		ResultExpiration: "PT1S", EventCategory: "4", ContentStatus: 1, ContentOffset: 7, VendorInformation: "v", Content: []byte(`{"m2m:cnt":{}}`),
	}}
	p, err := ParsePrimitive([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := string(p.Append(nil)); got != text {
		t.Errorf("written as\n%s, want\n%s", got, text)
	}
	if bare, err := ParseResponse([]byte(`{"rsc":"4004","rqi":"x"}`)); err != nil || bare.Status != StatusNotFound {
		t.Errorf("bare response: %+v, %v", bare, err)
	}
}

// A refusal can carry the request identifier whatever else is wrong.
func TestParsePrimitiveRefuses(t *testing.T) {
	for _, c := range []struct {
		text   string
		rqi    string
		status StatusCode
		want   string
	}{
		{``, "", StatusBadRequest, "want one JSON object"},
		{`[]`, "", StatusBadRequest, "want one JSON object"},
		{`{}`, "", StatusBadRequest, "no operation"},
		{`{"m2m:rqp":{}}`, "", StatusBadRequest, "no operation"},
		{`{"m2m:rqp":1}`, "", StatusBadRequest, "not a JSON object"},
		{`{"m2m:rqp":{"rqi":"1","op":2,"to":"c"},"x":1}`, "1", StatusBadRequest, "expected }"},
		{`{"op":9,"to":"c","rqi":"1"}`, "1", StatusBadRequest, "parameter op"},
		{`{"op":2,"rqi":"1"}`, "1", StatusBadRequest, "no target"},
		{`{"op":2,"to":"","rqi":"1"}`, "1", StatusBadRequest, "no target"},
		{`{"op":2,"to":5,"rqi":"1"}`, "1", StatusBadRequest, "want a string"},
		{`{"op":2,"op":2,"to":"c","rqi":"1"}`, "", StatusBadRequest, "given twice"},
		{`{"rqi":"1","op":2,"to":"c"`, "1", StatusBadRequest, "ends early"},
		{`{"rqi":"1","op":2,"to":"c"} x`, "1", StatusBadRequest, "after the end"},
		{`{"op":2,"to":"c","rcn":13,"rqi":"1"}`, "1", StatusBadRequest, "rcn"},
		{`{"op":2,"to":"c","drt":3,"rqi":"1"}`, "1", StatusBadRequest, "drt"},
		{`{"op":1,"to":"c","ty":999,"rqi":"1"}`, "1", StatusBadRequest, "resource type"},
		{`{"op":2,"to":"c","rt":3,"rqi":"1"}`, "1", StatusBadRequest, "parameter rt"},
		{`{"op":2,"to":"c","rt":{"rtv":6},"rqi":"1"}`, "1", StatusBadRequest, "rtv"},
		{`{"op":2,"to":"c","ec":1.5,"rqi":"1"}`, "1", StatusBadRequest, "ec"},
		{`{"op":2,"to":"c","rqet":1.5,"rqi":"1"}`, "1", StatusBadRequest, "rqet"},
		{`{"op":2,"to":"c","sqi":true,"rqi":"1"}`, "1", StatusNotImplemented, "sqi"},
		{`{"op":2,"to":"c","fc":[],"rqi":"1"}`, "1", StatusBadRequest, "fc"},
		{`{"op":2,"to":"c","fc":{"smf":["x"]},"rqi":"1"}`, "1", StatusNotImplemented, "smf"},
		{`{"op":2,"to":"c","fc":{"fu":[1,2]},"rqi":"1"}`, "1", StatusBadRequest, "twice"},
		{`{"op":2,"to":"c","fc":{"lbl":[["x"]]},"rqi":"1"}`, "1", StatusBadRequest, "lbl"},
		{`{"op":2,"to":"c","fc":{"lbl":["x\n"]},"rqi":"1"}`, "1", StatusBadRequest, "control character"},
		{`{"op":2,"to":"c","fc":{"atr":[{"nm":"cr"}]},"rqi":"1"}`, "1", StatusBadRequest, "val"},
		{`{"op":2,"to":"c","fc":{"atr":[{"nm":"9","val":1}]},"rqi":"1"}`, "1", StatusBadRequest, "nm"},
		{`{"op":2,"to":"c","fc":{"No attribute":1},"rqi":"1"}`, "1", StatusBadRequest, "short name"},
		{`{"op":2,"to":"c","tkns":[1,{}],"rqi":"1"}`, "1", StatusBadRequest, "tkns"},
		{`{"op":2,"to":"` + strings.Repeat("x", 2049) + `","rqi":"1"}`, "1", StatusBadRequest, "longer than"},
		{`{"rsc":99,"rqi":"1"}`, "1", StatusBadRequest, "rsc"},
		{`{"m2m:rsp":{"rqi":"1"}}`, "1", StatusBadRequest, "no response status code"},
		{`{"rqi":"1","pc":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "1", StatusBadRequest, "deeper"},
		{`{"rqi":"1","vsi":"` + strings.Repeat("x", MaxDocument) + `"}`, "", StatusContentsUnacceptable, "longer than"},
	} {
		p, err := ParsePrimitive([]byte(c.text))
		var e *Error
		if !errors.As(err, &e) || e.Status != c.status || !strings.Contains(e.Message, c.want) {
			t.Errorf("%.80s: error %v, want %v with %q", c.text, err, c.status, c.want)
			continue
		}
		rqi := ""
		if p.Response != nil {
			rqi = p.Response.RequestID
		} else {
			rqi = p.Request.RequestID
		}
		if rqi != c.rqi {
			t.Errorf("%.80s: request identifier %q, want %q", c.text, rqi, c.rqi)
		}
	}
	if r, err := ParseRequest([]byte(`{"rsc":2000,"rqi":"7"}`)); err == nil || r.RequestID != "7" {
		t.Errorf("a response taken for a request: %+v, %v", r, err)
	}
	if r, err := ParseResponse([]byte(`{"op":2,"to":"c","rqi":"7"}`)); err == nil || r.RequestID != "7" {
		t.Errorf("a request taken for a response: %+v, %v", r, err)
	}
}

// What is read and written and read again is the same, and so is what went through CBOR.
func FuzzParsePrimitive(f *testing.F) {
	for _, seed := range []string{
		`{"op":1,"to":"cse/room","fr":"Cdev","rqi":"r1","rvi":"4","ty":4,"pc":{"m2m:cin":{"con":"21"}}}`,
		`{"m2m:rqp":{"op":2,"to":"c","rqi":"1","fc":{"fu":1,"lbl":["a"],"atr":[{"nm":"cr","val":"x"}],"ty":4,"mni":5},"rt":{"rtv":3,"nu":["x"]}}}`,
		`{"op":2,"to":"c","pc":{"m2m:atrl":["lbl"]},"ec":"02","rp":-7,"tkns":"t"}`,
		`{"m2m:rsp":{"rsc":2001,"rqi":"1","cnst":2,"cnot":5,"pc":"x"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePrimitive(text)
		if (p.Request == nil) == (p.Response == nil) {
			t.Fatalf("neither a request nor a response, or both: %+v", p)
		}
		if err != nil {
			return
		}
		written := p.Append(nil)
		again, err := ParsePrimitive(written)
		if err != nil {
			t.Fatalf("%s, written as %s: %v", text, written, err)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Fatalf("%s, written as %s (-first +second):\n%s", text, written, diff)
		}
		cbor, err := JSONToCBOR(written)
		if err != nil {
			return // a number in the content that has no CBOR form
		}
		back, err := CBORToJSON(cbor)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParsePrimitive(back); err != nil {
			t.Fatalf("%s, through CBOR %s: %v", written, back, err)
		}
	})
}
