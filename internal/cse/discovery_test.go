package cse_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

func discover(n *csetest.Network, from, to string, fc onem2m.FilterCriteria) cse.Result {
	return read(n, from, to, func(req *onem2m.Request) {
		fc.Usage = onem2m.FilterUsageDiscovery
		req.Filter = &fc
	})
}

// found gives the last segments of the addresses that a discovery found.
func found(t *testing.T, got cse.Result) string {
	t.Helper()
	wantStatus(t, "discovery", got, onem2m.StatusOK)
	var list struct {
		URIL []string `json:"m2m:uril"`
	}
	if err := json.Unmarshal(got.Response.Content, &list); err != nil {
		t.Fatalf("%s: %v", got.Response.Content, err)
	}
	for i, uri := range list.URIL {
		list.URIL[i] = uri[strings.LastIndexByte(uri, '/')+1:]
	}
	return strings.Join(list.URIL, " ")
}

func ptr[T any](v T) *T { return &v }

// building makes a tree with something for every condition.
func building(t testing.TB) *csetest.Network {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1") // ct 07:00:00
	n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"roof","lbl":["floor:3","outside"],"mni":5}`)
	n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"hall","lbl":["floor:0"],"mni":10,"et":"20301231T000000"}`)
	n.MustCreate("Ca", "Ca/hall", onem2m.TypeContainer, `{"rn":"door","lbl":["floor:0","steel"]}`)
	n.MustCreate("Ca", "Ca/hall/door", onem2m.TypeContentInstance, `{"rn":"d1","con":"open","cnf":"text/plain:0"}`)
	n.MustCreate("Ca", "Ca/hall/door", onem2m.TypeContentInstance, `{"rn":"d2","con":"closed","cnf":"application/json:0","lbl":["alarm"]}`)
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"all","mnm":5,"mid":["Ca/roof","Ca/hall"]}`)
	n.MustCreate("Ca", "Ca/hall", onem2m.TypeSubscription, `{"rn":"bell","nu":["Ca"]}`)
	return n
}

// TS-0001 clause 8.1.2: every condition of filterCriteria, alone. The order is depth first, children in creation
// order, then contentInstances.
func TestFilterConditions(t *testing.T) {
	n := building(t)
	const all = "roof hall door d1 d2 bell all"
	for _, test := range []struct {
		name string
		fc   onem2m.FilterCriteria
		want string
	}{
		{"none", onem2m.FilterCriteria{}, all},
		{"crb", onem2m.FilterCriteria{CreatedBefore: "20261123T070003"}, "roof hall"},
		{"cra", onem2m.FilterCriteria{CreatedAfter: "20261123T070003"}, "door d1 d2 bell all"},
		{"cra and crb", onem2m.FilterCriteria{CreatedAfter: "20261123T070002", CreatedBefore: "20261123T070003"}, "hall"},
		{"cra and crb are one condition", onem2m.FilterCriteria{Operation: 2, CreatedAfter: "20261123T070002", CreatedBefore: "20261123T070003", Types: []onem2m.ResourceType{9}}, "hall all"},
		{"ms", onem2m.FilterCriteria{ModifiedSince: "20261123T070005"}, "door d2 bell all"},
		{"us", onem2m.FilterCriteria{UnmodifiedSince: "20261123T070003"}, "roof hall"},
		{"sts", onem2m.FilterCriteria{StateTagSmaller: ptr(int64(2))}, "roof hall d1"},
		{"stb", onem2m.FilterCriteria{StateTagBigger: ptr(int64(2))}, "door d2"},
		{"exb", onem2m.FilterCriteria{ExpireBefore: "20310101T000000"}, "hall door d1 d2 bell"},
		{"exb too early", onem2m.FilterCriteria{ExpireBefore: "20300101T000000"}, ""},
		{"exa", onem2m.FilterCriteria{ExpireAfter: "20400101T000000"}, "roof all"},
		{"lbl", onem2m.FilterCriteria{Labels: []string{"floor:0"}}, "hall door"},
		{"lbl two", onem2m.FilterCriteria{Labels: []string{"alarm", "outside"}}, "roof d2"},
		{"lbl wildcard", onem2m.FilterCriteria{Labels: []string{"floor:*"}}, "roof hall door"},
		{"lbl inner wildcard", onem2m.FilterCriteria{Labels: []string{"s*l"}}, "door"},
		{"clbl", onem2m.FilterCriteria{ChildLabels: []string{"steel"}}, "hall"},
		{"clbl of an instance", onem2m.FilterCriteria{ChildLabels: []string{"al*"}}, "door"},
		{"plbl", onem2m.FilterCriteria{ParentLabels: []string{"floor:0"}}, "door d1 d2 bell"},
		{"ty", onem2m.FilterCriteria{Types: []onem2m.ResourceType{9, 4}}, "d1 d2 all"},
		{"chty", onem2m.FilterCriteria{ChildTypes: []onem2m.ResourceType{4}}, "door"},
		{"chty container", onem2m.FilterCriteria{ChildTypes: []onem2m.ResourceType{3, 23}}, "hall"},
		{"pty", onem2m.FilterCriteria{ParentTypes: []onem2m.ResourceType{2}}, "roof hall all"},
		{"sza", onem2m.FilterCriteria{SizeAbove: ptr(int64(6))}, "d2"},
		{"szb", onem2m.FilterCriteria{SizeBelow: ptr(int64(6))}, "d1"},
		{"cty", onem2m.FilterCriteria{ContentTypes: []string{"text/*"}}, "d1"},
		{"cty without encoding", onem2m.FilterCriteria{ContentTypes: []string{"text/plain"}}, "d1"},
		{"cty with encoding", onem2m.FilterCriteria{ContentTypes: []string{"text/plain:0"}}, "d1"},
		{"cty with another encoding", onem2m.FilterCriteria{ContentTypes: []string{"text/plain:1"}}, ""},
		{"attribute", onem2m.FilterCriteria{Attributes: []onem2m.AttributeFilter{{Name: "mni", Value: "5"}}}, "roof"},
		{"attribute wildcard", onem2m.FilterCriteria{Attributes: []onem2m.AttributeFilter{{Name: "mni", Value: "*"}}}, "roof hall"},
		{"attribute values", onem2m.FilterCriteria{Attributes: []onem2m.AttributeFilter{{Name: "rn", Value: "ro*f"}, {Name: "rn", Value: "door"}}}, "roof door"},
		{"attributes", onem2m.FilterCriteria{Attributes: []onem2m.AttributeFilter{{Name: "rn", Value: "d*"}, {Name: "mni", Value: "5"}}}, "roof door d1 d2"},
		{"attribute kept apart", onem2m.FilterCriteria{Attributes: []onem2m.AttributeFilter{{Name: "cni", Value: "2"}}}, "door"},
		{"attribute of an instance", onem2m.FilterCriteria{Attributes: []onem2m.AttributeFilter{{Name: "con", Value: "op*"}}}, "d1"},
		{"list attribute", onem2m.FilterCriteria{Attributes: []onem2m.AttributeFilter{{Name: "mid", Value: "*roof"}}}, "all"},
		{"catr", onem2m.FilterCriteria{ChildAttributes: []onem2m.AttributeFilter{{Name: "con", Value: "closed"}}}, "door"},
		{"patr", onem2m.FilterCriteria{ParentAttributes: []onem2m.AttributeFilter{{Name: "mni", Value: "10"}}}, "door bell"},
		{"lvl", onem2m.FilterCriteria{Level: ptr(int64(1))}, "roof hall all"},
		{"lvl 2", onem2m.FilterCriteria{Level: ptr(int64(2))}, "roof hall door bell all"},
		{"lim", onem2m.FilterCriteria{Limit: ptr(int64(2))}, "roof hall"},
		{"lim 0", onem2m.FilterCriteria{Limit: ptr(int64(0))}, ""},
		{"ofst", onem2m.FilterCriteria{Offset: ptr(int64(6))}, "bell all"},
		{"page", onem2m.FilterCriteria{Offset: ptr(int64(3)), Limit: ptr(int64(2))}, "door d1"},
		{"AND", onem2m.FilterCriteria{Operation: 1, Labels: []string{"floor:0"}, Types: []onem2m.ResourceType{3}, StateTagBigger: ptr(int64(1))}, "door"},
		{"OR", onem2m.FilterCriteria{Operation: 2, Labels: []string{"steel"}, Types: []onem2m.ResourceType{4}}, "door d1 d2"},
		{"XOR", onem2m.FilterCriteria{Operation: 3, Labels: []string{"floor:*"}, Attributes: []onem2m.AttributeFilter{{Name: "mni", Value: "10"}}}, "roof door"},
		{"arp", onem2m.FilterCriteria{Types: []onem2m.ResourceType{3}, ApplyRelPath: "door"}, "door"},
		{"arp la", onem2m.FilterCriteria{Types: []onem2m.ResourceType{3}, ApplyRelPath: "la"}, "la"},
	} {
		if got := found(t, discover(n, "Ca", "Ca", test.fc)); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// TS-0004 clause 7.3.3.14: what is wrong with a filter is refused.
func TestFilterRefusals(t *testing.T) {
	n := building(t)
	for _, test := range []struct {
		fc   onem2m.FilterCriteria
		want onem2m.StatusCode
	}{
		{onem2m.FilterCriteria{CreatedBefore: "now"}, onem2m.StatusBadRequest},
		{onem2m.FilterCriteria{Operation: 4}, onem2m.StatusBadRequest},
		{onem2m.FilterCriteria{Limit: ptr(int64(-1))}, onem2m.StatusBadRequest},
		{onem2m.FilterCriteria{Offset: ptr(int64(0))}, onem2m.StatusBadRequest},
		{onem2m.FilterCriteria{Level: ptr(int64(0))}, onem2m.StatusBadRequest},
		{onem2m.FilterCriteria{SizeAbove: ptr(int64(-3))}, onem2m.StatusBadRequest},
		{onem2m.FilterCriteria{Labels: []string{strings.Repeat("x", 300)}}, onem2m.StatusBadRequest},
		{onem2m.FilterCriteria{Labels: make([]string, 100)}, onem2m.StatusBadRequest},
		{onem2m.FilterCriteria{Attributes: []onem2m.AttributeFilter{{Name: `a"b`}}}, onem2m.StatusBadRequest},
		{onem2m.FilterCriteria{Attributes: []onem2m.AttributeFilter{{Name: "ct", Value: "*"}}}, onem2m.StatusBadRequest}, // TS-0004 clause 7.3.3.17.9
		{onem2m.FilterCriteria{Attributes: make([]onem2m.AttributeFilter, 100)}, onem2m.StatusBadRequest},
		{onem2m.FilterCriteria{LabelsQuery: "a:b"}, onem2m.StatusNotImplemented},
	} {
		wantStatus(t, fmt.Sprintf("%+v", test.fc), discover(n, "Ca", "Ca", test.fc), test.want)
	}
	usage := func(u onem2m.FilterUsage) cse.Result {
		return read(n, "Ca", "Ca", func(req *onem2m.Request) { req.Filter = &onem2m.FilterCriteria{Usage: u} })
	}
	wantStatus(t, "fu 4", usage(4), onem2m.StatusNotImplemented)
	wantStatus(t, "fu 5", usage(5), onem2m.StatusBadRequest)
}

