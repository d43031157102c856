package notify

import (
	"context"
	"slices"
	"time"
)

const (
	// maxKeys bounds what is kept in memory of a queue, and maxGathered of one whose items are gathered: that many
	// notifications are delivered together at most. Keys beyond it stay in the outbox only.
	maxKeys     = 64
	maxGathered = 1024
	// slowAnswer is how long a target may take and still count as a healthy one.
	slowAnswer = time.Second
)

// place names a queue. Items that are gathered, of which the newest counts, or that may go only so often, wait in queues
// of their own subscription; all others of a target in one.
type place struct{ target, subscription string }

func placeOf(it *Item) place {
	if it.Batch == nil && it.Rate == nil && !it.Latest && it.Content != nil {
		return place{target: it.Target}
	}
	return place{it.Target, it.Subscription}
}

// queue is what a target has to get. An empty one is forgotten; so a queue that is not known has nothing up to the
// cursor.
type queue struct {
	place
	keys []Key // outstanding, ascending
	// left says that there may be more outstanding items, all after leftAfter, that did not fit into keys.
	left      bool
	leftAfter Key
	waiting   int  // items that came and are not done with
	behind    bool // so many wait that some were given up
	bytes     int  // of the contents that came since the last delivery
	// How the items are gathered, as the newest of them says, and the key up to which they are to go at once.
	batch  *Batch
	rate   *Rate
	latest bool
	end    Key
	// windowEnd is when the time window of the rate ends, and sent are the requests in it.
	windowEnd time.Time
	sent      int

	entity    string // of the target, when it was last resolved
	failures  int    // in a row
	slow      bool
	lane      int         // healthyLane or suspectLane while it is tried
	timer     *time.Timer // until it is tried again, nil while it is tried or ready
	gathering bool        // the pause is for more to come
	idle      bool        // it is empty, and only kept until windowEnd
	woken     bool        // Wake came while it was tried
}

const (
	healthyLane = 0
	suspectLane = 1
)

// capacity is how many keys of the queue are kept in memory.
func (q *queue) capacity() int {
	if q.subscription != "" {
		return maxGathered
	}
	return maxKeys
}

// complete says whether there is no need to wait for more of a batch.
func (q *queue) complete() bool {
	return q.batch == nil || q.left || len(q.keys) >= maxGathered || q.bytes >= maxAggregated || q.batch.Number > 0 && len(q.keys) >= q.batch.Number ||
		len(q.keys) > 0 && q.keys[0].Compare(q.end) <= 0
}

// fifo is a list of queues that take turns.
type fifo struct {
	list []*queue
	head int
}

func (f *fifo) push(q *queue) { f.list = append(f.list, q) }

func (f *fifo) empty() bool { return f.head == len(f.list) }

func (f *fifo) pop() *queue {
	if f.empty() {
		f.list, f.head = f.list[:0], 0
		return nil
	}
	q := f.list[f.head]
	f.list[f.head] = nil
	f.head++
	if f.head > 64 && f.head > len(f.list)/2 {
		f.list, f.head = slices.Delete(f.list, 0, f.head), 0
	}
	return q
}

// add puts an item into its queue, or says that it is given up: a target that takes nothing for a long time must not fill
// the disk. What replaces others, or ends something, always has its place. d.mu is held.
func (d *Deliverer) add(ctx context.Context, it *Item) bool {
	at := placeOf(it)
	q := d.queues[at]
	fresh := q == nil
	if fresh {
		q = &queue{place: at}
		d.queues[at] = q
	}
	if q.waiting >= d.o.Backlog && !it.Latest && it.Content != nil && !tellsOfDeletion(it.Content) {
		if !q.behind {
			q.behind = true
			d.o.Log.Warn("a target is so far behind that notifications for it are given up", "target", redacted(it.Target), "waiting", q.waiting)
		}
		return false
	}
	q.waiting++
	if it.Content == nil {
		q.end = it.Key
	} else {
		q.batch, q.rate, q.latest = it.Batch, it.Rate, it.Latest
		q.bytes += len(it.Content)
	}
	switch {
	case q.left:
	case len(q.keys) < q.capacity():
		q.keys = append(q.keys, it.Key)
	default:
		q.left, q.leftAfter = true, q.keys[len(q.keys)-1]
	}
	if fresh {
		d.enqueue(ctx, q)
	} else if q.idle || q.gathering && q.complete() {
		q.resume()
	}
	return true
}

