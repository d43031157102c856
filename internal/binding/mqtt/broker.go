// Package mqttbinding is the MQTT binding: an embedded broker (MQTT 3.1.1 and 5.0) over which oneM2M primitives travel
// (TS-0010), and to which plain devices publish. The broker keeps no messages of its own: what a device publishes is
// stored by the ledger, and what a subscriber gets is read from there, whatever protocol it came by.
package mqttbinding

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// Handler is what the broker hands requests to.
type Handler interface {
	binding.Handler
	binding.Watcher
	// Claim returns the originator that the holder of the credential shown speaks for. It is false when that is no valid
	// credential, or claimed, unless empty, is another originator. In a lab network who shows nothing is
	// who he claims to be.
	Claim(ev binding.Evidence, claimed string) (originator string, ok bool)
}

// Options of a broker. Bounds that are zero have the default.
type Options struct {
	Handler Handler
	Plain   binding.Plain
	Live    binding.Live
	// CSEID is the CSE-ID of this CSE with its leading slash, CSEName the resource name of its CSEBase: topics may
	// name either as receiver.
	CSEID, CSEName string
	// Remembered gives the last messages of a session that the ledger remembers, at most n, oldest first. Nil means none.
	Remembered func(originator string, session [8]byte, n int) ([]onem2m.Delivery, error)
	// Dir is the folder where sessions survive a restart.
	Dir string
	Log *slog.Logger
	// NoPassword says whether a password counts as none. Nil means that only an empty one does.
	NoPassword func(password string) bool

	// MaxPacket bounds packets, in bytes. Default 1 MiB and what topic and properties take.
	MaxPacket int
	// MaxConnections bounds clients connected at a time. Default 20000.
	MaxConnections int
	// MaxSessions bounds sessions, connected or not. Default 50000.
	MaxSessions int
	// ConnectTimeout bounds the wait for CONNECT. Default 10 s.
	ConnectTimeout time.Duration
}

// Bounds without an option.
const (
	maxInFlight      = 512      // publishes of a connection that are not acknowledged
	maxInFlightBytes = 4 << 20  // their bytes
	maxMemory        = 64 << 20 // bytes of all packets under way
	maxMemoryOf      = 16 << 20 // of one originator
	maxControl       = 64 << 10 // bytes of a packet that is no PUBLISH
	smallControl     = 256      // bytes of one that are not accounted for
	maxTopicAlias    = 16
	maxStrangers     = 2048 // connections that have not sent CONNECT
	maxStrangersOf   = 512  // of them from one IP address
	maxQueue         = 1024 // messages that wait for one session
	maxQueueBytes    = 2 << 20
	maxOut           = 1 << 20 // bytes that wait to be written to one connection, live data not counted
	packetCost       = 64      // of them for a packet besides its own
	maxWindow        = 128     // messages of QoS 1 sent to a client and not acknowledged
	maxSentBytes     = 1 << 19 // their bytes
	maxSubscriptions = 256     // of a session
	maxSubLevels     = 1024    // of their filters together
	maxAway          = 1000    // sessions of an originator that wait for their client
	maxExpiry        = 7 * 24 * time.Hour
	packetDeadline   = 30 * time.Second // to read or write one packet
	goodbyeTime      = 2 * time.Second  // to write what is left when a connection ends
)

// Broker is the embedded broker. It is safe for concurrent use.
type Broker struct {
	o      Options
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	memory memory
	store  store

	mu        sync.RWMutex // guards what follows
	sessions  map[sessionKey]*session
	away      map[string]int // sessions that wait for their client, by originator
	conns     map[*conn]struct{}
	strangers int
	// strangersOf are the strangers by IP address, of IPv6 by /64: one machine cannot keep all others out.
	strangersOf map[string]int
	listeners   []net.Listener
	closed      bool

	subs   sync.RWMutex // guards the trie
	trie   trie
	feed   feed
	retain retained
	blame  blame
	calls  calls

	epoch   atomic.Uint64 // changes whenever rights may have changed
	moved   atomic.Uint64 // changes whenever what saveMoving saves may have
	running sync.WaitGroup
}

