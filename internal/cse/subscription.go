package cse

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// notificationSchemes are the URL schemes that a notification target may have; a target without one is a resource ID.
var notificationSchemes = []string{"http", "https", "mqtt", "mqtts", "coap", "coaps", "ws", "wss"}

// defaultBatchDuration is the duration of a batchNotify that has none (TS-0004 clause 7.4.8.2.1).
const defaultBatchDuration = "PT60S"

// completeSubscription checks what the attributes of a subscription say together (TS-0004 clauses 7.4.8.2.1 and
// 7.4.8.2.3) and sets what the CSE assigns: defaults and, in a new subscription that notifies anybody but its
// originator by a resource ID, the creator. A target that is named more than once stays once.
func (c *Core) completeSubscription(r Reader, req *onem2m.Request, env Env, before, after *Resource) error {
	if before == nil {
		if err := checkSubscriptions(r, after.PI); err != nil {
			return err
		}
	}
	if err := c.completeTargets(r, env, before, after); err != nil {
		return err
	}
	subject, err := r.Resource(after.PI)
	if err != nil {
		return err
	}
	after.set("enc", completeCriteria(after.Get("enc")))
	enc := after.Get("enc")
	events, err := checkEventCriteria(enc, onem2m.Lookup(subject.Type))
	if err != nil {
		return err
	}
	if slices.Contains(events, eventBlockingUpdate) {
		if err := checkBlocking(c, r, req, before, after); err != nil {
			return err
		}
	}
	if err := c.completeContentType(after, events); err != nil {
		return err
	}
	if err := checkRate(after.Get("rl")); err != nil {
		return err
	}
	if bn := after.Get("bn"); bn != nil && onem2m.Field(bn, "dur") == nil {
		after.set("bn", appendMember(bn, "dur", onem2m.AppendQuote(nil, defaultBatchDuration)))
	}
	return nil
}

// completeTargets checks the targets of a subscription. The creator is set for a target that is another resource: a URL
// does not say whose it is (TS-0004 clause 7.4.8.2.1).
func (c *Core) completeTargets(r Reader, env Env, before, after *Resource) error {
	named := stringsOf(after.Get("nu"))
	targets := unique(named)
	if err := checkTargets("nu", targets); err != nil {
		return err
	}
	if len(targets) < len(named) {
		after.set("nu", appendStrings(nil, targets))
	}
	foreign := false
	for _, target := range targets {
		if err := checkNotificationTarget("nu", target); err != nil {
			return err
		}
		foreign = foreign || !isURL(target) && !c.isOriginator(r, target, after.Owner, env)
	}
	if before == nil && foreign {
		after.set("cr", onem2m.AppendQuote(nil, after.Owner))
	}
	if su := after.Get("su"); su != nil {
		return checkNotificationTarget("su", text(su))
	}
	return nil
}

// completeContentType sets the default notificationContentType, and refuses one that does not go with the events
// (TS-0001 table 9.6.8-4). Clients of Mobius ask for modified attributes with whatever they want to be told of; where
// nothing was modified they get all attributes.
func (c *Core) completeContentType(after *Resource, events []int64) error {
	nct, given := onem2m.Int(after.Get("nct"))
	if !given {
		nct = contentTypes[events[0]][0]
		for _, e := range events {
			if contentTypes[e][0] != nct {
				return refuse(onem2m.StatusBadRequest, "notificationEventTypes (net) with different defaults of notificationContentType (nct) go together only when that is given")
			}
		}
		after.set("nct", strconv.AppendInt(nil, nct, 10))
	}
	for _, e := range events {
		if !slices.Contains(contentTypes[e], nct) && !(c.cfg.Mobius && nct == contentModifiedAttributes && e <= eventChildDelete) {
			return refuse(onem2m.StatusBadRequest, "notificationContentType (nct) %d does not go with notificationEventType (net) %d", nct, e)
		}
	}
	return nil
}

// contentTypes are the notificationContentTypes that go with a notificationEventType, the default first.
var contentTypes = map[int64][]int64{
	eventRetrieveNoChild: {contentAllAttributes, contentResourceID},
	eventUpdate:          {contentAllAttributes, contentModifiedAttributes, contentResourceID},
	eventDelete:          {contentAllAttributes, contentResourceID},
	eventChildCreate:     {contentAllAttributes, contentResourceID},
	eventChildDelete:     {contentAllAttributes, contentResourceID},
	eventBlockingUpdate:  {contentModifiedAttributes},
	eventMissingData:     {contentTimeSeries},
}

// checkRate refuses a rateLimit under which nothing would ever be sent, or that bounds nothing.
func checkRate(rl []byte) error {
	if rl == nil {
		return nil
	}
	number, _ := onem2m.Int(onem2m.Field(rl, "mnn"))
	window, err := onem2m.ParseDuration(text(onem2m.Field(rl, "tww")))
	if number == 0 || window == 0 || err != nil {
		return refuse(onem2m.StatusBadRequest, "rateLimit (rl) needs maxNrOfNotify (mnn) and timeWindow (tww), both above zero")
	}
	return nil
}

// appendMember gives a JSON object with one more member.
func appendMember(object []byte, name string, value []byte) []byte {
	dst := slices.Clone(object[:len(object)-1])
	if len(dst) > 1 {
		dst = append(dst, ',')
	}
	dst = append(onem2m.AppendQuote(dst, name), ':')
	return append(append(dst, value...), '}')
}

func checkNotificationTarget(attribute, target string) error {
	if target == "" {
		return refuse(onem2m.StatusBadRequest, "%s: a notification target is empty", attribute)
	}
	target, serialization := cutSerialization(target)
	if serialization == "xml" {
		return refuse(onem2m.StatusNotImplemented, "%s: notifications in serialization %s are not supported", attribute, serialization)
	}
	scheme, rest, isURL := strings.Cut(target, "://")
	if !isURL {
		return nil
	}
	if !slices.Contains(notificationSchemes, strings.ToLower(scheme)) || rest == "" || rest[0] == '/' {
		return refuse(onem2m.StatusBadRequest, "%s: %q is neither a URL of a supported scheme nor a resource ID", attribute, target)
	}
	return nil
}

// cutSerialization parts a notification target from the serialization that it asks for: "http://x?ct=json" (TS-0004
// clause 7.5.1.2.2). Another query is part of the target.
func cutSerialization(target string) (to, serialization string) {
	to, query, _ := strings.Cut(target, "?")
	serialization, ok := strings.CutPrefix(query, "ct=")
	if !ok || !slices.Contains([]string{"json", "cbor", "xml"}, serialization) {
		return target, ""
	}
	return to, serialization
}
