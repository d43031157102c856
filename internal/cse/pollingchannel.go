package cse

import (
	"github.com/tallystick/tallystick/onem2m"
)

// Poll is what a request to a pollingChannelURI asks of the node that it came to (TS-0004 clause 7.4.22.2): to wait for
// requests to the owner of the channel, or to hand on the response to one.
type Poll struct {
	Owner     string // whose channel it is: Entity of the Route to it
	Aggregate bool   // requestAggregation: all requests that wait, in one response
	// Answer is the response that a NOTIFY brings, nil for a RETRIEVE.
	Answer *onem2m.Response
}

// poll decides a RETRIEVE or NOTIFY on a pollingChannelURI. Nobody but the creator of the channel may make one, whatever
// any policy says.
func (c *Core) poll(r Reader, req *onem2m.Request, t *target) Result {
	channel := t.resource
	if c.localID(req.From) != channel.Owner {
		return c.failed(req, noPrivilege(req, req.To))
	}
	if NonBlocking(req) {
		return c.failed(req, refuse(onem2m.StatusBadRequest, "a request to a pollingChannelURI must be a blocking one"))
	}
	entity, err := r.Resource(channel.PI)
	if err == nil && entity == nil {
		err = &corruption{"pollingChannel " + channel.RI + " has no parent"}
	}
	if err != nil {
		return c.failed(req, err)
	}
	p := &Poll{Owner: entityOf(entity), Aggregate: trueValue(channel.Get("rqag"))}
	if req.Operation == onem2m.Notify {
		if p.Answer, err = polledAnswer(req.Content); err != nil {
			return c.failed(req, err)
		}
	}
	return Result{Response: c.response(req, onem2m.StatusOK), Poll: p}
}

// polledAnswer reads the response to a polled request, {"m2m:rsp":{...}} (TS-0004 clause 7.5.1.2.7).
func polledAnswer(content []byte) (*onem2m.Response, error) {
	if len(content) == 0 {
		return nil, refuse(onem2m.StatusBadRequest, "a NOTIFY to a pollingChannelURI must have a m2m:rsp as content")
	}
	p, err := onem2m.ParsePrimitive(content)
	switch {
	case p.Response != nil && err != nil:
		return nil, err
	case p.Response == nil || p.Response.RequestID == "" || p.Response.Status == 0:
		return nil, refuse(onem2m.StatusBadRequest, "the content of a NOTIFY to a pollingChannelURI must be a m2m:rsp with rsc and rqi")
	}
	return p.Response, nil
}

// notPolled refuses what a pollingChannelURI does not know: it is retrieved and notified only.
func notPolled(req *onem2m.Request) error {
	return refuse(onem2m.StatusOperationNotAllowed, "operation %d is not allowed on a pollingChannelURI, which is for RETRIEVE and NOTIFY of the channel's owner", req.Operation)
}

// checkChannelOwner refuses a pollingChannel that is not made by the AE or CSE above it (TS-0004 clause 7.4.21.2.1).
func (c *Core) checkChannelOwner(t *target, originator string) error {
	parent := t.resource
	if t.isInstance || !onem2m.Lookup(parent.Type).AllowsChild(onem2m.TypePollingChannel) {
		return nil // it will be refused for that
	}
	owner := entityOf(parent)
	if aei := text(parent.Get("aei")); aei != "" {
		owner = aei
	}
	if originator != owner {
		return refuse(onem2m.StatusOriginatorHasNoPrivilege, "the pollingChannel of %s can be made by %s only, not by %q", parent.RI, owner, originator)
	}
	return nil
}

// entityOf is the ID by which notifications find an AE or CSE: the resource ID of the AE, the CSE-ID of a remoteCSE.
func entityOf(res *Resource) string {
	if csi := text(res.Get("csi")); csi != "" {
		return csi
	}
	return res.RI
}

// completePollingChannel refuses a second channel below the same parent: requests would not know which to take.
func (c *Core) completePollingChannel(r Reader, before, after *Resource) error {
	if before != nil {
		return nil
	}
	parent, err := r.Resource(after.PI)
	if err != nil || parent == nil {
		return err
	}
	other, err := pollingChannelOf(r, parent)
	if err == nil && other != nil {
		err = refuse(onem2m.StatusBadRequest, "%s has a pollingChannel already, %s", parent.RI, other.RI)
	}
	return err
}

// pollingChannelOf is the pollingChannel of an AE or remoteCSE, nil when it has none.
func pollingChannelOf(r Reader, owner *Resource) (*Resource, error) {
	for child, err := range r.Children(owner.RI, "") {
		if err != nil {
			return nil, err
		}
		if child.Type == onem2m.TypePollingChannel {
			return r.Resource(child.RI)
		}
	}
	return nil, nil
}
