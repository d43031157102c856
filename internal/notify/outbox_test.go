package notify_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/notify"
)

// memoryOutbox is an Outbox that survives a "restart" of the Deliverer, as the ledger's does.
type memoryOutbox struct {
	mu    sync.Mutex
	items []notify.Item
	grown chan struct{}
	fail  error // returned by Next and Done while set
	delay time.Duration
}

func newOutbox() *memoryOutbox { return &memoryOutbox{grown: make(chan struct{})} }

func (o *memoryOutbox) add(items ...notify.Item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.items = append(o.items, items...)
	close(o.grown)
	o.grown = make(chan struct{})
}

func (o *memoryOutbox) setFailure(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = err
}

func (o *memoryOutbox) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items)
}

func (o *memoryOutbox) after(k notify.Key) []notify.Item {
	if k == (notify.Key{}) {
		return o.items
	}
	i, found := slices.BinarySearchFunc(o.items, k, func(it notify.Item, k notify.Key) int { return it.Key.Compare(k) })
	if found {
		i++
	}
	return o.items[i:]
}

func (o *memoryOutbox) Next(after notify.Key, max int) ([]notify.Item, error) {
	defer time.Sleep(o.delay) // what is returned is already out of date
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return nil, o.fail
	}
	rest := o.after(after)
	return slices.Clone(rest[:min(max, len(rest))]), nil
}

func (o *memoryOutbox) Done(keys ...notify.Key) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return o.fail
	}
	o.items = slices.DeleteFunc(o.items, func(it notify.Item) bool { return slices.Contains(keys, it.Key) })
	return nil
}

func (o *memoryOutbox) Wait(ctx context.Context, after notify.Key) error {
	for {
		o.mu.Lock()
		grown, some := o.grown, len(o.after(after)) > 0
		o.mu.Unlock()
		if some {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
