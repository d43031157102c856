// Package mobius translates between the standard and what clients send that were written for Mobius, the platform of
// KETI: the nCube family above all. Bindings and core do not know of it; ingress applies it to a request before anybody
// judges it, so that what is ordered is what the standard has.
package mobius

import (
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// release is the release version that a request without one counts as: such clients speak a release that had none.
const release = "2a"

// Request makes of a request what the standard has. name and cseID are the CSE's: the CSEBase's resource name and the
// SP-relative CSE-ID.
//
//   - A target with a slash before the name of the CSEBase, "/Mobius/ae", is CSE-relative.
//   - An originator with a slash before an AE-ID, "/Sae", is that AE-ID.
//   - A request without a release version indicator counts as one of release 2.
//   - Numbers and booleans may be strings, a list of one value that value, and an AE need not say supportedReleaseVersions.
//   - Content that is an empty object is none.
//   - DELETE answers what was deleted, unless another result content is asked for: nCube takes a response without content
//     for a broken one.
func Request(req *onem2m.Request, name, cseID string) {
	req.To = target(req.To, name, cseID)
	if id, ok := strings.CutPrefix(req.From, "/"); ok && id != "" && (id[0] == 'C' || id[0] == 'S') && !strings.Contains(id, "/") && req.From != cseID {
		req.From = id
	}
	if req.ReleaseVersion == "" {
		req.ReleaseVersion = release
	}
	switch {
	case isEmptyObject(req.Content):
		req.Content = nil
	case req.Operation == onem2m.Create || req.Operation == onem2m.Update:
		req.Content = content(req.Content, req.Operation == onem2m.Create)
	}
	if req.Operation == onem2m.Delete && req.ResultContent == onem2m.ResultContentDefault {
		req.ResultContent = onem2m.ResultContentAttributes
	}
}

// Response makes of a response what such clients know: an AE that is registered already is a conflict, upon which they
// look the AE up and go on.
func Response(rsp *onem2m.Response) {
	if rsp.Status == onem2m.StatusOriginatorHasAlreadyRegistered {
		rsp.Status = onem2m.StatusConflict
	}
}

// target drops the slash before the name of the CSEBase, unless what follows shows that it is a CSE-ID of the same name.
func target(to, name, cseID string) string {
	rest, ok := strings.CutPrefix(to, "/"+name)
	if !ok || rest != "" && rest[0] != '/' {
		return to
	}
	next, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	if cseID == "/"+name && (next == name || next == "-") {
		return to
	}
	return to[1:]
}

func isEmptyObject(content []byte) bool {
	text := strings.TrimSpace(string(content[:min(len(content), 64)]))
	return len(content) <= 64 && strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") && strings.TrimSpace(text[1:len(text)-1]) == ""
}
