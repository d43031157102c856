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
	new, old map[[ed25519.SignatureSize]byte]keptBatch // by signature
	size     int                                       // bytes in new
}

// keptBatch is a transaction, and what was made of it when it was verified.
type keptBatch struct {
	tx   []byte
	read *readBatch // nil when nothing is kept but that it is verified
}

// readBatch is what execution would otherwise do again. Nobody changes it.
type readBatch struct {
	batch  *Batch
	signed [][]byte // of each item, what is kept of its device's signature (proof.Signed in its binary form)
}

// readCost is about how many bytes are in memory for each byte of a transaction that is kept with what was made of it.
const readCost = 5

func (k *keptBatch) cost() int {
	if k.read != nil {
		return readCost * len(k.tx)
	}
	return len(k.tx)
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
	_, ok := v.find(tx)
	return ok
}

// find also gives what add was given with it.
func (v *verifiedBatches) find(tx []byte) (*readBatch, bool) {
	s, ok := signatureOf(tx)
	if !ok {
		return nil, false
	}
	v.mu.Lock()
	known, ok := v.new[s]
	if !ok {
		known, ok = v.old[s]
	}
	v.mu.Unlock()
	if !ok || !bytes.Equal(known.tx, tx) {
		return nil, false
	}
	return known.read, true
}

// add keeps tx itself and what was made of it, if anything, which must not change any more.
func (v *verifiedBatches) add(tx []byte, read *readBatch) {
	s, ok := signatureOf(tx)
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	k := keptBatch{tx, read}
	if v.new == nil || len(v.new) >= maxVerified || v.size+k.cost() > maxVerifiedBytes {
		v.old, v.new, v.size = v.new, make(map[[ed25519.SignatureSize]byte]keptBatch), 0
	}
	if before, ok := v.new[s]; ok {
		v.size -= before.cost()
	}
	v.new[s] = k
	v.size += k.cost()
}

func (v *verifiedBatches) drop(tx []byte) {
	s, ok := signatureOf(tx)
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if known, ok := v.new[s]; ok {
		v.size -= known.cost()
		delete(v.new, s)
	}
	delete(v.old, s)
}
