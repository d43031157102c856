package cse

import (
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// matchSubscriptions makes the notifications that a change calls for: for the subscriptions below the changed
// resource and for those below its parent (TS-0001 clause 9.6.8, TS-0004 clause 7.5.1.2.2). It counts down their
// expirationCounter, and removes a subscription whose counter has come to zero. Notifications over maxEventBytes are an
// overflow.
func (c *Core) matchSubscriptions(st State, ch *change, env Env, out *notices) error {
	switch ch.kind {
	case changeCreated:
		return c.notifyWatchers(st, out, ch.parent, eventChildCreate, ch, env)
	case changeUpdated:
		if ch.countsAnew() {
			if err := out.add(Event{Subscription: ch.after.RI, Originator: c.cfg.CSEID, Statistics: CountAnew}); err != nil {
				return err
			}
		}
		return c.notifyWatchers(st, out, ch.after, eventUpdate, ch, env)
	case changeMissing:
		return c.notifyWatchers(st, out, ch.after, eventMissingData, ch, env)
	}
	if ch.before != nil {
		if ch.before.Type == onem2m.TypeSubscription {
			// One whose counter has run out in the course of this very request has said so already.
			if still, err := st.Resource(ch.before.RI); err != nil || still == nil {
				return err
			}
		}
		if err := c.notifyWatchers(st, out, ch.before, eventDelete, ch, env); err != nil {
			return err
		}
		if ch.before.Type == onem2m.TypeSubscription {
			if err := c.subscriptionDeletion(st, out, ch.before); err != nil {
				return err
			}
		}
	}
	if ch.parent == nil || ch.before != nil && ch.before.Type == onem2m.TypeRequest {
		return nil // a <request> is nobody's business but its originator's
	}
	return c.notifyWatchers(st, out, ch.parent, eventChildDelete, ch, env)
}

// notifyWatchers adds the notifications of the subscriptions directly below subject.
func (c *Core) notifyWatchers(st State, out *notices, subject *Resource, event int, ch *change, env Env) error {
	subs, err := st.Subscriptions(subject.RI)
	if err != nil || len(subs) == 0 {
		return err
	}
	// A counter that runs out changes the list while it is being followed.
	v := c.newVisit(st, env)
	for _, ri := range slices.Clone(subs) {
		sub, err := st.Resource(ri)
		if err != nil {
			return err
		}
		if sub == nil || expired(sub, env.Time) || ch.is(ri) {
			continue
		}
		w := c.compile(sub).watch
		ok, err := w.wants(v, event, ch, subject)
		if err == nil && ok {
			// A subscription reveals what its creator could read. It falls silent when the creator may not any more.
			ok, err = c.authorize(st, subject, sub.Owner, accessRetrieve, accessContext{time: env.Time})
		}
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		var missing *report
		if event == eventMissingData {
			if sub, missing, err = countMissing(st, sub, w, ch.missing, env.Time); err != nil {
				return err
			}
			if missing == nil {
				continue
			}
		}
		if !out.full() {
			notification, err := c.notification(st, sub, w, event, ch, missing)
			if err != nil {
				return err
			}
			if err := out.add(notification); err != nil {
				return err
			}
		}
		if err := c.countDown(st, out, subject, sub, w, env); err != nil {
			return err
		}
	}
	return nil
}

// is says whether the changed resource has that ID: a subscription does not tell of its own creation or end as a child.
func (ch *change) is(ri string) bool {
	switch {
	case ch.after != nil:
		return ch.after.RI == ri
	case ch.before != nil:
		return ch.before.RI == ri
	}
	return false
}

// countDown counts one notification against a subscription's expirationCounter. At zero the subscription is deleted
// (TS-0004 clause 7.5.1.2.2), which is a change of its own. A notification counts when it is committed, whether or not
// its delivery succeeds: all validators must come to the same count.
func (c *Core) countDown(st State, out *notices, subject, sub *Resource, w *watch, env Env) error {
	if w.counter == 0 {
		return nil
	}
	if w.counter > 1 {
		counted := *sub
		counted.Attrs = slices.Clone(sub.Attrs)
		counted.set("exc", strconv.AppendInt(nil, w.counter-1, 10))
		return st.Put(&counted)
	}
	if err := c.subscriptionDeletion(st, out, sub); err != nil {
		return err
	}
	if err := st.Remove(sub.RI); err != nil {
		return err
	}
	gone := change{kind: changeDeleted, originator: c.cfg.CSEID, parent: subject, before: sub}
	return c.notifyWatchers(st, out, subject, eventChildDelete, &gone, env)
}

// notification builds the m2m:sgn of a notification event (TS-0004 clause 7.5.1.1), missing being what it reports on
// missing data points.
func (c *Core) notification(r Reader, sub *Resource, w *watch, event int, ch *change, missing *report) (Event, error) {
	it, err := itemOfChange(r, ch)
	if err != nil {
		return Event{}, err
	}
	dst := make([]byte, 0, 512)
	dst = append(dst, `{"m2m:sgn":{"nev":{"net":`...)
	dst = append(strconv.AppendInt(dst, int64(event), 10), ',')
	if m := w.monitors.find(accessOf(ch.operation()), ch.originator); m != nil {
		dst = appendMonitored(dst, m, ch.operation(), ch.originator)
	}
	dst = append(dst, `"rep":`...)
	switch {
	case missing != nil:
		dst = append(dst, missing.notice()...)
	case w.content == contentResourceID:
		dst = appendURI(dst, c.cfg.CSEID, &it)
	case w.content == contentModifiedAttributes && event == eventUpdate:
		dst = appendModified(dst, &it, ch)
	default:
		dst = appendRepresentation(dst, &it, nil)
	}
	if dst, err = c.closeNotification(r, append(dst, '}'), sub, w, ch.originator); err != nil {
		return Event{}, err
	}
	e := Event{
		Subscription: sub.RI, Targets: w.targets, Content: dst, Originator: c.cfg.CSEID,
		Category: w.category, Batch: w.batch, Rate: w.rate, Latest: w.latest,
	}
	if w.counted {
		e.Statistics = Counted
	}
	return e, nil
}

// appendModified appends the attributes that an UPDATE changed; one that it removed shows as null.
func appendModified(dst []byte, it *item, ch *change) []byte {
	w := openRepresentation(it)
	w.keep = func(name string) bool {
		return name == "lt" || name == "st" || slices.Contains(ch.modified, name)
	}
	w.attributes(it)
	for _, name := range ch.modified {
		if it.attribute(name) == nil {
			w.raw(name, []byte("null"))
		}
	}
	dst = append(dst, w.dst...)
	return append(dst, '}', '}')
}

// reference is the address of a subscription in a notification (sur): SP-relative and unstructured, or CSE-relative and
// structured, as Mobius writes it: its clients count the levels, or put a slash before it and compare.
func (c *Core) reference(r Reader, sub *Resource) (string, error) {
	if !c.cfg.Mobius {
		return c.cfg.CSEID + "/" + sub.RI, nil
	}
	return c.pathOf(r, sub)
}

// subscriptionDeletion adds the notification of the subscriber (su) that a subscription has come to its end, when it
// has one. The notification targets (nu) are not told (TS-0004 clause 7.5.1.2.4), but get at once what was gathered
// for them.
func (c *Core) subscriptionDeletion(r Reader, out *notices, sub *Resource) error {
	w := c.compile(sub).watch
	if sub.Get("bn") != nil {
		if err := out.add(Event{Subscription: sub.RI, Targets: w.targets, Originator: c.cfg.CSEID}); err != nil {
			return err
		}
	}
	if sub.Get("nse") != nil {
		if err := out.add(Event{Subscription: sub.RI, Originator: c.cfg.CSEID, Statistics: CountAnew}); err != nil {
			return err
		}
	}
	if w.subscriber == "" {
		return nil
	}
	dst, err := c.closeNotification(r, []byte(`{"m2m:sgn":{"sud":true`), sub, w, "")
	if err != nil {
		return err
	}
	return out.add(Event{
		Subscription: sub.RI,
		Targets:      []string{w.subscriber},
		Content:      dst,
		Originator:   c.cfg.CSEID,
	})
}
