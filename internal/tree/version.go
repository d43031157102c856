package tree

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tallystick/tallystick/internal/cse"
)

// version is the tree as one block left it: a Pebble snapshot, counted by those who read it.
type version struct {
	t      *Tree
	number uint64
	height uint64
	time   int64
	order  uint64           // next order of creation
	snap   *pebble.Snapshot // nil when the tree is closed
	refs   atomic.Int64
}

// publish makes what the store holds now the version that readers get from here on.
func (t *Tree) publish(height uint64, time int64, order uint64) {
	v := &version{t: t, number: t.newest.Load(), height: height, time: time, order: order, snap: t.db.NewSnapshot()}
	v.refs.Store(1)
	t.open.Add(1)
	if old := t.current.Swap(v); old != nil {
		old.releaseLogged()
	}
}

// acquire returns the newest version, counted.
func (t *Tree) acquire() *version {
	for {
		v := t.current.Load()
		for n := v.refs.Load(); n > 0; n = v.refs.Load() {
			if v.refs.CompareAndSwap(n, n+1) {
				return v
			}
		}
		// Replaced and released between the two loads.
	}
}

// close makes a version current of which nothing can be read, and waits for those who read others.
func (t *Tree) close() error {
	last := t.current.Load()
	gone := &version{t: t, number: last.number, height: last.height, time: last.time, order: last.order}
	gone.refs.Store(1)
	err := t.current.Swap(gone).release()
	ended := make(chan struct{})
	go func() {
		t.open.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeTimeout):
		return errors.Join(err, fmt.Errorf("tree: somebody still reads after %s", closeTimeout))
	}
	return err
}

// closeTimeout is how long readers may take to end when the tree is closed.
const closeTimeout = 10 * time.Second

// errClosed is what reads end with after Close.
var errClosed = errors.New("tree: closed")

func (v *version) release() error {
	if v.refs.Add(-1) > 0 || v.snap == nil {
		return nil
	}
	defer v.t.open.Done()
	return v.snap.Close()
}

func (v *version) releaseLogged() {
	if err := v.release(); err != nil {
		v.t.failure.log.Error("closing a snapshot", "err", err)
	}
}

// get calls decode with the record at key, or with nil when it is absent. The bytes are valid during the call only.
func (v *version) get(key []byte, decode func(record []byte) error) error {
	if v.snap == nil {
		return errClosed
	}
	b, closer, err := v.snap.Get(key)
	if err == pebble.ErrNotFound {
		if err := decode(nil); err != nil {
			return corrupt(key, "%v", err)
		}
		return nil
	} else if err != nil {
		return readError(key, err)
	}
	if b == nil {
		b = []byte{}
	}
	err = decode(b)
	if err2 := closer.Close(); err2 != nil {
		return readError(key, err2)
	}
	if err != nil {
		return corrupt(key, "%v", err)
	}
	return nil
}

