package cse

import (
	"github.com/tallystick/tallystick/onem2m"
)

// completePolicy checks an accessControlPolicy: selfPrivileges must have a rule, or nobody could ever change the
// policy again (TS-0001 clause 9.6.2.1), and every rule must be one that this CSE enforces.
func completePolicy(after *Resource) error {
	if len(parseRules(after.Get("pvs"))) == 0 {
		return refuse(onem2m.StatusBadRequest, "selfPrivileges (pvs) must have at least one access control rule")
	}
	if err := checkRules("pv", after.Get("pv")); err != nil {
		return err
	}
	return checkRules("pvs", after.Get("pvs"))
}
