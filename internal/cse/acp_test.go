package cse_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// policyWith is the body of an accessControlPolicy whose privileges are rules and which only Ca may change.
func policyWith(rules string) string {
	return `{"pv":{"acr":[` + rules + `]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`
}

// operations tries every operation on a container as from and returns the set that is not refused with 4103.
func operations(n *csetest.Network, from, cnt, sourceIP string) (allowed int) {
	for _, op := range []struct {
		bit int
		req onem2m.Request
	}{
		{1, onem2m.Request{Operation: onem2m.Create, Type: onem2m.TypeContainer, Content: []byte(`{"m2m:cnt":{}}`)}},
		{2, onem2m.Request{Operation: onem2m.Retrieve}},
		{4, onem2m.Request{Operation: onem2m.Update, Content: []byte(`{"m2m:cnt":{"lbl":["x"]}}`)}},
		{8, onem2m.Request{Operation: onem2m.Delete}},
		{32, onem2m.Request{Operation: onem2m.Retrieve, Filter: &onem2m.FilterCriteria{Usage: onem2m.FilterUsageDiscovery}}},
	} {
		op.req.From, op.req.To, op.req.SourceIP = from, cnt, sourceIP
		req := n.Complete(op.req)
		var status onem2m.StatusCode
		if req.Operation == onem2m.Retrieve {
			result := n.Read(n.State, req, n.Env())
			status = result.Response.Status
			if op.bit == 32 && string(result.Response.Content) == `{"m2m:uril":[]}` {
				status = onem2m.StatusOriginatorHasNoPrivilege // discovery hides what may not be discovered
			}
		} else {
			before := n.State.Snapshot()
			status = n.Core.Execute(n.State, req, n.Env()).Response.Status
			n.State.Rollback(before)
		}
		if status != onem2m.StatusOriginatorHasNoPrivilege {
			allowed |= op.bit
		}
	}
	return allowed
}

// TS-0001 clause 9.6.2: every set of operations allows itself and nothing more.
func TestPolicyOperations(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	for acop := 1; acop <= 63; acop++ {
		acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(fmt.Sprintf(`{"acor":["Cb"],"acop":%d}`, acop)))
		cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`)
		if got, want := operations(n, "Cb", cnt, ""), acop&^16; got&^32 != want&^32 {
			t.Errorf("acop %d allows %d", acop, got)
		}
		if got := operations(n, "Cc", cnt, "") &^ 32; got != 0 {
			t.Errorf("acop %d allows another originator %d", acop, got)
		}
		if got := operations(n, "Ca", cnt, "") &^ 32; got != 0 {
			t.Errorf("acop %d allows the creator %d, whom no rule names", acop, got)
		}
	}
}

// TS-0001 clause 9.6.2.2: the forms of accessControlOriginators.
func TestPolicyOriginators(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Register("Cb", "ae2")
	byID := n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"rn":"byID","mnm":9,"mid":["Ca"]}`)
	for _, test := range []struct {
		acor, from string
		want       bool
	}{
		{"Cb", "Cb", true},
		{"Cb", "/tally/Cb", true},
		{"Cb", "//tally.example/tally/Cb", true},
		{"/tally/Cb", "Cb", true},
		{"//tally.example/tally/Cb", "Cb", true},
		{"/other/Cb", "Cb", false},
		{"Cb", "/other/Cb", false},
		{"/other/Cb", "/other/Cb", true},
		{"/other/*", "/other/Cb", true},
		{"/other/*", "Cb", false},
		{"/oth*/C*", "/other/Cb", true},
		{"/other*", "/other/Cb", false}, // CSEs
		{"/*", "/other/Cb", false},
		{"/*", "/Sb", true},
		{"/*/*", "/Sb", false},
		{"C*", "C/b", false},
		{"all", "Cb", true},
		{"*", "Cb", true},
		{"C*", "Cb", true},
		{"S*", "Cb", false},
		{"C*b", "Cb", true},
		{"C*c", "Cb", false},
		{"cb", "Cb", false},
		{"Cb", "cb", false},
		{"Cb", "Cbb", false},
		{byID, "Ca", true},
		{"tally/ae1/byID", "Ca", true},
		{byID, "Cb", false},
		{"grpnone", "Cb", false},
		{"tally/ae1", "Ca", false},
	} {
		acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(fmt.Sprintf(`{"acor":[%q],"acop":2}`, test.acor)))
		cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`)
		if got := n.Retrieve(test.from, cnt).Response.Status == onem2m.StatusOK; got != test.want {
			t.Errorf("acor %s for %s: allowed %v, want %v", test.acor, test.from, got, test.want)
		}
	}
	// The members of a group may be named by their structured address.
	other := n.MustCreate("Cb", "Cb", onem2m.TypeGroup, `{"rn":"byPath","mnm":9,"mid":["tally/ae2"]}`)
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(`{"acor":["`+other+`"],"acop":2}`))
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`)
	if status := n.Retrieve("Cb", cnt).Response.Status; status != onem2m.StatusOK {
		t.Errorf("member named by its address: %d", status)
	}
}

