package cse

import (
	"github.com/tallystick/tallystick/onem2m"
)

// Expire removes resources whose expirationTime has come at env.Time, soonest first, with all that is below them: at
// most limit of them, not counting what is below. Each has one DELETE effect whose originator is the CSE-ID. The
// response of the result means nothing. When Result.Err is set, the writes must be rolled back.
//
// One call removes at most maxSubtree resources and makes at most maxEventBytes of notifications; a resource that
// might go beyond waits for the next call. One that goes beyond on its own is taken apart, since all that is below it
// has expired too (TS-0004 clause 7.3.3.3): resources without children go, each with an effect of its own and at most
// maxExpireParts a call, until the rest is within the bounds. Notifications beyond maxEventBytes, which only a
// single resource or a number of expirationCounters that run out at once can call for, are dropped.
//
// contentInstances are not among them. One that has outlived its time is hidden from every request, but is there until a
// write to its container comes upon it (see retain): to find such instances in time would take an index of all of them.
// One that outlived its own expirationTime, not maxInstanceAge, is counted until then (see discount).
func (c *Core) Expire(st State, env Env, limit int) Result {
	var due []string
	for ri, err := range st.Due(env.Time) {
		if err != nil {
			return Result{Err: err}
		}
		if len(due) == limit {
			break
		}
		due = append(due, ri)
	}
	env.used = &usage{lossy: true}
	x := expiry{c: c, st: st, env: env}
	for _, ri := range due {
		res, err := st.Resource(ri)
		if err != nil {
			return Result{Err: err}
		}
		if res == nil {
			continue // it went with a parent that expired before it
		}
		if !expired(res, env.Time) {
			continue // due for Tick
		}
		more, err := x.expire(res)
		if err != nil {
			return Result{Err: err}
		}
		if !more {
			break
		}
	}
	return x.result
}

// expiry is one call of Expire under way.
type expiry struct {
	c      *Core
	st     State
	env    Env
	result Result
}

// expire removes a resource with all below it when that stays within the bounds, and says whether to go on.
func (x *expiry) expire(res *Resource) (more bool, err error) {
	parent, err := x.st.Resource(res.PI)
	if err != nil {
		return false, err
	}
	fits, err := x.affordable(parent, res)
	switch {
	case err != nil:
		return false, err
	case fits:
		return true, x.remove(parent, res)
	case len(x.result.Effects) > 0:
		return false, nil
	}
	return false, x.takeApart(res)
}

// takeApart removes the leaves of a subtree that goes beyond the bounds as a whole.
func (x *expiry) takeApart(top *Resource) error {
	for range maxExpireParts {
		parent, leaf, err := firstLeaf(x.st, top)
		if err != nil {
			return err
		}
		fits, err := x.affordable(parent, leaf)
		if err != nil {
			return err
		}
		if !fits && len(x.result.Effects) > 0 {
			return nil
		}
		if err := x.remove(parent, leaf); err != nil || leaf == top {
			return err
		}
	}
	return nil
}

// firstLeaf follows the first children down to a resource without any.
func firstLeaf(r Reader, top *Resource) (parent, leaf *Resource, err error) {
	if parent, err = r.Resource(top.PI); err != nil {
		return nil, nil, err
	}
	for leaf = top; ; {
		first, err := firstChild(r, leaf)
		if err != nil || first == nil {
			return parent, leaf, err
		}
		parent, leaf = leaf, first
	}
}

func firstChild(r Reader, parent *Resource) (*Resource, error) {
	for child, err := range r.Children(parent.RI, "") {
		if err != nil {
			return nil, err
		}
		res, err := r.Resource(child.RI)
		if err == nil && res == nil {
			err = &corruption{"child " + child.RI + " of " + parent.RI + " does not exist"}
		}
		return res, err
	}
	return nil, nil
}

// affordable says whether the removal of a resource with all below it stays within what is left of the bounds, taking
// it that every subscription that has not expired wants to know.
func (x *expiry) affordable(parent, res *Resource) (bool, error) {
	removable := maxSubtree - x.env.used.removed
	subtree, err := collectSubtree(x.st, res, removable)
	if err != nil || len(subtree) > removable {
		return false, err
	}
	subtree[0].parent = parent
	left := maxEventBytes - x.env.used.events
	if left < 0 {
		return false, nil
	}
	for _, d := range subtree {
		if d.resource.Type == onem2m.TypeSubscription {
			left -= eventSize(maxAddress, []string{x.c.compile(d.resource).watch.subscriber})
		}
		for _, subject := range []*Resource{d.resource, d.parent} {
			cost, err := x.watchersCost(subject, d.resource)
			if err != nil {
				return false, err
			}
			if left -= cost; left < 0 {
				return false, nil
			}
		}
	}
	return true, nil
}

// watchersCost estimates what it takes to tell all subscriptions directly below subject of the end of a resource, in
// bytes. A subscription elsewhere whose counter runs out by it is not counted.
func (x *expiry) watchersCost(subject, gone *Resource) (int, error) {
	if subject == nil {
		return 0, nil
	}
	subs, err := x.st.Subscriptions(subject.RI)
	if err != nil || len(subs) == 0 {
		return 0, err
	}
	representation := (&item{resource: gone}).weight()
	cost := 0
	for _, ri := range subs {
		sub, err := x.st.Resource(ri)
		if err != nil {
			return 0, err
		}
		if sub != nil && !expired(sub, x.env.Time) {
			cost += eventSize(representation+maxAddress, x.c.compile(sub).watch.targets)
		}
	}
	return cost, nil
}

func (x *expiry) remove(parent, res *Resource) error {
	req := onem2m.Request{
		Operation: onem2m.Delete, From: x.c.cfg.CSEID, To: res.RI, ResultContent: onem2m.ResultContentNothing,
	}
	one, err := x.c.remove(x.st, &req, x.env, &removal{originator: x.c.cfg.CSEID, parent: parent, resource: res})
	if err != nil {
		return err
	}
	x.result.Effects = append(x.result.Effects, one.Effects...)
	x.result.Events = append(x.result.Events, one.Events...)
	return nil
}
