package client

import (
	"crypto/ed25519"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

// Signer signs requests with a device's own key, so that the network can prove later that the device itself sent them. It
// is safe for concurrent use; one key must not be used by two Signers at a time.
type Signer struct {
	origin string
	key    ed25519.PrivateKey
	valid  time.Duration
	last   atomic.Uint64
}

// NewSigner returns a signer for the network of an origin (the first line of its checkpoints) with a key that is enrolled
// there. A request that was not executed within valid after it was signed lapses; 5 minutes when valid is 0, at most 31
// days. last is the newest counter that the key has signed with. With 0 counters begin at the clock's seconds times 2^20,
// which is above all that were used before as long as the clock is never set back between two runs and less than a
// million requests a second are signed.
//
// Counters may arrive out of order, but one that is 64 or more below the newest is refused: no more than 64 requests
// should be under way at a time.
func NewSigner(origin string, key ed25519.PrivateKey, valid time.Duration, last uint64) *Signer {
	if valid == 0 {
		valid = 5 * time.Minute
	}
	if last == 0 {
		last = uint64(time.Now().Unix()) << 20
	}
	s := &Signer{origin: origin, key: key, valid: valid}
	s.last.Store(last)
	return s
}

// Last is the newest counter that was used, to be kept for the next NewSigner.
func (s *Signer) Last() uint64 { return s.last.Load() }

// Sign signs a request that is not changed any more.
func (s *Signer) Sign(req *onem2m.Request) error {
	return req.Sign(s.origin, s.key, s.last.Add(1), time.Now().Add(s.valid).Unix())
}

// SignWith makes the client sign what it creates, updates and deletes. Signed requests need no token; what it retrieves
// does. It is set before the first request.
func (c *Client) SignWith(s *Signer) { c.signer = s }
