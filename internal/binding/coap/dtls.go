package coapbinding

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"

	"github.com/tallystick/tallystick/internal/binding"
)

const (
	cidSize = 8
	// maxRecord is the largest message that is taken in a DTLS record, in bytes. CoAP's own are smaller (RFC 7252
	// clause 4.6); each session has such a buffer.
	maxRecord = 8 << 10
)

// front is a socket that DTLS sessions share. Of the many addresses that datagrams can pretend to come from, each that
// sends a ClientHello takes a place among the handshakes; the oldest handshake makes place for a new one, so that a
// flood of forged ones takes no more than these places. Before the client has sent back the cookie of the
// HelloVerifyRequest (RFC 6347 clause 4.2.1) nothing is computed for it.
type front struct {
	s           *Server
	conn        *net.UDPConn
	certificate func() *tls.Certificate

	mu       sync.Mutex
	closed   bool
	byCID    map[[cidSize]byte]*association
	byAddr   map[netip.AddrPort]*association // with a session
	shaking  map[netip.AddrPort]*association // in a handshake
	sessions map[*association]struct{}
}

// ServeDTLS serves requests that come by DTLS 1.2 until Shutdown, and then returns nil. It closes the socket. The
// certificate is asked for at each handshake; connection IDs (RFC 9146) are given to clients that support them.
func (s *Server) ServeDTLS(conn *net.UDPConn, certificate func() *tls.Certificate) error {
	f := &front{
		s: s, conn: conn, certificate: certificate,
		byCID: make(map[[cidSize]byte]*association), byAddr: make(map[netip.AddrPort]*association),
		shaking: make(map[netip.AddrPort]*association), sessions: make(map[*association]struct{}),
	}
	if !s.use(f) {
		return conn.Close()
	}
	defer s.unuse(f)
	buf := make([]byte, maxDatagram+1)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			s.o.Log.Debug("read a DTLS datagram", "err", err)
			continue
		}
		f.route(from, buf[:n])
	}
}

// Close ends all sessions and closes the socket.
func (f *front) Close() error {
	f.mu.Lock()
	f.closed = true
	var all []*association
	for a := range f.sessions {
		all = append(all, a)
	}
	for _, a := range f.shaking {
		all = append(all, a)
	}
	f.mu.Unlock()
	for _, a := range all {
		a.end()
	}
	return f.conn.Close()
}

// The record layer (RFC 6347 clause 4.1, RFC 9146 clause 4).
const (
	recordHeader    = 13
	recordHandshake = 22
	recordCID       = 25
	clientHello     = 1
)

// route hands a datagram to its association. A handshake on an address that has a session does not disturb it until
// it is completed (RFC 6347 clause 4.2.8): a device that restarts has no other way, and a forged one must not end it.
func (f *front) route(from netip.AddrPort, datagram []byte) {
	if len(datagram) <= recordHeader {
		return
	}
	if datagram[0] == recordCID {
		if len(datagram) > recordHeader+cidSize {
			f.mu.Lock()
			a := f.byCID[[cidSize]byte(datagram[11:])]
			f.mu.Unlock()
			if a != nil {
				a.deliver(from, datagram)
			}
		}
		return
	}
	hello := datagram[0] == recordHandshake && datagram[3] == 0 && datagram[4] == 0 && datagram[recordHeader] == clientHello
	f.mu.Lock()
	session, shaking := f.byAddr[from], f.shaking[from]
	if hello && shaking == nil && !f.closed {
		shaking = f.shake(from)
	}
	f.mu.Unlock()
	if session != nil && !hello {
		session.deliver(from, datagram)
	}
	if shaking != nil {
		shaking.deliver(from, datagram)
	}
}

// shake begins a handshake. mu is held.
func (f *front) shake(from netip.AddrPort) *association {
	if len(f.shaking) >= f.s.l.handshakes {
		var oldest *association
		for _, a := range f.shaking {
			if oldest == nil || a.began.Before(oldest.began) {
				oldest = a
			}
		}
		delete(f.shaking, oldest.from)
		oldest.cancel()
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.s.l.handshakeTime)
	a := &association{
		front: f, from: from, began: time.Now(), cancel: cancel, queue: make(chan packet, packetQueue), ended: make(chan struct{}),
		deadline: newDeadline(),
	}
	rand.Read(a.cid[:])
	f.shaking[from] = a
	f.s.serving.Go(func() { a.run(ctx) })
	return a
}

// established makes a session of a handshake. With too many, one ends that never showed a valid credential, if there is
// such a one, else the one that was idle for longest.
func (f *front) established(a *association) bool {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return false
	}
	if f.shaking[a.from] == a {
		delete(f.shaking, a.from)
	}
	old := f.byAddr[a.from]
	f.byAddr[a.from], f.byCID[a.cid], f.sessions[a] = a, a, struct{}{}
	var idlest *association
	if len(f.sessions) > f.s.l.sessions {
		for b := range f.sessions {
			if b != a && (idlest == nil || b.yields(idlest)) {
				idlest = b
			}
		}
	}
	f.mu.Unlock()
	for _, b := range []*association{old, idlest} {
		if b != nil {
			b.end()
		}
	}
	return true
}

