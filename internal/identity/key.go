package identity

import (
	"crypto/ed25519"
	"errors"

	"github.com/oasisprotocol/curve25519-voi/curve"
)

// CheckKey refuses what is no Ed25519 public key of an honest generator: of another length, no point of the curve or
// not its one encoding (RFC 8032 section 5.1.3), or a point outside the group of prime order. For others the equations
// by which signatures are checked, alone or many at a time, do not all say the same; and for those of small order there
// are signatures that fit any message.
func CheckKey(public []byte) error {
	var c curve.CompressedEdwardsY
	if len(public) != ed25519.PublicKeySize {
		return errors.New("an Ed25519 public key has 32 bytes")
	}
	copy(c[:], public)
	var p curve.EdwardsPoint
	if _, err := p.SetCompressedY(&c); err != nil || !c.IsCanonicalVartime() {
		return errors.New("the public key is not the encoding of a point of Ed25519")
	}
	if p.IsSmallOrder() || !p.IsTorsionFree() {
		return errors.New("the public key is not in the group of prime order of Ed25519")
	}
	return nil
}