// TS-0001 clauses 9.6.2.3 and 9.6.2.4: contexts and object details limit a rule; rules and contexts are alternatives,
// the parts of one context are not.
func TestPolicyConditions(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	const now, never = `"* * * * * * *"`, `"0 0 0 1 1 * 2001"`
	for _, test := range []struct {
		rules, ip string
		want      int
	}{
		{rules: `{"acor":["Cb"],"acop":2},{"acor":["Cb"],"acop":4}`, want: 6},
		{rules: `{"acor":["Cc"],"acop":63},{"acor":["Cb"],"acop":8}`, want: 8},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"actw":[` + now + `]}]}`, want: 2},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"actw":[` + never + `]}]}`, want: 0},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"actw":[` + never + `,` + now + `]}]}`, want: 2},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"actw":[` + never + `]},{"actw":[` + now + `]}]}`, want: 2},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"acip":{"ipv4":["10.0.0.1"]}}]}`, ip: "10.0.0.1", want: 2},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"acip":{"ipv4":["10.0.0.1"]}}]}`, ip: "10.0.0.2", want: 0},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"acip":{"ipv4":["10.0.0.1"]}}]}`, ip: "", want: 0},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"acip":{"ipv4":["10.0.0.1"]}}]}`, ip: "nonsense", want: 0},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"acip":{"ipv4":["10.0.0.0/8"]}}]}`, ip: "10.9.8.7", want: 2},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"acip":{"ipv4":["10.0.0.0/8"]}}]}`, ip: "::ffff:10.9.8.7", want: 2},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"acip":{"ipv6":["2001:db8::/32"]}}]}`, ip: "2001:db8::5", want: 2},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"acip":{"ipv6":["2001:db8::/32"]}}]}`, ip: "2001:db9::5", want: 0},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"actw":[` + never + `],"acip":{"ipv4":["10.0.0.1"]}}]}`, ip: "10.0.0.1", want: 0},
		{rules: `{"acor":["Cb"],"acop":2,"acco":[{"actw":[` + now + `],"acip":{"ipv4":["10.0.0.1"]}}]}`, ip: "10.0.0.1", want: 2},
		{rules: `{"acor":["Cb"],"acop":15,"acod":[{"ty":3,"chty":[3]}]}`, want: 15},
		{rules: `{"acor":["Cb"],"acop":15,"acod":[{"ty":3,"chty":[4]}]}`, want: 14},
		{rules: `{"acor":["Cb"],"acop":15,"acod":[{"ty":2,"chty":[3]}]}`, want: 0},
		{rules: `{"acor":["Cb"],"acop":15,"acod":[{"chty":[4]},{"chty":[3]}]}`, want: 15},
		{rules: ``, want: 0},
	} {
		acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(test.rules))
		cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`)
		if got := operations(n, "Cb", cnt, test.ip) &^ 32; got != test.want {
			t.Errorf("%s from %q allows %d, want %d", test.rules, test.ip, got, test.want)
		}
	}
	for rules, status := range map[string]onem2m.StatusCode{
		`{"acor":["Cb"],"acop":2,"acco":[{"acl":3}]}`:                                    onem2m.StatusNotImplemented,
		`{"acor":["Cb"],"acop":2,"acco":[{"acui":["x"]}]}`:                               onem2m.StatusNotImplemented,
		`{"acor":["Cb"],"acop":2,"acod":[{"chty":[3],"spty":{"cnd":"x"}}]}`:              onem2m.StatusNotImplemented,
		`{"acor":["Cb"],"acop":64}`:                                                      onem2m.StatusBadRequest,
		`{"acor":["Cb"],"acop":0}`:                                                       onem2m.StatusBadRequest,
		`{"acor":[],"acop":2}`:                                                           onem2m.StatusBadRequest,
		`{"acop":2}`:                                                                     onem2m.StatusBadRequest,
		`{"acor":["Cb"],"acop":2,"acco":[{"actw":["* * *"]}]}`:                           onem2m.StatusBadRequest,
		`{"acor":["Cb"],"acop":2,"acco":[{"acip":{"ipv4":["10.0.0.300"]}}]}`:             onem2m.StatusBadRequest,
		`{"acor":["Cb"],"acop":2,"ac\u0063o":[{"actw":["0 0 0 1 1 * 2001"]}],"acop2":1}`: onem2m.StatusBadRequest,
	} {
		if _, result := n.Create("Ca", "Ca", onem2m.TypeACP, policyWith(rules)); result.Response.Status != status {
			t.Errorf("%s: %d %s, want %d", rules, result.Response.Status, result.Response.Content, status)
		}
	}
}

