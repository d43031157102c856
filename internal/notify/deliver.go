package notify

import (
	"context"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

// parcel is what one request delivers: one notification, or several of one subscription.
type parcel struct {
	keys    []Key // taken from the queue when the parcel is done with
	items   int   // notifications that it stands for
	first   *Item // the oldest of them
	content []byte
	// due is when its time began: that of the first item, or the end of the time for gathering.
	due time.Time
	// tells says that it has to reach the target even when its subscription is gone.
	tells bool
}

// id is the request identifier of a parcel, the same each time the same notifications are sent.
func (p *parcel) id() string {
	b := append(make([]byte, 0, 48), "ntf-"...)
	b = appendKey(b, p.keys[0])
	if last := p.keys[len(p.keys)-1]; last != p.keys[0] {
		b = appendKey(append(b, '-'), last)
	}
	return string(b)
}

func appendKey(b []byte, k Key) []byte {
	b = strconv.AppendUint(b, k.Index, 10)
	return strconv.AppendUint(append(b, '-'), uint64(k.N), 10)
}

// deliverNext delivers what is first in a queue, and says how long to wait before the queue is tried again.
// Only one goroutine at a time is here for one queue.
func (d *Deliverer) deliverNext(ctx context.Context, q *queue) (pause time.Duration, err error) {
	k, ok, err := d.head(q)
	if err != nil {
		return d.o.MaxDelay, err
	}
	if !ok {
		return 0, nil
	}
	it, err := d.item(k)
	if err != nil {
		return d.o.MaxDelay, err
	}
	if it == nil {
		d.settle(q, 1)
		return 0, nil
	}
	p := &parcel{keys: []Key{k}, items: 1, first: it, content: it.Content, due: time.UnixMicro(it.Time), tells: tellsOfDeletion(it.Content)}
	if q.subscription != "" {
		if p, pause, err = d.gather(q, it); p == nil || err != nil {
			return pause, err
		}
	}
	if pause := d.allow(q); pause > 0 {
		return pause, nil
	}
	return d.try(ctx, q, p)
}

// allow says how long a queue has to wait before its target may get one more request, 0 when it may now, which counts.
func (d *Deliverer) allow(q *queue) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q.rate == nil {
		q.windowEnd = time.Time{}
		return 0
	}
	now := time.Now()
	if !now.Before(q.windowEnd) {
		q.windowEnd, q.sent = now.Add(q.rate.Window), 0
	}
	if q.sent >= q.rate.Number {
		return q.windowEnd.Sub(now)
	}
	q.sent++
	return 0
}

// item reads one item, nil when the outbox does not have it any more.
func (d *Deliverer) item(k Key) (*Item, error) {
	items, err := d.o.Outbox.Next(k.before(), 1)
	if err != nil || len(items) == 0 || items[0].Key != k {
		return nil, err
	}
	return &items[0], nil
}

// try sends a parcel once.
func (d *Deliverer) try(ctx context.Context, q *queue, p *parcel) (pause time.Duration, err error) {
	if q.failures > 0 {
		if reason := d.giveUp(p); reason != "" {
			d.dropped(q, p, reason, nil)
			return 0, d.finish(q, p)
		}
	}
	req := &onem2m.Request{
		Operation: onem2m.Notify, From: p.first.Originator, RequestID: p.id(), Content: p.content,
		EventCategory: p.first.Category, ResultContent: onem2m.ResultContentDefault,
	}
	start := time.Now()
	failure := d.notify(ctx, q, req)
	q.slow = time.Since(start) > slowAnswer
	d.count(p, failure, ctx.Err() != nil)
	switch {
	case failure == nil:
		q.failures = 0
		d.stats.delivered.Add(uint64(p.items))
		return 0, d.finish(q, p)
	case ctx.Err() != nil:
		return 0, nil
	case failure.refused:
		// The target is alive, so what follows gets its chance at once.
		q.failures = 0
		d.dropped(q, p, "refused", failure)
		return 0, d.finish(q, p)
	}
	q.failures++
	d.stats.failed.Add(1)
	pause = d.delay(q.failures)
	if failure.retryAfter > pause {
		pause = min(failure.retryAfter, d.o.MaxDelay)
	}
	d.o.Log.Debug("a notification was not delivered; it is tried again", "target", redacted(q.target),
		"subscription", p.first.Subscription, "failures", q.failures, "pause", pause, "err", failure)
	return pause, nil
}

// notify sends the NOTIFY request of a parcel to the target of a queue.
func (d *Deliverer) notify(ctx context.Context, q *queue, req *onem2m.Request) *sendError {
	route := d.o.Resolve(q.target)
	d.mu.Lock()
	q.entity = route.Entity
	d.mu.Unlock()
	rsp, failure := d.exchange(ctx, q.target, route, req, false)
	if failure == nil {
		failure = refusal(rsp, q.target)
	}
	return failure
}

// count tells of a request that was sent and of the response to it. An aggregated notification counts as the
// notifications in it.
func (d *Deliverer) count(p *parcel, failure *sendError, interrupted bool) {
	if !p.first.Counted || interrupted || failure != nil && !failure.sent {
		return
	}
	answered := 0
	if failure == nil || failure.answer != 0 {
		answered = p.items
	}
	d.o.Count(p.first.Subscription, p.first.Target, p.items, answered)
}

// giveUp says why a parcel that a failing target has not got should not be tried again, "" when it should.
func (d *Deliverer) giveUp(p *parcel) string {
	switch {
	case time.Since(p.due) > d.o.MaxAge:
		return "too old"
	case p.first.Subscription != "" && !p.tells && !d.o.Subscribed(p.first.Subscription):
		return "its subscription is gone"
	}
	return ""
}

// tellsOfDeletion says whether a notification is the last one of a subscription (sud, TS-0004 clause 7.5.1.2.4).
func tellsOfDeletion(content []byte) bool {
	return string(onem2m.Field(onem2m.Field(content, "m2m:sgn"), "sud")) == "true"
}

func (d *Deliverer) dropped(q *queue, p *parcel, reason string, err error) {
	d.stats.dropped.Add(uint64(p.items))
	d.o.Log.Warn("a notification was given up", "reason", reason, "target", redacted(q.target),
		"subscription", p.first.Subscription, "index", p.keys[0].Index, "n", p.keys[0].N, "notifications", p.items, "err", err)
}

// finish takes a parcel from its queue and from the outbox.
func (d *Deliverer) finish(q *queue, p *parcel) error {
	d.settle(q, len(p.keys))
	return d.o.Outbox.Done(p.keys...)
}

// settle takes the first n keys from a queue.
func (d *Deliverer) settle(q *queue, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q.keys, q.bytes = append(q.keys[:0], q.keys[n:]...), 0
	if q.waiting -= n; q.waiting < d.o.Backlog/2 {
		q.behind = false
	}
}
