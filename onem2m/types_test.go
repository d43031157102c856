package onem2m

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); if the change is meant, run go test -update:\n%s", path, diff)
	}
}

func describe(a AttributeDef) string {
	kind := a.Kind.String()
	switch {
	case a.Enum != nil:
		kind = a.Enum.Name
	case a.Complex != nil:
		kind = a.Complex.Name
	}
	if a.List {
		kind = "list of " + kind
	}
	if a.NonEmpty {
		kind = "non-empty " + kind
	}
	return fmt.Sprintf("  %-5s %-36s %-44s create %-2s update %-2s %s\n", a.Short, a.Long, kind, a.Create, a.Update, a.Card)
}

// A change of a table is a change of what clients may send: it must show.
func TestTablesGolden(t *testing.T) {
	var out strings.Builder
	complexes := map[string]*ComplexDef{}
	var collect func(defs []AttributeDef)
	collect = func(defs []AttributeDef) {
		for _, a := range defs {
			if a.Complex != nil {
				complexes[a.Complex.Name] = a.Complex
				collect(a.Complex.Members)
			}
		}
	}
	for _, d := range slices.Concat(Types(), managementDefs) {
		fmt.Fprintf(&out, "%d %s %s, ID prefix %s, create %t update %t delete %t, children %v\n",
			int(d.Type), d.Tag, d.Name, d.IDPrefix, d.Creatable, d.Updatable, d.Deletable, d.Children)
		for _, a := range d.Attributes {
			out.WriteString(describe(a))
		}
		collect(d.Attributes)
	}
	complexNames := make([]string, 0, len(complexes))
	for name := range complexes {
		complexNames = append(complexNames, name)
	}
	slices.Sort(complexNames)
	for _, name := range complexNames {
		fmt.Fprintf(&out, "%s\n", name)
		for _, a := range complexes[name].Members {
			out.WriteString(describe(a))
		}
	}
	golden(t, "tables.txt", out.String())
}

func TestTablesWellFormed(t *testing.T) {
	var check func(where string, defs []AttributeDef)
	check = func(where string, defs []AttributeDef) {
		if len(defs) > maxMembers {
			t.Errorf("%s: %d attributes do not fit in a mask of %d", where, len(defs), maxMembers)
		}
		for i, a := range defs {
			at := where + "." + a.Short
			if i > 0 && defs[i-1].Short >= a.Short {
				t.Errorf("%s: not in ascending order after %s", at, defs[i-1].Short)
			}
			if a.Kind == 0 || a.Kind.String() == "unknown" {
				t.Errorf("%s: no data type", at)
			}
			if (a.Kind == KindEnum) != (a.Enum != nil) || (a.Kind == KindComplex) != (a.Complex != nil) {
				t.Errorf("%s: data type %s does not fit its description", at, a.Kind)
			}
			if a.Create == Mandatory && a.Card == ZeroOne {
				t.Errorf("%s: mandatory in a CREATE and yet removable", at)
			}
			if a.Complex != nil {
				check(at, a.Complex.Members)
			}
		}
	}
	prefixes := map[string]bool{}
	for i, d := range Types() {
		if i > 0 && Types()[i-1].Type >= d.Type {
			t.Errorf("%s: types are not in ascending order", d.Name)
		}
		if prefixes[d.IDPrefix] {
			t.Errorf("%s: ID prefix %s is taken", d.Name, d.IDPrefix)
		}
		prefixes[d.IDPrefix] = true
		if Lookup(d.Type) != d || LookupTag(d.Tag) != d || d.Type.String() != d.Name {
			t.Errorf("%s: not found by its number or tag", d.Name)
		}
		for _, c := range d.Children {
			if child := Lookup(c); child == nil || !child.Creatable && !c.IsInstance() || !d.AllowsChild(c) {
				t.Errorf("%s: child %v cannot be created", d.Name, c)
			}
		}
		check(d.Name, d.Attributes)
	}
	for _, d := range managementDefs {
		if Specialization(d.Tag) != d || d.Attribute("mgd").Update != NotPresent || !d.AllowsChild(TypeSubscription) {
			t.Errorf("%s: not found by its tag, or not as a mgmtObj is", d.Tag)
		}
		check(d.Tag, d.Attributes)
	}
	if Lookup(99) != nil || LookupTag("m2m:xyz") != nil || Lookup(TypeContainer).AllowsChild(TypeAE) {
		t.Error("found what is not there")
	}
}

// TS-0004 clause 6.6.3, TS-0009 clause 6.3.2.
func TestStatusCodes(t *testing.T) {
	var out strings.Builder
	codes := make([]StatusCode, 0, len(statusText))
	for s := range statusText {
		codes = append(codes, s)
	}
	slices.Sort(codes)
	for _, s := range codes {
		fmt.Fprintf(&out, "%d %s %d\n", int(s), s, s.HTTPStatus())
		if s.Success() != (s.HTTPStatus() < 300) {
			t.Errorf("%s: success and HTTP status %d disagree", s, s.HTTPStatus())
		}
	}
	golden(t, "status.txt", out.String())
	for s, want := range map[StatusCode]int{1999: 202, 2999: 200, 4999: 400, 5999: 500, 0: 500, -7: 500} {
		if s.HTTPStatus() != want {
			t.Errorf("unknown code %d: HTTP status %d, want %d", int(s), s.HTTPStatus(), want)
		}
	}
	if StatusCode(4999).String() != "4999" {
		t.Error("an unknown code is not shown as its number")
	}
}

// TS-0001 clauses 9.6.6, 9.6.13, 9.6.27, 9.6.28.
func TestVirtualChild(t *testing.T) {
	for _, c := range []struct {
		parent ResourceType
		name   string
		want   ResourceType
	}{
		{TypeContainer, "la", TypeLatest}, {TypeContainer, "ol", TypeOldest}, {TypeGroup, "fopt", TypeFanOutPoint},
		{TypeGroup, "la", 0}, {TypeAE, "la", 0}, {TypeContainer, "fopt", 0}, {TypeContainer, "x", 0},
	} {
		if got := c.parent.VirtualChild(c.name); got != c.want {
			t.Errorf("%v/%s: %v, want %v", c.parent, c.name, got, c.want)
		}
	}
}
