package tree

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/tallystick/tallystick/onem2m"
)

// Check is View.Check of the newest version.
func (t *Tree) Check(ctx context.Context) error {
	v := t.View()
	defer v.Close()
	return v.Check(ctx)
}

// Check reads the whole version and verifies that its records agree: every name, child, subscription, expiry,
// counter and posting record belongs to an existing resource, which in turn has all of its own, and counters are what
// the postings add up to. The error names the first record that is wrong (CorruptionError) or unreadable.
func (r *View) Check(ctx context.Context) error {
	v := r.v
	c := &checker{v: v, ctx: ctx}
	each := map[byte]func(key, value []byte) error{
		spaceAux: func(_, _ []byte) error { return nil }, spaceChild: c.child, spaceInstName: c.instanceName,
		spaceInstIndex: c.instanceIndex, spaceContainer: c.container, spaceName: c.name, spaceOrder: c.order,
		spaceChunk: c.chunk, spaceResource: c.resource, spaceSub: c.subscription, spaceDue: c.due,
		spaceLocal: func(_, _ []byte) error { return nil }, spaceMeta: c.meta, spaceTimes: c.times,
	}
	if v.order > 0 {
		if err := c.expect(keyOrder, string(binary.AppendUvarint(nil, v.order)), "there are resources"); err != nil {
			return err
		}
	}
	return v.scan(nil, []byte("z"), func(key, value []byte) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		var check func(key, value []byte) error
		if len(key) >= 2 && key[1] == '/' {
			check = each[key[0]]
		}
		if check == nil {
			return false, corrupt(key, "unknown key")
		}
		return true, check(key, value)
	})
}

// checker verifies one record at a time. Each end of a link looks up the other, so the order does not matter.
type checker struct {
	v   *version
	ctx context.Context
}

// stored reads a resource from the snapshot itself, not from a cache.
func (c *checker) stored(ri string) (n *node, err error) {
	err = c.v.get(appendKey(nil, spaceResource, ri), func(b []byte) (err error) {
		if b != nil {
			n, err = decodeNode(ri, b)
		}
		return err
	})
	return n, err
}

func (c *checker) storedContainer(ri string) (k *container, err error) {
	err = c.v.get(appendKey(nil, spaceContainer, ri), func(b []byte) (err error) {
		if b != nil {
			k, err = decodeContainer(b)
		}
		return err
	})
	return k, err
}

// expect verifies that the record at key has exactly the value want.
func (c *checker) expect(key []byte, want string, why string) error {
	return c.v.get(key, func(b []byte) error {
		if b == nil {
			return fmt.Errorf("missing, but %s", why)
		}
		if string(b) != want {
			return fmt.Errorf("%q instead of %q, as %s", b, want, why)
		}
		return nil
	})
}

// resource verifies that a resource has all records that belong to it.
func (c *checker) resource(key, value []byte) error {
	ri := string(key[2:])
	n, err := decodeNode(ri, value)
	if err != nil {
		return corrupt(key, "%v", err)
	}
	r := n.res
	if err := checkResource(r); err != nil {
		return corrupt(key, "%v", err)
	}
	if n.order >= c.v.order {
		return corrupt(key, "created as number %d, but %d is the next", n.order, c.v.order)
	}
	why := fmt.Sprintf("resource %q exists", ri)
	if err := c.expect(appendPairKey(nil, spaceName, r.PI, r.RN), ri, why); err != nil {
		return err
	}
	if r.PI != "" {
		parent, err := c.stored(r.PI)
		if err != nil {
			return err
		}
		if parent == nil {
			return corrupt(key, "its parent %q does not exist", r.PI)
		}
		kid := child{order: n.order}
		kid.RI, kid.RN, kid.Type = r.RI, r.RN, r.Type
		if err := c.expect(appendNumberKey(nil, spaceChild, r.PI, n.order), string(kid.encode(nil)), why); err != nil {
			return err
		}
		if r.Type == onem2m.TypeSubscription {
			if err := c.expect(appendNumberKey(nil, spaceSub, r.PI, n.order), ri, why); err != nil {
				return err
			}
		}
	}
	if at := r.Due(); at != 0 {
		if err := c.expect(appendDueKey(nil, at, ri), "", why); err != nil {
			return err
		}
	}
	if r.Type.InstanceType() != 0 {
		k, err := c.storedContainer(ri)
		if err != nil {
			return err
		}
		if k == nil {
			return corrupt(appendKey(nil, spaceContainer, ri), "missing, but %s", why)
		}
	}
	return nil
}

