package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// blockingSubscription gives the subscription to a resource that its updates wait for, nil when there is none.
func (c *Core) blockingSubscription(r Reader, ri string) (*Resource, error) {
	subs, err := r.Subscriptions(ri)
	if err != nil {
		return nil, err
	}
	for _, id := range subs {
		sub, err := r.Resource(id)
		if err != nil {
			return nil, err
		}
		if sub != nil && c.compile(sub).watch.events&(1<<eventBlockingUpdate) != 0 {
			return sub, nil
		}
	}
	return nil, nil
}

// BlockingUpdate returns the notification whose target must agree before an UPDATE may be ordered, and the ID of the
// resource that is to be updated; none when nobody has to be asked (TS-0001 clause 9.6.8, notificationEventType
// "Blocking Update"). The request must have passed Check. An UPDATE of the same resource must not be ordered while
// another one waits for its answer.
func (c *Core) BlockingUpdate(r Reader, req *onem2m.Request, env Env) (ri string, ask *Event) {
	if req.Operation != onem2m.Update {
		return "", nil
	}
	t, err := c.resolve(r, req.To, env.Time)
	if err != nil || t.virtual != 0 || t.isInstance {
		return "", nil
	}
	_, members, err := onem2m.ParseContent(req.Content)
	if err != nil {
		return "", nil
	}
	sub, err := c.blocks(r, t.resource, members, env)
	if err != nil || sub == nil {
		return "", nil
	}
	w := c.compile(sub).watch
	dst := append([]byte(`{"m2m:sgn":{"nev":{"net":7,"rep":`), req.Content...)
	if dst, err = c.closeNotification(r, append(dst, '}'), sub, w, c.localID(req.From)); err != nil {
		return "", nil
	}
	return t.resource.RI, &Event{Subscription: sub.RI, Targets: w.targets, Content: dst, Originator: c.cfg.CSEID}
}

// blocks gives the subscription that an update of attributes of a resource has to wait for, nil when there is none.
func (c *Core) blocks(r Reader, res *Resource, members []onem2m.Member, env Env) (*Resource, error) {
	sub, err := c.blockingSubscription(r, res.RI)
	if err != nil || sub == nil || expired(sub, env.Time) {
		return nil, err
	}
	watched := c.compile(sub).watch.attributes
	if len(watched) > 0 && !slices.ContainsFunc(members, func(m onem2m.Member) bool { return slices.Contains(watched, m.Name) }) {
		return nil, nil
	}
	return sub, nil
}

// checkUnblocked refuses the UPDATE of a member of a fan-out that somebody wants to be asked about: it is too late to
// ask when the members are known.
func (c *Core) checkUnblocked(r Reader, env Env, res *Resource, members []onem2m.Member) error {
	if env.share == 0 {
		return nil
	}
	sub, err := c.blocks(r, res, members, env)
	if err == nil && sub != nil {
		err = refuse(onem2m.StatusOperationDeniedByRemoteEntity, "subscription %s wants to be asked before %s is updated, which a request to a group cannot do", sub.RI, res.RI)
	}
	return err
}
