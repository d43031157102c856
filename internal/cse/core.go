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
	// Lab makes a network for trying clients and for conformance tests: originators need no credential, and Admin
	// passes every access control.
	Lab bool `json:",omitempty"`
	// MaxLifetime is how far in the future an expirationTime may lie, in seconds: one that is later, or not given, is
	// set to that. 0 is no limit (TS-0004 clause 7.3.3.3).
	MaxLifetime int64 `json:",omitempty"`
	// MayRegister are the CSE-IDs of the CSEs that may register in a lab network, besides those with a credential.
	MayRegister []string `json:",omitempty"`
	// Approvals is how many operators an administrative act takes: 2, or 0 for one.
	Approvals int `json:",omitempty"`
	// Mobius admits what clients written for Mobius send, and gives them what they expect, where the standard has it
	// otherwise.
	Mobius bool `json:",omitempty"`
}

// Env is what surrounds one request.
type Env struct {
	Time      int64  // block time (for reads: the node's clock), Unix microseconds
	NextIndex uint64 // the log index that the first effect of this request will get; unused by reads
	// MayRegister says that the originator authenticated with a credential bound to exactly that AE-ID. It stands in
	// for the CREATE privilege on the CSEBase, for the creation of the originator's own AE resource and nothing else.
	MayRegister bool
	// Agreed says that the request is repeated from the log, to rebuild the state. Whether it was allowed was decided
	// when it was first executed, by facts that the log does not keep, such as the client's address.
	Agreed bool
	// Approved says that a second operator consents (Config.Approvals).
	Approved bool
	// Assigned is the resource ID that the accepting node chose for a new subscription, so that those who were asked
	// whether they want it know it by that; "" when the ID is to derive from the log index, as all others do. Repeated
	// from the log, it is the ID of the resource that the entry names.
	Assigned string
	// Statistics gives notificationStatsInfo of a subscription and its targets as JSON text, nil when there is none. It
	// is each node's own, and shows in responses only. Nil gives none.
	Statistics func(subscription string, targets []string) []byte

	// AllRoles says that all roles count that the originator was given, as if the request named them: for what is asked on
	// behalf of one that has no way of naming roles.
	AllRoles bool
	// Trace gets why a request was allowed or refused; nil when nobody wants to know.
	Trace *Trace

	// Outcome is set for a non-blocking request whose operation the accepting node did outside of this CSE, or whose
	// result it knows already. The core then does not execute it.
	Outcome *onem2m.Response
	// Authentic says whether an originator still has a credential, for what is executed long after it was accepted. Nil
	// means that nobody needs one.
	Authentic func(originator string) (bool, error)

	// Work is what is left of the resources that the requests of one block may look at in searches and for conditions, so
	// that no block keeps every node busy for long. Nil is no bound.
	Work *int

	// share is the number of member requests among which a fan-out divides the bounds of one result; 0 for none.
	share int
	// used is what the members of a fan-out, or the resources that expire together, take of their common bounds; nil
	// for a request on its own.
	used *usage
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
	// Category is ec, "" for none. Batch is how the notification is gathered with others of its subscription, nil when it
	// goes alone. Latest says that it replaces those of its subscription that were not delivered yet.
	Category string
	// Rate bounds how often it and others of its subscription are sent; nil when nothing does.
	Batch  *Batch
	Rate   *Rate
	Latest bool
	// Statistics is what the event means for notificationStatsInfo of its subscription.
	Statistics Statistics
}

// Batch is batchNotify of a subscription.
type Batch struct {
	Number   int64 // 0 for no limit
	Duration int64 // since the first notification, microseconds
}

// Rate is rateLimit of a subscription: at most Number requests within Window, in microseconds. Both are above 0.
type Rate struct{ Number, Window int64 }

// Statistics is what an event means for notificationStatsInfo, which every node keeps of what it sends itself.
type Statistics uint8

