package tree

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// stage makes the container ri one that the block can change. It returns nil when there is none.
func (b *Block) stage(ri string) (*staged, error) {
	if s := b.containers[ri]; s != nil {
		if !s.present {
			return nil, nil
		}
		return s, nil
	}
	base, err := b.v.container(ri)
	if base == nil {
		return nil, err
	}
	s := &staged{container: *base, ri: ri, base: base, present: true}
	// The committed bytes are shared with readers; the block appends to its own.
	s.tail = append(make([]byte, 0, len(base.tail)+64), base.tail...)
	b.addStaged(s)
	return s, nil
}

// AppendInstance implements cse.State. Indexes are log positions: each is above every one before it.
func (b *Block) AppendInstance(ri string, ref cse.InstanceRef, name string) error {
	s, err := b.stage(ri)
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("tree: append instance %d: no container %q", ref.Index, ri)
	}
	if err := checkPosting(&ref); err != nil {
		return err
	}
	if n := len(b.appended); s.Count > 0 && ref.Index <= s.Newest || n > 0 && ref.Index <= b.appended[n-1].index {
		return fmt.Errorf("tree: append instance %d to container %q: a later one is there already", ref.Index, ri)
	}
	if name != "" {
		if err := b.nameInstance(s, ref.Index, name); err != nil {
			return err
		}
	}
	if s.simplePush() {
		b.saveTail(s)
	} else {
		b.save(s)
	}
	if s.Count == 0 {
		n, err := b.node(ri)
		if err != nil {
			return err
		}
		s.dated = n != nil && n.res.Type == onem2m.TypeTimeSeries
	}
	if s.dated {
		if err := b.addTime(s, &ref); err != nil {
			return err
		}
	}
	full, filled, err := s.push(&posting{InstanceRef: ref, named: name != ""})
	if err != nil {
		return corrupt(appendKey(nil, spaceContainer, ri), "%v", err)
	}
	if filled {
		s.chunks = append(s.chunks, full)
	}
	s.dirty = true
	b.appended = append(b.appended, appended{s, ref.Index})
	return nil
}

// RemoveInstance implements cse.State.
func (b *Block) RemoveInstance(ri string, index uint64) error {
	s, err := b.stage(ri)
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("tree: remove instance %d: no container %q", index, ri)
	}
	b.save(s)
	list := s.list(b.v)
	dated := s.dated // the last instance takes that with it
	p, err := s.remove(list, index)
	if err2 := list.close(); err == nil {
		err = err2
	}
	if errors.Is(err, errAbsent) {
		return fmt.Errorf("tree: remove instance %d from container %q: %w", index, ri, err)
	} else if err != nil {
		return err
	}
	s.dirty = true
	if dated {
		if err := b.dropTime(s, p.Generated); err != nil {
			return err
		}
	}
	if p.named {
		return b.unnameInstance(s, index)
	}
	return nil
}

// SetCounters implements cse.State.
func (b *Block) SetCounters(ri string, stateTag uint64, modified int64) error {
	s, err := b.stage(ri)
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("tree: set counters: no container %q", ri)
	}
	b.save(s)
	s.StateTag, s.Modified = stateTag, modified
	s.dirty = true
	return nil
}

// nameInstance gives the instance at index a name in the container s.
func (b *Block) nameInstance(s *staged, index uint64, name string) error {
	if err := checkID("instance name", name); err != nil {
		return err
	}
	taken, err := b.Child(s.ri, name)
	if err != nil {
		return err
	}
	if taken != "" {
		return fmt.Errorf("tree: append instance %d: the name %q below %q belongs to %q", index, name, s.ri, taken)
	}
	k := instanceName{s.ri, s.generation, name}
	n := b.instances.m[k] // says whether it was committed, if the name was freed in this block
	n.index, n.live = index, true
	b.instances.set(k, n)
	b.byIndex.set(instancePlace{s.ri, s.generation, index}, nameAtIndex{name: name, live: true})
	return nil
}

// unnameInstance frees the name of the instance at index.
func (b *Block) unnameInstance(s *staged, index uint64) error {
	place := instancePlace{s.ri, s.generation, index}
	at, changed := b.byIndex.m[place]
	if !changed {
		name, err := b.v.nameOf(s.ri, index)
		if err != nil {
			return err
		}
		if name == "" {
			return corrupt(appendNumberKey(nil, spaceInstIndex, s.ri, index), "missing")
		}
		at = nameAtIndex{name: name, committed: true}
	}
	at.live = false
	b.byIndex.set(place, at)
	k := instanceName{s.ri, s.generation, at.name}
	n, changed := b.instances.m[k]
	if !changed {
		n.committed = true
	}
	n.live = false
	b.instances.set(k, n)
	return nil
}

// instanceNamed resolves the name of an instance to its index.
func (b *Block) instanceNamed(ri, name string) (index uint64, ok bool, err error) {
	s := b.containers[ri]
	if s == nil {
		c, err := b.v.container(ri)
		if err != nil || c == nil || c.named == 0 {
			return 0, false, err
		}
		return b.v.instanceNamed(ri, name)
	}
	if n, changed := b.instances.m[instanceName{ri, s.generation, name}]; changed {
		return n.index, n.live, nil
	}
	if !s.present || s.masked() || s.base.named == 0 {
		return 0, false, nil
	}
	return b.v.instanceNamed(ri, name)
}

// LookupInstance implements cse.Reader.
func (b *Block) LookupInstance(index uint64) (string, cse.InstanceRef, bool, error) {
	var ri string
	i, ok := slices.BinarySearchFunc(b.appended, index, func(p appended, index uint64) int {
		return cmp.Compare(p.index, index)
	})
	if ok {
		ri = b.appended[i].to.ri
	} else {
		var err error
		ri, _, err = b.t.log.Instance(index)
		if errors.Is(err, ErrNotInstance) {
			return "", cse.InstanceRef{}, false, nil
		} else if err != nil {
			return "", cse.InstanceRef{}, false, err
		}
	}
	c, list, err := b.postings(ri)
	if err != nil {
		return "", cse.InstanceRef{}, false, err
	}
	return lookup(list, c, index)
}

// postings gives the container ri as it is now, nil when there is none, and its chunks.
func (b *Block) postings(ri string) (*container, *chunks, error) {
	s := b.containers[ri]
	if s == nil {
		c, err := b.v.container(ri)
		return c, &chunks{v: b.v, ri: ri}, err
	}
	if !s.present {
		return nil, s.list(b.v), nil
	}
	c := s.container // a copy, so that the caller may change the container while it walks
	return &c, s.list(b.v), nil
}
