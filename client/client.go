// Package client talks to a Tallystick node over oneM2M's HTTP binding: for applications, devices and the command
// line. Every success means committed.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

// Client is one originator at one node. It is safe for concurrent use.
type Client struct {
	base       string
	originator string
	token      string
	http       *http.Client
	timeout    time.Duration // of a request whose answer is read in one go
	requests   atomic.Uint64
	signer     *Signer // nil to sign nothing
}

// New returns a client of the node at base (https://host:port) for the originator that token was given to. The node's
// certificate must come from an authority of the system; NewTrusting has others.
func New(base, originator, token string, conns int) *Client {
	return NewTrusting(nil, base, originator, token, conns)
}

// NewTrusting returns a client of the node at base (https://host:port) for the originator that token was given to. The
// node's certificate must come from one of the authorities: the network's own are in ca.pem in the node's data folder.
// Up to conns connections are kept open. A request ends without an answer after a minute, or when its context does;
// what Stream returns ends only with its context.
func NewTrusting(authorities *x509.CertPool, base, originator, token string, conns int) *Client {
	return newClient(&tls.Config{RootCAs: authorities}, base, originator, token, conns)
}

// NewWithKey is NewTrusting for an originator that proves itself with a key (mutual TLS): certificate shows it, whoever
// issued that. The network's own authority issues one with an enrolment.
func NewWithKey(authorities *x509.CertPool, certificate tls.Certificate, base, originator string, conns int) *Client {
	return newClient(&tls.Config{RootCAs: authorities, Certificates: []tls.Certificate{certificate}}, base, originator, "", conns)
}

func newClient(secured *tls.Config, base, originator, token string, conns int) *Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = secured
	t.MaxIdleConns, t.MaxIdleConnsPerHost = conns, conns
	return &Client{
		base: strings.TrimSuffix(base, "/"), originator: originator, token: token,
		http: &http.Client{Transport: t}, timeout: time.Minute,
	}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// StatusError is a response that is no success.
type StatusError struct {
	Status onem2m.StatusCode // 0 when the node did not answer in oneM2M's terms
	HTTP   int
	Text   string
}

func (e *StatusError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("the node answers %d %s: %s", e.HTTP, http.StatusText(e.HTTP), e.Text)
	}
	return fmt.Sprintf("the node answers %d %s: %s", int(e.Status), e.Status, e.Text)
}

// IsStatus says whether err is a response with that status.
func IsStatus(err error, s onem2m.StatusCode) bool {
	var e *StatusError
	return errors.As(err, &e) && e.Status == s
}

// Create creates a resource below parent and returns the response content. content is the resource with its type's
// name around it, {"m2m:cnt":{...}}, as a value to encode or as json.RawMessage.
func (c *Client) Create(ctx context.Context, parent string, ty onem2m.ResourceType, content any) (json.RawMessage, error) {
	return c.do(ctx, onem2m.Create, parent, ty, content)
}

// Retrieve returns a resource.
func (c *Client) Retrieve(ctx context.Context, address string) (json.RawMessage, error) {
	return c.do(ctx, onem2m.Retrieve, address, 0, nil)
}

// Update changes a resource.
func (c *Client) Update(ctx context.Context, address string, content any) (json.RawMessage, error) {
	return c.do(ctx, onem2m.Update, address, 0, content)
}

// Delete deletes a resource.
func (c *Client) Delete(ctx context.Context, address string) error {
	_, err := c.do(ctx, onem2m.Delete, address, 0, nil)
	return err
}

// do sends one request primitive. A path that begins with a slash is SP-relative, or absolute with two (TS-0009
// clause 6.2.1).
func (c *Client) do(ctx context.Context, op onem2m.Operation, to string, ty onem2m.ResourceType, content any) (json.RawMessage, error) {
	path := to
	switch {
	case strings.HasPrefix(to, "//"):
		path = "_" + to[1:]
	case strings.HasPrefix(to, "/"):
		path = "~" + to
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, err := encode(content)
	if err != nil {
		return nil, err
	}
	req, err := c.request(ctx, methods[op], c.base+"/"+path, body)
	if err != nil {
		return nil, err
	}
	req.Header["X-M2M-Origin"] = []string{c.originator}
	req.Header["X-M2M-RI"] = []string{strconv.FormatUint(c.requests.Add(1), 36)}
	req.Header["X-M2M-RVI"] = []string{release}
	switch op {
	case onem2m.Create:
		req.Header.Set("Content-Type", "application/json;ty="+strconv.Itoa(int(ty)))
	case onem2m.Update:
		req.Header.Set("Content-Type", "application/json")
	}
	if c.signer != nil && op != onem2m.Retrieve {
		signed := onem2m.Request{Operation: op, From: c.originator, To: to, Type: ty, Content: body, ReleaseVersion: release}
		if err := c.signer.Sign(&signed); err != nil {
			return nil, err
		}
		req.Header["X-M2M-VSI"] = []string{signed.VendorInformation}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("read the response: %w", err)
	}
	rsc, _ := strconv.Atoi(resp.Header.Get("X-M2M-RSC"))
	if rsc < 2000 || rsc > 2999 {
		return nil, &StatusError{onem2m.StatusCode(rsc), resp.StatusCode, debugText(answer)}
	}
	return answer, nil
}

// release is the release version indicator of all requests.
const release = "4"

var methods = map[onem2m.Operation]string{
	onem2m.Create: http.MethodPost, onem2m.Retrieve: http.MethodGet, onem2m.Update: http.MethodPut, onem2m.Delete: http.MethodDelete,
}

// encode gives the JSON text of a content, nil for none.
func encode(content any) ([]byte, error) {
	if content == nil {
		return nil, nil
	}
	b, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return b, nil
}

func debugText(body []byte) string {
	var d struct {
		Text string `json:"m2m:dbg"`
	}
	if json.Unmarshal(body, &d) == nil && d.Text != "" {
		return d.Text
	}
	return strings.TrimSpace(string(body))
}

func (c *Client) request(ctx context.Context, method, url string, content []byte) (*http.Request, error) {
	var body io.Reader
	if content != nil {
		body = bytes.NewReader(content)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// Proof returns the proof bundle of a resource, or with resource "" of the log entry at index.
func (c *Client) Proof(ctx context.Context, resource string, index uint64) ([]byte, error) {
	q := url.Values{}
	if resource != "" {
		q.Set("resource", resource)
	} else {
		q.Set("index", strconv.FormatUint(index, 10))
	}
	return c.API(ctx, http.MethodGet, "/-/proof?"+q.Encode(), nil)
}

// API sends a request to one of the node's own pages, whose paths begin with /-/, and returns the body of the answer.
func (c *Client) API(ctx context.Context, method, path string, content any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.Stream(ctx, method, path, content)
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	return io.ReadAll(io.LimitReader(resp, 64<<20))
}

// Stream is API for an answer that is read while it comes, for as long as ctx allows. The caller closes it.
func (c *Client) Stream(ctx context.Context, method, path string, content any) (io.ReadCloser, error) {
	body, err := encode(content)
	if err != nil {
		return nil, err
	}
	req, err := c.request(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, &StatusError{0, resp.StatusCode, strings.TrimSpace(string(b))}
	}
	return resp.Body, nil
}