// owner finds the resource that an index record at key is about.
func (c *checker) owner(key []byte, ri string) (*node, error) {
	n, err := c.stored(ri)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, corrupt(key, "resource %q does not exist", ri)
	}
	return n, nil
}

func (c *checker) name(key, value []byte) error {
	pi, rn, ok := splitPair(key)
	if !ok {
		return corrupt(key, "malformed key")
	}
	n, err := c.owner(key, string(value))
	if err != nil {
		return err
	}
	if n.res.PI != pi || n.res.RN != rn {
		return corrupt(key, "resource %q has another parent or name", value)
	}
	return nil
}

func (c *checker) child(key, value []byte) error {
	pi, order, ok := splitNumber(key)
	if !ok {
		return corrupt(key, "malformed key")
	}
	kid, err := decodeChild(order, value)
	if err != nil {
		return corrupt(key, "%v", err)
	}
	n, err := c.owner(key, kid.RI)
	if err != nil {
		return err
	}
	if n.res.PI != pi || n.order != order {
		return corrupt(key, "resource %q has another parent or order", kid.RI)
	}
	return nil
}

func (c *checker) subscription(key, value []byte) error {
	pi, order, ok := splitNumber(key)
	if !ok {
		return corrupt(key, "malformed key")
	}
	n, err := c.owner(key, string(value))
	if err != nil {
		return err
	}
	if n.res.PI != pi || n.order != order || n.res.Type != onem2m.TypeSubscription {
		return corrupt(key, "resource %q is no subscription created here", value)
	}
	return nil
}

func (c *checker) due(key, _ []byte) error {
	at, ri, ok := splitDue(key)
	if !ok {
		return corrupt(key, "malformed key")
	}
	n, err := c.owner(key, ri)
	if err != nil {
		return err
	}
	if n.res.Due() != at {
		return corrupt(key, "resource %q is due at %d", ri, n.res.Due())
	}
	return nil
}

func (c *checker) order(key, value []byte) error {
	if n, err := decodeNumber(value); string(key) != string(keyOrder) || err != nil || n != c.v.order {
		return corrupt(key, "not the next order of creation, %d", c.v.order)
	}
	return nil
}

func (c *checker) meta(key, value []byte) error {
	want := binary.AppendUvarint(nil, formatVersion)
	if string(key) == string(keyHeight) {
		want = heightRecord(c.v.height, c.v.time)
	} else if string(key) != string(keyFormat) {
		return corrupt(key, "unknown key")
	}
	if string(value) != string(want) {
		return corrupt(key, "%x instead of %x", value, want)
	}
	return nil
}

// container adds up the postings.
func (c *checker) container(key, value []byte) error {
	ri := string(key[2:])
	k, err := decodeContainer(value)
	if err != nil {
		return corrupt(key, "%v", err)
	}
	n, err := c.owner(key, ri)
	if err != nil {
		return err
	}
	if n.res.Type.InstanceType() == 0 {
		return corrupt(key, "resource %q is no container", ri)
	}
	if k.Count > 0 && k.dated != (n.res.Type == onem2m.TypeTimeSeries) {
		return corrupt(key, "its instances have times of generation, or not, but it is of type %d", n.res.Type)
	}
	var count, bytes, named, oldest, newest uint64
	list := &chunks{v: c.v, ri: ri}
	var broken error
	err = list.ascend(k, func(p *posting) bool {
		if count > 0 && p.Index <= newest {
			broken = corrupt(key, "posting %d comes after %d", p.Index, newest)
		}
		if count == 0 {
			oldest = p.Index
		}
		newest = p.Index
		count++
		bytes += p.Size
		if p.named {
			named++
			if err := c.namedInstance(ri, p.Index); err != nil && broken == nil {
				broken = err
			}
		}
		if k.dated && broken == nil {
			broken = c.timeOf(ri, p)
		}
		if count%1024 == 0 && broken == nil {
			broken = c.ctx.Err()
		}
		return broken == nil
	})
	if err2 := list.close(); err == nil {
		err = err2
	}
	if broken != nil {
		return broken
	}
	if err != nil {
		return err
	}
	if count != k.Count || bytes != k.Bytes || named != k.named || count > 0 && (oldest != k.Oldest || newest != k.Newest) {
		return corrupt(key, "counters say %d instances, %d bytes, %d named, %d to %d; postings say %d, %d, %d, %d to %d",
			k.Count, k.Bytes, k.named, k.Oldest, k.Newest, count, bytes, named, oldest, newest)
	}
	if !k.dated {
		return nil
	}
	return c.pages(key, ri, count)
}

