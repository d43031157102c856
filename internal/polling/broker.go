// Package polling hands requests to AEs and CSEs that cannot be reached but poll: the node's part of the
// <pollingChannelURI> (TS-0001 clauses 9.6.21, 9.6.22 and 10.2.5.13 to 10.2.5.15, TS-0004 clause 7.4.22.2).
//
// A request waits in memory, for as long as its sender waits, until the owner of the channel takes it by a poll and
// gives its response by a NOTIFY with the same request identifier. Nothing here is durable: notifications that nobody
// polls for stay in the outbox and are sent again.
package polling

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// Scheme is that of a polling channel's address; what follows "pch:" is the ID of its owner.
const Scheme = "pch"

// Bounds, so that neither senders nor pollers take much memory.
const (
	maxWaiting    = 64      // requests to one owner, taken ones that wait for their response included
	maxAllWaiting = 1 << 14 // requests to all owners
	maxPolls      = 4       // polls of one owner at a time
	maxAggregated = 32      // requests in one answer
	maxBytes      = 1 << 20 // their contents, the first not counted
)

// Errors of Poll, Answer and Send.
var (
	// ErrNothing means that no request came in time.
	ErrNothing = errors.New("no request came in time")
	// ErrTooManyPolls means that the owner polls often enough as it is.
	ErrTooManyPolls = errors.New("too many polls at a time")
	// ErrUnknown means that no request with that identifier waits for its response.
	ErrUnknown = errors.New("no request with this identifier waits for a response")
	errFull    = errors.New("too many requests wait for a poll")
	errClosed  = errors.New("the node is stopping")
)

// Options of a Broker.
type Options struct {
	// Arrived is told when an owner polls and nothing waits for it, so that what failed before is tried again now. It
	// must not block. Nil tells nobody.
	Arrived func(owner string)
}

// Broker is where senders and pollers meet. It is safe for concurrent use.
type Broker struct {
	o Options

	mu      sync.Mutex
	owners  map[string]*channel
	waiting int
	closed  chan struct{}
}

// channel is what waits of one owner. It exists only while something does.
type channel struct {
	requests []*request // in the order in which they came; taken ones too
	polls    int
	came     chan struct{} // closed when a request came, and made anew
}

// request is one that waits to be taken, and then for its response.
type request struct {
	req    *onem2m.Request
	taken  bool
	answer chan *onem2m.Response // holds one
}

var _ binding.Client = (*Broker)(nil)

// New returns a broker.
func New(o Options) *Broker {
	if o.Arrived == nil {
		o.Arrived = func(string) {}
	}
	return &Broker{o: o, owners: make(map[string]*channel), closed: make(chan struct{})}
}

// Close ends all polls and all waits. Later ones end at once.
func (b *Broker) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
}

// channelOf gives the channel of an owner; mu is held.
func (b *Broker) channelOf(owner string) *channel {
	c := b.owners[owner]
	if c == nil {
		c = &channel{came: make(chan struct{})}
		b.owners[owner] = c
	}
	return c
}

// tidy forgets a channel at which nothing waits; mu is held.
func (b *Broker) tidy(owner string, c *channel) {
	if c.polls == 0 && len(c.requests) == 0 {
		delete(b.owners, owner)
	}
}

// Send implements binding.Client for addresses "pch:<owner>". A request without a target is sent to the owner, and one
// that does not say when it expires does so when ctx ends.
func (b *Broker) Send(ctx context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
	owner, ok := strings.CutPrefix(to.URL, Scheme+":")
	if !ok || owner == "" {
		return nil, errors.New("the address names no polling channel")
	}
	sent := *req
	if sent.To == "" {
		sent.To = owner
	}
	if deadline, ok := ctx.Deadline(); ok && sent.RequestExpiration == "" {
		sent.RequestExpiration = onem2m.FormatTime(deadline.UnixMicro())
	}
	r := &request{req: &sent, answer: make(chan *onem2m.Response, 1)}
	if err := b.enqueue(owner, r); err != nil {
		return nil, err
	}
	defer b.dequeue(owner, r)
	select {
	case rsp := <-r.answer:
		return rsp, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-b.closed:
		return nil, errClosed
	}
}

func (b *Broker) enqueue(owner string, r *request) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.channelOf(owner)
	if len(c.requests) >= maxWaiting || b.waiting >= maxAllWaiting {
		b.tidy(owner, c)
		return errFull
	}
	c.requests = append(c.requests, r)
	b.waiting++
	close(c.came)
	c.came = make(chan struct{})
	return nil
}

func (b *Broker) dequeue(owner string, r *request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.owners[owner]
	c.requests = slices.DeleteFunc(c.requests, func(other *request) bool { return other == r })
	b.waiting--
	b.tidy(owner, c)
}

// Poll waits until requests to an owner are there, until ctx ends at most, and takes one, or all that fit into one
// answer when aggregate is set (requestAggregation). The requests must not be changed.
func (b *Broker) Poll(ctx context.Context, owner string, aggregate bool) ([]*onem2m.Request, error) {
	b.mu.Lock()
	c := b.channelOf(owner)
	if c.polls >= maxPolls {
		b.mu.Unlock()
		return nil, ErrTooManyPolls
	}
	c.polls++
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		c.polls--
		b.tidy(owner, c)
		b.mu.Unlock()
	}()
	told := false
	for {
		b.mu.Lock()
		got, came := c.take(aggregate), c.came
		b.mu.Unlock()
		if len(got) > 0 {
			return got, nil
		}
		if !told {
			told = true
			b.o.Arrived(owner)
		}
		select {
		case <-came:
		case <-ctx.Done():
			return nil, ErrNothing
		case <-b.closed:
			return nil, errClosed
		}
		if aggregate {
			// What failed before is sent again by several goroutines at the same moment.
			gather(ctx)
		}
	}
}

// gathering is how long a poll that may take many requests waits for those that come with the first one.
const gathering = 10 * time.Millisecond

func gather(ctx context.Context) {
	timer := time.NewTimer(gathering)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// take marks the first request, or more, as taken and gives them.
func (c *channel) take(aggregate bool) []*onem2m.Request {
	var got []*onem2m.Request
	size := 0
	for _, r := range c.requests {
		if r.taken {
			continue
		}
		size += len(r.req.Content)
		if len(got) > 0 && (!aggregate || len(got) == maxAggregated || size > maxBytes) {
			break
		}
		r.taken = true
		got = append(got, r.req)
	}
	return got
}

// Answer hands on the response to a request that its owner took by a poll.
func (b *Broker) Answer(owner string, rsp *onem2m.Response) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.owners[owner]; c != nil {
		for _, r := range c.requests {
			if r.taken && r.req.RequestID == rsp.RequestID && len(r.answer) == 0 {
				r.answer <- rsp
				return nil
			}
		}
	}
	return ErrUnknown
}