// What an event means for notificationStatsInfo: nothing; that it is counted; or, an event without content, that
// counting begins anew.
const (
	NotCounted Statistics = iota
	Counted
	CountAnew
)

// Result is the outcome of one request.
type Result struct {
	Response onem2m.Response
	Effects  []Effect
	Events   []Event
	// Poll is set when the request is one to a pollingChannelURI, which the node has to meet.
	Poll *Poll
	// Err is an I/O failure or corruption that the Reader or State reported. The response is then
	// INTERNAL_SERVER_ERROR, effects and events are empty, and the writes made so far must be rolled back.
	Err error
}

// Core executes requests. What it holds besides configuration is a cache of parsed resources that no result shows.
// It is safe for concurrent use; all state is in the State.
type Core struct {
	cfg   Config
	who   Identity
	cache cache
}

// New returns the core of one network.
func New(cfg Config, who Identity) *Core { return &Core{cfg: cfg, who: who} }

// Execute does a CREATE, UPDATE or DELETE, what a fanOutPoint makes of one, and any non-blocking request. It never panics on a request. When the
// result has no effects, because the request was refused or Result.Err is set, the writes of the request must be
// rolled back.
func (c *Core) Execute(st State, req *onem2m.Request, env Env) Result {
	result, err := c.execute(st, req, env)
	if err != nil {
		return c.failed(req, err)
	}
	return result
}

func (c *Core) execute(st State, req *onem2m.Request, env Env) (Result, error) {
	if err := checkPrimitive(req, env.Time); err != nil {
		return Result{}, err
	}
	if NonBlocking(req) {
		return c.executeNonBlocking(st, req, env)
	}
	now := env.Time
	if env.Agreed {
		if env.used == nil {
			env.used = &usage{lossy: true} // what it calls for was bounded when it was first executed
		}
		now = 0 // a DELETE from the log may be of something that had expired, and nothing had at this time
	}
	t, err := c.resolve(st, req.To, now)
	if err != nil {
		return Result{}, c.conceal(st, req, env, &target{}, err)
	}
	result, err := c.executeOn(st, req, env, t)
	if err != nil {
		err = c.conceal(st, req, env, &t, err)
	}
	return result, err
}

func (c *Core) executeOn(st State, req *onem2m.Request, env Env, t target) (Result, error) {
	switch t.virtual {
	case onem2m.TypeFanOutPoint:
		return c.fanOut(st, req, env, t)
	case onem2m.TypePollingChannelURI:
		return Result{}, notPolled(req)
	}
	if env.Agreed {
		switch {
		case req.Operation == onem2m.Create && req.Type == onem2m.TypeRequest:
			return c.keepRequest(st, req.From, req.Content, env)
		case req.Operation == onem2m.Update && t.typ() == onem2m.TypeRequest:
			return c.updateRequest(st, t.resource, req.Content, env)
		}
	}
	switch req.Operation {
	case onem2m.Create:
		return c.create(st, req, env, &t)
	case onem2m.Update:
		return c.update(st, req, env, &t)
	case onem2m.Delete:
		return c.delete(st, req, env, &t)
	}
	return Result{}, refuse(onem2m.StatusBadRequest, "operation %d changes nothing and cannot be executed", req.Operation)
}

// Read answers a RETRIEVE, a discovery, or decides and prepares a NOTIFY. It changes nothing.
func (c *Core) Read(r Reader, req *onem2m.Request, env Env) Result {
	if err := checkPrimitive(req, env.Time); err != nil {
		return c.failed(req, err)
	}
	req = wholeTarget(req)
	t, err := c.resolve(r, req.To, env.Time)
	if err != nil {
		return c.concealed(r, req, env, &target{}, c.failed(req, err))
	}
	return c.concealed(r, req, env, &t, c.readOn(r, req, env, t))
}

