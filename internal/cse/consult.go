package cse

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// Dynamic authorization (TS-0001 clauses 9.6.40 and 11.5.2, TS-0003 clause 7.3.2.2). What no policy and no token allows, a
// server may that the resource's dynamicAuthorizationConsultationIDs lead to. The accepting node asks it, before anything is
// ordered, and what it grants becomes a <token> that the CSE makes: state like any other, which every validator sees, with a
// holder, a resource, an end, and a place in the log. TS-0004 clause 7.5.1.2 would have an <accessControlPolicy> below the
// resource; most types of resources cannot have such a child, and one would end the default privileges of its creator.

// Bounds of a consultation.
const (
	maxConsultations = 4                // dynamicAuthorizationConsultations of one resource, and servers of one
	defaultGrant     = 10 * 60 * second // how long what was granted holds if nobody says
	maxGrant         = 24 * 3600 * second
	grantSlack       = 60 * second // that the clock of a node may be ahead of the blocks
)

// consultedKey is where the state has the <token> resources that consultations about a resource brought an originator.
func consultedKey(holder, ri string) string { return "consulted/" + holder + " " + ri }

// Consultation is what a dynamic authorization server is asked about a request that nothing allowed.
type Consultation struct {
	// Event is the NOTIFY to the server, {"m2m:seci":{"sit":1,...}}, at any of its points of access.
	Event Event
	// Consulted names the dynamicAuthorizationConsultation, Resource what is asked for, Holder who asks.
	Consulted, Resource, Holder string
	lifetime                    int64 // proposed, microseconds
}

// Consultations gives whom to ask about a request that was refused for want of a privilege, none when nobody can be.
func (c *Core) Consultations(r Reader, req *onem2m.Request, env Env) ([]Consultation, error) {
	t, err := c.resolve(r, wholeTarget(req).To, env.Time)
	switch {
	case asRefusal(err) != nil:
		return nil, nil
	case err != nil:
		return nil, err
	}
	originator := c.localID(req.From)
	if originator == "" || t.virtual == onem2m.TypeFanOutPoint || t.resource.Type == onem2m.TypePollingChannel {
		return nil, nil
	}
	var list []Consultation
	for _, id := range stringsOf(t.resource.Get("daci")) {
		dac, err := c.consultation(r, id, env.Time)
		if err != nil {
			return nil, err
		}
		if dac == nil {
			continue
		}
		x := Consultation{Consulted: dac.RI, Resource: t.resource.RI, Holder: originator, lifetime: proposedLifetime(dac, env.Time)}
		x.Event = Event{
			Subscription: dac.RI, Targets: stringsOf(dac.Get("dap")), Originator: c.cfg.CSEID,
			Content: c.consultationContent(r, req, &t, &x, env),
		}
		list = append(list, x)
	}
	return list, nil
}

// consultation gives an enabled dynamicAuthorizationConsultation, nil when there is none with that ID.
func (c *Core) consultation(r Reader, id string, now int64) (*Resource, error) {
	t, err := c.resolve(r, c.localID(id), now)
	switch {
	case asRefusal(err) != nil:
		return nil, nil
	case err != nil:
		return nil, err
	case t.isInstance || t.virtual != 0 || t.resource.Type != onem2m.TypeDAC || !trueValue(t.resource.Get("dae")):
		return nil, nil
	}
	return t.resource, nil
}

// checkConsultations refuses links to dynamicAuthorizationConsultations that do not exist, or that the originator may not
// retrieve: else it could make the servers of others work, and learn which there are.
func (c *Core) checkConsultations(r Reader, req *onem2m.Request, res *Resource, env Env) error {
	ids := stringsOf(res.Get("daci"))
	if len(ids) > maxConsultations {
		return refuse(onem2m.StatusNotAcceptable, "daci: %d links; the limit is %d", len(ids), maxConsultations)
	}
	for _, id := range ids {
		t, err := c.resolve(r, c.localID(id), env.Time)
		if asRefusal(err) == nil && err != nil {
			return err
		}
		ok := err == nil && !t.isInstance && t.virtual == 0 && t.resource.Type == onem2m.TypeDAC
		if ok {
			if ok, err = c.authorize(r, t.resource, req.From, accessRetrieve, newAccessContext(req, env, &t)); err != nil {
				return err
			}
		}
		if !ok {
			return refuse(onem2m.StatusBadRequest, "daci: %q is no dynamicAuthorizationConsultation of this CSE that you may retrieve", id)
		}
	}
	return nil
}

func completeConsultation(after *Resource) error {
	if n := len(stringsOf(after.Get("dap"))); n > maxConsultations {
		return refuse(onem2m.StatusNotAcceptable, "dynamicAuthorizationPoA (dap): %d addresses; the limit is %d", n, maxConsultations)
	}
	return nil
}

func proposedLifetime(dac *Resource, now int64) int64 {
	until, err := onem2m.ParseAbsRel(text(dac.Get("dal")), now)
	if dac.Get("dal") == nil || err != nil || until <= now {
		return defaultGrant
	}
	return min(until-now, maxGrant)
}

