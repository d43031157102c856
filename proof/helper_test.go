package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files and vectors instead of comparing with them")

// golden compares got with a file of testdata, or writes the file if the test runs with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has changed:\n got %q\nwant %q", path, got, want)
	}
}

const testOrigin = "tallystick.example/cold-chain"

var testNames = []string{"shipper.example", "carrier.example", "pharmacy.example", "regulator.example", "port.example"}

// testKey returns the key pair of the member with number i.
func testKey(i int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "test key %d", i))
	return ed25519.NewKeyFromSeed(seed[:])
}

// testPolicy returns the usual policy of n members.
func testPolicy(t testing.TB, n int) *Policy {
	t.Helper()
	var members []Member
	for i := range n {
		members = append(members, Member{testNames[i], testKey(i).Public().(ed25519.PublicKey)})
	}
	p, err := NewPolicy(testOrigin, members)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const testTime = 1_790_000_000

// sign returns a checkpoint signed by the log as node 0 and by the first n members, a second apart.
func sign(c Checkpoint, n int) *SignedCheckpoint {
	s := &SignedCheckpoint{c, []Signature{SignLog(c, testKey(0))}}
	for i := range n {
		s.Signatures = append(s.Signatures, Cosign(c, testNames[i], testKey(i), testTime+int64(i)))
	}
	sortSignatures(s.Signatures)
	return s
}

var (
	testSalt    = DeriveSalt(&[32]byte{1, 2, 3}, 7)
	testPayload = []byte(`{"m2m:cin":{"cnf":"application/json:0","con":"{\"temperature\":4.25,\"humidity\":61}"}}`)
)

func testEntry() Entry {
	return Entry{
		Height:     120_345,
		Time:       testTime*1_000_000 + 123_456,
		Operation:  1,
		Originator: "Ctruck-0017",
		Target:     "cnt0000000000a7f21",
		Resource:   "cin00000000b3c9d20",
		Type:       4,
		Status:     2001,
		Commitment: Commit(&testSalt, testPayload),
		Auth:       Auth{Method: AuthToken, Key: [8]byte{0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4}},
	}
}

// leaves returns the leaf hashes of a log of size n whose entry at index is the given one.
func leaves(n, index int, entry []byte) [][32]byte {
	out := make([][32]byte, n)
	for i := range out {
		out[i] = LeafHash(fmt.Appendf(nil, "entry %d", i))
	}
	if entry != nil {
		out[index] = LeafHash(entry)
	}
	return out
}

// split returns the largest power of two less than n (RFC 6962 section 2.1).
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

// treeHash is MTH of RFC 6962 section 2.1, word by word.
func treeHash(d [][32]byte) [32]byte {
	switch len(d) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return d[0]
	}
	k := split(len(d))
	l, r := treeHash(d[:k]), treeHash(d[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

// auditPath is PATH of RFC 6962 section 2.1.1, word by word.
func auditPath(m int, d [][32]byte) [][32]byte {
	if len(d) <= 1 {
		return nil
	}
	if k := split(len(d)); m < k {
		return append(auditPath(m, d[:k]), treeHash(d[k:]))
	} else {
		return append(auditPath(m-k, d[k:]), treeHash(d[:k]))
	}
}

// subProof is SUBPROOF of RFC 6962 section 2.1.2, word by word; PROOF is subProof with b set.
func subProof(m int, d [][32]byte, b bool) [][32]byte {
	if m == len(d) {
		if b {
			return nil
		}
		return [][32]byte{treeHash(d)}
	}
	if k := split(len(d)); m <= k {
		return append(subProof(m, d[:k], b), treeHash(d[k:]))
	} else {
		return append(subProof(m-k, d[k:], false), treeHash(d[:k]))
	}
}

// testBundle returns a bundle of the entry at index 41 of a log of size 100, signed by four members.
func testBundle() *Bundle {
	e := testEntry()
	b := &Bundle{Entry: e.AppendBinary(nil), Salt: testSalt, Payload: testPayload, Index: 41}
	d := leaves(100, 41, b.Entry)
	b.Hashes = auditPath(41, d)
	b.Checkpoint = *sign(Checkpoint{testOrigin, 100, treeHash(d)}, 4)
	return b
}
