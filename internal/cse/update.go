package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// revision is an UPDATE that has been checked completely and only needs to be written.
type revision struct {
	parent     *Resource
	before     *Resource
	after      *Resource
	originator string
	modified   []string     // attributes in the request
	shown      attributeSet // what the originator may see of the resource; nil for all
	counters   Counters     // of what holds instances
}

func (c *Core) update(st State, req *onem2m.Request, env Env, t *target) (Result, error) {
	if c.repeatsDetection(req, env, t) {
		return c.detectMissing(st, t.resource, env)
	}
	v, err := c.prepareUpdate(st, req, env, t)
	if err != nil {
		return Result{}, err
	}
	if err := st.Put(v.after); err != nil {
		return Result{}, err
	}
	if err := c.linkHosted(st, v.before, v.after, env.Time); err != nil {
		return Result{}, err
	}
	var made *record
	if holds(v.after) {
		if v.after.Type == onem2m.TypeFlexContainer {
			made, err = c.recordUpdated(st, v, env)
		} else {
			err = c.retainAfterUpdate(st, v, env)
		}
		if err != nil {
			return Result{}, err
		}
		if err := st.SetCounters(v.after.RI, v.counters.StateTag+1, env.Time); err != nil {
			return Result{}, err
		}
	}
	return c.committedWith(st, req, env, &outcome{
		change: change{
			kind: changeUpdated, originator: v.originator, parent: v.parent, before: v.before, after: v.after, modified: v.modified,
			shown: v.shown,
		},
		effects: [1]Effect{{
			Operation:  onem2m.Update,
			Originator: v.originator,
			Target:     v.after.RI,
			Resource:   v.after.RI,
			Type:       v.after.Type,
			Status:     onem2m.StatusUpdated,
			Payload:    req.Content,
		}},
	}, made)
}

// retainAfterUpdate removes the instances that a container may not keep after an UPDATE: the oldest when a limit was
// lowered, and all when disableRetrieval has ended, so that nobody ever reads what was written under it (TS-0001
// clause 9.6.6).
func (c *Core) retainAfterUpdate(st State, v *revision, env Env) error {
	limits := c.compile(v.after).limits
	if trueValue(v.before.Get("disr")) && !trueValue(v.after.Get("disr")) {
		limits.count = 0
	}
	return retain(st, v.after.RI, &v.counters, &limits, 0, 0, env.Time)
}

// prepareUpdate checks an UPDATE in the order of TS-0004 clause 7.2.2.2 and makes the new version of the resource.
func (c *Core) prepareUpdate(r Reader, req *onem2m.Request, env Env, t *target) (*revision, error) {
	def := t.definition()
	if len(req.Content) == 0 {
		return nil, errNoContent
	}
	if !def.Updatable {
		return nil, refuse(onem2m.StatusOperationNotAllowed, "a %s cannot be updated", def.Name)
	}
	if _, err := resultContent(req); err != nil {
		return nil, err
	}
	members, _, parseErr := c.parseContent(req, def)
	shown, err := c.authorizeUpdate(r, req, env, t, members)
	if err != nil {
		return nil, err
	}
	if parseErr != nil {
		return nil, parseErr
	}
	if err := c.guardUpdate(r, env, t.resource); err != nil {
		return nil, err
	}
	if err := c.checkWriteFilter(r, req, env, t); err != nil {
		return nil, err
	}
	if err := checkSupported(def.Type, members); err != nil {
		return nil, err
	}
	if err := c.checkUnblocked(r, env, t.resource, members); err != nil {
		return nil, err
	}
	v := &revision{before: t.resource, originator: c.localID(req.From), shown: shown}
	after := v.before.clone()
	for _, m := range members {
		v.modified = append(v.modified, m.Name)
		switch {
		case m.Name == "et":
			expires, err := expirationOf(m.Value, env.Time)
			if err != nil {
				return nil, err
			}
			after.Expires = c.lifetime(expires, env.Time)
		case onem2m.IsNull(m.Value):
			after.unset(m.Name)
		default:
			after.set(m.Name, compact(m.Value))
		}
	}
	if n := after.size(); n > maxContent-1<<10 {
		return nil, refuse(onem2m.StatusNotAcceptable, "the attributes of %s would have %d bytes; the limit is %d", after.RI, n, maxContent-1<<10)
	}
	after.Modified = env.Time
	if err := c.completeRevision(r, v); err != nil {
		return nil, err
	}
	if after.Expires != v.before.Expires {
		if v.parent != nil {
			after.Expires = earlier(after.Expires, v.parent.Expires)
		}
		if err := checkChildrenExpire(r, v.before, after); err != nil {
			return nil, err
		}
	}
	if slices.Contains(v.modified, "acpi") {
		if err := c.checkPolicies(r, after, "acpi", env.Time); err != nil {
			return nil, err
		}
	}
	if slices.Contains(v.modified, "daci") {
		if err := c.checkConsultations(r, req, after, env); err != nil {
			return nil, err
		}
	}
	if err := c.completeResource(r, req, env, v.before, after); err != nil {
		return nil, err
	}
	v.after = after
	return v, nil
}

// completeRevision adds what checking, writing and reporting the change needs from the state.
func (c *Core) completeRevision(r Reader, v *revision) error {
	var err error
	if v.before.PI != "" {
		if v.parent, err = r.Resource(v.before.PI); err != nil {
			return err
		}
	}
	if !holds(v.before) {
		return nil
	}
	var ok bool
	v.counters, ok, err = r.Container(v.before.RI)
	if err == nil && !ok {
		err = noCounters(v.before.RI)
	}
	return err
}

// authorizeUpdate requires UPDATE on the resource. accessControlPolicyIDs decide about rights themselves: they are
// updated alone, and the selfPrivileges of the policies they link now decide (TS-0001 clause 9.6.1.3.2, TS-0004
// clause 7.3.3.15).
func (c *Core) authorizeUpdate(r Reader, req *onem2m.Request, env Env, t *target, members []onem2m.Member) (attributeSet, error) {
	if !slices.ContainsFunc(members, func(m onem2m.Member) bool { return m.Name == "acpi" }) {
		return c.requireAccessTo(r, req, env, t, accessUpdate, &grant{})
	}
	ok, err := c.mayUpdatePolicies(r, t.resource, req.From, newAccessContext(req, env, t))
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, refuse(onem2m.StatusOriginatorHasNoPrivilege, "originator %q may not change accessControlPolicyIDs (acpi) of %s", req.From, t.resource.RI)
	case len(members) > 1:
		return nil, refuse(onem2m.StatusBadRequest, "accessControlPolicyIDs (acpi) must be the only attribute of an update")
	}
	return nil, nil
}

// size estimates the bytes of the attributes in a representation.
func (r *Resource) size() int {
	n := 0
	for i := range r.Attrs {
		n += len(r.Attrs[i].Name) + len(r.Attrs[i].Value) + 4
	}
	return n
}

// clone returns a copy that can be edited. Attribute values are shared: they are replaced, never changed.
func (r *Resource) clone() *Resource {
	c := *r
	c.Attrs = slices.Clone(r.Attrs)
	return &c
}
