package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// changeKind is what happened to a resource.
type changeKind uint8

const (
	changeCreated changeKind = iota + 1
	changeUpdated
	changeDeleted
	changeMissing
)

// change is one committed change of one resource, as the subscriptions that watch it or its parent see it
// (TS-0004 clause 7.5.1.2.2). Exactly one of after, before and instance says which resource:
//
//	created: after, or instance for an instance
//	updated: before and after
//	deleted: before, or instance for an instance
//	missing: before and after, a timeSeries, with the times of the readings that it lacks
//
// A deleted resource, its children and its subscriptions are still in the state when matchSubscriptions is called.
// A created or updated one is already there.
type change struct {
	kind       changeKind
	originator string
	parent     *Resource // nil for the CSEBase
	before     *Resource
	after      *Resource
	instance   *instance
	missing    []int64      // expected dataGenerationTimes of missing data points, oldest first, Unix microseconds
	shown      attributeSet // what the response may have of the resource; nil for all
	modified   []string     // names of the attributes that an UPDATE request carried, deleted ones included
}

// operation is the operation that made the change.
func (ch *change) operation() onem2m.Operation {
	return [...]onem2m.Operation{changeCreated: onem2m.Create, changeUpdated: onem2m.Update, changeDeleted: onem2m.Delete, changeMissing: onem2m.Update}[ch.kind]
}

// countsAnew says whether the change is an UPDATE of a subscription that ends what was counted of its notifications:
// notificationStatsEnable was set to true, or removed (TS-0001 clause 10.2.10.8).
func (ch *change) countsAnew() bool {
	return ch.kind == changeUpdated && ch.after.Type == onem2m.TypeSubscription && slices.Contains(ch.modified, "nse") &&
		string(ch.after.Get("nse")) != "false"
}

// instance is a contentInstance or timeSeriesInstance in hand: just created or just read from the log.
type instance struct {
	ri         string
	container  *Resource
	ref        InstanceRef
	members    []onem2m.Member // the members of {"m2m:cin":{...}} or {"m2m:tsi":{...}} as committed, rn and cr:null included
	originator string
}
