package cse_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// TS-0004 clause 7.3.2.1: what every request must have.
func TestPrimitive(t *testing.T) {
	n := csetest.NewNetwork(t)
	for name, test := range map[string]struct {
		change func(*onem2m.Request)
		want   onem2m.StatusCode
	}{
		"no request identifier":   {func(r *onem2m.Request) { r.RequestID = "" }, onem2m.StatusBadRequest},
		"no release version":      {func(r *onem2m.Request) { r.ReleaseVersion = "" }, onem2m.StatusReleaseVersionNotSupported},
		"unknown release":         {func(r *onem2m.Request) { r.ReleaseVersion = "1" }, onem2m.StatusReleaseVersionNotSupported},
		"release 2a":              {func(r *onem2m.Request) { r.ReleaseVersion = "2a" }, onem2m.StatusCreated},
		"release 3":               {func(r *onem2m.Request) { r.ReleaseVersion = "3" }, onem2m.StatusCreated},
		"release 5":               {func(r *onem2m.Request) { r.ReleaseVersion = "5" }, onem2m.StatusCreated},
		"no originator":           {func(r *onem2m.Request) { r.From = "" }, onem2m.StatusBadRequest},
		"originator with blanks":  {func(r *onem2m.Request) { r.From = "C x" }, onem2m.StatusBadRequest},
		"long originator":         {func(r *onem2m.Request) { r.From = strings.Repeat("C", 999) }, onem2m.StatusBadRequest},
		"no target":               {func(r *onem2m.Request) { r.To = "" }, onem2m.StatusBadRequest},
		"unknown target":          {func(r *onem2m.Request) { r.To = "nowhere" }, onem2m.StatusNotFound},
		"another CSE":             {func(r *onem2m.Request) { r.To = "/other/cb" }, onem2m.StatusNotFound},
		"no resource type":        {func(r *onem2m.Request) { r.Type = 0 }, onem2m.StatusBadRequest},
		"unassigned type":         {func(r *onem2m.Request) { r.Type = 999 }, onem2m.StatusBadRequest},
		"type of others":          {func(r *onem2m.Request) { r.Type = 48 }, onem2m.StatusNotImplemented},
		"CSEBase":                 {func(r *onem2m.Request) { r.Type = onem2m.TypeCSEBase }, onem2m.StatusOperationNotAllowed},
		"virtual type":            {func(r *onem2m.Request) { r.Type = onem2m.TypeLatest }, onem2m.StatusBadRequest},
		"no content":              {func(r *onem2m.Request) { r.Content = nil }, onem2m.StatusBadRequest},
		"content is no JSON":      {func(r *onem2m.Request) { r.Content = []byte("{") }, onem2m.StatusBadRequest},
		"content of another type": {func(r *onem2m.Request) { r.Content = []byte(`{"m2m:ae":{}}`) }, onem2m.StatusBadRequest},
		"wrong result content":    {func(r *onem2m.Request) { r.ResultContent = onem2m.ResultContentChildRefs }, onem2m.StatusBadRequest},
		"filter criteria":         {func(r *onem2m.Request) { r.Filter = &onem2m.FilterCriteria{} }, onem2m.StatusBadRequest},
		"retrieve":                {func(r *onem2m.Request) { r.Operation = onem2m.Retrieve }, onem2m.StatusBadRequest},
		"blocking":                {func(r *onem2m.Request) { r.ResponseType = 3 }, onem2m.StatusCreated},
		"non-blocking, sync":      {func(r *onem2m.Request) { r.ResponseType = 1 }, onem2m.StatusAcceptedNonBlockingRequestSync},
		"non-blocking, async":     {func(r *onem2m.Request) { r.ResponseType = 2 }, onem2m.StatusAcceptedNonBlockingRequestAsync},
		"event category":          {func(r *onem2m.Request) { r.EventCategory = "100" }, onem2m.StatusCreated},
		"unknown category":        {func(r *onem2m.Request) { r.EventCategory = "5" }, onem2m.StatusBadRequest},
		"unknown response type":   {func(r *onem2m.Request) { r.ResponseType = 6 }, onem2m.StatusBadRequest},
		"unknown ID type":         {func(r *onem2m.Request) { r.DesiredIDType = 3 }, onem2m.StatusBadRequest},
		"expired request":         {func(r *onem2m.Request) { r.RequestExpiration = "20261123T065900" }, onem2m.StatusRequestTimeout},
		"expired, relative":       {func(r *onem2m.Request) { r.RequestExpiration = "-5" }, onem2m.StatusRequestTimeout},
		"not expired":             {func(r *onem2m.Request) { r.RequestExpiration = "5000" }, onem2m.StatusCreated},
		"unreadable expiration":   {func(r *onem2m.Request) { r.RequestExpiration = "soon" }, onem2m.StatusBadRequest},
		"unreadable result time":  {func(r *onem2m.Request) { r.ResultExpiration = "soon" }, onem2m.StatusBadRequest},
		"to be done later":        {func(r *onem2m.Request) { r.OperationExecution = "5000" }, onem2m.StatusNotImplemented},
		"good":                    {func(*onem2m.Request) {}, onem2m.StatusCreated},
	} {
		req := n.Complete(onem2m.Request{
			Operation: onem2m.Create, From: "Coperator", To: "tally", Type: onem2m.TypeContainer, Content: []byte(`{"m2m:cnt":{}}`),
		})
		test.change(req)
		early := n.Check(n.State, req, n.Env())
		if got := n.Execute(req).Response; got.Status != test.want || got.RequestID != req.RequestID {
			t.Errorf("%s: %d %s, want %d", name, got.Status, got.Content, test.want)
		}
		if (early == nil) != test.want.Success() || early != nil && early.Status != test.want {
			t.Errorf("%s: the check before ordering says %+v, want %d", name, early, test.want)
		}
	}
}

