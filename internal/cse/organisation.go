package cse

import (
	"github.com/tallystick/tallystick/onem2m"
)

// organisationKey is where the state has to which organisation an originator belongs: its name.
const organisationKey = "organisation/"

// SetOrganisation notes to which organisation an originator belongs; "" for none, the network's own. It is for who keeps
// credentials.
func SetOrganisation(st State, originator, organisation string) error {
	if organisation == "" {
		return st.SetAux(organisationKey+originator, nil)
	}
	return st.SetAux(organisationKey+originator, []byte(organisation))
}

// OrganisationOf gives the organisation of an originator, "" for the network's own and for one that is not known.
func OrganisationOf(r Reader, originator string) (string, error) {
	b, err := r.Aux(organisationKey + originator)
	return string(b), err
}

// memberRole is the name of the role that everybody in an organisation has in it, without being given it and without naming
// it: "member@hospital.example" stands for all originators of the organisation hospital.example.
const memberRole = "member"

// mayIssue refuses a Role-ID or Token-ID that is not for the issuer to give: an organisation gives those that have its own
// name after the '@', the network's own originators any. Nobody gives the role of a member.
func mayIssue(r Reader, issuer, id string) error {
	name, domain, _ := onem2m.SplitIssuedID(id)
	if name == memberRole {
		return refuse(onem2m.StatusBadRequest, "%q is the role that all originators of the organisation %q have; it is given to nobody", id, domain)
	}
	own, err := OrganisationOf(r, issuer)
	if err == nil && own != "" && own != domain {
		err = refuse(onem2m.StatusOriginatorHasNoPrivilege, "%q belongs to the organisation %q and may give out IDs that end in @%s only, not %q", issuer, own, own, id)
	}
	return err
}
