package cse_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// grouped makes three containers in a group; members are named in all three forms.
func grouped(t testing.TB) *csetest.Network {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Register("Cb", "ae2")
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Ca","Cb"],"acop":63}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
	for _, rn := range []string{"c1", "c2"} {
		n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"`+rn+`","acpi":["`+acp+`"]}`)
	}
	third := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c3"}`)
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"grp","acpi":["`+acp+`"],"mnm":9,"mid":["tally/ae1/c1","Ca/c2","`+third+`"]}`)
	return n
}

// aggregated gives status, originator of the answer and whether it has content, one line a member.
func aggregated(t *testing.T, result cse.Result) []string {
	t.Helper()
	wantStatus(t, "fanOutPoint", result, onem2m.StatusOK)
	return aggregate(t, result.Response.Content)
}

func aggregate(t *testing.T, content []byte) []string {
	t.Helper()
	var agr struct {
		AGR struct {
			RSP []struct {
				RSC      int
				RQI, RVI string
				To, Fr   string
				PC       json.RawMessage
			} `json:"m2m:rsp"`
		} `json:"m2m:agr"`
	}
	if err := json.Unmarshal(content, &agr); err != nil {
		t.Fatalf("%s: %v", content, err)
	}
	var lines []string
	for _, rsp := range agr.AGR.RSP {
		if rsp.RQI == "" || rsp.RVI != "4" || rsp.To == "" {
			t.Errorf("member response %+v", rsp)
		}
		if strings.Contains(string(rsp.PC), "m2m:agr") {
			lines = append(lines, fmt.Sprintf("%d %s (", rsp.RSC, rsp.Fr))
			lines = append(lines, aggregate(t, rsp.PC)...)
			lines = append(lines, ")")
			continue
		}
		lines = append(lines, fmt.Sprintf("%d %s", rsp.RSC, rsp.Fr))
	}
	return lines
}

func wantAggregate(t *testing.T, what string, result cse.Result, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, aggregated(t, result)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TS-0001 clause 10.7 and TS-0004 clause 7.4.14.2: each operation on every member; each member decides for itself.
func TestFanOut(t *testing.T) {
	n := grouped(t)
	_, result := n.Create("Cb", "Ca/grp/fopt", onem2m.TypeContentInstance, `{"con":"5"}`)
	wantAggregate(t, "create", result, "2001 tally/ae1/c1", "2001 Ca/c2", "4103 cnt8")
	if diff := cmp.Diff([]string{"cnt6", "cnt7"}, []string{result.Effects[0].Target, result.Effects[1].Target}); diff != "" {
		t.Error(diff)
	}
	first := n.Next - 2
	for i, e := range result.Effects {
		if want := onem2m.InstanceRI(first + uint64(i)); e.Resource != want {
			t.Errorf("effect %d made %s, want %s", i, e.Resource, want)
		}
	}
	wantAggregate(t, "retrieve below members", n.Retrieve("Ca", "tally/ae1/grp/fopt/la"), "2000 tally/ae1/c1/la", "2000 Ca/c2/la", "4004 cnt8/la")
	wantAggregate(t, "retrieve", n.Retrieve("Ca", "tally/ae1/grp/fopt"), "2000 tally/ae1/c1", "2000 Ca/c2", "2000 cnt8")
	wantAggregate(t, "update", n.Update("Ca", "Ca/grp/fopt", onem2m.TypeContainer, `{"mni":3}`), "2004 tally/ae1/c1", "2004 Ca/c2", "2004 cnt8")
	wantAggregate(t, "bad update", n.Update("Ca", "Ca/grp/fopt", onem2m.TypeContainer, `{"cni":3}`), "4000 tally/ae1/c1", "4000 Ca/c2", "4000 cnt8")
	wantAggregate(t, "delete", n.Delete("Ca", "Ca/grp/fopt"), "2002 tally/ae1/c1", "2002 Ca/c2", "2002 cnt8")
	wantStatus(t, "members are gone", n.Retrieve("Ca", "Ca/grp/fopt"), onem2m.StatusNoMembers)
	wantStatus(t, "no privilege", n.Retrieve("Cc", "Ca/grp/fopt"), onem2m.StatusOriginatorHasNoPrivilege)
}

// TS-0004 clause 7.4.14.3.5: what a DELETE has removed leaves the group; what it could not remove, what lies below the
// members and what a fanOutPoint stands for stay.
func TestFanOutDelete(t *testing.T) {
	n := grouped(t)
	n.MustCreate("Ca", "Ca/grp", onem2m.TypeSubscription, `{"rn":"sub","nu":["http://h"],"nct":3}`)
	n.Create("Ca", "Ca/grp/fopt", onem2m.TypeContentInstance, `{"con":"5"}`)
	wantAggregate(t, "below", n.Delete("Ca", "Ca/grp/fopt/la"), "2002 tally/ae1/c1/la", "2002 Ca/c2/la", "2002 cnt8/la")
	result := n.Delete("Cb", "Ca/grp/fopt")
	wantAggregate(t, "two of three", result, "2002 tally/ae1/c1", "2002 Ca/c2", "4103 cnt8")
	last := result.Effects[len(result.Effects)-1]
	if len(result.Effects) != 3 || last.Operation != onem2m.Update || last.Originator != "Cb" || last.Resource != "grp9" ||
		string(last.Payload) != `{"m2m:grp":{"mid":["cnt8"]}}` || len(result.Events) != 1 {
		t.Errorf("effects %+v, events %v", result.Effects, sgn(result))
	}
	if grp, _ := n.State.Resource("grp9"); string(grp.Get("mid")) != `["cnt8"]` || string(grp.Get("cnm")) != "1" {
		t.Errorf("members %s, %s of them", grp.Get("mid"), grp.Get("cnm"))
	}
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"outer","mt":0,"mnm":9,"mid":["Ca/grp/fopt"]}`)
	wantAggregate(t, "through a group", n.Delete("Ca", "Ca/outer/fopt"), "2000 Ca/grp/fopt (", "2002 cnt8", ")")
	if outer, _ := n.State.Resource("grp" + strconv.FormatUint(n.Next-3, 36)); string(outer.Get("mid")) != `["Ca/grp/fopt"]` {
		t.Errorf("members of the outer group: %s", outer.Get("mid"))
	}
}

