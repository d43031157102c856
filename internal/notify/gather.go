package notify

import (
	"slices"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

// maxAggregated bounds the content of an aggregated notification, in bytes; a single longer notification still goes.
const maxAggregated = 512 << 10

// gather makes the parcel that the queue of a subscription has to deliver now, first being its oldest item. No parcel
// and no error mean that more is to come: the queue is tried again after pause (TS-0001 clause 10.2.10.7).
func (d *Deliverer) gather(q *queue, first *Item) (p *parcel, pause time.Duration, err error) {
	if err := d.fill(q); err != nil {
		return nil, d.o.MaxDelay, err
	}
	keys, batch, latest, left := d.gathered(q)
	if batch == nil && !latest {
		keys = keys[:1]
	}
	due := time.UnixMicro(first.Time)
	if batch != nil {
		due = due.Add(batch.Duration)
		if pause := d.await(q, time.Until(due)); pause > 0 {
			return nil, pause, nil
		}
	} else if latest && (left || len(keys) > 1) {
		// What the newest replaces never leaves.
		old := keys
		if !left {
			old = keys[:len(keys)-1]
		}
		d.stats.replaced.Add(uint64(len(old)))
		d.settle(q, len(old))
		return nil, 0, d.o.Outbox.Done(old...)
	}
	p = &parcel{first: first, due: due}
	var contents [][]byte
	size := 0
	for _, k := range keys {
		it := first
		if k != first.Key {
			if it, err = d.item(k); err != nil {
				return nil, d.o.MaxDelay, err
			}
		}
		if it != nil && it.Content != nil {
			if size += len(it.Content); size > maxAggregated && p.items > 0 && !latest {
				break
			}
			p.items++
			if latest {
				contents = contents[:0]
			}
			contents = append(contents, it.Content)
		}
		p.keys = append(p.keys, k)
	}
	switch {
	case len(contents) == 0:
		return nil, 0, d.finish(q, p)
	case batch == nil:
		p.content = contents[0]
	default:
		p.content = aggregate(contents)
	}
	return p, 0, nil
}

// gathered gives the keys that go together next, how they were gathered, and whether the outbox may have more.
func (d *Deliverer) gathered(q *queue) (keys []Key, batch *Batch, latest, left bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(q.keys)
	if q.batch != nil && q.batch.Number > 0 {
		n = min(n, q.batch.Number)
	}
	return slices.Clone(q.keys[:n]), q.batch, q.latest, q.left
}

// await says how long to wait for more of a batch, 0 when it is to be delivered.
func (d *Deliverer) await(q *queue, left time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if left <= 0 || q.complete() {
		return 0
	}
	q.gathering = true
	return left
}

// aggregate makes an aggregated notification of notifications {"m2m:sgn":{...}} (TS-0004 clause 7.5.1.1).
func aggregate(contents [][]byte) []byte {
	dst := []byte(`{"m2m:agn":{"m2m:sgn":[`)
	for i, c := range contents {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, onem2m.Field(c, "m2m:sgn")...)
	}
	return append(dst, ']', '}', '}')
}
