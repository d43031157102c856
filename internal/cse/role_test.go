package cse_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// validity is notBefore and notAfter of a role that holds throughout a test.
const validity = `"tknb":"20261101T000000","tkna":"20270101T000000"`

// role is the body of a <role> that Coperator gives.
func role(id, holder string) string {
	return fmt.Sprintf(`{"rlid":%q,"tkis":"Coperator","tkhd":%q,%s}`, id, holder, validity)
}

// as retrieves a resource with Role-IDs and Token-IDs.
func as(n *csetest.Network, from, to string, roles, tokens []string) onem2m.StatusCode {
	return n.Read(n.State, n.Complete(onem2m.Request{
		Operation: onem2m.Retrieve, From: from, To: to, RoleIDs: roles, TokenIDs: tokens,
	}), n.Env()).Response.Status
}

// guarded makes a container of Ca whose policy has one rule.
func guarded(n *csetest.Network, rule string) string {
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(rule))
	return n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`)
}

// TS-0003 clause 7.4, TS-0001 clause 9.6.2.1: a rule for a Role-ID is for who names the role and was given it.
func TestRole(t *testing.T) {
	const nurse = "nurse@hospital.example"
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := guarded(n, `{"acor":["`+nurse+`"],"acop":2}`)
	names := []string{"doctor@hospital.example", nurse}
	if got := as(n, "Cb", cnt, names, nil); got != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("a role that was not given: %s", got)
	}
	given := n.MustCreate("Coperator", "tally", onem2m.TypeRole, role(nurse, "/tally/Cb"))
	for _, test := range []struct {
		from  string
		roles []string
		want  onem2m.StatusCode
	}{
		{"Cb", names, onem2m.StatusOK},
		{"/tally/Cb", names, onem2m.StatusOK},
		{"Cb", nil, onem2m.StatusOriginatorHasNoPrivilege},
		{"Cb", []string{"doctor@hospital.example"}, onem2m.StatusOriginatorHasNoPrivilege},
		{"Cc", names, onem2m.StatusOriginatorHasNoPrivilege},
	} {
		if got := as(n, test.from, cnt, test.roles, nil); got != test.want {
			t.Errorf("%s with %q: %s, want %s", test.from, test.roles, got, test.want)
		}
	}
	if got := n.Delete("Cb", cnt).Response.Status; got != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("an operation that the rule does not have: %s", got)
	}
	// Where nobody could name a role, all count.
	env := n.Env()
	env.AllRoles = true
	if got := n.Read(n.State, n.Complete(onem2m.Request{Operation: onem2m.Retrieve, From: "Cb", To: cnt}), env).Response.Status; got != onem2m.StatusOK {
		t.Errorf("all roles: %s", got)
	}
	if got := n.Delete("Coperator", given).Response.Status; got != onem2m.StatusDeleted {
		t.Fatalf("delete the role: %s", got)
	}
	if got := as(n, "Cb", cnt, names, nil); got != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("a role that was taken away: %s", got)
	}
	for _, line := range n.State.Dump() {
		if len(line) > 5 && line[:5] == "roles" {
			t.Errorf("the index still has %s", line)
		}
	}
}

// TS-0001 clause 9.6.38: a role holds from notBefore to notAfter, and no longer than its resource.
func TestRoleValidity(t *testing.T) {
	const id = "nurse@hospital.example"
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := guarded(n, `{"acor":["`+id+`"],"acop":2}`)
	n.MustCreate("Coperator", "tally", onem2m.TypeRole,
		`{"rlid":"`+id+`","tkis":"Coperator","tkhd":"Cb","tknb":"20261124T000000","tkna":"20261126T000000","et":"20261125T000000"}`)
	const day = 24 * 3600 * 1_000_000
	for _, test := range []struct {
		days int64
		want onem2m.StatusCode
	}{{0, onem2m.StatusOriginatorHasNoPrivilege}, {1, onem2m.StatusOK}, {2, onem2m.StatusOriginatorHasNoPrivilege}, {4, onem2m.StatusOriginatorHasNoPrivilege}} {
		env := n.Env()
		env.Time = csetest.Start + test.days*day
		req := n.Complete(onem2m.Request{Operation: onem2m.Retrieve, From: "Cb", To: cnt, RoleIDs: []string{id}})
		if got := n.Read(n.State, req, env).Response.Status; got != test.want {
			t.Errorf("after %d days: %s, want %s", test.days, got, test.want)
		}
	}
}

// TS-0003 clause 7.4.2: who may give a role.
func TestRoleIssuer(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Organisations["Chead"] = "hospital.example"
	acp := n.MustCreate("Coperator", "tally", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Chead"],"acop":1,"acod":[{"chty":[31]}]},{"acor":["Coperator"],"acop":63}]},"pvs":{"acr":[{"acor":["Coperator"],"acop":63}]}}`)
	admin := n.Retrieve("Coperator", "tally/acpAdmin")
	if admin.Response.Status != onem2m.StatusOK {
		t.Fatal(admin.Response.Status)
	}
	base, err := n.State.Resource("cb")
	if err != nil {
		t.Fatal(err)
	}
	opened := *base
	opened.Attrs = append([]cse.Attr(nil), base.Attrs...)
	for i := range opened.Attrs {
		if opened.Attrs[i].Name == "acpi" {
			opened.Attrs[i].Value = []byte(`["` + acp + `"]`)
		}
	}
	if err := n.State.Put(&opened); err != nil {
		t.Fatal(err)
	}
	body := func(id, issuer, times string) string {
		return fmt.Sprintf(`{"rlid":%q,"tkis":%q,"tkhd":"Cb",%s}`, id, issuer, times)
	}
	for _, test := range []struct {
		from, to, body string
		want           onem2m.StatusCode
	}{
		{"Coperator", "tally", body("nurse@hospital.example", "Coperator", validity), onem2m.StatusCreated},
		{"Chead", "tally", body("nurse@hospital.example", "/tally/Chead", validity), onem2m.StatusCreated},
		{"Chead", "tally", body("nurse@other.example", "Chead", validity), onem2m.StatusOriginatorHasNoPrivilege},
		{"Chead", "tally", body("nurse@ward.hospital.example", "Chead", validity), onem2m.StatusOriginatorHasNoPrivilege},
		{"Chead", "tally", body("nurse@hospital.example", "Coperator", validity), onem2m.StatusOriginatorHasNoPrivilege},
		{"Chead", "tally", body("member@hospital.example", "Chead", validity), onem2m.StatusBadRequest},
		{"Ca", "tally", body("nurse@hospital.example", "Ca", validity), onem2m.StatusOriginatorHasNoPrivilege},
		{"Ca", "Ca", body("nurse@hospital.example", "Ca", validity), onem2m.StatusInvalidChildResourceType},
		{"Coperator", "tally", body("nurse", "Coperator", validity), onem2m.StatusBadRequest},
		{"Coperator", "tally", role("nurse@hospital.example", strings.Repeat("C", 1000)), onem2m.StatusNotAcceptable},
		{"Coperator", "tally", body("nurse@hospital.example", "Coperator", `"tknb":"20270101T000000","tkna":"20261201T000000"`), onem2m.StatusBadRequest},
		{"Coperator", "tally", body("nurse@hospital.example", "Coperator", `"tknb":"20250101T000000","tkna":"20260101T000000"`), onem2m.StatusBadRequest},
		{"Coperator", "tally", body("nurse@hospital.example", "Coperator", `"tknb":"20250101T000000"`), onem2m.StatusBadRequest},
	} {
		if _, result := n.Create(test.from, test.to, onem2m.TypeRole, test.body); result.Response.Status != test.want {
			t.Errorf("%s: %s: %s %s, want %s", test.from, test.body, result.Response.Status, result.Response.Content, test.want)
		}
	}
	for i := range 9 {
		_, result := n.Create("Coperator", "tally", onem2m.TypeRole, role("many@hospital.example", "Cb"))
		if got, want := result.Response.Status == onem2m.StatusCreated, i < 8; got != want {
			t.Errorf("role resource %d for the same role: %s", i, result.Response.Status)
		}
	}
}

