package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// grant is what the rules with accessControlAttributes that match a request allow together (TS-0001 clause 9.6.2.1). It is
// asked only when no rule without them allows the operation on the whole resource.
type grant struct {
	names []string // short names of attributes
	any   bool     // a rule matched
}

// add takes what one matching rule allows.
func (g *grant) add(u *rule) {
	g.any = true
	g.names = append(g.names, u.attributes...)
}

// allows is the set of the attributes that may be accessed.
func (g *grant) allows(name string) bool { return slices.Contains(g.names, name) }

// covers says whether the grant is enough for op on a resource: for all attributes that the request names, or all that the
// resource has where it names none. subject is nil when it is not known what would be accessed. A rule for NOTIFY or
// DISCOVERY is about no attributes.
func (g *grant) covers(subject *Resource, op access, ctx *accessContext) bool {
	if !g.any {
		return false
	}
	if op == accessNotify || op == accessDiscover {
		return true
	}
	names, ok := ctx.attributes(subject, op)
	return ok && !slices.ContainsFunc(names, func(name string) bool { return !g.allows(name) })
}

// attributes lists what a request with op on a resource accesses; ok is false when that cannot be said.
func (ctx *accessContext) attributes(subject *Resource, op access) (names []string, ok bool) {
	// A filter asks about any attribute.
	if req := ctx.request; req != nil && op == accessOf(req.Operation) && req.Filter == nil {
		switch {
		case op == accessCreate || op == accessUpdate:
			_, members, err := onem2m.ParseContent(req.Content)
			for _, m := range members {
				names = append(names, m.Name)
			}
			return names, err == nil
		case op == accessRetrieve && len(req.Attributes) > 0:
			return req.Attributes, true
		}
	}
	switch {
	case subject == nil || op == accessCreate:
		return nil, false
	case ctx.object != subject.Type:
		// An instance, of which only the log has what it has: all that there may be.
		for _, a := range onem2m.Lookup(ctx.object).Attributes {
			names = append(names, a.Short)
		}
		// A flexContainerInstance has the custom attributes of its flexContainer too.
		own := definitionOf(subject)
		for _, a := range own.Attributes {
			if own.Custom(a.Short) {
				names = append(names, a.Short)
			}
		}
		return names, true
	}
	w := objectWriter{keep: func(name string) bool {
		names = append(names, name)
		return false
	}}
	w.attributes(&item{resource: subject})
	return names, true
}

// requireAccessTo is requireAccess for a request whose response has the resource. The set of what the originator may see
// of it is nil for all; it is kept in g.
func (c *Core) requireAccessTo(r Reader, req *onem2m.Request, env Env, t *target, op access, g *grant) (attributeSet, error) {
	ctx := newAccessContext(req, env, t)
	ctx.granted = g
	ok, err := c.authorize(r, t.resource, req.From, op, ctx)
	if err == nil && !ok {
		err = noPrivilege(req, t.ri())
	}
	if err != nil || !g.any {
		return nil, err
	}
	switch rcn, err := resultContent(req); {
	case err != nil:
		return nil, err
	case rcn == onem2m.ResultContentNothing, rcn == onem2m.ResultContentAttributes,
		rcn == onem2m.ResultContentHierarchicalAddress, rcn == onem2m.ResultContentHierarchicalAddressAndAttr:
		return g.allows, nil
	default:
		return nil, refuse(onem2m.StatusOriginatorHasNoPrivilege,
			"originator %q may access some attributes of %s only: result content (rcn) %d would show others", req.From, t.ri(), rcn)
	}
}
