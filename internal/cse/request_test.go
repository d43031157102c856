package cse_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// recorder drives a network and keeps its log.
type recorder struct {
	*csetest.Network
	t   *testing.T
	log []logged
}

func newRecorder(t *testing.T) *recorder { return &recorder{Network: csetest.NewNetwork(t), t: t} }

func (r *recorder) note(at int64, index uint64, effects []cse.Effect) {
	for i, e := range effects {
		r.log = append(r.log, logged{e, index + uint64(i), at})
	}
}

func (r *recorder) do(req onem2m.Request) cse.Result {
	r.t.Helper()
	at, index := r.Time, r.Next
	result := r.Execute(r.Complete(req))
	r.note(at, index, result.Effects)
	return result
}

// must does a CREATE and gives the resource ID.
func (r *recorder) must(from, to string, typ onem2m.ResourceType, body string) string {
	r.t.Helper()
	result := r.do(onem2m.Request{Operation: onem2m.Create, From: from, To: to, Type: typ, Content: csetest.Content(typ, body)})
	if result.Response.Status != onem2m.StatusCreated {
		r.t.Fatalf("create %s below %s: %d %s", typ, to, result.Response.Status, result.Response.Content)
	}
	return result.Effects[0].Resource
}

func (r *recorder) register(id, name, body string) {
	r.t.Helper()
	r.MayRegister = true
	r.must(id, "tally", onem2m.TypeAE, fmt.Sprintf(`{"rn":%q,"api":"Ntest","srv":["4"],%s}`, name, body))
	r.MayRegister = false
}

// tick lets time act at a given moment, as a block with nothing else in it does.
func (r *recorder) tick(at int64) cse.Result {
	r.t.Helper()
	r.Time = at
	env := r.Env()
	env.Authentic = func(originator string) (bool, error) { return originator != "Crevoked", nil }
	gone := r.Expire(r.State, env, 10)
	r.note(at, r.Next, gone.Effects)
	r.Next += uint64(len(gone.Effects))
	env.NextIndex = r.Next
	result := r.Tick(r.State, env, 10)
	if result.Err != nil {
		r.t.Fatal(result.Err)
	}
	r.note(at, r.Next, result.Effects)
	r.State.Log(r.Next, at, result.Effects)
	r.Next += uint64(len(result.Effects))
	r.Time++
	return result
}

// replay rebuilds the state from the log and compares.
func (r *recorder) replay() {
	r.t.Helper()
	again := csetest.NewNetwork(r.t)
	for i := 0; i < len(r.log); i++ {
		e := r.log[i]
		if e.Operation == onem2m.Delete && e.Originator == csetest.Config.CSEID {
			gone := again.Expire(again.State, cse.Env{Time: e.time, NextIndex: e.index}, 10)
			i += len(gone.Effects) - 1
			continue
		}
		repeat(r.t, again.Core, again.State, e, e.Payload)
	}
	if diff := cmp.Diff(r.State.Dump(), again.State.Dump()); diff != "" {
		r.t.Errorf("rebuilt state differs (-first +rebuilt):\n%s", diff)
	}
}

// request reads a <request> as its originator.
func (r *recorder) request(from, ri string) []byte {
	r.t.Helper()
	rsp := r.Retrieve(from, "/tally/"+ri).Response
	if rsp.Status != onem2m.StatusOK {
		r.t.Fatalf("retrieve %s as %s: %d %s", ri, from, rsp.Status, rsp.Content)
	}
	return onem2m.Field(rsp.Content, "m2m:req")
}

// expect compares members, named by their paths.
func expect(t *testing.T, value []byte, want map[string]string) {
	t.Helper()
	for path, v := range want {
		got := value
		for name := range strings.SplitSeq(path, "/") {
			if got != nil {
				got = onem2m.Field(got, name)
			}
		}
		if string(got) != v {
			t.Errorf("%s is %s, want %s, in %s", path, got, v, value)
		}
	}
}