// TS-0001 clause 9.6.13: membersAccessControlPolicyIDs decide about the fanOutPoint, not the group's own policies.
func TestFanOutPrivileges(t *testing.T) {
	n := grouped(t)
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Ca"],"acop":63}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
	wantStatus(t, "macp", n.Update("Ca", "Ca/grp", onem2m.TypeGroup, `{"macp":["`+acp+`"]}`), onem2m.StatusUpdated)
	wantStatus(t, "group itself", n.Retrieve("Cb", "Ca/grp"), onem2m.StatusOK)
	wantStatus(t, "members", n.Retrieve("Cb", "Ca/grp/fopt"), onem2m.StatusOriginatorHasNoPrivilege)
}

// TS-0004 clause 7.4.14.2: groups within groups, no members, and loops.
func TestFanOutGroups(t *testing.T) {
	n := grouped(t)
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"outer","mt":0,"mnm":9,"mid":["Ca/c1","Ca/grp/fopt"]}`)
	wantAggregate(t, "group in group", n.Retrieve("Ca", "Ca/outer/fopt"),
		"2000 Ca/c1", "2000 Ca/grp/fopt (", "2000 tally/ae1/c1", "2000 Ca/c2", "2000 cnt8", ")")

	// Without the suffix, the member is the group itself.
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"plain","mt":0,"mnm":9,"mid":["Ca/c1","Ca/grp"]}`)
	wantAggregate(t, "a group as a resource", n.Retrieve("Ca", "Ca/plain/fopt"), "2000 Ca/c1", "2000 Ca/grp")
	wantAggregate(t, "its fopt below", n.Retrieve("Ca", "Ca/plain/fopt/fopt"),
		"4004 Ca/c1/fopt", "2000 Ca/grp/fopt (", "2000 tally/ae1/c1", "2000 Ca/c2", "2000 cnt8", ")")

	wantAggregate(t, "suffix", n.Retrieve("Ca", "Ca/outer/fopt/la"),
		"4004 Ca/c1/la", "2000 Ca/grp/fopt/la (", "4004 tally/ae1/c1/la", "4004 Ca/c2/la", "4004 cnt8/la", ")")

	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"empty","mnm":9,"mid":[]}`)
	wantStatus(t, "empty", n.Retrieve("Ca", "Ca/empty/fopt"), onem2m.StatusNoMembers)

	wantStatus(t, "make a loop", n.Update("Ca", "Ca/outer", onem2m.TypeGroup, `{"mid":["Ca/c1","Ca/outer/fopt"]}`), onem2m.StatusUpdated)
	wantAggregate(t, "loop", n.Retrieve("Ca", "Ca/outer/fopt"), "2000 Ca/c1", "4104 Ca/outer/fopt")
	deep := "Ca/outer/fopt" + strings.Repeat("/fopt", 40)
	wantStatus(t, "long loop", n.Retrieve("Ca", deep), onem2m.StatusOK)
}

// One request makes a bounded number of member requests.
func TestFanOutBound(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	var ids []string
	for i := range 40 {
		n.MustCreate("Ca", "Ca", onem2m.TypeContainer, fmt.Sprintf(`{"rn":"c%d"}`, i))
		ids = append(ids, fmt.Sprintf(`"Ca/c%d"`, i))
	}
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"inner","mnm":99,"mid":[`+strings.Join(ids, ",")+`]}`)
	var groups []string
	for i := range 30 {
		n.MustCreate("Ca", "Ca", onem2m.TypeGroup, fmt.Sprintf(`{"rn":"g%d","mt":0,"mnm":99,"mid":["Ca/inner/fopt"]}`, i))
		groups = append(groups, fmt.Sprintf(`"Ca/g%d/fopt"`, i))
	}
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"top","mt":0,"mnm":99,"mid":[`+strings.Join(groups, ",")+`]}`)
	lines := aggregated(t, n.Retrieve("Ca", "Ca/top/fopt"))
	refused := 0
	for _, line := range lines {
		if strings.HasPrefix(line, "5207") {
			refused++
		}
	}
	if refused == 0 {
		t.Errorf("%d member responses and none refused", len(lines))
	}
}

// A NOTIFY to a fanOutPoint goes to every AE in the group.
func TestFanOutNotify(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.MayRegister = true
	n.MustCreate("Ca", "tally", onem2m.TypeAE, `{"rn":"a","api":"Na","rr":true,"srv":["4"],"poa":["http://a"]}`)
	n.Register("Cb", "b")
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"grp","mt":0,"mnm":9,"mid":["Ca"]}`)
	req := n.Complete(onem2m.Request{Operation: onem2m.Notify, From: "Ca", To: "Ca/grp/fopt", Content: []byte(`{"m2m:sgn":{"sur":"x"}}`)})
	result := n.Read(n.State, req, n.Env())
	wantAggregate(t, "notify", result, "2000 Ca")
	if len(result.Events) != 1 {
		t.Errorf("events: %+v", result.Events)
	}
}

