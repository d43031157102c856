package notify

import (
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

const (
	// maxKeys bounds what is kept in memory for a target. Keys beyond it stay in the outbox only.
	maxKeys = 64
	// slowAnswer is how long a target may take and still count as a healthy one.
	slowAnswer = time.Second
)

// target is a notification target that has something to get. One without is forgotten; so a target that is not known
// has got everything up to the cursor.
type target struct {
	name string
	keys []Key // outstanding, ascending
	// left says that there may be more outstanding items, all after leftAfter, that did not fit into keys.
	left      bool
	leftAfter Key

	failures int // in a row
	slow     bool
	lane     int // healthyLane or suspectLane while it is tried
	timer    *time.Timer
}

const (
	healthyLane = 0
	suspectLane = 1
)

// handled says whether the target has nothing outstanding up to a key.
func (t *target) handled(k Key) bool {
	switch {
	case len(t.keys) > 0:
		return t.keys[0].Compare(k) > 0
	case t.left:
		return t.leftAfter.Compare(k) >= 0
	}
	return true
}

// fifo is a queue of targets.
type fifo struct {
	list []*target
	head int
}

func (f *fifo) push(t *target) { f.list = append(f.list, t) }

func (f *fifo) pop() *target {
	if f.head == len(f.list) {
		f.list, f.head = f.list[:0], 0
		return nil
	}
	t := f.list[f.head]
	f.list[f.head] = nil
	f.head++
	if f.head > 64 && f.head > len(f.list)/2 {
		f.list, f.head = slices.Delete(f.list, 0, f.head), 0
	}
	return t
}

// add tells a target of an item. d.mu is held.
func (d *Deliverer) add(ctx context.Context, name string, k Key) {
	t := d.targets[name]
	if t == nil {
		t = &target{name: name}
		d.targets[name] = t
		t.keys = append(t.keys, k)
		d.enqueue(ctx, t)
		return
	}
	switch {
	case t.left, len(t.keys) > 0 && t.keys[len(t.keys)-1] == k: // named twice in one nu
	case len(t.keys) < maxKeys:
		t.keys = append(t.keys, k)
	default:
		t.left, t.leftAfter = true, t.keys[len(t.keys)-1]
	}
}

// enqueue makes a target ready to be tried. d.mu is held.
func (d *Deliverer) enqueue(ctx context.Context, t *target) {
	t.lane = healthyLane
	if t.failures > 0 || t.slow {
		t.lane = suspectLane
	}
	d.ready[t.lane].push(t)
	d.dispatch(ctx)
}

// dispatch starts as many deliveries as may run. Slow and failing targets get half of the places at most, so they can
// never keep the healthy ones waiting. d.mu is held.
func (d *Deliverer) dispatch(ctx context.Context) {
	for lane, limit := range [2]int{d.o.Concurrency, d.o.Concurrency / 2} {
		for !d.stopped && d.active[0]+d.active[1] < d.o.Concurrency && d.active[lane] < limit {
			t := d.ready[lane].pop()
			if t == nil {
				break
			}
			d.active[lane]++
			d.delivery.Go(func() { d.serve(ctx, t) })
		}
	}
}

// serve tries the first outstanding item of a target, then makes room for another target.
func (d *Deliverer) serve(ctx context.Context, t *target) {
	pause, err := d.deliverNext(ctx, t)
	if err != nil && ctx.Err() == nil {
		d.o.Log.Error("the outbox of notifications cannot be used; the target is tried again", "target", t.name, "err", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active[t.lane]--
	switch {
	case d.stopped || ctx.Err() != nil:
		return
	case len(t.keys) == 0 && !t.left:
		delete(d.targets, t.name)
	case pause > 0:
		t.timer = time.AfterFunc(pause, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if !d.stopped {
				d.enqueue(ctx, t)
			}
		})
	default:
		d.enqueue(ctx, t)
	}
	d.dispatch(ctx)
}

// deliverNext delivers the first outstanding item, and says how long to wait before the target is tried again.
// Only one goroutine at a time is here for one target.
func (d *Deliverer) deliverNext(ctx context.Context, t *target) (pause time.Duration, err error) {
	k, ok, err := d.head(t)
	if err != nil {
		return d.o.MaxDelay, err
	}
	if !ok {
		return 0, nil
	}
	items, err := d.o.Outbox.Next(k.before(), 1)
	if err != nil {
		return d.o.MaxDelay, err
	}
	if len(items) == 0 || items[0].Key != k {
		d.settle(t, k)
		return 0, nil
	}
	it := &items[0]
	age := time.Since(time.UnixMicro(it.Time))
	if t.failures > 0 {
		if reason := d.giveUp(it, age); reason != "" {
			d.dropped(t, it, reason, nil)
			return 0, d.finish(t, it)
		}
	}
	start := time.Now()
	failure := d.sendAny(ctx, t.name, requestID(it, t.name), it.Originator, it.Content)
	t.slow = time.Since(start) > slowAnswer
	switch {
	case failure == nil:
		t.failures = 0
		d.stats.delivered.Add(1)
		return 0, d.finish(t, it)
	case ctx.Err() != nil:
		return 0, nil
	case failure.refused:
		// The target is alive, so the next item gets its chance at once.
		t.failures = 0
		d.dropped(t, it, "refused", failure)
		return 0, d.finish(t, it)
	}
	t.failures++
	d.stats.failed.Add(1)
	pause = d.delay(t.failures)
	if failure.retryAfter > pause {
		pause = min(failure.retryAfter, d.o.MaxDelay)
	}
	d.o.Log.Debug("a notification was not delivered; it is tried again", "target", t.name,
		"subscription", it.Subscription, "failures", t.failures, "pause", pause, "err", failure)
	return pause, nil
}

// giveUp says why an item that a failing target has not got should not be tried again, "" when it should.
func (d *Deliverer) giveUp(it *Item, age time.Duration) string {
	switch {
	case age > d.o.MaxAge:
		return "too old"
	case it.Subscription != "" && !tellsOfDeletion(it.Content) && !d.o.Subscribed(it.Subscription):
		return "its subscription is gone"
	}
	return ""
}

// tellsOfDeletion says whether a notification is the last one of a subscription (sud, TS-0004 clause 7.5.1.2.4).
func tellsOfDeletion(content []byte) bool {
	return string(onem2m.Field(onem2m.Field(content, "m2m:sgn"), "sud")) == "true"
}

func (d *Deliverer) dropped(t *target, it *Item, reason string, err error) {
	d.stats.dropped.Add(1)
	d.o.Log.Warn("a notification was given up", "reason", reason, "target", t.name, "subscription", it.Subscription,
		"index", it.Key.Index, "n", it.Key.N, "err", err)
}

// finish settles an item for one target, and takes it from the outbox when it was the last target.
func (d *Deliverer) finish(t *target, it *Item) error {
	if !d.settle(t, it.Key, it.Targets...) {
		return nil
	}
	return d.o.Outbox.Done(it.Key)
}

// settle notes that a target is through with an item. It says whether all of the named targets are.
func (d *Deliverer) settle(t *target, k Key, targets ...string) (all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(t.keys) > 0 && t.keys[0] == k {
		t.keys = slices.Delete(t.keys, 0, 1)
	}
	for _, name := range targets {
		if other := d.targets[name]; other != nil && !other.handled(k) {
			return false
		}
	}
	return true
}

// head gives the first outstanding key of a target, read again from the outbox when memory has none.
func (d *Deliverer) head(t *target) (k Key, ok bool, err error) {
	for {
		if k, ok, left := d.known(t); ok || !left {
			return k, ok, nil
		}
		if err := d.refill(t); err != nil {
			return k, false, err
		}
	}
}

// known gives the first outstanding key that is in memory, and whether there may be more in the outbox.
func (d *Deliverer) known(t *target) (k Key, ok, left bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(t.keys) > 0 {
		return t.keys[0], true, true
	}
	return k, false, t.left
}

// refill looks through a batch of the outbox for items of a target that has no keys in memory. Only one target does
// so at a time, which bounds the memory that it takes.
func (d *Deliverer) refill(t *target) error {
	d.scan <- struct{}{}
	defer func() { <-d.scan }()
	d.mu.Lock()
	after, cursor := t.leftAfter, d.cursor
	d.mu.Unlock()
	items, err := d.o.Outbox.Next(after, readBatch)
	if err != nil {
		return err
	}
	end := len(items) < readBatch
	var found []Key
	for i := range items {
		if items[i].Key.Compare(cursor) > 0 {
			end = true
			break
		}
		if slices.Contains(items[i].Targets, t.name) {
			if len(found) == maxKeys {
				end = false
				break
			}
			found = append(found, items[i].Key)
		}
		after = items[i].Key
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t.keys = append(t.keys, found...)
	if end {
		// What the reader has passed on since then was not told to this target.
		t.left, after = d.cursor.Compare(cursor) > 0, cursor
	}
	t.leftAfter = after
	return nil
}
