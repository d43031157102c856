package guard

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// source is what a guard knows of one source address.
type source struct {
	mu       sync.Mutex
	open     int
	connects bucket
	strange  bucket // requests without a valid credential
	failures
}

// failures counts bad credentials.
type failures struct {
	mu    sync.Mutex
	begin int64 // of the minute that is counted, Unix nanoseconds
	count int
	level int   // lockouts so far
	until int64 // locked until
}

// Bounds of lockout: after so many bad credentials within a minute the next are refused without a look, for a second at
// first and twice as long each time, until an hour has passed without one.
const (
	maxFailures   = 5
	failureWindow = int64(time.Minute)
	longestLock   = 15 * time.Minute
	lockForgiven  = int64(time.Hour)
)

// fail counts a bad credential and says for how long its sender is locked out by that, 0 for not.
func (f *failures) fail(now int64) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now < f.until {
		return 0 // it is already
	}
	if f.until != 0 && now-f.until > lockForgiven {
		f.level = 0
	}
	if now-f.begin > failureWindow {
		f.begin, f.count = now, 0
	}
	f.count++
	if f.count < maxFailures && f.level == 0 {
		return 0
	}
	if f.level > 0 && f.count < maxFailures && now-f.until > failureWindow {
		return 0 // it kept still for a while
	}
	d := longestLock
	if f.level < 20 {
		d = min(time.Second<<f.level, longestLock)
	}
	f.level++
	f.until = now + int64(d)
	return d
}

// lock locks for a while that counts for nothing afterwards.
func (f *failures) lock(now int64, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = max(f.until, now+int64(d))
}

func (f *failures) locked(now int64) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Duration(max(f.until-now, 0))
}

// prefix gives the address that bounds are about: IPv4 whole, IPv6 the first 64 bits, which one customer has all of.
func prefix(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64)
		return p.Addr().String()
	}
	return ip.String()
}

func prefixOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	return prefix(ip)
}

func (g *Guard) source(key string) *source {
	return g.sources.get(key, func(s *source) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.open > 0
	})
}

// Failed notes that a client at an address showed a credential that is none, or none at all, or claimed to be somebody else.
func (g *Guard) Failed(address, claimed string, shown bool) {
	now := time.Now().UnixNano()
	if key := prefixOf(address); key != "" {
		s := g.source(key)
		again := s.locked(now) > 0
		s.mu.Lock()
		_, few := s.strange.take(now, 1, g.o.Quotas.Strangers, 10*g.o.Quotas.Strangers, 0)
		s.mu.Unlock()
		if !few {
			s.lock(now, time.Second)
		}
		if !shown || again { // what comes in spite of a lockout tells nothing new, and may claim to be anybody
			return
		}
		if d := s.fail(now); d > 0 {
			g.raise(nil, "", false, key, finding{Lockout, maxFailures, maxFailures}, "bad credentials; refused without a look for "+d.String())
		}
	}
	if claimed == "" || len(claimed) > 256 {
		return
	}
	if d := g.claims.get(claimed, func(f *failures) bool { return false }).fail(now); d > 0 {
		g.raise(nil, claimed, false, address, finding{Lockout, maxFailures, maxFailures}, "bad credentials for this originator")
	}
}

// Locked says for how long clients at an address are refused that show no valid credential, 0 for not. Valid ones are never
// locked out: many may share an address, and nobody guesses 256 bits.
func (g *Guard) Locked(address string) time.Duration {
	key := prefixOf(address)
	if key == "" {
		return 0
	}
	s := g.sources.find(key)
	if s == nil {
		return 0
	}
	return s.locked(time.Now().UnixNano())
}

// Listen wraps a listener, so that an address with too many connections gets no more of them: they are closed before a byte
// is read.
func (g *Guard) Listen(l net.Listener) net.Listener { return &listener{l, g} }

type listener struct {
	net.Listener
	g *Guard
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		key := prefixOf(host)
		if key == "" {
			return c, nil
		}
		s := l.g.source(key)
		tcp, isTCP := c.(*net.TCPConn)
		if !l.g.connect(s) {
			if isTCP {
				tcp.SetLinger(0) // leaves no half-closed connection behind
			}
			c.Close()
			continue
		}
		if isTCP {
			return &tcpConn{TCPConn: tcp, place: place{s: s}}, nil
		}
		return &conn{Conn: c, place: place{s: s}}, nil
	}
}

func (g *Guard) connect(s *source) bool {
	now := time.Now().UnixNano()
	rate := g.o.Quotas.SourceConnects
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= g.o.Quotas.SourceConnections {
		return false
	}
	if _, ok := s.connects.take(now, 1, rate, max(2*rate, 1), 0); !ok {
		return false
	}
	s.open++
	return true
}

// place is that of a connection among those of its address.
type place struct {
	s    *source
	once sync.Once
}

func (p *place) leave() {
	p.once.Do(func() {
		p.s.mu.Lock()
		p.s.open--
		p.s.mu.Unlock()
	})
}

// tcpConn gives its place back when it is closed. It is a *net.TCPConn in all else: what that can do beyond a net.Conn, such
// as to write many buffers at once, is of use to who serves it.
type tcpConn struct {
	*net.TCPConn
	place
}

// NetConn is the socket itself.
func (c *tcpConn) NetConn() net.Conn { return c.TCPConn }

func (c *tcpConn) Close() error {
	c.leave()
	return c.TCPConn.Close()
}

// conn is the same of another kind.
type conn struct {
	net.Conn
	place
}

func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}
