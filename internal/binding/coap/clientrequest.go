package coapbinding

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

var methods = map[onem2m.Operation]codes.Code{
	onem2m.Create: codes.POST, onem2m.Notify: codes.POST, onem2m.Retrieve: codes.GET, onem2m.Update: codes.PUT, onem2m.Delete: codes.DELETE,
}

// newRequest maps a request primitive (TS-0008 clause 6.2), all but token and message ID.
func newRequest(u *url.URL, to binding.Address, req *onem2m.Request) (*message.Message, error) {
	code, ok := methods[req.Operation]
	if !ok {
		return nil, fmt.Errorf("operation %d has no CoAP method", req.Operation)
	}
	m := &message.Message{Type: message.Confirmable, Code: code, Payload: req.Content}
	var query []string
	if to.Token != "" && mayCarryToken(u) {
		query = append(query, tokenParameter+to.Token)
	}
	for _, t := range req.Tokens {
		query = append(query, tokenParameter+t)
	}
	switch req.ResponseType {
	case 0, 3: // blocking
	default: // TS-0008 clauses 6.3.2 to 6.3.4
		m.Code = codes.POST
		query = append(query, "op="+strconv.Itoa(int(req.Operation)))
	}
	format := uint32(message.AppJSON)
	if to.CBOR {
		format = uint32(message.AppCBOR)
		if len(req.Content) > 0 {
			var err error
			if m.Payload, err = onem2m.JSONToCBOR(req.Content); err != nil {
				return nil, fmt.Errorf("encode the content as CBOR: %w", err)
			}
		}
	}
	if err := setTarget(m, u, req, query); err != nil {
		return nil, err
	}
	release := req.ReleaseVersion
	if release == "" {
		release = "4"
	}
	for _, p := range [...]struct {
		id    message.OptionID
		value string
	}{
		{optionFR, req.From}, {optionRQI, req.RequestID}, {optionRVI, release}, {optionOT, req.OriginatingTimestamp},
		{optionRQET, req.RequestExpiration}, {optionRSET, req.ResultExpiration}, {optionOET, req.OperationExecution},
		{optionGID, req.GroupRequestID}, {optionVSI, req.VendorInformation}, {optionRTURI, strings.Join(req.NotificationURIs, "&")},
	} {
		if len(p.value) > definitions[p.id].longest {
			return nil, fmt.Errorf("a parameter has %d bytes, too many for option %d", len(p.value), p.id)
		}
		m.Options = appendString(m.Options, p.id, p.value)
	}
	if ec, err := strconv.ParseUint(req.EventCategory, 10, 16); err == nil {
		m.Options = appendUint(m.Options, optionEC, uint32(ec))
	}
	if req.Type != 0 {
		m.Options = appendUint(m.Options, optionTY, uint32(req.Type))
	}
	if len(m.Payload) > 0 {
		m.Options = appendUint(m.Options, message.ContentFormat, format)
	}
	m.Options = appendUint(m.Options, message.Accept, format)
	sortOptions(m.Options)
	return m, nil
}

// mayCarryToken says whether a token may be sent to a target: nobody on the way can read it.
func mayCarryToken(u *url.URL) bool {
	if u.Scheme == "coaps" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Unmap().IsLoopback()
}

// setTarget writes host, path and query (RFC 7252 clause 6.4, TS-0008 clause 6.2.2.3).
func setTarget(m *message.Message, u *url.URL, req *onem2m.Request, query []string) error {
	if host := u.Hostname(); host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			m.Options = appendString(m.Options, message.URIHost, strings.ToLower(host))
		}
	}
	var path []string
	if p := strings.TrimPrefix(u.EscapedPath(), "/"); p != "" {
		for segment := range strings.SplitSeq(p, "/") {
			s, err := url.PathUnescape(segment)
			if err != nil {
				return fmt.Errorf("the target's address: %w", err)
			}
			path = append(path, s)
		}
	}
	if u.RawQuery != "" {
		for pair := range strings.SplitSeq(u.RawQuery, "&") {
			q, err := url.PathUnescape(pair)
			if err != nil {
				return fmt.Errorf("the target's address: %w", err)
			}
			query = append(query, q)
		}
	}
	if req.To != "" && !strings.Contains(req.To, "://") {
		if n := len(path); n > 0 && path[n-1] == "" {
			path = path[:n-1]
		}
		to := req.To
		switch {
		case strings.HasPrefix(to, "//"):
			path, to = append(path, "_"), to[2:]
		case to[0] == '/':
			path, to = append(path, "~"), to[1:]
		}
		path = append(path, strings.Split(to, "/")...)
		for name, values := range req.Parameters() {
			query = append(query, parameterOptions(name, values)...)
		}
	}
	for _, s := range path {
		if len(s) > 255 {
			return fmt.Errorf("the target's path has a segment of %d bytes; CoAP allows 255", len(s))
		}
		m.Options = append(m.Options, message.Option{ID: message.URIPath, Value: []byte(s)})
	}
	for _, q := range query {
		if len(q) > 255 {
			return fmt.Errorf("a parameter of the query has %d bytes; CoAP allows 255", len(q))
		}
		m.Options = append(m.Options, message.Option{ID: message.URIQuery, Value: []byte(q)})
	}
	return nil
}

// parameterOptions gives the values of a parameter as one option if they fit, else as one each.
func parameterOptions(name string, values []string) []string {
	if joined := name + "=" + strings.Join(values, "+"); len(joined) <= 255 {
		return []string{joined}
	}
	each := make([]string, len(values))
	for i, v := range values {
		each[i] = name + "=" + v
	}
	return each
}
