package cse

import (
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// conceal makes one refusal of all that an originator gets to hear about a resource on which it has no privilege whatever, and about
// one that does not exist where it has none on what is above: so nobody learns what others have, neither by asking for addresses
// nor by requests that are wrong in some other way. TS-0004 clause 7.3.3.15 has ORIGINATOR_HAS_NO_PRIVILEGE for the one, and
// clause 7.3.3.2 NOT_FOUND for the other, before any privilege is asked for; whoever has a privilege nearby is told that.
//
// Not concealed are names directly below the CSEBase, since no two registrations can have the same; resource IDs, which say no more
// than a type and a place in the log, and of which a client that deleted a resource has to be told that it is gone; and, in a lab
// network, anything: suites count on it. t is the target, with no resource where there is none.
func (c *Core) conceal(r Reader, req *onem2m.Request, env Env, t *target, refusal error) error {
	refused := asRefusal(refusal)
	if refused == nil || isOverflow(refusal) || env.Agreed || c.cfg.Lab {
		return refusal
	}
	switch refused.Status {
	case onem2m.StatusSubscriptionHostHasNoPrivilege, onem2m.StatusSubscriptionCreatorHasNoPrivilege:
		return refusal // says the same, to who asks on behalf of a subscription
	}
	at := t.resource
	if at == nil {
		var err error
		if at, err = c.above(r, req.To, env.Time); err != nil {
			return err
		}
	} else if at.Type == onem2m.TypeCSEBase {
		at = nil
	}
	if at == nil {
		return refusal
	}
	blind, err := c.blind(r, req, env, at)
	switch {
	case err != nil:
		return err
	case blind:
		return noPrivilege(req, req.To)
	}
	return refusal
}

// above finds what there is of an address that leads nowhere. Nil means that there is nothing to conceal.
func (c *Core) above(r Reader, to string, now int64) (*Resource, error) {
	path, ok := c.localPart(to)
	if !ok || path == "" || len(to) > maxAddress {
		return nil, nil
	}
	first, rest, _ := strings.Cut(path, "/")
	t, err := c.resolveFirst(r, first, now)
	if err != nil {
		return nil, err
	}
	if t.resource == nil {
		return nil, nil
	}
	at := t.resource
	for name := range strings.SplitSeq(rest, "/") {
		if t, err = c.resolveChild(r, at, name, now); err != nil {
			return nil, err
		}
		if t.resource == nil || t.isInstance || t.virtual != 0 {
			break
		}
		at = t.resource
	}
	if at.Type == onem2m.TypeCSEBase {
		return nil, nil
	}
	return at, nil
}

// blind says whether an originator has no privilege on a resource, for no operation.
func (c *Core) blind(r Reader, req *onem2m.Request, env Env, at *Resource) (bool, error) {
	ctx := accessContext{time: env.Time, sourceIP: req.SourceIP, child: req.Type}
	ctx.assert(req, env)
	for op := accessCreate; op <= accessDiscover; op <<= 1 {
		if ok, err := c.authorize(r, at, req.From, op, ctx); ok || err != nil {
			return false, err
		}
	}
	ok, err := c.mayUpdatePolicies(r, at, req.From, ctx)
	return !ok, err
}

// concealed does so for what answers a read. A discovery finds nothing then, which is what it does where there may be something.
func (c *Core) concealed(r Reader, req *onem2m.Request, env Env, t *target, result Result) Result {
	if result.Err != nil || result.Response.Status.Success() {
		return result
	}
	was := error(&onem2m.Error{Status: result.Response.Status})
	err := c.conceal(r, req, env, t, was)
	switch {
	case err == was:
		return result
	case isConcealed(err) && discovers(req):
		var rsp onem2m.Response
		if rsp, err = c.nothingFound(r, req, env); err == nil {
			return Result{Response: rsp}
		}
	}
	return c.failed(req, err)
}

// isConcealed says whether a refusal is for want of a privilege, as one that conceals is.
func isConcealed(err error) bool {
	e := asRefusal(err)
	return e != nil && e.Status == onem2m.StatusOriginatorHasNoPrivilege
}

// nothingFound answers a discovery that leads nowhere as one of a resource below which the originator may discover nothing.
func (c *Core) nothingFound(r Reader, req *onem2m.Request, env Env) (onem2m.Response, error) {
	rcn, err := resultContent(req)
	if err == nil {
		err = checkFilterUsage(req)
	}
	if err == nil {
		_, err = c.newSearch(r, req, env, accessDiscover)
	}
	if err != nil {
		return onem2m.Response{}, noPrivilege(req, req.To)
	}
	rsp := c.response(req, onem2m.StatusOK)
	rsp.Content = appendReferenceList(nil, nil, rcn, req.DesiredIDType)
	return rsp, nil
}
