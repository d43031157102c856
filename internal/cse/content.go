package cse

import (
	"bytes"
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// maxContent bounds the content of a request, in bytes; a log entry holds no longer payload.
const maxContent = 1 << 20

var errNoContent = refuse(onem2m.StatusBadRequest, "the request has no content (pc)")

// parseContent parses and checks the representation in a CREATE or UPDATE against the resource type, and gives the
// description that it is of: that of a flexContainer or mgmtObj to be created is the one of its specialization.
func (c *Core) parseContent(req *onem2m.Request, def *onem2m.TypeDef) ([]onem2m.Member, *onem2m.TypeDef, error) {
	if len(req.Content) == 0 {
		return nil, nil, errNoContent
	}
	if len(req.Content) > maxContent {
		return nil, nil, refuse(onem2m.StatusBadRequest, "the content has %d bytes; the limit is %d", len(req.Content), maxContent)
	}
	tag, members, err := onem2m.ParseContent(req.Content)
	if err != nil {
		return nil, nil, err
	}
	if def.Type.Specialized() && req.Operation == onem2m.Create {
		if def, err = specializationFor(def, tag, members); err != nil {
			return nil, nil, err
		}
	}
	if tag != def.Tag {
		return nil, nil, refuse(onem2m.StatusBadRequest, "the content is a %.64q, not a %s", tag, def.Tag)
	}
	if req.Operation == onem2m.Create {
		return members, def, def.CheckCreate(c.registeredApp(def, members))
	}
	return members, def, def.CheckUpdate(members)
}

// specializationFor gives the specialization of a flexContainer or mgmtObj to be created. A mgmtDefinition that exists
// and is not known here is not implemented; anything else is wrong.
func specializationFor(def *onem2m.TypeDef, tag string, members []onem2m.Member) (*onem2m.TypeDef, error) {
	if own := onem2m.Specialization(tag); own != nil && own.Type == def.Type {
		return own, nil
	}
	for _, m := range members {
		definition, ok := onem2m.Int(m.Value)
		if def.Type != onem2m.TypeMgmtObj || m.Name != "mgd" || !ok || !def.Attribute("mgd").Enum.Contains(definition) {
			continue
		}
		want := onem2m.ManagementTag(definition)
		if want == "" {
			return nil, refuse(onem2m.StatusNotImplemented, "mgmtDefinition (mgd) %d is not supported", definition)
		}
		return nil, refuse(onem2m.StatusBadRequest, "the content is a %.64q; one with mgmtDefinition (mgd) %d is a %s", tag, definition, want)
	}
	return nil, refuse(onem2m.StatusBadRequest, "the content is a %.64q, which is no known specialization of %s", tag, def.Name)
}

// registeredApp gives the attributes of an AE as they are to be checked: clients written for Mobius have an App-ID without
// the letter that says whether it is registered (TS-0001 clause 7.1.3).
func (c *Core) registeredApp(def *onem2m.TypeDef, members []onem2m.Member) []onem2m.Member {
	if !c.cfg.Mobius || def.Type != onem2m.TypeAE {
		return members
	}
	members = slices.Clone(members)
	for i := range members {
		if id, ok := onem2m.Unquote(members[i].Value); ok && members[i].Name == "api" && id != "" {
			members[i].Value = onem2m.AppendQuote(nil, "N"+id)
		}
	}
	return members
}

// compact copies a value out of the request, without the blanks between its tokens and without escapes in the names
// of members, so that stored values can be searched by name.
func compact(value []byte) []byte {
	if bytes.IndexByte(value, '\\') < 0 {
		return onem2m.AppendCompact(nil, value)
	}
	return appendCanonical(nil, value)
}

func appendCanonical(dst, value []byte) []byte {
	separator := byte(0)
	separate := func() {
		if separator != 0 {
			dst = append(dst, separator)
		}
		separator = ','
	}
	switch value[0] {
	case '{':
		dst = append(dst, '{')
		for name, v := range onem2m.Fields(value) {
			separate()
			dst = append(onem2m.AppendQuote(dst, name), ':')
			dst = appendCanonical(dst, v)
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		for v := range onem2m.Elements(value) {
			separate()
			dst = appendCanonical(dst, v)
		}
		return append(dst, ']')
	}
	return append(dst, value...)
}

// notImplemented are the attributes that change what a resource does in ways that this CSE does not know. A request
// that sets one is refused, so that nobody relies on it in vain.
var notImplemented = map[onem2m.ResourceType][]string{
	onem2m.TypeSubscription: {
		"acrs", "gpi", "ma", "nfu", "nsp", "psn",
	},
	onem2m.TypeGroup: {"nar", "spty"},
	onem2m.TypeACP:   {"adri", "airi", "apri"},
}

// checkSupported refuses attributes that this CSE does not implement. Null, in an UPDATE, asks for nothing.
func checkSupported(t onem2m.ResourceType, members []onem2m.Member) error {
	for _, m := range members {
		if onem2m.IsNull(m.Value) {
			continue
		}
		switch m.Name {
		case "at":
			return unsupportedAttribute(t, m.Name)
		}
		for _, name := range notImplemented[t] {
			if m.Name == name {
				return unsupportedAttribute(t, name)
			}
		}
	}
	return nil
}

func unsupportedAttribute(t onem2m.ResourceType, name string) error {
	return refuse(onem2m.StatusNotImplemented, "attribute %s of %s is not supported", name, t)
}
