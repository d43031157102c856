package cse

import (
	"math"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of a filter.
const (
	maxFilterConditions = 64
	maxFilterText       = 256 // bytes of one label, attribute value or content type
	// maxFiltered bounds the attribute values that a pattern other than "*" can match, in bytes.
	maxFiltered = 4096
)

// condition is one condition of filterCriteria on one resource.
type condition func(v *visit, it *item) (bool, error)

// filter is filterCriteria made ready to be evaluated (TS-0001 clause 8.1.2, TS-0004 clause 7.3.3.17).
// Different conditions combine by filterOperation; several values of one condition are alternatives.
type filter struct {
	operation  uint8 // 1 AND, 2 OR, 3 XOR
	conditions []condition
	// types are the resource types to which AND restricts a match; nil when any can match.
	types []onem2m.ResourceType
}

// newFilter validates filterCriteria. Criteria without conditions match everything.
func newFilter(fc *onem2m.FilterCriteria) (*filter, error) {
	f := &filter{operation: 1}
	if fc == nil {
		return f, nil
	}
	if fc.Operation > 3 {
		return nil, refuse(onem2m.StatusBadRequest, "filterOperation (fo) %d is not 1 (AND), 2 (OR) or 3 (XOR)", fc.Operation)
	}
	if fc.Operation != 0 {
		f.operation = fc.Operation
	}
	if fc.LabelsQuery != "" {
		return nil, refuse(onem2m.StatusNotImplemented, "labelsQuery (lbq) is not supported")
	}
	for _, set := range [][]onem2m.AttributeFilter{fc.Attributes, fc.ChildAttributes, fc.ParentAttributes} {
		for _, a := range set {
			if !onem2m.IsAttribute(a.Name) {
				return nil, refuse(onem2m.StatusBadRequest, "the filter has %.64q, which is neither a condition nor an attribute of any resource type", a.Name)
			}
		}
	}
	for _, add := range []func(*onem2m.FilterCriteria) error{f.addTimes, f.addNumbers, f.addTypes, f.addTexts} {
		if err := add(fc); err != nil {
			return nil, err
		}
	}
	if len(f.conditions) > maxFilterConditions {
		return nil, refuse(onem2m.StatusBadRequest, "the filter has %d conditions; the limit is %d", len(f.conditions), maxFilterConditions)
	}
	if f.operation == 1 && len(fc.Types) > 0 {
		f.types = fc.Types
	}
	return f, nil
}

func (f *filter) add(c condition) { f.conditions = append(f.conditions, c) }

// addTimes adds crb with cra, us with ms, and exb with exa: each pair is one condition, an interval that has its start
// and not its end (TS-0004 clauses 7.3.3.17.1, 7.3.3.17.2 and 7.3.3.17.4).
func (f *filter) addTimes(fc *onem2m.FilterCriteria) error {
	for _, t := range []struct {
		fromName, from, toName, to string
		of                         func(*item) (int64, bool)
	}{
		{"createdAfter (cra)", fc.CreatedAfter, "createdBefore (crb)", fc.CreatedBefore, (*item).created},
		{"modifiedSince (ms)", fc.ModifiedSince, "unmodifiedSince (us)", fc.UnmodifiedSince, (*item).modified},
		{"expireAfter (exa)", fc.ExpireAfter, "expireBefore (exb)", fc.ExpireBefore, (*item).expires},
	} {
		if t.from == "" && t.to == "" {
			continue
		}
		from, err := timeBound(t.fromName, t.from, math.MinInt64)
		if err != nil {
			return err
		}
		to, err := timeBound(t.toName, t.to, math.MaxInt64)
		if err != nil {
			return err
		}
		f.add(func(_ *visit, it *item) (bool, error) {
			at, ok := t.of(it)
			return ok && from <= at && at < to, nil
		})
	}
	return nil
}

// timeBound reads a time that bounds a condition; open is the bound when there is none.
func timeBound(name, value string, open int64) (int64, error) {
	if value == "" {
		return open, nil
	}
	at, err := onem2m.ParseTime(value)
	if err != nil {
		return 0, refuse(onem2m.StatusBadRequest, "filter condition %s: %v", name, err)
	}
	return at, nil
}

// addNumbers adds stb with sts and sza with szb, each pair an interval like those of times (TS-0004 clauses 7.3.3.17.3
// and 7.3.3.17.7). contentSize is an attribute of contentInstances only.
func (f *filter) addNumbers(fc *onem2m.FilterCriteria) error {
	for _, n := range []struct {
		fromName string
		from     *int64
		toName   string
		to       *int64
		of       func(*item) (uint64, bool)
	}{
		{"stateTagBigger (stb)", fc.StateTagBigger, "stateTagSmaller (sts)", fc.StateTagSmaller, (*item).stateTag},
		{"sizeAbove (sza)", fc.SizeAbove, "sizeBelow (szb)", fc.SizeBelow, (*item).contentSize},
	} {
		if n.from == nil && n.to == nil {
			continue
		}
		from, err := numberBound(n.fromName, n.from, 0)
		if err != nil {
			return err
		}
		to, err := numberBound(n.toName, n.to, math.MaxUint64)
		if err != nil {
			return err
		}
		f.add(func(_ *visit, it *item) (bool, error) {
			have, ok := n.of(it)
			return ok && from <= have && have < to, nil
		})
	}
	return nil
}

// numberBound gives a number that bounds a condition; open is the bound when there is none.
func numberBound(name string, value *int64, open uint64) (uint64, error) {
	switch {
	case value == nil:
		return open, nil
	case *value < 0:
		return 0, refuse(onem2m.StatusBadRequest, "filter condition %s is negative: %d", name, *value)
	}
	return uint64(*value), nil
}

// addTypes adds ty, chty and pty.
func (f *filter) addTypes(fc *onem2m.FilterCriteria) error {
	if types := fc.Types; len(types) > 0 {
		f.add(func(_ *visit, it *item) (bool, error) { return slices.Contains(types, it.typ()), nil })
	}
	if types := fc.ChildTypes; len(types) > 0 {
		f.add(func(v *visit, it *item) (bool, error) { return v.hasChildOfType(it, types) })
	}
	if types := fc.ParentTypes; len(types) > 0 {
		f.add(func(v *visit, it *item) (bool, error) {
			parent, err := v.parent(it)
			return parent != nil && slices.Contains(types, parent.resource.Type), err
		})
	}
	return nil
}

// addTexts adds lbl, cty and atr, and the same for children (clbl, catr) and the parent (palb, patr).
func (f *filter) addTexts(fc *onem2m.FilterCriteria) error {
	for _, own := range []struct {
		name   string
		labels []string
		attrs  []onem2m.AttributeFilter
		on     func(holds func(*item) bool) condition
	}{
		{"", fc.Labels, fc.Attributes, onItem},
		{"child", fc.ChildLabels, fc.ChildAttributes, onChildren},
		{"parent", fc.ParentLabels, fc.ParentAttributes, onParent},
	} {
		labels, err := labelsCondition(own.name+" labels", own.labels)
		if err != nil {
			return err
		}
		attributes, err := attributeCondition(own.name+" attribute", own.attrs)
		if err != nil {
			return err
		}
		if labels != nil {
			f.add(own.on(labels))
		}
		if attributes != nil {
			f.add(own.on(attributes))
		}
	}
	if patterns := fc.ContentTypes; len(patterns) > 0 {
		if err := checkTexts("contentType (cty)", patterns); err != nil {
			return err
		}
		f.add(func(_ *visit, it *item) (bool, error) { return matchesContentType(patterns, it), nil })
	}
	return nil
}

// The resources on which a condition looks.

func onItem(holds func(*item) bool) condition {
	return func(_ *visit, it *item) (bool, error) { return holds(it), nil }
}

func onChildren(holds func(*item) bool) condition {
	return func(v *visit, it *item) (bool, error) { return v.anyChild(it, holds) }
}

func onParent(holds func(*item) bool) condition {
	return func(v *visit, it *item) (bool, error) {
		parent, err := v.parent(it)
		return parent != nil && holds(parent), err
	}
}

// matchesContentType compares the media type in contentInfo, without encoding and security (TS-0004 clause 7.3.3.17.8),
// or contentInfo as it is with a pattern that has these too.
func matchesContentType(patterns []string, it *item) bool {
	if it.instance == nil {
		return false
	}
	cnf := it.instance.get("cnf")
	if it.instance.container.Type == onem2m.TypeTimeSeries {
		cnf = it.instance.container.Get("cnf") // it says what all instances contain
	}
	info := text(cnf)
	media, _, _ := strings.Cut(info, ":")
	return media != "" && len(info) <= maxFiltered && slices.ContainsFunc(patterns, func(p string) bool {
		if strings.Contains(p, ":") {
			return matchWildcard(p, info)
		}
		return matchWildcard(p, media)
	})
}

// matches evaluates the filter. XOR holds when exactly one condition does.
func (f *filter) matches(v *visit, it *item) (bool, error) {
	if len(f.conditions) == 0 {
		return true, nil
	}
	held := 0
	for _, holds := range f.conditions {
		ok, err := holds(v, it)
		if err != nil {
			return false, err
		}
		switch {
		case ok && f.operation == 2:
			return true, nil
		case ok:
			held++
		case f.operation == 1:
			return false, nil
		}
	}
	if f.operation == 3 {
		return held == 1, nil
	}
	return f.operation == 1, nil
}

// canMatch says whether a resource of some type can match at all.
func (f *filter) canMatch(t onem2m.ResourceType) bool {
	return f.types == nil || slices.Contains(f.types, t)
}

// labelsCondition says whether a label of an item matches one of the patterns; nil when there are none.
func labelsCondition(name string, patterns []string) (func(*item) bool, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	if err := checkTexts(name, patterns); err != nil {
		return nil, err
	}
	return func(it *item) bool { return matchesAny(patterns, it.labels()) }, nil
}

// otherwiseFiltered are the attributes that have conditions of their own, which an attribute condition would only
// confuse (TS-0004 clause 7.3.3.17.9).
var otherwiseFiltered = []string{"ct", "lt", "st", "et", "lbl", "ty", "cs", "cnf"}

// attributeCondition says whether one of the attributes has the value that goes with it: all elements of one filter
// are alternatives, those of different names too (TS-0004 clause 7.3.3.17.9). It is nil when there are none.
func attributeCondition(name string, filters []onem2m.AttributeFilter) (func(*item) bool, error) {
	if len(filters) == 0 {
		return nil, nil
	}
	if len(filters) > maxFilterConditions {
		return nil, refuse(onem2m.StatusBadRequest, "filter condition %s has %d elements; the limit is %d", name, len(filters), maxFilterConditions)
	}
	for _, a := range filters {
		if a.Name == "" || len(a.Name) > 64 || strings.ContainsAny(a.Name, "\"\\") {
			return nil, refuse(onem2m.StatusBadRequest, "filter condition %s: %q is no attribute name", name, a.Name)
		}
		if slices.Contains(otherwiseFiltered, a.Name) {
			return nil, refuse(onem2m.StatusBadRequest, "filter condition %s: %s has a condition of its own", name, a.Name)
		}
		if err := checkTexts(name+" "+a.Name, []string{a.Value}); err != nil {
			return nil, err
		}
	}
	return func(it *item) bool {
		return slices.ContainsFunc(filters, func(a onem2m.AttributeFilter) bool {
			return matchesAny([]string{a.Value}, it.attribute(a.Name))
		})
	}, nil
}

func checkTexts(name string, values []string) error {
	if len(values) > maxFilterConditions {
		return refuse(onem2m.StatusBadRequest, "filter condition %s has %d values; the limit is %d", name, len(values), maxFilterConditions)
	}
	for _, v := range values {
		if len(v) > maxFilterText {
			return refuse(onem2m.StatusBadRequest, "filter condition %s has a value of %d bytes; the limit is %d", name, len(v), maxFilterText)
		}
	}
	return nil
}

// matchesAny says whether a JSON value, or one element of a JSON array, matches one of the patterns.
// A string is compared by its characters, anything else by its JSON text.
func matchesAny(patterns []string, value []byte) bool {
	if len(value) == 0 {
		return false
	}
	if value[0] != '[' {
		return matchesOne(patterns, value)
	}
	for element := range onem2m.Elements(value) {
		if matchesOne(patterns, element) {
			return true
		}
	}
	return false
}

func matchesOne(patterns []string, value []byte) bool {
	s, ok := onem2m.Unquote(value)
	if !ok {
		s = string(value)
	}
	return slices.ContainsFunc(patterns, func(p string) bool {
		return p == "*" || len(s) <= maxFiltered && matchWildcard(p, s)
	})
}
