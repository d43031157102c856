package cse

import (
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// notificationSchemes are the URL schemes that a notification target may have; a target without one is a resource ID.
var notificationSchemes = []string{"http", "https", "mqtt", "mqtts", "coap", "coaps", "ws", "wss"}

// completeSubscription checks what the attributes of a subscription say together (TS-0004 clauses 7.4.8.2.1 and
// 7.4.8.2.3) and sets what the CSE assigns: the default notificationContentType and, in a new subscription that
// notifies anybody but its originator, the creator. A target that is named more than once stays once.
func (c *Core) completeSubscription(r Reader, env Env, before, after *Resource) error {
	if before == nil {
		if err := checkSubscriptions(r, after.PI); err != nil {
			return err
		}
	}
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
		foreign = foreign || !c.isOriginator(r, target, after.Owner, env)
	}
	if before == nil && foreign {
		after.set("cr", onem2m.AppendQuote(nil, after.Owner))
	}
	subject, err := r.Resource(after.PI)
	if err != nil {
		return err
	}
	if su := after.Get("su"); su != nil {
		if err := checkNotificationTarget("su", text(su)); err != nil {
			return err
		}
	}
	events, err := checkEventCriteria(after.Get("enc"), onem2m.Lookup(subject.Type))
	if err != nil {
		return err
	}
	nct, given := onem2m.Int(after.Get("nct"))
	if !given {
		nct = contentAllAttributes
		after.set("nct", []byte("1"))
	}
	switch nct {
	case contentAllAttributes, contentResourceID:
	case contentModifiedAttributes:
		// Only an update has modified attributes.
		if slices.ContainsFunc(events, func(e int64) bool { return e != eventUpdate }) {
			return refuse(onem2m.StatusBadRequest, "notificationContentType (nct) 2 goes with notificationEventType (net) 1 only")
		}
	default:
		return refuse(onem2m.StatusNotImplemented, "notificationContentType (nct) %d is not supported", nct)
	}
	return nil
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

// checkEventCriteria checks eventNotificationCriteria of a subscription to a resource of type subject and returns the
// event types it asks for. When it names none they are update, or, with an operationMonitor, all.
func checkEventCriteria(enc []byte, subject *onem2m.TypeDef) ([]int64, error) {
	var events []int64
	monitored := false
	for name, value := range onem2m.Fields(enc) {
		switch name {
		case "net":
			for x := range onem2m.Elements(value) {
				event, _ := onem2m.Int(x)
				switch {
				case event == eventMissingData:
					return nil, refuse(onem2m.StatusBadRequest, "notificationEventType (net) %d, missing data points, goes with a timeSeries only, not a %s", event, subject.Name)
				case event < eventUpdate || event > eventChildDelete:
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
			return nil, refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): md goes with a timeSeries only, not a %s", subject.Name)
		case "aq":
			return nil, refuse(onem2m.StatusNotImplemented, "eventNotificationCriteria (enc): %s is not supported", name)
		}
	}
	switch {
	case monitored && len(events) > 0:
		return nil, refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): net and om do not go together")
	case monitored:
		events = []int64{eventUpdate, eventDelete, eventChildCreate}
	case len(events) == 0:
		events = []int64{eventUpdate}
	}
	if onem2m.Field(enc, "atr") != nil && !slices.Contains(events, eventUpdate) {
		return nil, refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): atr goes with notificationEventType (net) 1 only")
	}
	if onem2m.Field(enc, "chty") != nil && !slices.Contains(events, eventChildCreate) && !slices.Contains(events, eventChildDelete) {
		return nil, refuse(onem2m.StatusBadRequest, "eventNotificationCriteria (enc): chty goes with notificationEventType (net) 3 and 4 only")
	}
	return events, nil
}

// checkMonitors refuses an operationMonitor of operations that this CSE does not see: those that change nothing.
func checkMonitors(om []byte) error {
	const seen = accessCreate | accessUpdate | accessDelete
	for x := range onem2m.Elements(om) {
		ops, ok := onem2m.Int(onem2m.Field(x, "ops"))
		if !ok || access(ops)&^seen != 0 {
			return refuse(onem2m.StatusNotImplemented, "eventNotificationCriteria (enc): an operationMonitor (om) of other operations (ops) than CREATE, UPDATE and DELETE is not supported")
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
