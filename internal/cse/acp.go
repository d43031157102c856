package cse

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// access is a set of operations in an access control rule (m2m:accessControlOperations, TS-0004 clause 6.3.4.2).
type access uint8

// The operations that a rule can allow.
const (
	accessCreate   access = 1
	accessRetrieve access = 2
	accessUpdate   access = 4
	accessDelete   access = 8
	accessNotify   access = 16
	accessDiscover access = 32
	accessAll      access = 63
)

// accessContext is what a decision depends on besides the resource, the originator and the operation.
type accessContext struct {
	time     int64               // Unix microseconds
	sourceIP string              // "" when unknown, which no rule with addresses matches
	child    onem2m.ResourceType // type of the resource to create, for CREATE
	object   onem2m.ResourceType // type of what is addressed when it is not the resource itself: a contentInstance
	agreed   bool                // decided before: always allowed
	request  *onem2m.Request     // that is decided about; nil for whether a resource may be seen as a whole
	granted  *grant              // where to put what rules for single attributes allowed, when that was what counted; or nil
	subject  *Resource           // that is decided about; nil when it is several
	// asserts is the request whose Role-IDs and tokens count. Nil when nobody made one, as for the notifications of a
	// subscription: then all roles count that the originator was given.
	asserts *onem2m.Request
	tokens  *tokenSet // of asserts; nil when it has none
	trace   *Trace    // of who wants to know why; nil for nobody
}

// newAccessContext collects what a decision about a request on t depends on.
func newAccessContext(req *onem2m.Request, env Env, t *target) accessContext {
	ctx := accessContext{time: env.Time, sourceIP: req.SourceIP, child: req.Type, agreed: env.Agreed, request: req, trace: env.Trace}
	ctx.assert(req, env)
	if t.typ() != t.resource.Type {
		ctx.object = t.typ()
	}
	return ctx
}

// assert takes what a request says of the roles and tokens that it is to be decided by.
func (ctx *accessContext) assert(req *onem2m.Request, env Env) {
	if env.AllRoles {
		return
	}
	ctx.asserts = req
	if len(req.Tokens)+len(req.TokenIDs)+len(req.LocalTokenIDs) > 0 {
		ctx.tokens = &tokenSet{}
	}
}

// authorize decides whether an originator may do op to a resource (TS-0001 clauses 9.6.2 and 10.2.3.1, TS-0004 clause
// 7.3.3.15). A contentInstance is decided by its container: TS-0001 clause 9.6.7 gives it no accessControlPolicyIDs.
//
//   - An accessControlPolicy is governed by its own selfPrivileges.
//   - A pollingChannel is its owner's alone (TS-0004 clause 7.4.21.2).
//   - A resource that links accessControlPolicies is governed by their privileges; one matching rule suffices.
//   - A resource that links none that exists falls back to the default privileges: everything for its custodian
//     if it has one, else for its creator (for an AE: the AE itself), and nothing for anybody else.
//   - What none of these allows, a token may: one that the request presents, or that a consultation brought about
//     (dynamicAuthorizationConsultationIDs).
//
// Whoever keeps decisions: one follows from the state (the resource and its ancestors, the policies, groups, roles and
// tokens that are looked at, the organisation of the originator), from originator, op, ctx.object and ctx.child, and,
// beyond these, from
//   - ctx.time: windows of rules, and the validity of policies, roles and tokens;
//   - ctx.sourceIP, where a rule has addresses;
//   - ctx.request: its content, atrl and filter, where a rule has accessControlAttributes;
//   - ctx.asserts: its Role-IDs and tokens; that it is nil counts as well.
//
// A request without Role-IDs and tokens, decided without a rule that has contexts or attributes, by policies, roles and
// tokens whose validity does not change, is decided the same until the state changes.
func (c *Core) authorize(r Reader, res *Resource, originator string, op access, ctx accessContext) (bool, error) {
	if ctx.agreed {
		return true, nil
	}
	originator = c.localID(originator)
	if res.Type == onem2m.TypePollingChannel {
		return ctx.trace.channel(res, originator), nil
	}
	if c.cfg.Lab && originator == c.cfg.Admin {
		return ctx.trace.lab(originator), nil
	}
	if ctx.object == 0 {
		ctx.object = res.Type
	}
	ctx.subject = res
	ok, err := c.authorizeByPolicies(r, res, originator, op, ctx)
	if ok || err != nil {
		return ok, err
	}
	return c.authorizeByTokens(r, res, originator, op, ctx)
}

func (c *Core) authorizeByPolicies(r Reader, res *Resource, originator string, op access, ctx accessContext) (bool, error) {
	own := c.compile(res)
	if res.Type == onem2m.TypeACP {
		ctx.trace.policy(c, r, res, "pvs")
		var g grant
		ok, err := c.anyRule(r, own.self, originator, op, ctx, &g)
		return ok || err == nil && ctx.settle(&g, res, op), err
	}
	ok, err := c.authorizeBy(r, own, own.acpi, res, originator, op, ctx)
	if err == nil && !ok && res.Type == onem2m.TypeCSEBase && op == accessRetrieve {
		// A CSE has to know the one that it is registered at.
		var remote *Resource
		remote, err = c.remote(r, originator, ctx.time)
		ok = remote != nil
		ctx.trace.registered(ok)
		if err == nil && !ok && c.cfg.Lab {
			// Clients under test expect that for AEs, too.
			var ae *Resource
			ae, err = r.Resource(originator)
			ok = ae != nil && ae.Type == onem2m.TypeAE && !expired(ae, ctx.time)
			ctx.trace.registered(ok)
		}
	}
	return ok, err
}

