// Package cse is the oneM2M core: a deterministic function from (state, request, time) to (response, writes, effects).
// It reads no clock, draws no random numbers, iterates no map in an order that shows, and does no I/O of its own.
package cse

import (
	"github.com/tallystick/tallystick/onem2m"
)

// Config is fixed for the life of a network (it is part of genesis).
type Config struct {
	SPID    string // service provider ID with its leading slashes: "//tallystick.example"
	CSEID   string // SP-relative CSE-ID with its leading slash: "/tally"
	Name    string // resource name of the CSEBase: "tally"
	BaseRI  string // resource ID of the CSEBase: "cb"
	Admin   string // the operator's AE-ID, for example "Coperator": created with the network, bypasses no check but owns the CSEBase's policy
	Release string // default rvi, "4"
}

// Env is what surrounds one request.
type Env struct {
	Time      int64  // block time (for reads: the node's clock), Unix microseconds
	NextIndex uint64 // the log index that the first effect of this request will get; unused by reads
}

// Effect is one committed change: it becomes one log entry, at NextIndex plus its place in Result.Effects.
type Effect struct {
	Operation  onem2m.Operation // Create, Update or Delete
	Originator string
	Target     string // unstructured ID of the resource addressed: the parent for Create
	Resource   string // unstructured ID of the resource created, changed or deleted
	Type       onem2m.ResourceType
	Status     onem2m.StatusCode
	Payload    []byte // the request content as received (nil for Delete)
}

// Event is one notification that the effects of a request call for, ready to be delivered (TS-0004 clause 7.5.1.2.2).
type Event struct {
	Subscription string   // resource ID of the subscription
	Targets      []string // nu: URLs or resource IDs, in order
	Content      []byte   // {"m2m:sgn":{...}} as JSON text
	Originator   string   // fr of the notify request: the hosting CSE's ID
}

// Result is the outcome of one request.
type Result struct {
	Response onem2m.Response
	Effects  []Effect
	Events   []Event
}
