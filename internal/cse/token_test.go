package cse_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// The time of tests is 2026-11-23 07:00, which is 1795417200 in Unix seconds.
const times = `"nbf":1795410000,"exp":1795500000`

func encoded(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// unsecured is a token without a signature.
func unsecured(claims string) string {
	return encoded(`{"typ":"JWT","alg":"none"}`) + "." + encoded(claims) + "."
}

// signed is a token that key k signs.
func signed(key ed25519.PrivateKey, claims string) string {
	body := encoded(`{"typ":"JWT","alg":"EdDSA","kid":"k"}`) + "." + encoded(claims)
	return body + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(body)))
}

// claims are those of a token of an issuer for Cb with permissions.
func claims(id, issuer, permissions string) string {
	return fmt.Sprintf(`{"tkvr":"1","jti":%q,"iss":%q,"azp":"//tally.example/tally/Cb",%s,"tkps":{"pm":[%s]}}`, id, issuer, times, permissions)
}

func tokenBody(id, jwt string) string { return fmt.Sprintf(`{"tkid":%q,"tkob":%q}`, id, jwt) }

// openFor lets originators create resources of a type below the CSEBase.
func openFor(t *testing.T, n *csetest.Network, typ onem2m.ResourceType, originators string) {
	t.Helper()
	result := n.Update("Coperator", "tally/acpAdmin", onem2m.TypeACP, fmt.Sprintf(
		`{"pv":{"acr":[{"acor":["Coperator"],"acop":63},{"acor":[%s],"acop":1,"acod":[{"chty":[%d]}]}]}}`, originators, typ))
	if result.Response.Status != onem2m.StatusUpdated {
		t.Fatalf("open the CSEBase: %s %s", result.Response.Status, result.Response.Content)
	}
}

