package guard

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Event is what a detector noticed.
type Event struct {
	When       time.Time `json:"when"`
	Originator string    `json:"originator,omitempty"`
	Source     string    `json:"source,omitempty"`
	Detector   Detector  `json:"detector"`
	Value      float64   `json:"value"`
	Expected   float64   `json:"expected"` // at most
	Detail     string    `json:"detail,omitempty"`
	Action     Action    `json:"action"` // what the policy made of it

	trusted bool
}

func (e *Event) String() string {
	s := fmt.Sprintf("%s: %.6g, at most %.6g expected, at %s", e.Detector, e.Value, e.Expected, e.When.UTC().Format(time.RFC3339))
	if e.Source != "" {
		s += " from " + e.Source
	}
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s
}

// events are the newest, in a ring.
type events struct {
	mu     sync.Mutex
	ring   []Event
	next   int
	counts map[Detector]uint64
}

func (r *events) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = make(map[Detector]uint64)
	}
	r.counts[e.Detector]++
	if len(r.ring) < maxEvents {
		r.ring = append(r.ring, e)
		return
	}
	r.ring[r.next] = e
	r.next = (r.next + 1) % maxEvents
}

// newest calls f for the events, newest first, until it returns false. mu is held.
func (r *events) newest(f func(*Event) bool) {
	for i := range r.ring {
		if !f(&r.ring[(r.next+len(r.ring)-1-i)%len(r.ring)]) {
			return
		}
	}
}

// evidence tells the newest event of each of some detectors about an originator.
func (r *events) evidence(originator string, of []Detector) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, d := range of {
		r.newest(func(e *Event) bool {
			if e.Detector != d || e.Originator != originator {
				return true
			}
			lines = append(lines, e.String())
			return false
		})
	}
	return strings.ToValidUTF8(strings.Join(lines, "; "), "?")
}

// Events returns the newest events, newest first, at most max of them.
func (g *Guard) Events(max int) []Event {
	g.events.mu.Lock()
	defer g.events.mu.Unlock()
	all := []Event{}
	g.events.newest(func(e *Event) bool {
		all = append(all, *e)
		return len(all) < max
	})
	return all
}

// Counts returns how many events there were of each detector since the node started.
func (g *Guard) Counts() map[Detector]uint64 {
	g.events.mu.Lock()
	defer g.events.mu.Unlock()
	counts := make(map[Detector]uint64, len(g.events.counts))
	for d, n := range g.events.counts {
		counts[d] = n
	}
	return counts
}

// raise keeps an event, logs it, and does what the policy says. a is nil for one that is about no originator that is known.
func (g *Guard) raise(a *actor, originator string, trusted bool, source string, f finding, detail string) {
	e := Event{
		When: time.Now(), Originator: originator, Source: source, Detector: f.detector, Value: f.value, Expected: f.expected,
		Detail: detail, Action: Log, trusted: trusted,
	}
	g.events.add(e) // before it is judged: it is evidence
	if a != nil {
		g.judge(a, &e)
		if e.Action != Log {
			g.events.acted(&e)
		}
	}
	g.o.Log.Warn("unusual behaviour", "originator", originator, "source", source, "detector", f.detector, "value", f.value,
		"expected", f.expected, "detail", detail, "action", e.Action)
}

// acted notes what the policy made of the newest event like e.
func (r *events) acted(e *Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest(func(kept *Event) bool {
		if kept.Originator == e.Originator && kept.Detector == e.Detector {
			kept.Action = e.Action
			return false
		}
		return true
	})
}

// watch looks for what no request tells of.
func (g *Guard) watch(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			g.silence(now.UnixNano())
		}
	}
}