// A condition whose name is written with escapes still limits its rule.
func TestPolicyEscapedNames(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP,
		policyWith(`{"acor":["C\u0062"], "acop":2, "ac\u0063o":[{"act\u0077":["0 0 0 1 1 * 2001"]}]},{"acor":["Cc"],"acop":2}`))
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`)
	for from, want := range map[string]onem2m.StatusCode{"Cb": onem2m.StatusOriginatorHasNoPrivilege, "Cc": onem2m.StatusOK} {
		if got := n.Retrieve(from, cnt).Response.Status; got != want {
			t.Errorf("%s: %d, want %d", from, got, want)
		}
	}
}

// TS-0001 clause 9.6.1.3.2: without a policy only the creator or the custodian has access; nothing is open.
func TestDefaultPrivileges(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Register("Cb", "ae2")
	all := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(`{"acor":["Cb"],"acop":63}`))
	shared := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+all+`"]}`)
	for _, test := range []struct {
		name, as, to, body string
		want               map[string]int
	}{
		{"creator", "Ca", "Ca", `{}`, map[string]int{"Ca": 15, "Cb": 0, "Coperator": 0, "/tally": 0}},
		{"creator below another's", "Cb", shared, `{}`, map[string]int{"Ca": 0, "Cb": 15}},
		{"custodian", "Ca", "Ca", `{"cstn":"Cb"}`, map[string]int{"Ca": 0, "Cb": 15}},
		{"custodian in another form", "Ca", "Ca", `{"cstn":"/tally/Cb"}`, map[string]int{"Ca": 0, "Cb": 15}},
	} {
		cnt := n.MustCreate(test.as, test.to, onem2m.TypeContainer, test.body)
		for from, want := range test.want {
			if got := operations(n, from, cnt, "") &^ 32; got != want {
				t.Errorf("%s: %s is allowed %d, want %d", test.name, from, got, want)
			}
		}
	}
	// An AE is its own creator, even when the CSE chose its AE-ID.
	if got := n.Retrieve("Ca", "Ca").Response.Status; got != onem2m.StatusOK {
		t.Errorf("AE reads itself: %d", got)
	}
	if got := n.Retrieve("Cb", "Ca").Response.Status; got != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("another reads the AE: %d", got)
	}
	if got := n.Retrieve("Ca", "tally").Response.Status; got != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("an AE reads the CSEBase: %d", got)
	}
	if got := n.Retrieve("Coperator", "tally").Response.Status; got != onem2m.StatusOK {
		t.Errorf("the administrator reads the CSEBase: %d", got)
	}
	// A link to a policy that was deleted is no link.
	gone := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(`{"acor":["Cb"],"acop":63}`))
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+gone+`"]}`)
	n.Delete("Ca", gone)
	if a, b := operations(n, "Ca", cnt, "")&^32, operations(n, "Cb", cnt, "")&^32; a != 15 || b != 0 {
		t.Errorf("with its policy gone: creator %d, other %d", a, b)
	}
}

