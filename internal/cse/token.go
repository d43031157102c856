package cse

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// tokensKey is where the state has the resource ID of the <token> with a Token-ID.
const tokensKey = "token/"

func tokenKey(tokenID string) string { return tokensKey + tokenID }

// Bounds of tokens.
const (
	maxPermissions  = 16 // of one token
	maxTokenTargets = 64 // resources and roles of one permission
	// MaxTokens bounds the Role-IDs and, apart from these, the tokens that one request presents.
	MaxTokens = 16
)

// token is the claim set of an authorization token (m2m:tokenClaimSet, TS-0004 clause 6.3.5.42, TS-0003 clause 7.3.2.6.2).
type token struct {
	id, holder, issuer string // the latter two in their local form
	begin, end         int64  // Unix microseconds
	audience           []string
	permissions        []permission
	extension          string
	plain              map[string][]byte // claims by the short names that the attributes of a <token> have

	keyID     string // kid; "" for a token that is not signed
	signed    string // what the signature is over
	signature []byte
}

// permission is one m2m:tokenPermission (TS-0004 clause 6.3.5.41).
type permission struct {
	resources []string // as the token has them
	anywhere  bool     // it has no resources, so that its roles hold for all
	rules     []rule
	raw       []byte // of the rules
	roles     []string
}

// claimNames are the names of the claims (TS-0003 table 7.3.2.6.2-1), by the short names of the attributes.
var claimNames = [...]struct{ attribute, claim string }{
	{"vr", "tkvr"}, {"tkid", "jti"}, {"tkhd", "azp"}, {"tkis", "iss"}, {"tknb", "nbf"}, {"tkna", "exp"}, {"tknm", "tknm"},
	{"tkau", "aud"}, {"tkps", "tkps"}, {"tkex", "tkex"},
}

// parseToken reads a token in JWS compact serialization, signed with EdDSA (RFC 8037) or not at all (alg none). It checks no
// signature.
func (c *Core) parseToken(jwt string) (*token, error) {
	bad := func(format string, args ...any) (*token, error) {
		return nil, refuse(onem2m.StatusBadRequest, "token: "+format, args...)
	}
	parts := strings.Split(jwt, ".")
	if len(parts) == 5 {
		return nil, refuse(onem2m.StatusNotImplemented, "token: encrypted tokens (JWE) are not supported")
	}
	if len(parts) != 3 || len(jwt) > onem2m.MaxJWT {
		return bad("it is no JSON Web Token in compact serialization of at most %d bytes", onem2m.MaxJWT)
	}
	header, err := decodePart(parts[0])
	if err != nil {
		return bad("header: %v", err)
	}
	t := &token{signed: parts[0] + "." + parts[1]}
	alg := ""
	for name, value := range onem2m.Fields(header) {
		switch name {
		case "alg":
			alg = text(value)
		case "kid":
			t.keyID = text(value)
		case "crit":
			return bad("header: it has critical extensions (crit), of which none is known")
		}
	}
	if t.signature, err = base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil {
		return bad("signature: it is no base64url")
	}
	switch {
	case alg == "none" && len(t.signature) == 0:
		t.keyID = ""
	case alg == "EdDSA" && len(t.signature) == ed25519.SignatureSize && t.keyID != "":
	case alg == "EdDSA":
		return bad("it has no Ed25519 signature, or does not name its key (kid)")
	default:
		return nil, refuse(onem2m.StatusNotImplemented, "token: algorithm (alg) %.16q; want EdDSA, or none and no signature", alg)
	}
	claims, err := decodePart(parts[1])
	if err != nil {
		return bad("claims: %v", err)
	}
	if err := c.readClaims(t, claims); err != nil {
		return nil, err
	}
	return t, nil
}

// decodePart decodes one part of a JSON Web Token, which must be a JSON object.
func decodePart(part string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, refuse(onem2m.StatusBadRequest, "it is no base64url")
	}
	value, err := onem2m.ScanValue(raw)
	if err != nil || value[0] != '{' {
		return nil, refuse(onem2m.StatusBadRequest, "it is no JSON object")
	}
	return value, nil
}

