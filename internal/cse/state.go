package cse

import (
	"iter"

	"github.com/tallystick/tallystick/onem2m"
)

// Reader is read access to one committed (or, through State, one in-progress) version of the resource tree.
// internal/tree implements it over Pebble; the model tests implement it over maps.
// An error is an I/O failure or corruption, never "absent".
//
// A container is here whatever holds instances: a container, a timeSeries or a flexContainer
// (onem2m.ResourceType.InstanceType).
type Reader interface {
	// Resource returns the resource with that unstructured ID, or nil. Never an instance.
	// The result is shared and must not be changed; clone before editing.
	Resource(ri string) (*Resource, error)
	// Child resolves a name below a parent to a resource ID, instances with a client-given name included; "" when absent.
	Child(pi, rn string) (ri string, err error)
	// Children lists the child resources of pi that are not instances, in creation order,
	// starting after the child with ID after ("" for all).
	Children(pi, after string) iter.Seq2[ChildRef, error]
	// Subscriptions returns the IDs of the subscriptions directly below pi, in creation order. It must cost next to
	// nothing when there are none: it is asked for every change.
	Subscriptions(pi string) ([]string, error)
	// Container returns the counters of a container's instances; ok is false when ri is no container.
	Container(ri string) (c Counters, ok bool, err error)
	// Instances lists the live instances of a container from oldest to newest, or newest first when newestFirst.
	Instances(ri string, newestFirst bool) iter.Seq2[InstanceRef, error]
	// LookupInstance says whether the log entry at index is a live instance and of which container.
	// It answers ok == false for an index that is no instance, was evicted, deleted or erased.
	LookupInstance(index uint64) (container string, ref InstanceRef, ok bool, err error)
	// Generated says whether a timeSeries has a live instance with that dataGenerationTime, Unix microseconds.
	Generated(ri string, at int64) (bool, error)
	// InstanceContent returns what the log keeps of an instance: the request content as it was committed
	// ({"m2m:cin":{...}}), its time and originator. Only for indexes that LookupInstance or Instances returned.
	InstanceContent(index uint64) (InstanceContent, error)
	// Due lists resource IDs (not instances) with 0 < Resource.Due() <= before, soonest first, ties by ID.
	Due(before int64) iter.Seq2[string, error]
	// Aux reads a small named value kept by the core or the ledger beside the resources; nil when absent.
	Aux(key string) ([]byte, error)
}

// State is a Reader that can be changed. All writes of one request are kept or dropped together:
// the ledger calls Mark before and Rollback after a request that failed half way.
type State interface {
	Reader
	// Put stores a resource (new or changed). The tree keeps the pointer; the caller must not change it afterwards.
	// The tree maintains the name index, the child list and the index of what is due from the resource's fields.
	Put(r *Resource) error
	// Remove deletes one resource (not its children) with its name, child list and expiry entries, and, for a
	// container, its counters and posting list.
	Remove(ri string) error
	// AppendInstance adds an instance at the tail of a container and updates its counters (count, bytes, state tag,
	// last modified). name is "" unless the client chose one.
	AppendInstance(container string, ref InstanceRef, name string) error
	// RemoveInstance removes an instance from anywhere in the container (eviction takes the oldest) and updates counters.
	RemoveInstance(container string, index uint64) error
	// SetCounters overwrites the state tag and last-modified time kept in a container's counters, for UPDATE.
	SetCounters(container string, stateTag uint64, modified int64) error
	SetAux(key string, value []byte) error // nil removes
}

// ChildRef names a child resource.
type ChildRef struct {
	RI, RN string
	Type   onem2m.ResourceType
}

// Counters are the parts of a container, a timeSeries that change with every instance. They are stored apart from the
// resource so that one write a block suffices (coalesced), and override the resource's own st and lt.
type Counters struct {
	Count    uint64 // cni
	Bytes    uint64 // cbs
	StateTag uint64 // st
	Modified int64  // lt, Unix microseconds
	Oldest   uint64 // log index of the oldest live instance; meaningless when Count is 0
	Newest   uint64
}

// InstanceRef is what the tree keeps of a contentInstance; the rest is in the log.
type InstanceRef struct {
	Index    uint64 // position in the log; the resource ID derives from it
	Size     uint64 // contentSize, bytes
	StateTag uint64 // st: the container's state tag when it was created
	Time     int64  // creation time, Unix microseconds
	Expires  int64  // expirationTime, Unix microseconds; 0 when the instance has none of its own
	// Generated is the dataGenerationTime of a timeSeriesInstance, Unix microseconds; no two of a timeSeries have the
	// same. It means nothing for others.
	Generated int64
}

// InstanceContent is what the log keeps of a contentInstance.
type InstanceContent struct {
	Content    []byte // {"m2m:cin":{...}} as committed; nil when the payload was erased
	Time       int64  // creation time, Unix microseconds
	Originator string
}