// A contentInstance is governed by its container (TS-0001 clause 9.6.7).
func TestInstanceAccess(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(`{"acor":["Cb"],"acop":1},{"acor":["Cc"],"acop":2},{"acor":["Cd"],"acop":2,"acod":[{"ty":4,"chty":[4]}]}`))
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`)
	cin := n.MustCreate("Cb", cnt, onem2m.TypeContentInstance, `{"con":"1"}`)
	for from, want := range map[string][2]onem2m.StatusCode{
		"Ca": {4103, 4103}, "Cb": {4103, 4103}, "Cc": {2000, 2000}, "Cd": {2000, 4103},
	} {
		if got := n.Retrieve(from, cin).Response.Status; got != want[0] {
			t.Errorf("%s reads the instance: %d, want %d", from, got, want[0])
		}
		if got := n.Retrieve(from, cnt).Response.Status; got != want[1] {
			t.Errorf("%s reads the container: %d, want %d", from, got, want[1])
		}
		if got := n.Delete(from, cin).Response.Status; got != onem2m.StatusOriginatorHasNoPrivilege {
			t.Errorf("%s deletes the instance: %d", from, got)
		}
	}
}

// selfPrivileges alone decide about the policy itself (TS-0001 clause 9.6.2.1) and about changing the links to it
// (TS-0001 clause 9.6.1.3.2).
func TestSelfPrivileges(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP,
		`{"pv":{"acr":[{"acor":["Cb"],"acop":63}]},"pvs":{"acr":[{"acor":["Cc"],"acop":6}]}}`)
	for from, want := range map[string][3]onem2m.StatusCode{
		"Ca": {4103, 4103, 4103}, "Cb": {4103, 4103, 4103}, "Cc": {2000, 2004, 4103},
	} {
		got := [3]onem2m.StatusCode{
			n.Retrieve(from, acp).Response.Status,
			n.Update(from, acp, onem2m.TypeACP, `{"lbl":["x"]}`).Response.Status,
			n.Delete(from, acp).Response.Status,
		}
		if got != want {
			t.Errorf("%s on the policy: %v, want %v", from, got, want)
		}
	}
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`)
	for _, test := range []struct {
		from, body string
		want       onem2m.StatusCode
	}{
		{"Cb", `{"acpi":[]}`, onem2m.StatusOriginatorHasNoPrivilege}, // UPDATE in privileges is not enough
		{"Ca", `{"acpi":[]}`, onem2m.StatusOriginatorHasNoPrivilege},
		{"Cc", `{"lbl":["x"]}`, onem2m.StatusOriginatorHasNoPrivilege},
		{"Cc", `{"acpi":[],"lbl":["x"]}`, onem2m.StatusBadRequest},
		{"Cc", `{"acpi":["acpnone"]}`, onem2m.StatusBadRequest},
		{"Cc", `{"acpi":["tally/ae1"]}`, onem2m.StatusBadRequest},
		{"Cb", `{"lbl":["x"]}`, onem2m.StatusUpdated},
		{"Cc", `{"acpi":null}`, onem2m.StatusUpdated},
		{"Cc", `{"acpi":["` + acp + `"]}`, onem2m.StatusOriginatorHasNoPrivilege}, // now the creator decides
		{"Ca", `{"acpi":["` + acp + `"]}`, onem2m.StatusUpdated},
	} {
		if got := n.Update(test.from, cnt, onem2m.TypeContainer, test.body).Response; got.Status != test.want {
			t.Errorf("%s updates %s: %d %s, want %d", test.from, test.body, got.Status, got.Content, test.want)
		}
	}
}

