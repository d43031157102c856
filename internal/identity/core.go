package identity

import (
	"encoding/hex"

	"github.com/tallystick/tallystick/internal/cse"
)

// ForCore is what the core asks about originators.
func ForCore() cse.Identity {
	return cse.Identity{OrganisationOf: OrganisationOf, SigningKey: signingKey}
}

// signingKey gives whose key has that ID, and the key, "" when none that is valid has it.
func signingKey(r cse.Reader, id string, now int64) (originator string, key []byte, err error) {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != len(KeyID{}) {
		return "", nil, nil
	}
	c, err := Lookup(r, KeyID(raw))
	if err != nil || !c.Valid(now) || c.Kind != Key {
		return "", nil, err
	}
	return c.Originator, c.Value[:], nil
}
