package cse

import (
	"encoding/hex"

	"github.com/tallystick/tallystick/onem2m"
)

// AssignedLength is the length of a resource ID that a node chose.
const AssignedLength = len(assignedPrefix) + 2*assignedBytes

const (
	assignedPrefix = "sub-" // no derived ID has a '-'
	assignedBytes  = 10
)

// AssignedRI gives the resource ID that stands for random bytes.
func AssignedRI(random [assignedBytes]byte) string {
	return assignedPrefix + hex.EncodeToString(random[:])
}

func isAssigned(ri string) bool {
	if len(ri) != AssignedLength || ri[:len(assignedPrefix)] != assignedPrefix {
		return false
	}
	for _, c := range []byte(ri[len(assignedPrefix):]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// chosenID gives the resource ID that a node chose for a new subscription, "" when the ID is to derive from the log
// index.
func chosenID(r Reader, env Env, def *onem2m.TypeDef) (string, error) {
	if def.Type != onem2m.TypeSubscription || !isAssigned(env.Assigned) {
		return "", nil
	}
	other, err := r.Resource(env.Assigned)
	if err == nil && other != nil {
		err = refuse(onem2m.StatusConflict, "resource ID %s is in use", env.Assigned)
	}
	return env.Assigned, err
}
