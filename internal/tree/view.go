package tree

import (
	"errors"
	"iter"
	"sync/atomic"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// View is the tree as one block left it, whatever is committed meanwhile. Any number of goroutines may use it.
// It keeps old data on disk, so it must be closed soon.
type View struct {
	v      *version
	closed atomic.Bool
}

var _ cse.Reader = (*View)(nil)

// View returns the newest committed state.
func (t *Tree) View() *View { return &View{v: t.acquire()} }

// Close ends the use of the view. Closing again does nothing.
func (r *View) Close() {
	if !r.closed.Swap(true) {
		r.v.releaseLogged()
	}
}

// Last gives the height and the time of the block that left this state.
func (r *View) Last() (height uint64, time int64) { return r.v.height, r.v.time }

// Resource implements cse.Reader.
func (r *View) Resource(ri string) (*cse.Resource, error) {
	n, err := r.v.node(ri)
	if n == nil {
		return nil, err
	}
	return n.res, nil
}

// Child implements cse.Reader.
func (r *View) Child(pi, rn string) (string, error) {
	ri, err := r.v.child(pi, rn)
	if ri != "" || err != nil {
		return ri, err
	}
	c, err := r.v.container(pi)
	if err != nil || c == nil || c.named == 0 {
		return "", err
	}
	index, ok, err := r.v.instanceNamed(pi, rn)
	if err != nil || !ok {
		return "", err
	}
	n, err := r.v.node(pi)
	if err != nil || n == nil {
		return "", err
	}
	return onem2m.ResourceRI(n.res.Type.InstanceType(), index), nil
}

// Children implements cse.Reader.
func (r *View) Children(pi, after string) iter.Seq2[cse.ChildRef, error] {
	return func(yield func(cse.ChildRef, error) bool) {
		var from uint64
		if after != "" {
			n, err := r.v.node(after)
			if err != nil {
				yield(cse.ChildRef{}, err)
				return
			}
			if n == nil || n.res.PI != pi {
				return
			}
			from = n.order + 1
		}
		if err := r.v.children(pi, from, func(c child) bool { return yield(c.ChildRef, nil) }); err != nil {
			yield(cse.ChildRef{}, err)
		}
	}
}

// Subscriptions implements cse.Reader. The result is shared and must not be changed.
func (r *View) Subscriptions(pi string) ([]string, error) { return r.v.subscriptions(pi) }

// Container implements cse.Reader.
func (r *View) Container(ri string) (cse.Counters, bool, error) {
	c, err := r.v.container(ri)
	if c == nil {
		return cse.Counters{}, false, err
	}
	return c.Counters, true, nil
}

// Instances implements cse.Reader.
func (r *View) Instances(ri string, newestFirst bool) iter.Seq2[cse.InstanceRef, error] {
	return func(yield func(cse.InstanceRef, error) bool) {
		c, err := r.v.container(ri)
		if err != nil {
			yield(cse.InstanceRef{}, err)
			return
		}
		(&chunks{v: r.v, ri: ri}).list(c, newestFirst, yield)
	}
}

// LookupInstance implements cse.Reader.
func (r *View) LookupInstance(index uint64) (string, cse.InstanceRef, bool, error) {
	ri, _, err := r.v.t.log.Instance(index)
	if errors.Is(err, ErrNotInstance) {
		return "", cse.InstanceRef{}, false, nil
	} else if err != nil {
		return "", cse.InstanceRef{}, false, err
	}
	c, err := r.v.container(ri)
	if err != nil {
		return "", cse.InstanceRef{}, false, err
	}
	return lookup(&chunks{v: r.v, ri: ri}, c, index)
}

func lookup(list *chunks, c *container, index uint64) (string, cse.InstanceRef, bool, error) {
	p, ok, err := list.find(c, index)
	if err2 := list.close(); err == nil {
		err = err2
	}
	if err != nil || !ok {
		return "", cse.InstanceRef{}, false, err
	}
	return list.ri, p.InstanceRef, true, nil
}

// InstanceContent implements cse.Reader.
func (r *View) InstanceContent(index uint64) (cse.InstanceContent, error) {
	return r.v.t.content(index)
}

// Due implements cse.Reader.
func (r *View) Due(before int64) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := r.v.due(before, func(_ int64, ri string) bool { return yield(ri, nil) }); err != nil {
			yield("", err)
		}
	}
}

// Aux implements cse.Reader.
func (r *View) Aux(key string) ([]byte, error) { return r.v.aux(key) }