// resume ends the pause of a queue.
func (q *queue) resume() {
	if q.timer != nil && q.timer.Stop() {
		q.timer.Reset(0)
	}
}

// enqueue makes a queue ready to be tried. d.mu is held.
func (d *Deliverer) enqueue(ctx context.Context, q *queue) {
	q.timer, q.gathering, q.idle, q.woken = nil, false, false, false
	q.lane = healthyLane
	if q.failures > 0 || q.slow {
		q.lane = suspectLane
	}
	d.ready[q.lane].push(q)
	d.dispatch(ctx)
}

// dispatch starts as many deliveries as may run. Slow and failing targets get half of the places at most, so they can
// never keep the healthy ones waiting. d.mu is held.
func (d *Deliverer) dispatch(ctx context.Context) {
	for lane, limit := range [2]int{d.o.Concurrency, d.o.Concurrency / 2} {
		for !d.stopped && d.active[0]+d.active[1] < d.o.Concurrency && d.active[lane] < limit {
			q := d.ready[lane].pop()
			if q == nil {
				break
			}
			d.active[lane]++
			d.delivery.Go(func() { d.serve(ctx, q) })
		}
	}
}

// serve tries what is first in a queue, then makes room for another queue.
func (d *Deliverer) serve(ctx context.Context, q *queue) {
	pause, err := d.deliverNext(ctx, q)
	if err != nil && ctx.Err() == nil {
		d.o.Log.Error("the outbox of notifications cannot be used; the target is tried again", "target", redacted(q.target), "err", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active[q.lane]--
	switch {
	case d.stopped || ctx.Err() != nil:
		return
	case len(q.keys) == 0 && !q.left:
		if rest := time.Until(q.windowEnd); rest > 0 {
			q.idle = true
			d.pause(ctx, q, rest)
		} else {
			delete(d.queues, q.place)
		}
	case pause > 0 && !q.woken && !(q.gathering && q.complete()):
		d.pause(ctx, q, pause)
	default:
		d.enqueue(ctx, q)
	}
	d.dispatch(ctx)
}

// pause makes a queue ready after some time. d.mu is held.
func (d *Deliverer) pause(ctx context.Context, q *queue, pause time.Duration) {
	q.timer = time.AfterFunc(pause, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.stopped {
			d.enqueue(ctx, q)
		}
	})
}

// Wake tries at once what an entity, an AE or a CSE by its ID, has outstanding: it can be reached again. It is no error
// when there is nothing.
func (d *Deliverer) Wake(entity string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range d.queues {
		switch {
		case q.entity != entity:
		case q.timer == nil: // it is being tried, and the rest of it belongs to who tries it
			q.woken = true
		case q.failures > 0:
			q.resume()
		}
	}
}

// head gives the first outstanding key of a queue, read again from the outbox when memory has none.
func (d *Deliverer) head(q *queue) (k Key, ok bool, err error) {
	for {
		if k, ok, left := d.known(q); ok || !left {
			return k, ok, nil
		}
		if err := d.refill(q); err != nil {
			return k, false, err
		}
	}
}

// known gives the first outstanding key that is in memory, and whether there may be more in the outbox.
func (d *Deliverer) known(q *queue) (k Key, ok, left bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(q.keys) > 0 {
		return q.keys[0], true, true
	}
	return k, false, q.left
}

// fill reads keys of a queue from the outbox until memory has all that it may have.
func (d *Deliverer) fill(q *queue) error {
	for {
		d.mu.Lock()
		enough := !q.left || len(q.keys) == q.capacity()
		d.mu.Unlock()
		if enough {
			return nil
		}
		if err := d.refill(q); err != nil {
			return err
		}
	}
}

// refill looks through a part of the outbox for more items of a queue. Only one queue does so at a time, which bounds
// the memory that it takes.
func (d *Deliverer) refill(q *queue) error {
	d.scan <- struct{}{}
	defer func() { <-d.scan }()
	d.mu.Lock()
	after, cursor := q.leftAfter, d.cursor
	room := q.capacity() - len(q.keys)
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
		if placeOf(&items[i]) == q.place {
			if len(found) == room {
				end = false
				break
			}
			found = append(found, items[i].Key)
		}
		after = items[i].Key
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	q.keys = append(q.keys, found...)
	if end {
		// What the reader has passed on since then was not told to this queue.
		q.left, after = d.cursor.Compare(cursor) > 0, cursor
	}
	q.leftAfter = after
	return nil
}
