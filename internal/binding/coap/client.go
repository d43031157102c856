package coapbinding

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// Limits of a client.
const (
	// maxAnswer is the largest content of a response that is taken, in bytes.
	maxAnswer = 1 << 20
	// maxTargets is how many machines a client talks to at a time.
	maxTargets = 512
	// targetIdle is how long a connection is kept that no request uses. NAT forgets about as early.
	targetIdle = 2 * time.Minute
	// exchangeTime bounds a request where its context does not: who acknowledged it may never answer.
	exchangeTime = time.Minute
)

// ClientOptions of a client. The zero value is ready to use.
type ClientOptions struct {
	// RootCAs are the authorities that certificates of coaps targets must come from; those of the system when nil.
	RootCAs *x509.CertPool
}

// Client sends request primitives over CoAP, by UDP (coap) and DTLS 1.2 (coaps), as confirmable messages, in blocks
// where they are large (TS-0008). It implements binding.Client. To one machine it sends one request after another
// until each is acknowledged (NSTART, RFC 7252 clause 4.7).
//
// Where a request goes: when To is a resource ID or an address below a CSE, it is mapped to a path that follows that of
// the URL. When To is empty, or a URL itself, the URL is the target as it is: so it is with notifications to a URL.
type Client struct {
	o          ClientOptions
	ackTimeout time.Duration
	idle       time.Duration

	mu      sync.Mutex
	closed  bool
	targets map[string]*target // by scheme, host and port
	running sync.WaitGroup
}

var _ binding.Client = (*Client)(nil)

// NewClient returns a client.
func NewClient(o ClientOptions) *Client {
	return &Client{o: o, ackTimeout: 2 * time.Second, idle: targetIdle, targets: make(map[string]*target)}
}

var (
	errClientClosed = errors.New("the CoAP client is closed")
	errManyTargets  = fmt.Errorf("requests to %d machines are under way", maxTargets)
)

// Close ends all connections. Requests under way fail.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	for _, t := range c.targets {
		t.fail(errClientClosed)
	}
	c.mu.Unlock()
	c.running.Wait()
}

// Send implements binding.Client. A target that answers without oneM2M-RSC option but with a code of success has taken
// the request. The error is a *binding.AnswerError when the target answered.
func (c *Client) Send(ctx context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	u, err := url.Parse(to.URL)
	if err != nil {
		return nil, errors.New("the target's address is no URL")
	}
	m, err := newRequest(u, to, req)
	if err != nil {
		return nil, err
	}
	t, err := c.target(u)
	if err != nil {
		return nil, err
	}
	defer c.release(t)
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	answer, err := t.exchange(ctx, m)
	if err != nil {
		return nil, err
	}
	return readAnswer(answer, req)
}

// target gives the connection to a URL's machine and makes one if there is none; release gives it back.
func (c *Client) target(u *url.URL) (*target, error) {
	secure := false
	port := "5683"
	switch u.Scheme {
	case "coap":
	case "coaps":
		secure, port = true, "5684"
	default:
		return nil, fmt.Errorf("the target's address has scheme %q; want coap or coaps", u.Scheme)
	}
	host := u.Hostname()
	if host == "" {
		return nil, errors.New("the target's address has no host")
	}
	if p := u.Port(); p != "" {
		port = p
	}
	key := u.Scheme + " " + net.JoinHostPort(host, port)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClientClosed
	}
	if t := c.targets[key]; t != nil && !t.failed() {
		t.users++
		return t, nil
	}
	if len(c.targets) >= maxTargets && !c.dropIdle() {
		return nil, errManyTargets
	}
	t := newTarget(c, host, port, secure)
	t.users = 1
	c.targets[key] = t
	c.running.Go(func() {
		t.run()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.targets[key] == t {
			delete(c.targets, key)
		}
	})
	return t, nil
}

// dropIdle ends the connection that was not used for longest, and says whether there was one. mu is held.
func (c *Client) dropIdle() bool {
	var key string
	var idlest *target
	for k, t := range c.targets {
		if t.users == 0 && (idlest == nil || t.used.Before(idlest.used)) {
			key, idlest = k, t
		}
	}
	if idlest == nil {
		return false
	}
	delete(c.targets, key)
	idlest.fail(errClientClosed)
	return true
}

func (c *Client) release(t *target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.users--; t.users > 0 {
		return
	}
	used := time.Now()
	t.used = used
	if t.timer != nil {
		t.timer.Stop()
	}
	t.timer = time.AfterFunc(c.idle, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if t.users == 0 && t.used.Equal(used) {
			t.fail(errClientClosed)
		}
	})
	if c.closed {
		t.timer.Stop()
	}
}

// readAnswer maps a response to the primitive (TS-0008 clauses 6.2.2.4 and 6.2.4).
func readAnswer(m *message.Message, req *onem2m.Request) (*onem2m.Response, error) {
	rsp := &onem2m.Response{}
	var path string
	var after time.Duration
	format := uint32(none)
	for _, o := range m.Options {
		n, _ := uintValue(o.Value)
		switch o.ID {
		case optionRSC, mobiusRSC:
			rsp.Status = onem2m.StatusCode(n)
		case optionRQI, mobiusRQI:
			rsp.RequestID = string(o.Value)
		case optionRVI:
			rsp.ReleaseVersion = string(o.Value)
		case optionOT:
			rsp.OriginatingTimestamp = string(o.Value)
		case optionVSI:
			rsp.VendorInformation = string(o.Value)
		case optionCTS:
			rsp.ContentStatus = uint8(n)
		case optionCTO:
			rsp.ContentOffset = int64(n)
		case message.LocationPath:
			path += "/" + string(o.Value)
		case message.ContentFormat:
			format = n
		case message.MaxAge:
			after = time.Duration(n) * time.Second
		default:
			if _, ok := definitions[o.ID]; !ok && critical(o.ID) {
				return nil, fmt.Errorf("the answer has the critical option %d, which is not known (RFC 7252 clause 5.4.1)", o.ID)
			}
		}
	}
	success := m.Code>>5 == 2
	switch {
	case m.Code == codes.ServiceUnavailable || m.Code == codes.TooManyRequests:
		return nil, &binding.AnswerError{Code: answerCode(m.Code), After: after}
	case rsp.Status == 0 && success:
		rsp.Status = statusOf(req.Operation, m.Code)
	case rsp.Status == 0:
		return nil, &binding.AnswerError{Code: answerCode(m.Code), Final: m.Code>>5 == 4 && m.Code != codes.RequestEntityIncomplete}
	}
	if path != "" {
		rsp.Location = path[1:]
	}
	content, err := answerContent(m.Payload, format)
	if err != nil && req.Operation != onem2m.Notify && rsp.Status.Success() {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	rsp.Content = content
	return rsp, nil
}

// answerCode writes a response code as a number: 4.04 is 404.
func answerCode(c codes.Code) int { return int(c>>5)*100 + int(c&31) }

func answerContent(payload []byte, format uint32) ([]byte, error) {
	if len(payload) == 0 {
		return nil, nil
	}
	cbor, ok := isCBOR(format)
	switch {
	case !ok:
		return nil, fmt.Errorf("Content-Format %d is neither JSON nor CBOR", format)
	case cbor:
		return onem2m.CBORToJSON(payload)
	}
	return onem2m.ScanValue(payload)
}
