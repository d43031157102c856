package identity

import (
	"encoding/binary"
	"errors"
)

// Holder is what an originator is, whatever credentials it has.
type Holder struct {
	Organisation string
	// Keys are its credentials, oldest first; those that are over may be missing.
	Keys []KeyID
}

const credentialVersion = 2

// encode writes version 2: version, kind, role, revoked, value, not before, not after, index, index of the revocation,
// length of the organisation's name, organisation, originator.
func (c *Credential) encode() []byte {
	b := make([]byte, 0, credentialHead+len(c.Organisation)+len(c.Originator))
	revoked := byte(0)
	if c.Revoked {
		revoked = 1
	}
	b = append(b, credentialVersion, byte(c.Kind), byte(c.Role), revoked)
	b = append(b, c.Value[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.NotBefore))
	b = binary.BigEndian.AppendUint64(b, uint64(c.NotAfter))
	b = binary.BigEndian.AppendUint64(b, c.Index)
	b = binary.BigEndian.AppendUint64(b, c.Revocation)
	b = append(b, byte(len(c.Organisation)))
	b = append(b, c.Organisation...)
	return append(b, c.Originator...)
}

const credentialHead = 4 + 32 + 4*8 + 1

func decode(b []byte) (*Credential, error) {
	bad := errors.New("not a credential of version 2")
	if len(b) <= credentialHead || b[0] != credentialVersion || b[1] != byte(Token) && b[1] != byte(Key) || b[3] > 1 {
		return nil, bad
	}
	c := &Credential{
		Kind: Kind(b[1]), Role: Role(b[2]), Revoked: b[3] == 1, Value: [32]byte(b[4:36]),
		NotBefore: int64(binary.BigEndian.Uint64(b[36:])), NotAfter: int64(binary.BigEndian.Uint64(b[44:])),
		Index: binary.BigEndian.Uint64(b[52:]), Revocation: binary.BigEndian.Uint64(b[60:]),
	}
	n, rest := int(b[68]), b[credentialHead:]
	if n > maxOrganisation || n >= len(rest) {
		return nil, bad
	}
	c.Organisation, c.Originator = string(rest[:n]), string(rest[n:])
	return c, nil
}

const holderVersion = 1

// encode writes version 1: version, length of the organisation's name, organisation, the IDs of the credentials.
func (h *Holder) encode() []byte {
	b := make([]byte, 0, 2+len(h.Organisation)+8*len(h.Keys))
	b = append(b, holderVersion, byte(len(h.Organisation)))
	b = append(b, h.Organisation...)
	for _, id := range h.Keys {
		b = append(b, id[:]...)
	}
	return b
}

func decodeHolder(b []byte) (*Holder, error) {
	bad := errors.New("not the record of an originator of version 1")
	if len(b) < 2 || b[0] != holderVersion || int(b[1]) > maxOrganisation || len(b) < 2+int(b[1]) {
		return nil, bad
	}
	h := &Holder{Organisation: string(b[2 : 2+b[1]])}
	rest := b[2+b[1]:]
	if len(rest)%8 != 0 || len(rest) > 8*MaxHeld {
		return nil, bad
	}
	for ; len(rest) > 0; rest = rest[8:] {
		h.Keys = append(h.Keys, KeyID(rest))
	}
	return h, nil
}
