package cse_test

import (
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

func wantHas(t *testing.T, n *csetest.Network, to string, want ...string) {
	t.Helper()
	got := n.Retrieve("Ca", to).Response
	for _, part := range want {
		if !strings.Contains(string(got.Content), part) {
			t.Errorf("%s: %d %s has no %s", to, got.Status, got.Content, part)
		}
	}
}

// TS-0004 clause 7.3.3.3: the Hosting CSE sets expirationTime when the originator does not, and no resource gets a
// later one than its parent.
func TestExpirationTime(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	wantHas(t, n, "Ca", `"et":"99991231T235959"`)
	if got := n.Retrieve("Coperator", "tally").Response; strings.Contains(string(got.Content), `"et"`) {
		t.Errorf("the CSEBase has an expirationTime: %s", got.Content)
	}
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c","et":"20271123T070000"}`)
	n.MustCreate("Ca", cnt, onem2m.TypeContainer, `{"rn":"none"}`)
	n.MustCreate("Ca", cnt, onem2m.TypeContainer, `{"rn":"later","et":"20300101T000000"}`)
	n.MustCreate("Ca", cnt, onem2m.TypeContainer, `{"rn":"sooner","et":"20270101T000000"}`)
	n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"rn":"in","con":"1","et":"20300101T000000"}`)
	wantHas(t, n, cnt+"/none", `"et":"20271123T070000,000000"`)
	wantHas(t, n, cnt+"/later", `"et":"20271123T070000,000000"`)
	wantHas(t, n, cnt+"/sooner", `"et":"20270101T000000,000000"`)
	wantHas(t, n, cnt+"/in", `"et":"20271123T070000,000000"`)

	for _, test := range []struct {
		to, body string
		want     onem2m.StatusCode
		et       string
	}{
		{cnt + "/later", `{"et":"20300101T000000"}`, onem2m.StatusUpdated, "20271123T070000,000000"},
		{cnt, `{"et":"20271101T000000"}`, onem2m.StatusBadRequest, "20271123T070000,000000"}, // TS-0004 clause 7.3.3.4
		{cnt, `{"et":"20300101T000000"}`, onem2m.StatusUpdated, "20300101T000000,000000"},
		{cnt + "/later", `{"et":null}`, onem2m.StatusUpdated, "20300101T000000,000000"},
		{cnt, `{"et":"99991231T235959"}`, onem2m.StatusUpdated, "99991231T235959"},
		{cnt, `{"et":null}`, onem2m.StatusUpdated, "99991231T235959"},
	} {
		wantStatus(t, test.body, n.Update("Ca", test.to, onem2m.TypeContainer, test.body), test.want)
		wantHas(t, n, test.to, `"et":"`+test.et+`"`)
	}
	if res, _ := n.State.Resource(cnt); res.Expires != 0 {
		t.Errorf("the default is kept as %d", res.Expires)
	}
}

// TS-0004 clause 7.4.7.2.1: expirationTime of an instance follows maxInstanceAge when that is stricter.
func TestInstanceExpirationTime(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c","mia":60}`)
	n.MustCreate("Ca", "Ca/c", onem2m.TypeContentInstance, `{"rn":"a","con":"1"}`)
	n.MustCreate("Ca", "Ca/c", onem2m.TypeContentInstance, `{"rn":"b","con":"1","et":"20261123T070030"}`)
	wantHas(t, n, "Ca/c/a", `"ct":"20261123T070002,000000"`, `"et":"20261123T070102,000000"`)
	wantHas(t, n, "Ca/c/b", `"et":"20261123T070030,000000"`)
	wantStatus(t, "raise", n.Update("Ca", "Ca/c", onem2m.TypeContainer, `{"mia":120}`), onem2m.StatusUpdated)
	wantHas(t, n, "Ca/c/a", `"et":"20261123T070202,000000"`)
	n.Time = csetest.Start + 121_000_000
	wantHas(t, n, "Ca/c/la", `"rn":"a"`)
	n.Time = csetest.Start + 122_000_000
	wantStatus(t, "too old", n.Retrieve("Ca", "Ca/c/la"), onem2m.StatusNotFound)
}

// TS-0004 clauses 7.4.7.2.2, 7.4.7.2.4, 7.4.27.2 and 7.4.28.2: disableRetrieval. What was written under it is gone
// before it ends (TS-0001 clause 9.6.6).
func TestDisableRetrievalEnds(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"c"}`)
	n.MustCreate("Ca", "Ca/c", onem2m.TypeContentInstance, `{"rn":"a","con":"1"}`)
	wantStatus(t, "disable", n.Update("Ca", "Ca/c", onem2m.TypeContainer, `{"disr":true}`), onem2m.StatusUpdated)
	n.MustCreate("Ca", "Ca/c", onem2m.TypeContentInstance, `{"rn":"b","con":"1"}`)
	for _, to := range []string{"Ca/c/a", "Ca/c/la", "Ca/c/ol"} {
		wantStatus(t, "retrieve "+to, n.Retrieve("Ca", to), onem2m.StatusOperationNotAllowed)
		wantStatus(t, "delete "+to, n.Delete("Ca", to), onem2m.StatusOperationNotAllowed)
	}
	wantHas(t, n, "Ca/c", `"cni":2`)
	wantStatus(t, "still disabled", n.Update("Ca", "Ca/c", onem2m.TypeContainer, `{"disr":true,"mni":9}`), onem2m.StatusUpdated)
	wantHas(t, n, "Ca/c", `"cni":2`)
	wantStatus(t, "enable", n.Update("Ca", "Ca/c", onem2m.TypeContainer, `{"disr":null}`), onem2m.StatusUpdated)
	wantHas(t, n, "Ca/c", `"cni":0`, `"cbs":0`)
}
