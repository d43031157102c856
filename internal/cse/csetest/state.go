// Package csetest holds an in-memory cse.State that is as plain as possible: maps, slices and linear scans.
// Tests use it in place of the real tree and compare the real tree with it.
package csetest

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// State keeps everything in memory. The zero value is not usable; call NewState.
// It is not safe for concurrent use.
type State struct {
	resources map[string]*cse.Resource
	order     []string // resource IDs in creation order
	names     map[name]string
	counters  map[string]cse.Counters
	instances map[string][]instance // by container, oldest first
	contents  map[uint64]cse.InstanceContent
	aux       map[string][]byte
	// Fail, when set, is returned by every write, to test how a failing disk is handled.
	Fail error
}

type name struct{ pi, rn string }

type instance struct {
	ref  cse.InstanceRef
	name string
}

var _ cse.State = (*State)(nil)

// NewState returns an empty state.
func NewState() *State {
	return &State{
		resources: map[string]*cse.Resource{},
		names:     map[name]string{},
		counters:  map[string]cse.Counters{},
		instances: map[string][]instance{},
		contents:  map[uint64]cse.InstanceContent{},
		aux:       map[string][]byte{},
	}
}

// Snapshot returns an independent copy. Resources are shared, as they never change.
func (s *State) Snapshot() *State {
	c := &State{
		resources: maps.Clone(s.resources),
		order:     slices.Clone(s.order),
		names:     maps.Clone(s.names),
		counters:  maps.Clone(s.counters),
		instances: make(map[string][]instance, len(s.instances)),
		contents:  maps.Clone(s.contents),
		aux:       maps.Clone(s.aux),
		Fail:      s.Fail,
	}
	for ri, list := range s.instances {
		c.instances[ri] = slices.Clone(list)
	}
	return c
}

// Rollback makes s what it was when snapshot was taken. The snapshot stays usable.
func (s *State) Rollback(snapshot *State) { *s = *snapshot.Snapshot() }

// Log records the content of the instances among the effects of a request, as the ledger does when it appends
// them to the log: the first effect has the index first.
func (s *State) Log(first uint64, time int64, effects []cse.Effect) {
	for i, e := range effects {
		if e.Type.IsInstance() && e.Operation == onem2m.Create {
			s.contents[first+uint64(i)] = cse.InstanceContent{
				Content: slices.Clone(e.Payload), Time: time, Originator: e.Originator,
			}
		}
	}
}

// IDs lists all resource IDs in ascending order.
func (s *State) IDs() []string { return slices.Sorted(maps.Keys(s.resources)) }

// Dump describes everything the state holds but the logged contents, one line each, in a fixed order.
func (s *State) Dump() []string {
	var out []string
	for _, ri := range s.IDs() {
		out = append(out, fmt.Sprintf("resource %x", s.resources[ri].AppendBinary(nil)))
	}
	for n, ri := range s.names {
		out = append(out, fmt.Sprintf("name %q %q %s", n.pi, n.rn, ri))
	}
	for ri, c := range s.counters {
		out = append(out, fmt.Sprintf("container %s %+v %+v", ri, c, s.instances[ri]))
	}
	for k, v := range s.aux {
		out = append(out, fmt.Sprintf("aux %q %q", k, v))
	}
	sort.Strings(out)
	return out
}

// Resource implements cse.Reader.
func (s *State) Resource(ri string) (*cse.Resource, error) { return s.resources[ri], nil }

// Child implements cse.Reader.
func (s *State) Child(pi, rn string) (string, error) { return s.names[name{pi, rn}], nil }

// Children implements cse.Reader.
func (s *State) Children(pi, after string) iter.Seq2[cse.ChildRef, error] {
	return func(yield func(cse.ChildRef, error) bool) {
		started := after == ""
		for _, ri := range slices.Clone(s.order) {
			r := s.resources[ri]
			if r == nil || r.PI != pi || pi == "" {
				continue
			}
			if started && !yield(cse.ChildRef{RI: r.RI, RN: r.RN, Type: r.Type}, nil) {
				return
			}
			started = started || ri == after
		}
	}
}

// Subscriptions implements cse.Reader.
func (s *State) Subscriptions(pi string) ([]string, error) {
	var out []string
	for child := range s.Children(pi, "") {
		if child.Type == onem2m.TypeSubscription {
			out = append(out, child.RI)
		}
	}
	return out, nil
}

// Container implements cse.Reader.
func (s *State) Container(ri string) (cse.Counters, bool, error) {
	c, ok := s.counters[ri]
	return c, ok, nil
}

// Instances implements cse.Reader.
func (s *State) Instances(ri string, newestFirst bool) iter.Seq2[cse.InstanceRef, error] {
	return func(yield func(cse.InstanceRef, error) bool) {
		list := slices.Clone(s.instances[ri])
		if newestFirst {
			slices.Reverse(list)
		}
		for _, in := range list {
			if !yield(in.ref, nil) {
				return
			}
		}
	}
}

