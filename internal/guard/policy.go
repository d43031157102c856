package guard

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Action is what a rule does.
type Action string

// The actions. Every event is logged, counted and kept, whatever the rules say.
const (
	Log          Action = "log"
	Throttle     Action = "throttle"   // the originator's quota is a hundredth of what it was, for a minute
	ToQuarantine Action = "quarantine" // every node refuses the originator until an operator releases it
)

// Rule says what is to happen when all of its detectors, joined by "+", have raised an event about one originator within a
// minute. An event counts when its value is over Above as well.
type Rule struct {
	Detector string  `json:"detector"`
	Action   Action  `json:"action"`
	Above    float64 `json:"above,omitempty"`
}

// DefaultPolicy slows down who scans, and puts into quarantine who scans and floods at once. A burst alone is what a device
// has after an outage, when it sends what it could not send, and refusals alone may be a policy that somebody got wrong.
func DefaultPolicy() []Rule {
	return []Rule{
		{Detector: "refusals", Action: Throttle},
		{Detector: "refusals+flood", Action: ToQuarantine},
		{Detector: "refusals+rate", Action: ToQuarantine},
	}
}

const (
	together = time.Minute // events of one rule come within it
	slowdown = 100
	slowFor  = time.Minute
)

type compiled struct {
	Rule
	detectors []Detector
}

type policy []compiled

var detectors = map[Detector]bool{
	Rate: true, Silence: true, Destinations: true, Size: true, Places: true, Refusals: true, Flood: true, Lockout: true,
}

// Check says what is wrong with a policy.
func Check(rules []Rule) error {
	_, err := compile(rules)
	return err
}

func compile(rules []Rule) (policy, error) {
	var p policy
	for _, r := range rules {
		c := compiled{Rule: r}
		for _, d := range strings.Split(r.Detector, "+") {
			if !detectors[Detector(d)] {
				return nil, fmt.Errorf("there is no detector %q", d)
			}
			c.detectors = append(c.detectors, Detector(d))
		}
		switch r.Action {
		case Log, Throttle, ToQuarantine:
		default:
			return nil, fmt.Errorf("there is no action %q: use log, throttle or quarantine", r.Action)
		}
		p = append(p, c)
	}
	return p, nil
}

// order is a quarantine that the policy calls for.
type order struct{ originator, reason, evidence string }

// judge does what the rules say after an event.
func (g *Guard) judge(a *actor, e *Event) {
	now := e.When.UnixNano()
	for i := range g.policy {
		r := &g.policy[i]
		if !g.meets(a, r, e, now) {
			continue
		}
		switch r.Action {
		case Throttle:
			a.mu.Lock()
			a.slowUntil = now + int64(slowFor)
			a.mu.Unlock()
			e.Action = Throttle
		case ToQuarantine:
			if e.trusted || strings.HasPrefix(e.Originator, "/") {
				continue // what operators and CSEs do takes a person's look: too much depends on them
			}
			e.Action = ToQuarantine
			o := order{e.Originator, "behaviour: " + strings.ReplaceAll(r.Detector, "+", " and "), g.events.evidence(e.Originator, r.detectors)}
			select {
			case g.orders <- o:
			default: // as many wait as the ledger takes in minutes; the next event asks again
			}
			return
		}
	}
}

// meets says whether an event completes a rule.
func (g *Guard) meets(a *actor, r *compiled, e *Event, now int64) bool {
	part := false
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range r.detectors {
		if d == e.Detector {
			part = e.Value > r.Above
			continue
		}
		if t := a.told[d].at; t == 0 || now-t > int64(together) {
			return false
		}
	}
	return part
}

// order orders what the policy called for.
func (g *Guard) order(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-g.orders:
			if g.o.Quarantine == nil {
				continue
			}
			if err := g.o.Quarantine(ctx, o.originator, o.reason, o.evidence); err != nil && ctx.Err() == nil {
				g.o.Log.Warn("quarantine by policy", "originator", o.originator, "error", err)
			}
		}
	}
}
