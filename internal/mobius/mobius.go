// Package mobius translates between the standard and what clients send that were written for Mobius, the platform of
// KETI: the nCube family above all. Bindings and core do not know of it; ingress applies it to a request before anybody
// judges it, so that what is ordered is what the standard has.
package mobius

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// release is the release version that a request without one counts as: such clients speak a release that had none.
const release = "2a"

// Request makes of a request what the standard has. name and cseID are the CSE's: the CSEBase's resource name and the
// SP-relative CSE-ID.
//
//   - A target with a slash before the name of the CSEBase, "/Mobius/ae", is CSE-relative.
//   - A target with a query, "/Mobius/ae?rcn=0", has these parameters, whatever the protocol.
//   - An originator with a slash before an AE-ID, "/Sae", is that AE-ID.
//   - A request without a release version indicator counts as one of release 2.
//   - Numbers and booleans may be strings, a list of one value that value, and an AE need not say supportedReleaseVersions.
//   - Content that is an empty object is none.
//   - DELETE answers what was deleted, unless another result content is asked for: nCube takes a response without content
//     for a broken one.
func Request(req *onem2m.Request, name, cseID string) {
	query(req)
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

// briefly are the attributes that a client leaves out of its notifications with rcn=9 in their address.
var briefly = []string{"cr", "st", "ct", "lt", "et", "ri", "pi", "rn", "ty", "fr"}

// Notification gives a request as it is to be sent to an address. Where a notification's URL has rcn=9 in its query, the
// resource in it goes without the attributes that all resources have: so devices ask that have room for messages of
// 400 bytes.
func Notification(req *onem2m.Request, address string) *onem2m.Request {
	u, err := url.Parse(address)
	if err != nil || req.Operation != onem2m.Notify || u.Query().Get("rcn") != "9" {
		return req
	}
	rep := onem2m.Field(onem2m.Field(onem2m.Field(req.Content, "m2m:sgn"), "nev"), "rep")
	tag, members, err := onem2m.ParseContent(rep)
	if err != nil {
		return req
	}
	short := append(onem2m.AppendQuote([]byte{'{'}, tag), ':', '{')
	for _, m := range members {
		if slices.Contains(briefly, m.Name) {
			continue
		}
		if short[len(short)-1] != '{' {
			short = append(short, ',')
		}
		short = append(append(onem2m.AppendQuote(short, m.Name), ':'), m.Value...)
	}
	short = append(short, '}', '}')
	out := *req
	out.Content = bytes.Replace(req.Content, rep, short, 1)
	return &out
}

// Unawaited says whether Mobius waits for no answer to a notification with this content. What asks the target's leave
// first (blocking update) is none: its answer counts.
func Unawaited(content []byte) bool {
	if sgn := onem2m.Field(content, "m2m:sgn"); sgn != nil {
		return string(onem2m.Field(onem2m.Field(sgn, "nev"), "net")) != "7"
	}
	return onem2m.Field(content, "m2m:agn") != nil
}

// query moves the query of a target into the request's parameters. One that cannot be read stays where it is, where it
// is no resource's address.
func query(req *onem2m.Request) {
	to, pairs, ok := strings.Cut(req.To, "?")
	if !ok {
		return
	}
	with := *req
	with.To = to
	if req.Filter != nil {
		filter := *req.Filter
		with.Filter = &filter
	}
	for pair := range strings.SplitSeq(pairs, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.PathUnescape(name)
		if err == nil {
			value, err = url.PathUnescape(value)
		}
		if err != nil || onem2m.SetParameter(&with, name, value) != nil {
			return
		}
	}
	*req = with
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