// TS-0001 clause 9.6.9: second, minute, hour, day of month, month, day of week, year. The time is Monday
// 2026-11-23 07:00:00 UTC.
func TestTimeWindow(t *testing.T) {
	for entry, want := range map[string]bool{
		"* * * * * * *":           true,
		"0 0 7 23 11 1 2026":      true,
		"1 0 7 23 11 1 2026":      false,
		"* 1 * * * * *":           false,
		"* * 0-6 * * * *":         false,
		"* * 6-8 * * * *":         true,
		"* * 5,7 * * * *":         true,
		"* * */7 * * * *":         true,
		"* * */4 * * * *":         false,
		"* * 1-9/3 * * * *":       true,
		"* * * 1-22,24-31 * * *":  false,
		"* * * * 1-10 * *":        false,
		"* * * * * 1-5 *":         true,
		"* * * * * 0,6 *":         false,
		"* * * * * 7 *":           false,
		"* * * * * * 2020-2025":   false,
		"* * * * * * 2020-2030/2": true,
		"* * * * * * 2021-2030/2": false,
		"*  *   * * * * 2026":     true,
	} {
		in, ok := cse.InWindow(entry, csetest.Start)
		if !ok || in != want {
			t.Errorf("%q: in %v, readable %v, want %v", entry, in, ok, want)
		}
	}
	if in, ok := cse.InWindow("* * * * * 7 *", csetest.Start-24*3600*1_000_000); !in || !ok {
		t.Error("day of week 7 is not Sunday")
	}
	for _, entry := range []string{
		"", "* * * * * *", "* * * * * * * *", "60 * * * * * *", "* * 24 * * * *", "* * * 0 * * *", "* * * * 13 * *",
		"* * * * * 8 *", "* * * * * * 10000", "-1 * * * * * *", "a * * * * * *", "5-1 * * * * * *", "1, * * * * * *",
		"*/0 * * * * * *", "1/2 * * * * * *", "1-2-3 * * * * * *",
	} {
		if _, ok := cse.InWindow(entry, csetest.Start); ok {
			t.Errorf("%q was accepted", entry)
		}
	}
}

func TestMatchWildcard(t *testing.T) {
	for _, test := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "abc", true}, {"a*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "abcd", false},
		{"*b*", "abc", true}, {"*b*b*", "abc", false}, {"a**c", "abc", true}, {"", "a", false}, {"", "", true},
		{"ab", "abc", false}, {"*aab", "aaaaab", true}, {"a*b*c", "aXbYbZc", true},
	} {
		if got := cse.MatchWildcard(test.pattern, test.s); got != test.want {
			t.Errorf("%q on %q: %v", test.pattern, test.s, got)
		}
	}
}

