package coapbinding

import (
	"errors"
	"net"
	"net/netip"
	"slices"

	"github.com/tallystick/tallystick/internal/binding"
)

// peer is who a datagram came from: a UDP address, or a DTLS session from wherever it comes (RFC 7252 clause 4.4,
// and clause 9.1.1: messages match only within a session).
type peer struct {
	link   link
	addr   netip.AddrPort // of UDP; a session's own may change
	secure bool
}

// link sends a datagram. What cannot be sent is lost, as any datagram may be.
type link interface {
	send(to netip.AddrPort, datagram []byte)
	remote(of netip.AddrPort) netip.Addr
	// proven is what the peer proved when the connection was made.
	proven() binding.Evidence
}

func (p peer) send(datagram []byte) { p.link.send(p.addr, datagram) }

// ip is the peer's address without an IPv6 zone.
func (p peer) ip() string { return p.link.remote(p.addr).Unmap().WithZone("").String() }

type udpLink struct{ conn *net.UDPConn }

func (l *udpLink) send(to netip.AddrPort, datagram []byte) {
	_, _ = l.conn.WriteToUDPAddrPort(datagram, to)
}

func (l *udpLink) remote(of netip.AddrPort) netip.Addr { return of.Addr() }

func (l *udpLink) proven() binding.Evidence { return binding.Evidence{} }

// Serve serves requests that come by UDP until Shutdown, and then returns nil. It closes the socket.
func (s *Server) Serve(conn *net.UDPConn) error {
	if !s.use(conn) {
		return conn.Close()
	}
	defer s.unuse(conn)
	l := &udpLink{conn}
	buf := make([]byte, maxDatagram+1)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if s.isClosed() {
				return conn.Close()
			}
			// An ICMP answer to something sent before is reported here; only a closed socket ends the loop.
			s.o.Log.Debug("read a CoAP datagram", "err", err)
			continue
		}
		s.receive(peer{link: l, addr: from}, slices.Clone(buf[:n]))
	}
}