// createCase is one CREATE and the status it must give.
type createCase struct {
	from, to string
	typ      onem2m.ResourceType
	body     string
	want     onem2m.StatusCode
}

func runCreates(t *testing.T, n *csetest.Network, cases []createCase) {
	t.Helper()
	for _, test := range cases {
		req := n.Complete(onem2m.Request{
			Operation: onem2m.Create, From: test.from, To: test.to, Type: test.typ, Content: csetest.Content(test.typ, test.body),
		})
		early := n.Check(n.State, req, n.Env())
		got := n.Execute(req).Response
		if got.Status != test.want {
			t.Errorf("%s below %s as %s: %s: %d %s, want %d", test.typ, test.to, test.from, test.body, got.Status, got.Content, test.want)
		}
		if (early == nil) != (got.Status == onem2m.StatusCreated) || early != nil && early.Status != got.Status {
			t.Errorf("%s: the check before ordering says %+v, execution %d", test.body, early, got.Status)
		}
	}
}

// TS-0004 clause 7.4.5.2.1: registration of an AE.
func TestCreateAE(t *testing.T) {
	n := csetest.NewNetwork(t)
	const body = `{"api":"Ntest","rr":true,"srv":["4"]}`
	runCreates(t, n, []createCase{
		{"Ca", "tally", onem2m.TypeAE, body, onem2m.StatusAppRuleValidationFailed},
		{"", "tally", onem2m.TypeAE, body, onem2m.StatusAppRuleValidationFailed},
		{"tally", "tally", onem2m.TypeAE, body, onem2m.StatusSecurityAssociationRequired}, // the CSE itself
	})
	n.MayRegister = true
	runCreates(t, n, []createCase{
		{"Ca", "tally", onem2m.TypeAE, `{"api":"test","rr":true,"srv":["4"]}`, onem2m.StatusBadRequest},
		{"Ca", "tally", onem2m.TypeAE, `{"rr":true,"srv":["4"]}`, onem2m.StatusBadRequest},
		{"Ca", "tally", onem2m.TypeAE, `{"api":"Ntest","srv":["4"]}`, onem2m.StatusBadRequest},
		{"Ca", "tally", onem2m.TypeAE, `{"api":"Ntest","rr":true}`, onem2m.StatusBadRequest},
		{"Ca", "tally", onem2m.TypeAE, `{"api":"Ntest","rr":true,"srv":["4"],"aei":"Cx"}`, onem2m.StatusBadRequest},
		{"Ca", "tally", onem2m.TypeContainer, `{}`, onem2m.StatusOriginatorHasNoPrivilege},
		{"Ca", "tally", onem2m.TypeAE, body, onem2m.StatusCreated},
		{"Ca", "tally", onem2m.TypeAE, body, onem2m.StatusOriginatorHasAlreadyRegistered},
		{"/tally/Ca", "tally", onem2m.TypeAE, body, onem2m.StatusOriginatorHasAlreadyRegistered},
		{"Sb", "tally", onem2m.TypeAE, `{"api":"Rtest","rr":true,"srv":["4"],"rn":"sb"}`, onem2m.StatusCreated},
		{"Cc", "tally", onem2m.TypeAE, `{"api":"Rtest","rr":true,"srv":["4"],"rn":"sb"}`, onem2m.StatusConflict},
		{"Ca", "Ca", onem2m.TypeAE, body, onem2m.StatusInvalidChildResourceType},
		{"C", "tally", onem2m.TypeAE, body, onem2m.StatusCreated}, // authenticated as exactly "C"
		{"C/x", "tally", onem2m.TypeAE, body, onem2m.StatusAppRuleValidationFailed},
	})
	n.MayRegister = false
	// Originators that the administrator lets register get an AE-ID.
	if got := n.Update("Coperator", "tally/acpAdmin", onem2m.TypeACP, `{"pv":{"acr":[{"acor":["all"],"acop":1,"acod":[{"chty":[2]}]},{"acor":["Coperator"],"acop":63}]}}`).Response; got.Status != onem2m.StatusUpdated {
		t.Fatalf("open registration: %d %s", got.Status, got.Content)
	}
	for from, prefix := range map[string]string{"": "C", "C": "C", "S": "S", "Cown": "Cown"} {
		ri := n.MustCreate(from, "tally", onem2m.TypeAE, body)
		ae, _ := n.State.Resource(ri)
		if !strings.HasPrefix(ri, prefix) || len(ri) < 2 || ae.Owner != ri || string(ae.Get("aei")) != fmt.Sprintf("%q", ri) {
			t.Errorf("originator %q got AE-ID %s, owner %s, aei %s", from, ri, ae.Owner, ae.Get("aei"))
		}
		if got := n.Update(ri, ri, onem2m.TypeAE, `{"rr":false}`).Response.Status; got != onem2m.StatusUpdated {
			t.Errorf("AE %s updates itself: %d", ri, got)
		}
	}
	runCreates(t, n, []createCase{
		{"admin", "tally", onem2m.TypeAE, body, onem2m.StatusBadRequest},
		{"Cx*", "tally", onem2m.TypeAE, body, onem2m.StatusBadRequest},
		{"/other/Cx", "tally", onem2m.TypeAE, body, onem2m.StatusBadRequest},
		{"C" + strings.Repeat("x", 200), "tally", onem2m.TypeAE, body, onem2m.StatusBadRequest},
	})
}

