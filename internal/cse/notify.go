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
		return c.failed(req, err)
	}
	return Result{
		Response: c.response(req, onem2m.StatusOK),
		Events:   []Event{{Targets: []string{t.resource.RI}, Content: req.Content, Originator: req.From}},
	}
}

func (c *Core) checkNotify(r Reader, req *onem2m.Request, env Env, t *target) error {
	if _, err := resultContent(req); err != nil {
		return err
	}
	if t.virtual != 0 || t.typ() != onem2m.TypeAE {
		return refuse(onem2m.StatusOperationNotAllowed, "%s is no AE and cannot be notified", req.To)
	}
	if err := c.requireAccess(r, req, env, t, accessNotify); err != nil {
		return err
	}
	if err := checkNotification(req.Content); err != nil {
		return err
	}
	return nil
}

// checkNotification requires {"m2m:sgn":{...}} with an event, a verification or a deletion in it
// (TS-0004 table 7.5.1.1-1).
func checkNotification(content []byte) error {
	bad := func(what string) error {
		return refuse(onem2m.StatusBadRequest, "the content of a NOTIFY must be a m2m:sgn object: %s", what)
	}
	if len(content) == 0 {
		return bad("there is none")
	}
	tag, members, err := onem2m.ParseContent(content)
	if err != nil {
		return bad(err.Error())
	}
	if tag != "m2m:sgn" {
		return bad("found " + tag)
	}
	if !slices.ContainsFunc(members, func(m onem2m.Member) bool { return m.Name == "sur" || m.Name == "vrq" || m.Name == "nev" }) {
		return bad("it has neither sur, vrq nor nev")
	}
	return nil
}