// TS-0003 clause 7.3.2.5: what the permissions of a token allow.
func TestToken(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	openFor(t, n, onem2m.TypeToken, `"Ca"`)
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c"}`)
	other := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"d"}`)
	for i, named := range []string{cnt, "tally/ae1/c", "/tally/-/ae1/c", "//tally.example/tally/" + cnt} {
		id := fmt.Sprintf("t%d@ca.example", i)
		jwt := unsecured(claims(id, "Ca", `{"ris":["`+named+`"],"pv":{"acr":[{"acor":["all"],"acop":2}]}}`))
		tk := n.MustCreate("Ca", "tally", onem2m.TypeToken, tokenBody(id, jwt))
		if got := as(n, "Cb", cnt, nil, nil); got != onem2m.StatusOriginatorHasNoPrivilege {
			t.Errorf("%s: without the token: %s", named, got)
		}
		show := func(from, to string, op onem2m.Operation, req onem2m.Request) onem2m.StatusCode {
			req.Operation, req.From, req.To = op, from, to
			if op == onem2m.Retrieve {
				return n.Read(n.State, n.Complete(req), n.Env()).Response.Status
			}
			return n.Execute(n.Complete(req)).Response.Status
		}
		byID := onem2m.Request{TokenIDs: []string{"x@y", id}}
		for what, test := range map[string]struct{ got, want onem2m.StatusCode }{
			"by Token-ID":            {show("Cb", cnt, onem2m.Retrieve, byID), onem2m.StatusOK},
			"by Local-Token-ID":      {show("Cb", cnt, onem2m.Retrieve, onem2m.Request{LocalTokenIDs: []string{tk}}), onem2m.StatusOK},
			"as it is":               {show("Cb", cnt, onem2m.Retrieve, onem2m.Request{Tokens: []string{jwt}}), onem2m.StatusOK},
			"changed":                {show("Cb", cnt, onem2m.Retrieve, onem2m.Request{Tokens: []string{unsecured(claims(id, "Ca", ""))}}), onem2m.StatusOriginatorHasNoPrivilege},
			"not a token":            {show("Cb", cnt, onem2m.Retrieve, onem2m.Request{Tokens: []string{"a.b.c"}, LocalTokenIDs: []string{cnt}}), onem2m.StatusOriginatorHasNoPrivilege},
			"by another":             {show("Cc", cnt, onem2m.Retrieve, byID), onem2m.StatusOriginatorHasNoPrivilege},
			"for another resource":   {show("Cb", other, onem2m.Retrieve, byID), onem2m.StatusOriginatorHasNoPrivilege},
			"for another operation":  {show("Cb", cnt, onem2m.Delete, byID), onem2m.StatusOriginatorHasNoPrivilege},
			"for what is above":      {show("Cb", "tally/ae1", onem2m.Retrieve, byID), onem2m.StatusOriginatorHasNoPrivilege},
			"the holder of all else": {show("Ca", cnt, onem2m.Retrieve, onem2m.Request{}), onem2m.StatusOK},
		} {
			if test.got != test.want {
				t.Errorf("%s: %s: %s, want %s", named, what, test.got, test.want)
			}
		}
		if got := n.Delete("Ca", tk).Response.Status; got != onem2m.StatusDeleted {
			t.Fatalf("delete the token: %s", got)
		}
		if got := show("Cb", cnt, onem2m.Retrieve, onem2m.Request{TokenIDs: []string{id}, Tokens: []string{jwt}}); got != onem2m.StatusOriginatorHasNoPrivilege {
			t.Errorf("%s: after its end: %s", named, got)
		}
	}
	for _, line := range n.State.Dump() {
		if strings.HasPrefix(line, "token/") {
			t.Errorf("the index still has %s", line)
		}
	}
}

// A token gives no more than its issuer could give by a policy, at the time that it is used.
func TestTokenIssuerRights(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Register("Cc", "ae3")
	openFor(t, n, onem2m.TypeToken, `"Ca","Cc"`)
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{}`)
	permission := `{"ris":["` + cnt + `"],"pv":{"acr":[{"acor":["all"],"acop":63}]}}`
	for _, issuer := range []string{"Ca", "Cc"} {
		id := "t-" + issuer + "@example"
		n.MustCreate(issuer, "tally", onem2m.TypeToken, tokenBody(id, unsecured(claims(id, issuer, permission))))
	}
	if got := as(n, "Cb", cnt, nil, []string{"t-Cc@example"}); got != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("a token of a stranger: %s", got)
	}
	if got := as(n, "Cb", cnt, nil, []string{"t-Cc@example", "t-Ca@example"}); got != onem2m.StatusOK {
		t.Errorf("a token of the holder: %s", got)
	}
	// Who may read but not change the policies gives nothing away.
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["Ca","Cc"],"acop":63}]},"pvs":{"acr":[{"acor":["Cd"],"acop":63}]}}`)
	if got := n.Update("Ca", cnt, onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`).Response.Status; got != onem2m.StatusUpdated {
		t.Fatal(got)
	}
	if got := as(n, "Cb", cnt, nil, []string{"t-Cc@example", "t-Ca@example"}); got != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("tokens of two who may not change the policies any more: %s", got)
	}
}