// New returns a broker with the sessions that Dir keeps. Close must be called.
func New(o Options) (*Broker, error) {
	if o.MaxPacket == 0 {
		o.MaxPacket = 1<<20 + 64<<10
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 20000
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = 50000
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 10 * time.Second
	}
	b := &Broker{
		o: o, memory: newMemory(), sessions: make(map[sessionKey]*session), away: make(map[string]int),
		conns: make(map[*conn]struct{}), strangersOf: make(map[string]int),
	}
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.feed.broker, b.feed.replay = b, make(chan struct{}, replayersMax)
	b.feed.position.Store(o.Live.Head())
	b.store.dir = o.Dir
	if err := b.load(); err != nil {
		b.stop()
		return nil, fmt.Errorf("read the sessions of MQTT clients: %w", err)
	}
	b.running.Go(b.feed.run)
	b.running.Go(b.housekeep)
	return b, nil
}

// Serve accepts connections until the listener or the broker is closed; then it returns nil.
func (b *Broker) Serve(l net.Listener) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return l.Close()
	}
	b.listeners = append(b.listeners, l)
	b.mu.Unlock()
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			b.accept(c)
		case b.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		default: // such as too many open files: the next may fare better
			b.o.Log.Warn("accept an MQTT connection", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-b.ctx.Done():
				return nil
			}
		}
	}
}

// accept serves a connection in the background, unless there are too many.
func (b *Broker) accept(nc net.Conn) {
	ip := remoteIP(nc)
	site := siteOf(ip)
	b.mu.Lock()
	full := b.closed || b.strangers >= maxStrangers || b.strangersOf[site] >= maxStrangersOf || len(b.conns) >= b.o.MaxConnections+maxStrangers
	c := &conn{broker: b, net: nc, ip: ip}
	if !full {
		b.strangers++
		b.strangersOf[site]++
		b.conns[c] = struct{}{}
		b.running.Add(1)
	}
	b.mu.Unlock()
	if full {
		nc.Close()
		return
	}
	go func() {
		defer b.running.Done()
		c.serve()
		b.mu.Lock()
		delete(b.conns, c)
		b.mu.Unlock()
	}()
}

// Close ends all connections, keeps the sessions, and waits for what runs.
func (b *Broker) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	for _, l := range b.listeners {
		l.Close()
	}
	conns := make([]*conn, 0, len(b.conns))
	for c := range b.conns {
		conns = append(conns, c)
	}
	b.mu.Unlock()
	for _, c := range conns {
		c.disconnect(codeShuttingDown)
	}
	b.stop()
	b.running.Wait()
	for _, c := range conns { // a writer may be asking for rights
		for end := time.Now().Add(2 * goodbyeTime); !c.written() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	return b.store.saveMoving(b)
}

// background runs f, for whose end Close waits, unless the broker is closed.
func (b *Broker) background(f func()) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.closed {
		b.running.Go(f)
	}
}

// housekeep does what time calls for, every second: sessions nobody came back for expire, and positions are saved.
func (b *Broker) housekeep() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case now := <-tick.C:
			b.observe()
			b.expire(now)
			b.blame.forget(now)
			if err := b.store.saveSometimes(b, now); err != nil {
				b.o.Log.Warn("save the positions of MQTT sessions", "error", err)
			}
		}
	}
}

// expire removes the sessions whose time is over.
func (b *Broker) expire(now time.Time) {
	var over []*session
	b.mu.RLock()
	for _, s := range b.sessions {
		if s.over(now) {
			over = append(over, s)
		}
	}
	b.mu.RUnlock()
	for _, s := range over {
		b.discardIfOver(s, now)
	}
}

func newClientID() string {
	var id [16]byte
	rand.Read(id[:])
	return "auto-" + hex.EncodeToString(id[:])
}
