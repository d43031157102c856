package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// notify decides a NOTIFY request to an AE and prepares its delivery to the AE's points of access
// (TS-0001 clause 10.2.10, TS-0004 clause 7.5.1.2). A response of OK says that the delivery was accepted.
func (c *Core) notify(r Reader, req *onem2m.Request, env Env, t target) Result {
	if t.virtual == onem2m.TypeFanOutPoint {
		return c.fanOutRead(r, req, env, t)
	}
	if err := c.checkNotify(r, req, env, &t); err != nil {
		return c.failed(req, c.conceal(r, req, env, &t, err))
	}
	events, err := c.observed(r, req, env, &t, nil)
	if err != nil {
		return c.failed(req, err)
	}
	return Result{
		Response: c.response(req, onem2m.StatusOK),
		Events:   append(events, Event{Targets: []string{t.resource.RI}, Content: req.Content, Originator: req.From}),
	}
}

func (c *Core) checkNotify(r Reader, req *onem2m.Request, env Env, t *target) error {
	if _, err := resultContent(req); err != nil {
		return err
	}
	if t.virtual != 0 || t.typ() != onem2m.TypeAE {
		// A CREATE that forgot its resource type comes as a NOTIFY over HTTP: its content says so.
		if err := checkNotification(req.Content); err != nil {
			return err
		}
		if t.virtual == 0 && t.typ() == onem2m.TypeCSEBase {
			return refuse(onem2m.StatusBadRequest, "this CSE has asked nobody for notifications")
		}
		return refuse(onem2m.StatusOperationNotAllowed, "%s is no AE and cannot be notified", req.To)
	}
	if err := c.authorizeNotify(r, req, env, t); err != nil {
		return err
	}
	if err := checkNotification(req.Content); err != nil {
		return err
	}
	return nil
}

// authorizeNotify requires NOTIFY on the AE. A request that asks whether the AE wants a subscription says whose privilege
// is missing: that of the subscription's creator or that of its host (TS-0004 clause 7.5.1.2.3).
func (c *Core) authorizeNotify(r Reader, req *onem2m.Request, env Env, t *target) error {
	var verifies bool
	var creator string
	if _, members, err := onem2m.ParseContent(req.Content); err == nil {
		for i := range members {
			switch members[i].Name {
			case "vrq":
				verifies = trueValue(members[i].Value)
			case "cr":
				creator = c.localID(text(members[i].Value))
			}
		}
	}
	err := c.requireAccess(r, req, env, t, accessNotify)
	if !verifies {
		return err
	}
	if refused := asRefusal(err); refused != nil {
		return refuse(onem2m.StatusSubscriptionHostHasNoPrivilege, "%s", refused.Message)
	}
	if err != nil || creator == "" {
		return err
	}
	ok, err := c.authorize(r, t.resource, creator, accessNotify, newAccessContext(req, env, t))
	if err == nil && !ok {
		err = refuse(onem2m.StatusSubscriptionCreatorHasNoPrivilege, "creator %q has no privilege to notify %s", creator, t.resource.RI)
	}
	return err
}

// checkNotification requires {"m2m:sgn":{...}} with an event, a verification or a deletion in it, an aggregation of such,
// {"m2m:agn":{"m2m:sgn":[...]}}, or the result of a request, {"m2m:rsp":{...}} (TS-0004 table 7.5.1.1-1 and clause
// 7.5.1.2.5).
func checkNotification(content []byte) error {
	bad := func(what string) error {
		return refuse(onem2m.StatusBadRequest, "the content of a NOTIFY must be a m2m:sgn, m2m:agn or m2m:rsp object (a CREATE names its resource type, ty): %s", what)
	}
	if len(content) == 0 {
		return bad("there is none")
	}
	tag, members, err := onem2m.ParseContent(content)
	if err != nil {
		return bad(err.Error())
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(members, func(m onem2m.Member) bool { return slices.Contains(names, m.Name) })
	}
	switch {
	case tag == "m2m:sgn" && !has("sur", "vrq", "nev"):
		return bad("it has neither sur, vrq nor nev")
	case tag == "m2m:agn" && !has("m2m:sgn", "sgn"):
		return bad("it aggregates no m2m:sgn")
	case tag == "m2m:rsp" && !has("rsc"):
		return bad("it has no rsc")
	case tag != "m2m:sgn" && tag != "m2m:agn" && tag != "m2m:rsp":
		return bad("found " + tag)
	}
	return nil
}