func (c *Core) readClaims(t *token, claims []byte) error {
	bad := func(format string, args ...any) error {
		return refuse(onem2m.StatusBadRequest, "token: "+format, args...)
	}
	t.plain = make(map[string][]byte, len(claimNames))
	for _, n := range claimNames {
		if v := onem2m.Field(claims, n.claim); v != nil {
			t.plain[n.attribute] = v
		}
	}
	t.id, t.extension = text(t.plain["tkid"]), text(t.plain["tkex"])
	t.holder, t.issuer = c.localID(text(t.plain["tkhd"])), c.localID(text(t.plain["tkis"]))
	if _, _, ok := onem2m.SplitIssuedID(t.id); !ok {
		return bad("Token-ID (jti) %.64q is not a name, '@' and a domain name", t.id)
	}
	if t.holder == "" || t.issuer == "" {
		return bad("it names no holder (azp) or no issuer (iss)")
	}
	if len(t.holder) > maxID || len(t.issuer) > maxID || !printable(t.holder) || !printable(t.issuer) {
		return bad("its holder (azp) or issuer (iss) is no ID of at most %d visible characters", maxID)
	}
	var ok bool
	if t.begin, ok = numericDate(t.plain["tknb"]); !ok {
		return bad("it has no time from which it holds (nbf), in whole seconds since 1970")
	}
	if t.end, ok = numericDate(t.plain["tkna"]); !ok || t.end <= t.begin {
		return bad("it has no time at which it ends (exp), in whole seconds since 1970, that is later than nbf")
	}
	if aud := t.plain["tkau"]; len(aud) > 0 && aud[0] == '"' {
		t.audience = []string{text(aud)} // RFC 7519 clause 4.1.3
	} else {
		t.audience = stringsOf(aud)
	}
	for raw := range onem2m.Elements(onem2m.Field(t.plain["tkps"], "pm")) {
		p := permission{resources: stringsOf(onem2m.Field(raw, "ris")), roles: stringsOf(onem2m.Field(raw, "rids"))}
		p.anywhere = onem2m.Field(raw, "ris") == nil
		if p.raw = onem2m.Field(raw, "pv"); p.raw != nil {
			p.rules = parseRules(p.raw)
		}
		t.permissions = append(t.permissions, p)
	}
	return nil
}

// numericDate reads a NumericDate of RFC 7519 as Unix microseconds.
func numericDate(value []byte) (int64, bool) {
	n, ok := onem2m.Int(value)
	if !ok || n < 0 || n > math.MaxInt64/second {
		return 0, false
	}
	return n * second, true
}

// completeToken checks a new <token> (TS-0001 clause 9.6.39, TS-0003 clause 7.3.2). A token counts only while a <token> of
// this CSE holds it: so all of them are on the ledger, and deleting the <token> ends one.
func (c *Core) completeToken(r Reader, req *onem2m.Request, env Env, before, after *Resource) error {
	if before != nil || env.Agreed {
		return nil
	}
	t, err := c.parseToken(text(after.Get("tkob")))
	if err != nil {
		return err
	}
	if err := t.agrees(after); err != nil {
		return err
	}
	if other, err := r.Aux(tokenKey(t.id)); err != nil {
		return err
	} else if other != nil {
		return refuse(onem2m.StatusConflict, "the token %q exists already: %s", t.id, other)
	}
	if t.end <= env.Time {
		return refuse(onem2m.StatusBadRequest, "token %q: it has ended (exp)", t.id)
	}
	if err := c.checkIssuer(r, t, c.localID(req.From), env); err != nil {
		return err
	}
	if err := c.guardToken(r, t, env); err != nil {
		return err
	}
	return c.checkPermissions(r, t, c.localID(req.From), env)
}

// agrees refuses attributes of a <token> that say other than the token itself.
func (t *token) agrees(res *Resource) error {
	for _, n := range claimNames {
		is, says := t.plain[n.attribute], res.Get(n.attribute)
		if says == nil {
			continue
		}
		same := bytes.Equal(compact(says), compactOf(is))
		switch n.attribute {
		case "tknb":
			same = sameTime(says, t.begin)
		case "tkna":
			same = sameTime(says, t.end)
		case "tkau":
			same = slices.Equal(stringsOf(says), t.audience)
		}
		if !same {
			return refuse(onem2m.StatusBadRequest, "attribute %s is not what the tokenObject (tkob) says: %.128s", n.attribute, is)
		}
	}
	return nil
}