// accepted gives the <request> that a response refers to.
func accepted(t *testing.T, rsp onem2m.Response, status onem2m.StatusCode) string {
	t.Helper()
	ri, ok := onem2m.Unquote(onem2m.Field(rsp.Content, "m2m:uri"))
	if rsp.Status != status || !ok {
		t.Fatalf("%d %s, want %d and a reference", rsp.Status, rsp.Content, status)
	}
	return ri
}

const acceptedSync, acceptedAsync = onem2m.StatusAcceptedNonBlockingRequestSync, onem2m.StatusAcceptedNonBlockingRequestAsync

// A non-blocking request is executed and its result kept, whatever it is (TS-0001 clause 8.2.2.2, TS-0004 clauses
// 7.3.2.2 to 7.3.2.5); the log gives all of it back.
func TestNonBlockingSynch(t *testing.T) {
	n := newRecorder(t)
	n.register("Ca", "ae", `"rr":false`)
	ri := accepted(t, n.do(onem2m.Request{
		Operation: onem2m.Create, From: "Ca", To: "tally/ae", Type: onem2m.TypeContainer, Content: []byte(`{"m2m:cnt":{"rn":"c"}}`),
		ResponseType: 1, RequestID: "q1", ResultPersistence: "PT5S", VendorInformation: "some words", EventCategory: "4",
	}).Response, acceptedSync)
	expect(t, n.request("Ca", ri), map[string]string{
		"ty": "17", "pi": `"cb"`, "lbl": `["Ca"]`, "op": "1", "tg": `"tally/ae"`, "org": `"Ca"`, "rid": `"q1"`, "rs": "1",
		"mi/rt/rtv": "1", "mi/rp": `"PT5S"`, "mi/vsi": `"some words"`, "mi/ty": "3", "mi/rvi": `"4"`, "mi/ec": "4",
		"pc/m2m:cnt/rn": `"c"`, "ors/rsc": "2001", "ors/rqi": `"q1"`, "ors/to": `"Ca"`, "ors/fr": `"/tally"`,
		"ors/pc/m2m:cnt/ty": "3", "ors/pc/m2m:cnt/rn": `"c"`, "et": `"20261123T070006,000000"`, "st": "",
	})
	if rsp := n.Retrieve("Ca", "tally/ae/c").Response; rsp.Status != onem2m.StatusOK {
		t.Errorf("the container: %d", rsp.Status)
	}

	do := func(req onem2m.Request) []byte {
		t.Helper()
		req.ResponseType = onem2m.ResponseTypeNonBlockingSync
		ri = accepted(t, n.do(req).Response, acceptedSync)
		return n.request(req.From, ri)
	}
	expect(t, do(onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: "tally/ae/c#rn"}), map[string]string{
		"op": "2", "pc": "", "rs": "1", "ors/rsc": "2000", "ors/pc/m2m:cnt": `{"rn":"c"}`,
	})
	expect(t, do(onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: "tally/aewrong"}), map[string]string{"rs": "2", "ors/rsc": "4004"})
	expect(t, do(onem2m.Request{Operation: onem2m.Update, From: "Ca", To: "tally/ae/c", Content: []byte(`{"m2m:cnt":{"lbl":["x"]}}`)}), map[string]string{
		"rs": "1", "ors/rsc": "2004", "ors/pc/m2m:cnt/lbl": `["x"]`, "pc/m2m:cnt/lbl": `["x"]`,
	})
	expect(t, do(onem2m.Request{Operation: onem2m.Delete, From: "Cother", To: "tally/ae/c"}), map[string]string{"rs": "2", "ors/rsc": "4103"})
	expect(t, do(onem2m.Request{Operation: onem2m.Delete, From: "Ca", To: "tally/ae/c"}), map[string]string{"rs": "1", "ors/rsc": "2002", "ors/pc": ""})
	n.must("Ca", ri, onem2m.TypeSubscription, `{"nu":["http://x/"],"exc":3}`)
	n.do(onem2m.Request{Operation: onem2m.Delete, From: "Ca", To: ri})
	n.tick(csetest.Start + 700_000_000)
	if left := len(n.State.IDs()); left != 3 {
		t.Errorf("%d resources are left", left)
	}
	n.replay()
}

