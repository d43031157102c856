package cse_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// read performs a RETRIEVE that edit completes.
func read(n *csetest.Network, from, to string, edit func(*onem2m.Request)) cse.Result {
	req := n.Complete(onem2m.Request{Operation: onem2m.Retrieve, From: from, To: to})
	if edit != nil {
		edit(req)
	}
	return n.Read(n.State, req, n.Env())
}

func wantStatus(t *testing.T, what string, got cse.Result, want onem2m.StatusCode) {
	t.Helper()
	if got.Err != nil {
		t.Fatalf("%s: %v", what, got.Err)
	}
	if got.Response.Status != want {
		t.Fatalf("%s: got %d %s, want %d", what, got.Response.Status, got.Response.Content, want)
	}
	if got.Response.Content != nil && !json.Valid(got.Response.Content) {
		t.Fatalf("%s: invalid JSON: %s", what, got.Response.Content)
	}
}

func wantContent(t *testing.T, what string, got cse.Result, want string) {
	t.Helper()
	wantStatus(t, what, got, onem2m.StatusOK)
	if diff := cmp.Diff(want, string(got.Response.Content)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func rcn(v onem2m.ResultContent) func(*onem2m.Request) {
	return func(req *onem2m.Request) { req.ResultContent = v }
}

// tree makes tally/ae1/cnt1 with two instances and a container below.
func tree(t testing.TB) (n *csetest.Network, cnt string) {
	n = csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt = n.MustCreate("Ca", "tally/ae1", onem2m.TypeContainer, `{"rn":"cnt1","lbl":["room:1"]}`)
	n.MustCreate("Ca", cnt, onem2m.TypeContainer, `{"rn":"sub1"}`)
	n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"rn":"one","con":"1","cr":null}`)
	n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":{"a":[1,2]},"lbl":["x"]}`)
	return n, cnt
}

// TS-0001 clauses 9.6.6 and 9.6.7, TS-0004 clause 7.2.2.2: the representations of a container and its instances.
func TestRetrieveAttributes(t *testing.T) {
	n, cnt := tree(t)
	wantContent(t, "container", n.Retrieve("Ca", cnt),
		`{"m2m:cnt":{"ty":3,"ri":"cnt4","pi":"Ca","rn":"cnt1","ct":"20261123T070001,000000","lt":"20261123T070004,000000","et":"99991231T235959","st":2,"cni":2,"cbs":12,"lbl":["room:1"]}}`)
	wantContent(t, "oldest", n.Retrieve("Ca", cnt+"/ol"),
		`{"m2m:cin":{"ty":4,"ri":"cin6","pi":"cnt4","rn":"one","ct":"20261123T070003,000000","lt":"20261123T070003,000000","et":"99991231T235959","st":1,"cs":1,"con":"1","cr":"Ca"}}`)
	latest := `{"m2m:cin":{"ty":4,"ri":"cin7","pi":"cnt4","rn":"cin7","ct":"20261123T070004,000000","lt":"20261123T070004,000000","et":"99991231T235959","st":2,"cs":11,"con":{"a":[1,2]},"lbl":["x"]}}`
	wantContent(t, "latest", n.Retrieve("Ca", cnt+"/la"), latest)
	wantContent(t, "by ID", n.Retrieve("Ca", "cin7"), latest)
	wantContent(t, "by its ID as name", n.Retrieve("Ca", "tally/ae1/cnt1/cin7"), latest)
	var base struct {
		CB struct {
			CSI, CST any
			SRV      []string
			SRT      []int
		} `json:"m2m:cb"`
	}
	result := n.Retrieve("Coperator", "tally")
	wantStatus(t, "CSEBase", result, onem2m.StatusOK)
	if err := json.Unmarshal(result.Response.Content, &base); err != nil {
		t.Fatal(err)
	}
	if base.CB.CSI != "/tally" || len(base.CB.SRT) != len(onem2m.Types()) || len(base.CB.SRV) == 0 {
		t.Errorf("CSEBase: %s", result.Response.Content)
	}
}

