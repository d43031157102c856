package cse

import (
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// VerificationRequest returns the notification that must be delivered to every new target of a subscription before
// its CREATE or UPDATE may be ordered, none when the request needs none: it is about no subscription, or adds no
// target but the originator itself (TS-0004 clauses 7.4.8.2.1, 7.4.8.2.3 and 7.5.1.2.3). The request must have
// passed Check, and env.Assigned be the ID that a new subscription will have. When a target does not accept, the request is
// to be refused with SUBSCRIPTION_VERIFICATION_INITIATION_FAILED.
//
// Clients written for Mobius are not asked: they answer no such notification, and some do not even listen yet.
func (c *Core) VerificationRequest(r Reader, req *onem2m.Request, env Env) []Event {
	if c.cfg.Mobius {
		return nil
	}
	t, err := c.resolve(r, req.To, env.Time)
	if err != nil {
		return nil
	}
	tag, members, err := onem2m.ParseContent(req.Content)
	if err != nil || tag != "m2m:sub" {
		return nil
	}
	var targets []string
	for i := range members {
		if members[i].Name == "nu" {
			targets = stringsOf(members[i].Value)
		}
	}
	path, err := c.pathOf(r, t.resource)
	if err != nil {
		return nil
	}
	event := Event{Originator: c.cfg.CSEID}
	var known []string
	switch {
	case t.virtual == onem2m.TypeFanOutPoint:
		// One verification stands for the subscriptions of all members.
		path += "/fopt"
		if t.rest != "" {
			path += "/" + t.rest
		}
	case req.Operation == onem2m.Update && t.resource.Type == onem2m.TypeSubscription:
		known = c.compile(t.resource).watch.targets
		event.Subscription = t.resource.RI
		path = t.resource.RI
	case req.Operation != onem2m.Create:
		return nil
	default:
		path = env.Assigned
	}
	targets = unique(targets)
	if len(targets) > maxTargets {
		return nil // to be refused; Check does not look into a request to a fanOutPoint
	}
	originator := c.localID(req.From)
	for _, target := range targets {
		if slices.Contains(known, target) || c.isOriginator(r, target, originator, env) {
			continue
		}
		event.Targets = append(event.Targets, target)
	}
	if len(event.Targets) == 0 {
		return nil
	}
	dst := onem2m.AppendQuote([]byte(`{"m2m:sgn":{"vrq":true,"sur":`), c.cfg.CSEID+"/"+path)
	dst = append(dst, `,"cr":`...)
	dst = onem2m.AppendQuote(dst, req.From)
	event.Content = append(dst, '}', '}')
	return []Event{event}
}

// isURL says whether a notification target is a URL; else it is a resource ID.
func isURL(target string) bool {
	return strings.Contains(target, "://")
}

// isOriginator says whether a notification target is the AE that sends the request, in any form of address.
func (c *Core) isOriginator(r Reader, target, originator string, env Env) bool {
	target, _ = cutSerialization(target)
	if isURL(target) {
		return false
	}
	if c.localID(target) == originator {
		return true
	}
	t, err := c.resolve(r, target, env.Time)
	return err == nil && t.virtual == 0 && !t.isInstance && t.resource.RI == originator
}

// Route is how a notification target can be reached.
type Route struct {
	// Entity is the ID of the AE or CSE that the target is, "" when it is a URL.
	Entity string
	// To is the target's SP-relative ID, or the URL.
	To string
	// Reachable says that the target takes requests at all other than by polling (requestReachability).
	Reachable bool
	URLs      []Address // in the order in which they are to be tried
	CBOR      bool      // what is sent by an open connection or a polling channel is encoded as CBOR
	Polls     bool      // the target has a polling channel
	Releases  []string  // that it speaks (supportedReleaseVersions); none when that is not known
}

// Address is a URL to send requests to, and whether they are to be encoded as CBOR, else as JSON.
type Address struct {
	URL  string
	CBOR bool
}

// Route gives the way to a notification target: nu itself when it is a URL, or else the pointOfAccess of the AE that
// it names. Contents are encoded as nu says (ct), or as the AE's contentSerialization does. The zero Route means that
// there is no such target (TS-0001 clause 9.6.5, TS-0004 clause 7.5.1.2.2).
func (c *Core) Route(r Reader, nu string) Route {
	nu, serialization := cutSerialization(nu)
	if isURL(nu) {
		return Route{To: nu, Reachable: true, URLs: []Address{{nu, serialization == "cbor"}}}
	}
	if id := c.withoutSP(nu); cseOf(id) != "" && cseOf(id) != c.cfg.CSEID {
		return c.routeToCSE(r, id, serialization)
	}
	// At time 0 nothing has expired; an expired AE is on its way out but still the one that subscribed.
	t, err := c.resolve(r, nu, 0)
	if err != nil || t.virtual != 0 || t.isInstance || t.resource.Type != onem2m.TypeAE {
		return Route{}
	}
	ae := t.resource
	return routeOf(r, ae, Route{Entity: ae.RI, To: c.cfg.CSEID + "/" + ae.RI}, serialization)
}

// routeOf completes the way to an AE or CSE by what its resource says.
func routeOf(r Reader, res *Resource, route Route, serialization string) Route {
	route.Reachable = trueValue(res.Get("rr"))
	route.Releases = stringsOf(res.Get("srv"))
	route.CBOR = serialization == "cbor" || serialization == "" && prefersCBOR(res)
	if channel, err := pollingChannelOf(r, res); err == nil && channel != nil {
		route.Polls = true
	}
	if !route.Reachable {
		return route
	}
	for _, poa := range stringsOf(res.Get("poa")) {
		url, own := cutSerialization(poa)
		route.URLs = append(route.URLs, Address{url, own == "cbor" || own == "" && route.CBOR})
	}
	return route
}

// prefersCBOR says whether CBOR comes first in the contentSerialization of an AE or CSE.
func prefersCBOR(res *Resource) bool {
	for _, s := range stringsOf(res.Get("csz")) {
		switch {
		case strings.HasSuffix(s, "cbor"):
			return true
		case strings.HasSuffix(s, "json"):
			return false
		}
	}
	return false
}
