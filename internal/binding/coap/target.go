package coapbinding

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/internal/binding"
)

// target is a connection to one machine: a UDP socket of its own, with DTLS on it for coaps.
type target struct {
	client     *Client
	host, port string
	secure     bool

	// Of the client, under its lock.
	users int
	used  time.Time
	timer *time.Timer

	connected chan struct{} // closed when conn is set, or the target failed
	outstand  chan struct{} // holds one element while a request is not acknowledged (NSTART)

	mu      sync.Mutex
	conn    net.Conn
	err     error // why it ended
	ended   chan struct{}
	mid     uint16
	byMID   map[uint16]*asked
	byToken map[string]*asked
}

// asked is a message that waits for its acknowledgement and its response.
type asked struct {
	acked chan struct{}         // closed when acknowledged without response
	reply chan *message.Message // receives once at most; nil when the peer rejected the message
	once  sync.Once
}

func newTarget(c *Client, host, port string, secure bool) *target {
	var mid [2]byte
	rand.Read(mid[:])
	return &target{
		client: c, host: host, port: port, secure: secure, connected: make(chan struct{}), outstand: make(chan struct{}, 1),
		ended: make(chan struct{}), mid: binary.BigEndian.Uint16(mid[:]), byMID: make(map[uint16]*asked), byToken: make(map[string]*asked),
	}
}

// fail ends the connection and all requests on it.
func (t *target) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return
	}
	t.err = err
	close(t.ended)
	if t.conn != nil {
		t.conn.Close()
	}
}

func (t *target) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err != nil
}

func (t *target) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// ready waits until the target is connected.
func (t *target) ready(ctx context.Context) error {
	select {
	case <-t.connected:
		return t.failure()
	case <-t.ended:
		return t.failure()
	case <-ctx.Done():
		return fmt.Errorf("connect: %w", ctx.Err())
	}
}

// run connects and reads until the target fails.
func (t *target) run() {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	stop := make(chan struct{})
	go func() {
		select {
		case <-t.ended:
			cancel()
		case <-stop:
		}
	}()
	conn, err := t.dial(ctx)
	close(stop)
	if err != nil {
		t.fail(fmt.Errorf("connect: %w", err))
		close(t.connected)
		return
	}
	t.mu.Lock()
	t.conn = conn
	if t.err != nil {
		conn.Close()
	}
	t.mu.Unlock()
	close(t.connected)
	buf := make([]byte, maxDatagram+1)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			t.fail(fmt.Errorf("the connection ended: %w", err))
			return
		}
		t.receive(slices.Clone(buf[:n]))
	}
}

func (t *target) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", net.JoinHostPort(t.host, t.port))
	if err != nil || !t.secure {
		return conn, err
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		conn.Close()
		return nil, errors.New("no UDP socket")
	}
	options := []dtls.ClientOption{
		dtls.WithServerName(t.host), cipherSuites, dtls.WithLoggerFactory(silent),
		// Cheap for both, and the session lives on when a NAT changes the address (RFC 9146).
		dtls.WithConnectionIDGenerator(dtls.OnlySendCIDGenerator()),
	}
	if t.client.o.RootCAs != nil {
		options = append(options, dtls.WithRootCAs(t.client.o.RootCAs))
	}
	secure, err := dtls.ClientWithOptions(connected{udp}, udp.RemoteAddr(), options...)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if err := secure.HandshakeContext(ctx); err != nil {
		secure.Close()
		return nil, err
	}
	return secure, nil
}

// connected is a socket that writes to its one peer whatever address is given, as pion does.
type connected struct{ *net.UDPConn }

func (c connected) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }

// receive takes a datagram of the peer.
func (t *target) receive(datagram []byte) {
	m, err := decode(datagram)
	if m == nil {
		return
	}
	mid := uint16(m.MessageID)
	if err != nil || isRequest(m.Code) || m.Code == codes.Empty && m.Type != message.Acknowledgement && m.Type != message.Reset {
		if m.Type == message.Confirmable {
			t.write(header(message.Reset, mid))
		}
		return
	}
	t.mu.Lock()
	var a *asked
	switch {
	case m.Type == message.Reset || m.Code == codes.Empty:
		a = t.byMID[mid]
	case isResponse(m.Code):
		a = t.byToken[string(m.Token)]
		if m.Type == message.Acknowledgement && a != t.byMID[mid] {
			a = nil // an acknowledgement of one message with the token of another
		}
	}
	t.mu.Unlock()
	if m.Type == message.Confirmable {
		// A response whose token nobody waits for is rejected (RFC 7252 clause 5.3.2).
		answer := message.Acknowledgement
		if a == nil {
			answer = message.Reset
		}
		t.write(header(answer, mid))
	}
	switch {
	case a == nil:
	case m.Type == message.Reset:
		a.deliver(nil)
	case m.Code == codes.Empty:
		a.acknowledge()
	default:
		a.deliver(m)
	}
}

func (a *asked) acknowledge() { a.once.Do(func() { close(a.acked) }) }

func (a *asked) deliver(m *message.Message) {
	select {
	case a.reply <- m:
	default:
	}
}

// write sends a datagram. That it could not be sent is found out by nobody answering.
func (t *target) write(datagram []byte) {
	t.mu.Lock()
	conn := t.conn
	t.mu.Unlock()
	_, _ = conn.Write(datagram)
}

var (
	errRejected = errors.New("the target rejected the message (Reset)")
	errSilent   = fmt.Errorf("no acknowledgement after %d transmissions", maxRetransmit+1)
)

// ask sends one confirmable message and waits for its response (RFC 7252 clauses 4.2 and 5.2).
func (t *target) ask(ctx context.Context, m *message.Message) (*message.Message, error) {
	select {
	case t.outstand <- struct{}{}:
	case <-t.ended:
		return nil, t.failure()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the answers to other requests: %w", ctx.Err())
	}
	free := sync.OnceFunc(func() { <-t.outstand })
	defer free()
	token := make([]byte, message.MaxTokenSize)
	rand.Read(token)
	a := &asked{acked: make(chan struct{}), reply: make(chan *message.Message, 1)}
	t.mu.Lock()
	t.mid++
	mid := t.mid
	t.byMID[mid], t.byToken[string(token)] = a, a
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.byToken, string(token))
		if t.byMID[mid] == a {
			delete(t.byMID, mid)
		}
	}()
	m.Token, m.MessageID = token, int32(mid)
	datagram, err := encode(m)
	if err != nil {
		return nil, err
	}
	t.write(datagram)
	timeout := firstTimeout(t.client.ackTimeout)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	acked := a.acked
	for sent := 1; ; {
		select {
		case reply := <-a.reply:
			if reply == nil {
				return nil, errRejected
			}
			return reply, nil
		case <-acked:
			acked = nil
			timer.Stop()
			free()
		case <-timer.C:
			if sent > maxRetransmit {
				return nil, errSilent
			}
			sent++
			timeout *= 2
			timer.Reset(timeout)
			t.write(datagram)
		case <-t.ended:
			return nil, t.failure()
		case <-ctx.Done():
			if acked == nil {
				return nil, fmt.Errorf("wait for the answer: %w: %w", binding.ErrNoAnswer, ctx.Err())
			}
			return nil, fmt.Errorf("wait for the answer: %w", ctx.Err())
		}
	}
}
