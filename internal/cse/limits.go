package cse

import (
	"errors"

	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of notification. Every validator builds and keeps every notification, so that one small request that calls
// for many large ones would cost the whole network far more than its originator.
const (
	// maxTargets bounds notificationURI (nu) and pointOfAccess (poa): each of them is asked or tried by a node.
	maxTargets = 16
	// maxSubscriptions bounds the subscriptions directly below one resource: all of them are looked at, and each may
	// get a representation, at every change of it and of its children.
	maxSubscriptions = 32
	// maxEventBytes bounds the notifications of one request or one call of Expire, contents and targets counted.
	maxEventBytes = 16 << 20
	// eventOverhead stands for what the outbox keeps of an event besides its content and targets, in bytes.
	eventOverhead = 64
)

// Bounds of removal: a resource is removed with all that is below it, within one block.
const (
	// maxSubtree bounds the resources that one request or one call of Expire removes, contentInstances not counted.
	maxSubtree = 100_000
	// maxExpireParts bounds the resources that a call of Expire removes one by one, each with an effect of its own.
	maxExpireParts = 10_000
)

// usage is what one request, all members of a fan-out included, or one call of Expire has taken of its bounds.
type usage struct {
	events  int // bytes of notifications
	removed int // resources
	// lossy says that notifications beyond the bound are dropped. Expiry is a request of nobody, who could be refused.
	lossy bool
}

// overflow refuses a request that has made writes already, so that the request is refused as a whole and its writes
// are rolled back. Any other refusal comes before the first write.
type overflow struct{ refusal error }

func (o *overflow) Error() string { return o.refusal.Error() }
func (o *overflow) Unwrap() error { return o.refusal }

func isOverflow(err error) bool {
	var o *overflow
	return errors.As(err, &o)
}

// notices are the events that a change calls for.
type notices struct {
	events []Event
	used   *usage
}

// full says that no more events are to be made.
func (n *notices) full() bool { return n.used.lossy && n.used.events > maxEventBytes }

func (n *notices) add(e Event) error {
	n.used.events += eventSize(len(e.Content), e.Targets)
	if n.used.events <= maxEventBytes {
		n.events = append(n.events, e)
		return nil
	}
	if n.used.lossy {
		return nil
	}
	return &overflow{refuse(onem2m.StatusNotAcceptable, "the change would call for more than %d bytes of notifications", maxEventBytes)}
}

func eventSize(content int, targets []string) int {
	size := eventOverhead + content
	for _, t := range targets {
		size += len(t)
	}
	return size
}

// checkSubscriptions refuses one more subscription below a resource that has as many as it may.
func checkSubscriptions(r Reader, parent string) error {
	subs, err := r.Subscriptions(parent)
	if err != nil {
		return err
	}
	if len(subs) >= maxSubscriptions {
		return refuse(onem2m.StatusNotAcceptable, "resource %s has %d subscriptions; the limit is %d", parent, len(subs), maxSubscriptions)
	}
	return nil
}

// checkTargets refuses more notification targets or points of access than an attribute may have.
func checkTargets(attribute string, targets []string) error {
	if len(targets) > maxTargets {
		return refuse(onem2m.StatusNotAcceptable, "%s: %d targets; the limit is %d", attribute, len(targets), maxTargets)
	}
	return nil
}

// unique drops the second and later mentions of a string.
func unique(list []string) []string {
	seen := make(map[string]bool, len(list))
	kept := list[:0:0]
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			kept = append(kept, s)
		}
	}
	return kept
}
