package proof

import (
	"crypto/sha256"
	"encoding/binary"
)

// saltPrefix separates salts from every other use of SHA-256. Prefix, seed and index are 54 bytes together: the
// most that one SHA-256 block holds beside its padding is 55.
const saltPrefix = "tallystick/salt/v1"

// Inputs up to these sizes are hashed from a buffer on the stack, so that they cost no allocation.
const (
	smallInput  = 512
	signedInput = 1024
	largeInput  = 4096
)

// DeriveSalt returns the salt of the payload with number i of a batch:
// SHA-256("tallystick/salt/v1" || seed || i as 4 bytes, big-endian). The seed is one secret random value a batch;
// a salt tells nothing about the seed or about another salt of the batch.
func DeriveSalt(seed *[32]byte, i uint32) [32]byte {
	var b [len(saltPrefix) + 32 + 4]byte
	copy(b[:], saltPrefix)
	copy(b[len(saltPrefix):], seed[:])
	binary.BigEndian.PutUint32(b[len(saltPrefix)+32:], i)
	return sha256.Sum256(b[:])
}

// Commit returns the commitment to a payload: SHA-256(salt || payload). Without the salt the commitment tells
// nothing about the payload, even to somebody who can guess it. A missing payload is committed to as an empty one.
func Commit(salt *[32]byte, payload []byte) [32]byte {
	return sum(salt[:], payload)
}

// CommitSigned returns the commitment to a payload and the signature beside it (Signed.AppendBinary), of an entry with
// AuthSignature: SHA-256(salt || length of signed as 4 bytes, big-endian || signed || payload).
func CommitSigned(salt *[32]byte, payload, signed []byte) [32]byte {
	var b [signedInput]byte
	data := b[:0]
	if n := len(salt) + 4 + len(signed) + len(payload); n > len(b) {
		data = make([]byte, 0, n)
	}
	data = binary.BigEndian.AppendUint32(append(data, salt[:]...), uint32(len(signed)))
	return sha256.Sum256(append(append(data, signed...), payload...))
}

// leafPrefix separates leaves from inner nodes (RFC 6962 section 2.1).
var leafPrefix = [1]byte{0x00}

// LeafHash returns the hash of the leaf of an encoded entry: SHA-256(0x00 || entry) (RFC 6962 section 2.1).
func LeafHash(entry []byte) [32]byte {
	return sum(leafPrefix[:], entry)
}

// sum returns SHA-256(prefix || data).
func sum(prefix, data []byte) [32]byte {
	switch n := len(prefix) + len(data); {
	case n <= smallInput:
		return sumSmall(prefix, data)
	case n <= largeInput:
		return sumLarge(prefix, data)
	}
	h := sha256.New()
	h.Write(prefix)
	h.Write(data)
	var out [32]byte
	h.Sum(out[:0])
	return out
}

func sumSmall(prefix, data []byte) [32]byte {
	var b [smallInput]byte
	n := copy(b[:], prefix)
	n += copy(b[n:], data)
	return sha256.Sum256(b[:n])
}

// sumLarge is apart from sumSmall because clearing its buffer would slow down the small inputs, which are most.
func sumLarge(prefix, data []byte) [32]byte {
	var b [largeInput]byte
	n := copy(b[:], prefix)
	n += copy(b[n:], data)
	return sha256.Sum256(b[:n])
}