// TS-0001 clause 9.6.2.1, accessControlAttributes: a rule for some attributes allows an operation on these alone.
func TestAttributeRules(t *testing.T) {
	const all = `["ty","ri","pi","rn","ct","lt","et","st","cni","cbs","acpi","lbl"]`
	retrieve := func(atrl ...string) onem2m.Request {
		return onem2m.Request{Operation: onem2m.Retrieve, Attributes: atrl}
	}
	write := func(op onem2m.Operation, body string) onem2m.Request {
		req := onem2m.Request{Operation: op, Content: csetest.Content(onem2m.TypeContainer, body)}
		if op == onem2m.Create {
			req.Type = onem2m.TypeContainer
		}
		return req
	}
	filtered := retrieve("lbl")
	filtered.Filter = &onem2m.FilterCriteria{Attributes: []onem2m.AttributeFilter{{Name: "mni", Value: "7"}}}
	assigned := write(onem2m.Create, `{"lbl":["y"]}`)
	assigned.ResultContent = onem2m.ResultContentModifiedAttributes
	instance := onem2m.Request{Operation: onem2m.Create, Type: onem2m.TypeContentInstance, Content: []byte(`{"m2m:cin":{"con":"1"}}`)}
	latest := retrieve()
	latest.To = "/la"
	for _, test := range []struct {
		rules string
		req   onem2m.Request
		want  onem2m.StatusCode
		shows string // of the response, when it is a success
	}{
		{`{"acor":["Cb"],"acop":2,"aca":["lbl"]}`, retrieve(), 4103, ""},
		{`{"acor":["Cb"],"acop":2,"aca":["lbl"]}`, retrieve("lbl"), 2000, `{"lbl":["x"]}`},
		{`{"acor":["Cb"],"acop":2,"aca":["lbl"]}`, retrieve("lbl", "rn"), 4103, ""},
		{`{"acor":["Cb"],"acop":2,"aca":["lbl"]}`, filtered, 4103, ""},
		{`{"acor":["Cc"],"acop":2,"aca":["lbl"]}`, retrieve("lbl"), 4103, ""},
		{`{"acor":["Cb"],"acop":2,"aca":["lbl"]},{"acor":["Cb"],"acop":2,"aca":["rn"]}`, retrieve("lbl", "rn"), 2000, `"rn"`},
		{`{"acor":["Cb"],"acop":2,"aca":["lbl"]},{"acor":["Cb"],"acop":2}`, retrieve(), 2000, `"ct"`},
		{`{"acor":["Cb"],"acop":2,"aca":` + all + `}`, retrieve(), 2000, `"ct"`},
		{`{"acor":["Cb"],"acop":2,"aca":` + all + `}`, latest, 4103, ""},
		{`{"acor":["Cb"],"acop":2,"aca":[]}`, retrieve("lbl"), 4103, ""},
		{`{"acor":["Cb"],"acop":8,"aca":["lbl"]}`, onem2m.Request{Operation: onem2m.Delete}, 4103, ""},
		{`{"acor":["Cb"],"acop":8,"aca":` + all + `}`, onem2m.Request{Operation: onem2m.Delete}, 2002, ""},
		{`{"acor":["Cb"],"acop":4,"aca":["lbl"]}`, write(onem2m.Update, `{"mni":3}`), 4103, ""},
		{`{"acor":["Cb"],"acop":4,"aca":["lbl"]}`, write(onem2m.Update, `{"lbl":["y"]}`), 2004, `{"lbl":["y"]}`},
		{`{"acor":["Cb"],"acop":4,"aca":["lbl","acpi"]}`, write(onem2m.Update, `{"acpi":null}`), 4103, ""},
		{`{"acor":["Cb"],"acop":1,"aca":["lbl"]}`, write(onem2m.Create, `{"lbl":["y"],"mni":3}`), 4103, ""},
		{`{"acor":["Cb"],"acop":1,"aca":["lbl","mni"]}`, write(onem2m.Create, `{"lbl":["y"],"mni":3}`), 2001, `{"lbl":["y"],"mni":3}`},
		{`{"acor":["Cb"],"acop":1,"aca":["lbl"]}`, assigned, 4103, ""},
		{`{"acor":["Cb"],"acop":1,"aca":["con"]}`, instance, 2001, `{"con":"1"}`},
		{`{"acor":["Cb"],"acop":1,"aca":["lbl"]}`, instance, 4103, ""},
	} {
		n := csetest.NewNetwork(t)
		n.Register("Ca", "ae1")
		acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(test.rules+`,{"acor":["Ca"],"acop":63}`))
		cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+acp+`"],"lbl":["x"]}`)
		n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"0"}`)
		req := test.req
		req.From, req.To = "Cb", cnt+req.To
		var got onem2m.Response
		if req.Operation == onem2m.Retrieve {
			got = n.Read(n.State, n.Complete(req), n.Env()).Response
		} else {
			got = n.Execute(n.Complete(req)).Response
		}
		if got.Status != test.want || !strings.Contains(string(got.Content), test.shows) {
			t.Errorf("%s: %d: %d %s, want %d with %s", test.rules, req.Operation, got.Status, got.Content, test.want, test.shows)
		}
	}
}
