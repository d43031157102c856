package proof

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	cosig "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"
)

// TestOthersReadOurs opens what we sign with the note packages of Go and of transparency-dev.
func TestOthersReadOurs(t *testing.T) {
	c := Checkpoint{testOrigin, 100, [32]byte{1, 2, 3}}
	file := sign(c, 2).Marshal()
	pub := func(i int) ed25519.PublicKey { return testKey(i).Public().(ed25519.PublicKey) }

	log, err := note.NewVerifier(VerifierKey{testOrigin, KeyLog, pub(0)}.String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(file, note.VerifierList(log))
	if err != nil {
		t.Fatal(err)
	}
	if n.Text != string(c.Marshal()) || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 2 {
		t.Errorf("as the log: %+v", n)
	}

	for i := range 2 {
		// The package takes the key of a cosigner as a vkey of type 1 or 4.
		v, err := cosig.NewVerifierForCosignatureV1(VerifierKey{testNames[i], KeyCosignature, pub(i)}.String())
		if err != nil {
			t.Fatal(err)
		}
		n, err := note.Open(file, note.VerifierList(v))
		if err != nil {
			t.Fatal(err)
		}
		at, err := cosig.CoSigV1Timestamp(n.Sigs[0])
		if err != nil || at.Unix() != testTime+int64(i) {
			t.Errorf("time of cosignature %d: %v, %v", i, at, err)
		}
	}
}

// TestWeReadOthers verifies what the note packages of Go and of transparency-dev sign.
func TestWeReadOthers(t *testing.T) {
	c := Checkpoint{testOrigin, 100, [32]byte{1, 2, 3}}
	key := testKey(3)
	skey := func(name string) string {
		k := VerifierKey{name, KeyLog, key.Public().(ed25519.PublicKey)}
		id, _, _ := strings.Cut(strings.TrimPrefix(k.String(), name+"+"), "+")
		return "PRIVATE+KEY+" + name + "+" + id + "+" + strict.EncodeToString(append([]byte{byte(KeyLog)}, key.Seed()...))
	}
	log, err := note.NewSigner(skey(testOrigin))
	if err != nil {
		t.Fatal(err)
	}
	member, err := cosig.NewSignerForCosignatureV1(skey("auditor.example"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := note.Sign(&note.Note{Text: string(c.Marshal())}, log, member)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSignedCheckpoint(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPolicy(testOrigin, []Member{{"auditor.example", key.Public().(ed25519.PublicKey)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Open(s); err != nil {
		t.Fatal(err)
	}
	if at := s.Signatures[1].Time(); time.Since(at) > time.Minute {
		t.Errorf("cosignature of time %v", at)
	}
}

// TestVerifierKey compares with the vkey that Go's own package knows (c2sp.org/signed-note, verifier keys).
func TestVerifierKey(t *testing.T) {
	const peterNeumann = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
	k, err := ParseVerifierKey(peterNeumann, KeyLog)
	if err != nil {
		t.Fatal(err)
	}
	if k.Name != "PeterNeumann" || k.ID() != 0xc74f20a3 || k.String() != peterNeumann {
		t.Errorf("parsed %+v", k)
	}
	for name, s := range map[string]string{
		"empty":           "",
		"one plus":        "PeterNeumann+c74f20a3",
		"no name":         strings.TrimPrefix(peterNeumann, "PeterNeumann"),
		"wrong name":      strings.TrimPrefix(peterNeumann, "Peter"),
		"wrong ID":        strings.Replace(peterNeumann, "c7", "c8", 1),
		"upper-case ID":   strings.Replace(peterNeumann, "c74f20a3", "C74F20A3", 1),
		"other type":      strings.Replace(peterNeumann, "+AR", "+BR", 1),
		"changed key":     strings.Replace(peterNeumann, "ARp", "ARq", 1),
		"short key":       strings.TrimSuffix(peterNeumann, "10TW"),
		"line feed in it": strings.Replace(peterNeumann, "ARp", "AR\np", 1),
		"space in name":   "Peter " + peterNeumann,
	} {
		if k, err := ParseVerifierKey(s, KeyLog); err == nil {
			t.Errorf("%s: accepted as %+v", name, k)
		}
	}
	if _, err := ParseVerifierKey(peterNeumann, KeyCosignature); err == nil || !strings.Contains(err.Error(), "type 0x01, want 0x04") {
		t.Errorf("wrong type: %v", err)
	}
}

func TestCheckpointGolden(t *testing.T) {
	golden(t, "checkpoint.txt", testBundle().Checkpoint.Marshal())
}

func TestSignedCheckpointRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z0-9./é-]{1,20}`)
		s := &SignedCheckpoint{Checkpoint: Checkpoint{Origin: name.Draw(t, "origin"), Size: rapid.Uint64().Draw(t, "size")}}
		for range rapid.IntRange(1, 5).Draw(t, "signatures") {
			s.Signatures = append(s.Signatures, Signature{
				Name:  name.Draw(t, "name"),
				KeyID: rapid.Uint32().Draw(t, "id"),
				Bytes: rapid.SliceOfN(rapid.Byte(), 1, 80).Draw(t, "bytes"),
			})
		}
		file := s.Marshal()
		got, err := ParseSignedCheckpoint(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Marshal(), file) {
			t.Fatalf("%q became %q", file, got.Marshal())
		}
	})
}

// TestParseSignedCheckpointRefuses: c2sp.org/signed-note, Format.
func TestParseSignedCheckpointRefuses(t *testing.T) {
	good := string(sign(Checkpoint{testOrigin, 1, [32]byte{}}, 1).Marshal())
	text, lines, _ := strings.Cut(good, "\n\n")
	first, second, _ := strings.Cut(lines, "\n")
	for name, file := range map[string]string{
		"empty":                 "",
		"no signature":          text + "\n\n",
		"no empty line":         text + "\n" + lines,
		"two empty lines":       text + "\n\n\n" + lines,
		"empty line between":    text + "\n\n" + first + "\n\n" + second,
		"no last line feed":     strings.TrimSuffix(good, "\n"),
		"hyphen, not em dash":   strings.Replace(good, "—", "-", 1),
		"two spaces":            strings.Replace(good, "— ", "—  ", 1),
		"space at the end":      strings.TrimSuffix(good, "\n") + " \n",
		"carriage return":       strings.TrimSuffix(good, "\n") + "\r\n",
		"no name":               text + "\n\n—  AAAAAAAA\n",
		"signature of no bytes": text + "\n\n— a AAAAAA==\n",
		"bits in the padding":   text + "\n\n— a AAAAAAB=\n",
		"signature too long":    text + "\n\n— a " + strings.Repeat("AAAA", maxSignature/3+2) + "\n",
		"too many signatures":   text + "\n\n" + strings.Repeat("— a AAAAAAAA\n", MaxSignatures+1),
	} {
		if _, err := ParseSignedCheckpoint([]byte(file)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := ParseSignedCheckpoint([]byte(text + "\n\n" + strings.Repeat("— a AAAAAAAA\n", MaxSignatures))); err != nil {
		t.Errorf("as many signatures as allowed: %v", err)
	}
}
