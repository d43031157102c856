package guard

import (
	"sync"
	"sync/atomic"
)

// actor is what a guard knows of one originator: some 400 bytes.
type actor struct {
	underWay atomic.Int64
	room     atomic.Pointer[chan struct{}] // wakes one of those that wait for a place
	open     atomic.Int64                  // connections

	mu                             sync.Mutex
	messages, bytes, subscriptions bucket
	slowUntil                      int64 // the policy throttles it until then, Unix nanoseconds
	behaviour
}

func (a *actor) waiting() <-chan struct{} {
	if c := a.room.Load(); c != nil {
		return *c
	}
	c := make(chan struct{}, 1)
	a.room.CompareAndSwap(nil, &c)
	return *a.room.Load()
}

func (a *actor) wake() {
	if c := a.room.Load(); c != nil {
		select {
		case *c <- struct{}{}:
		default:
		}
	}
}

// Connect counts an open connection of an originator. It is false when there are too many; else the connection is to be
// given back by release, once.
func (g *Guard) Connect(originator string) (release func(), ok bool) {
	a := g.actor(originator)
	if n := a.open.Add(1); n > int64(g.o.Quotas.Connections) {
		a.open.Add(-1)
		return nil, false
	}
	return sync.OnceFunc(func() { a.open.Add(-1) }), true
}
