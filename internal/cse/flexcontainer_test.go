package cse_test

import (
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

const (
	fcnt = onem2m.TypeFlexContainer
	fci  = onem2m.TypeFlexContInst

	tempe = `"cnd":"org.onem2m.common.moduleclass.temperature"`
)

// flex executes a CREATE below, or an UPDATE of, a resource with {"tag":body}.
func flex(t *testing.T, n *csetest.Network, op onem2m.Operation, from, to, tag, body string) cse.Result {
	t.Helper()
	req := onem2m.Request{Operation: op, From: from, To: to, Content: fmt.Appendf(nil, `{%q:%s}`, tag, body)}
	if op == onem2m.Create {
		req.Type = fcnt
	}
	complete := n.Complete(req)
	early := n.Check(n.State, complete, n.Env())
	result := n.Execute(complete)
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	if (early == nil) != result.Response.Status.Success() || early != nil && early.Status != result.Response.Status {
		t.Errorf("%s: the check before ordering says %+v, execution %d", body, early, result.Response.Status)
	}
	return result
}

// TS-0004 clause 7.4.37.2.1: the root member names the specialization, which containerDefinition and the custom
// attributes must match.
func TestCreateFlexContainer(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	for _, test := range []struct {
		to, tag, body string
		want          onem2m.StatusCode
	}{
		{"Ca", "cod:tempe", `{"rn":"f","cnd":"wrong","curT0":23.0}`, 4000},
		{"Ca", "wrong", `{"rn":"f",` + tempe + `}`, 4000},
		{"Ca", "m2m:fcnt", `{"rn":"f",` + tempe + `}`, 4000},
		{"Ca", "cod:unknown", `{"rn":"f","cnd":"unknown","attr":"a"}`, 4000},
		{"Ca", "cod:tempe", `{"rn":"f"}`, 4000},
		{"Ca", "cod:tempe", `{` + tempe + `,"curT0":"23.0"}`, 4000},
		{"Ca", "cod:tempe", `{` + tempe + `,"wrong":1}`, 4000},
		{"Ca", "cod:tempe", `{` + tempe + `,"cs":1}`, 4000},
		{"Ca", "cod:tempe", `{` + tempe + `,"~tag":"cod:binSh"}`, 4000},
		{"Ca", "cod:tempe", `{"rn":"f",` + tempe + `,"curT0":23.0,"unit":1,"minVe":-100.0}`, 2001},
		{"Ca/f", "cod:tempe", `{"rn":"f",` + tempe + `}`, 2001},
		{"Ca/f", "cod:binSh", `{"cnd":"org.onem2m.common.moduleclass.binarySwitch","state":true}`, 2001},
		{"Ca", "m2m:gis", `{"rn":"gis","cnd":"any","gisn":"abc"}`, 2001},
		{"Ca", "m2m:gis", `{"cnd":"any"}`, 4000},
		{"Ca", "m2m:gis", `{"cnd":"any","gisn":"abc","wrong":"x"}`, 4000},
		{"Ca/gis", "m2m:gio", `{"cnd":"any","gion":"op","giip":["link1","link2"],"gios":"state"}`, 2001},
		{"Ca", "m2m:gis", `{"cnd":"any","cr":"content","gisn":"abc"}`, 4000},
		{"Ca", "m2m:gis", `{"rn":"owned","cnd":"any","cr":null,"gisn":"abc"}`, 2001},
		{"Ca", "cod:tempe", `{` + tempe + `,"mni":10}`, 4000},
		{"Ca", "cod:tempe", `{` + tempe + `,"fcied":false,"mni":0}`, 4000},
		{"Ca", "cod:tempe", `{` + tempe + `,"fcied":false,"mbs":0}`, 4000},
		{"Ca", "cod:tempe", `{` + tempe + `,"fcied":false,"mia":0}`, 4000},
		{"Ca", "cod:tempe", `{` + tempe + `,"fcied":true,"mbs":1,"curT0":23.0}`, 4000},
		{"Ca", "cod:tempe", `{` + tempe + `,"fcied":false,"mni":10}`, 2001},
	} {
		if got := flex(t, n, onem2m.Create, "Ca", test.to, test.tag, test.body).Response; got.Status != test.want {
			t.Errorf("%s %s below %s: %d %s, want %d", test.tag, test.body, test.to, got.Status, got.Content, test.want)
		}
	}
	n.MustCreate("Ca", "Ca/f", onem2m.TypeContainer, `{"rn":"c"}`)
	n.MustCreate("Ca", "Ca/f", ts, `{}`)
	sub := n.MustCreate("Ca", "Ca/f", onem2m.TypeSubscription, `{"nu":["http://x/"],"enc":{"net":[1]},"nct":1}`)
	sameShown(t, n.Retrieve("Ca", "Ca/f"), `{"cod:tempe":{"ty":28,"st":0,"cnd":"org.onem2m.common.moduleclass.temperature","cs":11,"curT0":23.0,"minVe":-100.0,"unit":1}}`)
	if got := n.Retrieve("Ca", "Ca/f/la").Response; got.Status != onem2m.StatusNotFound {
		t.Errorf("latest without a history: %d", got.Status)
	}
	result := flex(t, n, onem2m.Update, "Ca", "Ca/f", "cod:tempe", `{"tarTe":5.0,"minVe":null}`)
	if result.Response.Status != onem2m.StatusUpdated || len(result.Effects) != 1 || len(result.Events) != 1 || result.Events[0].Subscription != sub ||
		!strings.Contains(string(result.Events[0].Content), `"rep":{"cod:tempe":{"ty":28`) {
		t.Errorf("update: %+v", result)
	}
	sameShown(t, n.Retrieve("Ca", "Ca/f"), `{"cod:tempe":{"ty":28,"st":1,"cnd":"org.onem2m.common.moduleclass.temperature","cs":8,"curT0":23.0,"tarTe":5.0,"unit":1}}`)
	for body, want := range map[string]onem2m.StatusCode{
		`{"cod:tempe":{` + tempe + `}}`: 4000, `{"cod:tempe":{"tarTe":"5.0"}}`: 4000, `{"cod:tempe":{"wrong":"a"}}`: 4000,
		`{"cod:binSh":{"state":true}}`: 4000, `{"cod:tempe":{"curT0":null}}`: 4000, `{"cod:tempe":{"mni":10}}`: 4000,
	} {
		got := n.Execute(n.Complete(onem2m.Request{Operation: onem2m.Update, From: "Ca", To: "Ca/f", Content: []byte(body)})).Response
		if got.Status != want {
			t.Errorf("update with %s: %d %s, want %d", body, got.Status, got.Content, want)
		}
	}
	found := n.Read(n.State, n.Complete(onem2m.Request{
		Operation: onem2m.Retrieve, From: "Ca", To: "Ca",
		Filter: &onem2m.FilterCriteria{
			Usage: onem2m.FilterUsageDiscovery, Operation: 1, Types: []onem2m.ResourceType{fcnt},
			Attributes: []onem2m.AttributeFilter{{Name: "cnd", Value: "*.binarySwitch"}},
		},
	}), n.Env())
	if got := string(found.Response.Content); strings.Count(got, "tally/ae1") != 1 || !strings.Contains(got, "tally/ae1/f/fcnt") {
		t.Errorf("discovery by containerDefinition: %s", got)
	}
	one := n.Read(n.State, n.Complete(onem2m.Request{Operation: onem2m.Retrieve, From: "Ca", To: "Ca/f", Attributes: []string{"curT0", "cnd"}}), n.Env())
	if got := string(one.Response.Content); got != `{"cod:tempe":{"cnd":"org.onem2m.common.moduleclass.temperature","curT0":23.0}}` {
		t.Errorf("attribute list: %s", got)
	}
}

// The history of a flexContainer: an instance for every change of its custom attributes, labels or location.
func TestFlexContainerHistory(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	result := flex(t, n, onem2m.Create, "Ca", "Ca", "cod:tempe", `{"rn":"f",`+tempe+`,"curT0":23.0,"unit":1,"fcied":true,"mni":10}`)
	if len(result.Effects) != 2 || result.Effects[1].Type != fci || result.Effects[1].Target != result.Effects[0].Resource {
		t.Fatalf("create: %d %s %+v", result.Response.Status, result.Response.Content, result.Effects)
	}
	if want := onem2m.ResourceRI(fci, n.Next-1); result.Effects[1].Resource != want {
		t.Errorf("instance %s, want %s", result.Effects[1].Resource, want)
	}
	sameShown(t, n.Retrieve("Ca", "Ca/f"), `{"cod:tempe":{"ty":28,"st":0,"cni":1,"cbs":5,"cnd":"org.onem2m.common.moduleclass.temperature","cs":5,"curT0":23.0,"fcied":true,"mni":10,"unit":1}}`)
	sameShown(t, n.Retrieve("Ca", "Ca/f/la"), `{"cod:tempe":{"ty":58,"st":0,"cs":5,"org":"Ca","curT0":23.0,"unit":1}}`)
	type step struct {
		body     string
		want     onem2m.StatusCode
		cni, st  int
		la, ol   string
		recorded bool
	}
	for _, s := range []step{
		{`{"tarTe":5.0,"curT0":17.0}`, 2004, 2, 1, "17.0", "23.0", true},
		{`{"mni":1}`, 2004, 1, 2, "17.0", "17.0", false},
		{`{"lbl":["aLabel"]}`, 2004, 1, 3, "17.0", "17.0", true},
		{`{}`, 2004, 1, 4, "17.0", "17.0", false},
		{`{"mni":10}`, 2004, 1, 5, "17.0", "17.0", false},
		{`{"mni":null}`, 2004, 1, 6, "17.0", "17.0", false},
		{`{"mbs":7}`, 4000, 1, 6, "17.0", "17.0", false},
		{`{"mbs":0}`, 4000, 1, 6, "17.0", "17.0", false},
		{`{"mbs":9}`, 2004, 1, 7, "17.0", "17.0", false},
		{`{"mni":10,"mbs":null,"curT0":18.0}`, 2004, 2, 8, "18.0", "17.0", true},
		{`{"fcied":false}`, 2004, 1, 9, "18.0", "18.0", false},
		{`{"curT0":19.0}`, 2004, 1, 10, "18.0", "18.0", false},
		{`{"fcied":null,"mni":3}`, 4000, 1, 10, "18.0", "18.0", false},
		{`{"fcied":null}`, 2004, -1, 11, "", "", false},
		{`{"mni":10}`, 4000, -1, 11, "", "", false},
		{`{"fcied":null}`, 2004, -1, 12, "", "", false},
		{`{"fcied":false}`, 2004, 1, 13, "19.0", "19.0", true},
		{`{"fcied":true}`, 2004, 1, 14, "19.0", "19.0", true},
		{`{"curT0":20.0}`, 2004, 2, 15, "20.0", "19.0", true},
	} {
		got := flex(t, n, onem2m.Update, "Ca", "Ca/f", "cod:tempe", s.body)
		if got.Response.Status != s.want || len(got.Effects) == 2 != s.recorded {
			t.Errorf("%s: %d %s, %d effects", s.body, got.Response.Status, got.Response.Content, len(got.Effects))
		}
		content := string(n.Retrieve("Ca", "Ca/f").Response.Content)
		cni := fmt.Sprintf(`"cni":%d,`, s.cni)
		if strings.Contains(content, `"cni"`) != (s.cni >= 0) || s.cni >= 0 && !strings.Contains(content, cni) || !strings.Contains(content, fmt.Sprintf(`"st":%d,`, s.st)) {
			t.Errorf("after %s: %s", s.body, content)
		}
		for end, value := range map[string]string{"la": s.la, "ol": s.ol} {
			rsp := n.Retrieve("Ca", "Ca/f/"+end).Response
			if value == "" != (rsp.Status == onem2m.StatusNotFound) || value != "" && !strings.Contains(string(rsp.Content), `"curT0":`+value) {
				t.Errorf("%s after %s: %d %s", end, s.body, rsp.Status, rsp.Content)
			}
		}
	}
	rsp := flex(t, n, onem2m.Create, "Ca", "Ca/f", "cod:tempe", `{"curT0":1}`).Response
	if rsp.Status != onem2m.StatusBadRequest {
		t.Errorf("flexContainer without definition: %d", rsp.Status)
	}
	if _, result := n.Create("Ca", "Ca/f", fci, `{"curT0":1}`); result.Response.Status != onem2m.StatusOperationNotAllowed {
		t.Errorf("create of an instance: %d", result.Response.Status)
	}
	latest := onem2m.ResourceRI(fci, n.Next-1)
	for _, to := range []string{latest, "Ca/f/" + latest, "Ca/f/la"} {
		if got := flex(t, n, onem2m.Update, "Ca", to, "cod:tempe", `{"curT0":5.0}`).Response; got.Status != onem2m.StatusOperationNotAllowed {
			t.Errorf("update of %s: %d", to, got.Status)
		}
	}
	if got := n.Delete("Ca", latest).Response; got.Status != onem2m.StatusDeleted {
		t.Errorf("delete of an instance: %d %s", got.Status, got.Content)
	}
	if content := string(n.Retrieve("Ca", "Ca/f").Response.Content); !strings.Contains(content, `"cni":1,`) || !strings.Contains(content, `"st":15,`) {
		t.Errorf("after the deletion: %s", content)
	}
	if got := n.Delete("Ca", "Ca/f").Response; got.Status != onem2m.StatusDeleted {
		t.Errorf("delete: %d %s", got.Status, got.Content)
	}
}

// An access control rule for single attributes covers an instance only when it names the custom attributes as well
// (TS-0001 clause 9.6.2.1).
func TestFlexContainerInstanceAccess(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Register("Cb", "ae2")
	var generic, custom []string
	for _, a := range onem2m.Lookup(onem2m.TypeFlexContInst).Attributes {
		generic = append(generic, `"`+a.Short+`"`)
	}
	def := onem2m.Specialization("cod:tempe")
	for _, a := range def.Attributes {
		if def.Custom(a.Short) {
			custom = append(custom, `"`+a.Short+`"`)
		}
	}
	for name, c := range map[string]struct {
		names []string
		want  onem2m.StatusCode
	}{
		"generic": {generic, onem2m.StatusOriginatorHasNoPrivilege},
		"all":     {slices.Concat(generic, custom), onem2m.StatusOK},
	} {
		acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Ca"],"acop":63},{"acor":["Cb"],"acop":2,"aca":[`+strings.Join(c.names, ",")+`]}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
		made := n.Execute(n.Complete(onem2m.Request{
			Operation: onem2m.Create, From: "Ca", To: "Ca", Type: fcnt,
			Content: []byte(`{"cod:tempe":{"rn":"` + name + `","acpi":["` + acp + `"],"cnd":"org.onem2m.common.moduleclass.temperature","curT0":1.5,"fcied":true}}`),
		}))
		if made.Response.Status != onem2m.StatusCreated {
			t.Fatalf("%s: %d %s", name, made.Response.Status, made.Response.Content)
		}
		if got := n.Retrieve("Cb", "Ca/"+name+"/la").Response; got.Status != c.want {
			t.Errorf("a rule for %s attributes: %d %s, want %d", name, got.Status, got.Content, c.want)
		}
	}
}

// Instances and flexContainers of one specialization share its tag; they stand in one list.
func TestFlexContainerChildren(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	flex(t, n, onem2m.Create, "Ca", "Ca", "cod:tempe", `{"rn":"f",`+tempe+`,"curT0":1,"fcied":true}`)
	flex(t, n, onem2m.Create, "Ca", "Ca/f", "cod:tempe", `{"rn":"g",`+tempe+`}`)
	flex(t, n, onem2m.Create, "Ca", "Ca/f", "cod:binSh", `{"rn":"h","cnd":"org.onem2m.common.moduleclass.binarySwitch","state":true}`)
	got := string(n.Read(n.State, n.Complete(onem2m.Request{
		Operation: onem2m.Retrieve, From: "Ca", To: "Ca/f", ResultContent: onem2m.ResultContentAttributesAndChildren,
	}), n.Env()).Response.Content)
	if strings.Count(got, `"cod:tempe":[`) != 1 || strings.Count(got, `"cod:binSh":[`) != 1 || strings.Count(got, `"ty":58`) != 1 || strings.Count(got, `"ty":28`) != 3 {
		t.Errorf("with children: %s", got)
	}
	if _, _, err := onem2m.ParseContent([]byte(got)); err != nil {
		t.Errorf("with children: %v", err)
	}
}

// Updates cannot make a resource larger than the store takes.
func TestFlexContainerSize(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	flex(t, n, onem2m.Create, "Ca", "Ca", "m2m:gio", `{"rn":"f","cnd":"any","gion":"a","gios":"b","fcied":true}`)
	large := strings.Repeat("x", 600_000)
	for _, s := range []struct {
		body string
		want onem2m.StatusCode
	}{{`{"gion":"` + large + `"}`, 2004}, {`{"gios":"` + large + `"}`, 5207}} {
		if got := flex(t, n, onem2m.Update, "Ca", "Ca/f", "m2m:gio", s.body).Response; got.Status != s.want {
			t.Errorf("%d %.100s, want %d", got.Status, got.Content, s.want)
		}
	}
}

// The history follows from the log.
func TestFlexContainerReplay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := csetest.NewNetwork(t)
		n.Register("Ca", "ae1")
		start := n.State.Snapshot()
		var log []logged
		keep := func(first uint64, now int64, result cse.Result) {
			for i, e := range result.Effects {
				log = append(log, logged{e, first + uint64(i), now})
			}
		}
		first, now := n.Next, n.Time
		keep(first, now, flex(t, n, onem2m.Create, "Ca", "Ca", "cod:tempe", `{"rn":"f",`+tempe+rapid.SampledFrom([]string{"", `,"fcied":true,"mni":2`, `,"fcied":false`}).Draw(rt, "create")+`}`))
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			first, now := n.Next, n.Time
			body := rapid.SampledFrom([]string{
				`{"curT0":1.5}`, `{"curT0":22.25}`, `{"lbl":["a"]}`, `{"fcied":true}`, `{"fcied":false}`, `{"fcied":null}`, `{"mni":3}`, `{"mbs":9}`, `{"mia":3}`, "delete",
			}).Draw(rt, "update")
			if body == "delete" {
				keep(first, now, n.Delete("Ca", "Ca/f/ol"))
				continue
			}
			keep(first, now, flex(t, n, onem2m.Update, "Ca", "Ca/f", "cod:tempe", body))
		}
		again := csetest.NewNetwork(t)
		again.State.Rollback(start)
		for _, e := range log {
			if e.Type != fci || e.Operation != onem2m.Create {
				repeat(t, again.Core, again.State, e, e.Payload)
			}
		}
		if diff := cmp.Diff(n.State.Dump(), again.State.Dump()); diff != "" {
			rt.Fatalf("rebuilt state differs (-first +rebuilt):\n%s", diff)
		}
	})
}
