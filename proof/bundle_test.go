package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	cosig "github.com/transparency-dev/formats/note"
	tlogproof "github.com/transparency-dev/formats/proof"
)

// stepOf returns the step that an error names.
func stepOf(t *testing.T, err error) Step {
	t.Helper()
	var s *StepError
	if !errors.As(err, &s) {
		t.Fatalf("error %v names no step", err)
	}
	return s.Step
}

func TestBundleGolden(t *testing.T) {
	p, b := testPolicy(t, 4), testBundle()
	golden(t, "bundle.txt", b.Marshal())
	v, err := p.Verify(b.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	want := &Verified{
		Entry:      testEntry(),
		Payload:    testPayload,
		Index:      41,
		Leaf:       LeafHash(b.Entry),
		Checkpoint: b.Checkpoint.Checkpoint,
		SignedBy:   []string{"carrier.example", "pharmacy.example", "regulator.example", "shipper.example"},
		Published:  time.Unix(testTime+2, 0).UTC(), // the third of four cosignatures, a second apart
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Error(diff)
	}
}

func TestErasedBundleGolden(t *testing.T) {
	p, b := testPolicy(t, 4), testBundle()
	b.Erased, b.Salt, b.Payload = true, [32]byte{}, nil
	golden(t, "erased.txt", b.Marshal())
	v, err := p.Verify(b.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if !v.Erased || v.Payload != nil || v.Entry != testEntry() {
		t.Errorf("verified as %+v", v)
	}
}

// TestEveryChangeFails changes every bit of a bundle, cuts it at every byte, and removes and doubles every byte.
func TestEveryChangeFails(t *testing.T) {
	p := testPolicy(t, 4)
	erased := testBundle()
	erased.Erased, erased.Salt, erased.Payload = true, [32]byte{}, nil
	steps := make(map[Step]int)
	for _, b := range []*Bundle{testBundle(), erased} {
		file := b.Marshal()
		fails := func(what string, i int, changed []byte) {
			t.Helper()
			_, err := p.Verify(changed)
			if err == nil {
				t.Fatalf("byte %d %s: accepted\n%s", i, what, changed)
			}
			steps[stepOf(t, err)]++
		}
		for i := range file {
			for bit := range 8 {
				file[i] ^= 1 << bit
				if _, err := p.Verify(file); err == nil {
					t.Fatalf("bit %d of byte %d: accepted\n%s", bit, i, file)
				} else {
					steps[stepOf(t, err)]++
				}
				file[i] ^= 1 << bit
			}
			fails("cut", i, slices.Clone(file[:i]))
			fails("removed", i, slices.Delete(slices.Clone(file), i, i+1))
			fails("doubled", i, slices.Insert(slices.Clone(file), i, file[i]))
		}
		fails("line feed at the end", len(file), append(slices.Clone(file), '\n'))
	}
	for _, s := range []Step{StepFormat, StepEntry, StepPayload, StepInclusion, StepCheckpoint, StepQuorum} {
		if steps[s] == 0 {
			t.Errorf("no change failed in step %q", s)
		}
	}
	t.Logf("changes by step: %v", steps)
}

// TestOthersReadTheProof reads the embedded proof with the package of transparency-dev (c2sp.org/tlog-proof).
func TestOthersReadTheProof(t *testing.T) {
	p, b := testPolicy(t, 4), testBundle()
	var tp tlogproof.TLogProof
	if err := tp.Unmarshal(b.TLogProof()); err != nil {
		t.Fatal(err)
	}
	if tp.Index != b.Index || len(tp.Hashes) != len(b.Hashes) || len(tp.ExtraData) != 0 {
		t.Errorf("read as %+v", tp)
	}
	log, err := note.NewVerifier(p.logKey(0).String())
	if err != nil {
		t.Fatal(err)
	}
	member, err := cosig.NewVerifierForCosignatureV1(p.memberKey(2).String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(tp.Checkpoint, note.VerifierList(log, member))
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Sigs) != 2 {
		t.Errorf("%d signatures verified, want 2", len(n.Sigs))
	}
}

// TestPublished: a member whose clock is absurd does not move the time at which the others were a quorum.
func TestPublished(t *testing.T) {
	b := testBundle()
	c := b.Checkpoint.Checkpoint
	b.Checkpoint = *sign(c, 3)
	b.Checkpoint.Signatures = append(b.Checkpoint.Signatures, Cosign(c, testNames[3], testKey(3), 1<<63-1))
	v, err := testPolicy(t, 4).VerifyBundle(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Unix(testTime+2, 0).UTC(); !v.Published.Equal(want) {
		t.Errorf("published %v, want %v", v.Published, want)
	}
}

// TestOpen: c2sp.org/signed-note, Signatures: unknown keys are ignored, an invalid signature by a known key is not.
func TestOpen(t *testing.T) {
	p := testPolicy(t, 4)
	c := Checkpoint{testOrigin, 9, [32]byte{4}}
	stranger := ed25519.NewKeyFromSeed(make([]byte, 32))

	s := sign(c, 3)
	slices.Reverse(s.Signatures)
	s.Signatures = append(s.Signatures,
		SignLog(c, testKey(1)),
		s.Signatures[0],
		SignLog(c, stranger),
		Cosign(c, "stranger.example", stranger, testTime),
		Cosign(c, testNames[3], stranger, testTime), // a member's name with another key: another key ID
	)
	got, err := p.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	want := sign(c, 3)
	i := slices.IndexFunc(s.Signatures, func(s Signature) bool { return s.Name == testOrigin })
	want.Signatures[slices.IndexFunc(want.Signatures, func(s Signature) bool { return s.Name == testOrigin })] = s.Signatures[i]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	for _, test := range []struct {
		name string
		step Step
		sigs []Signature
	}{
		{"no signature", StepCheckpoint, nil},
		{"not by the log", StepCheckpoint, []Signature{Cosign(c, testNames[0], testKey(0), 1), Cosign(c, testNames[1], testKey(1), 1), Cosign(c, testNames[2], testKey(2), 1)}},
		{"two of three", StepQuorum, sign(c, 2).Signatures},
		{"one member three times", StepQuorum, []Signature{SignLog(c, testKey(0)), Cosign(c, testNames[0], testKey(0), 1), Cosign(c, testNames[0], testKey(0), 2), Cosign(c, testNames[0], testKey(0), 3)}},
		{"log signatures do not count", StepQuorum, []Signature{SignLog(c, testKey(0)), SignLog(c, testKey(1)), SignLog(c, testKey(2)), SignLog(c, testKey(3))}},
		{"cosignature of another checkpoint", StepQuorum, append(sign(c, 3).Signatures, Cosign(Checkpoint{testOrigin, 10, c.Root}, testNames[3], testKey(3), 1))},
		{"log signature of another checkpoint", StepCheckpoint, append(sign(c, 3).Signatures, SignLog(Checkpoint{testOrigin, 10, c.Root}, testKey(1)))},
		{"time over 2^63-1", StepQuorum, append(sign(c, 3).Signatures, Cosign(c, testNames[3], testKey(3), -1))},
	} {
		_, err := p.Open(&SignedCheckpoint{c, test.sigs})
		if err == nil {
			t.Errorf("%s: opened", test.name)
		} else if got := stepOf(t, err); got != test.step {
			t.Errorf("%s: step %q, want %q: %v", test.name, got, test.step, err)
		}
	}

	c.Origin = "another.example/log"
	if _, err := p.Open(sign(c, 4)); err == nil || stepOf(t, err) != StepCheckpoint || !strings.Contains(err.Error(), "another.example/log") {
		t.Errorf("another log: %v", err)
	}
}

func FuzzParseBundle(f *testing.F) {
	b := testBundle()
	f.Add(b.Marshal())
	b.Payload, b.Hashes, b.Checkpoint.Signatures = nil, nil, b.Checkpoint.Signatures[:1]
	f.Add(b.Marshal())
	b.Erased, b.Salt = true, [32]byte{}
	f.Add(b.Marshal())
	f.Fuzz(func(t *testing.T, file []byte) {
		b, err := ParseBundle(file)
		if err == nil && !bytes.Equal(b.Marshal(), file) {
			t.Errorf("%q was accepted but is not canonical", file)
		}
	})
}

// FuzzVerify looks for a file that verifies though it is none of those that were signed.
func FuzzVerify(f *testing.F) {
	good := make(map[string]bool)
	for _, c := range bundleCases() {
		if c.policy == "policy-4.txt" {
			f.Add(c.file)
			good[string(c.file)] = c.step == ""
		}
	}
	p := testPolicy(f, 4)
	f.Fuzz(func(t *testing.T, file []byte) {
		v, err := p.Verify(file)
		if err != nil {
			stepOf(t, err)
			return
		}
		// Another choice of the same signatures, or leaving out the payload, is no forgery.
		for g, ok := range good {
			if b, err := ParseBundle([]byte(g)); ok && err == nil && v.Leaf == LeafHash(b.Entry) && v.Index == b.Index {
				return
			}
		}
		t.Errorf("%q was accepted", file)
	})
}

// millionBundle returns a bundle from a log of a million entries, with four cosignatures and an entry of about 200 bytes.
func millionBundle(t testing.TB) *Bundle {
	t.Helper()
	e := testEntry()
	e.Originator, e.Target, e.Resource = "C"+strings.Repeat("o", 31), strings.Repeat("t", 39), strings.Repeat("r", 47)
	b := &Bundle{Entry: e.AppendBinary(nil), Salt: testSalt, Payload: testPayload, Index: 345_678}
	// The other entries do not matter: any 20 hashes lead to some root.
	c := Checkpoint{Origin: testOrigin, Size: 1_000_000}
	for i := range 20 {
		b.Hashes = append(b.Hashes, sha256.Sum256([]byte{byte(i)}))
	}
	leaf := LeafHash(b.Entry)
	root, err := merkle.RootFromInclusionProof(rfc6962.DefaultHasher, b.Index, c.Size, leaf[:], slices32(b.Hashes))
	if err != nil {
		t.Fatal(err)
	}
	c.Root = [32]byte(root)
	b.Checkpoint = *sign(c, 4)
	return b
}

func TestBundleSize(t *testing.T) {
	if n := len(millionBundle(t).Marshal()); n > 4096 {
		t.Errorf("bundle of %d bytes at a million entries, the limit is 4096", n)
	}
}

func BenchmarkVerify(b *testing.B) {
	p, file := testPolicy(b, 4), millionBundle(b).Marshal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Verify(file); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(file)), "bytes")
}

func BenchmarkParseBundle(b *testing.B) {
	file := millionBundle(b).Marshal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseBundle(file); err != nil {
			b.Fatal(err)
		}
	}
}
