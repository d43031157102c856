// Package wsbinding carries oneM2M primitives over WebSocket connections (oneM2M TS-0020, published as ETSI TS 118 120):
// requests of clients, requests to clients over the connections that they opened, and requests to WebSocket servers
// elsewhere. It also takes the messages of plain devices, one after another over one connection. It knows no rights
// and decides nothing about resources.
//
// What the specification leaves open is decided as follows. A handshake without a supported subprotocol is refused with
// HTTP 400; names of subprotocols are compared without regard to case. A credential is shown once, in the handshake
// (Authorization: Bearer, or the parameter access_token of the query, for browsers), or in each request (tkns); it is
// checked again for each request, and a connection whose credential was revoked is closed with code 1008. Requests of a
// connection are executed at the same time and answered in the order in which they are done. A message that is larger
// than the limit closes the connection with code 1009. An answer is wrapped in m2m:rsp when the last message of the peer
// was wrapped, and a request to it likewise.
package wsbinding

import (
	"cmp"
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tallystick/tallystick/internal/binding"
)

// Limits unless Options say otherwise.
const (
	// DefaultMaxMessage is the largest message accepted, in bytes.
	DefaultMaxMessage = 1 << 20
	// DefaultMaxConnections is how many clients may be connected at a time.
	DefaultMaxConnections = 4096
	// DefaultMessageMemory is what messages over 4 KiB may take together while they are read and executed, in bytes.
	DefaultMessageMemory = 64 << 20
)

// The other limits: of one connection, and of all together.
const (
	maxWindow      = 4 << 20          // bytes of requests that are not yet answered
	minCost        = maxWindow / 256  // bytes that a request counts at least, so that 256 may be under way
	maxRetrieves   = 32               // RETRIEVE requests under way: their answers may be large
	maxAsked       = 256              // requests to the client that wait for its answer
	maxOriginators = 1024             // originators that one client speaks for
	maxUnwritten   = maxWindow        // bytes of requests to the client that it has not yet taken
	smallMessage   = 4 << 10          // bytes of a message that is read without a share of the message memory
	maxRefused     = 8                // requests without a valid credential, after which a stranger is hung up on
	maxSame        = 256              // connections with the same credential
	maxStrangers   = 256              // connections that have not shown a valid credential
	writeChunk     = 64 << 10         // bytes that are written at a time
	writeTimeout   = 10 * time.Second // for a client to take writeChunk
	answerMemory   = 16 << 20         // bytes of long messages of all servers that this node connected to
	memoryWait     = 10 * time.Second // for a share of the message memory
	messageTimeout = time.Minute      // from the first byte of a message to its last
	strangerTime   = 10 * time.Second // to show a valid credential
	pingInterval   = 30 * time.Second // of a connection on which nothing comes in
	silence        = 3 * pingInterval // after which a connection counts as dead
	farewellTime   = time.Second      // for a client to say goodbye when the node stops
	tickInterval   = time.Second      // how often connections are looked after
)

// Options of a binding. Handler is required.
type Options struct {
	// Handler executes requests. If it is a binding.Starter too, readings are started without a goroutine each and keep
	// their order; if it is a binding.Watcher, connections end with the credentials shown on them.
	Handler binding.Handler
	// Plain takes the messages of plain devices; nil when there is no such door. If it is a binding.PlainStarter too,
	// messages keep their order.
	Plain binding.Plain
	// Originator says whom a valid credential is for. Requests are sent to clients only as originators that it named, or
	// in a lab network as what they claimed when a request of theirs was executed.
	Originator func(ev binding.Evidence) (originator string, ok bool)
	// Arrived is told of every originator to which requests can be sent by a new connection. It must not wait. Nil tells
	// nobody.
	Arrived func(originator string)
	Log     *slog.Logger
	// RootCAs are the authorities that certificates of other servers must come from; those of the system when nil.
	RootCAs *x509.CertPool
	// From is the CSE-ID that handshakes to other servers carry as X-M2M-Origin, "" for none.
	From string
	// Release is the rvi of an answer to a message that had none, "4" when empty.
	Release string
	// Mobius admits the subprotocol onem2m.r2.0.json of Mobius and its clients, and offers it to servers.
	Mobius bool

	MaxMessage     int64 // DefaultMaxMessage when 0
	MaxConnections int   // DefaultMaxConnections when 0
	MessageMemory  int64 // DefaultMessageMemory when 0, never less than MaxMessage
}

// Binding serves WebSocket clients and is one. It is safe for concurrent use.
type Binding struct {
	o       Options
	starter binding.Starter     // nil when the handler is none
	watcher binding.Watcher     // nil when the handler is none
	memory  *semaphore.Weighted // of long messages of clients, in bytes
	answers *semaphore.Weighted // of long messages of other servers
	dialer  *http.Client
	clock   atomic.Int64 // ticks since the start, never 0

	running   sync.WaitGroup // connections and the keeper
	ctx       context.Context
	stop      context.CancelFunc
	strangers atomic.Int64

	mu      sync.Mutex
	closing bool
	conns   map[*conn]struct{}       // clients
	same    map[binding.Evidence]int // how many of them came with a credential, by what was shown
	peers   map[string][]*conn       // by originator, the newest connection last
	dialed  map[dialKey]*dialed
}

// New returns a binding. Close ends it.
func New(o Options) *Binding {
	o.MaxMessage = cmp.Or(o.MaxMessage, DefaultMaxMessage)
	o.MaxConnections = cmp.Or(o.MaxConnections, DefaultMaxConnections)
	o.MessageMemory = max(cmp.Or(o.MessageMemory, DefaultMessageMemory), o.MaxMessage)
	o.Release = cmp.Or(o.Release, "4")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Binding{
		o: o, memory: semaphore.NewWeighted(o.MessageMemory),
		answers: semaphore.NewWeighted(max(answerMemory, o.MaxMessage)), dialer: newDialer(o.RootCAs),
		conns: make(map[*conn]struct{}), same: make(map[binding.Evidence]int), peers: make(map[string][]*conn), dialed: make(map[dialKey]*dialed),
	}
	b.starter, _ = o.Handler.(binding.Starter)
	b.watcher, _ = o.Handler.(binding.Watcher)
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.clock.Store(1)
	b.running.Go(b.keep)
	return b
}

// Close ends all connections: those of clients when what is under way is answered, or when ctx ends. It returns when
// nothing of the binding is left running. Handshakes after it are refused.
func (b *Binding) Close(ctx context.Context) {
	b.mu.Lock()
	b.closing = true
	var all []*conn
	for c := range b.conns {
		all = append(all, c)
	}
	for _, d := range b.dialed {
		if d.conn != nil {
			all = append(all, d.conn)
		}
	}
	b.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() { c.leave(ctx) })
	}
	wg.Wait()
	b.stop()
	b.running.Wait()
	b.dialer.CloseIdleConnections()
}

// keep looks after the connections until the binding ends.
func (b *Binding) keep() {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			return
		}
		now := b.clock.Add(1)
		b.mu.Lock()
		all := make([]*conn, 0, len(b.conns)+len(b.dialed))
		for c := range b.conns {
			all = append(all, c)
		}
		for _, d := range b.dialed {
			if d.conn != nil {
				all = append(all, d.conn)
			}
		}
		b.mu.Unlock()
		for _, c := range all {
			c.lookAfter(now)
		}
		b.dropIdle(now)
	}
}

// ticks is a duration in ticks of the binding's clock.
func ticks(d time.Duration) int64 { return int64(d / tickInterval) }
