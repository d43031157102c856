package httpbinding

import (
	"net/url"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// parseAddress maps the path of a request to the To parameter (TS-0009 clause 6.2.2.1, table 6.2.2.1-1):
//
//	/cse/x             cse/x               CSE-relative
//	/~/cse-id/x        /cse-id/x           SP-relative
//	/_/sp-id/cse-id/x  //sp-id/cse-id/x    absolute
//
// A percent-encoded slash is refused, because it would become a separator.
func parseAddress(u *url.URL) (string, error) {
	path := u.Path
	// RawPath is set only when decoding lost something; then an encoded slash may be in it.
	if u.RawPath != "" && hasEncodedSlash(u.RawPath) {
		return "", onem2m.Errorf(onem2m.StatusBadRequest, "the path has a percent-encoded slash, which no resource name has")
	}
	for i := range len(path) {
		c := path[i]
		if c <= ' ' || c >= 0x7f {
			return "", onem2m.Errorf(onem2m.StatusBadRequest, "the path has a character that no resource ID has, byte %d", i)
		}
		if c == '/' && i > 0 && path[i-1] == '/' {
			return "", onem2m.Errorf(onem2m.StatusBadRequest, "the path has an empty segment; write /~/ for an SP-relative and /_/ for an absolute address")
		}
	}
	rest, ok := strings.CutPrefix(path, "/")
	switch {
	case !ok || rest == "" || rest == "~" || rest == "~/" || rest == "_" || rest == "_/":
		return "", onem2m.Errorf(onem2m.StatusNotFound, "the path names no resource")
	case strings.HasPrefix(rest, "~/"):
		return rest[1:], nil
	case strings.HasPrefix(rest, "_/"):
		return "/" + rest[1:], nil
	}
	return rest, nil
}

func hasEncodedSlash(raw string) bool {
	for i := 0; i+2 < len(raw); i++ {
		if raw[i] == '%' && raw[i+1] == '2' && raw[i+2]|0x20 == 'f' {
			return true
		}
	}
	return false
}

// parseQuery hands each parameter of a query string to onem2m.SetParameter (TS-0009 clause 6.2.2.2), which knows how
// often each may be given. A '+' stays a '+': it parts the values of one parameter.
func parseQuery(req *onem2m.Request, query string) error {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.PathUnescape(name)
		if err == nil {
			value, err = url.PathUnescape(value)
		}
		if err != nil {
			return onem2m.Errorf(onem2m.StatusBadRequest, "query parameter %.64q: %v", pair, err)
		}
		if name == "ty" && (req.Operation == onem2m.Create || req.Operation == onem2m.Notify) {
			return onem2m.Errorf(onem2m.StatusBadRequest, "the query has ty; the resource type of a CREATE goes into Content-Type, as in application/json;ty=4")
		}
		if err := onem2m.SetParameter(req, name, value); err != nil {
			return err
		}
	}
	return nil
}
