package cse_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// content is the request content for a body.
func (b *refBody) content(ty onem2m.ResourceType, from string, update bool) []byte {
	r := map[string]any{}
	if b.rn != "" {
		r["rn"] = b.rn
	}
	if b.lbl != nil {
		r["lbl"] = b.lbl
	}
	if b.acpi != nil {
		r["acpi"] = b.acpi
	}
	for name, v := range map[string]*int64{"mni": b.mni, "mbs": b.mbs, "mia": b.mia} {
		if v != nil {
			r[name] = *v
		}
	}
	switch ty {
	case 1:
		acr := []any{}
		for _, rule := range b.pv {
			acr = append(acr, map[string]any{"acor": []string{rule.acor}, "acop": rule.acop})
		}
		r["pv"] = map[string]any{"acr": acr}
		if !update {
			r["pvs"] = map[string]any{"acr": []any{map[string]any{"acor": []string{from}, "acop": 63}}}
		}
	case 2:
		r["api"], r["rr"], r["srv"] = "Ntest", false, []string{"4"}
	case 4:
		r["con"] = b.con
	case 30:
		r["con"], r["dgt"] = b.con, onem2m.FormatTime(int64(b.dgt))
	case 9:
		r["mnm"], r["mid"] = 3, append([]string{}, b.mid...)
	case 23:
		r["nu"], r["nct"], r["enc"] = []string{"http://h"}, 3, map[string]any{"net": b.net}
		if b.exc > 0 {
			r["exc"] = b.exc
		}
	}
	text, err := json.Marshal(map[string]any{onem2m.Lookup(ty).Tag: r})
	if err != nil {
		panic(err)
	}
	return text
}

// machine runs the same requests through two cores and the reference.
type machine struct {
	n, twin *csetest.Network
	m       *reference
}

// execute sends a change to both cores and checks that they agree to the byte.
func (x *machine) execute(t *rapid.T, req onem2m.Request) cse.Result {
	x.n.MayRegister, x.twin.MayRegister = req.Type == onem2m.TypeAE, req.Type == onem2m.TypeAE
	first := x.n.Next
	got := x.n.Execute(x.n.Complete(req))
	again := x.twin.Execute(x.twin.Complete(req))
	if got.Err != nil {
		t.Fatalf("%+v: %v", req, got.Err)
	}
	for i, e := range got.Effects {
		if want := onem2m.ResourceRI(e.Type, first+uint64(i)); e.Operation == onem2m.Create && e.Type != onem2m.TypeAE && e.Resource != want {
			t.Fatalf("effect %d created %s, want %s", i, e.Resource, want)
		}
	}
	if diff := cmp.Diff(got, again); diff != "" {
		t.Fatalf("two runs differ:\n%s", diff)
	}
	for _, e := range got.Events {
		if !json.Valid(e.Content) {
			t.Fatalf("invalid notification %s", e.Content)
		}
	}
	return got
}

// check compares a result with the reference and moves the reference's clock with the network's.
func (x *machine) check(t *rapid.T, req onem2m.Request, got cse.Result, want onem2m.StatusCode) {
	told := []string{}
	for _, e := range got.Events {
		var body struct {
			SGN struct {
				NEV struct{ Net int }
				SUD bool
			} `json:"m2m:sgn"`
		}
		if err := json.Unmarshal(e.Content, &body); err != nil {
			t.Fatalf("%s: %v", e.Content, err)
		}
		line := fmt.Sprintf("%s:%d", e.Subscription, body.SGN.NEV.Net)
		if body.SGN.SUD {
			line = e.Subscription + ":sud"
		}
		told = append(told, line)
	}
	if got.Response.Status != want {
		t.Fatalf("operation %d type %d on %s by %s with %s: got %d %s, want %d",
			req.Operation, req.Type, req.To, req.From, req.Content, got.Response.Status, got.Response.Content, want)
	}
	if diff := cmp.Diff(append([]string{}, x.m.told...), told); diff != "" {
		t.Fatalf("operation %d type %d on %s by %s: notifications (-want +got):\n%s", req.Operation, req.Type, req.To, req.From, diff)
	}
	if x.n.Next != x.m.next {
		t.Fatalf("next log index %d, want %d", x.n.Next, x.m.next)
	}
	x.m.told = nil
	x.m.now = x.n.Time
}

