// Package guard keeps those who send too much, or what is not theirs to send, from taking a node away from the others:
// quotas for originators and source addresses, lockout of who shows bad credentials, and detectors that notice when a
// device no longer behaves as it used to. It is a node's own view: nothing of it is agreed upon, and all of it fits into
// a fixed amount of memory.
package guard

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a guard.
type Options struct {
	Quotas Quotas
	Policy []Rule // what is to happen on which events; those of DefaultPolicy when nil
	// Quarantine shuts an originator out, with a reason and the evidence. It is called by one goroutine.
	Quarantine func(ctx context.Context, originator, reason, evidence string) error
	Log        *slog.Logger
}

// Quotas bound what one originator and one source address may take of a node. Zero stands for the default, a negative number
// for no bound. CSEs, which speak for those behind them, and operators have ten times as much.
type Quotas struct {
	// Messages is the requests of one originator in a second, and MessageBurst those at once. Default 50000 and 100000.
	Messages     float64 `json:"messages,omitempty"`
	MessageBurst float64 `json:"messageBurst,omitempty"`
	// Bytes is the contents of them in bytes a second, and ByteBurst at once. Default 64 MiB and 256 MiB.
	Bytes     float64 `json:"bytes,omitempty"`
	ByteBurst float64 `json:"byteBurst,omitempty"`
	// UnderWay is the requests of one originator that may wait for their answers. Default 4096.
	UnderWay int `json:"underWay,omitempty"`
	// Subscriptions is the <subscription> resources that one originator may make in a minute. Default 6000.
	Subscriptions float64 `json:"subscriptions,omitempty"`
	// Connections is the open connections of one originator. Default 20000.
	Connections int `json:"connections,omitempty"`
	// SourceConnections is the open connections from one address (IPv6: one /64), SourceConnects the new ones in a second.
	// Default 20000 and 5000.
	SourceConnections int     `json:"sourceConnections,omitempty"`
	SourceConnects    float64 `json:"sourceConnects,omitempty"`
	// Strangers is the requests a second from one address that show no valid credential. Ten times as many at once are
	// refused one by one; then all of them, for a second, without a reason. Default 100.
	Strangers float64 `json:"strangers,omitempty"`
}

func (q *Quotas) defaults() {
	number := func(v *float64, d float64) {
		switch {
		case *v == 0:
			*v = d
		case *v < 0:
			*v = 1e15
		}
	}
	count := func(v *int, d int) {
		switch {
		case *v == 0:
			*v = d
		case *v < 0:
			*v = 1 << 40
		}
	}
	number(&q.Messages, 50_000)
	number(&q.MessageBurst, max(q.Messages*2, 1))
	number(&q.Bytes, 64<<20)
	number(&q.ByteBurst, max(q.Bytes*4, 2<<20))
	count(&q.UnderWay, 4096)
	number(&q.Subscriptions, 6000)
	count(&q.Connections, 20_000)
	count(&q.SourceConnections, 20_000)
	number(&q.SourceConnects, 5000)
	number(&q.Strangers, 100)
}

// Bounds of what a guard remembers.
const (
	shards        = 16
	maxActors     = 16384 // originators
	maxSources    = 16384 // source addresses
	maxClaims     = 4096  // originators that somebody claimed to be in vain
	maxEvents     = 1024
	maxQuarantine = 16 // orders that wait
)

// longestWait bounds the back-pressure on one request.
const longestWait = time.Second

// Guard is safe for concurrent use.
type Guard struct {
	o      Options
	policy policy

	actors  [shards]table[string, actor]
	sources table[string, source]
	claims  table[string, failures]

	underWay atomic.Int64 // of all originators
	active   [2]atomic.Int64
	second   atomic.Int64

	events  events
	orders  chan order
	sweeper sync.WaitGroup
	stop    context.CancelFunc
}

// New returns a guard that watches until Close.
func New(o Options) (*Guard, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Policy == nil {
		o.Policy = DefaultPolicy()
	}
	p, err := compile(o.Policy)
	if err != nil {
		return nil, err
	}
	o.Quotas.defaults()
	g := &Guard{o: o, policy: p, orders: make(chan order, maxQuarantine)}
	for i := range g.actors {
		g.actors[i].max = maxActors / shards
	}
	g.sources.max, g.claims.max = maxSources, maxClaims
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.sweeper.Go(func() { g.watch(ctx) })
	g.sweeper.Go(func() { g.order(ctx) })
	return g, nil
}

// Close ends the watch.
func (g *Guard) Close() {
	g.stop()
	g.sweeper.Wait()
}

// Request is what a guard is told of a request of a client that is known.
type Request struct {
	Originator string // that the credential is for: its quota
	Actor      string // that sends it: its behaviour; another one only behind a CSE
	Trusted    bool   // an operator: never put into quarantine
	Source     string // IP address
	Target     string // address of the request
	Bytes      int
	Count      int  // how many it is, 1 at least
	Subscribes bool // it makes a subscription
	MayWait    bool // who sent it can be kept waiting for a moment
}

// Limit is the refusal of a request that is too much.
type Limit struct {
	What  string        // the bound, in words
	After time.Duration // when it may be tried again
}

func (l *Limit) Error() string {
	return fmt.Sprintf("%s; try again in %s", l.What, max(l.After, 10*time.Millisecond).Round(10*time.Millisecond))
}

