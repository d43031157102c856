package mqttbinding

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	mqttpackets "github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of the connections to other brokers.
const (
	maxRemotes = 64
	maxAnswer  = 1 << 20 // bytes of a response
	// maxRemoteTopics bounds the response topics of one broker.
	maxRemoteTopics = 4096
	remoteIdle      = 5 * time.Minute
	remoteTimeout   = 10 * time.Second // to connect
)

// remotes are the connections to other brokers, which speak MQTT 5.0.
type remotes struct {
	mu     sync.Mutex
	roots  *x509.CertPool // of their certificates; nil: the system's
	open   map[string]*remote
	closed bool
}

// remote is one broker.
type remote struct {
	key    string
	calls  calls
	cancel context.CancelFunc
	cm     *autopaho.ConnectionManager

	mu         sync.Mutex
	subscribed map[string]bool // response topics of the present connection
	users      int
	used       time.Time // last
	forgotten  bool
	idle       *time.Timer
}

// get returns the connection to a broker, and makes it if there is none. release must be called.
func (r *remotes) get(u *url.URL) (*remote, error) {
	key := u.Scheme + "://" + u.User.String() + "@" + u.Host
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.New("the node is stopping")
	}
	m := r.open[key]
	if m == nil {
		if len(r.open) >= maxRemotes && !r.dropIdle() {
			return nil, fmt.Errorf("%d other brokers are in use; that is as many as may be", maxRemotes)
		}
		var err error
		if m, err = dialRemote(key, u, r.roots); err != nil {
			return nil, err
		}
		if r.open == nil {
			r.open = make(map[string]*remote)
		}
		r.open[key] = m
	}
	m.mu.Lock()
	m.users++
	if m.idle != nil {
		m.idle.Stop()
		m.idle = nil
	}
	m.mu.Unlock()
	return m, nil
}

// dropIdle ends the connection that nobody has used for longest, and says whether there was one. r.mu is held.
func (r *remotes) dropIdle() bool {
	var idlest *remote
	var since time.Time
	for _, m := range r.open {
		m.mu.Lock()
		if m.users == 0 && (idlest == nil || m.used.Before(since)) {
			idlest, since = m, m.used
		}
		m.mu.Unlock()
	}
	if idlest != nil {
		r.forget(idlest)
	}
	return idlest != nil
}

// forget has the next request make a connection of its own; this one ends when nobody uses it. r.mu is held.
func (r *remotes) forget(m *remote) {
	if r.open[m.key] == m {
		delete(r.open, m.key)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgotten = true
	if m.users == 0 {
		m.cancel()
	}
}

// release ends a use of the connection. One that nobody uses is closed after a while.
func (r *remotes) release(m *remote) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users--; m.users > 0 {
		return
	}
	if m.forgotten {
		m.cancel()
		return
	}
	m.used = time.Now()
	m.idle = time.AfterFunc(remoteIdle, func() {
		r.mu.Lock()
		m.mu.Lock()
		unused := m.users == 0
		if unused && r.open[m.key] == m {
			delete(r.open, m.key)
		}
		m.mu.Unlock()
		r.mu.Unlock()
		if unused {
			m.cancel()
		}
	})
}

func (r *remotes) close() {
	r.mu.Lock()
	open := r.open
	r.open, r.closed = nil, true
	r.mu.Unlock()
	for _, m := range open {
		m.cancel()
		<-m.cm.Done()
	}
}

// dialRemote begins to connect to a broker, and to connect again whenever the connection is lost.
func dialRemote(key string, u *url.URL, roots *x509.CertPool) (*remote, error) {
	m := &remote{key: key}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	var tried atomic.Bool
	cfg := autopaho.ClientConfig{
		ServerUrls:     []*url.URL{{Scheme: u.Scheme, Host: u.Host}},
		KeepAlive:      30,
		ConnectTimeout: remoteTimeout,
		ReconnectBackoff: func(attempt int) time.Duration {
			if !tried.Swap(true) {
				return 0
			}
			return min(time.Second<<min(attempt, 6), time.Minute)
		},
		OnConnectionUp: func(*autopaho.ConnectionManager, *paho.Connack) {
			m.mu.Lock()
			m.subscribed = nil
			m.mu.Unlock()
		},
		AttemptConnection: func(ctx context.Context, _ autopaho.ClientConfig, u *url.URL) (net.Conn, error) {
			return dial(ctx, u, roots)
		},
		CleanStartOnInitialConnection: true,
		ClientConfig: paho.ClientConfig{
			ClientID:          newRequestID(),
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){m.received},
		},
	}
	if u.User != nil {
		cfg.ConnectUsername = u.User.Username()
		if p, ok := u.User.Password(); ok {
			cfg.ConnectPassword = []byte(p)
		}
	}
	cm, err := autopaho.NewConnection(ctx, cfg)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("connect to the broker %s: %w", u.Host, err)
	}
	m.cm = cm
	return m, nil
}