// TS-0001 clauses 9.6.27 and 9.6.28: la and ol of a container without instances are not found.
func TestRetrieveEnds(t *testing.T) {
	n, cnt := tree(t)
	wantStatus(t, "la of empty", n.Retrieve("Ca", cnt+"/sub1/la"), onem2m.StatusNotFound)
	wantStatus(t, "ol of empty", n.Retrieve("Ca", cnt+"/sub1/ol"), onem2m.StatusNotFound)

	// TS-0001 clause 9.6.6: what maxInstanceAge or expirationTime has made obsolete is not there any more.
	aged := n.MustCreate("Ca", cnt, onem2m.TypeContainer, `{"rn":"aged","mia":10}`)
	first := n.MustCreate("Ca", aged, onem2m.TypeContentInstance, `{"con":"old"}`)
	n.Time += 7_000_000
	second := n.MustCreate("Ca", aged, onem2m.TypeContentInstance, `{"con":"new","et":"`+onem2m.FormatTime(n.Time+3_000_000)+`"}`)
	wantStatus(t, "both live", n.Retrieve("Ca", first), onem2m.StatusOK)
	n.Time += 1_000_000
	wantStatus(t, "too old", n.Retrieve("Ca", first), onem2m.StatusNotFound)
	if got := n.Retrieve("Ca", aged+"/ol"); !strings.Contains(string(got.Response.Content), second) {
		t.Errorf("ol is not %s: %s", second, got.Response.Content)
	}
	n.Time += 1_000_000
	wantStatus(t, "expired", n.Retrieve("Ca", second), onem2m.StatusNotFound)
	wantStatus(t, "la of expired", n.Retrieve("Ca", aged+"/la"), onem2m.StatusNotFound)
}

// TS-0001 clause 9.6.6, disableRetrieval: no retrieval of instances in any way.
func TestDisableRetrieval(t *testing.T) {
	n, cnt := tree(t)
	wantStatus(t, "update", n.Update("Ca", cnt, onem2m.TypeContainer, `{"disr":true}`), onem2m.StatusUpdated)
	for _, to := range []string{cnt + "/la", cnt + "/ol", "cin7", cnt + "/one"} {
		wantStatus(t, to, n.Retrieve("Ca", to), onem2m.StatusOperationNotAllowed)
	}
	wantContent(t, "discovery", read(n, "Ca", cnt, func(req *onem2m.Request) {
		req.Filter = &onem2m.FilterCriteria{Usage: onem2m.FilterUsageDiscovery}
	}), `{"m2m:uril":["tally/ae1/cnt1/sub1"]}`)
}

// TS-0001 clause 8.1.2, table 8.1.2-1: which result content goes with which operation.
func TestResultContentOfOperations(t *testing.T) {
	// y is allowed, n is not, s is not supported; an original resource (7) has only an announced one.
	allowed := map[onem2m.Operation]string{
		onem2m.Create:   "yyyynnnnnynnn",
		onem2m.Retrieve: "nynnyyynynsns",
		onem2m.Update:   "yynnnnnnnynnn",
		onem2m.Delete:   "yynnyyynynnnn",
		onem2m.Notify:   "ynnnnnnnnnnnn",
	}
	for op, marks := range allowed {
		for i, mark := range marks {
			n, cnt := tree(t)
			req := n.Complete(onem2m.Request{Operation: op, From: "Ca", To: cnt})
			switch op {
			case onem2m.Create:
				req.Type, req.Content = onem2m.TypeContainer, []byte(`{"m2m:cnt":{}}`)
			case onem2m.Update:
				req.Content = []byte(`{"m2m:cnt":{"mni":3}}`)
			case onem2m.Notify:
				n.MayRegister = true
				n.MustCreate("Cb", "tally", onem2m.TypeAE, `{"api":"Nb","rr":true,"srv":["4"],"poa":["http://b"]}`)
				req.From, req.To, req.Content = "Cb", "Cb", []byte(`{"m2m:sgn":{"sur":"/x/y"}}`)
			}
			req.ResultContent = onem2m.ResultContent(i)
			var got cse.Result
			if op == onem2m.Retrieve || op == onem2m.Notify {
				got = n.Read(n.State, req, n.Env())
			} else {
				got = n.Execute(req)
			}
			want := mark == 'y'
			if got.Response.Status.Success() != want {
				t.Errorf("operation %d with rcn %d: got %d %s, want success %v", op, i, got.Response.Status, got.Response.Content, want)
			}
			if mark == 's' && got.Response.Status != onem2m.StatusNotImplemented {
				t.Errorf("operation %d with rcn %d: got %d, want NOT_IMPLEMENTED", op, i, got.Response.Status)
			}
		}
	}
}

