package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"testing"
)

// TestVerifiedBatches: only a transaction that is the same in every byte counts as checked, until it is dropped or has
// to make room.
func TestVerifiedBatches(t *testing.T) {
	var v verifiedBatches
	tx := func(n uint32, size int) []byte {
		b := binary.BigEndian.AppendUint32(make([]byte, size), n)
		return append(b, bytes.Repeat([]byte{byte(n)}, ed25519.SignatureSize)...)
	}
	a := tx(1, 100)
	v.add(a, nil)
	other := bytes.Clone(a)
	other[3] ^= 1 // with the same signature
	for _, no := range [][]byte{nil, a[:len(a)-1], a[1:], append([]byte{0}, a...), other, make([]byte, ed25519.SignatureSize)} {
		if v.has(no) {
			t.Errorf("%d bytes count as checked", len(no))
		}
	}
	if !v.has(bytes.Clone(a)) {
		t.Error("the same transaction does not count as checked")
	}
	v.drop(a)
	if v.has(a) || v.size != 0 {
		t.Errorf("dropped, and there are %d bytes", v.size)
	}
	v.add(a, nil)
	for n := uint32(2); n < 40; n++ {
		v.add(tx(n, MaxBlockBytes/8), nil)
		total := 0
		for _, half := range []map[[64]byte]keptBatch{v.new, v.old} {
			for _, b := range half {
				total += b.cost()
			}
		}
		if total > 2*maxVerifiedBytes {
			t.Fatalf("%d bytes are kept", total)
		}
	}
	if v.has(a) || !v.has(tx(39, MaxBlockBytes/8)) {
		t.Error("the oldest should have made room for the newest")
	}
}