func statuses(t *rapid.T, content []byte) []onem2m.StatusCode {
	var agr struct {
		AGR struct {
			RSP []struct{ RSC onem2m.StatusCode } `json:"m2m:rsp"`
		} `json:"m2m:agr"`
	}
	if err := json.Unmarshal(content, &agr); err != nil {
		t.Fatalf("%s: %v", content, err)
	}
	var list []onem2m.StatusCode
	for _, rsp := range agr.AGR.RSP {
		list = append(list, rsp.RSC)
	}
	return list
}

// change executes a CREATE, UPDATE or DELETE, through a fanOutPoint if the address says so.
func (x *machine) change(t *rapid.T, req onem2m.Request, op int, one func(to string) onem2m.StatusCode) {
	group, virtual := x.m.resolve(req.To)
	got := x.execute(t, req)
	if virtual != "fopt" {
		conceal := x.m.concealment(req.From, req.To)
		x.check(t, req, got, conceal(one(req.To)))
		return
	}
	want, members := x.m.fanOut(req.From, group, op, x.m.concealed(req.From, one))
	x.check(t, req, got, want)
	if want == 2000 {
		if diff := cmp.Diff(members, statuses(t, got.Response.Content)); diff != "" {
			t.Fatalf("members (-want +got):\n%s", diff)
		}
	}
}

// address draws the address of a resource, often in another form, sometimes of none, and an originator, mostly one
// with rights. When types are given, most resources drawn are of those.
func (x *machine) address(t *rapid.T, types ...onem2m.ResourceType) (from, to string) {
	nodes := x.m.all()
	if some := slices.DeleteFunc(slices.Clone(nodes), func(n *refNode) bool { return !slices.Contains(types, n.ty) }); len(some) > 0 && rapid.IntRange(0, 9).Draw(t, "any") > 0 {
		nodes = some
	}
	n := nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "target")]
	from = n.owner
	if rapid.IntRange(0, 3).Draw(t, "other") == 0 {
		from = rapid.SampledFrom(modelAEs).Draw(t, "from")
	}
	to = n.ri
	if rapid.Bool().Draw(t, "structured") {
		to = n.path()
	}
	switch rapid.IntRange(0, 11).Draw(t, "suffix") {
	case 0:
		to += "/la"
	case 1:
		to += "/ol"
	case 2, 3, 4:
		if n.ty == 9 {
			to += "/fopt"
		}
	case 5:
		to += "/nowhere"
	}
	return from, to
}

var (
	modelAEs    = []string{"Ca", "Cb", "Coperator"}
	modelLabels = []string{"red", "blue"}
)

func optional(t *rapid.T, name string, values ...int64) *int64 {
	i := rapid.IntRange(-1, len(values)-1).Draw(t, name)
	if i < 0 {
		return nil
	}
	return &values[i]
}

// body draws what a request may set.
func (x *machine) body(t *rapid.T, ty onem2m.ResourceType) refBody {
	b := refBody{rn: rapid.SampledFrom([]string{"", "", "a", "b", "c"}).Draw(t, "rn")}
	if rapid.Bool().Draw(t, "labelled") {
		b.lbl = []string{rapid.SampledFrom(modelLabels).Draw(t, "lbl")}
	}
	switch ty {
	case 1:
		for range rapid.IntRange(0, 2).Draw(t, "rules") {
			b.pv = append(b.pv, refRule{rapid.SampledFrom(append(modelAEs, "all")).Draw(t, "acor"), rapid.IntRange(1, 63).Draw(t, "acop")})
		}
	case 3, 29:
		b.mni, b.mbs, b.mia = optional(t, "mni", 0, 1, 2, 3), optional(t, "mbs", 3, 6), optional(t, "mia", 6, 20)
	case 4, 30:
		b.con, b.dgt = strings.Repeat("x", rapid.IntRange(0, 4).Draw(t, "con")), rapid.IntRange(0, 6).Draw(t, "dgt")
	case 9:
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			nodes := slices.DeleteFunc(x.m.all(), func(n *refNode) bool { return n.ty != 3 && n.ty != 23 })
			if len(nodes) == 0 {
				break
			}
			n := nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "mid")]
			if !slices.Contains(b.mid, n.ri) {
				b.mid = append(b.mid, n.ri)
			}
		}
	case 23:
		b.net = rapid.SampledFrom([][]int{{1}, {2}, {3}, {4}, {3, 4}, {1, 2, 3, 4}}).Draw(t, "net")
		b.exc = rapid.IntRange(0, 3).Draw(t, "exc")
	}
	if ty != 1 && ty != 4 && ty != 30 && rapid.IntRange(0, 2).Draw(t, "linked") == 0 {
		b.acpi = x.policies(t)
	}
	return b
}

