// Package notify delivers notifications (TS-0004 clause 7.5.1.2), and sends other requests to other machines, by
// whatever protocols it is given clients for. It reads the node's outbox of committed notifications at its own pace:
// nothing here can delay a commit, and what a crash interrupts is delivered after the restart.
//
// The promise is at least once, in the order of the log for each target. A notification leaves the outbox when its
// target took it or it was given up. The request identifier of a notification is the same each time it is sent, so a
// receiver can recognise one that it got before.
//
// A target that fails is tried again with exponential back-off and jitter until the notification is too old or its
// subscription is gone; Wake ends a pause early. A target that refuses a notification (a 4xxx or 6xxx response status
// code, or what its protocol has in its place) will not take the same bytes later: that notification is given up at
// once and the next one is tried, so that one bad notification cannot stop all that follow.
//
// Notifications that are gathered (batchNotify) or of which only the newest counts (latestNotify) wait in the outbox
// too, in a queue of their subscription and target: a crash loses none of them.
package notify

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
)

// Key is the place of a notification in the outbox: the log index of the entry that called for it, and its number
// among those that this entry called for.
type Key struct {
	Index uint64
	N     uint32
}

// Compare orders keys as they were committed.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Index, o.Index), cmp.Compare(k.N, o.N))
}

// before is the key just before k; of the zero key, itself.
func (k Key) before() Key {
	switch {
	case k.N > 0:
		return Key{k.Index, k.N - 1}
	case k.Index > 0:
		return Key{k.Index - 1, ^uint32(0)}
	}
	return k
}

// Item is one notification for one target in the outbox.
type Item struct {
	Key          Key
	Subscription string // resource ID
	Target       string // of nu: a URL or a resource ID
	// Content is {"m2m:sgn":{...}} as JSON text. Nil ends what the subscription has gathered for the target: it is
	// delivered at once.
	Content    []byte
	Originator string // fr: the hosting CSE's ID
	Time       int64  // block time, Unix microseconds
	Category   string // ec, "" for none
	// Batch says how the item is gathered with others of its subscription and target; nil when it goes alone.
	Batch *Batch
	// Rate bounds how often the target gets requests for its subscription; nil when nothing does.
	Rate *Rate
	// Latest says that the item replaces those of its subscription and target that were not delivered yet.
	Latest bool
	// Counted says that the requests and responses of the item are counted (notificationStatsEnable).
	Counted bool
}

// Batch says when gathered notifications are delivered (batchNotify, TS-0001 clause 9.6.8).
type Batch struct {
	Number   int           // of notifications, 0 for no limit but the deliverer's own
	Duration time.Duration // since the first of them
}

// Rate is how many requests may be sent within a time window (rateLimit, TS-0001 clause 9.6.8). What is more waits for
// the next window. After a restart a window begins anew.
type Rate struct {
	Number int // at least 1
	Window time.Duration
}

// Outbox is the durable queue of notifications. It is used by several goroutines at once.
type Outbox interface {
	// Next lists at most max items after a key, in ascending order; the zero key means from the start.
	Next(after Key, max int) ([]Item, error)
	// Done removes items. A key that is not there is no error.
	Done(keys ...Key) error
	// Wait returns nil when there is an item after a key, or an error, which is ctx's when ctx ended.
	Wait(ctx context.Context, after Key) error
}

// Route is how a target can be reached.
type Route struct {
	// Entity is the AE-ID or CSE-ID of the target, "" when the target is a URL.
	Entity string
	// To is the target of a NOTIFY request that has to name one: an SP-relative ID, or the URL.
	To string
	// Releases are the values of rvi that the target speaks; none when that is not known.
	Releases []string
	// Addresses are tried in their order. None means that the target cannot be reached at the moment.
	Addresses []binding.Address
}

// knownReleases are the release versions there are, latest first (TS-0004 clause 6.4.1).
var knownReleases = []string{"5", "4", "3", "2a", "2", "1"}

// release is the rvi of a request to the target: the one wanted if the target speaks it, or else the latest that it does
// (TS-0001 clause 9.6.5, supportedReleaseVersions).
func (r *Route) release(wanted string) string {
	if len(r.Releases) == 0 || slices.Contains(r.Releases, wanted) {
		return wanted
	}
	for _, known := range knownReleases {
		if slices.Contains(r.Releases, known) {
			return known
		}
	}
	return wanted
}

// Resolver gives the route to a target: a URL, or the resource ID or structured address of an AE or a CSE.
type Resolver func(target string) Route