// authorizeMembers decides like authorize for the members of a group reached through its fanOutPoint: by
// membersAccessControlPolicyIDs when the group has that attribute (TS-0001 clause 9.6.13).
func (c *Core) authorizeMembers(r Reader, group *Resource, originator string, op access, ctx accessContext) (bool, error) {
	own := c.compile(group)
	if len(own.macp) == 0 || c.cfg.Lab && originator == c.cfg.Admin {
		return c.authorize(r, group, originator, op, ctx)
	}
	if ctx.object == 0 {
		ctx.object = group.Type
	}
	ctx.subject = group
	return c.authorizeBy(r, own, own.macp, nil, c.localID(originator), op, ctx)
}

// settle says whether rules for single attributes are enough, and tells who wants to know what they allowed.
func (ctx *accessContext) settle(g *grant, subject *Resource, op access) bool {
	ok := g.covers(subject, op, ctx)
	ctx.trace.attributes(g, ok)
	if ok && ctx.granted != nil {
		*ctx.granted = *g
	}
	return ok
}

// authorizeBy decides by policies. subject is what would be accessed, nil when that is several resources.
func (c *Core) authorizeBy(r Reader, own *compiled, policies []string, subject *Resource, originator string, op access, ctx accessContext) (bool, error) {
	linked := false
	var g grant
	for _, id := range policies {
		acp, err := c.policy(r, id, ctx.time)
		if err != nil {
			return false, err
		}
		if acp == nil {
			ctx.trace.noPolicy(id)
			continue
		}
		linked = true
		ctx.trace.policy(c, r, acp, "pv")
		ok, err := c.anyRule(r, c.compile(acp).privs, originator, op, ctx, &g)
		if ok || err != nil {
			return ok, err
		}
	}
	if !linked {
		return ctx.trace.holder(own, own.isHolder(originator)), nil
	}
	return ctx.settle(&g, subject, op), nil
}

// isHolder says whether the originator has the default privileges on a resource.
func (own *compiled) isHolder(originator string) bool {
	holder := own.res.Owner
	if own.custodian != "" {
		holder = own.custodian
	}
	return originator != "" && holder == originator
}

// policy returns the accessControlPolicy that an entry of accessControlPolicyIDs names, nil when there is none.
func (c *Core) policy(r Reader, id string, now int64) (*Resource, error) {
	id = c.localID(id)
	if !strings.Contains(id, "/") {
		acp, err := r.Resource(id)
		if err != nil || acp == nil || acp.Type != onem2m.TypeACP || expired(acp, now) {
			return nil, err
		}
		return acp, nil
	}
	t, err := c.resolve(r, id, now)
	if asRefusal(err) != nil {
		return nil, nil
	}
	if err != nil || t.isInstance || t.virtual != 0 || t.resource.Type != onem2m.TypeACP {
		return nil, err
	}
	return t.resource, nil
}

// mayUpdatePolicies decides whether an originator may change accessControlPolicyIDs of a resource: UPDATE in the
// selfPrivileges of any linked accessControlPolicy, whatever their privileges say (TS-0001 clause 9.6.1.3.2).
// Without a link the default privileges decide.
func (c *Core) mayUpdatePolicies(r Reader, res *Resource, originator string, ctx accessContext) (bool, error) {
	if ctx.agreed {
		return true, nil
	}
	originator = c.localID(originator)
	if c.cfg.Lab && originator == c.cfg.Admin {
		return ctx.trace.lab(originator), nil
	}
	ctx.subject = res
	own := c.compile(res)
	linked := false
	for _, id := range own.acpi {
		acp, err := c.policy(r, id, ctx.time)
		if err != nil {
			return false, err
		}
		if acp == nil {
			ctx.trace.noPolicy(id)
			continue
		}
		linked = true
		ctx.object = acp.Type
		ctx.trace.policy(c, r, acp, "pvs")
		var g grant // whose rules say nothing about what links the policy
		ok, err := c.anyRule(r, c.compile(acp).self, originator, accessUpdate, ctx, &g)
		if ok || err != nil {
			return ok, err
		}
	}
	if linked {
		return false, nil
	}
	return ctx.trace.holder(own, own.isHolder(originator)), nil
}

