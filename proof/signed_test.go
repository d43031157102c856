package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
	"pgregory.net/rapid"
)

func deviceText(counter uint64) []byte {
	k, err := NewDeviceKey(testKey(99).Public().(ed25519.PublicKey))
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(nil, "tallystick/signed-request@v1\norigin %s\nkey %x\ncounter %d\nuntil %d\nop 1\nfr Ctruck-0017\nto tally/truck/temp\nty 4\nrvi 4\n\n",
		testOrigin, k.ID(), counter, testTime+60)
}

// signedBundle is testBundle of a request that the device signed. With apart, what it signed is not the payload.
func signedBundle(apart bool) *Bundle {
	key := testKey(99)
	s := &Signed{Text: deviceText(17), Apart: apart}
	content := testPayload
	if apart {
		s.Content = []byte(`{"cod:lock":{"lock":true}}`)
		content = s.Content
	}
	copy(s.Signature[:], ed25519.Sign(key, bytes.Join([][]byte{s.Text, content}, nil)))
	public := key.Public().(ed25519.PublicKey)
	dk, err := NewDeviceKey(public)
	if err != nil {
		panic(err)
	}
	e := testEntry()
	e.Auth = Auth{Method: AuthSignature, Key: dk.ID(), Counter: 17}
	return seal(&Bundle{Salt: testSalt, Payload: testPayload, Signed: s, DeviceKey: [32]byte(public)}, e)
}

// seal completes a bundle with an entry that commits to what it has.
func seal(b *Bundle, e Entry) *Bundle {
	if !b.Erased {
		e.Commitment = b.commitment()
	}
	b.Entry, b.Index = e.AppendBinary(nil), 41
	d := leaves(100, 41, b.Entry)
	b.Hashes = auditPath(41, d)
	b.Checkpoint = *sign(Checkpoint{testOrigin, 100, treeHash(d)}, 4)
	return b
}

func TestSignedBundle(t *testing.T) {
	for name, apart := range map[string]bool{"signed.txt": false, "signed-apart.txt": true} {
		b := signedBundle(apart)
		golden(t, name, b.Marshal())
		v, err := testPolicy(t, 4).Verify(b.Marshal())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d := v.Device
		if d == nil || d.Direct == apart || d.Request.Counter != 17 || d.Request.To != "tally/truck/temp" || d.Public != b.DeviceKey {
			t.Errorf("%s: %+v", name, d)
		}
		if want := b.Signed.Content; apart && !bytes.Equal(d.Content, want) || !apart && !bytes.Equal(d.Content, testPayload) {
			t.Errorf("%s: content %q", name, d.Content)
		}
	}
	entry := signedBundle(false).Entry
	golden(t, "entry-v2.hex", fmt.Appendf(nil, "%x\n", entry))
}

// TestErasedSignedBundle: when payload and signature are erased, the entry still says whose signature it had.
func TestErasedSignedBundle(t *testing.T) {
	b := signedBundle(false)
	b.Erased, b.Salt, b.Payload, b.Signed = true, [32]byte{}, nil, nil
	v, err := testPolicy(t, 4).Verify(b.Marshal())
	if err != nil || v.Device != nil || v.Entry.Auth.Counter != 17 {
		t.Fatalf("%v: %+v", err, v)
	}
}

// TestSignedBundleTampered flips every bit of a bundle.
func TestSignedBundleTampered(t *testing.T) {
	file, p := signedBundle(false).Marshal(), testPolicy(t, 4)
	end := bytes.Index(file, []byte(proofHeader)) // what follows, TestBundleTampered covers
	for i := range file[:end] {
		for bit := range 8 {
			file[i] ^= 1 << bit
			if _, err := p.Verify(file); err == nil {
				t.Errorf("bit %d of byte %d flipped: still valid", bit, i)
			}
			file[i] ^= 1 << bit
		}
	}
}

func TestSignedBundleRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *Bundle, e *Entry)
		step   Step
	}{
		"another key":            {func(b *Bundle, _ *Entry) { b.DeviceKey = [32]byte(testKey(98).Public().(ed25519.PublicKey)) }, StepDevice},
		"another counter":        {func(_ *Bundle, e *Entry) { e.Auth.Counter++ }, StepDevice},
		"another network":        {resign("origin "+testOrigin, "origin other.example/net"), StepDevice},
		"lapsed":                 {resign(fmt.Sprintf("until %d", testTime+60), fmt.Sprintf("until %d", testTime)), StepDevice},
		"no line":                {resign("ty 4\n", ""), StepDevice},
		"text beyond it":         {resign("rvi 4\n\n", "rvi 4\n\nx"), StepDevice},
		"a forged signature":     {func(b *Bundle, _ *Entry) { b.Signed.Signature[5] ^= 1 }, StepDevice},
		"S beyond the order":     {func(b *Bundle, _ *Entry) { b.Signed.Signature[63] |= 0xe0 }, StepDevice},
		"signature left out":     {func(b *Bundle, _ *Entry) { b.Signed = nil }, StepDevice},
		"signature without need": {func(_ *Bundle, e *Entry) { e.Auth = Auth{Method: AuthToken, Key: e.Auth.Key} }, StepDevice},
		"key of small order":     {func(b *Bundle, _ *Entry) { b.DeviceKey = [32]byte{1} }, StepDevice},
	} {
		b := signedBundle(false)
		e, err := DecodeEntry(b.Entry)
		if err != nil {
			t.Fatal(err)
		}
		c.change(b, &e)
		_, err = testPolicy(t, 4).Verify(seal(b, e).Marshal())
		var step *StepError
		if !errors.As(err, &step) || step.Step != c.step {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// resign changes the signed text and signs it anew.
func resign(from, to string) func(*Bundle, *Entry) {
	return func(b *Bundle, _ *Entry) {
		b.Signed.Text = bytes.Replace(b.Signed.Text, []byte(from), []byte(to), 1)
		copy(b.Signed.Signature[:], ed25519.Sign(testKey(99), bytes.Join([][]byte{b.Signed.Text, b.Payload}, nil)))
	}
}

func TestSignedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Signed{Text: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "text"), Apart: rapid.Bool().Draw(t, "apart")}
		if s.Apart {
			s.Content = rapid.SliceOf(rapid.Byte()).Draw(t, "content")
		}
		b := s.AppendBinary(nil)
		back, err := DecodeSigned(b)
		if err != nil || !bytes.Equal(back.AppendBinary(nil), b) || back.Apart != s.Apart || !bytes.Equal(back.Text, s.Text) {
			t.Fatalf("%v: %+v", err, back)
		}
	})
}