// timeOf verifies that the time of generation of a posting is in its page.
func (c *checker) timeOf(ri string, p *posting) error {
	ok, err := c.v.generated(ri, p.Generated)
	if err == nil && !ok {
		err = corrupt(appendNumberKey(nil, spaceTimes, ri, uint64(p.Generated)), "missing, but instance %d has that time of generation", p.Index)
	}
	return err
}

// pages verifies that the pages of a timeSeries have count times in all, in ascending order.
func (c *checker) pages(key []byte, ri string, count uint64) error {
	lower, upper := rangeOf(spaceTimes, ri)
	last, total := int64(-1), uint64(0)
	err := c.v.scan(lower, upper, func(key, value []byte) (bool, error) {
		_, name, ok := splitNumber(key)
		if !ok {
			return false, corrupt(key, "malformed key")
		}
		times, err := decodePage(name, value)
		if err != nil {
			return false, corrupt(key, "%v", err)
		}
		if int64(name) <= last {
			return false, corrupt(key, "the page before it has later times")
		}
		last = times[len(times)-1]
		total += uint64(len(times))
		return true, nil
	})
	if err == nil && total != count {
		err = corrupt(key, "%d instances, but %d times of generation", count, total)
	}
	return err
}

// times verifies that the owner of a page is a timeSeries with instances; its content is checked with that.
func (c *checker) times(key, _ []byte) error {
	ri, _, ok := splitNumber(key)
	if !ok {
		return corrupt(key, "malformed key")
	}
	k, err := c.storedContainer(ri)
	if err != nil {
		return err
	}
	if k == nil || k.Count == 0 || !k.dated {
		return corrupt(key, "it belongs to no timeSeries")
	}
	return nil
}

// namedInstance verifies that a posting that says it has a name has one.
func (c *checker) namedInstance(ri string, index uint64) error {
	name, err := c.v.nameOf(ri, index)
	if err != nil {
		return err
	}
	if name == "" {
		return corrupt(appendNumberKey(nil, spaceInstIndex, ri, index), "missing, but the instance has a name")
	}
	at, ok, err := c.v.instanceNamed(ri, name)
	if err != nil {
		return err
	}
	if !ok || at != index {
		return corrupt(appendPairKey(nil, spaceInstName, ri, name), "does not lead to instance %d, which has that name", index)
	}
	return nil
}

// chunk verifies that the container of a chunk knows of it; its content is checked with the container.
func (c *checker) chunk(key, value []byte) error {
	ri, name, ok := splitNumber(key)
	if !ok {
		return corrupt(key, "malformed key")
	}
	k, err := c.storedContainer(ri)
	if err != nil {
		return err
	}
	if _, err := decodeChunk(nil, name, value, k != nil && k.dated); err != nil {
		return corrupt(key, "%v", err)
	}
	if k == nil || !k.hasChunks() || name < k.first || name > k.Newest || k.tailN > 0 && name >= k.tailName {
		return corrupt(key, "it belongs to no container")
	}
	return nil
}

func (c *checker) instanceName(key, value []byte) error {
	ri, name, ok := splitPair(key)
	index, err := decodeNumber(value)
	if !ok || err != nil {
		return corrupt(key, "malformed record")
	}
	if err := c.livePosting(key, ri, index); err != nil {
		return err
	}
	return c.expect(appendNumberKey(nil, spaceInstIndex, ri, index), name, fmt.Sprintf("instance %d has that name", index))
}

func (c *checker) instanceIndex(key, value []byte) error {
	ri, index, ok := splitNumber(key)
	if !ok || len(value) == 0 {
		return corrupt(key, "malformed record")
	}
	if err := c.livePosting(key, ri, index); err != nil {
		return err
	}
	return c.expect(appendPairKey(nil, spaceInstName, ri, string(value)), string(binary.AppendUvarint(nil, index)),
		fmt.Sprintf("instance %d has that name", index))
}

// livePosting verifies that the instance whose name is at key exists.
func (c *checker) livePosting(key []byte, ri string, index uint64) error {
	k, err := c.storedContainer(ri)
	if err != nil {
		return err
	}
	list := &chunks{v: c.v, ri: ri}
	p, ok, err := list.find(k, index)
	if err2 := list.close(); err == nil {
		err = err2
	}
	if err != nil {
		return err
	}
	if !ok || !p.named {
		return corrupt(key, "container %q has no named instance %d", ri, index)
	}
	return nil
}