// A <request> is its originator's alone, and changes by what the CSE does only (TS-0001 clause 9.6.12, TS-0004 clause
// 7.4.12.2).
func TestRequestIsPrivate(t *testing.T) {
	n := newRecorder(t)
	n.register("Ca", "ae", `"rr":false`)
	n.must("Coperator", "tally", onem2m.TypeSubscription, `{"nu":["http://x/"],"enc":{"net":[3,4]}}`)
	made := n.do(onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: "tally/ae", ResponseType: 1})
	ri := accepted(t, made.Response, acceptedSync)
	if len(made.Events) > 0 {
		t.Errorf("others are told of it: %+v", made.Events)
	}
	for name, test := range map[string]struct {
		req  onem2m.Request
		want onem2m.StatusCode
	}{
		"create":               {onem2m.Request{Operation: onem2m.Create, From: "Coperator", To: "tally", Type: onem2m.TypeRequest, Content: []byte(`{"m2m:req":{}}`)}, onem2m.StatusOperationNotAllowed},
		"update":               {onem2m.Request{Operation: onem2m.Update, From: "Ca", To: ri, Content: []byte(`{"m2m:req":{"lbl":["x"]}}`)}, onem2m.StatusOperationNotAllowed},
		"delete by others":     {onem2m.Request{Operation: onem2m.Delete, From: "Coperator", To: ri}, onem2m.StatusOriginatorHasNoPrivilege},
		"subscribe by others":  {onem2m.Request{Operation: onem2m.Create, From: "Coperator", To: ri, Type: onem2m.TypeSubscription, Content: []byte(`{"m2m:sub":{"nu":["http://x/"]}}`)}, onem2m.StatusOriginatorHasNoPrivilege},
		"non-blocking":         {onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: ri, ResponseType: 1}, onem2m.StatusBadRequest},
		"non-blocking, delete": {onem2m.Request{Operation: onem2m.Delete, From: "Ca", To: ri, ResponseType: 2}, onem2m.StatusBadRequest},
		"no originator":        {onem2m.Request{Operation: onem2m.Create, To: "tally", Type: onem2m.TypeAE, Content: []byte(`{"m2m:ae":{}}`), ResponseType: 1}, onem2m.StatusBadRequest},
		"kept too shortly":     {onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: "tally/ae", ResponseType: 1, ResultPersistence: "0"}, onem2m.StatusBadRequest},
		"no time":              {onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: "tally/ae", ResponseType: 1, ResultPersistence: "xxx"}, onem2m.StatusBadRequest},
		"flexible, no time":    {onem2m.Request{Operation: onem2m.Delete, From: "Ca", To: "tally/ae", ResponseType: 4, ResultPersistence: "xxx"}, onem2m.StatusBadRequest},
		"large":                {onem2m.Request{Operation: onem2m.Create, From: "Ca", To: "tally/ae", ResponseType: 1, Type: onem2m.TypeContainer, Content: make([]byte, 600_000)}, onem2m.StatusNotAcceptable},
		"many targets":         {onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: "tally/ae", ResponseType: 2, NotificationURIs: make([]string, 17)}, onem2m.StatusNotAcceptable},
		"far ahead":            {onem2m.Request{Operation: onem2m.Delete, From: "Ca", To: "tally/ae", ResponseType: 1, OperationExecution: "P8D"}, onem2m.StatusNotAcceptable},
	} {
		if got := n.do(test.req).Response; got.Status != test.want {
			t.Errorf("%s: %d %s, want %d", name, got.Status, got.Content, test.want)
		}
	}
	if rsp := n.Retrieve("Coperator", ri).Response; rsp.Status != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("the administrator reads it: %d", rsp.Status)
	}
	gone := n.do(onem2m.Request{Operation: onem2m.Delete, From: "Ca", To: ri})
	if gone.Response.Status != onem2m.StatusDeleted || len(gone.Events) > 0 {
		t.Errorf("delete: %d, %d are told", gone.Response.Status, len(gone.Events))
	}
	n.replay()
}