// TS-0001 clauses 9.6.3 to 9.6.18: who may have which children.
func TestChildTypes(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{}`)
	cin := n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"1"}`)
	sub := n.MustCreate("Ca", cnt, onem2m.TypeSubscription, `{"nu":["http://x/"]}`)
	grp := n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"mnm":1,"mid":[]}`)
	runCreates(t, n, []createCase{
		{"Coperator", "tally", onem2m.TypeContentInstance, `{"con":"1"}`, onem2m.StatusInvalidChildResourceType},
		{"Ca", "Ca", onem2m.TypeNode, `{"ni":"x"}`, onem2m.StatusInvalidChildResourceType},
		{"Ca", cnt, onem2m.TypeGroup, `{"mnm":1,"mid":[]}`, onem2m.StatusInvalidChildResourceType},
		{"Ca", cnt, onem2m.TypeACP, policyWith(``), onem2m.StatusInvalidChildResourceType},
		{"Ca", cin, onem2m.TypeContainer, `{}`, onem2m.StatusInvalidChildResourceType},
		{"Ca", cin, onem2m.TypeSubscription, `{"nu":["http://x/"]}`, onem2m.StatusTargetNotSubscribable},
		{"Ca", sub, onem2m.TypeSubscription, `{"nu":["http://x/"]}`, onem2m.StatusTargetNotSubscribable},
		{"Ca", cnt + "/la", onem2m.TypeContentInstance, `{"con":"1"}`, onem2m.StatusOperationNotAllowed},
		{"Ca", grp, onem2m.TypeSubscription, `{"nu":["http://x/"]}`, onem2m.StatusCreated},
		{"Coperator", "tally", onem2m.TypeNode, `{"ni":"x"}`, onem2m.StatusCreated},
		{"Coperator", "tally", onem2m.TypeNode, `{}`, onem2m.StatusBadRequest},
		{"Coperator", "tally", onem2m.TypeContainer, `{}`, onem2m.StatusCreated},
	})
}

// TS-0004 clause 7.3.3.5: the attributes that every resource has.
func TestCreateUniversalAttributes(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	runCreates(t, n, []createCase{
		{"Ca", "Ca", onem2m.TypeContainer, `{"rn":"a"}`, onem2m.StatusCreated},
		{"Ca", "Ca", onem2m.TypeContainer, `{"rn":"a"}`, onem2m.StatusConflict},
		{"Ca", "Ca", onem2m.TypeGroup, `{"rn":"a","mnm":1,"mid":[]}`, onem2m.StatusConflict},
		{"Ca", "Ca", onem2m.TypeContainer, `{"rn":"a/b"}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"rn":""}`, onem2m.StatusBadRequest},
		{"Ca", "tally/ae1/a", onem2m.TypeContainer, `{"rn":"la"}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"rn":"b","et":"20261123T070000"}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"rn":"b","et":"tomorrow"}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"rn":"b","et":"20271123T070000"}`, onem2m.StatusCreated},
		{"Ca", "Ca", onem2m.TypeContainer, `{"cr":"Ca"}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"cr":null,"rn":"c"}`, onem2m.StatusCreated},
		{"Ca", "Ca", onem2m.TypeContainer, `{"acpi":["acpnone"]}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"acpi":["/other/acp1"]}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"acpi":["Ca"]}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"ri":"x"}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"ct":"20261123T070000"}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"cni":3}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"unknown":3}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"mni":-1}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"mni":null}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"daci":["x"]}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeContainer, `{"at":["/other"]}`, onem2m.StatusNotImplemented},
	})
	at := n.Time
	ri := n.MustCreate("/tally/Ca", "tally/ae1", onem2m.TypeContainer, `{ "lbl" : [ "x" , "y z" ], "cr":null, "et":"20271123T070000,5"}`)
	got, _ := n.State.Resource(ri)
	if got.RN != ri || got.PI != "Ca" || got.Type != onem2m.TypeContainer || got.Created != at || got.Modified != at ||
		got.Owner != "Ca" || string(got.Get("cr")) != `"Ca"` || string(got.Get("lbl")) != `["x","y z"]` || got.Expires <= at {
		t.Errorf("stored %+v with lbl %s cr %s", got, got.Get("lbl"), got.Get("cr"))
	}
	if c, ok, _ := n.State.Container(ri); !ok || c.StateTag != 0 || c.Modified != at || c.Count != 0 {
		t.Errorf("counters %+v %v", c, ok)
	}
}