// TS-0001 clause 10.2.6: a discovery shows only what the originator has the DISCOVERY privilege for.
func TestDiscoveryPrivileges(t *testing.T) {
	n := building(t)
	if got := found(t, discover(n, "Cb", "tally", onem2m.FilterCriteria{})); got != "" {
		t.Errorf("a stranger found %q", got)
	}
	if got := found(t, discover(n, "Ca", "tally", onem2m.FilterCriteria{Level: ptr(int64(1))})); got != "ae1" {
		t.Errorf("the AE found %q", got)
	}
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Cb"],"acop":32},{"acor":["Cc"],"acop":2}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
	wantStatus(t, "acpi", n.Update("Ca", "Ca/hall/door", onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`), onem2m.StatusUpdated)
	if got := found(t, discover(n, "Cb", "tally", onem2m.FilterCriteria{})); got != "door d1 d2" {
		t.Errorf("with DISCOVERY on one container below hidden ones: %q", got)
	}
	if got := found(t, discover(n, "Cc", "tally", onem2m.FilterCriteria{})); got != "" {
		t.Errorf("RETRIEVE alone discovers %q", got)
	}
	// Conditions on a parent or child reveal nothing about one that may not be seen.
	for _, fc := range []onem2m.FilterCriteria{
		{ParentLabels: []string{"floor:0"}, Types: []onem2m.ResourceType{3}},
		{ParentTypes: []onem2m.ResourceType{3}, Types: []onem2m.ResourceType{3}},
		{ParentAttributes: []onem2m.AttributeFilter{{Name: "mni", Value: "10"}}},
	} {
		if got := found(t, discover(n, "Cb", "tally", fc)); got != "" {
			t.Errorf("%+v finds %q", fc, got)
		}
	}
	wantStatus(t, "acpi", n.Update("Ca", "Ca/hall", onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`), onem2m.StatusUpdated)
	wantStatus(t, "acpi", n.Update("Ca", "Ca/hall/door", onem2m.TypeContainer, `{"acpi":null}`), onem2m.StatusUpdated)
	if got := found(t, discover(n, "Cb", "tally", onem2m.FilterCriteria{ChildLabels: []string{"steel"}})); got != "" {
		t.Errorf("a hidden child's label finds %q", got)
	}
}

