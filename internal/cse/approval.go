package cse

import (
	"slices"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// guards says whether what a request asks for takes two operators, and this one has the consent of one at most.
func (c *Core) guards(env Env) bool { return c.cfg.Approvals > 1 && !env.Approved && !env.Agreed }

// unapproved refuses what takes two operators.
func unapproved(what string) error {
	return refuse(onem2m.StatusOriginatorHasNoPrivilege, "%s takes two operators in this network: propose it (tally propose request), and have another operator approve it (tally approve)", what)
}

// guardCreate refuses to create what gives rights over the network to somebody.
func (c *Core) guardCreate(r Reader, req *onem2m.Request, env Env) error {
	switch {
	case !c.guards(env):
	case req.Type == onem2m.TypeRole:
		return unapproved("giving a role")
	case req.Type == onem2m.TypeACP:
		_, dangling, err := c.governing(r, env.Time)
		if err == nil && dangling {
			err = unapproved("creating an accessControlPolicy, while the CSEBase links one that does not exist,")
		}
		return err
	}
	return nil
}

// guardToken refuses a token by which one operator would give what takes two: a role, or privileges on the CSEBase.
func (c *Core) guardToken(r Reader, t *token, env Env) error {
	if !c.guards(env) {
		return nil
	}
	base, err := r.Resource(c.cfg.BaseRI)
	if err != nil || base == nil {
		return err
	}
	for i := range t.permissions {
		p := &t.permissions[i]
		if len(p.roles) > 0 {
			return unapproved("giving a role by a token")
		}
		if ok, err := c.appliesTo(r, p, base, env.Time); err != nil {
			return err
		} else if ok {
			return unapproved("giving privileges on the CSEBase by a token")
		}
	}
	return nil
}

// guardUpdate refuses to change who may do what to the CSEBase. The CSEBase itself, and so what it links, cannot be updated.
func (c *Core) guardUpdate(r Reader, env Env, t *Resource) error {
	if !c.guards(env) {
		return nil
	}
	switch t.Type {
	case onem2m.TypeRole:
		return unapproved("changing a role")
	case onem2m.TypeACP, onem2m.TypeGroup:
		found, _, err := c.governing(r, env.Time)
		if err == nil && slices.Contains(found, t.RI) {
			err = unapproved("changing a policy of the CSEBase, or a group that it names,")
		}
		return err
	}
	return nil
}

// guardDelete refuses to remove a policy of the CSEBase, with what it is below or by itself.
func (c *Core) guardDelete(r Reader, env Env, t *Resource) error {
	if !c.guards(env) {
		return nil
	}
	found, _, err := c.governing(r, env.Time)
	if err != nil {
		return err
	}
	for _, ri := range found {
		for ri != "" {
			if ri == t.RI {
				return unapproved("removing a policy of the CSEBase, or a group that it names,")
			}
			res, err := r.Resource(ri)
			if err != nil || res == nil {
				return err
			}
			ri = res.PI
		}
	}
	return nil
}

// governing gives the accessControlPolicies that the CSEBase links and the groups that these name, by resource ID, and
// whether it links any that does not exist.
func (c *Core) governing(r Reader, now int64) (found []string, dangling bool, err error) {
	base, err := r.Resource(c.cfg.BaseRI)
	if err != nil || base == nil {
		return nil, false, err
	}
	for _, id := range c.compile(base).acpi {
		acp, err := c.policy(r, id, now)
		if err != nil {
			return nil, false, err
		}
		if acp == nil {
			dangling = true
			continue
		}
		found = append(found, acp.RI)
		own := c.compile(acp)
		for _, rules := range [][]rule{own.privs, own.self} {
			for i := range rules {
				if found, err = c.groupsNamed(r, rules[i].originators, now, found); err != nil {
					return nil, false, err
				}
			}
		}
	}
	return found, dangling, nil
}

// groupsNamed adds the groups among the originators of a rule.
func (c *Core) groupsNamed(r Reader, originators []string, now int64, found []string) ([]string, error) {
	for _, id := range originators {
		id = c.localID(id)
		if isAEID(id) || strings.Contains(id, "*") || id == "all" {
			continue
		}
		t, err := c.resolve(r, id, now)
		switch {
		case asRefusal(err) != nil:
		case err != nil:
			return nil, err
		case !t.isInstance && t.virtual == 0 && t.resource.Type == onem2m.TypeGroup:
			found = append(found, t.resource.RI)
		}
	}
	return found, nil
}