// TS-0003 clause 7.3.2.5: holder, audience and time.
func TestTokenValidity(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	openFor(t, n, onem2m.TypeToken, `"Ca"`)
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{}`)
	permission := `"tkps":{"pm":[{"ris":["` + cnt + `"],"pv":{"acr":[{"acor":["all"],"acop":2}]}}]}}`
	for i, test := range []struct {
		claims string
		want   onem2m.StatusCode
	}{
		{`"azp":"Cb",` + times, onem2m.StatusOK},
		{`"azp":"/tally/Cb",` + times, onem2m.StatusOK},
		{`"azp":"Cx",` + times, onem2m.StatusOriginatorHasNoPrivilege},
		{`"azp":"Cb","nbf":1795410000,"exp":1795417202`, onem2m.StatusOriginatorHasNoPrivilege},
		{`"azp":"Cb","nbf":1795499999,"exp":1795500000`, onem2m.StatusOriginatorHasNoPrivilege},
		{`"azp":"Cb","aud":["/tally"],` + times, onem2m.StatusOK},
		{`"azp":"Cb","aud":"//tally.example/tally",` + times, onem2m.StatusOK},
		{`"azp":"Cb","aud":["/other","//*/tal*"],` + times, onem2m.StatusOK},
		{`"azp":"Cb","aud":["/other"],` + times, onem2m.StatusOriginatorHasNoPrivilege},
	} {
		id := fmt.Sprintf("t%d@example", i)
		n.Time = csetest.Start
		n.MustCreate("Ca", "tally", onem2m.TypeToken, tokenBody(id, unsecured(`{"tkvr":"1","jti":"`+id+`","iss":"Ca",`+test.claims+`,`+permission)))
		n.Time = csetest.Start + 2_000_000
		if got := as(n, "Cb", cnt, nil, []string{id}); got != test.want {
			t.Errorf("%s: %s, want %s", test.claims, got, test.want)
		}
	}
}

// TS-0003 clause 7.4.2.3: a token gives roles, which need not be named then.
func TestTokenRoles(t *testing.T) {
	const id = "nurse@hospital.example"
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	openFor(t, n, onem2m.TypeToken, `"Ca"`)
	cnt := guarded(n, `{"acor":["`+id+`"],"acop":2}`)
	other := guarded(n, `{"acor":["`+id+`"],"acop":2}`)
	n.MustCreate("Coperator", "tally", onem2m.TypeToken, tokenBody("all@example", unsecured(claims("all@example", "Coperator", `{"rids":["`+id+`"]}`))))
	n.MustCreate("Coperator", "tally", onem2m.TypeToken, tokenBody("one@example", unsecured(claims("one@example", "Coperator", `{"ris":["`+cnt+`"],"rids":["`+id+`"]}`))))
	for _, test := range []struct {
		to, token string
		want      onem2m.StatusCode
	}{
		{cnt, "all@example", onem2m.StatusOK}, {other, "all@example", onem2m.StatusOK},
		{cnt, "one@example", onem2m.StatusOK}, {other, "one@example", onem2m.StatusOriginatorHasNoPrivilege},
	} {
		if got := as(n, "Cb", test.to, nil, []string{test.token}); got != test.want {
			t.Errorf("%s with %s: %s, want %s", test.to, test.token, got, test.want)
		}
	}
	if _, result := n.Create("Ca", "tally", onem2m.TypeToken, tokenBody("x@example", unsecured(claims("x@example", "Ca", `{"rids":["`+id+`"]}`)))); result.Response.Status != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("roles of one who may make no role: %s", result.Response.Status)
	}
}

// TS-0003 clauses 7.3.2.4 and 7.3.2.6: what a <token> may hold, and whose token it may be.
func TestTokenCreate(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	openFor(t, n, onem2m.TypeToken, `"Ca","Cc"`)
	n.Organisations["Cc"] = "other.example"
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	n.Keys["k"] = csetest.SigningKey{Originator: "Cdas", Public: public}
	const permission = `{"ris":["tally/ae1"],"pv":{"acr":[{"acor":["all"],"acop":2}]}}`
	const id = "t@example"
	good := unsecured(claims(id, "Ca", permission))
	dasSigned := signed(private, claims(id, "Cdas", permission))
	header := func(h, c string) string { return encoded(h) + "." + encoded(c) + "." }
	for _, test := range []struct {
		what, from, body string
		want             onem2m.StatusCode
	}{
		{"unsigned", "Ca", tokenBody(id, good), onem2m.StatusCreated},
		{"with the attributes", "Ca", `{"tkid":"t@example","tkob":"` + good + `","vr":"1","tkis":"Ca","tkhd":"//tally.example/tally/Cb","tknb":"20261123T050000","tkps":{"pm":[` + permission + `]}}`, onem2m.StatusCreated},
		{"signed by its issuer", "Ca", tokenBody(id, dasSigned), onem2m.StatusCreated},
		{"of another", "Cc", tokenBody(id, good), onem2m.StatusOriginatorHasNoPrivilege},
		{"no privilege", "Cd", tokenBody(id, unsecured(claims(id, "Cd", permission))), onem2m.StatusOriginatorHasNoPrivilege},
		{"an ID of others", "Cc", tokenBody(id, unsecured(claims(id, "Cc", permission))), onem2m.StatusOriginatorHasNoPrivilege},
		{"another holder", "Ca", `{"tkid":"t@example","tkob":"` + good + `","tkhd":"Cx"}`, onem2m.StatusBadRequest},
		{"another time", "Ca", `{"tkid":"t@example","tkob":"` + good + `","tkna":"20300101T000000"}`, onem2m.StatusBadRequest},
		{"another Token-ID", "Ca", tokenBody("u@example", good), onem2m.StatusBadRequest},
		{"signed, said to be of another", "Ca", tokenBody(id, signed(private, claims(id, "Ca", permission))), onem2m.StatusOriginatorHasNoPrivilege},
		{"a wrong signature", "Ca", tokenBody(id, dasSigned[:len(dasSigned)-4]+"AAAA"), onem2m.StatusOriginatorHasNoPrivilege},
		{"a key that is not known", "Ca", tokenBody(id, strings.Replace(dasSigned, encoded(`{"typ":"JWT","alg":"EdDSA","kid":"k"}`), encoded(`{"typ":"JWT","alg":"EdDSA","kid":"l"}`), 1)), onem2m.StatusOriginatorHasNoPrivilege},
		{"another algorithm", "Ca", tokenBody(id, header(`{"alg":"HS256"}`, claims(id, "Ca", permission))), onem2m.StatusNotImplemented},
		{"encrypted", "Ca", tokenBody(id, "a.b.c.d.e"), onem2m.StatusNotImplemented},
		{"none with a signature", "Ca", tokenBody(id, good+"AAAA"), onem2m.StatusNotImplemented},
		{"critical extensions", "Ca", tokenBody(id, header(`{"alg":"none","crit":["x"]}`, claims(id, "Ca", permission))), onem2m.StatusBadRequest},
		{"no JSON", "Ca", tokenBody(id, header(`{"alg":"none"}`, `{`)), onem2m.StatusBadRequest},
		{"no token", "Ca", tokenBody(id, "x"), onem2m.StatusBadRequest},
		{"no end", "Ca", tokenBody(id, header(`{"alg":"none"}`, `{"jti":"t@example","iss":"Ca","azp":"Cb","nbf":1}`)), onem2m.StatusBadRequest},
		{"has ended", "Ca", tokenBody(id, header(`{"alg":"none"}`, `{"jti":"t@example","iss":"Ca","azp":"Cb","nbf":1,"exp":2}`)), onem2m.StatusBadRequest},
		{"no holder", "Ca", tokenBody(id, header(`{"alg":"none"}`, `{"jti":"t@example","iss":"Ca",`+times+`}`)), onem2m.StatusBadRequest},
		{"privileges for no resource", "Ca", tokenBody(id, unsecured(claims(id, "Ca", `{"pv":{"acr":[{"acor":["all"],"acop":2}]}}`))), onem2m.StatusBadRequest},
		{"nothing", "Ca", tokenBody(id, unsecured(claims(id, "Ca", `{"ris":["tally"]}`))), onem2m.StatusBadRequest},
		{"rules that cannot be enforced", "Ca", tokenBody(id, unsecured(claims(id, "Ca", `{"ris":["tally"],"pv":{"acr":[{"acor":["all"],"acop":2,"acl":1}]}}`))), onem2m.StatusNotImplemented},
	} {
		before := n.State.Snapshot()
		_, result := n.Create(test.from, "tally", onem2m.TypeToken, test.body)
		if result.Response.Status != test.want {
			t.Errorf("%s: %s %s, want %s", test.what, result.Response.Status, result.Response.Content, test.want)
		}
		n.State.Rollback(before)
	}
	n.MustCreate("Ca", "tally", onem2m.TypeToken, tokenBody(id, good))
	if _, result := n.Create("Ca", "tally", onem2m.TypeToken, tokenBody(id, good)); result.Response.Status != onem2m.StatusConflict {
		t.Errorf("twice: %s", result.Response.Status)
	}
}

func FuzzToken(f *testing.F) {
	f.Add(unsecured(claims("t@example", "Ca", `{"ris":["tally/ae1"],"pv":{"acr":[{"acor":["all"],"acop":2}]}}`)))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, jwt string) {
		n := csetest.NewNetwork(t)
		n.Register("Ca", "ae1")
		_, result := n.Create("Coperator", "tally", onem2m.TypeToken, fmt.Sprintf(`{"tkid":"t@example","tkob":%s}`, onem2m.AppendQuote(nil, jwt)))
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		n.Read(n.State, n.Complete(onem2m.Request{Operation: onem2m.Retrieve, From: "Cb", To: "tally/ae1", Tokens: []string{jwt}, TokenIDs: []string{"t@example"}}), n.Env())
	})
}
