package onem2m

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func number(v int64) *int64 { return &v }

// TS-0009 clause 6.2.2.2, TS-0004 clause 6.3.5 (m2m:filterCriteria).
func TestSetParameter(t *testing.T) {
	req := &Request{ResultContent: ResultContentDefault}
	for _, p := range [][2]string{
		{"rcn", "5"}, {"drt", "2"}, {"rt", "3"}, {"rp", "PT1H"}, {"atrl", "lbl+ct"}, {"atrl", "et"},
		{"fu", "1"}, {"fo", "2"}, {"crb", "20300101T000000"}, {"cra", "20200101T000000"}, {"ms", "a"}, {"us", "b"}, {"exb", "c"}, {"exa", "d"},
		{"sts", "9"}, {"stb", "1"}, {"sza", "0"}, {"szb", "100"}, {"lim", "10"}, {"lvl", "2"}, {"ofst", "1"},
		{"lbl", "room:1+room:*"}, {"lbl", "two words"}, {"lbq", "a:b"}, {"clbl", "c"}, {"palb", "p"},
		{"ty", "3+4"}, {"ty", "2 23"}, {"chty", "4"}, {"pty", "2"}, {"cty", "application/senml+json"}, {"arp", "x/la"},
		{"mni", "10"}, {"newA1", "v*"}, {"atr", "cr,Ca,b"}, {"catr", "con,1"}, {"patr", "rn,x"},
		{"c.con", "2"}, {"p.rn", "y"}, {"rids", "nurse@hospital.example+ward-1@hospital.example"}, {"tids", "t1@das.example"}, {"ltids", "tk5+tk6"},
	} {
		if err := SetParameter(req, p[0], p[1]); err != nil {
			t.Errorf("%s=%s: %v", p[0], p[1], err)
		}
	}
	want := &Request{
		ResultContent: ResultContentAttributesAndChildRefs, DesiredIDType: 2, ResponseType: 3, ResultPersistence: "PT1H",
		Attributes: []string{"lbl", "ct", "et"}, RoleIDs: []string{"nurse@hospital.example", "ward-1@hospital.example"},
		TokenIDs: []string{"t1@das.example"}, LocalTokenIDs: []string{"tk5", "tk6"},
		Filter: &FilterCriteria{
			Usage: FilterUsageDiscovery, Operation: 2, CreatedBefore: "20300101T000000", CreatedAfter: "20200101T000000",
			ModifiedSince: "a", UnmodifiedSince: "b", ExpireBefore: "c", ExpireAfter: "d",
			StateTagSmaller: number(9), StateTagBigger: number(1), SizeAbove: number(0), SizeBelow: number(100),
			Limit: number(10), Level: number(2), Offset: number(1),
			Labels: []string{"room:1", "room:*", "two words"}, LabelsQuery: "a:b", ChildLabels: []string{"c"}, ParentLabels: []string{"p"},
			Types: []ResourceType{3, 4, 2, 23}, ChildTypes: []ResourceType{4}, ParentTypes: []ResourceType{2},
			ContentTypes: []string{"application/senml+json"}, ApplyRelPath: "x/la",
			Attributes:       []AttributeFilter{{"mni", "10"}, {"newA1", "v*"}, {"cr", "Ca,b"}},
			ChildAttributes:  []AttributeFilter{{"con", "1"}, {"con", "2"}},
			ParentAttributes: []AttributeFilter{{"rn", "x"}, {"rn", "y"}},
		},
	}
	if diff := cmp.Diff(want, req); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	for _, p := range [][2]string{{"rcn", "1"}, {"fu", "1"}, {"lim", "5"}, {"arp", "y"}, {"rp", "1"}} {
		if err := SetParameter(req, p[0], p[1]); err == nil {
			t.Errorf("%s was set twice", p[0])
		}
	}
}

func TestSetParameterRefuses(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        StatusCode
	}{
		{"rcn", "13", StatusBadRequest}, {"rcn", "-1", StatusBadRequest}, {"rcn", "x", StatusBadRequest}, {"rcn", "", StatusBadRequest},
		{"fu", "0", StatusBadRequest}, {"fu", "5", StatusBadRequest}, {"fo", "4", StatusBadRequest}, {"drt", "3", StatusBadRequest},
		{"rt", "6", StatusBadRequest}, {"lim", "-1", StatusBadRequest}, {"lim", "1.5", StatusBadRequest}, {"lvl", "0", StatusBadRequest},
		{"ofst", "0", StatusBadRequest}, {"lim", "99999999999999999999", StatusBadRequest}, {"ty", "6", StatusBadRequest},
		{"ty", "+", StatusBadRequest}, {"ty", "x", StatusBadRequest}, {"lbl", "a++b", StatusBadRequest}, {"atr", "x", StatusBadRequest},
		{"atr", "lbl,", StatusBadRequest}, {"not-a-name", "1", StatusBadRequest}, {"c.", "1", StatusBadRequest}, {"p.not-a-name", "1", StatusBadRequest}, {"", "1", StatusBadRequest}, {"m2m:cnt", "1", StatusBadRequest},
		{"x", "1", StatusBadRequest}, {"lbl", "a\nb", StatusBadRequest}, {"lbl", "\xff", StatusBadRequest},
		{"lbl", string(make([]byte, maxParameterValue+1)), StatusBadRequest},
		{"smf", "x", StatusNotImplemented}, {"sqi", "true", StatusNotImplemented}, {"tids", "x", StatusBadRequest}, {"rids", "nurse@a@b", StatusBadRequest}, {"tqi", "true", StatusNotImplemented},
	} {
		req := &Request{ResultContent: ResultContentDefault}
		var e *Error
		if err := SetParameter(req, c.name, c.value); !errors.As(err, &e) || e.Status != c.want {
			t.Errorf("%.20s=%.20q: %v, want %s", c.name, c.value, err, c.want)
		}
	}
	req := &Request{ResultContent: ResultContentDefault}
	var err error
	for range maxParameterList + 1 {
		err = SetParameter(req, "lbl", "x")
	}
	if err == nil {
		t.Errorf("took %d labels", len(req.Filter.Labels))
	}
}

func FuzzSetParameter(f *testing.F) {
	f.Add("rcn", "4")
	f.Add("lbl", "a+b")
	f.Add("ty", "3+4")
	f.Add("atr", "cr,x")
	f.Add("mni", "1")
	f.Fuzz(func(t *testing.T, name, value string) {
		req := &Request{ResultContent: ResultContentDefault}
		for range 3 {
			var e *Error
			if err := SetParameter(req, name, value); err != nil && !errors.As(err, &e) {
				t.Fatalf("%q=%q: %v is no Error", name, value, err)
			}
		}
		if req.ResultContent < ResultContentDefault || req.ResultContent > ResultContentPermissions {
			t.Fatalf("result content %d", req.ResultContent)
		}
	})
}
