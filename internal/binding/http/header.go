package httpbinding

import (
	"net/http"
	"strings"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// singleHeader gets a header that may be given only once. The key is in net/http's canonical form.
func singleHeader(h http.Header, key string) (value string, given bool, err error) {
	v := h[key]
	switch len(v) {
	case 0:
		return "", false, nil
	case 1:
		return v[0], true, nil
	}
	return "", false, onem2m.Errorf(onem2m.StatusBadRequest, "header %s is given %d times", key, len(v))
}

// parseHeaders maps headers to request parameters (TS-0009 clause 6.4). Only those of a request primitive count;
// the source address is never taken from a header.
func parseHeaders(x *exchange, h http.Header) error {
	req := &x.req
	var authorization string
	fields := [...]struct {
		key string
		dst *string
	}{
		{"X-M2m-Ri", &req.RequestID},
		{"X-M2m-Rvi", &req.ReleaseVersion},
		{"X-M2m-Origin", &req.From},
		{"Authorization", &authorization},
		{"X-M2m-Ot", &req.OriginatingTimestamp},
		{"X-M2m-Ret", &req.RequestExpiration},
		{"X-M2m-Rst", &req.ResultExpiration},
		{"X-M2m-Oet", &req.OperationExecution},
		{"X-M2m-Ec", &req.EventCategory},
		{"X-M2m-Gid", &req.GroupRequestID},
		{"X-M2m-Vsi", &req.VendorInformation},
	}
	var first error
	for i := range fields {
		v, _, err := singleHeader(h, fields[i].key)
		if err != nil && first == nil {
			first = err
		}
		*fields[i].dst = v
	}
	if first != nil {
		return first
	}
	if req.RequestID == "" {
		return onem2m.Errorf(onem2m.StatusBadRequest, "the request has no X-M2M-RI header")
	}
	if err := parseTargets(req, h); err != nil {
		return err
	}
	x.evidence.Token, req.Tokens = authorizationTokens(authorization)
	return nil
}

// authorizationTokens parts an Authorization header: after the scheme Bearer comes the credential, and authorization tokens
// follow with a '+' before each. Without a scheme there are authorization tokens alone (TS-0009 clause 6.4.19).
func authorizationTokens(header string) (credential string, tokens []string) {
	shown := binding.Credential(header)
	if shown == "" {
		shown = header
	}
	if !strings.Contains(shown, ".") { // the usual case
		return binding.Credential(header), nil
	}
	parts := strings.Split(shown, "+")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	credentials, tokens := binding.SplitTokens(parts)
	switch {
	case len(tokens) == 0:
		return binding.Credential(header), nil // a '+' may be part of it
	case len(credentials) == 0 || binding.Credential(header) == "":
		return "", tokens
	}
	return credentials[0], tokens
}

// parseTargets reads X-M2M-RTU. One that is empty is an empty list, which is not the same as none.
func parseTargets(req *onem2m.Request, h http.Header) error {
	rtu, given, err := singleHeader(h, "X-M2m-Rtu")
	switch {
	case err != nil || !given:
		return err
	case rtu == "":
		req.NotificationURIs = []string{}
	default:
		req.NotificationURIs = strings.Split(rtu, "&")
	}
	return nil
}
