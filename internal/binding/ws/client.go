package wsbinding

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// Limits of connections to other servers.
const (
	maxDialed   = 256              // connections at a time
	dialTimeout = 10 * time.Second // of the whole handshake
	idleTime    = 30 * time.Second // after which a connection that is not used is closed
)

// dialKey names connections that may be shared.
type dialKey struct {
	url   string
	cbor  bool
	token string
}

// dialed is a connection to another server, or one that is being made.
type dialed struct {
	ready chan struct{} // closed when conn or err is set
	conn  *conn
	err   error
	users int   // requests under way
	used  int64 // tick of the last use
}

func newDialer(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: roots},
			TLSHandshakeTimeout:    dialTimeout,
			MaxResponseHeaderBytes: 16 << 10,
			// HTTP/2 has no way to upgrade that servers know.
			Protocols: http1(),
		},
		// A redirect may not move a request to another machine.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func http1() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	return &p
}

var errBusy = errors.New("as many connections to other servers are in use as there may be; try again later")

// sendTo sends a request to a WebSocket server, over a connection that is open already if there is one.
func (b *Binding) sendTo(ctx context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
	u, err := url.Parse(to.URL)
	if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		return nil, errors.New("send a request over WebSocket: the address is no URL of scheme ws or wss")
	}
	d, err := b.dial(ctx, dialKey{to.URL, to.CBOR, to.Token})
	if err == nil {
		var rsp *onem2m.Response
		rsp, err = d.conn.ask(ctx, req)
		b.release(d)
		if err == nil {
			return rsp, nil
		}
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // without the address, which may hold a password
	}
	return nil, fmt.Errorf("send a request to %s: %w", u.Redacted(), err)
}

// dial gives a connection, which release gives back.
func (b *Binding) dial(ctx context.Context, k dialKey) (*dialed, error) {
	b.mu.Lock()
	d := b.dialed[k]
	switch {
	case b.closing:
		b.mu.Unlock()
		return nil, errors.New("the node is stopping")
	case d == nil && len(b.dialed) >= maxDialed && !b.evict():
		b.mu.Unlock()
		return nil, errBusy
	case d == nil:
		d = &dialed{ready: make(chan struct{})}
		b.dialed[k] = d
		b.running.Go(func() { b.connect(k, d) })
	}
	d.users++
	b.mu.Unlock()
	select {
	case <-d.ready:
	case <-ctx.Done():
		b.release(d)
		return nil, ctx.Err()
	}
	if d.err != nil {
		b.release(d)
		return nil, d.err
	}
	return d, nil
}

func (b *Binding) release(d *dialed) {
	b.mu.Lock()
	d.users--
	d.used = b.clock.Load()
	b.mu.Unlock()
}

// evict closes a connection that nobody uses. b.mu is held.
func (b *Binding) evict() bool {
	for k, d := range b.dialed {
		if d.users == 0 && d.conn != nil {
			delete(b.dialed, k)
			b.running.Go(d.conn.end)
			return true
		}
	}
	return false
}

// dropIdle closes connections that were not used for long.
func (b *Binding) dropIdle(now int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, d := range b.dialed {
		if d.users == 0 && d.conn != nil && now-d.used > ticks(idleTime) {
			delete(b.dialed, k)
			b.running.Go(func() { d.conn.hangUp(websocket.StatusNormalClosure, "not used any more") })
		}
	}
}

// connect makes a connection and reads it until it ends.
func (b *Binding) connect(k dialKey, d *dialed) {
	c := newConn(b, formatJSON, b.answers)
	c.dialed = true
	protocols := []string{protocolJSON}
	switch {
	case k.cbor:
		c.format, protocols[0] = formatCBOR, protocolCBOR
	case b.o.Mobius:
		protocols = append(protocols, protocolMobius)
	}
	ctx, cancel := context.WithTimeout(b.ctx, dialTimeout)
	header := http.Header{}
	if b.o.From != "" {
		header["X-M2M-Origin"] = []string{b.o.From}
	}
	if k.token != "" {
		header["Authorization"] = []string{"Bearer " + k.token}
	}
	ws, rsp, err := websocket.Dial(ctx, k.url, &websocket.DialOptions{
		HTTPClient: b.dialer, HTTPHeader: header, Subprotocols: protocols, OnPongReceived: c.pong,
	})
	cancel()
	if err != nil && rsp != nil && rsp.StatusCode != http.StatusSwitchingProtocols {
		// It is this handshake that was refused, not the request, so a later one may do.
		err = &binding.AnswerError{Code: rsp.StatusCode}
	}
	if err == nil && !slices.ContainsFunc(protocols, func(p string) bool { return strings.EqualFold(p, ws.Subprotocol()) }) {
		_ = ws.Close(websocket.StatusProtocolError, "want the subprotocol "+protocols[0]) // the error below says it
		err = fmt.Errorf("the server does not speak the subprotocol %s", protocols[0])
	}
	if err == nil {
		ws.SetReadLimit(b.o.MaxMessage)
		if u, err := url.Parse(k.url); err == nil {
			c.remote = u.Hostname()
			ip := net.ParseIP(c.remote)
			c.near = c.remote == "localhost" || ip != nil && ip.IsLoopback()
		}
		c.open(ws)
	}
	b.mu.Lock()
	if b.closing && err == nil {
		err = errors.New("the node is stopping")
	}
	if err != nil {
		d.err = err
		delete(b.dialed, k)
	} else {
		d.conn = c
	}
	b.mu.Unlock()
	close(d.ready)
	if err == nil {
		c.serve()
	}
	c.end()
	b.mu.Lock()
	if b.dialed[k] == d {
		delete(b.dialed, k)
	}
	b.forget(c)
	b.mu.Unlock()
}
