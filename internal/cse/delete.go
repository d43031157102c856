package cse

import (
	"github.com/tallystick/tallystick/onem2m"
)

// removal is a DELETE that has been checked completely and only needs to be written.
type removal struct {
	originator string
	parent     *Resource
	resource   *Resource // nil for an instance
	instance   *instance
}

func (c *Core) delete(st State, req *onem2m.Request, env Env, t *target) (Result, error) {
	d, err := c.prepareDelete(st, req, env, t)
	if err != nil {
		return Result{}, err
	}
	return c.remove(st, req, env, d)
}

// prepareDelete checks a DELETE in the order of TS-0004 clause 7.2.2.2.
func (c *Core) prepareDelete(r Reader, req *onem2m.Request, env Env, t *target) (*removal, error) {
	if len(req.Attributes) > 0 {
		return nil, refuse(onem2m.StatusBadRequest, "an attribute list (atrl) goes with RETRIEVE only")
	}
	if def := onem2m.Lookup(t.typ()); !def.Deletable {
		return nil, refuse(onem2m.StatusOperationNotAllowed, "a %s cannot be deleted", def.Name)
	}
	if _, err := resultContent(req); err != nil {
		return nil, err
	}
	if err := c.requireAccess(r, req, env, t, accessDelete); err != nil {
		return nil, err
	}
	if err := checkRetrievable(t); err != nil {
		return nil, err
	}
	if !t.typ().IsInstance() {
		if err := c.guardDelete(r, env, t.resource); err != nil {
			return nil, err
		}
	}
	if err := c.checkWriteFilter(r, req, env, t); err != nil {
		return nil, err
	}
	d := &removal{originator: c.localID(req.From)}
	if !t.typ().IsInstance() {
		parent, err := r.Resource(t.resource.PI)
		d.parent, d.resource = parent, t.resource
		return d, err
	}
	ref := t.instance
	if !t.isInstance {
		var ok bool
		var err error
		ref, ok, err = c.endInstance(r, t.resource, t.virtual == onem2m.TypeLatest, env.Time)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, refuse(onem2m.StatusNotFound, "%s has no instance", t.resource.RI)
		}
	}
	in, err := readInstance(r, t.resource, ref)
	d.parent, d.instance = t.resource, in
	return d, err
}

// endInstance returns the newest or oldest instance of a container that has not outlived its time.
func (c *Core) endInstance(r Reader, container *Resource, newest bool, now int64) (InstanceRef, bool, error) {
	e := end{limits: &c.compile(container).limits, now: now}
	r.Instances(container.RI, newest)(e.take)
	return e.ref, e.found, e.err
}

// end is the search of endInstance. As one object it is one allocation, where a loop over the iterator is five.
type end struct {
	limits *limits
	now    int64
	ref    InstanceRef
	found  bool
	err    error
}

// take takes the first instance that still counts, or the error, and says whether to go on.
func (e *end) take(ref InstanceRef, err error) bool {
	if err == nil && e.limits.overdue(ref, e.now) {
		return true
	}
	e.err = err
	if e.found = err == nil; e.found {
		e.ref = ref
	}
	return false
}

// remove writes a removal. Children go with their parent and have no effects of their own: the one DELETE implies
// them. The response and the notifications are made first, while everything is still there.
func (c *Core) remove(st State, req *onem2m.Request, env Env, d *removal) (Result, error) {
	var subtree []descendant
	if d.resource != nil {
		var err error
		if subtree, err = collectForRemoval(st, d.resource, env.used); err != nil {
			return Result{}, err
		}
	}
	o := &outcome{
		change: change{kind: changeDeleted, originator: d.originator, parent: d.parent, before: d.resource, instance: d.instance},
	}
	effect := &o.effects[0]
	effect.Operation, effect.Originator, effect.Status = onem2m.Delete, d.originator, onem2m.StatusDeleted
	if d.instance != nil {
		effect.Type, effect.Resource, effect.Target = d.instance.typ(), d.instance.ri, d.instance.ri
	} else {
		effect.Type, effect.Resource, effect.Target = d.resource.Type, d.resource.RI, d.resource.RI
	}
	result, err := c.committed(st, req, env, o)
	if err != nil {
		return Result{}, err
	}
	if d.instance != nil {
		return result, removeInstance(st, d.parent.RI, d.instance.ref.Index, env.Time)
	}
	// From the top down, as the subscriptions of each resource see it.
	for _, removed := range subtree[1:] {
		err := c.matchSubscriptions(st, &change{
			kind: changeDeleted, originator: d.originator, parent: removed.parent, before: removed.resource,
		}, env, &o.notices)
		if err != nil {
			return Result{}, err
		}
	}
	result.Events = o.notices.events
	if err := c.unlinkHosted(st, d.resource, env.Time); err != nil {
		return Result{}, err
	}
	// From the bottom up, so that no resource is ever without its parent.
	for i := len(subtree) - 1; i >= 0; i-- {
		ri := subtree[i].resource.RI
		// A subscription may have gone already, having counted its last notification.
		still, err := st.Resource(ri)
		if err != nil {
			return Result{}, err
		}
		if still == nil {
			continue
		}
		if still.Type == onem2m.TypeRequest {
			if err := forgetRequest(st, still); err != nil {
				return Result{}, err
			}
		}
		if err := c.unlinkRights(st, still); err != nil {
			return Result{}, err
		}
		if err := st.Remove(ri); err != nil {
			return Result{}, err
		}
	}
	return result, nil
}

type descendant struct{ parent, resource *Resource }

// collectForRemoval lists what a removal takes away, as collectSubtree does, and counts it. It refuses what is more
// than maxSubtree with all that was removed before.
func collectForRemoval(r Reader, top *Resource, used *usage) ([]descendant, error) {
	left := maxSubtree
	if used != nil {
		left -= used.removed
	}
	subtree, err := collectSubtree(r, top, left)
	if err != nil {
		return nil, err
	}
	if len(subtree) > left {
		return nil, refuse(onem2m.StatusNotAcceptable, "the request would remove more than %d resources with %s; delete parts of it first", maxSubtree, top.RI)
	}
	if used != nil {
		used.removed += len(subtree)
	}
	return subtree, nil
}

// collectSubtree lists a resource and all resources below it, parents before children, siblings in creation order.
// It stops at the first one beyond limit.
func collectSubtree(r Reader, top *Resource, limit int) ([]descendant, error) {
	list := []descendant{{nil, top}}
	for i := 0; i < len(list) && len(list) <= limit; i++ {
		parent := list[i].resource
		for child, err := range r.Children(parent.RI, "") {
			if err != nil {
				return nil, err
			}
			res, err := r.Resource(child.RI)
			if err != nil {
				return nil, err
			}
			if res == nil {
				return nil, &corruption{"child " + child.RI + " of " + parent.RI + " does not exist"}
			}
			if list = append(list, descendant{parent, res}); len(list) > limit {
				return list, nil
			}
		}
	}
	return list, nil
}