func compactOf(value []byte) []byte {
	if value == nil {
		return nil
	}
	return compact(value)
}

func sameTime(value []byte, at int64) bool {
	v, err := onem2m.ParseTime(text(value))
	return err == nil && v == at
}

// checkIssuer refuses a token that its issuer did not issue: it is signed with a key of the issuer, or the issuer itself makes
// the <token>.
func (c *Core) checkIssuer(r Reader, t *token, originator string, env Env) error {
	if err := c.mayIssue(r, t.issuer, t.id); err != nil {
		return err
	}
	if t.keyID == "" {
		if t.issuer != originator {
			return refuse(onem2m.StatusOriginatorHasNoPrivilege, "originator %q cannot make the token %q, which %q issues (iss) and has not signed", originator, t.id, t.issuer)
		}
		return nil
	}
	var holder string
	var key []byte
	if c.who.SigningKey != nil {
		var err error
		if holder, key, err = c.who.SigningKey(r, t.keyID, env.Time); err != nil {
			return err
		}
	}
	if holder == "" || c.localID(holder) != t.issuer || len(key) != ed25519.PublicKeySize {
		return refuse(onem2m.StatusOriginatorHasNoPrivilege, "token %q: key (kid) %.32q is no valid key of its issuer %q", t.id, t.keyID, t.issuer)
	}
	if !ed25519.Verify(key, []byte(t.signed), t.signature) {
		return refuse(onem2m.StatusOriginatorHasNoPrivilege, "token %q: its signature is wrong", t.id)
	}
	return nil
}

// checkPermissions refuses a token that gives roles which its issuer could not give by a <role>, or what no token can say.
// That the issuer may give the privileges is asked each time that the token is used (see mayGrant).
func (c *Core) checkPermissions(r Reader, t *token, originator string, env Env) error {
	if len(t.permissions) > maxPermissions {
		return refuse(onem2m.StatusNotAcceptable, "token %q has %d permissions; the limit is %d", t.id, len(t.permissions), maxPermissions)
	}
	for _, p := range t.permissions {
		switch {
		case len(p.resources) > maxTokenTargets || len(p.roles) > maxTokenTargets:
			return refuse(onem2m.StatusNotAcceptable, "token %q has a permission for more than %d resources or roles", t.id, maxTokenTargets)
		case p.raw != nil && p.anywhere:
			return refuse(onem2m.StatusBadRequest, "token %q has privileges (pv) without resources (ris)", t.id)
		case p.raw == nil && len(p.roles) == 0:
			return refuse(onem2m.StatusBadRequest, "token %q has a permission with neither privileges (pv) nor roles (rids)", t.id)
		}
		if p.raw != nil {
			if err := checkRules("tkps", p.raw); err != nil {
				return err
			}
		}
		for _, role := range p.roles {
			if _, _, ok := onem2m.SplitIssuedID(role); !ok {
				return refuse(onem2m.StatusBadRequest, "token %q: %.64q is no Role-ID", t.id, role)
			}
			if err := c.mayIssue(r, t.issuer, role); err != nil {
				return err
			}
		}
		if len(p.roles) > 0 {
			if err := c.mayMakeRoles(r, t, env); err != nil {
				return err
			}
		}
		if originator == c.cfg.CSEID {
			if err := c.checkConsulted(r, t, &p, env); err != nil {
				return err
			}
		}
	}
	return nil
}

// mayMakeRoles requires of the issuer of a token with roles what a <role> requires: the CREATE privilege on the CSEBase.
func (c *Core) mayMakeRoles(r Reader, t *token, env Env) error {
	base, err := r.Resource(c.cfg.BaseRI)
	if err != nil || base == nil {
		return err
	}
	ok, err := c.authorize(r, base, t.issuer, accessCreate, accessContext{time: env.Time, child: onem2m.TypeRole})
	if err == nil && !ok {
		err = refuse(onem2m.StatusOriginatorHasNoPrivilege, "token %q: its issuer %q may give no roles (it may not create a role below the CSEBase)", t.id, t.issuer)
	}
	return err
}

