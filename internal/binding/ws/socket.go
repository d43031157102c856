package wsbinding

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"
)

// socket is the connection below a WebSocket connection. It gathers what is written while it is held back, so that many
// messages leave with one system call, and gives up on a client that takes too long to read.
type socket struct {
	net.Conn

	mu   sync.Mutex
	held bool
	buf  []byte
}

// hold gathers writes until flush.
func (s *socket) hold() {
	s.mu.Lock()
	s.held = true
	s.mu.Unlock()
}

// flush writes what was gathered.
func (s *socket) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = false
	return s.drain()
}

// drain writes out buf. mu is held.
func (s *socket) drain() error {
	if len(s.buf) == 0 {
		return nil
	}
	_, err := s.send(s.buf)
	if s.buf = s.buf[:0]; cap(s.buf) > writeChunk {
		s.buf = nil
	}
	return err
}

// Write implements net.Conn.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held && len(s.buf)+len(p) <= writeChunk {
		s.buf = append(s.buf, p...)
		return len(p), nil
	}
	if err := s.drain(); err != nil {
		return 0, err
	}
	return s.send(p)
}

// send writes p, of which each chunk has to be taken in time. mu is held.
func (s *socket) send(p []byte) (n int, err error) {
	for n < len(p) {
		if err := s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return n, err
		}
		k, err := s.Conn.Write(p[n:min(n+writeChunk, len(p))])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// hijacker hands the connection below an HTTP response over as a socket.
type hijacker struct {
	http.ResponseWriter
	socket *socket
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.socket = &socket{Conn: c}
	return h.socket, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(h.socket, 2048)), nil
}