// LookupInstance implements cse.Reader.
func (s *State) LookupInstance(index uint64) (string, cse.InstanceRef, bool, error) {
	for ri, list := range s.instances {
		for _, in := range list {
			if in.ref.Index == index {
				return ri, in.ref, true, nil
			}
		}
	}
	return "", cse.InstanceRef{}, false, nil
}

// Generated implements cse.Reader.
func (s *State) Generated(ri string, at int64) (bool, error) {
	if r := s.resources[ri]; r == nil || r.Type != onem2m.TypeTimeSeries {
		return false, nil
	}
	return slices.ContainsFunc(s.instances[ri], func(in instance) bool { return in.ref.Generated == at }), nil
}

// InstanceContent implements cse.Reader.
func (s *State) InstanceContent(index uint64) (cse.InstanceContent, error) {
	content, ok := s.contents[index]
	if !ok {
		return cse.InstanceContent{}, fmt.Errorf("read content of log entry %d: no such entry", index)
	}
	return content, nil
}

// Due implements cse.Reader.
func (s *State) Due(before int64) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var due []*cse.Resource
		for _, ri := range s.IDs() {
			if r := s.resources[ri]; r.Due() != 0 && r.Due() <= before {
				due = append(due, r)
			}
		}
		sort.SliceStable(due, func(i, j int) bool { return due[i].Due() < due[j].Due() })
		for _, r := range due {
			if !yield(r.RI, nil) {
				return
			}
		}
	}
}

// Aux implements cse.Reader.
func (s *State) Aux(key string) ([]byte, error) { return s.aux[key], nil }

// Put implements cse.State.
func (s *State) Put(r *cse.Resource) error {
	if s.Fail != nil {
		return s.Fail
	}
	if s.resources[r.RI] == nil {
		s.order = append(s.order, r.RI)
		s.names[name{r.PI, r.RN}] = r.RI
		if r.Type.InstanceType() != 0 {
			s.counters[r.RI] = cse.Counters{StateTag: r.StateTag, Modified: r.Modified}
		}
	}
	s.resources[r.RI] = r
	return nil
}

// Remove implements cse.State.
func (s *State) Remove(ri string) error {
	if s.Fail != nil {
		return s.Fail
	}
	r := s.resources[ri]
	if r == nil {
		return fmt.Errorf("remove resource %s: no such resource", ri)
	}
	for _, in := range s.instances[ri] {
		delete(s.names, name{ri, in.name})
	}
	delete(s.resources, ri)
	delete(s.names, name{r.PI, r.RN})
	delete(s.counters, ri)
	delete(s.instances, ri)
	s.order = slices.DeleteFunc(s.order, func(id string) bool { return id == ri })
	return nil
}

// AppendInstance implements cse.State.
func (s *State) AppendInstance(container string, ref cse.InstanceRef, rn string) error {
	if s.Fail != nil {
		return s.Fail
	}
	c, ok := s.counters[container]
	if !ok {
		return fmt.Errorf("append instance %d: no container %s", ref.Index, container)
	}
	s.instances[container] = append(s.instances[container], instance{ref, rn})
	if rn != "" {
		s.names[name{container, rn}] = onem2m.ResourceRI(s.resources[container].Type.InstanceType(), ref.Index)
	}
	c.Count++
	c.Bytes += ref.Size
	c.StateTag, c.Modified = ref.StateTag, ref.Time
	s.bound(container, c)
	return nil
}

// RemoveInstance implements cse.State.
func (s *State) RemoveInstance(container string, index uint64) error {
	if s.Fail != nil {
		return s.Fail
	}
	list := s.instances[container]
	i := slices.IndexFunc(list, func(in instance) bool { return in.ref.Index == index })
	if i < 0 {
		return fmt.Errorf("remove instance %d from container %s: not there", index, container)
	}
	c := s.counters[container]
	c.Count--
	c.Bytes -= list[i].ref.Size
	delete(s.names, name{container, list[i].name})
	s.instances[container] = slices.Delete(slices.Clone(list), i, i+1)
	s.bound(container, c)
	return nil
}

// bound stores the counters with the oldest and newest index brought up to date.
func (s *State) bound(container string, c cse.Counters) {
	c.Oldest, c.Newest = 0, 0
	if list := s.instances[container]; len(list) > 0 {
		c.Oldest, c.Newest = list[0].ref.Index, list[len(list)-1].ref.Index
	}
	s.counters[container] = c
}

// SetCounters implements cse.State.
func (s *State) SetCounters(container string, stateTag uint64, modified int64) error {
	if s.Fail != nil {
		return s.Fail
	}
	c, ok := s.counters[container]
	if !ok {
		return fmt.Errorf("set counters: no container %s", container)
	}
	c.StateTag, c.Modified = stateTag, modified
	s.counters[container] = c
	return nil
}

// SetAux implements cse.State.
func (s *State) SetAux(key string, value []byte) error {
	if s.Fail != nil {
		return s.Fail
	}
	if strings.Contains(key, "\x00") || len(key) > 1024 {
		return fmt.Errorf("%q is no key that the tree takes", key)
	}
	if value == nil {
		delete(s.aux, key)
		return nil
	}
	s.aux[key] = slices.Clone(value)
	return nil
}