// tokenSet is the tokens that a request presents, looked up once.
type tokenSet struct {
	done bool
	list []*Resource // valid for the originator
}

// presented looks up the tokens of a request: those that are there and valid, for the holder and this CSE (TS-0003 clause
// 7.3.2.5). Others allow nothing.
func (c *Core) presented(r Reader, originator string, ctx *accessContext) ([]*Resource, error) {
	if ctx.tokens == nil || ctx.tokens.done {
		if ctx.tokens == nil {
			return nil, nil
		}
		return ctx.tokens.list, nil
	}
	ctx.tokens.done = true
	req := ctx.asserts
	look := func(shown, ri, jwt string) error {
		res, err := r.Resource(ri)
		if err != nil {
			return err
		}
		why := c.tokenRefused(res, originator, ctx.time)
		if why == "" && jwt != "" && text(res.Get("tkob")) != jwt {
			why = "the ledger has another one with that Token-ID"
		}
		ctx.trace.token(shown, ri, why)
		if why == "" && !slices.Contains(ctx.tokens.list, res) {
			ctx.tokens.list = append(ctx.tokens.list, res)
		}
		return nil
	}
	for _, id := range req.TokenIDs {
		ri, err := r.Aux(tokenKey(id))
		if err == nil {
			err = look(id, string(ri), "")
		}
		if err != nil {
			return nil, err
		}
	}
	for _, ri := range req.LocalTokenIDs {
		if err := look(ri, ri, ""); err != nil {
			return nil, err
		}
	}
	for _, jwt := range req.Tokens {
		t, err := c.parseToken(jwt)
		if err != nil {
			ctx.trace.token("(presented)", "", err.Error())
			continue
		}
		ri, err := r.Aux(tokenKey(t.id))
		if err == nil {
			err = look(t.id, string(ri), jwt)
		}
		if err != nil {
			return nil, err
		}
	}
	return ctx.tokens.list, nil
}

