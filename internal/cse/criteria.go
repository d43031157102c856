package cse

import (
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// completeCriteria gives eventNotificationCriteria with the default event type, update, when they name none.
func completeCriteria(enc []byte) []byte {
	switch {
	case enc == nil:
		return []byte(`{"net":[1]}`)
	case onem2m.Field(enc, "net") == nil && onem2m.Field(enc, "om") == nil:
		return appendMember(enc, "net", []byte("[1]"))
	}
	return enc
}

// checkBlocking checks a subscription that every UPDATE of its resource waits for (TS-0004 clauses 7.4.8.2.1 and
// 7.4.8.2.3): there is one at most, with one target, and nobody can turn another one into it.
func checkBlocking(c *Core, r Reader, req *onem2m.Request, before, after *Resource) error {
	const event = "notificationEventType (net) 7, blocking update,"
	enc := after.Get("enc")
	for name := range onem2m.Fields(enc) {
		if name != "net" && name != "atr" {
			return refuse(onem2m.StatusBadRequest, event+" goes with no condition (enc) but atr, not with %s", name)
		}
	}
	if net := onem2m.Field(enc, "net"); string(net) != "[7]" {
		return refuse(onem2m.StatusBadRequest, event+" goes with no other event type")
	}
	if n := len(stringsOf(after.Get("nu"))); n > 1 {
		return refuse(onem2m.StatusBadRequest, event+" goes with one target (nu), not %d", n)
	}
	for _, name := range []string{"acrs", "bn", "exc", "gpi", "ln", "nec", "nfu", "nsp", "pn", "psn", "rl"} {
		if after.Get(name) != nil {
			return refuse(onem2m.StatusBadRequest, event+" does not go with attribute %s", name)
		}
	}
	if before != nil {
		_, members, err := onem2m.ParseContent(req.Content)
		if err == nil && slices.ContainsFunc(members, func(m onem2m.Member) bool { return m.Name == "enc" }) {
			return refuse(onem2m.StatusBadRequest, event+" cannot be the content of an update")
		}
		return nil
	}
	other, err := c.blockingSubscription(r, after.PI)
	if err == nil && other != nil {
		err = refuse(statusBlockingSubscriptionExists, "%s has subscription %s with "+event+" already", after.PI, other.RI)
	}
	return err
}

// statusBlockingSubscriptionExists is BLOCKING_SUBSCRIPTION_ALREADY_EXISTS.
const statusBlockingSubscriptionExists onem2m.StatusCode = 4124

// checkEventCriteria checks eventNotificationCriteria of a subscription to a resource of type subject and returns the
// event types it asks for; those of an operationMonitor are all.
func checkEventCriteria(enc []byte, subject *onem2m.TypeDef) ([]int64, error) {
	var events []int64
	monitored := false
	for name, value := range onem2m.Fields(enc) {
		switch name {
		case "net":
			for x := range onem2m.Elements(value) {
				event, _ := onem2m.Int(x)
				if event == eventMissingData && subject.Name != "timeSeries" {
					return nil, refuse(onem2m.StatusBadRequest, "notificationEventType (net) %d, missing data points, goes with a timeSeries only, not a %s", event, subject.Name)
				}
				if event == eventRetrieveNoChild && subject.Name != "container" {
					return nil, refuse(onem2m.StatusBadRequest, "notificationEventType (net) %d, retrieval without instances, goes with a container only, not a %s", event, subject.Name)
				}
				if contentTypes[event] == nil {
					return nil, refuse(onem2m.StatusNotImplemented, "notificationEventType (net) %d is not supported", event)
				}
				events = append(events, event)
			}
		case "om":
			monitored = true
			if err := checkMonitors(value); err != nil {
				return nil, err
			}
		case "chty":
			if err := checkChildTypes(value, subject); err != nil {
				return nil, err
			}
		case "md":
			if subject.Name != "timeSeries" {
				return nil, refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): md goes with a timeSeries only, not a %s", subject.Name)
			}
		case "aq":
			return nil, refuse(onem2m.StatusNotImplemented, "eventNotificationCriteria (enc): %s is not supported", name)
		}
	}
	switch {
	case monitored && len(events) > 0:
		return nil, refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): net and om do not go together")
	case monitored:
		events = []int64{eventUpdate, eventDelete, eventChildCreate}
	}
	if slices.Contains(events, eventMissingData) && onem2m.Field(enc, "md") == nil {
		return nil, refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): notificationEventType (net) 8 needs md")
	}
	if onem2m.Field(enc, "atr") != nil && !slices.Contains(events, eventUpdate) && !slices.Contains(events, eventBlockingUpdate) {
		return nil, refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): atr goes with notificationEventType (net) 1 and 7 only")
	}
	if onem2m.Field(enc, "chty") != nil && !slices.Contains(events, eventChildCreate) && !slices.Contains(events, eventChildDelete) {
		return nil, refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): chty goes with notificationEventType (net) 3 and 4 only")
	}
	return events, nil
}

// checkMonitors refuses an operationMonitor that names neither operations nor an originator. One that was written with
// org has one operation, not a sum of them.
func checkMonitors(om []byte) error {
	for x := range onem2m.Elements(om) {
		ops, or, org := onem2m.Field(x, "ops"), onem2m.Field(x, "or"), onem2m.Field(x, "org")
		n, _ := onem2m.Int(ops)
		switch {
		case ops == nil && or == nil && org == nil:
			return refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): an operationMonitor (om) needs operations (ops) or an originator (or)")
		case or != nil && org != nil:
			return refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): an operationMonitor (om) has one originator, or or org")
		case org != nil && ops != nil && (n < int64(onem2m.Create) || n > int64(onem2m.Notify)):
			return refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): ops of an operationMonitor (om) with org is one operation, 1 to 5, not %d", n)
		}
	}
	return nil
}

// checkChildTypes refuses childResourceTypes that the subscribed-to resource cannot have.
func checkChildTypes(chty []byte, subject *onem2m.TypeDef) error {
	for x := range onem2m.Elements(chty) {
		if n, _ := onem2m.Int(x); !subject.AllowsChild(onem2m.ResourceType(n)) {
			return refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): a %s has no child of type (chty) %d", subject.Name, n)
		}
	}
	return nil
}
