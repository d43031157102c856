package httpbinding

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// maxAnswer is the largest content of a response that a client takes, in bytes.
const maxAnswer = 1 << 20

// Client sends request primitives over HTTP and HTTPS (TS-0009 clause 6). It implements binding.Client.
//
// Where a request goes: when To is a resource ID or an address below a CSE, it is mapped to a path that follows that of
// the URL, and parameters to its query. When To is empty, or a URL itself, the URL is the target as it is: so it is with
// notifications to a URL.
type Client struct{ http http.Client }

// NewTransport returns what carries the requests of a client, without a proxy, to servers with certificates of roots; nil
// stands for those of the system.
func NewTransport(roots *x509.CertPool) http.RoundTripper {
	return &http.Transport{
		TLSClientConfig:        &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    2,
		MaxResponseHeaderBytes: 16 << 10,
		// A gzipped answer could be larger than its bytes on the wire.
		DisableCompression: true,
	}
}

// NewClient returns a client that sends requests by a transport, or by NewTransport(nil) when that is nil.
func NewClient(transport http.RoundTripper) *Client {
	if transport == nil {
		transport = NewTransport(nil)
	}
	return &Client{http.Client{
		Transport: transport,
		// A redirect may not move a request to another host, nor turn it into a GET, whose success would say nothing.
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			first := via[0]
			if len(via) > 3 || req.Method != first.Method || req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}}
}

// Close closes the connections that no request uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Send implements binding.Client. A target that answers without X-M2M-RSC but with an HTTP status of success has taken
// the request: the status is OK then. The error has no address, which may hold a password; it is a
// *binding.AnswerError when the target answered.
func (c *Client) Send(ctx context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
	var written atomic.Bool
	r, err := newRequest(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(w httptrace.WroteRequestInfo) { written.Store(w.Err == nil) },
	}), to, req)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		if written.Load() && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", binding.ErrNoAnswer, err)
		}
		return nil, err
	}
	defer answer.Body.Close()
	return readAnswer(answer, req)
}

var methods = map[onem2m.Operation]string{
	onem2m.Create: http.MethodPost, onem2m.Notify: http.MethodPost, onem2m.Retrieve: http.MethodGet,
	onem2m.Update: http.MethodPut, onem2m.Delete: http.MethodDelete,
}

