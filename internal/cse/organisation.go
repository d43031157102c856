package cse

import (
	"github.com/tallystick/tallystick/onem2m"
)

// Identity is what the core asks about originators of who keeps their credentials. The answers follow from the state alone. The
// zero value knows nobody.
type Identity struct {
	// OrganisationOf gives the organisation of an originator, "" for the network's own and for one that is not known.
	OrganisationOf func(r Reader, originator string) (string, error)
	// SigningKey gives the originator and the Ed25519 public key, 32 bytes, of the credential with an ID in hex that is valid
	// at a time, Unix microseconds; "" when there is none.
	SigningKey func(r Reader, id string, now int64) (originator string, key []byte, err error)
}

// organisationOf is the organisation of an originator of this CSE.
func (c *Core) organisationOf(r Reader, originator string) (string, error) {
	if c.who.OrganisationOf == nil {
		return "", nil
	}
	return c.who.OrganisationOf(r, originator)
}

// memberRole is the name of the role that everybody in an organisation has in it, without being given it and without naming
// it: "member@hospital.example" stands for all originators of the organisation hospital.example.
const memberRole = "member"

// mayIssue refuses a Role-ID or Token-ID that is not for the issuer to give: an organisation gives those that have its own
// name after the '@', the network's own originators any. Nobody gives the role of a member.
func (c *Core) mayIssue(r Reader, issuer, id string) error {
	name, domain, _ := onem2m.SplitIssuedID(id)
	if name == memberRole {
		return refuse(onem2m.StatusBadRequest, "%q is the role that all originators of the organisation %q have; it is given to nobody", id, domain)
	}
	own, err := c.organisationOf(r, issuer)
	if err == nil && own != "" && own != domain {
		err = refuse(onem2m.StatusOriginatorHasNoPrivilege, "%q belongs to the organisation %q and may give out IDs that end in @%s only, not %q", issuer, own, own, id)
	}
	return err
}
