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
// has expired too (TS-0004 clause 7.3.3.3): single resources without children go, each with an effect of its own and
// at most maxExpireParts a call, until the rest is within the bounds. Notifications beyond maxEventBytes, which only a
// single resource or a number of expirationCounters that run out at once can call for, are dropped.
//
// contentInstances are not among them. One that has outlived its time is hidden from every request, but still counts
// in currentNrOfInstances and currentByteSize until a write to its container comes upon it (see retain): to find such
// instances in time would take an index of all of them.
func (c *Core) Expire(st State, env Env, limit int) Result {
	var due []string
	for ri, err := range st.Expiring(env.Time) {
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
	left := maxSubtree - x.env.used.removed
	subtree, err := collectSubtree(x.st, res, left)
	if err != nil {
		return false, err
	}
	fits := len(subtree) <= left
	if fits {
		subtree[0].parent = parent
		if fits, err = x.affordable(subtree); err != nil {
			return false, err
		}
	}
	switch {
	case fits:
		return true, x.remove(parent, res)
	case len(x.result.Effects) > 0:
		return false, nil
	}
	return false, x.takeApart(res)
}

// takeApart removes the resources without children from a subtree that goes beyond the bounds as a whole.
func (x *expiry) takeApart(top *Resource) error {
	for range maxExpireParts {
		parent, leaf, err := firstLeaf(x.st, top)
		if err != nil {
			return err
		}
		fits, err := x.affordable([]descendant{{parent, leaf}})
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
		var first string
		for child, err := range r.Children(leaf.RI, "") {
			if err != nil {
				return nil, nil, err
			}
			first = child.RI
			break
		}
		if first == "" {
			return parent, leaf, nil
		}
		res, err := r.Resource(first)
		if err != nil {
			return nil, nil, err
		}
		if res == nil {
			return nil, nil, &corruption{"child " + first + " of " + leaf.RI + " does not exist"}
		}
		parent, leaf = leaf, res
	}
}

// affordable says whether the notifications of a removal stay within what is left of maxEventBytes, taking it that
// every subscription wants them.
func (x *expiry) affordable(list []descendant) (bool, error) {
	left := maxEventBytes - x.env.used.events
	for _, d := range list {
		for _, subject := range []*Resource{d.resource, d.parent} {
			cost, err := x.c.watchersCost(x.st, subject, d.resource)
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
func (c *Core) watchersCost(r Reader, subject, gone *Resource) (int, error) {
	if subject == nil {
		return 0, nil
	}
	subs, err := r.Subscriptions(subject.RI)
	if err != nil || len(subs) == 0 {
		return 0, err
	}
	representation := (&item{resource: gone}).weight()
	cost := 0
	for _, ri := range subs {
		sub, err := r.Resource(ri)
		if err != nil {
			return 0, err
		}
		if sub != nil {
			cost += eventSize(representation+maxAddress, c.compile(sub).watch.targets)
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
