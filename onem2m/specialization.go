package onem2m

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// specializationData lists the specializations of flexContainer. The file says how.
//
//go:embed data/flexcontainers.csv
var specializationData string

// specializations holds the descriptions of all specializations by tag. They are made when the first is asked for.
var specializations = sync.OnceValue(func() map[string]*TypeDef {
	all, err := parseSpecializations(specializationData)
	if err != nil {
		panic("onem2m: data/flexcontainers.csv: " + err.Error()) // a test reads it all
	}
	for _, d := range managementDefs {
		all[d.Tag] = d
	}
	return all
})

// customNames holds the short names of all custom attributes.
var customNames = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for _, d := range specializations() {
		for _, a := range d.Attributes {
			all[a.Short] = true
		}
	}
	return all
})

// Specialization gives the description of a specialization of flexContainer or mgmtObj by the root member of its
// representation ("cod:tempe", "m2m:bat"): the attributes of every flexContainer or mgmtObj and its own custom attributes
// (TS-0001 clauses 9.6.35 and 9.6.15, TS-0023, TS-0004 Annexes D and J, TS-0022). Its Type says which of the two it is. It
// is nil when there is none such. The result is shared and must not be changed.
func Specialization(tag string) *TypeDef { return specializations()[tag] }

// Specializations gives the descriptions of all specializations in ascending order of their tags.
func Specializations() []*TypeDef {
	var list []*TypeDef
	for _, d := range specializations() {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b *TypeDef) int { return strings.Compare(a.Tag, b.Tag) })
	return list
}

// Custom says whether a short name is that of a custom attribute of a specialization.
func (d *TypeDef) Custom(short string) bool {
	return d.Type.Specialized() && d.Attribute(short) != nil && Lookup(d.Type).Attribute(short) == nil
}

// customKinds are the data types of custom attributes, as the data names them.
var customKinds = map[string]Kind{
	"anyuri": KindAnyURI, "boolean": KindBoolean, "date": KindDateTime, "dateTime": KindDateTime, "float": KindFloat,
	"integer": KindInteger, "list": KindAny, "nonNegInteger": KindNonNegInteger, "string": KindString,
	"time": KindDateTime, "timestamp": KindTimestamp,
}

func parseSpecializations(data string) (map[string]*TypeDef, error) {
	all := map[string]*TypeDef{}
	var d *TypeDef
	var custom []AttributeDef
	finish := func() {
		if d != nil {
			all[d.Tag] = define(d, flexContainer, custom)
		}
	}
	for n, line := range strings.Split(data, "\n") {
		fields := strings.Split(strings.TrimSpace(line), ",")
		switch {
		case line == "" || line[0] == '#':
		case line[0] != ' ':
			if len(fields) != 3 || fields[0] == "" || all[fields[0]] != nil {
				return nil, fmt.Errorf("line %d: want a new type, its long name and its containerDefinition", n+1)
			}
			finish()
			generic := Lookup(TypeFlexContainer)
			d = &TypeDef{
				Type: TypeFlexContainer, Tag: fields[0], Name: fields[1], ContainerDefinition: fields[2], IDPrefix: generic.IDPrefix,
				Children: generic.Children, Creatable: true, Updatable: true, Deletable: true,
			}
			custom = nil
		default:
			kind := customKinds[fields[min(2, len(fields)-1)]]
			if d == nil || len(fields) < 3 || len(fields) > 4 || kind == 0 {
				return nil, fmt.Errorf("line %d: want the short name, long name and data type of an attribute", n+1)
			}
			a := attribute(fields[0], fields[1], kind, o, o)
			a.List = fields[2] == "list"
			if len(fields) == 4 {
				a = a.one()
				// A module of TS-0023 may be made before its device has told all data points. The types of TS-0004 are
				// complete from the start.
				if strings.HasPrefix(d.Tag, "m2m:") {
					a.Create = m
				}
			}
			custom = append(custom, a)
		}
	}
	finish()
	return all, nil
}
