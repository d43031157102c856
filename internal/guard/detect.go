package guard

import (
	"fmt"
	"hash/maphash"
	"math"
	"math/bits"
	"net/netip"
	"time"
)

// Detector names what an event is about.
type Detector string

// The detectors.
const (
	Rate         Detector = "rate"         // far more requests than the originator's own history says
	Silence      Detector = "silence"      // an originator that reported regularly has stopped
	Destinations Detector = "destinations" // many resources that it had not addressed before
	Size         Detector = "size"         // contents far from those it sent before
	Places       Detector = "places"       // used from two networks at once
	Refusals     Detector = "refusals"     // many resources asked for that it has no right to, or that do not exist: a scan
	Flood        Detector = "flood"        // goes on against its quota
	Lockout      Detector = "lockout"      // bad credentials, from one address or for one originator
)

// The windows and bounds of the detectors. An event needs to be far from the history and far from nothing, so that quiet
// devices may have a busy minute.
const (
	window         = 10 * time.Second
	learned        = 6    // windows before rate and destinations are judged by history
	rateFloor      = 200  // requests in a window that are nobody's concern
	rateNew        = 5000 // the same for an originator without history
	rateTimes      = 8    // the mean, or deviations from it
	freshFloor     = 24   // new destinations in a window
	freshNew       = 200  // the same for an originator without history
	refusalsFloor  = 20   // different addresses refused in a window
	sizeFloor      = 4096
	sizeTimes      = 10
	sizeLearned    = 100 // contents before their size is judged
	placesSwitches = 6   // changes between two networks in a window
	floodFloor     = 50  // refusals by quota in a window
	silenceTimes   = 6   // the usual interval
	silenceFloor   = 30 * time.Second
	silenceLearned = 20              // intervals before silence is judged
	quiet          = 1 * time.Minute // between two events of one kind about one originator
)

// behaviour is the history of one originator, in exponentially weighted means.
type behaviour struct {
	window int64 // number of the window under way
	count  uint32
	denied uint32
	fresh  uint32
	limits uint32
	turns  uint32 // changes between networks
	full   uint32 // windows seen

	rate, rateDev float64 // requests in a window
	size, sizeDev float64
	sizes         uint32
	gap, gapDev   float64 // between requests, nanoseconds
	gaps          uint32
	last          int64
	silent        bool

	used    [8]uint64 // a bloom filter of destinations, 512 bits
	usedN   uint32
	network [2]uint64 // the newest source network and the one before
	source  string    // the newest source address

	refusedAt [4]uint64 // a bloom filter of the addresses refused in the window, 256 bits

	told map[Detector]told // made with the first event
}

var seed = maphash.MakeSeed()

// observe adds a request to the history of an actor. It says whether it went to a destination that is new.
func (g *Guard) observe(a *actor, name string, r *Request, now int64) (fresh bool) {
	n := uint32(max(r.Count, 1))
	var found [4]finding
	raised := found[:0]
	a.mu.Lock()
	b := &a.behaviour
	w := now / int64(window)
	if w != b.window {
		b.roll(w)
	}
	if s := now / int64(time.Second); b.last/int64(time.Second) != s {
		g.present(s)
	}
	b.count += n
	if limit := b.rateLimit(); float64(b.count) > limit {
		raised = append(raised, finding{Rate, float64(b.count), limit})
	}
	if fresh = b.destination(r.Target); fresh {
		limit := uint32(freshFloor)
		if b.full < learned {
			limit = freshNew
		}
		if b.fresh++; b.fresh >= limit {
			raised = append(raised, finding{Destinations, float64(b.fresh), float64(limit)})
		}
	}
	if r.Bytes > 0 {
		if limit := b.size + sizeTimes*b.sizeDev + sizeFloor; b.sizes >= sizeLearned && float64(r.Bytes) > limit {
			raised = append(raised, finding{Size, float64(r.Bytes), limit})
		}
		learn(&b.size, &b.sizeDev, float64(r.Bytes), b.sizes, 0.05)
		b.sizes++
	}
	if b.moved(r.Source) {
		if b.turns++; b.turns >= placesSwitches {
			raised = append(raised, finding{Places, float64(b.turns), 1})
		}
	}
	if b.last != 0 {
		if !b.silent { // the pause that ends is no interval of its own
			learn(&b.gap, &b.gapDev, float64(now-b.last), b.gaps, 0.1)
			b.gaps++
		}
		b.silent = false
	}
	b.last = now
	raised = b.untold(raised, now)
	a.mu.Unlock()
	for _, f := range raised {
		g.raise(a, name, r.Trusted, r.Source, f, "")
	}
	return fresh
}

// finding is what a detector found: a value, and what was to be expected at most.
type finding struct {
	detector        Detector
	value, expected float64
}

// told is the newest event of one detector.
type told struct {
	at    int64
	value float64
}

// untold leaves out what was told a short while ago, unless it is twice as bad by now.
func (b *behaviour) untold(all []finding, now int64) []finding {
	n := 0
	for _, f := range all {
		if t := b.told[f.detector]; t.at != 0 && now-t.at < int64(quiet) && f.value < 2*t.value {
			continue
		}
		if b.told == nil {
			b.told = make(map[Detector]told, 2)
		}
		b.told[f.detector] = told{now, f.value}
		all[n] = f
		n++
	}
	return all[:n]
}

