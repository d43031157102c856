package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// maxVisited bounds the resources and instances that one request looks at.
const maxVisited = 100_000

// visit is one walk through the resource tree on behalf of one request. It goes depth first: the children that are
// not instances in creation order, each followed by its own descendants, then the instances from
// oldest to newest. What has expired is passed over, and so are the instances of a container that disables
// retrieval (TS-0001 clause 9.6.6).
type visit struct {
	c     *Core
	r     Reader
	now   int64
	left  int // resources that may still be looked at
	spent bool
	work  *int // what is left to all requests of the block; nil without a bound
	// visible says whether the originator may know of an item. Conditions on parents and children pass over what it
	// may not, so that a filter cannot be used to guess what is there. Nil when no originator asks.
	visible func(*item) (bool, error)
}

func (c *Core) newVisit(r Reader, env Env) *visit {
	return &visit{c: c, r: r, now: env.Time, left: max(maxVisited/max(env.share, 1), 1), work: env.Work}
}

// take counts one resource of size bytes, a large one as several; false when the bound is reached.
func (v *visit) take(size uint64) bool {
	if v.left <= 0 {
		v.spent = true
		return false
	}
	cost := 1 + int(size/1024)
	v.left -= cost
	if v.work != nil {
		*v.work -= cost
	}
	return true
}

// step is what a walk does after it has shown an item.
type step uint8

const (
	stepInto step = iota // go on with its children
	stepOver             // go on with its next sibling
	stepStop             // end the walk
)

// shown is called for every item with its structured path and its level, 1 for direct children of the start.
type shown func(it *item, path string, level int) (step, error)

// walk shows the descendants of top. wantInstances says whether instances of a type are of interest.
func (v *visit) walk(top *Resource, path string, level, maxLevel int, wantInstances func(onem2m.ResourceType) bool, show shown) (step, error) {
	for ref, err := range v.r.Children(top.RI, "") {
		if err != nil {
			return stepStop, err
		}
		if !v.take(0) {
			return stepStop, nil
		}
		res, err := v.r.Resource(ref.RI)
		if err != nil {
			return stepStop, err
		}
		if res == nil {
			return stepStop, &corruption{"child " + ref.RI + " of " + top.RI + " does not exist"}
		}
		if expired(res, v.now) {
			continue
		}
		it, err := newItem(v.r, res)
		if err == nil {
			err = v.c.discount(v.r, &it, v.now)
		}
		if err != nil {
			return stepStop, err
		}
		below := path + "/" + res.RN
		next, err := show(&it, below, level)
		if err != nil || next == stepStop {
			return stepStop, err
		}
		if next == stepOver || level == maxLevel {
			continue
		}
		if next, err = v.walk(res, below, level+1, maxLevel, wantInstances, show); err != nil || next == stepStop {
			return stepStop, err
		}
	}
	if !holds(top) || !wantInstances(top.Type.InstanceType()) {
		return stepInto, nil
	}
	return v.instances(top, func(it *item) (step, error) { return show(it, path+"/"+it.rn(), level) })
}

// instances shows the live instances of a container or timeSeries.
func (v *visit) instances(container *Resource, show func(*item) (step, error)) (step, error) {
	if trueValue(container.Get("disr")) {
		return stepInto, nil
	}
	for ref, err := range v.r.Instances(container.RI, false) {
		if err != nil {
			return stepStop, err
		}
		if !v.take(ref.Size) {
			return stepStop, nil
		}
		if v.c.instanceExpired(container, ref, v.now) {
			continue
		}
		in, err := readInstance(v.r, container, ref)
		if err != nil {
			return stepStop, err
		}
		if next, err := show(&item{instance: in}); err != nil || next == stepStop {
			return stepStop, err
		}
	}
	return stepInto, nil
}

// parent gives the parent of an item, nil when there is none to be seen.
func (v *visit) parent(it *item) (*item, error) {
	res := it.policy()
	if it.instance == nil {
		if res.PI == "" {
			return nil, nil
		}
		var err error
		if res, err = v.r.Resource(res.PI); err != nil || res == nil {
			return nil, err
		}
	}
	parent, err := newItem(v.r, res)
	if err != nil {
		return nil, err
	}
	ok, err := v.sees(&parent)
	if !ok || err != nil {
		return nil, err
	}
	return &parent, nil
}

func (v *visit) sees(it *item) (bool, error) {
	if v.visible == nil {
		return true, nil
	}
	return v.visible(it)
}

// hasChildOfType says whether an item has a child to be seen of one of the types.
func (v *visit) hasChildOfType(it *item, types []onem2m.ResourceType) (bool, error) {
	found := false
	err := v.children(it, func(t onem2m.ResourceType) bool { return slices.Contains(types, t) }, func(child *item) bool {
		found = slices.Contains(types, child.typ())
		return found
	})
	return found, err
}

// anyChild says whether a condition holds for a child to be seen of an item.
func (v *visit) anyChild(it *item, holds func(*item) bool) (bool, error) {
	found := false
	err := v.children(it, func(onem2m.ResourceType) bool { return true }, func(child *item) bool {
		found = holds(child)
		return found
	})
	return found, err
}

// children shows the direct children of an item that may be seen until show says that it has seen enough.
func (v *visit) children(it *item, wantInstances func(onem2m.ResourceType) bool, show func(*item) (enough bool)) error {
	if it.instance != nil {
		return nil
	}
	_, err := v.walk(it.resource, "", 1, 1, wantInstances, func(child *item, _ string, _ int) (step, error) {
		ok, err := v.sees(child)
		switch {
		case err != nil:
			return stepStop, err
		case ok && show(child):
			return stepStop, nil
		}
		return stepOver, nil
	})
	return err
}