// consultationContent is the security information of a consultation (m2m:dynAuthDasRequest, TS-0004 clause 6.3.5.46).
func (c *Core) consultationContent(r Reader, req *onem2m.Request, t *target, x *Consultation, env Env) []byte {
	w := objectWriter{dst: []byte(`{"m2m:seci":{"sit":1,"dreq":{`)}
	w.text("or", c.cfg.absolute(x.Holder))
	w.number("trt", uint64(t.typ()))
	w.number("op", uint64(req.Operation))
	if ip, err := netip.ParseAddr(req.SourceIP); err == nil {
		family := `{"ip6":`
		if ip = ip.Unmap(); ip.Is4() {
			family = `{"ip4":`
		}
		w.raw("oip", append(onem2m.AppendQuote([]byte(family), ip.String()), '}'))
	}
	if len(req.RoleIDs) > 0 {
		w.raw("orid", appendStrings(nil, req.RoleIDs))
	}
	w.time("rts", env.Time)
	w.text("trid", c.cfg.SPID+c.cfg.CSEID+"/"+t.resource.RI)
	w.text("ppl", onem2m.FormatTime(env.Time+x.lifetime))
	if roles := c.rolesAskedFor(r, t, req, env); len(roles) > 0 {
		w.raw("rfa", appendStrings(nil, roles))
	}
	if len(req.TokenIDs) > 0 {
		w.raw("tids", appendStrings(nil, req.TokenIDs))
	}
	return append(w.dst, '}', '}', '}')
}

// absolute is the absolute form of an originator's ID.
func (cfg *Config) absolute(id string) string {
	switch {
	case strings.HasPrefix(id, "//"):
		return id
	case strings.HasPrefix(id, "/"):
		return cfg.SPID + id
	}
	return cfg.SPID + cfg.CSEID + "/" + id
}

// rolesAskedFor collects the Role-IDs that would allow the request (TS-0003 clause 7.3.2.2, step 2.2.1).
func (c *Core) rolesAskedFor(r Reader, t *target, req *onem2m.Request, env Env) []string {
	ctx := newAccessContext(req, env, t)
	if ctx.object == 0 {
		ctx.object = t.resource.Type
	}
	var roles []string
	for _, id := range c.compile(t.resource).acpi {
		acp, err := c.policy(r, id, env.Time)
		if err != nil || acp == nil {
			continue
		}
		for i := range c.compile(acp).privs {
			u := &c.compile(acp).privs[i]
			if u.operations&accessOf(req.Operation) == 0 || u.unsupported || !u.matchesObject(accessOf(req.Operation), ctx) || !u.matchesContext(ctx) {
				continue
			}
			for _, o := range u.originators {
				if _, _, ok := onem2m.SplitIssuedID(o); ok && !slices.Contains(roles, o) && len(roles) < maxTokenTargets {
					roles = append(roles, o)
				}
			}
		}
	}
	return roles
}

// Granted makes of the answer to a consultation the requests of the CSE that put on the ledger what it grants: the CREATE of a
// <token> each. None means that nothing was granted. name makes each Token-ID a new one; now is the node's clock.
func (c *Core) Granted(x *Consultation, answer []byte, name string, now int64) []*onem2m.Request {
	info := onem2m.Field(answer, "m2m:seci")
	if kind, _ := onem2m.Int(onem2m.Field(info, "sit")); kind != 2 {
		return nil
	}
	response := onem2m.Field(info, "dres")
	if response == nil {
		response = info
	}
	var made []*onem2m.Request
	create := func(id, jwt string, until int64) {
		w := objectWriter{dst: []byte(`{"m2m:tk":{`)}
		w.text("tkid", id)
		w.text("tkob", jwt)
		w.time("et", until)
		made = append(made, &onem2m.Request{
			Operation: onem2m.Create, Type: onem2m.TypeToken, To: c.cfg.BaseRI, From: c.cfg.CSEID, Content: append(w.dst, '}', '}'),
			RequestID: "-", ReleaseVersion: "4", ResultContent: onem2m.ResultContentNothing,
		})
	}
	if dai := onem2m.Field(response, "dai"); dai != nil {
		if rules := grantedRules(onem2m.Field(dai, "gp")); rules != nil {
			until := now + x.lifetime
			lifetime := onem2m.Field(dai, "pl")
			pl := text(lifetime)
			if pl == "" {
				pl = string(lifetime) // milliseconds as a number
			}
			if at, err := onem2m.ParseAbsRel(pl, now); err == nil && at > now {
				until = min(at, now+maxGrant)
			}
			id := name + "@" + c.domain()
			create(id, c.grantToken(x, id, rules, now, until), until)
		}
	}
	for _, jwt := range stringsOf(onem2m.Field(response, "tkns")) {
		t, err := c.parseToken(jwt)
		if err != nil || t.holder != x.Holder || t.keyID == "" || len(made) > maxConsultations {
			continue // not for this, or signed by nobody
		}
		create(t.id, jwt, min(t.end, now+maxGrant))
	}
	return made
}

