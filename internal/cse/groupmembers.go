package cse

import (
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// The consistency strategies (m2m:consistencyStrategy, TS-0004 clause 6.3.4.2).
const (
	abandonMember = 1
	abandonGroup  = 2
	setMixed      = 3
)

// withoutGoneMembers shows a group without the members that no longer exist on this CSE. They stay in the state until
// the members are set anew: a deletion would otherwise have to search all groups.
func (c *Core) withoutGoneMembers(r Reader, env Env, group *Resource) (*Resource, error) {
	members := stringsOf(group.Get("mid"))
	kept := make([]string, 0, len(members))
	for _, id := range members {
		_, _, err := c.memberTarget(r, id, env.Time)
		switch e := asRefusal(err); {
		case e != nil && e.Status == onem2m.StatusNotFound:
		case e == nil && err != nil:
			return nil, err
		default:
			kept = append(kept, id)
		}
	}
	if len(kept) == len(members) {
		return group, nil
	}
	shown := *group
	shown.Attrs = slices.Clone(group.Attrs)
	shown.set("mid", appendStrings(nil, kept))
	shown.set("cnm", strconv.AppendInt(nil, int64(len(kept)), 10))
	return &shown, nil
}

// completeGroup checks the members of a group and sets what follows from them (TS-0004 clauses 7.4.13.2.1 and
// 7.4.13.2.3): there may be no more than maxNrOfMembers, duplicates go, each new one must exist and be readable by the
// originator, and those of another type than memberType are treated as consistencyStrategy says. A member from before
// that has gone since stays in the list: its absence shows when a request is fanned out to it. A resource of this CSE that
// is named as others name it, SP-relative or absolute, is listed by its resource ID.
func (c *Core) completeGroup(r Reader, req *onem2m.Request, env Env, before, after *Resource) error {
	if before == nil || string(before.Get("macp")) != string(after.Get("macp")) {
		if err := c.checkPolicies(r, after, "macp", env.Time); err != nil {
			return err
		}
	}
	memberType, _ := onem2m.Int(after.Get("mt"))
	strategy, ok := onem2m.Int(after.Get("csy"))
	if !ok {
		strategy = abandonMember
	}
	limit, _ := onem2m.Int(after.Get("mnm"))
	named := stringsOf(after.Get("mid"))
	if int64(len(named)) > limit {
		return refuse(onem2m.StatusMaxNumberOfMemberExceeded, "%d members (mid) exceed maxNrOfMembers (mnm) %d", len(named), limit)
	}
	ids := c.uniqueMembers(named)
	if len(ids) > maxFanOut {
		return refuse(onem2m.StatusMaxNumberOfMemberExceeded, "%d members (mid); a group of this CSE has at most %d", len(ids), maxFanOut)
	}
	var known []string
	if before != nil {
		known = stringsOf(before.Get("mid"))
	}
	kept := ids[:0:0]
	validated := true
	for _, id := range ids {
		t, local, err := c.memberTarget(r, id, env.Time)
		isKnown := slices.Contains(known, id)
		if e := asRefusal(err); e != nil && isKnown {
			kept = append(kept, id)
			continue
		}
		if err != nil {
			if hidden := c.conceal(r, &onem2m.Request{Operation: onem2m.Retrieve, From: req.From, To: id, RoleIDs: req.RoleIDs, TokenIDs: req.TokenIDs}, env, &target{}, err); isConcealed(hidden) {
				err = noMemberAccess(req, id)
			}
			return err
		}
		if !local {
			validated = false
			kept = append(kept, id)
			continue
		}
		if !isKnown {
			if err := c.requireMemberAccess(r, req, env, id, &t); err != nil {
				return err
			}
		}
		typ := c.memberTypeOf(&t)
		if memberType != int64(onem2m.TypeMixed) && typ != onem2m.ResourceType(memberType) {
			switch strategy {
			case abandonGroup:
				return refuse(onem2m.StatusGroupMemberTypeInconsistent, "member %q is a %s, not a %s (mt)", id, typ, onem2m.ResourceType(memberType))
			case setMixed:
				memberType = int64(onem2m.TypeMixed)
			default:
				continue
			}
		}
		if id[0] == '/' && t.virtual == 0 && !t.isInstance {
			// The ID of a resource of this CSE is the one that is valid within it.
			id = t.resource.RI
		}
		if !slices.Contains(kept, id) {
			kept = append(kept, id)
		}
	}
	after.set("mid", appendStrings(nil, kept))
	after.set("mt", strconv.AppendInt(nil, memberType, 10))
	after.set("csy", strconv.AppendInt(nil, strategy, 10))
	after.set("cnm", strconv.AppendInt(nil, int64(len(kept)), 10))
	if memberType == int64(onem2m.TypeMixed) {
		// Nothing was to be validated (TS-0001 clause 9.6.13).
		after.unset("mtv")
		return nil
	}
	after.set("mtv", strconv.AppendBool(nil, validated))
	return nil
}

// uniqueMembers drops the second and later mentions of a member.
func (c *Core) uniqueMembers(ids []string) []string {
	seen := make(map[string]bool, len(ids))
	unique := ids[:0:0]
	for _, id := range ids {
		if local := c.localID(id); !seen[local] {
			seen[local] = true
			unique = append(unique, id)
		}
	}
	return unique
}

// memberTarget resolves a member; local is false when another CSE hosts it.
func (c *Core) memberTarget(r Reader, id string, now int64) (t target, local bool, err error) {
	if _, local = c.localPart(id); !local {
		return target{}, false, nil
	}
	t, err = c.resolve(r, id, now)
	return t, true, err
}

func noMemberAccess(req *onem2m.Request, id string) error {
	return refuse(onem2m.StatusReceiverHasNoPrivileges, "originator %q may not retrieve member %q", req.From, id)
}

func (c *Core) requireMemberAccess(r Reader, req *onem2m.Request, env Env, id string, t *target) error {
	ok, err := c.authorize(r, t.resource, req.From, accessRetrieve, newAccessContext(req, env, t))
	if err == nil && !ok {
		err = noMemberAccess(req, id)
	}
	return err
}

// memberTypeOf is the type that counts for memberType. A member that is another group's fanOutPoint counts as what
// that group holds.
func (c *Core) memberTypeOf(t *target) onem2m.ResourceType {
	if t.virtual == onem2m.TypeFanOutPoint {
		mt, _ := onem2m.Int(t.resource.Get("mt"))
		return onem2m.ResourceType(mt)
	}
	return t.typ()
}

// appendStrings appends a JSON array of strings.
func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = onem2m.AppendQuote(dst, s)
	}
	return append(dst, ']')
}
