package cse

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of one request to a fanOutPoint, groups among the members included.
const (
	maxFanOut      = 1000     // member requests
	maxFanOutDepth = 8        // groups within groups
	maxFanOutBytes = 16 << 20 // content of the member responses, the last one not counted
)

// fan is one request to a fanOutPoint under way (TS-0001 clause 10.7, TS-0004 clause 7.4.14.2).
type fan struct {
	c       *Core
	r       Reader
	env     Env
	execute func(req *onem2m.Request, env Env, t target) Result
	groups  []string // the groups being fanned out, outermost first
	left    int      // member requests that may still be made
	bytes   int      // content of the member responses so far
	effects []Effect
	events  []Event
}

// fanOut does a CREATE, UPDATE or DELETE on every member of a group, in the order of memberIDs. Each member decides
// for itself; one that refuses changes nothing and stops no other.
func (c *Core) fanOut(st State, req *onem2m.Request, env Env, t target) Result {
	f := &fan{c: c, r: st, env: env, left: maxFanOut}
	f.execute = func(req *onem2m.Request, env Env, _ target) Result { return c.Execute(st, req, env) }
	return f.run(req, t)
}

// fanOutRead does a RETRIEVE or NOTIFY on every member of a group.
func (c *Core) fanOutRead(r Reader, req *onem2m.Request, env Env, t target) Result {
	f := &fan{c: c, r: r, env: env, left: maxFanOut}
	f.execute = func(req *onem2m.Request, env Env, t target) Result {
		if req.Operation == onem2m.Notify {
			return c.notify(r, req, env, t)
		}
		return c.retrieve(r, req, env, t)
	}
	return f.run(req, t)
}

func (f *fan) run(req *onem2m.Request, t target) Result {
	rsp, err := f.group(req, t)
	if err != nil {
		return f.c.failed(req, err)
	}
	return Result{Response: rsp, Effects: f.effects, Events: f.events}
}

// group fans a request out to the members of one group and aggregates their responses (m2m:agr).
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
	dst := []byte(`{"m2m:agr":{"m2m:rsp":[`)
	for i, id := range ids {
		member := *req
		member.To = id
		if t.rest != "" {
			member.To += "/" + t.rest
		}
		answer, err := f.member(&member, id, t.rest)
		if err != nil {
			return rsp, err
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendResponse(dst, &answer, member.To)
	}
	f.groups, f.env.share = f.groups[:len(f.groups)-1], share
	rsp.Content = append(dst, "]}}"...)
	return rsp, nil
}

// member does the request on one member, or on what rest leads to from it. The error is a failure of the state only.
func (f *fan) member(req *onem2m.Request, id, rest string) (onem2m.Response, error) {
	switch {
	case f.left == 0:
		return f.c.refusal(req, onem2m.Errorf(onem2m.StatusNotAcceptable, "the group has more than %d members", maxFanOut)), nil
	case f.bytes > maxFanOutBytes:
		return f.c.refusal(req, onem2m.Errorf(onem2m.StatusNotAcceptable, "the responses of the members have more than %d bytes", maxFanOutBytes)), nil
	}
	f.left--
	t, err := f.resolve(req.To, id, rest)
	var result Result
	switch {
	case err != nil:
		result = f.c.failed(req, err)
	case t.virtual == onem2m.TypeFanOutPoint:
		rsp, err := f.group(req, t)
		if err == nil {
			return rsp, nil
		}
		result = f.c.failed(req, err)
	default:
		env := f.env
		env.NextIndex += uint64(len(f.effects))
		result = f.execute(req, env, t)
	}
	f.bytes += len(result.Response.Content)
	f.effects = append(f.effects, result.Effects...)
	f.events = append(f.events, result.Events...)
	return result.Response, result.Err
}

// resolve finds what a member request is for. A request to a group that is a member goes to its members, with or
// without its fopt being named (TS-0001 clause 10.7.1).
func (f *fan) resolve(to, id, rest string) (target, error) {
	t, err := f.c.resolve(f.r, id, f.env.Time)
	if err == nil && !t.isInstance && t.virtual == 0 && t.resource.Type == onem2m.TypeGroup {
		if name, _, _ := strings.Cut(rest, "/"); name != "fopt" {
			t.virtual, t.rest = onem2m.TypeFanOutPoint, rest
			return t, nil
		}
	}
	if rest == "" || err != nil {
		return t, err
	}
	return f.c.resolve(f.r, to, f.env.Time)
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