func (v *version) node(ri string) (*node, error) {
	if n, ok := v.t.nodes.get(ri, v.number); ok {
		return n, nil
	}
	var room [64]byte
	var n *node
	err := v.get(appendKey(room[:0], spaceResource, ri), func(b []byte) (err error) {
		if b != nil {
			n, err = decodeNode(ri, b)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	v.t.nodes.fill(ri, n, n.size()+int64(len(ri)), v.number)
	return n, nil
}

func (v *version) container(ri string) (*container, error) {
	if c, ok := v.t.containers.get(ri, v.number); ok {
		return c, nil
	}
	var room [64]byte
	var c *container
	err := v.get(appendKey(room[:0], spaceContainer, ri), func(b []byte) (err error) {
		if b != nil {
			c, err = decodeContainer(b)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	size := int64(100 + len(ri))
	if c != nil {
		size += c.size()
	}
	v.t.containers.fill(ri, c, size, v.number)
	return c, nil
}

// child resolves a name of a resource, not of an instance.
func (v *version) child(pi, rn string) (string, error) {
	k := pair{pi, rn}
	if ri, ok := v.t.names.get(k, v.number); ok {
		return ri, nil
	}
	var room [128]byte
	var ri string
	err := v.get(appendPairKey(room[:0], spaceName, pi, rn), func(b []byte) error {
		ri = string(b)
		return nil
	})
	if err != nil {
		return "", err
	}
	v.t.names.fill(k, ri, nameSize(k, ri), v.number)
	return ri, nil
}

func nameSize(k pair, ri string) int64 { return int64(150 + len(k.pi) + len(k.rn) + len(ri)) }

// instanceNamed resolves the name of an instance to its index.
func (v *version) instanceNamed(ri, name string) (index uint64, ok bool, err error) {
	var room [128]byte
	err = v.get(appendPairKey(room[:0], spaceInstName, ri, name), func(b []byte) (err error) {
		if b != nil {
			ok = true
			index, err = decodeNumber(b)
		}
		return err
	})
	return index, ok, err
}

// nameOf gives the name of an instance; "" when it has none.
func (v *version) nameOf(ri string, index uint64) (name string, err error) {
	var room [128]byte
	err = v.get(appendNumberKey(room[:0], spaceInstIndex, ri, index), func(b []byte) error {
		name = string(b)
		return nil
	})
	return name, err
}

func (v *version) subscriptions(pi string) ([]string, error) {
	if list, ok := v.t.subs.get(pi, v.number); ok {
		return list, nil
	}
	var list []string
	lower, upper := rangeOf(spaceSub, pi)
	err := v.scan(lower, upper, func(_, value []byte) (bool, error) {
		list = append(list, string(value))
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	list = slices.Clip(list)
	v.t.subs.fill(pi, list, subsSize(pi, list), v.number)
	return list, nil
}

func subsSize(pi string, list []string) int64 {
	size := 150 + len(pi)
	for _, ri := range list {
		size += 16 + len(ri)
	}
	return int64(size)
}

func (v *version) aux(key string) (value []byte, err error) {
	var room [128]byte
	err = v.get(appendKey(room[:0], spaceAux, key), func(b []byte) error {
		if b != nil {
			value = append(make([]byte, 0, len(b)), b...)
		}
		return nil
	})
	return value, err
}

// iterate returns an iterator over the records from lower to below upper. The caller closes it.
func (v *version) iterate(lower, upper []byte) (*pebble.Iterator, error) {
	if v.snap == nil {
		return nil, errClosed
	}
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, readError(lower, err)
	}
	return it, nil
}

// scan calls each with the records from lower to below upper, until it answers false or an error.
func (v *version) scan(lower, upper []byte, each func(key, value []byte) (bool, error)) error {
	it, err := v.iterate(lower, upper)
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			_ = it.Close() // the same error again
			return readError(it.Key(), err)
		}
		more, err := each(it.Key(), value)
		if err != nil || !more {
			if err2 := it.Close(); err == nil && err2 != nil {
				err = readError(lower, err2)
			}
			return err
		}
	}
	if err := it.Close(); err != nil {
		return readError(lower, err)
	}
	return nil
}

// children calls yield with the children of pi whose order is at least from.
func (v *version) children(pi string, from uint64, yield func(child) bool) error {
	_, upper := rangeOf(spaceChild, pi)
	return v.scan(appendNumberKey(nil, spaceChild, pi, from), upper, func(key, value []byte) (bool, error) {
		_, order, ok := splitNumber(key)
		if !ok {
			return false, corrupt(key, "malformed key")
		}
		c, err := decodeChild(order, value)
		if err != nil {
			return false, corrupt(key, "%v", err)
		}
		return yield(c), nil
	})
}

// due calls yield with the resources that are due at before or sooner.
func (v *version) due(before int64, yield func(expires int64, ri string) bool) error {
	if before < 0 {
		return nil
	}
	return v.scan([]byte{spaceDue, '/'}, appendDueKey(nil, before+1, ""), func(key, _ []byte) (bool, error) {
		expires, ri, ok := splitDue(key)
		if !ok {
			return false, corrupt(key, "malformed key")
		}
		return yield(expires, ri), nil
	})
}

// content asks the log for an instance that the tree says exists.
func (t *Tree) content(index uint64) (cse.InstanceContent, error) {
	_, c, err := t.log.Instance(index)
	if errors.Is(err, ErrNotInstance) {
		return c, corrupt(nil, "the log has no instance at %d", index)
	}
	return c, err
}
