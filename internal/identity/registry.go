package identity

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/internal/cse"
)

// Errors of Enrol and Revoke.
var (
	ErrExists  = errors.New("a credential with this ID exists")
	ErrUnknown = errors.New("no such credential")
	ErrLast    = errors.New("this is the last operator of the network, or one of the last two where acts take two, with a credential that has no end: enrol another operator before revoking it")
	ErrForeign = errors.New("the originator belongs to another organisation")
	ErrMany    = errors.New("the originator has as many valid credentials as one can have: revoke one before enrolling another")
)

// MaxHeld is how many credentials an originator can have at a time that are not revoked or expired.
const MaxHeld = 32

const (
	credentialKey = "credential/"
	holderKey     = "holder/"   // what an originator is
	registryKey   = "registry/" // and by organisation, for listing
	// operatorsKey has how many operators of the network there are that have a credential without an end, and by originator
	// how many of these it has; 8 bytes big-endian each.
	operatorsKey = "operators"
)

func key(id KeyID) string { return fmt.Sprintf("%s%x", credentialKey, id[:]) }

// RegistryKey is the name of the aux record that says that an originator belongs to an organisation. Names sort by
// organisation and then originator, and those of one organisation begin with RegistryKey(organisation, "").
func RegistryKey(organisation, originator string) string {
	return registryKey + organisation + "/" + originator
}

// Lookup returns the credential with that ID, nil when there is none. A revoked or expired one is returned as such.
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

// LookupHolder returns what an originator is, nil when no credential was ever bound to it.
func LookupHolder(r cse.Reader, originator string) (*Holder, error) {
	b, err := r.Aux(holderKey + originator)
	if err != nil || b == nil {
		return nil, err
	}
	h, err := decodeHolder(b)
	if err != nil {
		return nil, fmt.Errorf("read the record of %s: %w", originator, err)
	}
	return h, nil
}

// OrganisationOf returns the organisation that an originator belongs to: "", the network's own, also for those to whom
// no credential was ever bound.
func OrganisationOf(r cse.Reader, originator string) (string, error) {
	h, err := LookupHolder(r, originator)
	if err != nil || h == nil {
		return "", err
	}
	return h.Organisation, nil
}

// Enrol binds a credential to its originator, at a time in Unix microseconds. An originator may have several, so that
// one can be replaced without a gap. The first decides for good which organisation the originator belongs to.
func Enrol(st cse.State, c Credential, now int64) error {
	if old, err := Lookup(st, c.ID()); err != nil {
		return err
	} else if old != nil {
		return fmt.Errorf("enrol %s: %w", c.Originator, ErrExists)
	}
	h, err := LookupHolder(st, c.Originator)
	switch {
	case err != nil:
		return err
	case h == nil:
		h = &Holder{Organisation: c.Organisation}
		if err := st.SetAux(RegistryKey(c.Organisation, c.Originator), []byte{1}); err != nil {
			return err
		}
	case h.Organisation != c.Organisation:
		return fmt.Errorf("enrol %s: %w", c.Originator, ErrForeign)
	}
	if len(h.Keys) >= MaxHeld {
		if err := h.dropEnded(st, now); err != nil {
			return err
		}
		if len(h.Keys) >= MaxHeld {
			return fmt.Errorf("enrol %s: %w", c.Originator, ErrMany)
		}
	}
	h.Keys = append(h.Keys, c.ID())
	if c.lasting() {
		if err := countOperator(st, c.Originator, 1, 0); err != nil {
			return err
		}
	}
	if err := st.SetAux(holderKey+c.Originator, h.encode()); err != nil {
		return err
	}
	return st.SetAux(key(c.ID()), c.encode())
}

// dropEnded makes room for one more credential: of those that are over, the record forgets the oldest.
func (h *Holder) dropEnded(r cse.Reader, now int64) error {
	for i, id := range h.Keys {
		c, err := Lookup(r, id)
		if err != nil {
			return err
		}
		if c == nil || c.Revoked || c.NotAfter != 0 && c.NotAfter < now {
			h.Keys = append(h.Keys[:i], h.Keys[i+1:]...)
			return nil
		}
	}
	return nil
}

// Revoke ends a credential for good, by the log entry at index. ErrLast when the network would be left with fewer than that
// many operators of its own, under different names, of whom each has a credential without an end.
func Revoke(st cse.State, id KeyID, index uint64, operators int) (*Credential, error) {
	c, err := Lookup(st, id)
	if err != nil {
		return nil, err
	}
	if c == nil || c.Revoked {
		return nil, fmt.Errorf("revoke credential %x: %w", id, ErrUnknown)
	}
	if c.lasting() {
		if err := countOperator(st, c.Originator, -1, uint64(operators)); err != nil {
			return nil, err
		}
	}
	c.Revoked, c.Revocation = true, index
	return c, st.SetAux(key(id), c.encode())
}

// Holds says whether an originator has a credential that is valid at a time, Unix microseconds.
func Holds(r cse.Reader, originator string, now int64) (bool, error) {
	h, err := LookupHolder(r, originator)
	if err != nil || h == nil {
		return false, err
	}
	for _, id := range h.Keys {
		c, err := Lookup(r, id)
		if err != nil || c.Valid(now) {
			return err == nil, err
		}
	}
	return false, nil
}

// lasting says whether the credential is one of those of which the network always keeps one: else it could lose the
// last who may enrol another, by revocation or by time alone.
func (c *Credential) lasting() bool {
	return c.Role == Operator && c.Organisation == "" && c.NotBefore == 0 && c.NotAfter == 0
}

// countOperator counts the credentials of an operator without an end, and the operators that have any. It refuses to leave
// fewer of these than least.
func countOperator(st cse.State, originator string, by int, least uint64) error {
	own, err := readCount(st, operatorsKey+"/"+originator)
	if err != nil {
		return err
	}
	all, err := readCount(st, operatorsKey)
	if err != nil {
		return err
	}
	was := own
	own += uint64(by)
	switch {
	case was == 0:
		all++
	case own == 0 && all <= least:
		return ErrLast
	case own == 0:
		all--
	}
	var v []byte
	if own > 0 {
		v = binary.BigEndian.AppendUint64(nil, own)
	}
	if err := st.SetAux(operatorsKey+"/"+originator, v); err != nil {
		return err
	}
	return st.SetAux(operatorsKey, binary.BigEndian.AppendUint64(nil, all))
}

func readCount(r cse.Reader, key string) (uint64, error) {
	b, err := r.Aux(key)
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}
