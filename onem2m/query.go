package onem2m

import (
	"iter"
	"strconv"
)

// Parameters gives the request parameters and filter criteria of a request that a binding writes into a query string
// or options, by their short names, as SetParameter reads them (TS-0009 clause 6.2.2.2, TS-0008 clause 6.2.2.3). Several
// values of one name are for joining with '+', or for giving one by one.
func (r *Request) Parameters() iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		for _, p := range r.parameters() {
			if len(p.values) > 0 && !yield(p.name, p.values) {
				return
			}
		}
	}
}

type parameter struct {
	name   string
	values []string
}

func (r *Request) parameters() []parameter {
	var all []parameter
	add := func(name string, values ...string) { all = append(all, parameter{name, values}) }
	number := func(name string, v int64) { add(name, strconv.FormatInt(v, 10)) }
	if r.ResultContent != ResultContentDefault {
		number("rcn", int64(r.ResultContent))
	}
	if r.DesiredIDType != 0 {
		number("drt", int64(r.DesiredIDType))
	}
	if r.ResponseType != 0 {
		number("rt", int64(r.ResponseType))
	}
	if r.ResultPersistence != "" {
		add("rp", r.ResultPersistence)
	}
	add("atrl", r.Attributes...)
	add("rids", r.RoleIDs...)
	add("tids", r.TokenIDs...)
	add("ltids", r.LocalTokenIDs...)
	f := r.Filter
	if f == nil {
		return all
	}
	if f.Usage != 0 {
		number("fu", int64(f.Usage))
	}
	if f.Operation != 0 {
		number("fo", int64(f.Operation))
	}
	for _, p := range []parameter{
		{"crb", []string{f.CreatedBefore}}, {"cra", []string{f.CreatedAfter}},
		{"ms", []string{f.ModifiedSince}}, {"us", []string{f.UnmodifiedSince}},
		{"exb", []string{f.ExpireBefore}}, {"exa", []string{f.ExpireAfter}},
		{"lbq", []string{f.LabelsQuery}}, {"arp", []string{f.ApplyRelPath}},
	} {
		if p.values[0] != "" {
			all = append(all, p)
		}
	}
	for _, n := range []struct {
		name string
		v    *int64
	}{
		{"sts", f.StateTagSmaller}, {"stb", f.StateTagBigger}, {"sza", f.SizeAbove}, {"szb", f.SizeBelow},
		{"lim", f.Limit}, {"lvl", f.Level}, {"ofst", f.Offset},
	} {
		if n.v != nil {
			number(n.name, *n.v)
		}
	}
	add("lbl", f.Labels...)
	add("clbl", f.ChildLabels...)
	add("palb", f.ParentLabels...)
	add("ty", typeNumbers(f.Types)...)
	add("chty", typeNumbers(f.ChildTypes)...)
	add("pty", typeNumbers(f.ParentTypes)...)
	// A '+' in these is no separator, so each is a parameter of its own.
	for _, v := range f.ContentTypes {
		add("cty", v)
	}
	for _, a := range f.Attributes {
		add("atr", a.Name+","+a.Value)
	}
	for _, a := range f.ChildAttributes {
		add("catr", a.Name+","+a.Value)
	}
	for _, a := range f.ParentAttributes {
		add("patr", a.Name+","+a.Value)
	}
	return all
}

func typeNumbers(types []ResourceType) []string {
	var out []string
	for _, t := range types {
		out = append(out, strconv.Itoa(int(t)))
	}
	return out
}