// newRequest maps a request primitive (TS-0009 clauses 6.2 and 6.4).
func newRequest(ctx context.Context, to binding.Address, req *onem2m.Request) (*http.Request, error) {
	u, err := targetURL(to.URL, req)
	if err != nil {
		return nil, err
	}
	method, ok := methods[req.Operation]
	if !ok {
		return nil, fmt.Errorf("operation %d has no HTTP method", req.Operation)
	}
	format, content := formatJSON, req.Content
	if to.CBOR {
		format = formatCBOR
		if len(content) > 0 {
			if content, err = onem2m.JSONToCBOR(content); err != nil {
				return nil, fmt.Errorf("encode the content as CBOR: %w", err)
			}
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://host/", bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	r.URL, r.Host = u, u.Host
	setHeaders(r.Header, req)
	r.Header["Accept"] = format.header
	if authorization := authorizationHeader(to.Token, req.Tokens); authorization != "" {
		r.Header["Authorization"] = []string{authorization}
	}
	// Nothing follows the media type but what a CREATE needs: deployed receivers of notifications compare it letter by letter.
	switch {
	case req.Operation == onem2m.Create:
		r.Header["Content-Type"] = []string{format.mediaType + ";ty=" + strconv.Itoa(int(req.Type))}
	case len(content) > 0:
		r.Header["Content-Type"] = format.header
	}
	return r, nil
}

// authorizationHeader is what authorizationTokens reads, "" when there is nothing to say.
func authorizationHeader(credential string, tokens []string) string {
	if credential == "" {
		return strings.Join(tokens, "+")
	}
	return "Bearer " + strings.Join(append([]string{credential}, tokens...), "+")
}

// setHeaders writes the request parameters that are headers, spelled as in TS-0009: some receivers compare that way.
func setHeaders(h http.Header, req *onem2m.Request) {
	release := req.ReleaseVersion
	if release == "" {
		release = "4"
	}
	for _, p := range [...]struct{ key, value string }{
		{"X-M2M-Origin", req.From}, {headerRI, req.RequestID}, {headerRVI, release},
		{headerOT, req.OriginatingTimestamp}, {"X-M2M-RET", req.RequestExpiration}, {"X-M2M-RST", req.ResultExpiration},
		{"X-M2M-OET", req.OperationExecution}, {"X-M2M-EC", req.EventCategory}, {"X-M2M-GID", req.GroupRequestID},
		{headerVSI, req.VendorInformation}, {"X-M2M-RTU", strings.Join(req.NotificationURIs, "&")},
		{"User-Agent", "tallystick"},
	} {
		if p.value != "" {
			h[p.key] = []string{p.value}
		}
	}
}

// targetURL gives the URL of a request; the address mapping is parseAddress's, the other way.
func targetURL(base string, req *onem2m.Request) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("the target's address is no URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the target's address has scheme %q and host %q; want http or https and a host", u.Scheme, u.Host)
	}
	u.Fragment = ""
	if req.To == "" || strings.Contains(req.To, "://") {
		return u, nil
	}
	path := "/" + req.To
	switch {
	case strings.HasPrefix(req.To, "//"):
		path = "/_" + req.To[1:]
	case req.To[0] == '/':
		path = "/~" + req.To
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+path, ""
	query := []byte(u.RawQuery)
	for name, values := range req.Parameters() {
		if len(query) > 0 {
			query = append(query, '&')
		}
		query = append(append(query, url.QueryEscape(name)...), '=')
		for i, v := range values {
			if i > 0 {
				query = append(query, '+')
			}
			// As QueryEscape, but that a '+' means a blank only to some receivers.
			query = append(query, strings.ReplaceAll(url.QueryEscape(v), "+", "%20")...)
		}
	}
	u.RawQuery = string(query)
	return u, nil
}

// readAnswer maps an HTTP response to the response primitive (TS-0009 clauses 6.3 and 6.4).
func readAnswer(answer *http.Response, req *onem2m.Request) (*onem2m.Response, error) {
	status, err := answerStatus(answer)
	h := answer.Header
	rsp := &onem2m.Response{
		Status: status, RequestID: h.Get(headerRI), ReleaseVersion: h.Get(headerRVI),
		OriginatingTimestamp: h.Get(headerOT), VendorInformation: h.Get(headerVSI), Location: h.Get("Content-Location"),
	}
	raw, readErr := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if n, err := strconv.ParseUint(h.Get(headerCTS), 10, 8); err == nil {
		rsp.ContentStatus = uint8(n)
	}
	if n, err := strconv.ParseUint(h.Get(headerCTO), 10, 63); err == nil {
		rsp.ContentOffset = int64(n)
	}
	switch rsp.Content, err = answerContent(raw, h.Get("Content-Type")); {
	case err == nil && readErr == nil:
		return rsp, nil
	case req.Operation == onem2m.Notify || !status.Success():
		// The status says all; receivers of notifications answer with texts of all kinds.
		rsp.Content = nil
		return rsp, nil
	case readErr != nil:
		return nil, fmt.Errorf("read the answer: %w", readErr)
	}
	return nil, fmt.Errorf("read the answer: %w", err)
}

// answerStatus gives the response status code. Where the answer has none, success is OK.
func answerStatus(answer *http.Response) (onem2m.StatusCode, error) {
	after := retryAfter(answer)
	if code, err := strconv.ParseUint(strings.TrimSpace(answer.Header.Get(headerRSC)), 10, 16); err == nil {
		status := onem2m.StatusCode(code)
		final := status.Success() || code >= 4000 && code < 5000 && status != onem2m.StatusRequestTimeout || code >= 6000
		if after > 0 && !final {
			return 0, &binding.AnswerError{Code: int(code), After: after}
		}
		return status, nil
	}
	code := answer.StatusCode
	if code >= 200 && code < 300 {
		return onem2m.StatusOK, nil
	}
	failure := &binding.AnswerError{Code: code, After: after}
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		failure.Final = code >= 400 && code < 500
	}
	return 0, failure
}

// answerContent gives the content as JSON text, nil when there is none.
func answerContent(raw []byte, contentType string) ([]byte, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	if len(raw) > maxAnswer {
		return nil, fmt.Errorf("the content is longer than %d bytes", maxAnswer)
	}
	format, _, err := parseContentType(contentType)
	switch {
	case err != nil:
		return nil, err
	case format.cbor:
		return onem2m.CBORToJSON(raw)
	}
	return onem2m.ScanValue(raw)
}

// retryAfter is the pause in seconds that a target asks for (RFC 9110 clause 10.2.3); its other form, a date, depends
// on the target's clock and is left out.
func retryAfter(answer *http.Response) time.Duration {
	s, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(s) * time.Second
}
