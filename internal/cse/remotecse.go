package cse

import (
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// isCSEID says whether an ID has the form of an SP-relative CSE-ID: "/mn-1" (TS-0001 table 7.2-1).
func isCSEID(id string) bool {
	return len(id) > 1 && len(id) <= maxAEID && id[0] == '/' && unreserved(id[1:])
}

// cseOf is the CSE-ID in an SP-relative ID: "/mn-1" of "/mn-1/Ca"; "" of a CSE-relative one.
func cseOf(id string) string {
	if id == "" || id[0] != '/' || strings.HasPrefix(id, "//") {
		return ""
	}
	if i := strings.IndexByte(id[1:], '/'); i >= 0 {
		return id[:1+i]
	}
	return id
}

// remoteRI is the resource ID of the <remoteCSE> of a CSE: the CSE-ID without its slash, so that it is found without a
// search. One that this CSE could assign to another resource gets a prefix.
func remoteRI(cseID string) string {
	stem := cseID[1:]
	other := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	if !strings.ContainsFunc(stem, other) {
		return "csr-" + stem
	}
	return stem
}

// authorizeRemote decides who may create a <remoteCSE>: a CSE its own, with a credential bound to its CSE-ID or, in a lab
// network, when it is on the list; this CSE that of its registrar; and the administrator of a lab network any
// (TS-0004 clause 7.4.4.2.1).
func (c *Core) authorizeRemote(r Reader, req *onem2m.Request, env Env, t *target, originator string) error {
	if originator == c.cfg.CSEID || c.labAdmin(originator) {
		return nil
	}
	if isCSEID(originator) && env.MayRegister && (!c.cfg.Lab || slices.Contains(c.cfg.MayRegister, originator)) {
		return nil
	}
	if !isCSEID(originator) || isAEID(originator[1:]) {
		return refuse(onem2m.StatusOperationNotAllowed, "originator %q is no CSE and cannot register as one", req.From)
	}
	return c.requireAccess(r, req, env, t, accessCreate)
}

// labAdmin says whether an originator is the administrator of a lab network.
func (c *Core) labAdmin(originator string) bool { return c.cfg.Lab && originator == c.cfg.Admin }

// assignRemoteID gives a <remoteCSE> its CSE-ID and resource ID. The CSE-ID is the originator's; only this CSE itself and
// the administrator of a lab network, who register others, say it. The owner is the CSE, except of the <remoteCSE> that
// this CSE made for its registrar: that stays its own.
func (c *Core) assignRemoteID(r Reader, originator string, res *Resource) error {
	given, base := text(res.Get("csi")), text(res.Get("cb"))
	id := originator
	if originator == c.cfg.CSEID || c.labAdmin(originator) {
		if id = given; id == "" {
			id = cseOf(c.withoutSP(base))
		}
	}
	switch {
	case !isCSEID(id) || id == c.cfg.CSEID:
		return refuse(onem2m.StatusBadRequest, "CSE-ID (csi) %q is not that of another CSE", id)
	case given != "" && c.withoutSP(given) != id:
		return refuse(onem2m.StatusBadRequest, "CSE-ID (csi) %q is not the originator %q", given, id)
	case cseOf(c.withoutSP(base)) != id:
		return refuse(onem2m.StatusBadRequest, "CSEBase (cb) %q is no address on the CSE %s", base, id)
	}
	if originator != c.cfg.CSEID {
		res.Owner = id
	}
	res.set("csi", onem2m.AppendQuote(nil, id))
	res.RI = remoteRI(id)
	taken, err := r.Resource(res.RI)
	switch {
	case err != nil:
		return err
	case taken != nil && taken.Type == onem2m.TypeRemoteCSE:
		return refuse(onem2m.StatusOriginatorHasAlreadyRegistered, "the CSE %s is already registered", id)
	case taken != nil:
		return refuse(onem2m.StatusConflict, "the CSE-ID %s is the ID of another resource", id)
	}
	return nil
}

// withoutSP reduces an absolute ID of this service provider to its SP-relative form.
func (c *Core) withoutSP(id string) string {
	if rest, ok := strings.CutPrefix(id, c.cfg.SPID+"/"); ok {
		return "/" + rest
	}
	return id
}

// remote returns the <remoteCSE> of a CSE, nil when it is not registered here.
func (c *Core) remote(r Reader, cseID string, now int64) (*Resource, error) {
	if !isCSEID(cseID) {
		return nil, nil
	}
	res, err := r.Resource(remoteRI(cseID))
	if err != nil || res == nil || res.Type != onem2m.TypeRemoteCSE || expired(res, now) || text(res.Get("csi")) != cseID {
		return nil, err
	}
	return res, nil
}

// Hop gives the CSE-ID of the next CSE on the way to another: that CSE itself when it is registered here, or else one of
// which it is a descendant, or else the registrar of this CSE; "" when there is no way (TS-0001 clause 10.1.1.2.2).
func (c *Core) Hop(r Reader, cseID string, now int64) (string, error) {
	if res, err := c.remote(r, cseID, now); err != nil || res != nil {
		return cseID, err
	}
	registrar := ""
	for ref, err := range r.Children(c.cfg.BaseRI, "") {
		if err != nil {
			return "", err
		}
		if ref.Type != onem2m.TypeRemoteCSE {
			continue
		}
		res, err := r.Resource(ref.RI)
		if err != nil {
			return "", err
		}
		switch {
		case res == nil || expired(res, now):
		case slices.Contains(stringsOf(res.Get("dcse")), cseID):
			return text(res.Get("csi")), nil
		case res.Owner == c.cfg.CSEID:
			registrar = text(res.Get("csi"))
		}
	}
	return registrar, nil
}

// SpeaksFor says whether requests of an originator may come from a CSE: they are its own, or those of an AE or CSE that is
// reached by way of it. So whoever is registered here is behind nobody else, whatever others say of their descendants.
func (c *Core) SpeaksFor(r Reader, cseID, originator string, now int64) (bool, error) {
	from := cseOf(originator)
	switch from {
	case "", c.cfg.CSEID:
		return false, nil
	case cseID:
		return true, nil
	}
	res, err := c.remote(r, cseID, now)
	if err != nil || res == nil {
		return false, err
	}
	if res.Owner != c.cfg.CSEID && !slices.Contains(stringsOf(res.Get("dcse")), from) {
		return false, nil
	}
	hop, err := c.Hop(r, from, now)
	return hop == cseID, err
}

// routeToCSE gives the way to an entity of another CSE.
func (c *Core) routeToCSE(r Reader, id, serialization string) Route {
	hop, err := c.Hop(r, cseOf(id), 0)
	if err != nil || hop == "" {
		return Route{}
	}
	res, err := c.remote(r, hop, 0)
	if err != nil || res == nil {
		return Route{}
	}
	return routeOf(r, res, Route{Entity: hop, To: id}, serialization)
}
