package onem2m

import "strconv"

// Append appends the primitive as JSON text, wrapped when it says so.
func (p Primitive) Append(dst []byte) []byte {
	if p.Wrapped {
		tag := tagRequest
		if p.Response != nil {
			tag = tagResponse
		}
		dst = append(append(append(dst, `{"`...), tag...), `":`...)
	}
	if p.Response != nil {
		dst = AppendResponse(dst, p.Response)
	} else {
		dst = AppendRequest(dst, p.Request)
	}
	if p.Wrapped {
		dst = append(dst, '}')
	}
	return dst
}

// AppendRequest appends a request primitive as JSON text by its short names (TS-0004 clauses 8.2.2 and 8.4), without a
// wrapping member. The content goes in as it is and must be JSON text. SourceIP and Delivery are no parameters and are
// left out.
func AppendRequest(dst []byte, r *Request) []byte {
	o := objectWriter{append(dst, '{')}
	o.number("op", int64(r.Operation))
	o.text("to", r.To)
	o.text("fr", r.From)
	o.text("rqi", r.RequestID)
	o.text("rvi", r.ReleaseVersion)
	o.number("ty", int64(r.Type))
	if r.ResultContent != ResultContentDefault {
		o.name("rcn")
		o.b = strconv.AppendInt(o.b, int64(r.ResultContent), 10)
	}
	o.number("drt", int64(r.DesiredIDType))
	o.text("ot", r.OriginatingTimestamp)
	o.text("rqet", r.RequestExpiration)
	o.text("rset", r.ResultExpiration)
	o.text("rp", r.ResultPersistence)
	o.text("oet", r.OperationExecution)
	o.category(r.EventCategory)
	if r.ResponseType != 0 || r.NotificationURIs != nil {
		o.open("rt")
		o.number("rtv", int64(r.ResponseType))
		if o.texts("nu", r.NotificationURIs); r.NotificationURIs != nil && len(r.NotificationURIs) == 0 {
			o.name("nu")
			o.b = append(o.b, '[', ']')
		}
		o.close()
	}
	o.text("gid", r.GroupRequestID)
	o.text("vsi", r.VendorInformation)
	o.texts("rids", r.RoleIDs)
	o.texts("tkns", r.Tokens)
	o.texts("tids", r.TokenIDs)
	o.texts("ltids", r.LocalTokenIDs)
	if r.Filter != nil {
		o.open("fc")
		o.filter(r.Filter)
		o.close()
	}
	switch {
	case len(r.Content) > 0:
		o.name("pc")
		o.b = append(o.b, r.Content...)
	case (r.Operation == Retrieve || r.Operation == Delete) && len(r.Attributes) > 0:
		o.open("pc")
		o.texts("m2m:atrl", r.Attributes)
		o.close()
	}
	return append(o.b, '}')
}

// AppendResponse appends a response primitive as AppendRequest does a request. Location has no place in it.
func AppendResponse(dst []byte, r *Response) []byte {
	o := objectWriter{append(dst, '{')}
	o.number("rsc", int64(r.Status))
	o.text("rqi", r.RequestID)
	o.text("rvi", r.ReleaseVersion)
	o.text("to", r.To)
	o.text("fr", r.From)
	o.text("ot", r.OriginatingTimestamp)
	o.text("rset", r.ResultExpiration)
	o.category(r.EventCategory)
	o.number("cnst", int64(r.ContentStatus))
	o.number("cnot", r.ContentOffset)
	o.text("vsi", r.VendorInformation)
	if len(r.Content) > 0 {
		o.name("pc")
		o.b = append(o.b, r.Content...)
	}
	return append(o.b, '}')
}

// objectWriter appends the members of an object, and leaves out what has the zero value.
type objectWriter struct{ b []byte }

func (o *objectWriter) name(name string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(append(append(o.b, '"'), name...), `":`...)
}

func (o *objectWriter) open(name string) {
	o.name(name)
	o.b = append(o.b, '{')
}

func (o *objectWriter) close() { o.b = append(o.b, '}') }

func (o *objectWriter) text(name, value string) {
	if value != "" {
		o.name(name)
		o.b = AppendQuote(o.b, value)
	}
}

func (o *objectWriter) texts(name string, values []string) {
	if len(values) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '[')
	for i, v := range values {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = AppendQuote(o.b, v)
	}
	o.b = append(o.b, ']')
}

func (o *objectWriter) number(name string, value int64) {
	if value != 0 {
		o.name(name)
		o.b = strconv.AppendInt(o.b, value, 10)
	}
}

func (o *objectWriter) optional(name string, value *int64) {
	if value != nil {
		o.name(name)
		o.b = strconv.AppendInt(o.b, *value, 10)
	}
}

// category writes ec as the number that it is in JSON.
func (o *objectWriter) category(value string) {
	if v, ok := digits(value); ok {
		o.name("ec")
		o.b = strconv.AppendInt(o.b, v, 10)
	}
}

func (o *objectWriter) types(name string, types []ResourceType) {
	if len(types) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '[')
	for i, t := range types {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = strconv.AppendInt(o.b, int64(t), 10)
	}
	o.b = append(o.b, ']')
}

func (o *objectWriter) attributes(name string, filters []AttributeFilter) {
	if len(filters) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '[')
	for i, f := range filters {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '{')
		o.text("nm", f.Name)
		o.text("val", f.Value)
		o.close()
	}
	o.b = append(o.b, ']')
}

func (o *objectWriter) filter(f *FilterCriteria) {
	o.number("fu", int64(f.Usage))
	o.number("fo", int64(f.Operation))
	o.text("crb", f.CreatedBefore)
	o.text("cra", f.CreatedAfter)
	o.text("ms", f.ModifiedSince)
	o.text("us", f.UnmodifiedSince)
	o.optional("sts", f.StateTagSmaller)
	o.optional("stb", f.StateTagBigger)
	o.text("exb", f.ExpireBefore)
	o.text("exa", f.ExpireAfter)
	o.texts("lbl", f.Labels)
	o.text("lbq", f.LabelsQuery)
	o.types("ty", f.Types)
	o.types("chty", f.ChildTypes)
	o.types("pty", f.ParentTypes)
	o.optional("sza", f.SizeAbove)
	o.optional("szb", f.SizeBelow)
	o.texts("cty", f.ContentTypes)
	o.attributes("atr", f.Attributes)
	o.attributes("catr", f.ChildAttributes)
	o.attributes("patr", f.ParentAttributes)
	o.texts("clbl", f.ChildLabels)
	o.texts("palb", f.ParentLabels)
	o.optional("lim", f.Limit)
	o.optional("lvl", f.Level)
	o.optional("ofst", f.Offset)
	o.text("arp", f.ApplyRelPath)
}