// The result of a nonBlockingRequestAsynch goes to the targets of the request, to the originator, or to nobody (TS-0001
// clause 8.2.2.3).
func TestNonBlockingAsynch(t *testing.T) {
	n := newRecorder(t)
	n.register("Ca", "ae", `"rr":false`)
	for name, test := range map[string]struct{ nu, want []string }{
		"none":      {nil, []string{"Ca"}},
		"empty":     {[]string{}, nil},
		"the same":  {[]string{"http://a/", "http://a/"}, []string{"http://a/"}},
		"different": {[]string{"http://a/", "Cb"}, []string{"http://a/", "Cb"}},
	} {
		result := n.do(onem2m.Request{Operation: onem2m.Retrieve, From: "/tally/Ca", To: "tally/ae", ResponseType: 2, RequestID: "q", NotificationURIs: test.nu})
		ri := accepted(t, result.Response, acceptedAsync)
		if test.want == nil {
			if len(result.Events) > 0 {
				t.Errorf("%s: %+v", name, result.Events)
			}
			continue
		}
		if len(result.Events) != 1 || !cmp.Equal(result.Events[0].Targets, test.want) || result.Events[0].Originator != "/tally" || result.Events[0].Subscription != ri {
			t.Errorf("%s: %+v", name, result.Events)
			continue
		}
		expect(t, result.Events[0].Content, map[string]string{
			"m2m:rsp/rsc": "2000", "m2m:rsp/rqi": `"q"`, "m2m:rsp/to": `"Ca"`, "m2m:rsp/fr": `"/tally"`, "m2m:rsp/pc/m2m:ae/aei": `"Ca"`,
		})
	}
	failed := n.do(onem2m.Request{Operation: onem2m.Delete, From: "Ca", To: "nowhere", ResponseType: 2})
	expect(t, failed.Events[0].Content, map[string]string{"m2m:rsp/rsc": "4004"})
	n.replay()
}

// An operation execution time in the future leaves the <request> pending until then (TS-0004 clauses 7.3.3.5 to 7.3.3.9).
func TestOperationExecutionTime(t *testing.T) {
	n := newRecorder(t)
	create := func(from, name string, more onem2m.Request) string {
		t.Helper()
		more.Operation, more.From, more.To, more.Type = onem2m.Create, from, "tally", onem2m.TypeContainer
		more.ResponseType = onem2m.ResponseTypeNonBlockingSync
		more.Content = fmt.Appendf(nil, `{"m2m:cnt":{"rn":%q}}`, name)
		return accepted(t, n.do(more).Response, acceptedSync)
	}
	first := create("Coperator", "first", onem2m.Request{OperationExecution: "20261123T070100"})
	second := create("Coperator", "second", onem2m.Request{OperationExecution: "59000", ResultPersistence: "PT2M"})
	refused := create("Cnobody", "third", onem2m.Request{OperationExecution: "PT58S"})
	revoked := create("Crevoked", "fourth", onem2m.Request{OperationExecution: "PT57S"})
	recalled := create("Coperator", "fifth", onem2m.Request{OperationExecution: "PT56S"})
	if rsp := n.do(onem2m.Request{Operation: onem2m.Delete, From: "Coperator", To: recalled}).Response; rsp.Status != onem2m.StatusDeleted {
		t.Fatalf("recall: %d", rsp.Status)
	}
	watching := n.must("Coperator", second, onem2m.TypeSubscription, `{"nu":["http://x/"],"enc":{"net":[1]}}`)
	expect(t, n.request("Coperator", first), map[string]string{"rs": "3", "ors/rsc": "1000", "mi/oet": `"20261123T070100"`})
	n.replay()

	if got := n.tick(csetest.Start + 30_000_000); len(got.Effects) != 0 {
		t.Errorf("too early: %+v", got.Effects)
	}
	result := n.tick(csetest.Start + 60_000_000)
	if len(result.Effects) != 6 {
		t.Errorf("effects: %+v", result.Effects)
	}
	if len(result.Events) != 1 || result.Events[0].Subscription != watching {
		t.Errorf("who watches the <request> is told: %+v", result.Events)
	}
	for _, ri := range []string{first, second} {
		expect(t, n.request("Coperator", ri), map[string]string{"rs": "1", "ors/rsc": "2001", "lt": `"20261123T070100,000000"`})
	}
	expect(t, n.request("Cnobody", refused), map[string]string{"rs": "2", "ors/rsc": "4103"})
	expect(t, n.request("Crevoked", revoked), map[string]string{"rs": "2", "ors/rsc": "4103"})
	for name, want := range map[string]onem2m.StatusCode{"first": onem2m.StatusOK, "second": onem2m.StatusOK, "fifth": onem2m.StatusNotFound} {
		if rsp := n.Retrieve("Coperator", "tally/"+name).Response; rsp.Status != want {
			t.Errorf("%s: %d, want %d", name, rsp.Status, want)
		}
	}
	n.replay()
	n.tick(csetest.Start + 3600_000_000)
	if rsp := n.Retrieve("Coperator", second).Response; rsp.Status != onem2m.StatusNotFound {
		t.Errorf("an expired <request>: %d", rsp.Status)
	}
	n.replay()
}

