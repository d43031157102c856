package cse

import (
	"math"
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// Genesis makes the CSEBase and an accessControlPolicy that gives the administrator, and nobody else, all operations
// on the CSEBase and on the policy itself (TS-0001 clauses 9.6.3 and 9.6.2). It has two effects, in that order. The
// state must be empty.
func (c *Core) Genesis(st State, env Env) (Result, error) {
	base := &Resource{
		Type: onem2m.TypeCSEBase, RI: c.cfg.BaseRI, RN: c.cfg.Name,
		Created: env.Time, Modified: env.Time, Owner: c.cfg.Admin,
	}
	policy := &Resource{
		Type: onem2m.TypeACP, RI: onem2m.ResourceRI(onem2m.TypeACP, env.NextIndex+1), PI: base.RI, RN: "acpAdmin",
		Created: env.Time, Modified: env.Time, Owner: c.cfg.Admin,
	}
	rules := append([]byte(nil), `{"acr":[{"acor":[`...)
	rules = onem2m.AppendQuote(rules, c.cfg.Admin)
	rules = append(rules, `],"acop":63}`...)
	policy.set("pvs", append(slices.Clone(rules), `]}`...))
	if c.cfg.Lab {
		// Clients under test make their policies below the CSEBase.
		rules = append(rules, `,{"acor":["all"],"acop":1,"acod":[{"chty":[1]}]}`...)
	}
	policy.set("pv", append(rules, `]}`...))

	base.set("acpi", appendStrings(nil, []string{policy.RI}))
	base.set("csi", onem2m.AppendQuote(nil, c.cfg.CSEID))
	base.set("spi", onem2m.AppendQuote(nil, c.cfg.SPID))
	base.set("cst", []byte("1")) // IN-CSE
	base.set("csz", appendStrings(nil, []string{"application/json", "application/cbor"}))
	base.set("poa", []byte("[]"))
	base.set("srv", appendStrings(nil, releases))
	base.set("srt", supportedTypes())

	effects := make([]Effect, 0, 2)
	for _, res := range []*Resource{base, policy} {
		if err := st.Put(res); err != nil {
			return Result{}, err
		}
		originator, target := c.cfg.CSEID, res.RI
		if res.PI != "" {
			originator, target = c.cfg.Admin, res.PI
		}
		effects = append(effects, Effect{
			Operation: onem2m.Create, Originator: originator, Target: target, Resource: res.RI,
			Type: res.Type, Status: onem2m.StatusCreated,
			Payload: appendRepresentation(nil, &item{resource: res}, nil),
		})
	}
	return Result{Effects: effects}, nil
}

// supportedTypes is supportedResourceType (srt) of the CSEBase, in ascending order.
func supportedTypes() []byte {
	var numbers []int
	for _, def := range onem2m.Types() {
		numbers = append(numbers, int(def.Type))
	}
	slices.Sort(numbers)
	out := []byte{'['}
	for i, n := range numbers {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, int64(n), 10)
	}
	return append(out, ']')
}

// Reset removes all resources and makes those of Genesis anew, for a lab network. It notifies nobody. Its effects are
// those of Genesis; what was removed has none of its own.
func (c *Core) Reset(st State, env Env) (Result, error) {
	base, err := st.Resource(c.cfg.BaseRI)
	if err != nil {
		return Result{}, err
	}
	if base != nil {
		all, err := collectSubtree(st, base, math.MaxInt)
		if err != nil {
			return Result{}, err
		}
		for i := len(all) - 1; i >= 0; i-- {
			if all[i].resource.Type == onem2m.TypeRequest {
				if err := forgetRequest(st, all[i].resource); err != nil {
					return Result{}, err
				}
			}
			if err := c.unlinkRights(st, all[i].resource); err != nil {
				return Result{}, err
			}
			if err := st.Remove(all[i].resource.RI); err != nil {
				return Result{}, err
			}
		}
	}
	return c.Genesis(st, env)
}
