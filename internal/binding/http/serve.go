package httpbinding

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of a server started with Serve. A client that is slower than these loses its connection, so that slow
// clients cannot hold more than MaxConnections open at a time, and those not for long.
const (
	ReadHeaderTimeout = 10 * time.Second
	ReadTimeout       = time.Minute // header and body; must exceed the time a handler takes to answer
	WriteTimeout      = 2 * time.Minute
	IdleTimeout       = 2 * time.Minute
	ShutdownTimeout   = 10 * time.Second
	MaxHeaderBytes    = 16 << 10
	MaxConnections    = 4096
)

// Serve serves h on ln until ctx ends, then stops accepting, lets running requests finish for at most
// ShutdownTimeout, and returns nil. It closes ln. Any other end is an error.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: ReadHeaderTimeout,
		ReadTimeout:       ReadTimeout,
		WriteTimeout:      WriteTimeout,
		IdleTimeout:       IdleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(newLimitListener(ln, MaxConnections)) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), ShutdownTimeout)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		log.Warn("HTTP requests were cut off at shutdown", "address", ln.Addr().String(), "err", err)
		_ = srv.Close() // only what Shutdown left open; its error says nothing new
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", ln.Addr(), err)
	}
	return nil
}

// limitListener accepts no more connections while a number of them are open; the kernel queues the rest.
type limitListener struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func newLimitListener(ln net.Listener, n int) *limitListener {
	return &limitListener{Listener: ln, slots: make(chan struct{}, n), done: make(chan struct{})}
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitConn{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitConn struct {
	net.Conn
	free func()
}

func (c *limitConn) Close() error {
	err := c.Conn.Close()
	c.free()
	return err
}