// The times of a request and what they say of one another (TS-0004 clause 7.3.2.1, TS-0001 clause 8.1.2).
func TestRequestTimes(t *testing.T) {
	n := newRecorder(t)
	for _, test := range []struct {
		rqet, rset, oet string
		want            onem2m.StatusCode
	}{
		{"20261123T070000", "", "", onem2m.StatusRequestTimeout},
		{"-2000", "", "", onem2m.StatusRequestTimeout},
		{"2000", "", "", onem2m.StatusOK},
		{"1500.0", "", "", onem2m.StatusOK},
		{"", "-2000", "", onem2m.StatusRequestTimeout},
		{"4000", "2000", "", onem2m.StatusBadRequest},
		{"2000", "4000", "", onem2m.StatusOK},
		{"", "", "20261123T065950", onem2m.StatusOK},
		{"1000", "", "2000", onem2m.StatusRequestTimeout},
		{"", "1000", "2000", onem2m.StatusRequestTimeout},
	} {
		req := onem2m.Request{
			Operation: onem2m.Retrieve, From: "Coperator", To: "tally", RequestExpiration: test.rqet, ResultExpiration: test.rset, OperationExecution: test.oet,
		}
		if rsp := n.Read(n.State, n.Complete(req), n.Env()).Response; rsp.Status != test.want || rsp.ResultExpiration != test.rset {
			t.Errorf("%+v: %d %s", test, rsp.Status, rsp.Content)
		}
		_, refused := n.ExecutionTime(&req, n.Time)
		if want := test.want != onem2m.StatusOK && test.oet != ""; (refused != nil) != want {
			t.Errorf("%+v: execution time refused with %+v", test, refused)
		}
	}
}

// A result that no <request> can hold is left out of it; what was written stays written.
func TestLargeResult(t *testing.T) {
	n := newRecorder(t)
	n.must("Coperator", "tally", onem2m.TypeContainer, `{"rn":"c"}`)
	for range 4 {
		n.must("Coperator", "tally/c", onem2m.TypeContentInstance, `{"con":"`+strings.Repeat("x", 300_000)+`"}`)
	}
	ri := accepted(t, n.do(onem2m.Request{
		Operation: onem2m.Retrieve, From: "Coperator", To: "tally/c", ResponseType: 1, ResultContent: onem2m.ResultContentAttributesAndChildren,
	}).Response, acceptedSync)
	expect(t, n.request("Coperator", ri), map[string]string{"rs": "2", "ors/rsc": "5207"})
	deep := strings.Repeat("[", onem2m.MaxDepth-2) + strings.Repeat("]", onem2m.MaxDepth-2)
	n.must("Coperator", "tally/c", onem2m.TypeContentInstance, `{"con":`+deep+`}`)
	ri = accepted(t, n.do(onem2m.Request{
		Operation: onem2m.Delete, From: "Coperator", To: "tally/c/la", ResponseType: 1, ResultContent: onem2m.ResultContentAttributes,
	}).Response, acceptedSync)
	expect(t, n.request("Coperator", ri), map[string]string{"rs": "1", "ors/rsc": "2002"})
	n.replay()
}

