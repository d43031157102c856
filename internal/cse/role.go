package cse

import (
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// rolesKey is where the state has the <role> resources that give one role to one originator: roles/<holder> <Role-ID>,
// their resource IDs with blanks between.
const rolesKey = "roles/"

// maxSameRole bounds the <role> resources that give the same role to the same originator: all of them may be looked at.
const maxSameRole = 8

func roleKey(holder, roleID string) string { return rolesKey + holder + " " + roleID }

// listed gives the resource IDs that an index has under a key.
func listed(r Reader, key string) ([]string, error) {
	b, err := r.Aux(key)
	return strings.Fields(string(b)), err
}

// enlist adds a resource ID to an index, unlist takes it off.
func enlist(st State, key, ri string) error {
	ids, err := listed(st, key)
	if err != nil || slices.Contains(ids, ri) {
		return err
	}
	return st.SetAux(key, []byte(strings.Join(append(ids, ri), " ")))
}

func unlist(st State, key, ri string) error {
	ids, err := listed(st, key)
	if err != nil {
		return err
	}
	if ids = slices.DeleteFunc(ids, func(id string) bool { return id == ri }); len(ids) == 0 {
		return st.SetAux(key, nil)
	}
	return st.SetAux(key, []byte(strings.Join(ids, " ")))
}

// linkRights keeps the indexes by which roles and tokens are found in step with a <role> or <token> that was made.
func (c *Core) linkRights(st State, made *Resource) error {
	return c.eachRight(made, func(key string) error { return enlist(st, key, made.RI) })
}

// unlinkRights does so for a resource that is removed.
func (c *Core) unlinkRights(st State, gone *Resource) error {
	return c.eachRight(gone, func(key string) error { return unlist(st, key, gone.RI) })
}

// eachRight gives the keys under which a <role> or <token> is found; none for other types.
func (c *Core) eachRight(res *Resource, do func(key string) error) error {
	switch res.Type {
	case onem2m.TypeRole:
		return do(roleKey(c.localID(text(res.Get("tkhd"))), text(res.Get("rlid"))))
	case onem2m.TypeToken:
		if err := do(tokenKey(text(res.Get("tkid")))); err != nil {
			return err
		}
		for _, ri := range c.consulted(res) {
			if err := do(consultedKey(c.compile(res).token.holder, ri)); err != nil {
				return err
			}
		}
	}
	return nil
}

// completeRole checks a new <role> (TS-0001 clause 9.6.38, TS-0003 clause 7.4.2.2): who makes it is its issuer, and gives no
// role of another organisation. What decides whether anybody may make it is the CREATE privilege on the CSEBase.
func (c *Core) completeRole(r Reader, req *onem2m.Request, env Env, before, after *Resource) error {
	if before != nil || env.Agreed {
		return nil
	}
	issuer, id := c.localID(req.From), text(after.Get("rlid"))
	if c.localID(text(after.Get("tkis"))) != issuer {
		return refuse(onem2m.StatusOriginatorHasNoPrivilege, "originator %q cannot make a role that %s issues (issuer, tkis)", req.From, after.Get("tkis"))
	}
	if err := c.mayIssue(r, issuer, id); err != nil {
		return err
	}
	if n := len(text(after.Get("tkhd"))); n > maxID {
		return refuse(onem2m.StatusNotAcceptable, "holder (tkhd) of %d bytes; the limit is %d", n, maxID)
	}
	if err := checkValidity(after.Get("tknb"), after.Get("tkna"), env.Time); err != nil {
		return err
	}
	same, err := listed(r, roleKey(c.localID(text(after.Get("tkhd"))), id))
	if err == nil && len(same) >= maxSameRole {
		err = refuse(onem2m.StatusNotAcceptable, "%s has the role %q by %d role resources; the limit is %d", after.Get("tkhd"), id, len(same), maxSameRole)
	}
	return err
}

// checkValidity refuses a role that is over, or that never begins.
func checkValidity(notBefore, notAfter []byte, now int64) error {
	begin, err := onem2m.ParseTime(text(notBefore))
	if err != nil {
		return refuse(onem2m.StatusBadRequest, "notBefore (tknb): %v", err)
	}
	end, err := onem2m.ParseTime(text(notAfter))
	switch {
	case err != nil:
		return refuse(onem2m.StatusBadRequest, "notAfter (tkna): %v", err)
	case end <= begin:
		return refuse(onem2m.StatusBadRequest, "notAfter (tkna) %s is not later than notBefore (tknb) %s", notAfter, notBefore)
	case end <= now:
		return refuse(onem2m.StatusBadRequest, "notAfter (tkna) %s is not in the future", notAfter)
	}
	return nil
}

// inRole says whether an originator acts in a role (TS-0003 clause 7.4): it is one that its whole organisation has, or a
// token that it presents gives it, or it names it and a <role> that is valid gives it.
func (c *Core) inRole(r Reader, roleID, originator string, ctx *accessContext) (bool, error) {
	name, domain, ok := onem2m.SplitIssuedID(roleID)
	if !ok {
		return false, nil
	}
	if name == memberRole {
		own, err := c.organisationOf(r, originator)
		return own != "" && own == domain, err
	}
	if ok, err := c.inTokenRole(r, roleID, originator, ctx); ok || err != nil {
		return ok, err
	}
	ids, err := listed(r, roleKey(originator, roleID))
	if err != nil {
		return false, err
	}
	for _, ri := range ids {
		res, err := r.Resource(ri)
		if err != nil {
			return false, err
		}
		if res == nil || res.Type != onem2m.TypeRole || !valid(res, ctx.time) {
			ctx.trace.role(roleID, ri, roleNotValid)
			continue
		}
		if ctx.asserts != nil && !slices.Contains(ctx.asserts.RoleIDs, roleID) {
			ctx.trace.role(roleID, ri, roleNotAsserted)
			return false, nil
		}
		ctx.trace.role(roleID, ri, roleHeld)
		return true, nil
	}
	if ctx.asserts != nil && slices.Contains(ctx.asserts.RoleIDs, roleID) {
		ctx.trace.role(roleID, "", roleNotGiven)
	}
	return false, nil
}

// valid says whether now is within notBefore and notAfter of a role, and before its expirationTime.
func valid(role *Resource, now int64) bool {
	begin, err := onem2m.ParseTime(text(role.Get("tknb")))
	if err != nil || now < begin || expired(role, now) {
		return false
	}
	end, err := onem2m.ParseTime(text(role.Get("tkna")))
	return err == nil && now < end
}
