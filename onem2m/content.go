package onem2m

import "fmt"

// maxMembers bounds the attributes of one representation. No resource type has as many.
const maxMembers = 64

// Member is one attribute of a representation: its short name and its value as JSON text.
type Member struct {
	Name  string
	Value []byte // points into the content that was parsed
}

// ParseContent parses the representation of one resource, {"m2m:cnt":{"mni":10}}, into its tag ("m2m:cnt") and its
// attributes in the order given. It checks the JSON text as ScanValue does, and that there is exactly one root member
// and that it is an object of at most 64 attributes; it checks no attribute against a resource type.
// Errors are *Error with StatusBadRequest.
func ParseContent(content []byte) (tag string, members []Member, err error) {
	b := content
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return "", nil, badRequest("content: want one JSON object")
	}
	i = skipSpace(b, i+1)
	root, err := scanName(b, i)
	if err != nil {
		return "", nil, badRequest("content: %v", err)
	}
	tag = intern(b[i:root.nameEnd])
	i = root.value
	if i >= len(b) || b[i] != '{' {
		return "", nil, badRequest("content: %.64q is not a JSON object", tag)
	}
	members = make([]Member, 0, 4)
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		i++
	} else {
		for more := true; more; {
			if members, i, more, err = parseMember(b, i, members); err != nil {
				return "", nil, badRequest("content: %v", err)
			}
		}
	}
	i = skipSpace(b, i)
	switch {
	case i >= len(b):
		return "", nil, badRequest("content: %v", syntaxAt(i, errEnd))
	case b[i] == ',':
		return "", nil, badRequest("content: more than one root member")
	case b[i] != '}':
		return "", nil, badRequest("content: expected } after %.64q, byte %d", tag, i)
	}
	if i = skipSpace(b, i+1); i != len(b) {
		return "", nil, badRequest("content: %v", syntaxAt(i, errTrailing))
	}
	return tag, members, nil
}

// parseMember parses one attribute and what ends it; more says whether another follows.
func parseMember(b []byte, i int, members []Member) (_ []Member, next int, more bool, err error) {
	span, err := scanName(b, i)
	if err != nil {
		return nil, i, false, err
	}
	name := intern(b[i:span.nameEnd])
	for k := range members {
		if members[k].Name == name {
			return nil, i, false, fmt.Errorf("attribute %.64q is given twice", name)
		}
	}
	if len(members) == maxMembers {
		return nil, i, false, fmt.Errorf("more than %d attributes", maxMembers)
	}
	end, err := scanValue(b, span.value, 2)
	if err != nil {
		return nil, end, false, err
	}
	members = append(members, Member{name, b[span.value:end:end]})
	i = skipSpace(b, end)
	switch {
	case i >= len(b):
		return nil, i, false, syntaxAt(i, errEnd)
	case b[i] == '}':
		return members, i + 1, false, nil
	case b[i] == ',':
		return members, skipSpace(b, i+1), true, nil
	}
	return nil, i, false, fmt.Errorf("expected , or } after attribute %.64q, byte %d", name, i)
}

// knownNames holds every tag and short name of the tables and of primitives, so that parsing one of them allocates
// nothing.
var knownNames = collectNames()

func collectNames() map[string]string {
	all := map[string]string{}
	var collect func(defs []AttributeDef)
	collect = func(defs []AttributeDef) {
		for _, a := range defs {
			all[a.Short] = a.Short
			if a.Complex != nil {
				collect(a.Complex.Members)
			}
		}
	}
	for _, d := range typeDefs {
		all[d.Tag] = d.Tag
		collect(d.Attributes)
	}
	for _, name := range primitiveNames {
		all[name] = name
	}
	return all
}

// intern gives the text of a quoted name, from the tables when it is there.
func intern(quoted []byte) string {
	if s, ok := knownNames[string(quoted[1:len(quoted)-1])]; ok {
		return s
	}
	s, _ := Unquote(quoted)
	return s
}