// An originator has a bounded number of <request> resources, and each that goes makes room.
func TestRequestsAreBounded(t *testing.T) {
	n := newRecorder(t)
	retrieve := onem2m.Request{Operation: onem2m.Retrieve, From: "Cnobody", To: "tally", ResponseType: 1, ResultPersistence: "PT4H"}
	var last string
	for range 1024 {
		last = accepted(t, n.do(retrieve).Response, acceptedSync)
	}
	if rsp := n.do(retrieve).Response; rsp.Status != onem2m.StatusNotAcceptable {
		t.Fatalf("one too many: %d", rsp.Status)
	}
	other := retrieve
	other.From = "Cother"
	accepted(t, n.do(other).Response, acceptedSync)
	n.do(onem2m.Request{Operation: onem2m.Delete, From: "Cnobody", To: last})
	accepted(t, n.do(retrieve).Response, acceptedSync)
	if rsp := n.do(retrieve).Response; rsp.Status != onem2m.StatusNotAcceptable {
		t.Fatalf("one too many again: %d", rsp.Status)
	}
	n.replay()
}

// What is due at the same time may build on one another: an instance can be read by what comes after it.
func TestDueTogether(t *testing.T) {
	n := newRecorder(t)
	n.must("Coperator", "tally", onem2m.TypeContainer, `{"rn":"c"}`)
	var all []string
	for _, req := range []onem2m.Request{
		{Operation: onem2m.Create, Type: onem2m.TypeContentInstance, To: "tally/c", Content: []byte(`{"m2m:cin":{"con":"1"}}`), OperationExecution: "20261123T080000"},
		{Operation: onem2m.Retrieve, To: "tally/c/la", OperationExecution: "20261123T080001"},
		{Operation: onem2m.Delete, To: "tally/c/la", OperationExecution: "20261123T080002"},
	} {
		req.From, req.ResponseType = "Coperator", onem2m.ResponseTypeNonBlockingSync
		all = append(all, accepted(t, n.do(req).Response, acceptedSync))
	}
	for i := range 3 {
		n.tick(csetest.Start + 3700_000_000 + int64(i))
	}
	for i, want := range []string{"2001", "2000", "2002"} {
		expect(t, n.request("Coperator", all[i]), map[string]string{"ors/rsc": want})
	}
	n.replay()
}

// A request to the members of a group is one non-blocking request, now or later, with the responses of all as its result
// (TS-0004 clause 7.4.14.2).
func TestNonBlockingFanOut(t *testing.T) {
	n := newRecorder(t)
	for _, name := range []string{"a", "b", "c"} {
		n.must("Coperator", "tally", onem2m.TypeContainer, fmt.Sprintf(`{"rn":%q,"mni":1}`, name))
	}
	n.must("Coperator", "tally/b", onem2m.TypeSubscription, `{"nu":["http://x/"],"exc":2,"enc":{"net":[3]}}`)
	n.must("Coperator", "tally", onem2m.TypeGroup, `{"rn":"g","mnm":5,"mid":["tally/a","tally/b","tally/c"]}`)
	create := onem2m.Request{
		Operation: onem2m.Create, From: "Coperator", To: "tally/g/fopt", Type: onem2m.TypeContentInstance, Content: []byte(`{"m2m:cin":{"con":"1"}}`),
		ResponseType: onem2m.ResponseTypeNonBlockingAsync,
	}
	result := n.do(create)
	ri := accepted(t, result.Response, acceptedAsync)
	if len(result.Effects) != 4 || len(result.Events) != 2 {
		t.Fatalf("%d effects, %d events", len(result.Effects), len(result.Events))
	}
	expect(t, n.request("Coperator", ri), map[string]string{"rs": "1", "ors/rsc": "2000"})
	if rsp := n.Retrieve("Coperator", "tally/c/la").Response; rsp.Status != onem2m.StatusOK {
		t.Errorf("a member: %d", rsp.Status)
	}
	create.OperationExecution = "PT1M"
	later := accepted(t, n.do(create).Response, acceptedAsync)
	if result = n.tick(n.Time + 60_000_000); len(result.Effects) != 4 || len(result.Events) != 2 {
		t.Errorf("later: %d effects, %d events", len(result.Effects), len(result.Events))
	}
	expect(t, n.request("Coperator", later), map[string]string{"rs": "1", "ors/rsc": "2000"})
	large := create
	large.Content = []byte(`{"m2m:cin":{"con":"` + strings.Repeat("x", 10_000) + `"}}`)
	if rsp := n.do(large).Response; rsp.Status != onem2m.StatusNotAcceptable {
		t.Errorf("large, later: %d", rsp.Status)
	}
	n.replay()
}

