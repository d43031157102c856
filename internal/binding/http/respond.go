package httpbinding

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// Header names are spelled as in TS-0009, not in net/http's canonical form: some devices compare letter by letter.
const (
	headerRSC = "X-M2M-RSC"
	headerRI  = "X-M2M-RI"
	headerRVI = "X-M2M-RVI"
	headerOT  = "X-M2M-OT"
	headerRST = "X-M2M-RST"
	headerEC  = "X-M2M-EC"
	headerVSI = "X-M2M-VSI"
	headerCTS = "X-M2M-CTS"
	headerCTO = "X-M2M-CTO"
)

// statusHeaders are the X-M2M-RSC values of the answers that a busy server gives most; shared, never changed.
var statusHeaders = map[onem2m.StatusCode][]string{
	onem2m.StatusOK:                       {"2000"},
	onem2m.StatusCreated:                  {"2001"},
	onem2m.StatusDeleted:                  {"2002"},
	onem2m.StatusUpdated:                  {"2004"},
	onem2m.StatusNotFound:                 {"4004"},
	onem2m.StatusInternalServerError:      {"5000"},
	onem2m.StatusOriginatorHasNoPrivilege: {"4103"},
}

// autoLength is the size up to which net/http finds Content-Length by itself.
const autoLength = 2048

// refuse answers a request that did not become a primitive.
func (b *server) refuse(w http.ResponseWriter, x *exchange, err error) {
	status, why := onem2m.StatusBadRequest, err.Error()
	var e *onem2m.Error
	if errors.As(err, &e) {
		status, why = e.Status, e.Message
	}
	if e != nil && (e == errUnknown || e == errHangUp) {
		if r, ok := b.handler.(binding.Refuser); ok {
			if not, _ := r.Refusal(x.evidence); not != nil {
				status, why = not.Status, not.Message
			}
		}
	}
	rsp := &onem2m.Response{Status: status, Content: append(onem2m.AppendQuote([]byte(`{"m2m:dbg":`), why), '}')}
	if e == errUnknown || e == errHangUp || e == errForeign { // what is refused later, the handler knows
		binding.Denied(b.handler, x.evidence, binding.Denial{
			Reason: binding.BadCredential, Doing: binding.Doing(x.req.Operation), From: x.req.From, To: x.req.To,
		})
	}
	switch {
	case e == b.tooLarge:
		b.write(w, x, rsp, http.StatusRequestEntityTooLarge)
		return
	case e == errHangUp:
		// Nobody reads a stranger's long body, not even to throw it away.
		w.Header()["Connection"] = []string{"close"}
	case status.HTTPStatus() == http.StatusMethodNotAllowed && x.plain:
		w.Header()["Allow"] = []string{"GET, POST"}
	case status.HTTPStatus() == http.StatusMethodNotAllowed:
		w.Header()["Allow"] = []string{"GET, POST, PUT, DELETE"}
	}
	b.respond(w, x, rsp)
}

// respond answers with a response primitive.
func (b *server) respond(w http.ResponseWriter, x *exchange, rsp *onem2m.Response) {
	if x.req.ResponseType == onem2m.ResponseTypeNone && rsp.Status.Success() {
		// The client wants no response, and HTTP cannot do without one. A request that was not met is still told so.
		w.WriteHeader(http.StatusNoContent)
		return
	}
	httpStatus := rsp.Status.HTTPStatus()
	if rsp.Status == onem2m.StatusSecurityAssociationRequired {
		httpStatus = http.StatusUnauthorized
		challenge := `Bearer realm="oneM2M"`
		if x.evidence.Token != "" {
			challenge += `, error="invalid_token"`
		}
		w.Header()["Www-Authenticate"] = []string{challenge}
	}
	if httpStatus == http.StatusTooManyRequests {
		w.Header()["Retry-After"] = []string{b.retryAfter(x)}
	}
	b.write(w, x, rsp, httpStatus)
}

// retryAfter is the value of that header, in seconds: what exceeds a quota may come again in a second, who is locked out has
// to wait longer (RFC 6585 clause 4).
func (b *server) retryAfter(x *exchange) string {
	after := time.Second
	if r, ok := b.handler.(binding.Refuser); ok {
		if _, d := r.Refusal(x.evidence); d > after {
			after = d
		}
	}
	return strconv.Itoa(int((after + time.Second - 1) / time.Second))
}

// write maps the response primitive (TS-0009 clauses 6.3 and 6.4).
func (b *server) write(w http.ResponseWriter, x *exchange, rsp *onem2m.Response, httpStatus int) {
	h := w.Header()
	// One array holds the values of all headers, instead of a small slice for each.
	values := make([]string, 0, 10)
	set := func(key, value string) {
		n := len(values)
		values = append(values, value)
		h[key] = values[n : n+1 : n+1]
	}
	if v, ok := statusHeaders[rsp.Status]; ok {
		h[headerRSC] = v
	} else {
		set(headerRSC, strconv.Itoa(int(rsp.Status)))
	}
	if x.req.RequestID != "" {
		set(headerRI, x.req.RequestID)
	}
	switch {
	case rsp.ReleaseVersion != "":
		set(headerRVI, rsp.ReleaseVersion)
	case x.req.ReleaseVersion != "":
		set(headerRVI, x.req.ReleaseVersion)
	default:
		set(headerRVI, b.release)
	}
	if rsp.Location != "" && rsp.Status == onem2m.StatusCreated {
		set("Content-Location", rsp.Location)
	}
	if rsp.OriginatingTimestamp != "" {
		set(headerOT, rsp.OriginatingTimestamp)
	}
	if rsp.ResultExpiration != "" {
		set(headerRST, rsp.ResultExpiration)
	}
	if rsp.EventCategory != "" {
		set(headerEC, rsp.EventCategory)
	}
	if rsp.VendorInformation != "" {
		set(headerVSI, rsp.VendorInformation)
	}
	if rsp.ContentStatus != 0 {
		set(headerCTS, strconv.Itoa(int(rsp.ContentStatus)))
	}
	if rsp.ContentOffset != 0 {
		set(headerCTO, strconv.FormatInt(rsp.ContentOffset, 10))
	}
	format, content := x.format, rsp.Content
	if x.plain {
		content = plainContent(rsp)
	}
	if len(content) == 0 {
		// There are clients that look at the media type before they look whether there is anything of it.
		h["Content-Type"] = format.header
		w.WriteHeader(httpStatus)
		return
	}
	if format.cbor {
		var err error
		if content, err = onem2m.JSONToCBOR(rsp.Content); err != nil {
			// A number in the resource has no CBOR form. The request is done: JSON says so, an error would not.
			format, content = formatJSON, rsp.Content
		}
	}
	h["Content-Type"] = format.header
	if len(content) > autoLength {
		h["Content-Length"] = []string{strconv.Itoa(len(content))}
	}
	w.WriteHeader(httpStatus)
	// A failed write means that the client is gone; there is nobody left to tell.
	_, _ = w.Write(content)
}