// TS-0004 table 7.4.40.1-3: what a role gives and to whom cannot be changed.
func TestRoleUpdate(t *testing.T) {
	n := csetest.NewNetwork(t)
	ri := n.MustCreate("Coperator", "tally", onem2m.TypeRole, role("nurse@hospital.example", "Cb"))
	for _, body := range []string{`{"rlid":"chief@hospital.example"}`, `{"tkhd":"Cc"}`, `{"tkis":"Cc"}`, `{"tkna":"20300101T000000"}`, `{"rlnm":"x"}`} {
		if got := n.Update("Coperator", ri, onem2m.TypeRole, body).Response.Status; got != onem2m.StatusBadRequest {
			t.Errorf("%s: %s", body, got)
		}
	}
	if got := n.Update("Coperator", ri, onem2m.TypeRole, `{"lbl":["x"],"rltl":"tally/tk"}`).Response.Status; got != onem2m.StatusUpdated {
		t.Errorf("labels: %s", got)
	}
}

// All originators of an organisation have the role of a member there, without being given it and without naming it.
func TestMember(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	for originator, organisation := range map[string]string{"Cb": "hospital.example", "Cc": "other.example"} {
		n.Organisations[originator] = organisation
	}
	cnt := guarded(n, `{"acor":["member@hospital.example"],"acop":2}`)
	for from, want := range map[string]onem2m.StatusCode{
		"Cb": onem2m.StatusOK, "Cc": onem2m.StatusOriginatorHasNoPrivilege, "Cd": onem2m.StatusOriginatorHasNoPrivilege,
	} {
		if got := as(n, from, cnt, []string{"member@hospital.example"}, nil); got != want {
			t.Errorf("%q: %s, want %s", from, got, want)
		}
	}
	if got := as(n, "Cb", cnt, nil, nil); got != onem2m.StatusOK {
		t.Errorf("without naming it: %s", got)
	}
	n.Organisations["Cb"] = ""
	if got := as(n, "Cb", cnt, nil, nil); got != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("who left: %s", got)
	}
}

// A subscription tells its creator what the creator may read by a role, which no notification could name.
func TestRoleSubscription(t *testing.T) {
	const id = "nurse@hospital.example"
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Register("Cb", "ae2")
	cnt := guarded(n, `{"acor":["`+id+`"],"acop":3},{"acor":["Ca"],"acop":63}`)
	given := n.MustCreate("Coperator", "tally", onem2m.TypeRole, role(id, "Cb"))
	result := n.Execute(n.Complete(onem2m.Request{
		Operation: onem2m.Create, From: "Cb", To: cnt, Type: onem2m.TypeSubscription, RoleIDs: []string{id},
		Content: csetest.Content(onem2m.TypeSubscription, `{"nu":["Cb"],"enc":{"net":[3]}}`),
	}))
	if result.Response.Status != onem2m.StatusCreated {
		t.Fatalf("subscribe: %s %s", result.Response.Status, result.Response.Content)
	}
	for _, want := range []int{1, 0} {
		_, made := n.Create("Ca", cnt, onem2m.TypeContentInstance, `{"con":"1"}`)
		if len(made.Events) != want {
			t.Errorf("%d notifications, want %d", len(made.Events), want)
		}
		n.Delete("Coperator", given)
	}
}