// A non-blocking NOTIFY is done when its delivery is committed; it is delivered as long as its <request> is kept.
func TestNonBlockingNotify(t *testing.T) {
	n := newRecorder(t)
	n.register("Ca", "ae", `"rr":true,"poa":["http://a/"]`)
	notify := onem2m.Request{
		Operation: onem2m.Notify, From: "Ca", To: "tally/ae", Content: []byte(`{"m2m:sgn":{"sur":"x"}}`), ResponseType: onem2m.ResponseTypeNonBlockingSync,
	}
	result := n.do(notify)
	ri := accepted(t, result.Response, acceptedSync)
	if len(result.Events) != 1 || result.Events[0].Subscription != ri || result.Events[0].Originator != "Ca" {
		t.Errorf("events: %+v", result.Events)
	}
	expect(t, n.request("Ca", ri), map[string]string{"op": "5", "rs": "1", "ors/rsc": "2000", "pc/m2m:sgn/sur": `"x"`})
	notify.From = "Cother"
	if result = n.do(notify); len(result.Events) != 0 {
		t.Errorf("without the privilege: %+v", result.Events)
	}
	n.replay()
}

// What others have to agree to cannot be executed later: nobody can be asked then (TS-0004 clauses 7.4.8.2.1 and
// 7.3.2.9).
func TestLaterNeedsNobody(t *testing.T) {
	n := newRecorder(t)
	n.must("Coperator", "tally", onem2m.TypeContainer, `{"rn":"c"}`)
	later := func(req onem2m.Request) string {
		req.From, req.ResponseType, req.OperationExecution = "Coperator", onem2m.ResponseTypeNonBlockingSync, "PT1M"
		return accepted(t, n.do(req).Response, acceptedSync)
	}
	sub := func(nu string) string {
		return later(onem2m.Request{Operation: onem2m.Create, To: "tally/c", Type: onem2m.TypeSubscription, Content: []byte(`{"m2m:sub":{"nu":["` + nu + `"]}}`)})
	}
	other, own := sub("http://x/"), sub("Coperator")
	n.tick(n.Time + 120_000_000)
	expect(t, n.request("Coperator", other), map[string]string{"rs": "2", "ors/rsc": "5204"})
	expect(t, n.request("Coperator", own), map[string]string{"rs": "1", "ors/rsc": "2001"})
	n.register("Cask", "ask", `"rr":false`)
	n.must("Coperator", "tally/c", onem2m.TypeSubscription, `{"nu":["Cask"],"enc":{"net":[7]}}`)
	update := later(onem2m.Request{Operation: onem2m.Update, To: "tally/c", Content: []byte(`{"m2m:cnt":{"lbl":["x"]}}`)})
	n.tick(n.Time + 120_000_000)
	expect(t, n.request("Coperator", update), map[string]string{"rs": "2", "ors/rsc": "4127"})
	n.replay()
}
