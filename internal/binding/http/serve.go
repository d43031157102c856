package httpbinding

import (
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
)

// Limits of a server made with NewServer. A client that is slower than these loses its connection, so that slow
// clients cannot hold connections for long; one connection more than MaxConnections is closed at once.
const (
	ReadHeaderTimeout = 10 * time.Second
	ReadTimeout       = time.Minute     // header and body
	WriteTimeout      = 2 * time.Minute // from the end of the header to the end of the response; a handler may extend it
	IdleTimeout       = 2 * time.Minute
	MaxHeaderBytes    = 16 << 10
	MaxConnections    = 4096
)

// Limits of one HTTP/2 connection.
const (
	maxStreams       = 100       // requests at once; RFC 9113 clause 6.5.2 advises against fewer
	connectionBuffer = 128 << 10 // body bytes received and not yet read, of all requests
	streamBuffer     = 64 << 10  // of one request
	writeByteTimeout = 30 * time.Second
)

// NewServer returns an HTTP server with the limits of this package, for HTTP/1.1 and, when it is given a TLSConfig,
// HTTP/2. What net/http has to say about broken connections is logged at debug level. Connections end with the credential
// shown on them, as the watcher tells; without one, nil, they do not.
func NewServer(h http.Handler, log *slog.Logger, watcher binding.Watcher) *http.Server {
	return newServer(h, log, watcher, MaxConnections)
}

func newServer(h http.Handler, log *slog.Logger, watcher binding.Watcher, maxConnections int64) *http.Server {
	var open atomic.Int64
	held := connections{watcher: watcher}
	return &http.Server{
		ConnContext:       held.begin,
		Handler:           h,
		ReadHeaderTimeout: ReadHeaderTimeout,
		ReadTimeout:       ReadTimeout,
		WriteTimeout:      WriteTimeout,
		IdleTimeout:       IdleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connectionBuffer,
			MaxReceiveBufferPerStream:     streamBuffer,
			WriteByteTimeout:              writeByteTimeout,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnState: func(c net.Conn, state http.ConnState) {
			held.became(c, state)
			switch state {
			case http.StateNew:
				if open.Add(1) > maxConnections {
					_ = c.Close() // the server sees it closed and says so here
				}
			case http.StateClosed, http.StateHijacked:
				open.Add(-1)
			}
		},
	}
}
