package coapbinding

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// What waits for a session to read it. More is lost.
const (
	packetQueue = 64       // datagrams
	packetBytes = 64 << 10 // their bytes
)

// packet is a datagram of an association.
type packet struct {
	data []byte
	from netip.AddrPort
}

// deliver queues a datagram. It never waits.
func (a *association) deliver(from netip.AddrPort, datagram []byte) {
	if len(a.queue) == cap(a.queue) {
		return // before it is copied
	}
	if a.queued.Add(int64(len(datagram))) > packetBytes {
		a.queued.Add(-int64(len(datagram)))
		return
	}
	select {
	case a.queue <- packet{slices.Clone(datagram), from}:
	default:
		a.queued.Add(-int64(len(datagram)))
	}
}

// end ends the association; run then forgets it.
func (a *association) end() { a.once.Do(func() { close(a.ended) }) }

// An association is the net.PacketConn of its DTLS connection.
var _ net.PacketConn = (*association)(nil)

// ReadFrom implements net.PacketConn.
func (a *association) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case <-a.deadline.wait():
		return 0, nil, os.ErrDeadlineExceeded
	default:
	}
	select {
	case p := <-a.queue:
		a.queued.Add(-int64(len(p.data)))
		return copy(b, p.data), net.UDPAddrFromAddrPort(p.from), nil
	case <-a.deadline.wait():
		return 0, nil, os.ErrDeadlineExceeded
	case <-a.ended:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn.
func (a *association) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("no UDP address")
	}
	return a.front.conn.WriteToUDPAddrPort(b, u.AddrPort())
}

// Close implements net.PacketConn.
func (a *association) Close() error { a.end(); return nil }

// LocalAddr implements net.PacketConn.
func (a *association) LocalAddr() net.Addr { return a.front.conn.LocalAddr() }

// SetDeadline implements net.PacketConn.
func (a *association) SetDeadline(t time.Time) error { return a.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (a *association) SetReadDeadline(t time.Time) error { a.deadline.set(t); return nil }

// SetWriteDeadline implements net.PacketConn: a datagram is written at once or lost.
func (a *association) SetWriteDeadline(time.Time) error { return nil }

// deadline closes a channel at a time that may be changed.
type deadline struct {
	mu      sync.Mutex
	timer   *time.Timer
	changes int // a timer from before the last one closes nothing
	over    chan struct{}
	isOver  bool
}

func newDeadline() *deadline { return &deadline{over: make(chan struct{})} }

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.isOver {
		d.over, d.isOver = make(chan struct{}), false
	}
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.isOver = true
		close(d.over)
		return
	}
	change := d.changes
	d.timer = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.changes == change {
			d.isOver = true
			close(d.over)
		}
	})
}
