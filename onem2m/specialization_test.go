package onem2m

import (
	"slices"
	"strings"
	"testing"
)

// TS-0001 clause 9.6.35: every specialization has the attributes of a flexContainer, attributes of its own besides, and
// fits the limits of a representation.
func TestSpecializations(t *testing.T) {
	list := Specializations()
	if len(list) < 200 {
		t.Fatalf("%d specializations", len(list))
	}
	definitions := map[string]string{}
	for _, d := range list {
		if len(d.Attributes) > maxMembers-2 || !slices.IsSortedFunc(d.Attributes, func(a, b AttributeDef) int { return strings.Compare(a.Short, b.Short) }) {
			t.Errorf("%s has %d attributes, or not in order", d.Tag, len(d.Attributes))
		}
		if Specialization(d.Tag) != d || !strings.Contains(d.Tag, ":") || LookupTag(d.Tag) != nil {
			t.Errorf("%s is not found by its tag, or is that of another type", d.Tag)
		}
		for i := range d.Attributes {
			if i > 0 && d.Attributes[i-1].Short == d.Attributes[i].Short {
				t.Errorf("%s has %s twice", d.Tag, d.Attributes[i].Short)
			}
		}
		if (d.MgmtDefinition != 0) != (d.Type == TypeMgmtObj) || d.Type == TypeMgmtObj && ManagementTag(d.MgmtDefinition) == "" {
			t.Errorf("%s: mgmtDefinition %d", d.Tag, d.MgmtDefinition)
		}
		if d.ContainerDefinition == "" {
			continue
		}
		if other := definitions[d.ContainerDefinition]; other != "" {
			t.Errorf("%s and %s have the same containerDefinition", d.Tag, other)
		}
		definitions[d.ContainerDefinition] = d.Tag
	}
	d := Specialization("cod:tempe")
	if d == nil || d.Name != "temperature" || d.ContainerDefinition != "org.onem2m.common.moduleclass.temperature" || !d.Custom("curT0") || d.Custom("lbl") || d.Custom("none") {
		t.Errorf("cod:tempe: %+v", d)
	}
	if bat := Specialization("m2m:bat"); bat.Type != TypeMgmtObj || bat.MgmtDefinition != 1006 || !bat.Custom("btl") || bat.Custom("mgd") || ManagementTag(1006) != "m2m:bat" || ManagementTag(1011) != "" {
		t.Errorf("m2m:bat: %+v", bat)
	}
	if !IsAttribute("btl") || !IsAttribute("curT0") || !IsAttribute("mni") || IsAttribute("wrong") {
		t.Error("attribute names of specializations")
	}
	if Specialization("m2m:mgo") != nil || Specialization("m2m:fcnt") != nil || Specialization("cod:none") != nil || Specialization("") != nil {
		t.Error("there is a specialization that there should not be")
	}
}

// The data types of custom attributes.
func TestCustomAttributes(t *testing.T) {
	check := func(tag, members string) error {
		t.Helper()
		_, list, err := ParseContent([]byte(`{"` + tag + `":{` + members + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		return Specialization(tag).CheckCreate(list)
	}
	const cnd = `"cnd":"x"`
	for members, ok := range map[string]bool{
		`,"curT0":23.0,"unit":1`: true, `,"curT0":"23.0"`: false, `,"curT0":-1e3`: true, `,"curT0":null`: false,
		`,"unit":-1`: false, `,"unit":1.5`: false, `,"dgt":"20261123T070000"`: true, `,"dgt":"yesterday"`: false,
		`,"none":1`: false, ``: true, `,"cs":1`: false, `,"st":1`: false,
	} {
		if err := check("cod:tempe", cnd+members); (err == nil) != ok {
			t.Errorf("cod:tempe %s: %v", members, err)
		}
	}
	if err := check("cod:tempe", `"curT0":1`); err == nil {
		t.Error("no containerDefinition")
	}
	for members, ok := range map[string]bool{`"gisn":"abc"`: true, `"giip":["a","b"],"gisn":"x"`: true, `"giip":"a","gisn":"x"`: false, `"giip":[]`: false} {
		if err := check("m2m:gis", cnd+","+members); (err == nil) != ok {
			t.Errorf("m2m:gis %s: %v", members, err)
		}
	}
	for value, ok := range map[string]bool{
		"2026-11-23": true, "071500": true, "20261123T071500,5Z": true, "": false, "noon": false, "12 h": false,
	} {
		if err := checkDateTime(value); (err == nil) != ok {
			t.Errorf("date or time %q: %v", value, err)
		}
	}
}

func TestParseSpecializations(t *testing.T) {
	for _, bad := range []string{"x:y", "x:y,y", " a,b,float", "x:y,y,\n a,b,colour", "x:y,y,\n a,b", "x:y,y,\n a,b,float,1,1", "x:y,y,\nz:z,z,\nx:y,y,"} {
		if _, err := parseSpecializations(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
