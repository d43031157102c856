package mqttbinding

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// ClientOptions are the settings of a client.
type ClientOptions struct {
	// CSEID is the CSE-ID of this CSE with its leading slash.
	CSEID string
	// Broker is this node's own, nil when it has none: what is addressed to it is not sent over the network.
	Broker *Broker
	// Mobius reads an address with one level, mqtt://host/Cae, as the entity to which the request goes, on the topic
	// that TS-0010 clause 6.4.2 has for it. Where that entity is a client of Broker, the request goes there whatever the
	// host is: clients write the name by which they found this node, and it may not know that name.
	Mobius bool
	// RootCAs are the authorities that certificates of other brokers must come from; those of the system when nil.
	RootCAs *x509.CertPool
}

// Client sends request primitives over MQTT (TS-0010 clauses 6.4 and 6.6): through this node's broker, or through
// others, to which it keeps a connection for a while. It implements binding.Client.
type Client struct {
	o       ClientOptions
	remotes remotes
}

var _ binding.Client = (*Client)(nil)

// NewClient returns a client. Close must be called.
func NewClient(o ClientOptions) *Client { return &Client{o: o, remotes: remotes{roots: o.RootCAs}} }

// Close ends all connections.
func (c *Client) Close() { c.remotes.close() }

// destination is where a request goes and where its response is expected.
type destination struct {
	topic    string
	response string // "" when the topic is none of TS-0010's: then nobody answers
	receiver string
	cbor     bool
	entity   bool // the address names the receiver and no topic (ClientOptions.Mobius)
}

// Send implements binding.Client. Where the address names the whole topic (TS-0010 clause 6.6), and that is none of
// TS-0010's, there is no response: the request is sent when the broker acknowledges it.
func (c *Client) Send(ctx context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
	u, err := url.Parse(to.URL)
	if err != nil {
		return nil, errors.New("the target's address is no URL")
	}
	if u.Scheme != "mqtt" && u.Scheme != "mqtts" || u.Hostname() == "" {
		return nil, fmt.Errorf("the target's address has scheme %q and host %q; want mqtt or mqtts and a host", u.Scheme, u.Host)
	}
	d, err := c.destination(u, to.CBOR, req)
	if err != nil {
		return nil, err
	}
	out := *req
	if out.RequestID == "" {
		out.RequestID = newRequestID()
	}
	if out.ReleaseVersion == "" {
		out.ReleaseVersion = "4"
	}
	payload := onem2m.AppendRequest(nil, &out)
	if d.cbor {
		if payload, err = onem2m.JSONToCBOR(payload); err != nil {
			return nil, fmt.Errorf("encode the request as CBOR: %w", err)
		}
	}
	if b := c.o.Broker; b != nil && (d.entity && b.listens(&d) || b.serves(u)) {
		return b.call(ctx, d, out.RequestID, payload)
	}
	return c.remotes.call(ctx, u, d, out.RequestID, payload)
}

// destination gives the topic of a request. The path of a point of access comes before the topics of TS-0010; that of a
// notification URI is the topic.
func (c *Client) destination(u *url.URL, cbor bool, req *onem2m.Request) (destination, error) {
	cbor = cbor || u.Query().Get("ct") == "cbor"
	path := strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/")
	isURL := req.To == "" || strings.Contains(req.To, "://")
	t := oneM2MTopic{kind: kindRequest, originator: topicID(c.o.CSEID), cbor: cbor}
	entity := false
	switch {
	case isURL && path == "":
		return destination{}, errors.New("the target's address has no topic (TS-0010 clause 6.6)")
	case isURL && c.o.Mobius && !strings.Contains(path, "/"):
		t.receiver, path, entity = path, "", true
	case isURL:
		return wholeTopic(path, cbor)
	default:
		t.receiver = c.entity(req.To)
	}
	response := t
	response.kind = kindResponse
	return destination{
		topic: prefixed(path, t.String()), response: prefixed(path, response.String()), receiver: t.receiver, cbor: cbor, entity: entity,
	}, nil
}

