package cse

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// maxAEID bounds an AE-ID that an originator chooses, in bytes.
const maxAEID = 128

// assignAEID makes a registering AE known by its AE-ID (TS-0004 clause 7.4.5.2.1, TS-0001 table 7.2-1): the originator's
// own when it names one, or one derived from the log index when it asks with "C", "S" or nothing. An AE-ID that has a
// credential but was never registered is not known here: whoever enrols AE-IDs must keep clear of assigned ones.
func (c *Core) assignAEID(r Reader, req *onem2m.Request, env Env, res *Resource) error {
	id := c.localID(req.From)
	if id == "" || id == "C" || id == "S" {
		return c.newAEID(r, id, env, res)
	}
	ri := id
	if c.cfg.Lab && isForeignAEID(id) {
		ri = id[len(cseOf(id))+1:]
	}
	if !isAEID(ri) || len(ri) > maxAEID || !unreserved(ri) {
		return refuse(onem2m.StatusBadRequest, "originator %q cannot be an AE-ID: it must be C or S followed by letters, digits, '-', '.', '_' or '~', at most %d in all", req.From, maxAEID)
	}
	taken, err := r.Resource(ri)
	if err != nil {
		return err
	}
	if taken != nil {
		return refuse(onem2m.StatusOriginatorHasAlreadyRegistered, "an AE with AE-ID %s is already registered", ri)
	}
	res.RI = ri
	res.identify(id)
	return nil
}

// newAEID gives an AE a new AE-ID; stem is C, S or nothing.
func (c *Core) newAEID(r Reader, stem string, env Env, res *Resource) error {
	if stem == "" {
		stem = "C"
	}
	id := stem + strconv.FormatUint(env.NextIndex, 36)
	for {
		taken, err := r.Resource(id)
		if err != nil {
			return err
		}
		if taken == nil {
			res.RI = id
			res.identify(id)
			return nil
		}
		// Somebody chose the ID that was due; a longer one is free.
		id += "-"
	}
}

// identify makes an AE known by its AE-ID. It is its own creator.
func (r *Resource) identify(aeID string) {
	r.Owner = aeID
	r.set("aei", onem2m.AppendQuote(nil, aeID))
}

// isForeignAEID says whether an ID is the SP-relative AE-ID of an AE that belongs to another CSE: "/mn-1/Ca".
func isForeignAEID(id string) bool {
	home := cseOf(id)
	return home != "" && len(id) > len(home)+1 && isAEID(id[len(home)+1:])
}

// unreserved says whether a string has only the unreserved characters of RFC 3986.
func unreserved(s string) bool {
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '.', b == '_', b == '~':
		default:
			return false
		}
	}
	return true
}

// serializations are the media types that an AE or a CSE can say it understands (TS-0004 clause 6.3.4.2, m2m:serializations).
// XML is among them, though nothing is sent in it.
var serializations = []string{"application/json", "application/cbor", "application/xml"}

// completeEntity checks how an AE or a CSE says that it can be reached (TS-0001 clauses 9.6.4 and 9.6.5).
func completeEntity(after *Resource) error {
	for _, s := range stringsOf(after.Get("csz")) {
		if !slices.Contains(serializations, s) {
			return refuse(onem2m.StatusBadRequest, "contentSerialization (csz) %q is not one of %s", s, strings.Join(serializations, ", "))
		}
	}
	return checkTargets("poa", stringsOf(after.Get("poa")))
}

// checkAppID refuses an App-ID that begins with r, which releases before 4 had for R (TS-0001 clause 7.1.3). The log does
// not keep the release of a request.
func (c *Core) checkAppID(req *onem2m.Request, res *Resource) error {
	if id := text(res.Get("api")); strings.HasPrefix(id, "r") && !c.cfg.Mobius && req.ReleaseVersion >= "4" {
		return refuse(onem2m.StatusBadRequest, "App-ID (api) %q begins with r: since release 4 it is R", id)
	}
	return nil
}
