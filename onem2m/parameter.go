package onem2m

import (
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxParameterValue = 2048 // bytes of one value
	maxParameterList  = 64   // values of one parameter that takes several
	maxResponseType   = 5    // the highest value of m2m:responseType
)

// SetParameter sets one request parameter or filter criterion by its short name, as a binding finds them in a query
// string (TS-0009 clause 6.2.2.2, TS-0008 clause 6.2.2.3). The value is percent-decoded, but a '+' in it must not
// have been turned into a blank: it parts the values of a parameter that takes several, which may also be given
// several times. A name that is no parameter but could be the short name of an attribute becomes an attribute=value
// filter, of the children with "c." in front of it and of the parent with "p.". The caller starts with ResultContentDefault in req.ResultContent.
// Errors are *Error: StatusBadRequest, or StatusNotImplemented for a parameter that this implementation lacks.
func SetParameter(req *Request, name, value string) error {
	if err := checkParameterValue(name, value); err != nil {
		return err
	}
	if known, err := setRequestParameter(req, name, value); known {
		return err
	}
	if slices.Contains(unsupportedParameters, name) {
		return unsupported(name)
	}
	if req.Filter == nil {
		req.Filter = &FilterCriteria{}
	}
	if known, err := setFilterParameter(req.Filter, name, value); known {
		return err
	}
	return addFilterByName(req.Filter, name, value)
}

func unsupported(name string) error {
	return Errorf(StatusNotImplemented, "parameter %s is not supported", name)
}

// checkParameterValue says what is wrong with the value of any parameter.
func checkParameterValue(name, value string) error {
	switch {
	case len(value) > maxParameterValue:
		return badRequest("parameter %.64q: longer than %d bytes", name, maxParameterValue)
	case value == "":
		return badRequest("parameter %.64q has no value", name)
	case !printableText(value):
		return badRequest("parameter %.64q: value has a control character or is not UTF-8", name)
	}
	return nil
}

// printableText says whether a string is UTF-8 without control characters and without blanks but the usual one.
func printableText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7F {
			return utf8.ValidString(s) && checkVisible(strings.ReplaceAll(s, " ", "_")) == nil
		}
	}
	return true
}

// addFilterByName adds a filter whose parameter is named like the attribute.
func addFilterByName(f *FilterCriteria, name, value string) error {
	if attribute, ok := strings.CutPrefix(name, "c."); ok && isShortName(attribute) {
		return addAttributeFilter(&f.ChildAttributes, name, attribute, value)
	}
	if attribute, ok := strings.CutPrefix(name, "p."); ok && isShortName(attribute) {
		return addAttributeFilter(&f.ParentAttributes, name, attribute, value)
	}
	if !isShortName(name) {
		return badRequest("%.64q is neither a parameter nor the short name of an attribute", name)
	}
	return addAttributeFilter(&f.Attributes, name, name, value)
}

// unsupportedParameters would change what a request means if they were taken for attribute filters.
var unsupportedParameters = []string{
	"cfq", "cfs", "da", "geom", "gmty", "gsf", "gstn", "ma", "omr", "ops", "smf", "sqi", "tkns", "tqi",
}

func setRequestParameter(req *Request, name, value string) (known bool, err error) {
	switch name {
	case "rcn":
		v, err := parameterInt(name, value, 0, int64(ResultContentPermissions))
		switch {
		case err != nil:
			return true, err
		case req.ResultContent != ResultContentDefault:
			return true, repeated(name)
		}
		req.ResultContent = ResultContent(v)
	case "drt":
		return true, setUint8(&req.DesiredIDType, name, value, 2)
	case "rt":
		return true, setUint8(&req.ResponseType, name, value, maxResponseType)
	case "rp":
		return true, setString(&req.ResultPersistence, name, value)
	case "atrl":
		return true, addValues(&req.Attributes, name, value)
	case "rids":
		return true, addIssuedIDs(&req.RoleIDs, name, value)
	case "tids":
		return true, addIssuedIDs(&req.TokenIDs, name, value)
	case "ltids":
		return true, addValues(&req.LocalTokenIDs, name, value)
	default:
		return false, nil
	}
	return true, nil
}