func FuzzDecodeSigned(f *testing.F) {
	f.Add(signedBundle(false).Signed.AppendBinary(nil))
	f.Add(signedBundle(true).Signed.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSigned(b)
		if err == nil && !bytes.Equal(s.AppendBinary(nil), b) {
			t.Errorf("%x was accepted but is not canonical", b)
		}
	})
}

func FuzzParseSignedRequest(f *testing.F) {
	f.Add(deviceText(1))
	f.Add([]byte("tallystick/signed-request@v1\norigin a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseSignedRequest(b)
		if err != nil {
			return
		}
		back := fmt.Sprintf("%s\norigin %s\nkey %x\ncounter %d\nuntil %d\nop %d\nfr %s\nto %s\nty %d\nrvi %s\n\n",
			signedHeader, r.Origin, r.Key, r.Counter, r.Until, r.Operation, r.From, r.To, r.Type, r.Release)
		if back != string(b) {
			t.Errorf("%q was taken for %q", b, back)
		}
	})
}

// TestOneRule checks that signatures alone and in batches are judged alike, also those that implementations of RFC 8032
// disagree about, and that all that a correct signer makes is valid by the standard library too.
func TestOneRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var batch DeviceBatch
		var alone []bool
		for i := range rapid.IntRange(1, 20).Draw(t, "n") {
			key := testKey(rapid.IntRange(0, 5).Draw(t, "key"))
			public := key.Public().(ed25519.PublicKey)
			msg := fmt.Appendf(nil, "message %d", i)
			sig := ed25519.Sign(key, msg)
			switch rapid.IntRange(0, 5).Draw(t, "fault") {
			case 0:
				sig[rapid.IntRange(0, 63).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			case 1:
				sig = crooked(key, msg, rapid.IntRange(1, 7).Draw(t, "torsion"))
				if ed25519.Verify(public, msg, sig) {
					t.Fatal("the standard library accepts a signature that its equation refuses")
				}
			default:
				if !ed25519.Verify(public, msg, sig) {
					t.Fatal("the standard library refuses its own signature")
				}
			}
			k, err := NewDeviceKey(public)
			if err != nil {
				t.Fatal(err)
			}
			batch.Add(k, msg, sig)
			alone = append(alone, k.Verify(msg, sig))
		}
		if got := batch.Verify(); fmt.Sprint(got) != fmt.Sprint(alone) {
			t.Fatalf("together %v, alone %v", got, alone)
		}
	})
}

// crooked makes a signature whose R has a component of small order, as only the owner of the key can. Cofactored
// verification (RFC 8032 section 5.1.7) accepts it, cofactorless does not.
func crooked(key ed25519.PrivateKey, msg []byte, torsion int) []byte {
	h := sha512.Sum512(key.Seed())
	h[0], h[31] = h[0]&248, h[31]&127|64
	a, _ := scalar.NewFromBits(h[:32])
	r, _ := scalar.NewFromBytesModOrder(bytes.Repeat([]byte{7}, 32))
	var R curve.EdwardsPoint
	R.MulBasepoint(curve.ED25519_BASEPOINT_TABLE, r)
	R.Add(&R, curve.EIGHT_TORSION[torsion])
	var compressed curve.CompressedEdwardsY
	compressed.SetEdwardsPoint(&R)
	k := sha512.New()
	k.Write(compressed[:])
	k.Write(key.Public().(ed25519.PublicKey))
	k.Write(msg)
	hram, _ := scalar.NewFromBytesModOrderWide(k.Sum(nil))
	var s scalar.Scalar
	s.Add(r, s.Mul(hram, a))
	sig := make([]byte, 64)
	copy(sig, compressed[:])
	if err := s.ToBytes(sig[32:]); err != nil {
		panic(err)
	}
	return sig
}

func TestDeviceKeyRefused(t *testing.T) {
	for name, key := range map[string][]byte{
		"the neutral element":   append([]byte{1}, make([]byte, 31)...),
		"order 4":               make([]byte, 32),
		"y not below the prime": append(append([]byte{0xf1}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f),
		"short":                 make([]byte, 31),
		"no point":              append([]byte{2}, make([]byte, 31)...),
	} {
		if _, err := NewDeviceKey(key); err == nil || strings.Contains(err.Error(), "panic") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
