package cse

import (
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of an address.
const (
	maxAddress  = 2048 // bytes
	maxSegments = 64   // levels, also the deepest tree that can be made
)

// target is an address resolved to something that exists.
type target struct {
	// resource is the addressed resource; for an instance and for la and ol it is the container, for fopt the group.
	resource *Resource
	// instance is set when the address is an instance's own: by ID or by name. It holds what the tree has of it.
	instance   InstanceRef
	isInstance bool
	virtual    onem2m.ResourceType // TypeLatest, TypeOldest, TypeFanOutPoint, or 0
	rest       string              // what follows fopt in the address, without the slash between
}

// ri is the unstructured ID of what the address names; for a virtual resource that of its parent.
func (t *target) ri() string {
	if t.isInstance {
		return onem2m.ResourceRI(t.resource.Type.InstanceType(), t.instance.Index)
	}
	return t.resource.RI
}

// typ is the type of what the address names; la and ol stand for an instance.
func (t *target) typ() onem2m.ResourceType {
	if t.isInstance || t.virtual == onem2m.TypeLatest || t.virtual == onem2m.TypeOldest {
		return t.resource.Type.InstanceType()
	}
	return t.resource.Type
}

// kind is the type of what the address names, virtual resources included.
func (t *target) kind() onem2m.ResourceType {
	if t.virtual != 0 {
		return t.virtual
	}
	return t.typ()
}

// definition describes the type of what the address names.
func (t *target) definition() *onem2m.TypeDef {
	if t.typ().IsInstance() {
		return onem2m.Lookup(t.typ())
	}
	return definitionOf(t.resource)
}

// resolve finds what an address names: structured ("tally/ae/cnt", "-/ae"), unstructured ("cnt3k") or hybrid
// ("cnt3k/la"), each CSE-relative, SP-relative ("/tally/...") or absolute ("//sp/tally/...") (TS-0001 clause 9.3.1
// and table 7.2-1). What has expired at now is not found, even when it has not been removed yet.
func (c *Core) resolve(r Reader, to string, now int64) (target, error) {
	if to == "" {
		return target{}, refuse(onem2m.StatusBadRequest, "the request has no target (to)")
	}
	if len(to) > maxAddress {
		return target{}, refuse(onem2m.StatusBadRequest, "the target address has %d bytes; the limit is %d", len(to), maxAddress)
	}
	if to[len(to)-1] == '/' {
		return target{}, refuse(onem2m.StatusBadRequest, "the target address %q ends with a slash", to)
	}
	if to == c.cfg.CSEID || to == c.cfg.SPID+c.cfg.CSEID {
		return target{}, refuse(onem2m.StatusBadRequest, "the target address %q is a CSE-ID; its CSEBase is %s/-", to, to)
	}
	path, ok := c.localPart(to)
	if !ok {
		return target{}, refuse(onem2m.StatusNotFound, "target %q is not on this CSE, %s%s", to, c.cfg.SPID, c.cfg.CSEID)
	}
	first, rest, more := strings.Cut(path, "/")
	t, err := c.resolveFirst(r, first, now)
	if err != nil {
		return target{}, err
	}
	for n := 1; more && t.resource != nil; n++ {
		if n > maxSegments {
			return target{}, refuse(onem2m.StatusNotFound, "target %q is deeper than %d levels", to, maxSegments)
		}
		var name string
		name, rest, more = strings.Cut(rest, "/")
		if t.isInstance || t.virtual != 0 {
			t.resource = nil
			break
		}
		t, err = c.resolveChild(r, t.resource, name, now)
		if err != nil {
			return target{}, err
		}
		if t.virtual == onem2m.TypeFanOutPoint {
			t.rest = rest
			return t, nil
		}
	}
	if t.resource == nil {
		return target{}, refuse(onem2m.StatusNotFound, "target %q does not exist", to)
	}
	return t, nil
}

// localPart strips the service provider and CSE of an address; ok is false when they are others.
// "/tally" alone names the CSEBase.
func (c *Core) localPart(to string) (path string, ok bool) {
	if strings.HasPrefix(to, "//") {
		to, ok = strings.CutPrefix(to, c.cfg.SPID)
		if !ok || !strings.HasPrefix(to, "/") {
			return "", false
		}
	}
	if !strings.HasPrefix(to, "/") {
		return to, true
	}
	rest, ok := strings.CutPrefix(to, c.cfg.CSEID)
	switch {
	case !ok:
		return "", false
	case rest == "":
		return c.cfg.Name, true
	case rest[0] != '/':
		return "", false
	}
	return rest[1:], true
}

// resolveFirst resolves the first segment of a CSE-relative address: the CSEBase by name or any resource by ID.
func (c *Core) resolveFirst(r Reader, segment string, now int64) (target, error) {
	if segment == "-" || segment == c.cfg.Name {
		segment = c.cfg.BaseRI
	}
	t, err := c.byID(r, segment, now)
	if err != nil || t.resource == nil {
		return target{}, err
	}
	// An ID skips the levels above; they may have expired.
	for up := t.resource; up.PI != ""; {
		parent, err := r.Resource(up.PI)
		if err != nil {
			return target{}, err
		}
		if parent == nil || expired(parent, now) {
			return target{}, nil
		}
		up = parent
	}
	return t, nil
}

// resolveChild resolves one further segment below a resource.
func (c *Core) resolveChild(r Reader, parent *Resource, name string, now int64) (target, error) {
	if v := parent.Type.VirtualChild(name); v != 0 {
		return target{resource: parent, virtual: v}, nil
	}
	ri, err := r.Child(parent.RI, name)
	if err != nil {
		return target{}, err
	}
	if ri != "" {
		return c.byID(r, ri, now)
	}
	// An instance that came without a name has its resource ID as name, which the name index does not hold.
	if typ, _, ok := onem2m.ParseInstanceRI(name); !ok || parent.Type.InstanceType() != typ {
		return target{}, nil
	}
	t, err := c.byID(r, name, now)
	if err != nil || t.resource == nil || t.resource.RI != parent.RI {
		return target{}, err
	}
	return t, nil
}

// byID resolves an unstructured ID; the target has no resource when nothing live has it.
func (c *Core) byID(r Reader, ri string, now int64) (target, error) {
	if typ, index, ok := onem2m.ParseInstanceRI(ri); ok {
		container, ref, ok, err := r.LookupInstance(index)
		if err != nil || !ok {
			return target{}, err
		}
		res, err := r.Resource(container)
		if err != nil || res == nil || res.Type.InstanceType() != typ || expired(res, now) || c.instanceExpired(res, ref, now) {
			return target{}, err
		}
		return target{resource: res, instance: ref, isInstance: true}, nil
	}
	res, err := r.Resource(ri)
	if err != nil || res == nil || expired(res, now) {
		return target{}, err
	}
	return target{resource: res}, nil
}

// structuredPath returns the structured CSE-relative address of a resource: "tally/ae/cnt".
func (c *Core) structuredPath(r Reader, res *Resource) (string, error) {
	var names [maxSegments + 1]string
	n := len(names)
	for {
		if n == 0 {
			return "", &corruption{"resource " + res.RI + " is deeper than any resource can be"}
		}
		n--
		names[n] = res.RN
		if res.PI == "" {
			return strings.Join(names[n:], "/"), nil
		}
		parent, err := r.Resource(res.PI)
		if err != nil {
			return "", err
		}
		if parent == nil {
			return "", &corruption{"resource " + res.RI + " has no parent " + res.PI}
		}
		res = parent
	}
}

// localID reduces an ID of this CSE's own to its unstructured CSE-relative form, so that the three forms of one
// AE-ID or resource ID compare equal: "/tally/Ca" and "//sp/tally/Ca" are "Ca". IDs of others stay as they are.
func (c *Core) localID(id string) string {
	if id == "" || id[0] != '/' || id == c.cfg.CSEID {
		return id
	}
	if rest, ok := c.localPart(id); ok {
		if rest == c.cfg.Name {
			return c.cfg.CSEID
		}
		return rest
	}
	return id
}

// corruption is state that contradicts itself.
type corruption struct{ what string }

func (e *corruption) Error() string { return "resource tree is corrupt: " + e.what }