// A tree is never deeper than an address can be.
func TestDepth(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	to := "Ca"
	for range 100 {
		ri, result := n.Create("Ca", to, onem2m.TypeContainer, `{}`)
		if ri == "" {
			if result.Response.Status != onem2m.StatusNotAcceptable {
				t.Fatalf("too deep: %d %s", result.Response.Status, result.Response.Content)
			}
			cin := n.MustCreate("Ca", to, onem2m.TypeContentInstance, `{"con":"1"}`)
			if got := n.Retrieve("Ca", cin).Response.Status; got != onem2m.StatusOK {
				t.Fatalf("deepest instance: %d", got)
			}
			return
		}
		to = ri
	}
	t.Fatal("a hundred levels were accepted")
}

// TS-0004 clause 7.4.8.2.1: subscriptions.
func TestCreateSubscription(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(`{"acor":["Cb"],"acop":1},{"acor":["Cc"],"acop":3}`))
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"acpi":["`+acp+`"]}`)
	cases := []createCase{
		{"Cb", cnt, onem2m.TypeSubscription, `{"nu":["http://x/"]}`, onem2m.StatusOriginatorHasNoPrivilege}, // CREATE without RETRIEVE
		{"Cc", cnt, onem2m.TypeSubscription, `{"nu":["http://x/"]}`, onem2m.StatusCreated},
	}
	for body, want := range map[string]onem2m.StatusCode{
		`{}`:                                     onem2m.StatusBadRequest,
		`{"nu":[]}`:                              onem2m.StatusBadRequest,
		`{"nu":[""]}`:                            onem2m.StatusBadRequest,
		`{"nu":["ftp://x/"]}`:                    onem2m.StatusBadRequest,
		`{"nu":["http://"]}`:                     onem2m.StatusBadRequest,
		`{"nu":["http://x/"],"su":"gopher://x"}`: onem2m.StatusBadRequest,
		`{"nu":["Ca","https://x/y","mqtt://b/t"],"su":"Ca"}`:          onem2m.StatusCreated,
		`{"nu":["Ca"],"exc":0}`:                                       onem2m.StatusBadRequest,
		`{"nu":["Ca"],"exc":3}`:                                       onem2m.StatusCreated,
		`{"nu":["Ca"],"nct":6}`:                                       onem2m.StatusBadRequest,
		`{"nu":["Ca"],"nct":5}`:                                       onem2m.StatusBadRequest,
		`{"nu":["Ca"],"nct":2}`:                                       onem2m.StatusCreated, // the default event is update
		`{"nu":["Ca"],"nct":2,"enc":{"net":[1]}}`:                     onem2m.StatusCreated,
		`{"nu":["Ca"],"nct":2,"enc":{"net":[1,3]}}`:                   onem2m.StatusBadRequest,
		`{"nu":["Ca"],"nct":3,"enc":{"net":[1,2,3,4]}}`:               onem2m.StatusCreated,
		`{"nu":["Ca"],"enc":{"net":[5]}}`:                             onem2m.StatusBadRequest, // no container
		`{"nu":["Ca"],"enc":{"net":[99]}}`:                            onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"chty":[4]}}`:                            onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[3],"chty":[3]}}`:                  onem2m.StatusCreated,
		`{"nu":["Ca"],"enc":{"net":[3],"chty":[4]}}`:                  onem2m.StatusBadRequest, // an AE has none
		`{"nu":["Ca"],"enc":{"net":[1],"om":[{"ops":4}]}}`:            onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"om":[{"ops":4,"or":"Cb"}]}}`:            onem2m.StatusCreated,
		`{"nu":["Ca"],"enc":{"om":[{"ops":2}]}}`:                      onem2m.StatusCreated,
		`{"nu":["Ca"],"enc":{"om":[{"or":"Cb"}]}}`:                    onem2m.StatusCreated,
		`{"nu":["Ca"],"enc":{"om":[{}]}}`:                             onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"om":[{"ops":3,"org":"Cb"}]}}`:           onem2m.StatusCreated,
		`{"nu":["Ca"],"enc":{"om":[{"ops":3,"org":"Cb"},{}]}}`:        onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"om":[{"or":"Cb","org":"Cb"}]}}`:         onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"om":[{"ops":6,"org":"Cb"}]}}`:           onem2m.StatusBadRequest, // no sum
		`{"nu":["Ca"],"enc":{"om":[{"org":"Cb"}]}}`:                   onem2m.StatusCreated,
		`{"nu":["Ca"],"enc":{"net":[8]}}`:                             onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[8],"md":{"num":1,"dur":"PT9S"}}}`: onem2m.StatusBadRequest,
		`{"nu":["Ca?ct=json","http://x?ct=cbor"]}`:                    onem2m.StatusCreated,
		`{"nu":["Ca?ct=xml"]}`:                                        onem2m.StatusNotImplemented,
		`{"nu":["Ca"],"enc":{"net":[3],"atr":["lbl"]}}`:               onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"atr":["lbl"]}}`:                         onem2m.StatusCreated,
		`{"nu":["Ca"],"enc":{"aq":"x"}}`:                              onem2m.StatusNotImplemented,
		`{"nu":["Ca"],"bn":{"num":3}}`:                                onem2m.StatusCreated,
		`{"nu":["Ca"],"bn":{"dur":"PT0S"},"ln":true,"nse":true}`:      onem2m.StatusCreated,
		`{"nu":["Ca"],"psn":3}`:                                       onem2m.StatusNotImplemented,
		`{"nu":["Ca"],"nct":1,"enc":{"net":[7]}}`:                     onem2m.StatusBadRequest,
		`{"nu":["Ca"],"nct":2,"enc":{"net":[2]}}`:                     onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[1,7]}}`:                           onem2m.StatusBadRequest,
		`{"nu":["Ca"],"nct":4}`:                                       onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[6]}}`:                             onem2m.StatusNotImplemented,
		`{"nu":["Ca"],"rl":{"mnn":3,"tww":"PT3S"}}`:                   onem2m.StatusCreated,
		`{"nu":["Ca"],"rl":{"mnn":0,"tww":"PT3S"}}`:                   onem2m.StatusBadRequest,
		`{"nu":["Ca"],"rl":{"mnn":3}}`:                                onem2m.StatusBadRequest,
		`{"nu":["Ca"],"pn":1}`:                                        onem2m.StatusCreated,
	} {
		cases = append(cases, createCase{"Ca", "Ca", onem2m.TypeSubscription, body, want})
	}
	runCreates(t, n, cases)
	sub := n.MustCreate("Ca", "Ca", onem2m.TypeSubscription, `{"nu":["Ca"]}`)
	if res, _ := n.State.Resource(sub); string(res.Get("nct")) != "1" || res.Get("cr") != nil {
		t.Errorf("default nct is %s, creator %s", res.Get("nct"), res.Get("cr"))
	}
	for body, want := range map[string]string{
		`{"nu":["/tally/Ca","http://x"]}`: ``, // a URL does not say whose it is
		`{"nu":["/tally/Ca","/other/x"]}`: `"Ca"`,
		`{"nu":["http://x"],"cr":null}`:   `"Ca"`,
	} {
		sub = n.MustCreate("Ca", "Ca", onem2m.TypeSubscription, body)
		if res, _ := n.State.Resource(sub); string(res.Get("cr")) != want {
			t.Errorf("creator of subscription %s is %q, want %q", body, res.Get("cr"), want)
		}
	}
}

// TS-0004 clauses 7.4.13.2.1 and 7.4.13.2.3: the members of a group.
func TestGroupMembers(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Register("Cb", "ae2")
	c1 := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c1"}`)
	c2 := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c2"}`)
	foreign := n.MustCreate("Cb", "Cb", onem2m.TypeContainer, `{}`)
	inner := n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"mnm":9,"mt":3,"mid":["`+c1+`"]}`)
	for _, test := range []struct {
		body              string
		want              onem2m.StatusCode
		mid, mt, cnm, mtv string
	}{
		{body: `{"mid":["` + c1 + `"]}`, want: onem2m.StatusBadRequest},
		{body: `{"mnm":1}`, want: onem2m.StatusBadRequest},
		{body: `{"mnm":0,"mid":[]}`, want: onem2m.StatusBadRequest},
		{`{"mnm":9,"mid":["` + c1 + `","Ca"]}`, onem2m.StatusCreated, `["` + c1 + `","Ca"]`, "0", "2", ""},
		{`{"mnm":9,"mt":3,"mid":["` + c1 + `","tally/ae1/c2"]}`, onem2m.StatusCreated, `["` + c1 + `","tally/ae1/c2"]`, "3", "2", "true"},
		{`{"mnm":3,"mid":["` + c1 + `","/tally/` + c1 + `","` + c2 + `"]}`, onem2m.StatusCreated, `["` + c1 + `","` + c2 + `"]`, "0", "2", ""},
		{`{"mnm":3,"mid":["/tally/tally/ae1/c1","` + c1 + `","/tally/Ca/c2"]}`, onem2m.StatusCreated, `["` + c1 + `","` + c2 + `"]`, "0", "2", ""},
		{body: `{"mnm":2,"mid":["` + c1 + `","/tally/` + c1 + `","` + c2 + `"]}`, want: onem2m.StatusMaxNumberOfMemberExceeded},
		{body: `{"mnm":1,"mid":["` + c1 + `","` + c2 + `"]}`, want: onem2m.StatusMaxNumberOfMemberExceeded},
		{`{"mnm":9,"mt":3,"mid":["Ca","` + c1 + `"]}`, onem2m.StatusCreated, `["` + c1 + `"]`, "3", "1", "true"},
		{`{"mnm":9,"mt":3,"csy":1,"mid":["Ca"]}`, onem2m.StatusCreated, `[]`, "3", "0", "true"},
		{body: `{"mnm":9,"mt":3,"csy":2,"mid":["Ca"]}`, want: onem2m.StatusGroupMemberTypeInconsistent},
		{`{"mnm":9,"mt":3,"csy":3,"mid":["Ca","` + c1 + `"]}`, onem2m.StatusCreated, `["Ca","` + c1 + `"]`, "0", "2", ""},
		{`{"mnm":9,"mt":3,"mid":["/other/x","` + c1 + `"]}`, onem2m.StatusCreated, `["/other/x","` + c1 + `"]`, "3", "2", "false"},
		{`{"mnm":9,"mt":3,"csy":2,"mid":["` + inner + `/fopt"]}`, onem2m.StatusCreated, `["` + inner + `/fopt"]`, "3", "1", "true"},
		{body: `{"mnm":9,"mid":["cntnone"]}`, want: onem2m.StatusNotFound},
		{body: `{"mnm":9,"mid":["` + foreign + `"]}`, want: onem2m.StatusReceiverHasNoPrivileges},
		{body: `{"mnm":9,"mid":[],"macp":["acpnone"]}`, want: onem2m.StatusBadRequest},
		{body: `{"mnm":9,"mid":[],"csy":4}`, want: onem2m.StatusBadRequest},
	} {
		ri, result := n.Create("Ca", "Ca", onem2m.TypeGroup, test.body)
		if result.Response.Status != test.want {
			t.Errorf("%s: %d %s, want %d", test.body, result.Response.Status, result.Response.Content, test.want)
		}
		if ri == "" {
			continue
		}
		g, _ := n.State.Resource(ri)
		if got := [4]string{string(g.Get("mid")), string(g.Get("mt")), string(g.Get("cnm")), string(g.Get("mtv"))}; got != [4]string{test.mid, test.mt, test.cnm, test.mtv} {
			t.Errorf("%s: mid, mt, cnm, mtv are %v", test.body, got)
		}
	}
	// A member that has gone does not keep the group from being updated.
	gone := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{}`)
	lost := n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"mnm":9,"mt":3,"mid":["`+c1+`","`+gone+`"]}`)
	wantStatus(t, "delete a member", n.Delete("Ca", gone), onem2m.StatusDeleted)
	wantStatus(t, "update", n.Update("Ca", lost, onem2m.TypeGroup, `{"gn":"x"}`), onem2m.StatusUpdated)
	wantStatus(t, "name it anew", n.Update("Ca", lost, onem2m.TypeGroup, `{"mid":["`+c1+`","Ca/`+gone+`"]}`), onem2m.StatusNotFound)

	grp := n.MustCreate("Ca", "Ca", onem2m.TypeGroup, `{"mnm":2,"mt":3,"mid":["`+c1+`","`+c2+`"]}`)
	for body, want := range map[string]onem2m.StatusCode{
		`{"mnm":1}`:                   onem2m.StatusMaxNumberOfMemberExceeded,
		`{"mt":2}`:                    onem2m.StatusBadRequest,
		`{"cnm":1}`:                   onem2m.StatusBadRequest,
		`{"mid":null}`:                onem2m.StatusBadRequest,
		`{"mid":["` + foreign + `"]}`: onem2m.StatusReceiverHasNoPrivileges,
		`{"gn":"x"}`:                  onem2m.StatusUpdated,
	} {
		if got := n.Update("Ca", grp, onem2m.TypeGroup, body).Response; got.Status != want {
			t.Errorf("update %s: %d %s, want %d", body, got.Status, got.Content, want)
		}
	}
	if got := n.Update("Ca", grp, onem2m.TypeGroup, `{"mid":["`+c2+`"],"mnm":1}`).Response.Status; got != onem2m.StatusUpdated {
		t.Errorf("update of members: %d", got)
	}
	if g, _ := n.State.Resource(grp); string(g.Get("cnm")) != "1" || string(g.Get("mid")) != `["`+c2+`"]` {
		t.Errorf("after the update: mid %s cnm %s", g.Get("mid"), g.Get("cnm"))
	}
}

// TS-0001 clause 9.6.2.1: a policy must leave somebody able to change it.
func TestPolicyNeedsSelfPrivileges(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	runCreates(t, n, []createCase{
		{"Ca", "Ca", onem2m.TypeACP, `{"pv":{"acr":[]},"pvs":{"acr":[]}}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeACP, `{"pv":{},"pvs":{}}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeACP, `{"pv":{}}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", onem2m.TypeACP, `{"pv":{},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]}}`, onem2m.StatusCreated},
		{"Ca", "Ca", onem2m.TypeACP, `{"pv":{},"pvs":{"acr":[{"acor":["Ca"],"acop":63}]},"acpi":[]}`, onem2m.StatusBadRequest},
	})
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(``))
	for body, want := range map[string]onem2m.StatusCode{
		`{"pvs":{"acr":[]}}`: onem2m.StatusBadRequest,
		`{"pvs":null}`:       onem2m.StatusBadRequest,
		`{"pv":{"acr":[]}}`:  onem2m.StatusUpdated,
	} {
		if got := n.Update("Ca", acp, onem2m.TypeACP, body).Response.Status; got != want {
			t.Errorf("update %s: %d, want %d", body, got, want)
		}
	}
}