// TS-0001 clause 8.1.2: the forms of the result of a CREATE, UPDATE and DELETE.
func TestResultOfWrites(t *testing.T) {
	n, cnt := tree(t)
	do := func(op onem2m.Operation, to string, typ onem2m.ResourceType, content string, rcn onem2m.ResultContent) string {
		t.Helper()
		req := n.Complete(onem2m.Request{Operation: op, From: "Ca", To: to, Type: typ, ResultContent: rcn})
		req.ResultContent = rcn
		if content != "" {
			req.Content = []byte(content)
		}
		got := n.Execute(req)
		if !got.Response.Status.Success() {
			t.Fatalf("operation %d: %d %s", op, got.Response.Status, got.Response.Content)
		}
		if op == onem2m.Create && got.Response.Location == "" {
			t.Errorf("no location")
		}
		return string(got.Response.Content)
	}
	cin := func(con string) string { return `{"m2m:cin":{"rn":"` + con + `","con":"` + con + `"}}` }
	for _, test := range []struct{ got, want string }{
		{do(onem2m.Create, cnt, onem2m.TypeContentInstance, cin("a"), 0), ""},
		{do(onem2m.Create, cnt, onem2m.TypeContentInstance, cin("b"), 2), `{"m2m:uri":"tally/ae1/cnt1/b"}`},
		{do(onem2m.Create, cnt, onem2m.TypeContentInstance, cin("c"), 3),
			`{"m2m:rce":{"uri":"tally/ae1/cnt1/c","m2m:cin":{"ty":4,"ri":"cina","pi":"cnt4","rn":"c","ct":"20261123T070007,000000","lt":"20261123T070007,000000","et":"99991231T235959","st":5,"cs":1,"con":"c"}}}`},
		{do(onem2m.Create, cnt, onem2m.TypeContentInstance, cin("d"), 9),
			`{"m2m:cin":{"ty":4,"ri":"cinb","pi":"cnt4","ct":"20261123T070008,000000","lt":"20261123T070008,000000","et":"99991231T235959","st":6,"cs":1}}`},
		{do(onem2m.Update, cnt, 0, `{"m2m:cnt":{"mbs":100}}`, 9), `{"m2m:cnt":{"lt":"20261123T070009,000000","st":7,"cni":6,"cbs":16}}`},
		{do(onem2m.Update, cnt, 0, `{"m2m:cnt":{"mbs":100}}`, 0), ``},
		{do(onem2m.Delete, cnt+"/sub1", 0, ``, 1),
			`{"m2m:cnt":{"ty":3,"ri":"cnt5","pi":"cnt4","rn":"sub1","ct":"20261123T070002,000000","lt":"20261123T070002,000000","et":"99991231T235959","st":0,"cni":0,"cbs":0}}`},
		{do(onem2m.Delete, cnt, 0, ``, 6),
			`{"m2m:rrl":{"rrf":[{"nm":"one","typ":4,"val":"tally/ae1/cnt1/one"},{"nm":"cin7","typ":4,"val":"tally/ae1/cnt1/cin7"},{"nm":"a","typ":4,"val":"tally/ae1/cnt1/a"},{"nm":"b","typ":4,"val":"tally/ae1/cnt1/b"},{"nm":"c","typ":4,"val":"tally/ae1/cnt1/c"},{"nm":"d","typ":4,"val":"tally/ae1/cnt1/d"}]}}`},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TS-0004 clause 7.5.2 and TS-0001 clause 8.1.2: results with children.
func TestRetrieveChildren(t *testing.T) {
	n, cnt := tree(t)
	n.MustCreate("Ca", cnt+"/sub1", onem2m.TypeContentInstance, `{"rn":"deep","con":"3"}`)
	const times = `"ct":"20261123T07000%d,000000","lt":"20261123T07000%d,000000","et":"99991231T235959"`
	sub := fmt.Sprintf(`"m2m:cnt":[{"ty":3,"ri":"cnt5","pi":"cnt4","rn":"sub1",`+times+`,"st":1,"cni":1,"cbs":1,"m2m:cin":[{"ty":4,"ri":"cin8","pi":"cnt5","rn":"deep",`+times+`,"st":1,"cs":1,"con":"3"}]}]`, 2, 5, 5, 5)
	cins := fmt.Sprintf(`"m2m:cin":[{"ty":4,"ri":"cin6","pi":"cnt4","rn":"one",`+times+`,"st":1,"cs":1,"con":"1","cr":"Ca"},{"ty":4,"ri":"cin7","pi":"cnt4","rn":"cin7",`+times+`,"st":2,"cs":11,"con":{"a":[1,2]},"lbl":["x"]}]`, 3, 3, 4, 4)
	own := fmt.Sprintf(`"ty":3,"ri":"cnt4","pi":"Ca","rn":"cnt1",`+times+`,"st":2,"cni":2,"cbs":12,"lbl":["room:1"]`, 1, 4)
	refs := `[{"nm":"sub1","typ":3,"val":"tally/ae1/cnt1/sub1"},{"nm":"deep","typ":4,"val":"tally/ae1/cnt1/sub1/deep"},{"nm":"one","typ":4,"val":"tally/ae1/cnt1/one"},{"nm":"cin7","typ":4,"val":"tally/ae1/cnt1/cin7"}]`
	wantContent(t, "rcn 4", read(n, "Ca", cnt, rcn(4)), `{"m2m:cnt":{`+own+`,`+sub+`,`+cins+`}}`)
	wantContent(t, "rcn 8", read(n, "Ca", cnt, rcn(8)), `{"m2m:cnt":{`+sub+`,`+cins+`}}`)
	wantContent(t, "rcn 5", read(n, "Ca", cnt, rcn(5)), `{"m2m:cnt":{`+own+`,"ch":`+refs+`}}`)
	wantContent(t, "rcn 6", read(n, "Ca", cnt, rcn(6)), `{"m2m:rrl":{"rrf":`+refs+`}}`)
	wantContent(t, "rcn 6 of an instance", read(n, "Ca", "cin7", rcn(6)), `{"m2m:rrl":{"rrf":[]}}`)
	wantContent(t, "rcn 8 of an instance", read(n, "Ca", "cin7", rcn(8)), `{"m2m:cin":{}}`)

	// Pages: what an offset skips shows again when something below it does not.
	page := func(offset, limit int64) cse.Result {
		return read(n, "Ca", cnt, func(req *onem2m.Request) {
			req.ResultContent = 8
			req.Filter = &onem2m.FilterCriteria{Offset: &offset, Limit: &limit}
		})
	}
	first := page(1, 1)
	if first.Response.ContentStatus != 1 || first.Response.ContentOffset != 2 || strings.Contains(string(first.Response.Content), "deep") {
		t.Errorf("first page: %d %d %s", first.Response.ContentStatus, first.Response.ContentOffset, first.Response.Content)
	}
	wantContent(t, "second page", page(2, 1), `{"m2m:cnt":{`+sub+`}}`)
	last := page(3, 10)
	wantContent(t, "last page", last, `{"m2m:cnt":{`+cins+`}}`)
	if last.Response.ContentStatus != 0 {
		t.Errorf("the last page is marked as partial")
	}

	// Children the originator may not RETRIEVE do not show.
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Cb"],"acop":2}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
	wantStatus(t, "acpi", n.Update("Ca", cnt, onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`), onem2m.StatusUpdated)
	wantContent(t, "rcn 8 for another", read(n, "Cb", cnt, rcn(8)), `{"m2m:cnt":{`+cins+`}}`)
	wantStatus(t, "no privilege", read(n, "Cc", cnt, rcn(8)), onem2m.StatusOriginatorHasNoPrivilege)
}

// TS-0004 clause 7.3.3.5: partial RETRIEVE.
func TestPartialRetrieve(t *testing.T) {
	n, cnt := tree(t)
	atrl := func(names ...string) func(*onem2m.Request) {
		return func(req *onem2m.Request) { req.Attributes = names }
	}
	wantContent(t, "two", read(n, "Ca", cnt, atrl("cni", "lbl")), `{"m2m:cnt":{"cni":2,"lbl":["room:1"]}}`)
	wantContent(t, "absent", read(n, "Ca", cnt, atrl("mni")), `{"m2m:cnt":{}}`)
	wantContent(t, "in the target", n.Retrieve("Ca", cnt+"#cni"), `{"m2m:cnt":{"cni":2}}`)
	wantStatus(t, "in the target, unknown", n.Retrieve("Ca", cnt+"#api"), onem2m.StatusBadRequest)
	wantStatus(t, "in the target, none", n.Retrieve("Ca", cnt+"#"), onem2m.StatusBadRequest)
	wantStatus(t, "in both", read(n, "Ca", cnt+"#cni", atrl("cni")), onem2m.StatusNotFound)
	wantStatus(t, "update of one", n.Update("Ca", cnt+"#lbl", onem2m.TypeContainer, `{"lbl":[]}`), onem2m.StatusNotFound)
	wantStatus(t, "unknown", read(n, "Ca", cnt, atrl("api")), onem2m.StatusBadRequest)
	wantStatus(t, "with children", read(n, "Ca", cnt, func(req *onem2m.Request) {
		req.Attributes, req.ResultContent = []string{"cni"}, 4
	}), onem2m.StatusBadRequest)
}

// TS-0001 clause 8.1.2: conditions on the target itself.
func TestConditionalRequest(t *testing.T) {
	n, cnt := tree(t)
	st := func(v int64) *onem2m.FilterCriteria { return &onem2m.FilterCriteria{StateTagBigger: &v} }
	with := func(f *onem2m.FilterCriteria) func(*onem2m.Request) {
		return func(req *onem2m.Request) { req.Filter = f }
	}
	wantStatus(t, "met", read(n, "Ca", cnt, with(st(2))), onem2m.StatusOK)
	wantStatus(t, "not met", read(n, "Ca", cnt, with(st(3))), onem2m.StatusNotFound)
	update := n.Complete(onem2m.Request{Operation: onem2m.Update, From: "Ca", To: cnt, Content: []byte(`{"m2m:cnt":{"mni":9}}`), Filter: st(3)})
	wantStatus(t, "update not met", n.Execute(update), onem2m.StatusNotFound)
	update.Filter = st(1)
	wantStatus(t, "update met", n.Execute(update), onem2m.StatusUpdated)
	remove := n.Complete(onem2m.Request{Operation: onem2m.Delete, From: "Ca", To: cnt, Filter: st(100)})
	wantStatus(t, "delete not met", n.Execute(remove), onem2m.StatusNotFound)
	remove.Filter = &onem2m.FilterCriteria{Usage: 3}
	wantStatus(t, "on-demand discovery", n.Execute(remove), onem2m.StatusNotImplemented)
	remove.Filter = &onem2m.FilterCriteria{CreatedAfter: "yesterday"}
	wantStatus(t, "bad time", n.Execute(remove), onem2m.StatusBadRequest)
	remove.Filter = nil
	wantStatus(t, "delete", n.Execute(remove), onem2m.StatusDeleted)
}