// dial opens a network connection to a broker.
func dial(ctx context.Context, u *url.URL, roots *x509.CertPool) (net.Conn, error) {
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	d := net.Dialer{Timeout: remoteTimeout}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err == nil && u.Scheme == "mqtts" {
		secure := tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname(), RootCAs: roots})
		if err = secure.HandshakeContext(ctx); err != nil {
			c.Close()
		}
		c = secure
	}
	if err != nil {
		return nil, err
	}
	return mqttpackets.NewThreadSafeConn(&bounded{Conn: c}), nil
}

// bounded ends a connection that brings a packet larger than an answer may be: paho makes room for as much as a packet
// says that it has, 256 MiB, before it has come.
type bounded struct {
	net.Conn
	state  int // what comes next: below
	shift  int // in the length
	length int // of the packet, or what is still to come of it
}

const (
	atType = iota
	atLength
	atBody
)

// Read implements net.Conn.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	for i := 0; i < n; {
		switch b.state {
		case atType:
			b.state, b.shift, b.length = atLength, 0, 0
			i++
		case atLength:
			b.length |= int(p[i]&127) << b.shift
			b.shift += 7
			if p[i] < 128 {
				b.state = atBody
			}
			if b.shift > 28 || b.length > maxAnswer+maxControl {
				return 0, fmt.Errorf("a packet of the other broker has more than %d bytes", maxAnswer+maxControl)
			}
			i++
			if b.state == atBody && b.length == 0 {
				b.state = atType
			}
		case atBody:
			some := min(n-i, b.length)
			i += some
			if b.length -= some; b.length == 0 {
				b.state = atType
			}
		}
	}
	return n, err
}

// received takes a response.
func (m *remote) received(p paho.PublishReceived) (bool, error) {
	text := p.Packet.Payload
	if len(text) > maxAnswer {
		return true, nil
	}
	i := strings.Index(p.Packet.Topic, oneM2MPrefix)
	if i < 0 {
		return true, nil
	}
	t, ok := parseOneM2M(p.Packet.Topic[i:])
	if !ok || t.kind != kindResponse {
		return true, nil
	}
	if t.cbor {
		var err error
		if text, err = onem2m.CBORToJSON(text); err != nil {
			return true, nil
		}
	}
	if resp, err := onem2m.ParseResponse(text); err == nil {
		m.calls.answer(t.receiver, resp)
	}
	return true, nil
}

// call sends a request through another broker and waits for its response.
func (r *remotes) call(ctx context.Context, u *url.URL, d destination, request string, payload []byte) (*onem2m.Response, error) {
	m, err := r.get(u)
	if err != nil {
		return nil, err
	}
	defer r.release(m)
	if err := m.cm.AwaitConnection(ctx); err != nil {
		return nil, fmt.Errorf("connect to the broker %s: %w", u.Host, err)
	}
	var answer <-chan *onem2m.Response
	if d.response != "" {
		var forget func()
		var ok bool
		if answer, forget, ok = m.calls.expect(callKey{d.receiver, request}); !ok {
			return nil, fmt.Errorf("too many requests wait for responses of %s", u.Host)
		}
		defer forget()
		if err := m.subscribe(ctx, d.response); err != nil {
			return nil, fmt.Errorf("subscribe to %s at %s: %w", d.response, u.Host, err)
		}
	}
	if _, err := m.cm.Publish(ctx, &paho.Publish{QoS: 1, Topic: d.topic, Payload: payload}); err != nil {
		if ctx.Err() != nil { // paho would keep the message for as long as the connection lasts
			r.mu.Lock()
			r.forget(m)
			r.mu.Unlock()
		}
		return nil, fmt.Errorf("publish to %s at %s: %w", d.topic, u.Host, err)
	}
	if answer == nil {
		return &onem2m.Response{Status: onem2m.StatusOK, RequestID: request}, nil
	}
	select {
	case resp := <-answer:
		return resp, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a response on %s at %s: %w: %w", d.response, u.Host, binding.ErrNoAnswer, ctx.Err())
	}
}

func (m *remote) subscribe(ctx context.Context, topic string) error {
	m.mu.Lock()
	done, many := m.subscribed[topic], len(m.subscribed) >= maxRemoteTopics
	m.mu.Unlock()
	if done {
		return nil
	}
	if many {
		return fmt.Errorf("there are %d subscriptions already", maxRemoteTopics)
	}
	if _, err := m.cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: 1}}}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.subscribed == nil {
		m.subscribed = make(map[string]bool)
	}
	m.subscribed[topic] = true
	return nil
}