// A failing disk stops the ledger, not the process, and leaves nothing half done.
func TestStateFailure(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"mni":1}`)
	n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"1"}`)
	n.State.Fail = errors.New("disk on fire")
	for name, result := range map[string]cse.Result{
		"create":          second(n.Create("Ca", "Ca", onem2m.TypeContainer, `{}`)),
		"create instance": second(n.Create("Ca", cnt, onem2m.TypeContentInstance, `{"con":"1"}`)),
		"update":          n.Update("Ca", cnt, onem2m.TypeContainer, `{"lbl":["x"]}`),
		"delete":          n.Delete("Ca", cnt),
		"delete instance": n.Delete("Ca", cnt+"/la"),
		"expire":          n.Expire(n.State, cse.Env{Time: n.Time}, 5),
	} {
		if name == "expire" {
			continue // nothing was due
		}
		if !errors.Is(result.Err, n.State.Fail) || result.Response.Status != onem2m.StatusInternalServerError || len(result.Effects) != 0 {
			t.Errorf("%s: %v, %d, %d effects", name, result.Err, result.Response.Status, len(result.Effects))
		}
	}
}

func second[A, B any](_ A, b B) B { return b }

// What every request may have to search is bounded.
func TestBounds(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	many := func(count int, format string) string {
		var list []string
		for i := range count {
			list = append(list, strings.ReplaceAll(format, "#", fmt.Sprint(i)))
		}
		return strings.Join(list, ",")
	}
	acp := n.MustCreate("Ca", "Ca", onem2m.TypeACP, policyWith(``))
	runCreates(t, n, []createCase{
		{"Ca", "Ca", onem2m.TypeACP, policyWith(many(256, `{"acor":["C#"],"acop":1}`)), onem2m.StatusCreated},
		{"Ca", "Ca", onem2m.TypeACP, policyWith(many(257, `{"acor":["C#"],"acop":1}`)), onem2m.StatusNotAcceptable},
		{"Ca", "Ca", onem2m.TypeACP, policyWith(`{"acor":[` + many(1025, `"C#"`) + `],"acop":1}`), onem2m.StatusNotAcceptable},
		{"Ca", "Ca", onem2m.TypeContainer, `{"acpi":[` + many(33, `"`+acp+`"`) + `]}`, onem2m.StatusNotAcceptable},
		{"Ca", "Ca", onem2m.TypeGroup, `{"mnm":5000,"mid":[` + many(1001, `"/other/C#"`) + `]}`, onem2m.StatusMaxNumberOfMemberExceeded},
		{"Ca", "Ca", onem2m.TypeContainer, `{"lbl":["` + strings.Repeat("x", 1<<20) + `"]}`, onem2m.StatusBadRequest},
	})
}
