package cse

import (
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// observed gives the notifications that a request calls for which changes nothing: of an operationMonitor, and of the
// RETRIEVE of la or ol of a container without instances (TS-0004 clause 7.5.1.2.2, TS-0001 clause 9.6.8). They are no
// part of any block: the node that answered delivers them once, and nothing counts them.
func (c *Core) observed(r Reader, req *onem2m.Request, env Env, t *target, failed error) ([]Event, error) {
	empty := t.virtual == onem2m.TypeLatest || t.virtual == onem2m.TypeOldest
	refused := asRefusal(failed)
	switch {
	case t.isInstance:
		return nil, nil
	case empty && (refused == nil || refused.Status != onem2m.StatusNotFound):
		return nil, nil
	case !empty && (failed != nil || t.virtual != 0):
		return nil, nil
	}
	subject := t.resource
	subs, err := r.Subscriptions(subject.RI)
	if err != nil || len(subs) == 0 {
		return nil, err
	}
	op := accessOf(req.Operation)
	if req.Operation == onem2m.Retrieve && discovers(req) {
		op = accessDiscover
	}
	var events []Event
	for _, ri := range subs {
		sub, err := r.Resource(ri)
		if err != nil {
			return nil, err
		}
		if sub == nil || expired(sub, env.Time) {
			continue
		}
		w := c.compile(sub).watch
		var m *monitor
		if !empty {
			m = w.monitors.find(op, c.localID(req.From))
		}
		if m == nil && (!empty || w.events&(1<<eventRetrieveNoChild) == 0) {
			continue
		}
		// As for changes, a subscription reveals no more than its creator could read.
		ok, err := c.authorize(r, subject, sub.Owner, accessRetrieve, accessContext{time: env.Time})
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		e, err := c.observation(r, sub, w, req, subject, m)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// observation builds the m2m:sgn of an operation that changed nothing: one that a monitor counts, or, without one, the
// RETRIEVE that found no instance.
func (c *Core) observation(r Reader, sub *Resource, w *watch, req *onem2m.Request, subject *Resource, m *monitor) (Event, error) {
	it, err := newItem(r, subject)
	if err != nil {
		return Event{}, err
	}
	dst := []byte(`{"m2m:sgn":{"nev":{`)
	if m == nil {
		dst = append(dst, `"net":5,`...)
	} else {
		dst = appendMonitored(dst, m, req.Operation, c.localID(req.From))
	}
	dst = append(dst, `"rep":`...)
	if w.content == contentResourceID {
		dst = appendURI(dst, c.cfg.CSEID, &it)
	} else {
		dst = appendRepresentation(dst, &it, nil)
	}
	dst, err = c.closeNotification(r, append(dst, '}'), sub, w, c.localID(req.From))
	return Event{Subscription: sub.RI, Targets: w.targets, Content: dst, Originator: c.cfg.CSEID, Category: w.category}, err
}

// appendMonitored appends what an operationMonitor has seen, and a comma. The names are op and or (TS-0004 clause 6.3.5.13
// and table 8.2.5-1); who wrote the monitor with org reads it with the names it has there.
func appendMonitored(dst []byte, m *monitor, op onem2m.Operation, originator string) []byte {
	operation, by := `"om":{"op":`, `,"or":`
	if m.single {
		operation, by = `"om":{"ops":`, `,"org":`
	}
	dst = strconv.AppendInt(append(dst, operation...), int64(op), 10)
	dst = onem2m.AppendQuote(append(dst, by...), originator)
	return append(dst, '}', ',')
}

// appendURI appends the address of a resource in place of its representation.
func appendURI(dst []byte, cseID string, it *item) []byte {
	dst = onem2m.AppendQuote(append(dst, `{"m2m:uri":`...), cseID+"/"+it.ri())
	return append(dst, '}')
}

// closeNotification ends a m2m:sgn with what it says of its subscription. Whose event it is shows in the place of the
// creator when the subscription has none and enableEventNotificationOriginator is true.
func (c *Core) closeNotification(r Reader, dst []byte, sub *Resource, w *watch, originator string) ([]byte, error) {
	reference, err := c.reference(r, sub)
	if err != nil {
		return nil, err
	}
	dst = onem2m.AppendQuote(append(dst, `,"sur":`...), reference)
	creator := w.creator
	if creator == "" && w.tellsWho {
		creator = originator
	}
	if creator != "" {
		dst = onem2m.AppendQuote(append(dst, `,"cr":`...), creator)
	}
	return append(dst, '}', '}'), nil
}
