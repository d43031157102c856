package cse

import (
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// notificationSchemes are the URL schemes that a notification target may have; a target without one is a resource ID.
var notificationSchemes = []string{"http", "https", "mqtt", "mqtts", "coap", "coaps", "ws", "wss"}

// completeSubscription checks what the attributes of a subscription say together (TS-0004 clause 7.4.8.2.1) and
// sets the default notificationContentType.
func completeSubscription(after *Resource) error {
	for target := range onem2m.Elements(after.Get("nu")) {
		if err := checkNotificationTarget("nu", text(target)); err != nil {
			return err
		}
	}
	if su := after.Get("su"); su != nil {
		if err := checkNotificationTarget("su", text(su)); err != nil {
			return err
		}
	}
	events, err := checkEventCriteria(after.Get("enc"))
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
	scheme, rest, isURL := strings.Cut(target, "://")
	if !isURL {
		return nil
	}
	if !slices.Contains(notificationSchemes, strings.ToLower(scheme)) || rest == "" || rest[0] == '/' {
		return refuse(onem2m.StatusBadRequest, "%s: %q is neither a URL of a supported scheme nor a resource ID", attribute, target)
	}
	return nil
}

// checkEventCriteria checks eventNotificationCriteria and returns the event types it asks for, which are update when
// it names none (TS-0001 clause 9.6.8).
func checkEventCriteria(enc []byte) ([]int64, error) {
	var events []int64
	for name, value := range onem2m.Fields(enc) {
		switch name {
		case "net":
			for x := range onem2m.Elements(value) {
				event, _ := onem2m.Int(x)
				if event < eventUpdate || event > eventChildDelete {
					return nil, refuse(onem2m.StatusNotImplemented, "notificationEventType (net) %d is not supported", event)
				}
				events = append(events, event)
			}
		case "md", "aq":
			return nil, refuse(onem2m.StatusNotImplemented, "eventNotificationCriteria (enc): %s is not supported", name)
		}
	}
	if len(events) == 0 {
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