// Pass is a request that was let in.
type Pass struct {
	g     *Guard
	quota *actor
	actor *actor
	name  string
	count int64
	fresh bool // to a destination that the actor had not used before
	trust bool
	from  string
	to    string
}

// Admit lets a request in, after a wait perhaps, or says why not. The pass is to be ended by Done.
func (g *Guard) Admit(ctx context.Context, r *Request) (Pass, *Limit) {
	now := time.Now().UnixNano()
	q := g.actor(r.Originator)
	a, name := q, r.Originator
	if r.Actor != r.Originator && r.Actor != "" {
		a, name = g.actor(r.Actor), r.Actor
	}
	p := Pass{g: g, quota: q, actor: a, name: name, count: int64(max(r.Count, 1)), trust: r.Trusted, from: r.Source, to: r.Target}
	p.fresh = g.observe(a, name, r, now)
	times := 1.0
	if r.Trusted || strings.HasPrefix(r.Originator, "/") {
		times = 10
	}
	most := longestWait
	if !r.MayWait {
		most = 0
	}
	wait, limit := g.take(q, r, now, times, most)
	if limit == nil && wait > 0 && !sleep(ctx, wait) {
		limit = &Limit{"the client went away", 0}
	}
	if limit == nil {
		limit = g.enter(ctx, q, p.count, int64(times), most)
	}
	if limit != nil {
		g.over(a, name, &p, limit)
		return Pass{}, limit
	}
	return p, nil
}

// take takes from the buckets of an originator.
func (g *Guard) take(q *actor, r *Request, now int64, times float64, most time.Duration) (time.Duration, *Limit) {
	l := &g.o.Quotas
	n := float64(max(r.Count, 1))
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.slowUntil > now { // the policy throttles it
		times /= slowdown
	}
	if r.Subscribes {
		rate := l.Subscriptions * times
		if wait, ok := q.subscriptions.take(now, n, rate/60, rate, 0); !ok {
			return 0, &Limit{fmt.Sprintf("%s makes more than %.0f subscriptions in a minute", r.Originator, rate), wait}
		}
	}
	messages, ok := q.messages.take(now, n, l.Messages*times, l.MessageBurst*times, most)
	if !ok {
		return 0, &Limit{fmt.Sprintf("%s sends more than %.0f requests a second", r.Originator, l.Messages*times), messages}
	}
	bytes, ok := q.bytes.take(now, float64(r.Bytes), l.Bytes*times, l.ByteBurst*times, most)
	if !ok {
		return 0, &Limit{fmt.Sprintf("%s sends more than %.0f bytes a second", r.Originator, l.Bytes*times), bytes}
	}
	return max(messages, bytes), nil
}

// fairFloor is how many requests an originator may always have under way. Beyond it, while others are served too, it may
// have half of all at most: so a flood by one makes the blocks of all longer by no more than that.
const fairFloor = 256

// enter takes n places among the requests under way, after a wait perhaps.
func (g *Guard) enter(ctx context.Context, q *actor, n, times int64, most time.Duration) *Limit {
	bound := int64(g.o.Quotas.UnderWay) * times
	var (
		timer *time.Timer
		room  <-chan struct{}
	)
	for {
		all := g.underWay.Add(n)
		own := q.underWay.Add(n)
		if own == n || own <= bound && (own <= fairFloor*times || own*2 <= all || !g.crowded()) {
			if room != nil {
				q.wake() // there may be room for the next that waits
			}
			return nil
		}
		g.leave(q, n)
		if most == 0 {
			return &Limit{"too many requests of this originator wait for their answers", 100 * time.Millisecond}
		}
		if room == nil {
			room = q.waiting() // and look again: the last one may have left before it could wake anybody
			timer = time.NewTimer(most)
			defer timer.Stop()
			continue
		}
		select {
		case <-room:
		case <-timer.C:
			return &Limit{"too many requests of this originator wait for their answers", 100 * time.Millisecond}
		case <-ctx.Done():
			return &Limit{"the client went away", 0}
		}
	}
}

func (g *Guard) leave(q *actor, n int64) {
	g.underWay.Add(-n)
	q.underWay.Add(-n)
}

// Done ends a pass. denied says that the request was refused for lack of a right, unknown that its target does not exist:
// to ask for the same once more says nothing.
func (p *Pass) Done(denied, unknown bool) {
	if p.g == nil {
		return
	}
	p.g.leave(p.quota, p.count)
	p.quota.wake()
	if denied || unknown && p.fresh {
		p.g.refused(p)
	}
}

// crowded says whether more than one originator was served within the last second or two.
func (g *Guard) crowded() bool { return g.active[0].Load() > 1 || g.active[1].Load() > 1 }

// present counts an actor that is seen for the first time in a second.
func (g *Guard) present(second int64) {
	if was := g.second.Load(); was != second && g.second.CompareAndSwap(was, second) {
		g.active[second&1].Store(0)
		if second != was+1 {
			g.active[^second&1].Store(0)
		}
	}
	g.active[second&1].Add(1)
}

func (g *Guard) actor(originator string) *actor {
	var h uint32 = 2166136261 // FNV-1a
	for i := 0; i < len(originator); i++ {
		h = (h ^ uint32(originator[i])) * 16777619
	}
	return g.actors[h%shards].get(originator, func(a *actor) bool { return a.underWay.Load() > 0 || a.open.Load() > 0 })
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
