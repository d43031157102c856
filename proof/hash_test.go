package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"pgregory.net/rapid"
)

// TestHashes compares with SHA-256 over the concatenation, at the sizes around every buffer.
func TestHashes(t *testing.T) {
	salt := [32]byte{9, 8, 7}
	for _, n := range []int{0, 1, 31, 32, 479, 480, 481, 511, 512, 513, 4063, 4064, 4065, 4095, 4096, 100_000} {
		data := bytes.Repeat([]byte{0xa5}, n)
		if got, want := Commit(&salt, data), sha256.Sum256(append(salt[:], data...)); got != want {
			t.Errorf("Commit of %d bytes: %x, want %x", n, got, want)
		}
		if got, want := LeafHash(data), [32]byte(rfc6962.DefaultHasher.HashLeaf(data)); got != want {
			t.Errorf("LeafHash of %d bytes: %x, want %x", n, got, want)
		}
	}
	if Commit(&salt, nil) != Commit(&salt, []byte{}) {
		t.Error("a missing payload is not committed to as an empty one")
	}
}

func TestDeriveSalt(t *testing.T) {
	if n := len(saltPrefix) + 32 + 4; n > 55 {
		t.Errorf("input of %d bytes does not fit one SHA-256 block", n)
	}
	rapid.Check(t, func(t *rapid.T) {
		seed := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		i := rapid.Uint32().Draw(t, "i")
		want := sha256.Sum256(binary.BigEndian.AppendUint32(append([]byte("tallystick/salt/v1"), seed[:]...), i))
		if got := DeriveSalt(&seed, i); got != want {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

func TestHashesAllocate(t *testing.T) {
	entry, payload, seed := make([]byte, 1600), make([]byte, 2000), [32]byte{1}
	for name, f := range map[string]func(){
		"DeriveSalt":     func() { DeriveSalt(&seed, 3) },
		"Commit":         func() { Commit(&seed, payload[:100]) },
		"Commit large":   func() { Commit(&seed, payload) },
		"LeafHash":       func() { LeafHash(entry[:200]) },
		"LeafHash large": func() { LeafHash(entry) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkDeriveSalt(b *testing.B) {
	seed := [32]byte{1}
	for b.Loop() {
		DeriveSalt(&seed, 3)
	}
}

func BenchmarkCommit(b *testing.B) {
	salt := [32]byte{1}
	for b.Loop() {
		Commit(&salt, testPayload)
	}
}

func BenchmarkLeafHash(b *testing.B) {
	e := testEntry()
	entry := e.AppendBinary(nil)
	for b.Loop() {
		LeafHash(entry)
	}
}
