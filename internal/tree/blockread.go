package tree

import (
	"cmp"
	"iter"
	"slices"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

func (b *Block) node(ri string) (*node, error) {
	if c, changed := b.nodes.m[ri]; changed {
		return c.now, nil
	}
	return b.below(ri)
}

// Resource implements cse.Reader.
func (b *Block) Resource(ri string) (*cse.Resource, error) {
	n, err := b.node(ri)
	if n == nil {
		return nil, err
	}
	return n.res, nil
}

// Child implements cse.Reader.
func (b *Block) Child(pi, rn string) (string, error) {
	k := pair{pi, rn}
	c, changed := b.names.m[k]
	if !changed {
		var err error
		if c.now, err = b.nameBelow(k); err != nil {
			return "", err
		}
	}
	if c.now != "" {
		return c.now, nil
	}
	index, ok, err := b.instanceNamed(pi, rn)
	if err != nil || !ok {
		return "", err
	}
	n, err := b.node(pi)
	if err != nil || n == nil {
		return "", err
	}
	return onem2m.ResourceRI(n.res.Type.InstanceType(), index), nil
}

// Children implements cse.Reader. Children removed while it goes on are left out from then on.
func (b *Block) Children(pi, after string) iter.Seq2[cse.ChildRef, error] {
	return func(yield func(cse.ChildRef, error) bool) {
		if pi == "" {
			return
		}
		var from uint64
		if after != "" {
			n, err := b.node(after)
			if err != nil {
				yield(cse.ChildRef{}, err)
				return
			}
			if n == nil || n.res.PI != pi {
				return
			}
			from = n.order + 1
		}
		added := b.kids[pi]
		more := true
		err := b.v.children(pi, from, func(c child) bool {
			if b.has(&c) {
				more = yield(c.ChildRef, nil)
			}
			return more
		})
		if err != nil {
			yield(cse.ChildRef{}, err)
			return
		}
		for i := range added {
			if !more {
				return
			}
			if added[i].order >= from && b.has(&added[i]) {
				more = yield(added[i].ChildRef, nil)
			}
		}
	}
}

// has says whether a child is still there.
func (b *Block) has(c *child) bool {
	n, changed := b.nodes.m[c.RI]
	return !changed || n.now != nil && n.now.order == c.order
}

// Subscriptions implements cse.Reader. The result is shared and must not be changed.
func (b *Block) Subscriptions(pi string) ([]string, error) {
	if list, changed := b.subs.m[pi]; changed {
		return list, nil
	}
	return b.subscriptionsBelow(pi)
}

// Container implements cse.Reader.
func (b *Block) Container(ri string) (cse.Counters, bool, error) {
	if s := b.containers[ri]; s != nil {
		return s.Counters, s.present, nil
	}
	c, err := b.v.container(ri)
	if c == nil {
		return cse.Counters{}, false, err
	}
	return c.Counters, true, nil
}

// Instances implements cse.Reader. It lists what was there when it began, whatever is changed meanwhile.
func (b *Block) Instances(ri string, newestFirst bool) iter.Seq2[cse.InstanceRef, error] {
	return func(yield func(cse.InstanceRef, error) bool) {
		c, list, err := b.postings(ri)
		if err != nil {
			yield(cse.InstanceRef{}, err)
			return
		}
		list.list(c, newestFirst, yield)
	}
}

// InstanceContent implements cse.Reader.
func (b *Block) InstanceContent(index uint64) (cse.InstanceContent, error) { return b.t.content(index) }

// Due implements cse.Reader. It lists what was due when it began.
func (b *Block) Due(before int64) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		type due struct {
			expires int64
			ri      string
		}
		var list []due
		for ri, c := range b.nodes.m {
			if c.now == nil {
				continue
			}
			if at := c.now.res.Due(); at != 0 && at <= before {
				list = append(list, due{at, ri})
			}
		}
		unchanged := len(list)
		err := b.v.due(before, func(expires int64, ri string) bool {
			if _, changed := b.nodes.m[ri]; !changed {
				list = append(list, due{expires, ri})
			}
			return true
		})
		if err != nil {
			yield("", err)
			return
		}
		if unchanged > 0 {
			slices.SortFunc(list, func(x, y due) int {
				return cmp.Or(cmp.Compare(x.expires, y.expires), cmp.Compare(x.ri, y.ri))
			})
		}
		for _, d := range list {
			if !yield(d.ri, nil) {
				return
			}
		}
	}
}

// Aux implements cse.Reader.
func (b *Block) Aux(key string) ([]byte, error) {
	if value, changed := b.aux.m[key]; changed {
		return value, nil
	}
	return b.v.aux(key)
}