// policies draws links to accessControlPolicies, a false one among them at times.
func (x *machine) policies(t *rapid.T) []string {
	ids := []string{"acpnone"}
	for _, n := range x.m.all() {
		if n.ty == 1 {
			ids = append(ids, n.ri, n.ri)
		}
	}
	return []string{rapid.SampledFrom(ids).Draw(t, "acpi")}
}

// step draws one request and sends it everywhere.
func (x *machine) step(t *rapid.T) {
	switch rapid.SampledFrom([]string{"create", "create", "create", "instance", "instance", "register", "update", "delete", "read", "read", "discover", "wait"}).Draw(t, "operation") {
	case "create":
		ty := rapid.SampledFrom([]onem2m.ResourceType{1, 3, 3, 9, 23, 29}).Draw(t, "ty")
		from, to := x.address(t, map[onem2m.ResourceType][]onem2m.ResourceType{1: {2}, 3: {2, 3}, 9: {2}, 23: {3, 29}, 29: {2, 3}}[ty]...)
		x.create(t, from, to, ty)
	case "instance":
		if rapid.IntRange(0, 3).Draw(t, "dated") == 0 {
			from, to := x.address(t, 29)
			x.create(t, from, to, 30)
			return
		}
		from, to := x.address(t, 3, 9)
		x.create(t, from, to, 4)
	case "register":
		x.create(t, rapid.SampledFrom([]string{"Ca", "Cb"}).Draw(t, "AE"), "tally", 2)
	case "update":
		x.update(t)
	case "delete":
		from, to := x.address(t, 3, 4, 4, 9, 23, 29, 30, 30)
		x.change(t, onem2m.Request{Operation: onem2m.Delete, From: from, To: to}, 8, func(to string) onem2m.StatusCode { return x.m.delete(from, to) })
	case "read":
		from, to := x.address(t)
		x.retrieve(t, from, to, rapid.Bool().Draw(t, "nested"))
	case "discover":
		from, to := x.address(t)
		x.discover(t, from, to)
	case "wait":
		x.n.Time += 5_000_000
		x.twin.Time, x.m.now = x.n.Time, x.n.Time
	}
}

func (x *machine) create(t *rapid.T, from, to string, ty onem2m.ResourceType) {
	b := x.body(t, ty)
	x.change(t, onem2m.Request{Operation: onem2m.Create, From: from, To: to, Type: ty, Content: b.content(ty, from, false)}, 1,
		func(to string) onem2m.StatusCode { return x.m.create(from, to, ty, b) })
}

func (x *machine) update(t *rapid.T) {
	ty := rapid.SampledFrom([]onem2m.ResourceType{1, 3, 3, 29}).Draw(t, "ty")
	from, to := x.address(t, ty)
	b := refBody{}
	switch {
	case ty == 1:
		b.pv = x.body(t, 1).pv
	case rapid.Bool().Draw(t, "relink"):
		b.acpi = x.policies(t)
	default:
		b.mni, b.lbl = optional(t, "mni", 0, 1, 2), []string{rapid.SampledFrom(modelLabels).Draw(t, "lbl")}
	}
	x.change(t, onem2m.Request{Operation: onem2m.Update, From: from, To: to, Content: b.content(ty, from, true)}, 4,
		func(to string) onem2m.StatusCode { return x.m.update(from, to, ty, b) })
}

