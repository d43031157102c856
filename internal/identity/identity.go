// Package identity keeps who is who on the ledger: which credential speaks for which originator, in which role, for
// which organisation and how long. All of it is state: bound, revoked and read like any other, by every node alike.
package identity

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Role says what a credential may do besides what access control policies grant to its originator.
type Role uint8

// The roles.
const (
	Device       Role = 1 // a device or an application: only what policies grant
	Operator     Role = 2 // may enrol, revoke and erase, within its organisation
	Gateway      Role = 3 // a device that carries what others measure; rights as Device
	Node         Role = 4 // a member's node: no rights of its own
	Organisation Role = 5 // speaks for its organisation where that is asked for its consent
)

var roleNames = map[Role]string{Device: "device", Operator: "operator", Gateway: "gateway", Node: "node", Organisation: "organisation"}

func (r Role) String() string {
	if s, ok := roleNames[r]; ok {
		return s
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// ParseRole is the inverse of String; "" is Device.
func ParseRole(s string) (Role, error) {
	for _, r := range []Role{Device, Operator, Gateway, Node, Organisation} {
		if roleNames[r] == s {
			return r, nil
		}
	}
	if s == "" {
		return Device, nil
	}
	return 0, fmt.Errorf("role %q is not known: use device, operator, gateway, node or organisation", s)
}

// Kind says how the holder of a credential proves that he holds it.
type Kind uint8

// The kinds.
const (
	Token Kind = 1 // he shows a random 256-bit token
	Key   Kind = 2 // he signs with an Ed25519 key, in the handshake of TLS or DTLS or what he sends itself
)

func (k Kind) String() string {
	switch k {
	case Token:
		return "token"
	case Key:
		return "key"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// KeyID names a credential on the ledger: the first 8 bytes of the SHA-256 of its token or public key.
type KeyID [8]byte

// Credential is the binding of a token or a key to an originator. The zero value is none.
type Credential struct {
	Kind Kind
	// Value is the SHA-256 of the token, which itself is never stored, or the Ed25519 public key.
	Value      [32]byte
	Originator string
	Role       Role
	// Organisation is the tenant that the originator belongs to, "" for the network's own.
	Organisation string
	// NotBefore and NotAfter bound the time in which it is valid, Unix microseconds, both included; 0 for no bound.
	NotBefore, NotAfter int64
	Revoked             bool
	// Index is the log index of the entry that bound it, and Revocation of the one that revoked it.
	Index, Revocation uint64
}

// ID returns the credential's name on the ledger.
func (c *Credential) ID() KeyID {
	if c.Kind == Key {
		return KeyIDOf(c.Value)
	}
	return KeyID(c.Value[:8])
}

// KeyIDOf returns the name on the ledger of an Ed25519 public key.
func KeyIDOf(public [32]byte) KeyID {
	h := sha256.Sum256(public[:])
	return KeyID(h[:8])
}

// Valid says whether the credential counts at a time, Unix microseconds. nil is no credential and never valid.
func (c *Credential) Valid(now int64) bool {
	return c != nil && !c.Revoked && (c.NotBefore == 0 || now >= c.NotBefore) && (c.NotAfter == 0 || now <= c.NotAfter)
}

// State says in a word whether the credential counts at a time, Unix microseconds.
func (c *Credential) State(now int64) string {
	switch {
	case c.Revoked:
		return "revoked"
	case c.NotBefore != 0 && now < c.NotBefore:
		return "not yet"
	case c.NotAfter != 0 && now > c.NotAfter:
		return "expired"
	}
	return "valid"
}

// MayActFor says whether a holder of the credential who is an operator may act on what belongs to an organisation:
// its own, or any if it is of the network's own.
func (c *Credential) MayActFor(organisation string) bool {
	return c.Role == Operator && (c.Organisation == "" || c.Organisation == organisation)
}

// NodeOriginator is the originator of a member's node. No AE-ID or CSE-ID has a colon.
func NodeOriginator(member string) string { return "node:" + member }

// maxOrganisation bounds the name of an organisation, in bytes.
const maxOrganisation = 64

// Check refuses a credential that cannot be bound, whatever the state is.
func (c *Credential) Check() error {
	switch {
	case roleNames[c.Role] == "":
		return fmt.Errorf("%s is not known", c.Role)
	case len(c.Organisation) > maxOrganisation || !plainName(c.Organisation):
		return fmt.Errorf("organisation %.80q is not at most %d letters, digits, '-', '_' or '.'", c.Organisation, maxOrganisation)
	case c.NotBefore < 0 || c.NotAfter < 0:
		return errors.New("a time of validity before 1970")
	case c.NotAfter != 0 && c.NotAfter <= c.NotBefore:
		return errors.New("its validity ends before it begins")
	case c.Role == Node && c.Kind != Key:
		return errors.New("a node is bound to its key, not to a token")
	case c.Role == Organisation && c.Kind != Key:
		return errors.New("an organisation speaks by a key, not by a token: whoever carries a token could speak for it")
	}
	if c.Kind == Key {
		return CheckKey(c.Value[:])
	}
	if c.Kind != Token {
		return fmt.Errorf("%s is not known", c.Kind)
	}
	return nil
}

// plainName says whether s has only characters that are the same in every address and file name.
func plainName(s string) bool {
	for _, c := range []byte(s) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
		if !ok {
			return false
		}
	}
	return true
}

// CheckOriginator refuses what is no originator that a role can be bound to: an AE-ID, a CSE-ID, or for a node the
// name that NodeOriginator gives.
func CheckOriginator(originator string, role Role) error {
	const maxID = 512 // as the log has it
	if role == Node {
		if name, ok := strings.CutPrefix(originator, NodeOriginator("")); ok && name != "" && len(originator) <= maxID && plainName(name) {
			return nil
		}
		return fmt.Errorf("originator %.80q is no node: use node: and the member's name", originator)
	}
	if len(originator) < 2 || len(originator) > maxID || originator[0] != 'C' && originator[0] != 'S' && originator[0] != '/' || !plainName(originator[1:]) {
		return errors.New("originator is neither an AE-ID, C or S and then letters, digits, '-', '_' or '.', nor a CSE-ID, which begins with a slash")
	}
	return nil
}

// Micro is a time as credentials have it: 0 for the zero time.
func Micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is the inverse of Micro.
func Time(micro int64) time.Time {
	if micro == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micro).UTC()
}
