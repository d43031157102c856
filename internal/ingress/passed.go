package ingress

import (
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// passed remembers who may create instances where, so that a device that sends reading after reading to one container is
// not asked the same each time: finding the container and deciding about the rights cost more than all else that is done
// with a reading before it is ordered. It decides nothing. An answer is kept until an entry that is no instance is
// committed, and for passedFor at most, because rules may depend on the time; execution checks again in any case.
type passed struct {
	mu      sync.RWMutex
	version uint64
	since   int64 // Unix microseconds
	known   map[passage]struct{}
}

// passage is what the decision about the creation of an instance depends on, besides the state and the time.
type passage struct {
	from, to, sourceIP, release string
	typ                         onem2m.ResourceType
}

const (
	maxPassed = 1 << 14
	passedFor = int64(time.Second / time.Microsecond)
)

// passageOf gives the passage of a request, false for one that has to be looked at as a whole.
func passageOf(req *onem2m.Request) (passage, bool) {
	if req.Operation != onem2m.Create || !req.Type.IsInstance() || cse.NonBlocking(req) || len(req.RoleIDs)+len(req.TokenIDs) > 0 {
		return passage{}, false
	}
	return passage{req.From, req.To, req.SourceIP, req.ReleaseVersion, req.Type}, true
}

func (p *passed) has(x passage, version uint64, now int64) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.version != version || now-p.since > passedFor {
		return false
	}
	_, ok := p.known[x]
	return ok
}

// add notes what was allowed in a state that was not older than version.
func (p *passed) add(x passage, version uint64, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || p.version != version || now-p.since > passedFor || len(p.known) >= maxPassed {
		p.version, p.since, p.known = version, now, make(map[passage]struct{})
	}
	p.known[x] = struct{}{}
}
