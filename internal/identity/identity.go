// Package identity keeps who is who on the ledger: which credential speaks for which originator, and in which role.
// All of it is state: bound, revoked and read like any other, by every node alike.
package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/tallystick/tallystick/internal/cse"
)

// Role says what a credential may do besides what access control policies grant to its originator.
type Role uint8

// The roles.
const (
	Device   Role = 1 // a device or an application: only what policies grant
	Operator Role = 2 // may enrol, revoke and erase
)

func (r Role) String() string {
	switch r {
	case Device:
		return "device"
	case Operator:
		return "operator"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// ParseRole is the inverse of String.
func ParseRole(s string) (Role, error) {
	switch s {
	case "device", "":
		return Device, nil
	case "operator":
		return Operator, nil
	}
	return 0, fmt.Errorf("role %q is not known: use device or operator", s)
}

// KeyID names a credential on the ledger: the first 8 bytes of the SHA-256 of its token.
type KeyID [8]byte

// Credential is the binding of a token to an originator.
type Credential struct {
	Hash       [32]byte // SHA-256 of the token; the token itself is never stored
	Originator string
	Role       Role
	Revoked    bool
}

// ID returns the credential's name on the ledger.
func (c *Credential) ID() KeyID { return KeyID(c.Hash[:8]) }

const tokenPrefix = "tally_"

// NewToken draws a random 256-bit token. It is shown once and stored nowhere by this project but by its owner.
func NewToken() string {
	var b [32]byte
	rand.Read(b[:])
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// TokenHash returns what the ledger keeps of a token. ok is false for anything that NewToken cannot have made, so
// that nobody's chosen password ever becomes a credential.
func TokenHash(token string) (hash [32]byte, ok bool) {
	body, found := strings.CutPrefix(token, tokenPrefix)
	if !found || len(body) != 43 {
		return hash, false
	}
	return sha256.Sum256([]byte(token)), true
}

// Errors of Enrol and Revoke.
var (
	ErrExists  = errors.New("a credential with this ID exists")
	ErrUnknown = errors.New("no such credential")
	ErrLast    = errors.New("this is the last operator credential: enrol another before revoking it")
)

const (
	credentialKey = "credential/"
	heldKey       = "held/"     // how many valid credentials an originator has, 8 bytes big-endian
	operatorsKey  = "operators" // how many operator credentials are valid, 8 bytes big-endian
)

func key(id KeyID) string { return credentialKey + hex.EncodeToString(id[:]) }

// Lookup returns the credential with that ID, nil when there is none. A revoked one is returned as such.
func Lookup(r cse.Reader, id KeyID) (*Credential, error) {
	b, err := r.Aux(key(id))
	if err != nil || b == nil {
		return nil, err
	}
	c, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("read credential %x: %w", id, err)
	}
	return c, nil
}

// Enrol binds a credential to its originator. An originator may have several, so that a token can be replaced
// without a gap.
func Enrol(st cse.State, c Credential) error {
	if old, err := Lookup(st, c.ID()); err != nil {
		return err
	} else if old != nil {
		return fmt.Errorf("enrol %s: %w", c.Originator, ErrExists)
	}
	if c.Role == Operator {
		if err := countOperators(st, 1); err != nil {
			return err
		}
	}
	if err := countHeld(st, c.Originator, 1); err != nil {
		return err
	}
	return st.SetAux(key(c.ID()), c.encode())
}

// Revoke ends a credential for good.
func Revoke(st cse.State, id KeyID) (*Credential, error) {
	c, err := Lookup(st, id)
	if err != nil {
		return nil, err
	}
	if c == nil || c.Revoked {
		return nil, fmt.Errorf("revoke credential %x: %w", id, ErrUnknown)
	}
	if c.Role == Operator {
		if err := countOperators(st, -1); err != nil {
			return nil, err
		}
	}
	if err := countHeld(st, c.Originator, -1); err != nil {
		return nil, err
	}
	c.Revoked = true
	return c, st.SetAux(key(id), c.encode())
}

// Holds says whether an originator has a valid credential.
func Holds(r cse.Reader, originator string) (bool, error) {
	b, err := r.Aux(heldKey + originator)
	return b != nil, err
}

func countHeld(st cse.State, originator string, by int) error {
	b, err := st.Aux(heldKey + originator)
	if err != nil {
		return err
	}
	n := by
	if len(b) == 8 {
		n += int(binary.BigEndian.Uint64(b))
	}
	if n <= 0 {
		return st.SetAux(heldKey+originator, nil)
	}
	return st.SetAux(heldKey+originator, binary.BigEndian.AppendUint64(nil, uint64(n)))
}

func countOperators(st cse.State, by int) error {
	b, err := st.Aux(operatorsKey)
	if err != nil {
		return err
	}
	n := uint64(0)
	if len(b) == 8 {
		n = binary.BigEndian.Uint64(b)
	}
	if by < 0 && n <= 1 {
		return ErrLast
	}
	return st.SetAux(operatorsKey, binary.BigEndian.AppendUint64(nil, n+uint64(by)))
}

// encode writes version 1: version, role, revoked, hash, originator.
func (c *Credential) encode() []byte {
	b := make([]byte, 0, 35+len(c.Originator))
	revoked := byte(0)
	if c.Revoked {
		revoked = 1
	}
	b = append(b, 1, byte(c.Role), revoked)
	b = append(b, c.Hash[:]...)
	return append(b, c.Originator...)
}

func decode(b []byte) (*Credential, error) {
	if len(b) < 36 || b[0] != 1 || b[2] > 1 {
		return nil, errors.New("not a credential of version 1")
	}
	c := &Credential{Role: Role(b[1]), Revoked: b[2] == 1, Originator: string(b[35:])}
	copy(c.Hash[:], b[3:35])
	return c, nil
}