// roll ends the window under way and begins another.
func (b *behaviour) roll(w int64) {
	if b.window != 0 {
		learn(&b.rate, &b.rateDev, float64(b.count), b.full, 0.2)
		b.full++
		if missed := w - b.window - 1; missed > 0 { // nothing was sent in these
			decay := math.Pow(0.8, float64(min(missed, 30)))
			b.rate *= decay
		}
	}
	b.window, b.count, b.denied, b.fresh, b.limits, b.turns = w, 0, 0, 0, 0, 0
	b.refusedAt = [4]uint64{}
	if b.usedN > 256 { // the filter says yes to everything soon
		b.used, b.usedN = [8]uint64{}, 0
	}
}

func (b *behaviour) rateLimit() float64 {
	if b.full < learned {
		return rateNew
	}
	return max(rateFloor, rateTimes*b.rate, b.rate+rateTimes*b.rateDev)
}

// learn moves a mean and the mean deviation from it towards a value.
func learn(mean, dev *float64, v float64, seen uint32, weight float64) {
	if seen == 0 {
		*mean = v
		return
	}
	weight = max(weight, 1/float64(seen+1)) // at first, the plain mean
	d := v - *mean
	*mean += weight * d
	*dev += weight * (math.Abs(d) - *dev)
}

// destination notes an address and says whether it is new.
func (b *behaviour) destination(to string) bool {
	if !add(b.used[:], to) {
		return false
	}
	b.usedN++
	return true
}

// add adds to a bloom filter with two bits a member, of a power of two of words. It is false for what may be in it already.
func add(filter []uint64, s string) bool {
	h := maphash.String(seed, s)
	mask := uint64(len(filter)*64 - 1)
	i, j := h&mask, h>>32&mask
	if filter[i>>6]>>(i&63)&1 == 1 && filter[j>>6]>>(j&63)&1 == 1 {
		return false
	}
	filter[i>>6] |= 1 << (i & 63)
	filter[j>>6] |= 1 << (j & 63)
	return true
}

// moved says whether a request comes from the network before last: an originator that moves once has only one of it.
func (b *behaviour) moved(source string) bool {
	if source == b.source {
		return false
	}
	b.source = source
	n := network(source)
	switch {
	case n == 0 || n == b.network[0]:
		return false
	case n == b.network[1]:
		b.network[0], b.network[1] = n, b.network[0]
		return true
	}
	b.network[0], b.network[1] = n, b.network[0]
	return false
}

// network gives a number for the network of an address, /24 or /64, and 0 for one that is unknown.
func network(source string) uint64 {
	ip, err := netip.ParseAddr(source)
	if err != nil {
		return 0
	}
	ip = ip.Unmap()
	b := ip.As16()
	if ip.Is4() {
		return uint64(b[12])<<16 | uint64(b[13])<<8 | uint64(b[14]) | 1<<32
	}
	var n uint64
	for _, x := range b[:8] {
		n = n<<8 | uint64(x)
	}
	return bits.RotateLeft64(n, 7) | 1<<63
}

// refused notes that an actor has no right to what it asked for.
func (g *Guard) refused(p *Pass) {
	now := time.Now().UnixNano()
	a := p.actor
	a.mu.Lock()
	if add(a.refusedAt[:], p.to) {
		a.denied++
	}
	denied := a.denied
	var raised []finding
	if denied >= refusalsFloor {
		raised = a.untold([]finding{{Refusals, float64(denied), refusalsFloor}}, now)
	}
	a.mu.Unlock()
	for _, f := range raised {
		g.raise(a, p.name, p.trust, p.from, f, fmt.Sprintf("the last for %.128q", p.to))
	}
}

// over notes that an actor goes on against its quota.
func (g *Guard) over(a *actor, name string, p *Pass, l *Limit) {
	now := time.Now().UnixNano()
	a.mu.Lock()
	a.limits++
	var raised []finding
	if a.limits >= floodFloor {
		raised = a.untold([]finding{{Flood, float64(a.limits), floodFloor}}, now)
	}
	a.mu.Unlock()
	for _, f := range raised {
		g.raise(a, name, p.trust, p.from, f, l.What)
	}
}

// silence looks for originators that have stopped to report.
func (g *Guard) silence(now int64) {
	for i := range g.actors {
		type lost struct {
			name string
			a    *actor
			f    finding
		}
		var all []lost
		g.actors[i].each(func(name string, a *actor) {
			a.mu.Lock()
			defer a.mu.Unlock()
			b := &a.behaviour
			if b.silent || b.gaps < silenceLearned || b.gapDev > b.gap || a.underWay.Load() > 0 {
				return
			}
			limit := max(silenceTimes*(b.gap+2*b.gapDev), float64(silenceFloor))
			if passed := float64(now - b.last); passed > limit {
				b.silent = true
				all = append(all, lost{name, a, finding{Silence, passed / 1e9, limit / 1e9}})
			}
		})
		for _, l := range all {
			g.raise(l.a, l.name, false, "", l.f, "seconds without a request")
		}
	}
}
