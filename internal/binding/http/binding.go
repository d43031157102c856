// Package httpbinding turns HTTP requests into oneM2M request primitives and response primitives into HTTP responses
// (oneM2M TS-0009, published as ETSI TS 118 109). It holds no state, knows no rights and decides nothing about
// resources: everything that is well formed goes to the Handler.
//
// What the specification leaves open is decided as follows. A body that is too large is answered with HTTP 413 and
// CONTENTS_UNACCEPTABLE. A body without a Content-Type is answered with UNSUPPORTED_MEDIA_TYPE. Without an Accept
// header, or when it prefers nothing, the response has the serialization of the request. SECURITY_ASSOCIATION_REQUIRED
// is answered with HTTP 401 and WWW-Authenticate, as RFC 6750 clause 3 asks of a server that takes bearer tokens,
// instead of the 403 of TS-0009 clause 6.3.2; X-M2M-RSC has the code itself.
package httpbinding

import (
	"net/http"
	"strings"

	"golang.org/x/sync/semaphore"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// Limits unless Options say otherwise, in bytes.
const (
	// DefaultMaxBody is the largest request body accepted.
	DefaultMaxBody = 1 << 20
	// DefaultBodyMemory is what request bodies may take together.
	DefaultBodyMemory = 64 << 20
)

// Options of a binding. The zero value is ready to use.
type Options struct {
	// MaxBody is the largest request body in bytes, DefaultMaxBody when 0.
	MaxBody int64
	// BodyMemory is how many bytes of bodies over 4 KiB are held at a time, from before the first byte is read until
	// the request is executed; DefaultBodyMemory when 0, never less than MaxBody. Others wait for up to 10 s and are
	// then answered with INTERNAL_SERVER_ERROR.
	BodyMemory int64
	// Plain serves devices that speak no oneM2M, below PlainPrefix; nil when nobody does.
	Plain binding.Plain
	// Release is the X-M2M-RVI of a response to a request that had none, "4" when empty.
	Release string
}

type server struct {
	handler  binding.Handler
	plain    binding.Plain
	maxBody  int64
	release  string
	tooLarge *onem2m.Error
	memory   *semaphore.Weighted // in bytes
}

// New returns the binding as an HTTP handler. It must be mounted without path cleaning: redirects and merged slashes
// would change the meaning of an address.
func New(h binding.Handler, o Options) http.Handler {
	b := &server{handler: h, plain: o.Plain, maxBody: o.MaxBody, release: o.Release}
	if b.maxBody <= 0 {
		b.maxBody = DefaultMaxBody
	}
	if o.BodyMemory <= 0 {
		o.BodyMemory = DefaultBodyMemory
	}
	b.memory = semaphore.NewWeighted(max(o.BodyMemory, b.maxBody))
	if b.release == "" {
		b.release = "4"
	}
	b.tooLarge = onem2m.Errorf(onem2m.StatusContentsUnacceptable, "the body is longer than %d bytes", b.maxBody)
	return b
}

// exchange is what the response needs to know of the request beside the primitive.
type exchange struct {
	req      onem2m.Request
	evidence binding.Evidence
	format   *format // of the response
	plain    bool    // with a plain device
}

func (b *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{format: formatJSON}
	if b.plain != nil && strings.HasPrefix(r.URL.Path, PlainPrefix) {
		b.servePlain(w, x, r)
		return
	}
	rsp, err := b.execute(x, r)
	if err != nil {
		b.refuse(w, x, err)
		return
	}
	b.respond(w, x, rsp)
}

func (b *server) execute(x *exchange, r *http.Request) (*onem2m.Response, error) {
	var held share
	defer b.giveBack(&held)
	if err := b.parse(x, r, &held); err != nil {
		return nil, err
	}
	rsp := b.handler.Do(r.Context(), &x.req, x.evidence)
	if rsp.Status.Success() {
		Shown(r, x.evidence)
	}
	return rsp, nil
}

// parse fills the primitive. The request identifier comes first, so that a refusal can carry it.
func (b *server) parse(x *exchange, r *http.Request, held *share) error {
	req := &x.req
	req.ResultContent = onem2m.ResultContentDefault
	req.SourceIP = sourceIP(r.RemoteAddr)
	x.evidence.Binding = "http"
	x.evidence.Source, x.evidence.Key = req.SourceIP, binding.PeerKey(r.TLS)
	if err := parseHeaders(x, r.Header); err != nil {
		return err
	}
	if foreign(x.evidence, r) {
		return errForeign
	}
	x.evidence = x.evidence.SignedBy(req)
	body, err := parseMethod(req, r)
	if err != nil {
		return err
	}
	if x.format, err = negotiate(r.Header["Accept"], body); err != nil {
		x.format = formatJSON
		return err
	}
	if req.To, err = parseAddress(r.URL); err != nil {
		return err
	}
	if r.URL.RawQuery != "" {
		if err := parseQuery(req, r.URL.RawQuery); err != nil {
			return err
		}
	}
	req.Content, err = b.readContent(x, r, body, held)
	return err
}

var errForeign = onem2m.Errorf(onem2m.StatusOriginatorHasNoPrivilege, "a browser sent this request for a page of another site, and showed a certificate by itself; such a page has to show a token")

// foreign says whether all that a request shows is what a browser shows by itself, on behalf of another site.
func foreign(ev binding.Evidence, r *http.Request) bool {
	return ev.Key != "" && ev.Token == "" && binding.CrossSite(r.Header, r.Host)
}

// parseMethod finds the operation (TS-0009 clause 6.2.1) and the serialization of the body, nil when there is none.
// A POST whose Content-Type names a resource type is a CREATE, any other is a NOTIFY.
func parseMethod(req *onem2m.Request, r *http.Request) (body *format, err error) {
	switch r.Method {
	case http.MethodGet:
		req.Operation = onem2m.Retrieve
	case http.MethodDelete:
		req.Operation = onem2m.Delete
	case http.MethodPost:
		req.Operation = onem2m.Notify
	case http.MethodPut:
		req.Operation = onem2m.Update
	default:
		return nil, onem2m.Errorf(onem2m.StatusOperationNotAllowed, "method %.16q is none of GET, POST, PUT and DELETE", r.Method)
	}
	if req.Operation == onem2m.Retrieve || req.Operation == onem2m.Delete {
		// Many clients send a Content-Type with every request; without a body it says nothing but a resource type.
		if r.ContentLength != 0 {
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "a %s request has no body; attributes are asked for with atrl", r.Method)
		}
		if _, ty, err := parseContentType(r.Header.Get("Content-Type")); err == nil && ty != 0 {
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "a %s has no resource type; Content-Type says ty=%d", r.Method, int(ty))
		}
		return nil, nil
	}
	contentType, given, err := singleHeader(r.Header, "Content-Type")
	if err != nil {
		return nil, err
	}
	if !given {
		if r.ContentLength != 0 {
			return nil, onem2m.Errorf(onem2m.StatusUnsupportedMediaType, "the body has no Content-Type; use application/json")
		}
		return nil, nil
	}
	body, req.Type, err = parseContentType(contentType)
	switch {
	case err != nil:
		return nil, err
	case req.Type == 0:
	case req.Operation == onem2m.Update:
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "an UPDATE has no resource type; Content-Type says ty=%d", int(req.Type))
	default:
		req.Operation = onem2m.Create
	}
	return body, nil
}

// sourceIP is the address part of "host:port" without an IPv6 zone.
func sourceIP(remote string) string {
	i := strings.LastIndexByte(remote, ':')
	if i < 0 {
		return ""
	}
	host := remote[:i]
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	if z := strings.IndexByte(host, '%'); z >= 0 {
		host = host[:z]
	}
	return host
}
