package cse_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

func addressNetwork(t testing.TB) (n *csetest.Network, cnt, named, unnamed, grp string) {
	n = csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt = n.MustCreate("Ca", "tally/ae1", onem2m.TypeContainer, `{"rn":"cnt1"}`)
	n.MustCreate("Ca", cnt, onem2m.TypeContainer, `{"rn":"deep"}`)
	named = n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"rn":"first","con":"1"}`)
	unnamed = n.MustCreate("Ca", cnt, onem2m.TypeContentInstance, `{"con":"2"}`)
	grp = n.MustCreate("Ca", "tally/ae1", onem2m.TypeGroup, `{"rn":"grp1","mnm":3,"mid":["`+cnt+`"]}`)
	return n, cnt, named, unnamed, grp
}

// TS-0001 clause 9.3.1 and table 7.2-1: the forms of an address.
func TestResolve(t *testing.T) {
	n, cnt, named, unnamed, grp := addressNetwork(t)
	for _, test := range []struct {
		to, ri, rest string
		virtual      onem2m.ResourceType
	}{
		{to: "tally", ri: "cb"},
		{to: "-", ri: "cb"},
		{to: "cb", ri: "cb"},
		{to: "/tally/-", ri: "cb"},
		{to: "//tally.example/tally/-", ri: "cb"},
		{to: "tally/ae1", ri: "Ca"},
		{to: "-/ae1", ri: "Ca"},
		{to: "Ca", ri: "Ca"},
		{to: "Ca/cnt1", ri: cnt},
		{to: "/tally/Ca", ri: "Ca"},
		{to: "tally/ae1/cnt1", ri: cnt},
		{to: "/tally/tally/ae1/cnt1", ri: cnt},
		{to: "//tally.example/tally/-/ae1/cnt1", ri: cnt},
		{to: cnt, ri: cnt},
		{to: "/tally/" + cnt, ri: cnt},
		{to: cnt + "/la", ri: cnt, virtual: onem2m.TypeLatest},
		{to: "tally/ae1/cnt1/ol", ri: cnt, virtual: onem2m.TypeOldest},
		{to: "tally/ae1/cnt1/first", ri: named},
		{to: cnt + "/first", ri: named},
		{to: named, ri: named},
		{to: unnamed, ri: unnamed},
		{to: cnt + "/" + unnamed, ri: unnamed},
		{to: grp + "/fopt", ri: grp, virtual: onem2m.TypeFanOutPoint},
		{to: "-/ae1/grp1/fopt/a/la", ri: grp, virtual: onem2m.TypeFanOutPoint, rest: "a/la"},
	} {
		got, err := n.Resolve(n.State, test.to, n.Time)
		if err != nil {
			t.Errorf("%s: %v", test.to, err)
			continue
		}
		if got.RI != test.ri || got.Virtual != test.virtual || got.Rest != test.rest {
			t.Errorf("%s resolved to %+v, want %s virtual %s rest %q", test.to, got, test.ri, test.virtual, test.rest)
		}
	}
	for to, status := range map[string]onem2m.StatusCode{
		"":                                 onem2m.StatusBadRequest,
		strings.Repeat("a", 5000):          onem2m.StatusBadRequest,
		"other":                            onem2m.StatusNotFound,
		"/other/tally":                     onem2m.StatusNotFound,
		"/tallyx":                          onem2m.StatusNotFound,
		"//other.example/tally/tally":      onem2m.StatusNotFound,
		"//tally.examplex/tally":           onem2m.StatusNotFound,
		"/tally":                           onem2m.StatusBadRequest,
		"//tally.example/tally":            onem2m.StatusBadRequest,
		"tally/":                           onem2m.StatusBadRequest,
		"/tally/":                          onem2m.StatusBadRequest,
		"tally//ae1":                       onem2m.StatusNotFound,
		"tally/ae1/nothing":                onem2m.StatusNotFound,
		"tally/ae1/la":                     onem2m.StatusNotFound,
		"tally/ae1/" + unnamed:             onem2m.StatusNotFound,
		cnt + "/deep/" + unnamed:           onem2m.StatusNotFound,
		cnt + "/la/x":                      onem2m.StatusNotFound,
		named + "/x":                       onem2m.StatusNotFound,
		"cinzzzz":                          onem2m.StatusNotFound,
		"tally" + strings.Repeat("/x", 99): onem2m.StatusNotFound,
	} {
		_, err := n.Resolve(n.State, to, n.Time)
		var refusal *onem2m.Error
		if !errors.As(err, &refusal) || refusal.Status != status {
			t.Errorf("%.40q: got %v, want status %d", to, err, status)
		}
	}
}

// What has expired is gone at once, with everything below it, however it is addressed (TS-0001 clause 9.6.1.3.1).
func TestResolveExpired(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	cnt := n.MustCreate("Ca", "Ca", onem2m.TypeContainer, `{"rn":"cnt1","et":"20261123T080000"}`)
	sub := n.MustCreate("Ca", cnt, onem2m.TypeContainer, `{"rn":"deep"}`)
	cin := n.MustCreate("Ca", sub, onem2m.TypeContentInstance, `{"con":"1"}`)
	for _, to := range []string{cnt, "tally/ae1/cnt1", sub, "tally/ae1/cnt1/deep", sub + "/la", cin} {
		if _, err := n.Resolve(n.State, to, csetest.Start+3600_000_000-1); err != nil {
			t.Errorf("%s before its expiration: %v", to, err)
		}
		if _, err := n.Resolve(n.State, to, csetest.Start+3600_000_000); err == nil {
			t.Errorf("%s is still found after its expiration", to)
		}
	}
}

func FuzzResolve(f *testing.F) {
	n, cnt, named, _, grp := addressNetwork(f)
	for _, to := range []string{"tally/ae1/cnt1/la", "//tally.example/tally/-/ae1", cnt + "/first", named, grp + "/fopt/x", "/", "//", "///"} {
		f.Add(to)
	}
	f.Fuzz(func(t *testing.T, to string) {
		got, err := n.Resolve(n.State, to, n.Time)
		if err != nil {
			var refusal *onem2m.Error
			if !errors.As(err, &refusal) {
				t.Fatalf("%q: %v is no refusal", to, err)
			}
			return
		}
		again, err := n.Resolve(n.State, got.RI, n.Time)
		if err != nil || again.RI != got.RI {
			t.Fatalf("%q resolved to %s, which resolves to %+v, %v", to, got.RI, again, err)
		}
	})
}

func FuzzDecodeResource(f *testing.F) {
	n, _, _, _, _ := addressNetwork(f)
	for _, ri := range n.State.IDs() {
		r, _ := n.State.Resource(ri)
		f.Add(r.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := cse.DecodeResource(b)
		if err != nil {
			return
		}
		if again := r.AppendBinary(nil); string(again) != string(b) {
			t.Fatalf("decoded %x, encoded again %x", b, again)
		}
	})
}
