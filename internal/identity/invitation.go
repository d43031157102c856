package identity

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/internal/cse"
)

// Invitation lets whoever knows a one-time code bind a credential of his own to an originator, once.
type Invitation struct {
	Hash         [32]byte // CodeHash of the code
	Originator   string
	Role         Role
	Organisation string
	Until        int64 // the code counts until then, Unix microseconds
	// NotBefore and NotAfter are those of the credential that it gives.
	NotBefore, NotAfter int64
}

// ID returns the invitation's name on the ledger.
func (v *Invitation) ID() KeyID { return KeyID(v.Hash[:8]) }

// Errors of Invite and Redeem.
var (
	ErrCode   = errors.New("the code is not known, was used, or is over: ask for a new one")
	ErrManyIn = fmt.Errorf("%d invitations of the organisation are open, the limit: wait until one is used or over, or revoke some", MaxInvitations)
)

// MaxInvitations is how many invitations of an organisation can be open at a time. One that is over makes room when its
// turn comes.
const MaxInvitations = 4096

const (
	invitationKey = "invitation/"
	// invitedKey has, by organisation, how many invitations there ever were, 8 bytes big-endian, and by organisation and
	// number modulo MaxInvitations the newest one's ID.
	invitedKey = "invited/"
)

// Invite opens an invitation at a time, Unix microseconds.
func Invite(st cse.State, v Invitation, now int64) error {
	switch old, err := LookupInvitation(st, v.ID()); {
	case err != nil:
		return err
	case old != nil:
		return fmt.Errorf("invite %s: %w", v.Originator, ErrExists)
	}
	switch h, err := LookupHolder(st, v.Originator); {
	case err != nil:
		return err
	case h != nil && h.Organisation != v.Organisation:
		return fmt.Errorf("invite %s: %w", v.Originator, ErrForeign)
	}
	b, err := st.Aux(invitedKey + v.Organisation)
	if err != nil {
		return err
	}
	n := uint64(0)
	if len(b) == 8 {
		n = binary.BigEndian.Uint64(b)
	}
	slot := fmt.Sprintf("%s%s/%d", invitedKey, v.Organisation, n%MaxInvitations)
	if b, err = st.Aux(slot); err != nil {
		return err
	}
	if len(b) == 8 {
		old, err := LookupInvitation(st, KeyID(b))
		switch {
		case err != nil:
			return err
		case old != nil && now <= old.Until:
			return fmt.Errorf("invite %s: %w", v.Originator, ErrManyIn)
		case old != nil:
			if err := st.SetAux(invitationRecord(old.ID()), nil); err != nil {
				return err
			}
		}
	}
	id := v.ID()
	if err := st.SetAux(slot, id[:]); err != nil {
		return err
	}
	if err := st.SetAux(invitedKey+v.Organisation, binary.BigEndian.AppendUint64(nil, n+1)); err != nil {
		return err
	}
	return st.SetAux(invitationRecord(id), v.encode())
}

func invitationRecord(id KeyID) string { return fmt.Sprintf("%s%x", invitationKey, id[:]) }

// LookupInvitation returns the invitation with that ID, nil when there is none. One that is over may be there still.
func LookupInvitation(r cse.Reader, id KeyID) (*Invitation, error) {
	b, err := r.Aux(invitationRecord(id))
	if err != nil || b == nil {
		return nil, err
	}
	v, err := decodeInvitation(b)
	if err != nil {
		return nil, fmt.Errorf("read invitation %x: %w", id, err)
	}
	return v, nil
}

// OpenInvitation returns the invitation that a code's secret opens at a time, Unix microseconds; ErrCode when there is
// none.
func OpenInvitation(r cse.Reader, secret [32]byte, now int64) (*Invitation, error) {
	hash := CodeHash(secret)
	v, err := LookupInvitation(r, KeyID(hash[:8]))
	if err != nil {
		return nil, err
	}
	if v == nil || subtle.ConstantTimeCompare(v.Hash[:], hash[:]) != 1 || now > v.Until {
		return nil, ErrCode
	}
	return v, nil
}

// CloseInvitation ends an invitation, used or not.
func CloseInvitation(st cse.State, id KeyID) error { return st.SetAux(invitationRecord(id), nil) }

const (
	invitationVersion = 1
	invitationHead    = 2 + 32 + 3*8 + 1
)

// encode writes version 1: version, role, hash, until, not before, not after, length of the organisation's name,
// organisation, originator.
func (v *Invitation) encode() []byte {
	b := make([]byte, 0, invitationHead+len(v.Organisation)+len(v.Originator))
	b = append(b, invitationVersion, byte(v.Role))
	b = append(b, v.Hash[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(v.Until))
	b = binary.BigEndian.AppendUint64(b, uint64(v.NotBefore))
	b = binary.BigEndian.AppendUint64(b, uint64(v.NotAfter))
	b = append(b, byte(len(v.Organisation)))
	b = append(b, v.Organisation...)
	return append(b, v.Originator...)
}

func decodeInvitation(b []byte) (*Invitation, error) {
	bad := errors.New("not an invitation of version 1")
	if len(b) <= invitationHead || b[0] != invitationVersion {
		return nil, bad
	}
	v := &Invitation{
		Role: Role(b[1]), Hash: [32]byte(b[2:34]), Until: int64(binary.BigEndian.Uint64(b[34:])),
		NotBefore: int64(binary.BigEndian.Uint64(b[42:])), NotAfter: int64(binary.BigEndian.Uint64(b[50:])),
	}
	n, rest := int(b[58]), b[invitationHead:]
	if n > maxOrganisation || n >= len(rest) {
		return nil, bad
	}
	v.Organisation, v.Originator = string(rest[:n]), string(rest[n:])
	return v, nil
}