// TS-0004 clauses 6.3.4.2.8 and 7.3.3.14: the forms of references.
func TestDiscoveryReferences(t *testing.T) {
	n := building(t)
	form := func(rcn onem2m.ResultContent, drt uint8) cse.Result {
		return read(n, "Ca", "Ca", func(req *onem2m.Request) {
			req.ResultContent, req.DesiredIDType = rcn, drt
			req.Filter = &onem2m.FilterCriteria{Usage: 1, Types: []onem2m.ResourceType{9}}
		})
	}
	wantContent(t, "structured", form(11, 1), `{"m2m:uril":["tally/ae1/all"]}`)
	wantContent(t, "unstructured", form(11, 2), `{"m2m:uril":["grp9"]}`)
	wantContent(t, "child references", form(6, 0), `{"m2m:rrl":{"rrf":[{"nm":"all","typ":9,"val":"tally/ae1/all"}]}}`)
	wantStatus(t, "no such form", form(6, 3), onem2m.StatusBadRequest)
	wantStatus(t, "attributes", form(1, 0), onem2m.StatusBadRequest)
}

// A result has at most 1000 references; the response then says where to go on (contentStatus, contentOffset).
func TestDiscoveryBound(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"cnt1"}`)
	fill(t, n, cnt, 1500)
	got := discover(n, "Ca", cnt, onem2m.FilterCriteria{})
	if len(strings.Fields(found(t, got))) != 1000 || got.Response.ContentStatus != 1 || got.Response.ContentOffset != 1001 {
		t.Errorf("first page: cnst %d, cnot %d", got.Response.ContentStatus, got.Response.ContentOffset)
	}
	got = discover(n, "Ca", cnt, onem2m.FilterCriteria{Offset: ptr(got.Response.ContentOffset)})
	if len(strings.Fields(found(t, got))) != 500 || got.Response.ContentStatus != 0 {
		t.Errorf("second page: cnst %d, cnot %d", got.Response.ContentStatus, got.Response.ContentOffset)
	}
}

// fill creates instances without the bookkeeping that a test network does for each request.
func fill(t testing.TB, n *csetest.Network, cnt string, count int) {
	t.Helper()
	for i := range count {
		req := n.Complete(onem2m.Request{
			Operation: onem2m.Create, From: "Ca", To: cnt, Type: onem2m.TypeContentInstance,
			Content: fmt.Appendf(nil, `{"m2m:cin":{"cnf":"text/plain:0","con":"%d.5"}}`, i),
		})
		result := n.Core.Execute(n.State, req, n.Env())
		if result.Response.Status != onem2m.StatusCreated {
			t.Fatalf("instance %d: %d %s", i, result.Response.Status, result.Response.Content)
		}
		n.State.Log(n.Next, n.Time, result.Effects)
		n.Next++
		n.Time += 1_000_000
	}
}

// The answer to la must cost next to nothing besides the state.
func BenchmarkRetrieveLatest(b *testing.B) {
	n, cnt := tree(b)
	n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"cnf":"text/plain:0","con":"21.5"}`)
	req := n.Complete(onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: cnt + "/la"})
	env := n.Env()
	b.ReportAllocs()
	for b.Loop() {
		if got := n.Read(n.State, req, env); got.Response.Status != onem2m.StatusOK {
			b.Fatal(got.Response.Status)
		}
	}
}