// anyRule says whether one of the rules allows op on all attributes, and adds what others allow on some to g.
func (c *Core) anyRule(r Reader, rules []rule, originator string, op access, ctx accessContext, g *grant) (bool, error) {
	for i := range rules {
		rule := &rules[i]
		switch {
		case rule.operations&op == 0:
			ctx.trace.rule(i, rule, otherOperations)
			continue
		case rule.unsupported:
			ctx.trace.rule(i, rule, unsupportedRule)
			continue
		case !rule.matchesObject(op, ctx):
			ctx.trace.rule(i, rule, otherObjects)
			continue
		case !rule.matchesContext(ctx):
			ctx.trace.rule(i, rule, otherContext)
			continue
		}
		ok, err := c.matchesOriginator(r, rule.originators, originator, &ctx)
		switch {
		case err != nil:
			return false, err
		case !ok:
			ctx.trace.rule(i, rule, otherOriginators)
		case rule.attributes != nil:
			ctx.trace.rule(i, rule, someAttributes)
			g.add(rule)
		default:
			ctx.trace.rule(i, rule, allowed)
			return true, nil
		}
	}
	return false, nil
}

// matchesOriginator says whether an originator is among accessControlOriginators: by ID in any form, by a wildcard
// '*', by "all", as a member of a group, or in a role (TS-0001 clause 9.6.2.1).
func (c *Core) matchesOriginator(r Reader, originators []string, originator string, ctx *accessContext) (bool, error) {
	for _, entry := range originators {
		ok, err := c.isOne(r, entry, originator, ctx)
		if ok || err != nil {
			ctx.trace.by(entry, ok)
			return ok, err
		}
	}
	return false, nil
}

// isOne says whether an originator is meant by one of accessControlOriginators.
func (c *Core) isOne(r Reader, entry, originator string, ctx *accessContext) (bool, error) {
	if entry == "all" || entry == "*" {
		return true, nil
	}
	entry = c.localID(entry)
	switch {
	case originator == "":
		return false, nil
	case entry == originator:
		return true, nil
	case strings.Contains(entry, "*"):
		return matchOriginator(entry, originator), nil
	case strings.Contains(entry, "@"):
		return c.inRole(r, entry, originator, ctx)
	}
	return c.isMember(r, entry, originator, ctx.time)
}

// isMember says whether id names a group that has the originator's AE among its members.
func (c *Core) isMember(r Reader, id, originator string, now int64) (bool, error) {
	if originator == "" || isAEID(id) {
		return false, nil
	}
	group, err := c.resolve(r, id, now)
	if asRefusal(err) != nil {
		return false, nil
	}
	if err != nil || group.isInstance || group.virtual != 0 || group.resource.Type != onem2m.TypeGroup {
		return false, err
	}
	for _, member := range c.compile(group.resource).members {
		member = c.localID(member)
		if member == originator {
			return true, nil
		}
		if !strings.Contains(member, "/") {
			continue
		}
		t, err := c.resolve(r, member, now)
		switch {
		case asRefusal(err) != nil:
		case err != nil:
			return false, err
		case !t.isInstance && t.virtual == 0 && t.resource.Type == onem2m.TypeAE && t.resource.RI == originator:
			return true, nil
		}
	}
	return false, nil
}

// isAEID says whether an ID has the form of an AE-ID of this CSE, which no group has.
func isAEID(id string) bool {
	return id != "" && (id[0] == 'C' || id[0] == 'S') && !strings.Contains(id, "/")
}

// matchesObject checks accessControlObjectDetails (TS-0001 clause 9.6.2.4).
func (u *rule) matchesObject(op access, ctx accessContext) bool {
	if !u.hasObjects {
		return true
	}
	return slices.ContainsFunc(u.objects, func(o objectDetails) bool {
		return (o.typ == 0 || o.typ == ctx.object) && (op != accessCreate || slices.Contains(o.children, ctx.child))
	})
}

// matchesContext checks accessControlContexts (TS-0001 clause 9.6.2.3): one of them must hold, with all its parts.
func (u *rule) matchesContext(ctx accessContext) bool {
	if len(u.contexts) == 0 {
		return true
	}
	var source netip.Addr
	if ctx.sourceIP != "" {
		// An address that does not parse stays invalid, and no prefix contains it.
		source, _ = netip.ParseAddr(ctx.sourceIP)
		source = source.Unmap().WithZone("")
	}
	return slices.ContainsFunc(u.contexts, func(x ruleContext) bool {
		if x.hasWindows && !slices.ContainsFunc(x.windows, func(w schedule) bool { return w.contains(ctx.time) }) {
			return false
		}
		return !x.hasAddresses || source.IsValid() &&
			slices.ContainsFunc(x.addresses, func(p netip.Prefix) bool { return p.Contains(source) })
	})
}

// matchOriginator matches an originator's ID with one that has wildcards. The scope of a '*' ends at the next '/': "/mn*" are
// CSEs and not their AEs (TS-0003 clause 7.1.3).
func matchOriginator(pattern, id string) bool {
	for {
		p, patternRest, patternMore := strings.Cut(pattern, "/")
		s, rest, more := strings.Cut(id, "/")
		switch {
		case !matchWildcard(p, s) || patternMore != more:
			return false
		case !more:
			return true
		}
		pattern, id = patternRest, rest
	}
}

// matchWildcard matches a string with a pattern in which '*' stands for any characters, none included.
func matchWildcard(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
