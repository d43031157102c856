package httpbinding

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// PlainPrefix is where devices that speak no oneM2M send their readings: POST with any body, or GET with parameters, to
// PlainPrefix<ae>/<container path>. No address of oneM2M starts so, unless a CSEBase has that name.
const PlainPrefix = "/ingest/"

// servePlain answers with {"rsc":2001}, or {"rsc":4004,"dbg":"<reason>"}, and the HTTP status and X-M2M-RSC that go
// with the response status code.
func (b *server) servePlain(w http.ResponseWriter, x *exchange, r *http.Request) {
	// A GET that a cache answers stores nothing.
	w.Header()["Cache-Control"] = []string{"no-store"}
	x.plain = true
	var held share
	defer b.giveBack(&held)
	m, err := b.parsePlain(x, r, &held)
	if err != nil {
		b.refuse(w, x, err)
		return
	}
	rsp := b.plain.Ingest(r.Context(), m, x.evidence)
	if rsp.Status.Success() {
		Shown(r, x.evidence)
	}
	b.respond(w, x, rsp)
}

// parsePlain fills the message. The body is the message's own.
func (b *server) parsePlain(x *exchange, r *http.Request, held *share) (*binding.Message, error) {
	m := &binding.Message{SourceIP: sourceIP(r.RemoteAddr)}
	x.evidence.Binding = "http"
	x.evidence.Source, x.evidence.Key = m.SourceIP, binding.PeerKey(r.TLS)
	var authorization string
	for _, h := range [...]struct {
		key string
		dst *string
	}{
		{"X-M2m-Ri", &x.req.RequestID}, {"X-M2m-Origin", &m.From}, {"Authorization", &authorization}, {"Content-Type", &m.MediaType},
	} {
		var err error
		if *h.dst, _, err = singleHeader(r.Header, h.key); err != nil {
			return nil, err
		}
	}
	x.evidence.Token = binding.Credential(authorization)
	x.req.Operation, x.req.From, x.req.To = onem2m.Create, m.From, r.URL.Path // for who is told of a refusal
	if foreign(x.evidence, r) {
		return nil, errForeign
	}
	if r.URL.RawPath != "" && hasEncodedSlash(r.URL.RawPath) {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the path has a percent-encoded slash, which no resource name has")
	}
	m.Path = strings.TrimSuffix(r.URL.Path[len(PlainPrefix):], "/")
	switch r.Method {
	case http.MethodGet:
		switch {
		case r.ContentLength != 0:
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "a GET has no body; its parameters are the reading")
		case r.URL.RawQuery == "":
			return nil, onem2m.Errorf(onem2m.StatusBadRequest, "the GET has no parameters; readings are read at their oneM2M address")
		}
		m.Query = r.URL.RawQuery
		return m, nil
	case http.MethodPost:
	default:
		return nil, onem2m.Errorf(onem2m.StatusOperationNotAllowed, "method %.16q is neither POST nor GET", r.Method)
	}
	if r.URL.RawQuery != "" {
		return nil, onem2m.Errorf(onem2m.StatusBadRequest, "a POST has its reading in the body and no parameters")
	}
	var err error
	m.Body, err = b.readBody(x.evidence, r, held)
	return m, err
}

// plainContent is the body of an answer to a plain device.
func plainContent(rsp *onem2m.Response) []byte {
	out := strconv.AppendInt([]byte(`{"rsc":`), int64(rsp.Status), 10)
	if why := onem2m.Field(rsp.Content, "m2m:dbg"); why != nil {
		out = append(append(out, `,"dbg":`...), why...)
	}
	return append(out, '}')
}
