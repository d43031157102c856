package cse

import (
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

// filter is filterCriteria made ready to be evaluated (TS-0001 clause 8.1.2, TS-0004 clause 6.3.5.8).
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

// addTimes adds crb, cra, ms, us, exb and exa.
func (f *filter) addTimes(fc *onem2m.FilterCriteria) error {
	created := func(it *item) (int64, bool) { return it.created(), true }
	modified := func(it *item) (int64, bool) { return it.modified(), true }
	for _, t := range []struct {
		name, value string
		of          func(*item) (int64, bool)
		before      bool
	}{
		{"createdBefore (crb)", fc.CreatedBefore, created, true},
		{"createdAfter (cra)", fc.CreatedAfter, created, false},
		{"modifiedSince (ms)", fc.ModifiedSince, modified, false},
		{"unmodifiedSince (us)", fc.UnmodifiedSince, modified, true},
		{"expireBefore (exb)", fc.ExpireBefore, (*item).expires, true},
		{"expireAfter (exa)", fc.ExpireAfter, (*item).expires, false},
	} {
		if t.value == "" {
			continue
		}
		limit, err := onem2m.ParseTime(t.value)
		if err != nil {
			return refuse(onem2m.StatusBadRequest, "filter condition %s: %v", t.name, err)
		}
		f.add(func(_ *visit, it *item) (bool, error) {
			at, ok := t.of(it)
			if t.before {
				return ok && at < limit, nil
			}
			return ok && at > limit, nil
		})
	}
	return nil
}

// addNumbers adds sts, stb, sza and szb. contentSize is an attribute of contentInstances only.
func (f *filter) addNumbers(fc *onem2m.FilterCriteria) error {
	stateTag := (*item).stateTag
	size := func(it *item) (uint64, bool) {
		if it.instance == nil {
			return 0, false
		}
		return it.instance.ref.Size, true
	}
	for _, n := range []struct {
		name  string
		value *int64
		of    func(*item) (uint64, bool)
		holds func(have, limit uint64) bool
	}{
		{"stateTagSmaller (sts)", fc.StateTagSmaller, stateTag, func(have, limit uint64) bool { return have < limit }},
		{"stateTagBigger (stb)", fc.StateTagBigger, stateTag, func(have, limit uint64) bool { return have > limit }},
		{"sizeAbove (sza)", fc.SizeAbove, size, func(have, limit uint64) bool { return have >= limit }},
		{"sizeBelow (szb)", fc.SizeBelow, size, func(have, limit uint64) bool { return have < limit }},
	} {
		if n.value == nil {
			continue
		}
		if *n.value < 0 {
			return refuse(onem2m.StatusBadRequest, "filter condition %s is negative: %d", n.name, *n.value)
		}
		limit := uint64(*n.value)
		f.add(func(_ *visit, it *item) (bool, error) {
			have, ok := n.of(it)
			return ok && n.holds(have, limit), nil
		})
	}
	return nil
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

// addTexts adds lbl, cty and the attributes, and the same for children (clbl, catr) and the parent (plbl, patr).
func (f *filter) addTexts(fc *onem2m.FilterCriteria) error {
	labels, err := labelsCondition("labels (lbl)", fc.Labels)
	if err != nil {
		return err
	}
	if labels != nil {
		f.add(func(_ *visit, it *item) (bool, error) { return labels(it), nil })
	}
	if len(fc.ContentTypes) > 0 {
		patterns := fc.ContentTypes
		if err := checkTexts("contentType (cty)", patterns); err != nil {
			return err
		}
		f.add(func(_ *visit, it *item) (bool, error) {
			return it.instance != nil && matchesAny(patterns, it.instance.get("cnf")), nil
		})
	}
	own, err := attributeConditions("attribute", fc.Attributes)
	if err != nil {
		return err
	}
	for _, holds := range own {
		f.add(func(_ *visit, it *item) (bool, error) { return holds(it), nil })
	}
	childLabels, err := labelsCondition("childLabels (clbl)", fc.ChildLabels)
	if err != nil {
		return err
	}
	ofChildren, err := attributeConditions("childAttribute (catr)", fc.ChildAttributes)
	if err != nil {
		return err
	}
	if childLabels != nil {
		ofChildren = append(ofChildren, childLabels)
	}
	for _, holds := range ofChildren {
		f.add(func(v *visit, it *item) (bool, error) { return v.anyChild(it, holds) })
	}
	parentLabels, err := labelsCondition("parentLabels (plbl)", fc.ParentLabels)
	if err != nil {
		return err
	}
	ofParent, err := attributeConditions("parentAttribute (patr)", fc.ParentAttributes)
	if err != nil {
		return err
	}
	if parentLabels != nil {
		ofParent = append(ofParent, parentLabels)
	}
	for _, holds := range ofParent {
		f.add(func(v *visit, it *item) (bool, error) {
			parent, err := v.parent(it)
			return parent != nil && holds(parent), err
		})
	}
	return nil
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

// attributeConditions makes one condition of each attribute name; several values of one name are alternatives.
func attributeConditions(name string, filters []onem2m.AttributeFilter) ([]func(*item) bool, error) {
	var names []string
	var patterns [][]string
	for _, a := range filters {
		if a.Name == "" || len(a.Name) > 64 || strings.ContainsAny(a.Name, "\"\\") {
			return nil, refuse(onem2m.StatusBadRequest, "filter condition %s: %q is no attribute name", name, a.Name)
		}
		if err := checkTexts(name+" "+a.Name, []string{a.Value}); err != nil {
			return nil, err
		}
		i := slices.Index(names, a.Name)
		if i < 0 {
			i = len(names)
			names, patterns = append(names, a.Name), append(patterns, nil)
		}
		patterns[i] = append(patterns[i], a.Value)
	}
	conditions := make([]func(*item) bool, len(names))
	for i := range names {
		conditions[i] = func(it *item) bool { return matchesAny(patterns[i], it.attribute(names[i])) }
	}
	return conditions, nil
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
