package proof

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// KeyType is the signature type of a key (c2sp.org/signed-note, Signature types).
type KeyType byte

// The types in use here. Both are Ed25519; a member may use one key pair for both, because no text that begins
// with the header line of a cosignature is a checkpoint.
const (
	KeyLog         KeyType = 0x01 // signs checkpoints as the log, under the origin as name
	KeyCosignature KeyType = 0x04 // cosigns checkpoints with a time, under the member's own name (c2sp.org/tlog-cosignature)
)

// cosignatureSize is the size of a timestamped_signature: time and Ed25519 signature (c2sp.org/tlog-cosignature, Format).
const cosignatureSize = 8 + ed25519.SignatureSize

// VerifierKey is a named public key, written as a vkey (c2sp.org/signed-note, verifier keys).
type VerifierKey struct {
	Name string
	Type KeyType
	Key  ed25519.PublicKey
}

// ID returns the key ID that signatures carry: the first 4 bytes of SHA-256(name || "\n" || type || public key).
func (k VerifierKey) ID() uint32 {
	b := make([]byte, 0, MaxName+2+ed25519.PublicKeySize)
	b = append(b, k.Name...)
	b = append(b, '\n', byte(k.Type))
	sum := sha256.Sum256(append(b, k.Key...))
	return binary.BigEndian.Uint32(sum[:])
}

// String returns the vkey: name, "+", key ID as 8 hex digits, "+", base64 of type and public key.
func (k VerifierKey) String() string {
	return fmt.Sprintf("%s+%08x+%s", k.Name, k.ID(), strict.EncodeToString(append([]byte{byte(k.Type)}, k.Key...)))
}

// ParseVerifierKey parses a vkey of the given type. It accepts only what VerifierKey.String writes.
func ParseVerifierKey(s string, typ KeyType) (VerifierKey, error) {
	name, rest, _ := strings.Cut(s, "+")
	_, encoded, ok := strings.Cut(rest, "+")
	if !ok {
		return VerifierKey{}, fmt.Errorf("parse key %.64q: want name+ID+key", s)
	}
	if err := checkName(name); err != nil {
		return VerifierKey{}, fmt.Errorf("parse key: %w", err)
	}
	b, err := strict.DecodeString(encoded)
	if err != nil {
		return VerifierKey{}, fmt.Errorf("parse key of %q: %w", name, err)
	}
	if len(b) != 1+ed25519.PublicKeySize {
		return VerifierKey{}, fmt.Errorf("parse key of %q: %d bytes, want %d: type and Ed25519 public key", name, len(b), 1+ed25519.PublicKeySize)
	}
	if KeyType(b[0]) != typ {
		return VerifierKey{}, fmt.Errorf("parse key of %q: type 0x%02x, want 0x%02x", name, b[0], byte(typ))
	}
	k := VerifierKey{Name: name, Type: typ, Key: ed25519.PublicKey(b[1:])}
	if k.String() != s {
		return VerifierKey{}, fmt.Errorf("parse key of %q: the key ID is wrong or not in the canonical form, want %s", name, k)
	}
	return k, nil
}

// verify reports whether sig is a valid signature on the text of a checkpoint by this key, whose ID it carries.
func (k VerifierKey) verify(text []byte, sig Signature) bool {
	switch k.Type {
	case KeyLog:
		return len(sig.Bytes) == ed25519.SignatureSize && ed25519.Verify(k.Key, text, sig.Bytes)
	case KeyCosignature:
		if len(sig.Bytes) != cosignatureSize {
			return false
		}
		seconds := binary.BigEndian.Uint64(sig.Bytes)
		// c2sp.org/tlog-cosignature, Format: the time must not exceed 2^63-1.
		return seconds <= 1<<63-1 && ed25519.Verify(k.Key, cosigned(text, seconds), sig.Bytes[8:])
	}
	return false
}

// cosigned returns the message that a cosigner signs (c2sp.org/tlog-cosignature, Ed25519 signed message).
func cosigned(text []byte, seconds uint64) []byte {
	m := make([]byte, 0, 64+len(text))
	m = append(m, "cosignature/v1\ntime "...)
	m = strconv.AppendUint(m, seconds, 10)
	m = append(m, '\n')
	return append(m, text...)
}

// SignLog signs a checkpoint as the log: a plain Ed25519 note signature under the origin as name
// (c2sp.org/signed-note, Ed25519 signatures), so that any monitor of such logs can follow the node that serves it.
// A key must never sign two checkpoints that are not consistent.
func SignLog(c Checkpoint, key ed25519.PrivateKey) Signature {
	return Signature{
		Name:  c.Origin,
		KeyID: VerifierKey{Name: c.Origin, Type: KeyLog, Key: key.Public().(ed25519.PublicKey)}.ID(),
		Bytes: ed25519.Sign(key, c.Marshal()),
	}
}

// Cosign signs a checkpoint as a member of the network: a cosignature/v1 under the member's own name, with the time
// in Unix seconds, which must not be negative (c2sp.org/tlog-cosignature). It states that at this time this was the
// largest consistent checkpoint of the log that the member had seen.
func Cosign(c Checkpoint, name string, key ed25519.PrivateKey, seconds int64) Signature {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, cosignatureSize), uint64(seconds))
	return Signature{
		Name:  name,
		KeyID: VerifierKey{Name: name, Type: KeyCosignature, Key: key.Public().(ed25519.PublicKey)}.ID(),
		Bytes: append(b, ed25519.Sign(key, cosigned(c.Marshal(), uint64(seconds)))...),
	}
}
