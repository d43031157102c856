package onem2m

import (
	"bytes"
	"slices"
)

func (r *Request) set(members []Member) error {
	err := setAll(members, r.setMember)
	if err == nil && (r.Operation == Retrieve || r.Operation == Delete) {
		err = r.setAttributeList()
	}
	switch {
	case err != nil:
		return err
	case r.Operation == 0:
		return badRequest("the request has no operation (op)")
	case r.To == "":
		return badRequest("the request has no target (to)")
	}
	return nil
}

func (r *Request) setMember(name string, value []byte) error {
	switch name {
	case "op":
		v, err := intParameter(name, value, int64(Create), int64(Notify))
		r.Operation = Operation(v)
		return err
	case "to":
		return textParameter(&r.To, name, value)
	case "fr":
		return textParameter(&r.From, name, value)
	case "rqi":
		return textParameter(&r.RequestID, name, value)
	case "rvi":
		return textParameter(&r.ReleaseVersion, name, value)
	case "ty":
		v, err := intParameter(name, value, 0, maxInteger)
		if err == nil && !enumResourceType.Contains(v) {
			err = badRequest("parameter ty: %d is not a resource type", v)
		}
		if err == nil {
			r.Type = ResourceType(v)
		}
		return err
	case "pc":
		r.Content = value
	case "rcn", "drt":
		s, err := parameterText(name, value)
		if err == nil {
			_, err = setRequestParameter(r, name, s)
		}
		return err
	case "atrl":
		return listParameter(&r.Attributes, name, value)
	case "fc":
		return r.setFilter(value)
	case "rt":
		return r.setResponseType(value)
	case "ot":
		return textParameter(&r.OriginatingTimestamp, name, value)
	case "rqet":
		return timeParameter(&r.RequestExpiration, name, value)
	case "rset":
		return timeParameter(&r.ResultExpiration, name, value)
	case "rp":
		return timeParameter(&r.ResultPersistence, name, value)
	case "oet":
		return timeParameter(&r.OperationExecution, name, value)
	case "ec":
		return categoryParameter(&r.EventCategory, value)
	case "gid":
		return textParameter(&r.GroupRequestID, name, value)
	case "vsi":
		return textParameter(&r.VendorInformation, name, value)
	case "tkns":
		return tokensParameter(&r.Tokens, value)
	case "rids":
		return issuedIDsParameter(&r.RoleIDs, name, value)
	case "tids":
		return issuedIDsParameter(&r.TokenIDs, name, value)
	case "ltids":
		return listParameter(&r.LocalTokenIDs, name, value)
	default:
		if slices.Contains(unsupportedParameters, name) {
			return unsupported(name)
		}
	}
	return nil
}

// setAttributeList takes the attributes that a partial RETRIEVE asks for out of its content (TS-0004 clause 7.3.2.1,
// m2m:attributeList), and those of a DELETE, for which there is no such thing, so that it is refused in every protocol.
func (r *Request) setAttributeList() error {
	list := Field(r.Content, "m2m:atrl")
	if list == nil {
		return nil
	}
	r.Content = nil
	return listParameter(&r.Attributes, "atrl", list)
}

// setResponseType reads m2m:responseTypeInfo (TS-0004 clause 6.3.5.9).
func (r *Request) setResponseType(value []byte) error {
	if value[0] != '{' {
		return badRequest("parameter rt: want an object with rtv")
	}
	for name, v := range Fields(value) {
		if IsNull(v) {
			continue
		}
		var err error
		switch name {
		case "rtv":
			var rtv int64
			rtv, err = intParameter("rtv", v, 1, maxResponseType)
			r.ResponseType = uint8(rtv)
		case "nu":
			// An empty list asks for no notification. So does an empty text alone in the list: some clients split the
			// empty X-M2M-RTU of HTTP into that.
			r.NotificationURIs = []string{}
			if string(bytes.Join(bytes.Fields(v), nil)) != `[""]` {
				err = listParameter(&r.NotificationURIs, "nu", v)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setFilter reads m2m:filterCriteria. Beside the criteria of the standard it takes attributes by their own names, as
// the query string of HTTP has them.
func (r *Request) setFilter(value []byte) error {
	if value[0] != '{' {
		return badRequest("parameter fc: want an object")
	}
	r.Filter = &FilterCriteria{}
	for name, v := range Fields(value) {
		if IsNull(v) {
			continue
		}
		if err := r.Filter.set(name, v); err != nil {
			return err
		}
	}
	return nil
}

func (f *FilterCriteria) set(name string, value []byte) error {
	switch name {
	case "lbl":
		return listParameter(&f.Labels, name, value)
	case "clbl":
		return listParameter(&f.ChildLabels, name, value)
	case "palb":
		return listParameter(&f.ParentLabels, name, value)
	case "cty":
		return listParameter(&f.ContentTypes, name, value)
	case "atr":
		return attributeParameter(&f.Attributes, name, value)
	case "catr":
		return attributeParameter(&f.ChildAttributes, name, value)
	case "patr":
		return attributeParameter(&f.ParentAttributes, name, value)
	}
	if slices.Contains(unsupportedParameters, name) {
		return unsupported(name)
	}
	return eachParameter(name, value, func(v string) error {
		if known, err := setFilterParameter(f, name, v); known {
			return err
		}
		return addFilterByName(f, name, v)
	})
}

// attributeParameter reads a list of m2m:attribute, {"nm":"cr","val":"Cpump"}, or one of them, or what the query string
// of HTTP has, "cr,Cpump".
func attributeParameter(dst *[]AttributeFilter, parameter string, value []byte) error {
	one := func(v []byte) error {
		s, err := parameterText(parameter, v)
		if err != nil {
			return err
		}
		return addNamedAttribute(dst, parameter, s)
	}
	switch value[0] {
	case '{':
		return attributeObject(dst, parameter, value)
	case '[':
	default:
		return one(value)
	}
	for v := range Elements(value) {
		var err error
		if v[0] == '{' {
			err = attributeObject(dst, parameter, v)
		} else {
			err = one(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func attributeObject(dst *[]AttributeFilter, parameter string, value []byte) error {
	name, _ := Unquote(Field(value, "nm"))
	v := Field(value, "val")
	if !isShortName(name) || v == nil {
		return badRequest("parameter %s: want objects with the short name of an attribute (nm) and a value (val)", parameter)
	}
	s, err := parameterText(parameter, v)
	if err == nil {
		err = checkParameterValue(parameter, s)
	}
	if err != nil {
		return err
	}
	return addAttributeFilter(dst, parameter, name, s)
}