func BenchmarkDiscovery(b *testing.B) {
	n := csetest.NewNetwork(b)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"cnt1"}`)
	fill(b, n, cnt, 1000)
	b.ReportAllocs()
	for b.Loop() {
		got := discover(n, "Ca", "Ca", onem2m.FilterCriteria{Labels: []string{"room:*"}})
		if got.Response.Status != onem2m.StatusOK {
			b.Fatal(got.Response.Status)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1001, "ns/resource")
}

// A search looks at a bounded number of resources, and says so when that was not enough.
func TestSearchBound(t *testing.T) {
	n, cnt := tree(t)
	st := &endless{State: n.State, cnt: cnt}
	req := n.Complete(onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: cnt, Filter: &onem2m.FilterCriteria{Usage: 1, Labels: []string{"none"}}})
	wantStatus(t, "nothing found", n.Read(st, req, n.Env()), onem2m.StatusNotAcceptable)
	if st.read > 100_000 {
		t.Errorf("read %d instances", st.read)
	}
	req.Filter.Labels, req.Filter.Offset = nil, ptr(int64(99_900))
	got := n.Read(st, req, n.Env())
	wantStatus(t, "the last that can be reached", got, onem2m.StatusOK)
	if got.Response.ContentStatus != 1 {
		t.Errorf("not marked as partial")
	}
}

// endless is a state in which one container has no end of instances.
type endless struct {
	*csetest.State
	cnt  string
	read int
}

func (s *endless) Instances(ri string, newestFirst bool) iter.Seq2[cse.InstanceRef, error] {
	if ri != s.cnt {
		return s.State.Instances(ri, newestFirst)
	}
	return func(yield func(cse.InstanceRef, error) bool) {
		for i := uint64(100); yield(cse.InstanceRef{Index: i, Size: 1}, nil); i++ {
		}
	}
}

func (s *endless) InstanceContent(uint64) (cse.InstanceContent, error) {
	s.read++
	return cse.InstanceContent{Content: []byte(`{"m2m:cin":{"con":"1"}}`), Originator: "Ca"}, nil
}
