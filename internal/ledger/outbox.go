package ledger

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/notify"
)

// Notifications wait in the tree, written in the same batch as the block that calls for them, until they are
// delivered. The outbox is each node's own and no part of what nodes agree on.
const localOutbox = "outbox/"

type outboxRecord struct {
	Subscription string `json:"sub"`
	Target       string `json:"nu"`
	Content      []byte `json:"sgn"`
	Originator   string `json:"fr"`
	Time         int64  `json:"time"`
	// What follows is left out when it has its zero value, as records from before it was there do.
	Category string       `json:"ec,omitempty"`
	Batch    *batchRecord `json:"bn,omitempty"`
	Rate     *batchRecord `json:"rl,omitempty"`
	Latest   bool         `json:"ln,omitempty"`
	Counted  bool         `json:"nse,omitempty"`
}

// batchRecord is how a notification is gathered with others, within which latest applies, or how often one may be sent.
type batchRecord struct {
	Number   int64 `json:"num,omitempty"`
	Duration int64 `json:"dur"` // microseconds
}

func outboxKey(index uint64, n uint32) string {
	b := binary.BigEndian.AppendUint64([]byte(localOutbox), index)
	return string(binary.BigEndian.AppendUint32(b, n))
}

// post puts the block's notifications into the outbox, one a target, so that each is done with by itself.
func (b *building) post() error {
	n, index := uint32(0), uint64(0)
	for i := range b.events {
		e := &b.events[i]
		if e.index != index {
			n, index = 0, e.index
		}
		if err := b.countEvent(e); err != nil {
			return err
		}
		for _, target := range e.Targets {
			r := outboxRecord{
				Subscription: e.Subscription, Target: target, Content: e.Content, Originator: e.Originator, Time: b.time,
				Category: e.Category, Latest: e.Latest, Counted: e.Statistics == cse.Counted,
			}
			if e.Batch != nil {
				r.Batch = &batchRecord{e.Batch.Number, e.Batch.Duration}
			}
			if e.Rate != nil {
				r.Rate = &batchRecord{e.Rate.Number, e.Rate.Window}
			}
			v, err := json.Marshal(r)
			if err != nil {
				return err
			}
			b.state.SetLocal(outboxKey(e.index, n), v)
			n++
		}
	}
	return nil
}

// Outbox returns the node's notifications to deliver.
func (a *App) Outbox() notify.Outbox { return outbox{a} }

type outbox struct{ a *App }

func (o outbox) Next(after notify.Key, max int) ([]notify.Item, error) {
	var items []notify.Item
	start := outboxKey(after.Index, after.N) + "\x00"
	if after == (notify.Key{}) {
		start = localOutbox
	}
	for l, err := range o.a.tree.LocalsFrom(start, localOutbox) {
		if err != nil {
			return nil, fmt.Errorf("read the outbox: %w", err)
		}
		if len(items) == max {
			break
		}
		var r outboxRecord
		if err := json.Unmarshal(l.Value, &r); err != nil {
			return nil, fmt.Errorf("read the outbox: %w", err)
		}
		items = append(items, r.item(parseOutboxKey(l.Key)))
	}
	return items, nil
}

func (r *outboxRecord) item(k notify.Key) notify.Item {
	it := notify.Item{
		Key: k, Subscription: r.Subscription, Target: r.Target, Content: r.Content, Originator: r.Originator,
		Time: r.Time, Category: r.Category, Latest: r.Latest, Counted: r.Counted,
	}
	if r.Batch != nil {
		it.Batch = &notify.Batch{Number: r.Batch.number(), Duration: r.Batch.duration()}
	}
	if r.Rate != nil {
		it.Rate = &notify.Rate{Number: r.Rate.number(), Window: r.Rate.duration()}
	}
	return it
}

func (r *batchRecord) number() int { return int(min(r.Number, math.MaxInt32)) }

// duration is the duration, or else one of centuries, which is as good as any that is beyond all clocks.
func (r *batchRecord) duration() time.Duration {
	return time.Duration(min(r.Duration, int64(math.MaxInt64/time.Microsecond))) * time.Microsecond
}

func parseOutboxKey(k string) notify.Key {
	b := []byte(k[len(localOutbox):])
	return notify.Key{Index: binary.BigEndian.Uint64(b), N: binary.BigEndian.Uint32(b[8:])}
}

func (o outbox) Done(keys ...notify.Key) error {
	for _, k := range keys {
		if err := o.a.tree.SetLocal(outboxKey(k.Index, k.N), nil); err != nil {
			return fmt.Errorf("take a delivered notification from the outbox: %w", err)
		}
	}
	return nil
}

func (o outbox) Wait(ctx context.Context, after notify.Key) error {
	for {
		grown := o.a.grown.wait()
		items, err := o.Next(after, 1)
		if err != nil || len(items) > 0 {
			return err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