func (x *machine) retrieve(t *rapid.T, from, to string, nested bool) {
	req := onem2m.Request{Operation: onem2m.Retrieve, From: from, To: to}
	if nested {
		req.ResultContent = onem2m.ResultContentAttributesAndChildren
	}
	got := x.n.Read(x.n.State, x.n.Complete(req), x.n.Env())
	x.twin.Complete(req) // keeps the request IDs of the two in step
	if group, virtual := x.m.resolve(to); virtual == "fopt" {
		want, members := x.m.fanOut(from, group, 2, x.m.concealed(from, func(to string) onem2m.StatusCode {
			status, _ := x.m.retrieve(from, to, false)
			return status
		}))
		x.check(t, req, got, want)
		if want == 2000 {
			if diff := cmp.Diff(members, statuses(t, got.Response.Content)); diff != "" {
				t.Fatalf("members (-want +got):\n%s", diff)
			}
		}
		return
	}
	want, representation := x.m.retrieve(from, to, nested)
	x.check(t, req, got, x.m.conceal(from, to, want))
	if want != 2000 || strings.HasPrefix(string(got.Response.Content), `{"m2m:cb"`) {
		return
	}
	text, err := json.Marshal(representation)
	if err != nil {
		t.Fatal(err)
	}
	var expected, actual any
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got.Response.Content, &actual); err != nil {
		t.Fatalf("%s: %v", got.Response.Content, err)
	}
	if diff := cmp.Diff(expected, actual); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", to, diff)
	}
}

func (x *machine) discover(t *rapid.T, from, to string) {
	types := rapid.SampledFrom([][]onem2m.ResourceType{nil, {3}, {4}, {4, 23}, {1, 2, 9}, {29, 30}}).Draw(t, "types")
	label := rapid.SampledFrom(append(modelLabels, "", "")).Draw(t, "label")
	limit := rapid.SampledFrom([]int{1, 3, 1000}).Draw(t, "limit")
	fc := &onem2m.FilterCriteria{Usage: onem2m.FilterUsageDiscovery, Types: types, Limit: ptr(int64(limit))}
	if label != "" {
		fc.Labels = []string{label}
	}
	if _, virtual := x.m.resolve(to); virtual == "fopt" {
		return
	}
	req := onem2m.Request{Operation: onem2m.Retrieve, From: from, To: to, Filter: fc}
	got := x.n.Read(x.n.State, x.n.Complete(req), x.n.Env())
	x.twin.Complete(req)
	want, list := x.m.discover(from, to, types, label, limit)
	if want == 4004 && x.m.conceal(from, to, want) == 4103 {
		want, list = 2000, []string{} // as of what is there and may not be discovered
	}
	x.check(t, req, got, want)
	if want != 2000 {
		return
	}
	var found struct {
		URIL []string `json:"m2m:uril"`
	}
	if err := json.Unmarshal(got.Response.Content, &found); err != nil {
		t.Fatalf("%s: %v", got.Response.Content, err)
	}
	if diff := cmp.Diff(list, found.URIL); diff != "" {
		t.Fatalf("discovery of %s (-want +got):\n%s", to, diff)
	}
}

// The core does what the reference does, whatever is asked of it, and does it twice in the same bytes: statuses,
// representations, notifications, log positions and, in the end, the whole state.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := &machine{n: csetest.NewNetwork(t), twin: csetest.NewNetwork(t), m: newReference(csetest.Start)}
		for _, id := range []string{"Ca", "Cb"} {
			x.create(rt, id, "tally", 2)
		}
		for range rapid.IntRange(20, 100).Draw(rt, "steps") {
			x.step(rt)
		}
		if diff := cmp.Diff(x.n.State.Dump(), x.twin.State.Dump()); diff != "" {
			rt.Fatalf("two runs end in different states:\n%s", diff)
		}
		for _, n := range x.m.all() {
			if !x.m.overdue(n) {
				x.retrieve(rt, n.owner, n.ri, false)
			}
		}
	})
}