// Options of a Deliverer. Outbox, Resolve, Clients and Log are required; zero values of the rest mean the defaults.
type Options struct {
	Outbox  Outbox
	Resolve Resolver
	// Clients send requests, by scheme of the address. An address of another scheme cannot be reached. The map is not
	// changed any more.
	Clients map[string]binding.Client
	Log     *slog.Logger
	// Subscribed says whether a subscription still exists. Notifications of one that is gone are not tried again after
	// a failure, but for the one that tells of its deletion. Nil means that all exist.
	Subscribed func(subscription string) bool
	// Count is told of requests that were sent for counted items, and of the responses to them. Nil counts nothing.
	Count func(subscription, target string, sent, answered int)

	Release     string        // rvi of requests that have none, "4"
	Timeout     time.Duration // of one request, 10 s
	FirstDelay  time.Duration // before the first retry, 1 s; doubled each time
	MaxDelay    time.Duration // between retries, 5 min
	MaxAge      time.Duration // after which a notification is given up, 24 h
	Concurrency int           // requests at once, 256; slow and failing targets get at most half of it
	Backlog     int           // notifications that wait for one target, 100,000; those that come beyond that are given up
}

func (o *Options) defaults() {
	o.Release = cmp.Or(o.Release, "4")
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.FirstDelay = cmp.Or(o.FirstDelay, time.Second)
	o.MaxDelay = cmp.Or(o.MaxDelay, 5*time.Minute)
	o.MaxAge = cmp.Or(o.MaxAge, 24*time.Hour)
	o.Concurrency = max(2, cmp.Or(o.Concurrency, 256))
	o.Backlog = cmp.Or(o.Backlog, 100_000)
	if o.Subscribed == nil {
		o.Subscribed = func(string) bool { return true }
	}
	if o.Count == nil {
		o.Count = func(string, string, int, int) {}
	}
}

// Deliverer sends notifications and other requests. It is safe for concurrent use.
type Deliverer struct {
	o     Options
	stats counters

	scan     chan struct{} // holds one value while the outbox is looked through for one queue
	mu       sync.Mutex    // guards what follows and every queue
	cursor   Key           // items up to here are known to their queues
	queues   map[place]*queue
	ready    [2]fifo // queues that can be tried: healthy ones, and slow or failing ones
	active   [2]int  // requests under way for each of the two
	telling  int     // requests of Tell under way
	stopped  bool
	delivery sync.WaitGroup
}

// New returns a Deliverer. Its Request and Verify work at once; the outbox is served by Run.
func New(o Options) *Deliverer {
	o.defaults()
	return &Deliverer{o: o, queues: make(map[place]*queue), scan: make(chan struct{}, 1)}
}

// readBatch is how many items are read from the outbox at once. An item may hold as much as a request body.
const readBatch = 128

// Run serves the outbox until ctx ends; then it breaks off what is under way, which stays in the outbox, and returns.
// It may be called once.
func (d *Deliverer) Run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		if err := d.read(ctx); err != nil && ctx.Err() == nil {
			failures++
			d.o.Log.Error("the outbox of notifications cannot be read; delivery is held up", "err", err)
			sleep(ctx, d.delay(failures))
			continue
		}
		failures = 0
	}
	d.mu.Lock()
	d.stopped = true
	for _, q := range d.queues {
		if q.timer != nil {
			q.timer.Stop()
		}
	}
	d.mu.Unlock()
	d.delivery.Wait()
}

// read hands the next items to their queues, or waits for some.
func (d *Deliverer) read(ctx context.Context) error {
	d.mu.Lock()
	cursor := d.cursor
	d.mu.Unlock()
	items, err := d.o.Outbox.Next(cursor, readBatch)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return d.o.Outbox.Wait(ctx, cursor)
	}
	var dropped []Key
	d.mu.Lock()
	for i := range items {
		d.cursor = items[i].Key
		if !d.add(ctx, &items[i]) {
			dropped = append(dropped, items[i].Key)
		}
	}
	d.mu.Unlock()
	if len(dropped) == 0 {
		return nil
	}
	d.stats.dropped.Add(uint64(len(dropped)))
	return d.o.Outbox.Done(dropped...)
}

// Settle waits until everything in the outbox was sent once, or waits for more to come or for its next turn; or until
// ctx ends.
func (d *Deliverer) Settle(ctx context.Context) {
	for ctx.Err() == nil && !d.settled() {
		sleep(ctx, time.Millisecond)
	}
}

func (d *Deliverer) settled() bool {
	d.mu.Lock()
	cursor, busy := d.cursor, d.active != [2]int{} || !d.ready[0].empty() || !d.ready[1].empty()
	d.mu.Unlock()
	if busy {
		return false
	}
	items, err := d.o.Outbox.Next(cursor, 1)
	return err != nil || len(items) == 0
}

// delay is the pause after a number of failures in a row: exponential, with the upper half of it random so that
// targets that failed together are not tried together.
func (d *Deliverer) delay(failures int) time.Duration {
	pause := d.o.MaxDelay
	if failures < 32 {
		if p := d.o.FirstDelay << (failures - 1); p>>(failures-1) == d.o.FirstDelay {
			pause = min(pause, p)
		}
	}
	return pause/2 + rand.N(pause/2+1)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