// wholeTopic is the destination of an address that names a topic. The slash that the topics of TS-0010 begin with may
// be missing: it cannot be told from the one that begins a path.
func wholeTopic(topic string, cbor bool) (destination, error) {
	if strings.HasPrefix(topic, oneM2MPrefix[1:]) {
		topic = "/" + topic
	}
	if err := checkTopic(topic); err != nil {
		return destination{}, err
	}
	d := destination{topic: topic, cbor: cbor}
	i := strings.Index(topic, oneM2MPrefix)
	if i < 0 {
		return d, nil
	}
	if t, ok := parseOneM2M(topic[i:]); ok && t.kind == kindRequest {
		d.receiver, d.cbor = t.receiver, t.cbor
		t.kind = kindResponse
		d.response = topic[:i] + t.String()
	}
	return d, nil
}

func prefixed(path, topic string) string {
	if path == "" {
		return topic
	}
	return path + topic
}

// entity is the receiver of a request to an address: the CSE of an SP-relative or absolute one, or the entity itself.
func (c *Client) entity(to string) string {
	if rest, ok := strings.CutPrefix(to, c.o.CSEID+"/"); ok {
		to = rest
	}
	if strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
		to, _, _ = strings.Cut(to[1:], "/")
		return to
	}
	return topicID(to)
}

// serves says whether an address is one of this broker's listeners.
func (b *Broker) serves(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	host := strings.ToLower(u.Hostname())
	ip := net.ParseIP(host)
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, l := range b.listeners {
		own, ownPort, err := net.SplitHostPort(l.Addr().String())
		if err != nil || ownPort != port {
			continue
		}
		ownIP := net.ParseIP(own)
		switch {
		case ip != nil && ip.Equal(ownIP):
			return true
		case ownIP != nil && (ownIP.IsLoopback() || ownIP.IsUnspecified()) && (host == "localhost" || ip != nil && ip.IsLoopback()):
			return true
		case ownIP != nil && ownIP.IsUnspecified() && isInterface(ip):
			return true
		}
	}
	return false
}

// listens says whether a client that is the receiver of a request has subscribed to its topic.
func (b *Broker) listens(d *destination) bool {
	t, ok := parseOneM2M(d.topic)
	if !ok {
		return false
	}
	found := false
	b.subs.RLock()
	defer b.subs.RUnlock()
	b.trie.match(d.topic, func(sub *subscription) { found = found || sub.session.entitled(&t) }, func(*group) {})
	return found
}

func isInterface(ip net.IP) bool {
	if ip == nil {
		return false
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}

func defaultPort(scheme string) string {
	if scheme == "mqtts" {
		return "8883"
	}
	return "1883"
}

// call sends a request to a client of this broker and waits for its response.
func (b *Broker) call(ctx context.Context, d destination, request string, payload []byte) (*onem2m.Response, error) {
	t, ok := parseOneM2M(d.topic)
	if !ok || d.response == "" {
		return nil, &binding.AnswerError{Code: int(onem2m.StatusBadRequest), Final: true}
	}
	answer, forget, ok := b.calls.expect(callKey{d.receiver, request})
	if !ok {
		return nil, errors.New("too many requests wait for MQTT clients")
	}
	defer forget()
	if b.deliver(d.topic, payload, func(s *session) bool { return s.entitled(&t) }) == 0 {
		return nil, fmt.Errorf("no client has subscribed to %s", d.topic)
	}
	select {
	case resp := <-answer:
		return resp, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a response on %s: %w: %w", d.response, binding.ErrNoAnswer, ctx.Err())
	case <-b.ctx.Done():
		return nil, errors.New("the broker is closing")
	}
}

func newRequestID() string {
	var id [8]byte
	rand.Read(id[:])
	return "m" + hex.EncodeToString(id[:])
}
