package proof

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/oasisprotocol/curve25519-voi/curve"
	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// deviceRule is the one rule by which a device's signature is valid, for single signatures and for batches, on every
// node and offline: the cofactored equation of RFC 8032 section 5.1.7, with canonical encodings of the key, of R and of
// S, and a key of the group of prime order. Only that equation gives the same answer in a batch as alone. A library that
// checks the cofactorless equation agrees on every signature that was made as RFC 8032 says.
var deviceRule = &voi.Options{Verify: &voi.VerifyOptions{AllowSmallOrderR: true}}

// DeviceKey is a device's Ed25519 public key, prepared so that verifying many signatures costs less. It takes about
// 1.5 KiB and is safe for concurrent use.
type DeviceKey struct{ key *voi.ExpandedPublicKey }

// NewDeviceKey prepares a public key of 32 bytes. It refuses what is no canonical encoding of a point, and points outside
// of the group of prime order: for those of small order there are signatures that fit any message.
func NewDeviceKey(public []byte) (*DeviceKey, error) {
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("an Ed25519 public key has %d bytes, not %d", ed25519.PublicKeySize, len(public))
	}
	y, point := curve.CompressedEdwardsY(public), curve.EdwardsPoint{}
	if _, err := point.SetCompressedY(&y); err != nil || !y.IsCanonicalVartime() || point.IsSmallOrder() || !point.IsTorsionFree() {
		return nil, errors.New("no Ed25519 public key: it is no point in its canonical encoding, or none of the group of prime order")
	}
	k, err := voi.NewExpandedPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("no Ed25519 public key: %w", err)
	}
	return &DeviceKey{k}, nil
}

// ID names the key: the first 8 bytes of its SHA-256.
func (k *DeviceKey) ID() [8]byte {
	public := k.key.CompressedY()
	h := sha256.Sum256(public[:])
	return [8]byte(h[:])
}

// Public returns the 32 bytes of the key.
func (k *DeviceKey) Public() [32]byte { return [32]byte(k.key.CompressedY()) }

// Verify says whether sig is a signature of message by the key.
func (k *DeviceKey) Verify(message, sig []byte) bool {
	return voi.VerifyExpandedWithOptions(k.key, message, sig, deviceRule)
}

// DeviceBatch verifies many signatures at once, for about a third of what they cost one by one. The zero value is ready
// for use; one goroutine at a time.
type DeviceBatch struct{ v voi.BatchVerifier }

// Grow makes room for n signatures. It drops those that were added.
func (b *DeviceBatch) Grow(n int) { b.v = *voi.NewBatchVerifierWithCapacity(n) }

// Add adds a signature of message. It keeps no reference to its arguments but to the key.
func (b *DeviceBatch) Add(k *DeviceKey, message, sig []byte) {
	b.v.AddExpandedWithOptions(k.key, message, sig, deviceRule)
}

// AllValid says whether all signatures added since the last call are valid, for less than Verify costs when one is not.
func (b *DeviceBatch) AllValid() bool {
	ok := b.v.VerifyBatchOnly(nil)
	b.v.Reset()
	return ok
}

// Verify says of each signature added since the last call, in that order, whether it is valid, as DeviceKey.Verify
// does. One that is not makes all of them be verified one by one.
func (b *DeviceBatch) Verify() []bool {
	_, each := b.v.Verify(nil)
	b.v.Reset()
	return each
}
