package cse_test

import (
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// newLab makes a lab network in which /mn-1 and /mn2 may register.
func newLab(t *testing.T) *csetest.Network {
	cfg := csetest.Config
	cfg.Lab, cfg.Admin, cfg.MayRegister, cfg.MaxLifetime = true, "CAdmin", []string{"/mn-1", "/mn2"}, 3600
	n := csetest.NewNetworkOf(t, cfg)
	n.MayRegister = true
	return n
}

func remoteBody(more string) string {
	return `{"rr":true,"srv":["4"],"poa":["http://mn"]` + more + `}`
}

// TS-0001 clause 9.6.4, TS-0004 clause 7.4.4.2.1: who may register a CSE, and as what.
func TestRegisterRemoteCSE(t *testing.T) {
	n := newLab(t)
	n.MustCreate("Ctest", "tally", onem2m.TypeAE, `{"rn":"ae","api":"Na","rr":false,"srv":["4"]}`)
	for _, c := range []struct {
		name, from, to, body string
		want                 onem2m.StatusCode
	}{
		{"not on the list", "/other", "tally", remoteBody(`,"cb":"/other/cse"`), onem2m.StatusOriginatorHasNoPrivilege},
		{"an AE", "Ctest", "tally", remoteBody(`,"cb":"/mn-1/cse"`), onem2m.StatusOperationNotAllowed},
		{"an AE as CSE", "/Ctest", "tally", remoteBody(`,"csi":"/some"`), onem2m.StatusOperationNotAllowed},
		{"no cb", "/mn-1", "tally", remoteBody(""), onem2m.StatusBadRequest},
		{"no csi, no cb", "CAdmin", "tally", remoteBody(""), onem2m.StatusBadRequest},
		{"another's csi", "/mn-1", "tally", remoteBody(`,"csi":"/mn2","cb":"/mn2/cse"`), onem2m.StatusBadRequest},
		{"another's cb", "/mn-1", "tally", remoteBody(`,"cb":"/mn2/cse"`), onem2m.StatusBadRequest},
		{"relative cb", "/mn-1", "tally", remoteBody(`,"cb":"cse"`), onem2m.StatusBadRequest},
		{"this CSE", "CAdmin", "tally", remoteBody(`,"cb":"/tally/tally"`), onem2m.StatusBadRequest},
		{"an AE's ID", "CAdmin", "tally", remoteBody(`,"cb":"/Ctest"`), onem2m.StatusConflict},
		{"below an AE", "CAdmin", "tally/ae", remoteBody(`,"cb":"/mn-1/cse"`), onem2m.StatusInvalidChildResourceType},
		{"good", "/mn-1", "tally", remoteBody(`,"csi":"/mn-1","cb":"/mn-1/cse","dcse":["/asn"]`), onem2m.StatusCreated},
		{"again", "/mn-1", "tally", remoteBody(`,"cb":"/mn-1/cse"`), onem2m.StatusOriginatorHasAlreadyRegistered},
		{"absolute cb", "/mn2", "tally", remoteBody(`,"cb":"//tally.example/mn2/cse"`), onem2m.StatusCreated},
		{"by the administrator", "CAdmin", "tally", remoteBody(`,"cb":"/third/cse"`), onem2m.StatusCreated},
	} {
		_, got := n.Create(c.from, c.to, onem2m.TypeRemoteCSE, c.body)
		wantStatus(t, c.name, got, c.want)
	}
	got := string(n.Retrieve("/mn-1", "mn-1").Response.Content)
	for _, want := range []string{`"ri":"mn-1"`, `"rn":"mn-1"`, `"csi":"/mn-1"`, `"cb":"/mn-1/cse"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	// An ID that this CSE could assign is not taken.
	wantStatus(t, "prefixed", n.Retrieve("/mn2", "csr-mn2"), onem2m.StatusOK)
	// A CSE manages its own registration and reads the CSEBase, and nothing else.
	wantStatus(t, "own", n.Update("/mn-1", "mn-1", onem2m.TypeRemoteCSE, `{"rr":false}`), onem2m.StatusUpdated)
	wantStatus(t, "csi again", n.Update("/mn-1", "mn-1", onem2m.TypeRemoteCSE, `{"csi":"/x"}`), onem2m.StatusBadRequest)
	wantStatus(t, "other's", n.Delete("/mn2", "mn-1"), onem2m.StatusOriginatorHasNoPrivilege)
	wantStatus(t, "CSEBase", n.Retrieve("/mn-1", "tally"), onem2m.StatusOK)
	wantStatus(t, "CSEBase of a stranger", n.Retrieve("/other", "tally"), onem2m.StatusOriginatorHasNoPrivilege)
	wantStatus(t, "AE", n.Retrieve("/mn-1", "tally/ae"), onem2m.StatusOriginatorHasNoPrivilege)
	wantStatus(t, "off", n.Delete("/mn-1", "mn-1"), onem2m.StatusDeleted)
}

// TS-0001 clauses 9.6.4 and 10.1.1.2.2: the way to another CSE, and who may be behind one.
func TestHop(t *testing.T) {
	n := newLab(t)
	n.MustCreate("/mn-1", "tally", onem2m.TypeRemoteCSE, remoteBody(`,"cb":"/mn-1/cse","dcse":["/asn"]`))
	hop := func(id string) string {
		t.Helper()
		to, err := n.Hop(n.State, id, n.Time)
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	if got := []string{hop("/mn-1"), hop("/asn"), hop("/far")}; strings.Join(got, " ") != "/mn-1 /mn-1 " {
		t.Errorf("before there is a registrar: %q", got)
	}
	// What this CSE makes itself stands for its registrar.
	n.MustCreate("/tally", "tally", onem2m.TypeRemoteCSE, remoteBody(`,"csi":"/in","cb":"/in/cse"`))
	if got := []string{hop("/mn-1"), hop("/asn"), hop("/far"), hop("/in")}; strings.Join(got, " ") != "/mn-1 /mn-1 /in /in" {
		t.Errorf("with a registrar: %q", got)
	}
	for _, c := range []struct {
		cse, from string
		want      bool
	}{
		{"/mn-1", "/mn-1", true}, {"/mn-1", "/mn-1/Ca", true}, {"/mn-1", "/asn/Ca", true}, {"/mn-1", "/far/Ca", false},
		{"/mn-1", "Ca", false}, {"/mn-1", "/tally/Ca", false}, {"/mn-1", "/mn-10/Ca", false}, {"/mn-1", "", false},
		{"/in", "/far/Ca", true}, {"/in", "/in", true}, {"/in", "/mn-1/Ca", false}, {"/in", "/asn/Ca", false}, {"/in", "/tally/Ca", false},
		{"/unknown", "/unknown/Ca", true}, {"/unknown", "/far/Ca", false},
	} {
		if got, err := n.SpeaksFor(n.State, c.cse, c.from, n.Time); err != nil || got != c.want {
			t.Errorf("%s speaks for %q: %t, %v", c.cse, c.from, got, err)
		}
	}
	// A CSE that names others as its descendants gets no hold of those that are registered here.
	wantStatus(t, "greedy", n.Update("/mn-1", "mn-1", onem2m.TypeRemoteCSE, `{"dcse":["/asn","/in","/mn2"]}`), onem2m.StatusUpdated)
	n.MustCreate("/mn2", "tally", onem2m.TypeRemoteCSE, remoteBody(`,"cb":"/mn2/cse","dcse":["/asn"]`))
	for _, c := range []struct{ cse, from string }{{"/mn-1", "/mn2/Ca"}, {"/mn-1", "/in"}, {"/mn-1", "/in/Ca"}, {"/mn2", "/asn/Ca"}} {
		if got, err := n.SpeaksFor(n.State, c.cse, c.from, n.Time); err != nil || got {
			t.Errorf("%s speaks for %q: %t, %v", c.cse, c.from, got, err)
		}
	}
	for target, want := range map[string]cse.Route{
		"/mn-1":             {Entity: "/mn-1", To: "/mn-1", Reachable: true, URLs: []cse.Address{{URL: "http://mn"}}},
		"/asn/Ca":           {Entity: "/mn-1", To: "/asn/Ca", Reachable: true, URLs: []cse.Address{{URL: "http://mn"}}},
		"/mn-1/Ca?ct=cbor":  {Entity: "/mn-1", To: "/mn-1/Ca", Reachable: true, URLs: []cse.Address{{URL: "http://mn", CBOR: true}}, CBOR: true},
		"//other.example/x": {},
	} {
		got := n.Route(n.State, target)
		if got.Entity != want.Entity || got.To != want.To || got.CBOR != want.CBOR || len(got.URLs) != len(want.URLs) || len(got.URLs) > 0 && got.URLs[0] != want.URLs[0] {
			t.Errorf("%s: %+v, want %+v", target, got, want)
		}
	}
}

// An AE of another CSE can register here in a lab network; it keeps its ID, and policies name it by that.
func TestForeignAE(t *testing.T) {
	n := newLab(t)
	n.MustCreate("/mn-1/Cremote", "tally", onem2m.TypeAE, `{"rn":"far","api":"Na","rr":false,"srv":["4"]}`)
	got := string(n.Retrieve("/mn-1/Cremote", "tally/far").Response.Content)
	if !strings.Contains(got, `"aei":"/mn-1/Cremote"`) || !strings.Contains(got, `"ri":"Cremote"`) {
		t.Error(got)
	}
	n.MustCreate("/mn-1/Cremote", "tally/far", onem2m.TypeContainer, `{"rn":"cnt"}`)
	wantStatus(t, "namesake", n.Retrieve("Cremote", "tally/far/cnt"), onem2m.StatusOriginatorHasNoPrivilege)
	_, taken := n.Create("Cremote", "tally", onem2m.TypeAE, `{"api":"Na","rr":false,"srv":["4"]}`)
	wantStatus(t, "taken", taken, onem2m.StatusOriginatorHasAlreadyRegistered)
	n.MustCreate("CAdmin", "tally", onem2m.TypeACP, `{"rn":"acp","pv":{"acr":[{"acor":["/mn-1/*"],"acop":63}]},"pvs":{"acr":[{"acor":["CAdmin"],"acop":63}]}}`)
	n.MustCreate("CAdmin", "tally", onem2m.TypeContainer, `{"rn":"shared","acpi":["tally/acp"]}`)
	wantStatus(t, "wildcard", n.Retrieve("/mn-1/Cany", "tally/shared"), onem2m.StatusOK)
	wantStatus(t, "other CSE", n.Retrieve("/mn2/Cany", "tally/shared"), onem2m.StatusOriginatorHasNoPrivilege)
}
