package node

import (
	"fmt"
	"strings"

	httpbinding "github.com/tallystick/tallystick/internal/binding/http"
	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// OperatorID is the AE-ID of the operator that a network begins with, unless Identity names another.
const OperatorID = "Coperator"

// Identity is how a network's CSE is known, for its whole life (TS-0001 clause 7.2). What is empty has the default.
type Identity struct {
	SPID   string // service provider's FQDN, with or without "//" before it; default the origin's part before the first slash
	CSEID  string // SP-relative CSE-ID, with or without "/" before it; default /tally
	Name   string // resource name of the CSEBase; default tally
	BaseRI string // resource ID of the CSEBase; default cb
	Admin  string // AE-ID of the first operator; default OperatorID
}

// cseConfig completes and checks the identity of a new network.
func (o *InitOptions) cseConfig() (cse.Config, error) {
	host, _, _ := strings.Cut(o.Origin, "/")
	c := cse.Config{
		SPID: "//" + or(strings.TrimPrefix(o.CSE.SPID, "//"), host), CSEID: "/" + or(strings.TrimPrefix(o.CSE.CSEID, "/"), "tally"),
		Name: or(o.CSE.Name, "tally"), BaseRI: or(o.CSE.BaseRI, "cb"), Admin: or(o.CSE.Admin, OperatorID), Release: "4",
		Lab: o.Lab, Mobius: o.Mobius, Approvals: o.Approvals,
	}
	if o.Lab {
		c.MaxLifetime = labLifetime
	}
	for _, id := range o.MayRegister {
		if id = strings.TrimSpace(id); id != "" {
			c.MayRegister = append(c.MayRegister, "/"+strings.TrimPrefix(id, "/"))
		}
	}
	if len(c.MayRegister) > 0 && !o.Lab {
		return c, fmt.Errorf("CSEs may register without a credential in a lab network only: leave --may-register out, or use --lab")
	}
	for _, id := range []struct{ what, value string }{
		{"SP-ID", c.SPID[2:]}, {"CSE-ID", c.CSEID[1:]}, {"name of the CSEBase", c.Name},
		{"resource ID of the CSEBase", c.BaseRI}, {"administrator", c.Admin},
	} {
		if err := checkID(id.what, id.value); err != nil {
			return c, err
		}
	}
	for _, id := range c.MayRegister {
		if err := checkID("CSE-ID", id[1:]); err != nil {
			return c, err
		}
	}
	if c.Admin[0] != 'C' && c.Admin[0] != 'S' {
		return c, fmt.Errorf("administrator %q is no AE-ID: it must begin with C or S", c.Admin)
	}
	if _, _, ok := onem2m.ParseInstanceRI(c.BaseRI); ok {
		return c, fmt.Errorf("resource ID of the CSEBase %q is one that an instance can get", c.BaseRI)
	}
	if plain := strings.Trim(httpbinding.PlainPrefix, "/"); c.Name == plain || c.BaseRI == plain {
		return c, fmt.Errorf("the CSEBase cannot be called %s: below that path devices send readings without oneM2M", plain)
	}
	return c, nil
}

// labLifetime is the longest life of a resource in a lab network, in seconds: five years. A conformance suite wants to see
// that an expirationTime beyond the limits of a CSE is corrected, and so needs one that has a limit.
const labLifetime = 5 * 365 * 24 * 3600

// maxID bounds an ID or name that is chosen once for a network, in bytes.
const maxID = 64

// checkID refuses what is not made of unreserved characters, which are the same in all bindings (TS-0001 clause 7.2).
func checkID(what, s string) error {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~", r)
	}
	if s == "" || s == "-" || s == "~" || s == "_" || len(s) > maxID || strings.ContainsFunc(s, bad) {
		return fmt.Errorf("%s %q cannot be used: it must be letters, digits, '-', '.', '_' and '~', at most %d in all", what, s, maxID)
	}
	return nil
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