// The bounds of one result hold for all members together.
func TestFanOutResultBound(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	big := strings.Repeat("x", 900_000)
	var ids []string
	for i := range 25 {
		rn := fmt.Sprintf("c%d", i)
		cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"`+rn+`"}`)
		req := n.Complete(onem2m.Request{
			Operation: onem2m.Create, From: "Ca", To: cnt, Type: onem2m.TypeContentInstance,
			Content: csetest.Content(onem2m.TypeContentInstance, `{"con":"`+big+`"}`),
		})
		result := n.Core.Execute(n.State, req, n.Env())
		wantStatus(t, rn, result, onem2m.StatusCreated)
		n.State.Log(n.Next, n.Time, result.Effects)
		n.Next++
		ids = append(ids, `"Ca/`+rn+`"`)
	}
	n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"grp","mnm":99,"mid":[`+strings.Join(ids, ",")+`]}`)
	lines := aggregated(t, n.Retrieve("Ca", "Ca/grp/fopt/la"))
	if lines[0] != "2000 Ca/c0/la" || lines[24] != "5207 Ca/c24/la" {
		t.Errorf("members: %q", lines)
	}
	got := read(n, "Ca", "Ca/grp/fopt", rcn(4))
	if size := len(got.Response.Content); size > 25*1_000_000 {
		t.Errorf("nested results of %d bytes", size)
	}
}