func (f *front) forget(a *association) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shaking[a.from] == a {
		delete(f.shaking, a.from)
	}
	if f.byAddr[a.from] == a {
		delete(f.byAddr, a.from)
	}
	if f.byCID[a.cid] == a {
		delete(f.byCID, a.cid)
	}
	delete(f.sessions, a)
}

// association is one client's DTLS: first a handshake, then a session. As a link it is a peer of the server.
type association struct {
	front  *front
	from   netip.AddrPort // where the handshake came from
	cid    [cidSize]byte
	began  time.Time
	cancel context.CancelFunc        // of the handshake
	peer   binding.Evidence          // what the handshake proved; fixed once a session is established
	active atomic.Int64              // when the last message came, Unix nanoseconds
	watch  watch                     // over the credential that was shown last
	conn   atomic.Pointer[dtls.Conn] // set from before the session is established until it ends: what is remembered of requests holds the association

	queue    chan packet
	queued   atomic.Int64 // bytes in it
	deadline *deadline
	once     sync.Once
	ended    chan struct{}
}

// run makes the handshake and reads the session until it ends.
func (a *association) run(ctx context.Context) {
	defer a.cancel()
	defer a.front.forget(a)
	defer a.end()
	s := a.front.s
	conn, err := dtls.ServerWithOptions(a, net.UDPAddrFromAddrPort(a.from),
		dtls.WithGetCertificate(func(*dtls.ClientHelloInfo) (*tls.Certificate, error) { return a.front.certificate(), nil }),
		// Whose key it is the ledger knows; who issued the certificate says nothing.
		dtls.WithClientAuth(dtls.RequestClientCert),
		dtls.WithPSK(s.preSharedKey),
		dtls.WithConnectionIDGenerator(func() []byte { return a.cid[:] }),
		cipherSuites, dtls.WithLoggerFactory(silent))
	if err != nil {
		s.o.Log.Error("begin a DTLS handshake", "err", err)
		return
	}
	defer conn.Close()
	if err := conn.HandshakeContext(ctx); err != nil {
		s.o.Log.Debug("DTLS handshake", "from", a.from, "err", err)
		return
	}
	a.peer = evidence(conn)
	a.conn.Store(conn)
	defer a.conn.Store(nil)
	defer a.watch.end()
	a.active.Store(time.Now().UnixNano())
	if !a.front.established(a) {
		return
	}
	idle := time.AfterFunc(s.l.sessionIdle, a.end)
	defer idle.Stop()
	p := peer{link: a, secure: true}
	buf := make([]byte, maxRecord)
	for {
		n, err := conn.Read(buf)
		switch {
		case errors.Is(err, io.ErrShortBuffer):
			continue
		case err != nil:
			return
		}
		idle.Reset(s.l.sessionIdle)
		a.active.Store(time.Now().UnixNano())
		s.receive(p, slices.Clone(buf[:n]))
	}
}

func (a *association) send(_ netip.AddrPort, datagram []byte) {
	if conn := a.conn.Load(); conn != nil {
		_, _ = conn.Write(datagram)
	}
}

func (a *association) remote(netip.AddrPort) netip.Addr {
	if conn := a.conn.Load(); conn != nil {
		if u, ok := conn.RemoteAddr().(*net.UDPAddr); ok {
			return u.AddrPort().Addr()
		}
	}
	return a.from.Addr()
}

// yields says whether a has to make place before b: strangers first, then who is idle for longest.
func (a *association) yields(b *association) bool {
	if known := a.watch.known(); known != b.watch.known() {
		return !known
	}
	return a.active.Load() < b.active.Load()
}

// cipherSuites are those with forward secrecy and authenticated encryption, with the one that RFC 7252 clause 9.1.3.3
// demands: many small devices have no other. Those without forward secrecy are for devices that can do no more.
var cipherSuites = dtls.WithCipherSuites(
	dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, dtls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	dtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, dtls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	dtls.TLS_ECDHE_ECDSA_WITH_AES_128_CCM, dtls.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8,
	// Where a pre-shared key is in use: with forward secrecy first, then what clause 9.1.3.1 demands.
	dtls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, dtls.TLS_PSK_WITH_AES_128_GCM_SHA256,
	dtls.TLS_PSK_WITH_AES_128_CCM, dtls.TLS_PSK_WITH_AES_128_CCM_8,
)

// silent keeps pion's own log away: what strangers send is none of the operator's business.
var silent = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