func setFilterParameter(f *FilterCriteria, name, value string) (known bool, err error) {
	switch name {
	case "fu":
		err = setUint8((*uint8)(&f.Usage), name, value, uint8(FilterUsageDiscoveryRet))
	case "fo":
		err = setUint8(&f.Operation, name, value, 3)
	case "crb":
		err = setString(&f.CreatedBefore, name, value)
	case "cra":
		err = setString(&f.CreatedAfter, name, value)
	case "ms":
		err = setString(&f.ModifiedSince, name, value)
	case "us":
		err = setString(&f.UnmodifiedSince, name, value)
	case "exb":
		err = setString(&f.ExpireBefore, name, value)
	case "exa":
		err = setString(&f.ExpireAfter, name, value)
	case "sts":
		err = setInt(&f.StateTagSmaller, name, value, 1)
	case "stb":
		err = setInt(&f.StateTagBigger, name, value, 1)
	case "sza":
		err = setInt(&f.SizeAbove, name, value, 0)
	case "szb":
		err = setInt(&f.SizeBelow, name, value, 1)
	case "lim":
		err = setInt(&f.Limit, name, value, 0)
	case "lvl":
		err = setInt(&f.Level, name, value, 1)
	case "ofst":
		err = setInt(&f.Offset, name, value, 1)
	case "lbq":
		err = setString(&f.LabelsQuery, name, value)
	case "arp":
		err = setString(&f.ApplyRelPath, name, value)
	case "lbl":
		err = addValues(&f.Labels, name, value)
	case "clbl":
		err = addValues(&f.ChildLabels, name, value)
	case "palb":
		err = addValues(&f.ParentLabels, name, value)
	case "cty":
		err = addValue(&f.ContentTypes, name, value)
	case "ty":
		err = addTypes(&f.Types, name, value)
	case "chty":
		err = addTypes(&f.ChildTypes, name, value)
	case "pty":
		err = addTypes(&f.ParentTypes, name, value)
	case "atr":
		err = addNamedAttribute(&f.Attributes, name, value)
	case "catr":
		err = addNamedAttribute(&f.ChildAttributes, name, value)
	case "patr":
		err = addNamedAttribute(&f.ParentAttributes, name, value)
	default:
		return false, nil
	}
	return true, err
}

func repeated(name string) error { return badRequest("parameter %s is given twice", name) }

func parameterInt(name, value string, low, high int64) (int64, error) {
	v, ok := digits(value)
	if !ok || v < low || v > high {
		return 0, badRequest("parameter %s: %.64q is not an integer from %d to %d", name, value, low, high)
	}
	return v, nil
}

// setUint8 sets an enumeration that starts at 1; zero in dst means that it was not yet given.
func setUint8(dst *uint8, name, value string, high uint8) error {
	v, err := parameterInt(name, value, 1, int64(high))
	if err != nil {
		return err
	}
	if *dst != 0 {
		return repeated(name)
	}
	*dst = uint8(v)
	return nil
}

func setInt(dst **int64, name, value string, low int64) error {
	v, err := parameterInt(name, value, low, maxInteger)
	if err != nil {
		return err
	}
	if *dst != nil {
		return repeated(name)
	}
	*dst = &v
	return nil
}

func setString(dst *string, name, value string) error {
	if *dst != "" {
		return repeated(name)
	}
	*dst = value
	return nil
}

func addValues(dst *[]string, name, value string) error {
	for v := range strings.SplitSeq(value, "+") {
		if v == "" {
			return badRequest("parameter %s: empty value in %.64q", name, value)
		}
		if err := addValue(dst, name, v); err != nil {
			return err
		}
	}
	return nil
}

// addValue adds one value, which is not split: a media type ("application/senml+json") may hold a '+' itself.
func addValue(dst *[]string, name, value string) error {
	if len(*dst) == maxParameterList {
		return badRequest("parameter %s: more than %d values", name, maxParameterList)
	}
	*dst = append(*dst, value)
	return nil
}

func addTypes(dst *[]ResourceType, name, value string) error {
	for v := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == '+' || r == ' ' }) {
		t, ok := digits(v)
		if !ok || !enumResourceType.Contains(t) {
			return badRequest("parameter %s: %.64q is not a resource type", name, v)
		}
		if len(*dst) == maxParameterList {
			return badRequest("parameter %s: more than %d values", name, maxParameterList)
		}
		*dst = append(*dst, ResourceType(t))
	}
	if len(*dst) == 0 {
		return badRequest("parameter %s has no value", name)
	}
	return nil
}

// addNamedAttribute adds an attribute filter whose name and value are parted by a comma.
func addNamedAttribute(dst *[]AttributeFilter, parameter, value string) error {
	name, v, ok := strings.Cut(value, ",")
	if !ok || !isShortName(name) || v == "" {
		return badRequest("parameter %s: want the short name of an attribute, a comma and a value", parameter)
	}
	return addAttributeFilter(dst, parameter, name, v)
}

func addAttributeFilter(dst *[]AttributeFilter, parameter, name, value string) error {
	if len(*dst) == maxParameterList {
		return badRequest("parameter %s: more than %d attribute filters", parameter, maxParameterList)
	}
	*dst = append(*dst, AttributeFilter{Name: name, Value: value})
	return nil
}

// isShortName says whether a name is in the tables or looks like the short names of TS-0004 clause 8.2.
func isShortName(name string) bool {
	if _, ok := knownNames[name]; ok && !strings.Contains(name, ":") {
		return true
	}
	if len(name) < 2 || len(name) > 5 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (i == 0 || (c < '0' || c > '9') && (c < 'A' || c > 'Z')) {
			return false
		}
	}
	return true
}
