package cse

import (
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of one request to a fanOutPoint, groups among the members included.
const (
	maxFanOut      = 1000     // member requests
	maxFanOutDepth = 8        // groups within groups
	maxFanOutBytes = 16 << 20 // content of the member responses, the last one not counted
	maxFanOutSent  = 32 << 20 // content of the member requests, the last one not counted
)

// fan is one request to a fanOutPoint under way (TS-0001 clause 10.7, TS-0004 clause 7.4.14.2).
type fan struct {
	c       *Core
	r       Reader
	env     Env
	execute func(req *onem2m.Request, env Env, t target) (Result, error)
	update  func(req *onem2m.Request, env Env, t *target) (Result, error) // set where requests may change the state
	groups  []string                                                      // the groups being fanned out, outermost first
	left    int                                                           // member requests that may still be made
	bytes   int                                                           // content of the member responses so far
	sent    int                                                           // content of the member requests so far
	effects []Effect
	events  []Event
}

// fanOut does a CREATE, UPDATE or DELETE on every member of a group, in the order of memberIDs. Each member decides
// for itself; one that refuses changes nothing and stops no other. An overflow stops and refuses the whole request.
func (c *Core) fanOut(st State, req *onem2m.Request, env Env, t target) (Result, error) {
	if env.used == nil {
		env.used = &usage{}
	}
	env.Assigned = ""
	f := &fan{c: c, r: st, env: env, left: maxFanOut}
	f.execute = func(req *onem2m.Request, env Env, _ target) (Result, error) { return c.execute(st, req, env) }
	f.update = func(req *onem2m.Request, env Env, t *target) (Result, error) { return c.update(st, req, env, t) }
	rsp, err := f.group(req, t)
	return Result{Response: rsp, Effects: f.effects, Events: f.events}, err
}

// fanOutRead does a RETRIEVE or NOTIFY on every member of a group.
func (c *Core) fanOutRead(r Reader, req *onem2m.Request, env Env, t target) Result {
	f := &fan{c: c, r: r, env: env, left: maxFanOut}
	f.execute = func(req *onem2m.Request, env Env, t target) (Result, error) {
		if req.Operation == onem2m.Notify {
			return c.notify(r, req, env, t), nil
		}
		return c.retrieve(r, req, env, t), nil
	}
	rsp, err := f.group(req, t)
	if err != nil {
		return c.failed(req, err)
	}
	return Result{Response: rsp, Events: f.events}
}

// group fans a request out to the members of one group and aggregates their responses (m2m:agr). A member that is a
// group gets the request itself, unless it is named with the suffix /fopt (TS-0004 clause 7.4.14.1).
func (f *fan) group(req *onem2m.Request, t target) (onem2m.Response, error) {
	rsp := f.c.response(req, onem2m.StatusOK)
	group := t.resource
	switch {
	case slices.Contains(f.groups, group.RI):
		return rsp, refuse(onem2m.StatusGroupRequestIdentifierExists, "group %s has itself among its members", group.RI)
	case len(f.groups) >= maxFanOutDepth:
		return rsp, refuse(onem2m.StatusNotAcceptable, "group %s is more than %d groups deep", group.RI, maxFanOutDepth)
	}
	ok, err := f.c.authorizeMembers(f.r, group, req.From, accessOf(req.Operation), newAccessContext(req, f.env, &t))
	if err != nil {
		return rsp, err
	}
	if !ok {
		return rsp, noPrivilege(req, group.RI+"/fopt")
	}
	ids := f.c.compile(group).members
	if len(ids) == 0 {
		return rsp, refuse(onem2m.StatusNoMembers, "group %s has no members", group.RI)
	}
	f.groups = append(f.groups, group.RI)
	share := f.env.share
	f.env.share = min(max(share, 1)*len(ids), maxFanOut)
	left := make([]string, 0, len(ids))
	dst := []byte(`{"m2m:agr":{"m2m:rsp":[`)
	for i, id := range ids {
		member := *req
		member.To = id
		if t.rest != "" {
			member.To += "/" + t.rest
		}
		answer, err := f.member(&member)
		if err != nil {
			return rsp, err
		}
		if answer.Status != onem2m.StatusDeleted || t.rest != "" {
			left = append(left, id)
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendResponse(dst, &answer, member.To)
	}
	f.groups, f.env.share = f.groups[:len(f.groups)-1], share
	rsp.Content = append(dst, "]}}"...)
	if len(left) < len(ids) {
		return rsp, f.forget(req, group, left)
	}
	return rsp, nil
}

// forget takes the members that a DELETE has removed off their group (TS-0004 clause 7.4.14.3.5). It is an UPDATE with an
// effect of its own, by the originator of the DELETE but without asking for a privilege. A group that was removed
// itself, as one of its members, or that refuses the update, as its remaining members have changed, is left alone.
func (f *fan) forget(req *onem2m.Request, group *Resource, left []string) error {
	group, err := f.r.Resource(group.RI)
	if err != nil || group == nil {
		return err
	}
	content := appendStrings([]byte(`{"m2m:grp":{"mid":`), left)
	env := f.env
	env.NextIndex += uint64(len(f.effects))
	env.Agreed = true
	result, err := f.update(&onem2m.Request{
		Operation: onem2m.Update, From: req.From, To: group.RI, Content: append(content, '}', '}'),
		ResultContent: onem2m.ResultContentNothing,
	}, env, &target{resource: group})
	if asRefusal(err) != nil && !isOverflow(err) {
		return nil
	}
	if err != nil {
		return err
	}
	f.effects = append(f.effects, result.Effects...)
	f.events = append(f.events, result.Events...)
	return nil
}

// member does the request on one member. The error is a failure of the state or an overflow.
func (f *fan) member(req *onem2m.Request) (onem2m.Response, error) {
	switch {
	case f.left == 0:
		return f.c.refusal(req, onem2m.Errorf(onem2m.StatusNotAcceptable, "the group has more than %d members", maxFanOut)), nil
	case f.bytes > maxFanOutBytes:
		return f.c.refusal(req, onem2m.Errorf(onem2m.StatusNotAcceptable, "the responses of the members have more than %d bytes", maxFanOutBytes)), nil
	case f.sent > maxFanOutSent:
		return f.c.refusal(req, onem2m.Errorf(onem2m.StatusNotAcceptable, "the requests to the members have more than %d bytes", maxFanOutSent)), nil
	}
	f.left--
	f.sent += len(req.Content)
	t, err := f.c.resolve(f.r, req.To, f.env.Time)
	var result Result
	switch {
	case err != nil:
	case t.virtual == onem2m.TypeFanOutPoint:
		var rsp onem2m.Response
		if rsp, err = f.group(req, t); err == nil {
			return rsp, nil
		}
	default:
		env := f.env
		env.NextIndex += uint64(len(f.effects))
		result, err = f.execute(req, env, t)
	}
	if isOverflow(err) {
		return onem2m.Response{}, err
	}
	if err != nil {
		result = f.c.failed(req, err)
	}
	f.bytes += len(result.Response.Content)
	f.effects = append(f.effects, result.Effects...)
	f.events = append(f.events, result.Events...)
	return result.Response, result.Err
}

// appendResponse appends one response primitive of m2m:aggregatedResponse (TS-0004 clause 6.4.2).
func appendResponse(dst []byte, rsp *onem2m.Response, from string) []byte {
	w := objectWriter{dst: append(dst, '{')}
	if w.key("rsc") {
		w.dst = strconv.AppendInt(w.dst, int64(rsp.Status), 10)
	}
	w.text("rqi", rsp.RequestID)
	w.text("rvi", rsp.ReleaseVersion)
	w.text("to", rsp.To)
	w.text("fr", from)
	if rsp.Content != nil {
		w.raw("pc", rsp.Content)
	}
	if rsp.ContentStatus != 0 {
		w.number("cnst", uint64(rsp.ContentStatus))
		w.number("cnot", uint64(rsp.ContentOffset))
	}
	return append(w.dst, '}')
}