// grantedRules reads grantedPrivileges: a m2m:setOfAcrs, or its rules as they are.
func grantedRules(gp []byte) []byte {
	switch {
	case len(gp) == 0:
		return nil
	case gp[0] == '[':
		return append(append([]byte(`{"acr":`), compact(gp)...), '}')
	case gp[0] == '{':
		return compact(gp)
	}
	return nil
}

// domain is what follows the '@' in IDs that this CSE issues: the domain name of its service provider.
func (c *Core) domain() string {
	d := strings.ToLower(strings.TrimPrefix(c.cfg.SPID, "//"))
	if _, _, ok := onem2m.SplitIssuedID("x@" + d); !ok {
		return "cse"
	}
	return d
}

// grantToken is the token of what a consultation granted. It is not signed: it is the CSE's own, on its own ledger.
func (c *Core) grantToken(x *Consultation, id string, rules []byte, now, until int64) string {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"none"}`))
	w := objectWriter{dst: []byte{'{'}}
	w.text("tkvr", "1")
	w.text("jti", id)
	w.text("iss", c.cfg.CSEID)
	w.text("azp", x.Holder)
	w.raw("nbf", appendNumericDate(nil, now-grantSlack))
	w.raw("exp", appendNumericDate(nil, max(until, now+second)))
	permissions := onem2m.AppendQuote([]byte(`{"pm":[{"ris":[`), x.Resource)
	permissions = append(append(permissions, `],"pv":`...), rules...)
	w.raw("tkps", append(permissions, "}]}"...))
	w.text("tkex", x.Consulted)
	return header + "." + base64.RawURLEncoding.EncodeToString(append(w.dst, '}')) + "."
}

// consulted lists the resources for which a <token> is found without being presented: those of a token that the CSE made.
func (c *Core) consulted(tk *Resource) []string {
	t := c.compile(tk).token
	if tk.Owner != c.cfg.CSEID || t == nil {
		return nil
	}
	var ids []string
	for _, p := range t.permissions {
		for _, id := range p.resources {
			if id = c.localID(id); !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// addConsulted adds the valid tokens that consultations about a resource have brought an originator.
func (c *Core) addConsulted(r Reader, tokens []*Resource, res *Resource, originator string, ctx *accessContext) ([]*Resource, error) {
	ids, err := listed(r, consultedKey(originator, res.RI))
	if err != nil {
		return nil, err
	}
	tokens = slices.Clip(tokens)
	for _, ri := range ids {
		tk, err := r.Resource(ri)
		if err != nil {
			return nil, err
		}
		why := c.tokenRefused(tk, originator, ctx.time)
		ctx.trace.token("(of a consultation)", ri, why)
		if why == "" && !slices.Contains(tokens, tk) {
			tokens = append(tokens, tk)
		}
	}
	return tokens, nil
}

// maxConsulted bounds the tokens that consultations about one resource keep for one originator.
const maxConsulted = 16

// checkConsulted refuses a <token> of the CSE itself that no consultation stands behind.
func (c *Core) checkConsulted(r Reader, t *token, p *permission, env Env) error {
	if p.anywhere {
		return refuse(onem2m.StatusOriginatorHasNoPrivilege, "token %q: what a consultation grants is for the resource that it was about", t.id)
	}
	for _, id := range p.resources {
		res, err := r.Resource(c.localID(id))
		if err != nil {
			return err
		}
		ok := false
		if res != nil {
			if ok, err = c.standsBehind(r, t, res, env.Time); err != nil {
				return err
			}
		}
		if !ok {
			return refuse(onem2m.StatusOriginatorHasNoPrivilege, "token %q: %s names nobody who grants it (daci)", t.id, id)
		}
		ids, err := listed(r, consultedKey(t.holder, res.RI))
		if err != nil {
			return err
		}
		if len(ids) >= maxConsulted {
			return refuse(onem2m.StatusNotAcceptable, "%q has %d tokens by consultations about %s; the limit is %d", t.holder, len(ids), res.RI, maxConsulted)
		}
	}
	return nil
}

// standsBehind says whether a resource still names, by an enabled dynamicAuthorizationConsultation, who granted a token: the
// one of which the CSE made it, or one whose points of access include the token's issuer.
func (c *Core) standsBehind(r Reader, t *token, res *Resource, now int64) (bool, error) {
	for _, id := range stringsOf(res.Get("daci")) {
		dac, err := c.consultation(r, id, now)
		if err != nil {
			return false, err
		}
		switch {
		case dac == nil:
		case t.issuer == c.cfg.CSEID:
			if t.extension == dac.RI {
				return true, nil
			}
		case slices.ContainsFunc(stringsOf(dac.Get("dap")), func(at string) bool { return c.localID(at) == t.issuer }):
			return true, nil
		}
	}
	return false, nil
}
