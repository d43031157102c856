package cse_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

func explain(t *testing.T, n *csetest.Network, q cse.Question) *cse.Explanation {
	t.Helper()
	env := n.Env()
	env.MayRegister = true
	x, err := n.Explain(n.State, &q, env)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return x
}

// What decides, by name.
func TestExplain(t *testing.T) {
	const nurse = "nurse@hospital.example"
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Organisations["Cm"] = "hospital.example"
	openFor(t, n, onem2m.TypeToken, `"Ca"`)
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"rn":"p","pv":{"acr":[{"acor":["Cb"],"acop":2},{"acor":["`+nurse+`"],"acop":4},{"acor":["Cd"],"acop":2,"acco":[{"acip":{"ipv4":["10.0.0.1"]}}]},`+
		`{"acor":["Ce"],"acop":1,"acod":[{"chty":[4]}]},{"acor":["Cf"],"acop":2,"aca":["lbl"]},{"acor":["member@hospital.example"],"acop":2}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c","acpi":["`+acp+`"]}`)
	n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"own"}`)
	n.MustCreate("Coperator", "tally", onem2m.TypeRole, role(nurse, "Cc"))
	n.MustCreate("Ca", "tally", onem2m.TypeToken, tokenBody("t@example", unsecured(claims("t@example", "Ca", `{"ris":["`+cnt+`"],"pv":{"acr":[{"acor":["all"],"acop":8}]}}`))))
	for _, test := range []struct {
		q       cse.Question
		allowed bool
		because string
	}{
		{cse.Question{Originator: "Cb", Operation: "RETRIEVE", To: "tally/ae1/c"}, true, "rule 1 of pv (tally/ae1/p) allows it, for Cb"},
		{cse.Question{Originator: "/tally/Cb", Operation: "RETRIEVE", To: cnt}, true, "rule 1 of pv (tally/ae1/p) allows it, for Cb"},
		{cse.Question{Originator: "Cb", Operation: "RETRIEVE", To: cnt + "/la"}, true, "rule 1"},
		{cse.Question{Originator: "Cb", Operation: "DELETE", To: cnt}, false, "none of the 6 rules that were asked allows it"},
		{cse.Question{Originator: "Cc", Operation: "UPDATE", To: cnt}, false, "none of the 6 rules"},
		{cse.Question{Originator: "Cc", Operation: "UPDATE", To: cnt, RoleIDs: []string{nurse}}, true, "rule 2 of pv (tally/ae1/p) allows it, for " + nurse},
		{cse.Question{Originator: "Cd", Operation: "RETRIEVE", To: cnt}, false, "none of the"},
		{cse.Question{Originator: "Cd", Operation: "RETRIEVE", To: cnt, SourceIP: "10.0.0.1"}, true, "rule 3"},
		{cse.Question{Originator: "Ce", Operation: "CREATE", To: cnt, Type: onem2m.TypeContainer}, false, "none of the"},
		{cse.Question{Originator: "Ce", Operation: "CREATE", To: cnt, Type: onem2m.TypeContentInstance}, true, "rule 4"},
		{cse.Question{Originator: "Cf", Operation: "RETRIEVE", To: cnt}, false, "none of the"},
		{cse.Question{Originator: "Cm", Operation: "RETRIEVE", To: cnt}, true, "rule 6 of pv (tally/ae1/p) allows it, for member@hospital.example"},
		{cse.Question{Originator: "Cb", Operation: "DELETE", To: cnt, TokenIDs: []string{"t@example"}}, true, "rule 1 of pv"},
		{cse.Question{Originator: "Cc", Operation: "DELETE", To: cnt, TokenIDs: []string{"t@example"}}, false, "none of the"},
		{cse.Question{Originator: "Cb", Operation: "POLICIES", To: cnt}, false, "none of the 1 rules"},
		{cse.Question{Originator: "Ca", Operation: "POLICIES", To: cnt}, true, "rule 1 of pvs (tally/ae1/p) allows it, for Ca"},
		{cse.Question{Originator: "Ca", Operation: "UPDATE", To: "tally/ae1/own"}, true, "it links no policy, so all is allowed to who made it, Ca"},
		{cse.Question{Originator: "Cb", Operation: "DISCOVERY", To: "tally/ae1/own"}, false, "it links no policy, so all is allowed to who made it, Ca"},
		{cse.Question{Originator: "Cb", Operation: "RETRIEVE", To: "tally/nothing"}, false, "does not exist"},
		{cse.Question{Originator: "Cz", Operation: "CREATE", To: "tally", Type: onem2m.TypeAE}, true, "register itself"},
		{cse.Question{Originator: "Cb", Operation: "RETRIEVE", To: acp}, false, "none of the 1 rules"},
	} {
		x := explain(t, n, test.q)
		if x.Allowed != test.allowed || !strings.Contains(x.Because, test.because) {
			t.Errorf("%+v: allowed %v because %s\n%+v", test.q, x.Allowed, x.Because, x.Steps)
		}
		// The explanation is what happens.
		if op := map[string]onem2m.Operation{"RETRIEVE": onem2m.Retrieve, "DELETE": onem2m.Delete}[test.q.Operation]; op != 0 && !strings.HasSuffix(test.q.To, "/la") {
			req := n.Complete(onem2m.Request{Operation: op, From: test.q.Originator, To: test.q.To, RoleIDs: test.q.RoleIDs, TokenIDs: test.q.TokenIDs, SourceIP: test.q.SourceIP})
			var status onem2m.StatusCode
			if op == onem2m.Retrieve {
				status = n.Read(n.State, req, n.Env()).Response.Status
			} else {
				before := n.State.Snapshot()
				status = n.Core.Execute(n.State, req, n.Env()).Response.Status
				n.State.Rollback(before)
			}
			if status.Success() != x.Allowed {
				t.Errorf("%+v: explained as %v, answered with %s", test.q, x.Allowed, status)
			}
		}
	}
	for _, q := range []cse.Question{{Originator: "Cb", Operation: "READ", To: cnt}, {Operation: "RETRIEVE", To: cnt}, {Originator: "Cb", Operation: "CREATE", To: cnt}} {
		if _, err := n.Explain(n.State, &q, n.Env()); err == nil {
			t.Errorf("%+v makes sense", q)
		}
	}
}

// An originator that asks about itself is told nothing that it may not see.
func TestExplainHides(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"rn":"p","pv":{"acr":[{"acor":["Csecret","Ca"],"acop":6},{"acor":["Cb"],"acop":2}]},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`)
	n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c","acpi":["`+acp+`"]}`)
	n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"own"}`)
	there := explain(t, n, cse.Question{Originator: "Cb", Operation: "RETRIEVE", To: "tally/ae1/own", Viewer: "Cb"})
	not := explain(t, n, cse.Question{Originator: "Cb", Operation: "RETRIEVE", To: "tally/ae1/nix", Viewer: "Cb"})
	there.To, not.To = "", ""
	if a, b := fmt.Sprintf("%+v", there), fmt.Sprintf("%+v", not); a != b {
		t.Errorf("what exists and may not be seen: %s\nwhat does not exist: %s", a, b)
	}
	for _, op := range []string{"RETRIEVE", "DELETE"} {
		x, err := json.Marshal(explain(t, n, cse.Question{Originator: "Cb", Operation: op, To: "tally/ae1/c", Viewer: "Cb"}))
		if err != nil || strings.Contains(string(x), "Csecret") || strings.Contains(string(x), "ae1/p") {
			t.Errorf("%s: %s %v", op, x, err)
		}
	}
	if x := explain(t, n, cse.Question{Originator: "Cb", Operation: "DELETE", To: "tally/ae1/c", Viewer: "Ca"}); !strings.Contains(x.Steps[1].Says, "Csecret") {
		t.Errorf("who may retrieve the policy is not told: %+v", x.Steps)
	}
}
