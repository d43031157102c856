// Package coapbinding turns CoAP requests into oneM2M request primitives and response primitives into CoAP responses
// (oneM2M TS-0008, published as ETSI TS 118 108), over UDP and DTLS, and sends requests to other machines the same way.
// It knows no rights and decides nothing about resources: everything that is well formed goes to the Handler.
//
// The message layer (RFC 7252 clause 4, RFC 7959) is here too, on the codec of go-coap: that module's server
// acknowledges a request only with its response, remembers without bound, and begins a session with whoever sends one
// datagram from whatever address. Here a stranger's datagram leaves nothing behind; what peers with a credential can
// make the server hold is bounded for each and in all; a commit that takes long is acknowledged first and answered
// separately.
//
// What the specification leaves open is decided as follows. A request without Content-Format has JSON. Without an
// Accept option the response has the serialization of the request. Refusals of the CoAP layer (unknown critical option,
// blocks, size) have a diagnostic payload in plain text, all others the debug information as content; both have
// oneM2M-RSC. Responses to devices that speak no oneM2M have no oneM2M options: these are critical, so the device would
// have to reject the response.
package coapbinding

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
)

// Options of a server. The zero value is ready to use.
type Options struct {
	// MaxBody is the largest content of a request in bytes, block-wise transfers included; 1 MiB when 0.
	MaxBody int
	// Plain serves devices that speak no oneM2M, by POST to /ingest/<ae>/<container path>; nil for none.
	Plain binding.Plain
	// TokensInClear accepts tokens that came over UDP without DTLS from another machine, where others can read them.
	TokensInClear bool
	// PreSharedKey gives the key of a DTLS identity, nil when there is none with that identity. Evidence.PSK of whoever
	// proved to have it is the identity. Nil when there are no such keys.
	PreSharedKey func(identity string) []byte
	// Mobius accepts the option numbers from before release 3 as well, and answers who uses them with them.
	Mobius bool
	// Release is the oneM2M-RVI of a response to a request that had none, "4" when empty.
	Release string
	// Log gets what is wrong with the sockets; nothing is logged when nil.
	Log *slog.Logger
}

// limits bound what peers can make a server hold, and for how long.
type limits struct {
	body             int           // bytes of a request's content
	handlingBytes    int           // datagrams that are worked on
	running          int           // requests executed at a time
	runningPerPeer   int           // of one peer
	runningPerToken  int           // of one credential, from wherever it comes
	exchangeBytes    int           // answers that are remembered for requests that come again
	exchangeLifetime time.Duration // how long: EXCHANGE_LIFETIME (RFC 7252 clause 4.8.2)
	transfers        int           // block-wise transfers in one direction
	transfersPerPeer int
	transferBytes    int           // what they hold, in one direction
	transferIdle     time.Duration // until the next block
	confirmables     int           // separate responses that wait for their acknowledgement
	ackTimeout       time.Duration // ACK_TIMEOUT (RFC 7252 clause 4.8)
	ackDelay         time.Duration // after which a request is acknowledged without its response
	sessions         int           // of DTLS
	handshakes       int           // under way
	handshakeTime    time.Duration
	sessionIdle      time.Duration
}

func defaultLimits() limits {
	return limits{
		body: 1 << 20, handlingBytes: 64 << 20,
		running: 4096, runningPerPeer: 256, runningPerToken: 1024,
		exchangeBytes: 32 << 20, exchangeLifetime: 247 * time.Second,
		transfers: 4096, transfersPerPeer: 4, transferBytes: 32 << 20, transferIdle: 30 * time.Second,
		confirmables: 4096, ackTimeout: 2 * time.Second, ackDelay: time.Second,
		sessions: 4096, handshakes: 256, handshakeTime: 10 * time.Second, sessionIdle: 15 * time.Minute,
	}
}

// Server serves one handler on any number of sockets.
type Server struct {
	handler binding.Handler
	plain   binding.Plain
	watcher binding.Watcher // nil when the handler is none
	o       Options
	l       limits

	exchanges *exchanges
	confirms  *confirmables
	uploads   *transfers
	downloads *transfers

	ctx  context.Context // of the requests; ends when Shutdown no longer waits
	stop context.CancelFunc

	mu      sync.Mutex
	closed  bool
	sockets map[io.Closer]struct{}
	// handling counts the datagrams that are worked on, and what they take.
	handling, handlingBytes int
	serving                 sync.WaitGroup // those, and the loops that read them
	janitor                 *time.Timer
}

// New returns a server; Shutdown ends it.
func New(h binding.Handler, o Options) *Server { return newServer(h, o, defaultLimits()) }

func newServer(h binding.Handler, o Options, l limits) *Server {
	if o.MaxBody > 0 {
		l.body = o.MaxBody
	}
	if o.Release == "" {
		o.Release = "4"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{handler: h, plain: o.Plain, o: o, l: l, sockets: make(map[io.Closer]struct{})}
	s.watcher, _ = h.(binding.Watcher)
	s.exchanges, s.confirms = newExchanges(&s.l), newConfirmables(&s.l)
	s.uploads, s.downloads = newTransfers(&s.l), newTransfers(&s.l)
	s.ctx, s.stop = context.WithCancel(binding.Hurried(context.Background()))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.janitor = time.AfterFunc(s.sweepInterval(), s.sweep)
	return s
}

func (s *Server) sweepInterval() time.Duration { return s.l.transferIdle / 2 }

// sweep drops what is too old.
func (s *Server) sweep() {
	now := time.Now()
	s.exchanges.expire(now.Add(-s.l.exchangeLifetime))
	s.uploads.expire(now.Add(-s.l.transferIdle))
	s.downloads.expire(now.Add(-s.l.transferIdle))
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.janitor.Reset(s.sweepInterval())
	}
}

// use registers a socket, which Shutdown then closes. It says false when the server has ended.
func (s *Server) use(socket io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.sockets[socket] = struct{}{}
	s.serving.Add(1)
	return true
}

// unuse ends what use began.
func (s *Server) unuse(socket io.Closer) {
	s.mu.Lock()
	delete(s.sockets, socket)
	s.mu.Unlock()
	s.serving.Done()
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Shutdown takes no new requests and waits until those under way are answered, or ctx ends; then it closes the sockets.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.janitor.Stop()
	s.mu.Unlock()
	err := s.exchanges.drain(ctx)
	s.stop()
	s.confirms.close()
	s.mu.Lock()
	for socket := range s.sockets {
		_ = socket.Close() // whoever serves it sees the error
	}
	s.mu.Unlock()
	s.serving.Wait()
	return err
}

// ListenUDP opens a socket for Serve.
func ListenUDP(addr string) (*net.UDPConn, error) {
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, err
	}
	// Requests that come while others are executed wait here. The kernel may grant less.
	_ = conn.SetReadBuffer(4 << 20)
	return conn, nil
}