func (c *Core) readOn(r Reader, req *onem2m.Request, env Env, t target) Result {
	switch {
	case t.virtual == onem2m.TypePollingChannelURI:
		return c.poll(r, req, &t)
	case req.Operation == onem2m.Retrieve:
		return c.retrieve(r, req, env, t)
	case req.Operation == onem2m.Notify:
		return c.notify(r, req, env, t)
	}
	return c.failed(req, refuse(onem2m.StatusBadRequest, "operation %d cannot be answered by a read", req.Operation))
}

// Check does everything that Execute does for a request but the writes, on a state that may be older than the one it
// will be executed on. A response is the refusal; nil means that the request may be ordered. It spares the network
// requests that are bound to fail and decides nothing: Execute checks again. Of a non-blocking request it checks
// whether it becomes a <request> resource; what its operation comes to is the result that the <request> keeps.
func (c *Core) Check(r Reader, req *onem2m.Request, env Env) *onem2m.Response {
	err := c.check(r, req, env)
	if err == nil {
		return nil
	}
	rsp := c.failed(req, err).Response
	return &rsp
}

func (c *Core) check(r Reader, req *onem2m.Request, env Env) error {
	if err := checkPrimitive(req, env.Time); err != nil {
		return err
	}
	if NonBlocking(req) {
		_, err := c.prepareNonBlocking(r, req, env)
		return err
	}
	t, err := c.resolve(r, req.To, env.Time)
	if err != nil {
		return c.conceal(r, req, env, &target{}, err)
	}
	if err = c.checkOn(r, req, env, t); err != nil {
		err = c.conceal(r, req, env, &t, err)
	}
	return err
}

func (c *Core) checkOn(r Reader, req *onem2m.Request, env Env, t target) error {
	if t.virtual == onem2m.TypePollingChannelURI {
		return notPolled(req)
	}
	if t.virtual == onem2m.TypeFanOutPoint {
		// Each member decides for itself when the request is executed.
		ok, err := c.authorizeMembers(r, t.resource, req.From, accessOf(req.Operation), newAccessContext(req, env, &t))
		if err == nil && !ok {
			err = noPrivilege(req, t.resource.RI)
		}
		return err
	}
	switch req.Operation {
	case onem2m.Create:
		env.NextIndex = unknownIndex
		var d draft
		return c.prepareCreate(r, req, env, &t, &d)
	case onem2m.Update:
		_, err := c.prepareUpdate(r, req, env, &t)
		return err
	case onem2m.Delete:
		_, err := c.prepareDelete(r, req, env, &t)
		return err
	}
	return refuse(onem2m.StatusBadRequest, "operation %d changes nothing and is not ordered", req.Operation)
}

// accessOf is the privilege that an operation needs.
func accessOf(op onem2m.Operation) access {
	switch op {
	case onem2m.Create:
		return accessCreate
	case onem2m.Retrieve:
		return accessRetrieve
	case onem2m.Update:
		return accessUpdate
	case onem2m.Delete:
		return accessDelete
	}
	return accessNotify
}

// noPrivilege refuses a request that access control does not allow.
func noPrivilege(req *onem2m.Request, ri string) error {
	return refuse(onem2m.StatusOriginatorHasNoPrivilege, "originator %q has no privilege to %s %s; an accessControlPolicy (acpi) has to grant it", req.From, verb(req.Operation), ri)
}

// verb is what a refusal calls an operation.
func verb(op onem2m.Operation) string {
	switch op {
	case onem2m.Create:
		return "create a child of"
	case onem2m.Retrieve:
		return "retrieve"
	case onem2m.Update:
		return "update"
	case onem2m.Delete:
		return "delete"
	}
	return "notify"
}

// requireAccess refuses a request that access control does not allow on its target.
func (c *Core) requireAccess(r Reader, req *onem2m.Request, env Env, t *target, op access) error {
	ok, err := c.authorize(r, t.resource, req.From, op, newAccessContext(req, env, t))
	if err == nil && !ok {
		err = noPrivilege(req, t.ri())
	}
	return err
}
