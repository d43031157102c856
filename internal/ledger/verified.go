package ledger

import (
	"bytes"
	"crypto/ed25519"
	"sync"
)

// verifiedBatches remembers the transactions whose signatures were checked and that were not executed yet: each is met in
// the mempool, in the proposal, once more when that is judged, and in the decided block. To compare all their bytes costs
// less than one hash of them. It forgets the older half when it has more than it may hold.
type verifiedBatches struct {
	mu       sync.Mutex
	new, old map[[ed25519.SignatureSize]byte][]byte // by signature
	size     int                                    // bytes in new
}

// Bounds of one half; a block has at most MaxBlockBytes of batches.
const (
	maxVerified      = 4096
	maxVerifiedBytes = 2 * MaxBlockBytes
)

// signatureOf is the end of a transaction; ok is false for one that is too short to be a batch.
func signatureOf(tx []byte) (s [ed25519.SignatureSize]byte, ok bool) {
	if len(tx) < len(s) {
		return s, false
	}
	return [ed25519.SignatureSize]byte(tx[len(tx)-len(s):]), true
}

func (v *verifiedBatches) has(tx []byte) bool {
	s, ok := signatureOf(tx)
	if !ok {
		return false
	}
	v.mu.Lock()
	known, ok := v.new[s]
	if !ok {
		known, ok = v.old[s]
	}
	v.mu.Unlock()
	return ok && bytes.Equal(known, tx)
}

// add keeps tx itself, which must not change any more.
func (v *verifiedBatches) add(tx []byte) {
	s, ok := signatureOf(tx)
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.new == nil || len(v.new) >= maxVerified || v.size+len(tx) > maxVerifiedBytes {
		v.old, v.new, v.size = v.new, make(map[[ed25519.SignatureSize]byte][]byte), 0
	}
	v.new[s] = tx
	v.size += len(tx)
}

func (v *verifiedBatches) drop(tx []byte) {
	s, ok := signatureOf(tx)
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if known, ok := v.new[s]; ok {
		v.size -= len(known)
		delete(v.new, s)
	}
	delete(v.old, s)
}