// TokenIDs gives the Token-IDs of the tokens that a request presents, in whatever way, and that this CSE has: what has to be
// ordered of them. That they are valid is not said by that.
func (c *Core) TokenIDs(r Reader, req *onem2m.Request) ([]string, error) {
	if len(req.Tokens)+len(req.LocalTokenIDs) == 0 {
		return req.TokenIDs, nil
	}
	ids := slices.Clone(req.TokenIDs)
	for _, ri := range req.LocalTokenIDs {
		res, err := r.Resource(ri)
		if err != nil {
			return nil, err
		}
		if res != nil && res.Type == onem2m.TypeToken {
			ids = append(ids, text(res.Get("tkid")))
		}
	}
	for _, jwt := range req.Tokens {
		t, err := c.parseToken(jwt)
		if err != nil {
			continue
		}
		ri, err := r.Aux(tokenKey(t.id))
		if err != nil {
			return nil, err
		}
		res, err := r.Resource(string(ri))
		if err != nil {
			return nil, err
		}
		if res != nil && text(res.Get("tkob")) == jwt {
			ids = append(ids, t.id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// tokenRefused says why a token does not count for an originator; "" when it does. res may be nil.
func (c *Core) tokenRefused(res *Resource, originator string, now int64) string {
	if res == nil || res.Type != onem2m.TypeToken || expired(res, now) {
		return "the ledger has no such token"
	}
	t := c.compile(res).token
	switch {
	case t == nil:
		return "it cannot be read"
	case t.holder != originator:
		return "it is for another holder"
	case now < t.begin:
		return "it does not hold yet"
	case now >= t.end:
		return "it has ended"
	case len(t.audience) > 0 && !slices.ContainsFunc(t.audience, c.isThisCSE):
		return "it is for other CSEs"
	}
	return ""
}

// isThisCSE says whether an entry of a token's audience is this CSE, in SP-relative or absolute form, with wildcards or not.
func (c *Core) isThisCSE(entry string) bool {
	if rest, ok := strings.CutPrefix(entry, c.cfg.SPID+"/"); ok {
		entry = "/" + rest
	}
	return matchOriginator(entry, c.cfg.CSEID) || matchOriginator(entry, c.cfg.SPID+c.cfg.CSEID)
}

// authorizeByTokens decides by the permissions of tokens (TS-0003 clause 7.3.2.5): of those that the request presents, and of
// those that a consultation about this resource has brought about.
func (c *Core) authorizeByTokens(r Reader, res *Resource, originator string, op access, ctx accessContext) (bool, error) {
	tokens, err := c.presented(r, originator, &ctx)
	if err != nil {
		return false, err
	}
	if res.Get("daci") != nil && originator != "" {
		if tokens, err = c.addConsulted(r, tokens, res, originator, &ctx); err != nil {
			return false, err
		}
	}
	for _, tk := range tokens {
		t := c.compile(tk).token
		for i := range t.permissions {
			p := &t.permissions[i]
			if len(p.rules) == 0 {
				continue
			}
			applies, err := c.appliesTo(r, p, res, ctx.time)
			if err != nil {
				return false, err
			}
			if !applies {
				continue
			}
			ok, err := c.mayGrant(r, tk, res, ctx.time)
			if err != nil {
				return false, err
			}
			ctx.trace.permission(tk, i, t, ok)
			if !ok {
				continue
			}
			var g grant
			ok, err = c.anyRule(r, p.rules, originator, op, ctx, &g)
			if ok || err != nil {
				return ok, err
			}
			if ctx.settle(&g, res, op) {
				return true, nil
			}
		}
	}
	return false, nil
}

// inTokenRole says whether a token that the request presents gives a role.
func (c *Core) inTokenRole(r Reader, roleID, originator string, ctx *accessContext) (bool, error) {
	tokens, err := c.presented(r, originator, ctx)
	if err != nil {
		return false, err
	}
	for _, tk := range tokens {
		for i := range c.compile(tk).token.permissions {
			p := &c.compile(tk).token.permissions[i]
			if !slices.Contains(p.roles, roleID) {
				continue
			}
			ok := p.anywhere
			if !ok && ctx.subject != nil {
				if ok, err = c.appliesTo(r, p, ctx.subject, ctx.time); err != nil {
					return false, err
				}
			}
			if ok {
				ctx.trace.role(roleID, tk.RI, roleByToken)
				return true, nil
			}
		}
	}
	return false, nil
}

// appliesTo says whether a resource is among those of a permission, named in any form.
func (c *Core) appliesTo(r Reader, p *permission, res *Resource, now int64) (bool, error) {
	for _, id := range p.resources {
		if id == res.RI {
			return true, nil
		}
		if !strings.Contains(id, "/") && id != "-" && id != c.cfg.Name {
			continue
		}
		t, err := c.resolve(r, id, now)
		switch {
		case asRefusal(err) != nil:
		case err != nil:
			return false, err
		case !t.isInstance && t.virtual == 0 && t.resource.RI == res.RI:
			return true, nil
		}
	}
	return false, nil
}

// mayGrant says whether the issuer of a token may give privileges on a resource: it may change the resource's policies, so that
// it could give the same by those. What the issuer lost, its tokens have lost too. Behind tokens that this CSE made of a
// consultation stands that the resource still names who was consulted.
func (c *Core) mayGrant(r Reader, tk, res *Resource, now int64) (bool, error) {
	if tk.Owner == c.cfg.CSEID {
		return c.standsBehind(r, c.compile(tk).token, res, now)
	}
	issuer := c.compile(tk).token.issuer
	ctx := accessContext{time: now, subject: res}
	if res.Type == onem2m.TypeACP {
		ctx.object = res.Type
		var g grant
		return c.anyRule(r, c.compile(res).self, issuer, accessUpdate, ctx, &g)
	}
	if res.Type == onem2m.TypePollingChannel {
		return false, nil
	}
	return c.mayUpdatePolicies(r, res, issuer, ctx)
}

// appendNumericDate appends a NumericDate claim.
func appendNumericDate(dst []byte, at int64) []byte { return strconv.AppendInt(dst, at/second, 10) }
