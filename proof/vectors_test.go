package proof

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The vectors are for other implementations; testdata/vectors/README.md describes them. The shapes below are theirs.
type (
	saltVector struct {
		Seed  string `json:"seed"`
		Index uint32 `json:"index"`
		Salt  string `json:"salt"`
	}
	commitmentVector struct {
		Salt       string `json:"salt"`
		Payload    string `json:"payload"`
		Commitment string `json:"commitment"`
	}
	entryVector struct {
		Entry   entryFieldsVector `json:"entry"`
		Encoded string            `json:"encoded"`
		Leaf    string            `json:"leaf"`
	}
	entryFieldsVector struct {
		Height     uint64 `json:"height"`
		Time       int64  `json:"time"`
		Operation  uint8  `json:"operation"`
		Originator string `json:"originator"`
		Target     string `json:"target"`
		Resource   string `json:"resource"`
		Type       uint32 `json:"type"`
		Status     uint32 `json:"status"`
		Commitment string `json:"commitment"`
		AuthMethod uint8  `json:"authMethod"`
		AuthKey    string `json:"authKey"`
		Counter    uint64 `json:"counter,omitempty"`
	}
	primitiveVectors struct {
		Salts          []saltVector       `json:"salts"`
		Commitments    []commitmentVector `json:"commitments"`
		Entries        []entryVector      `json:"entries"`
		RefusedEntries []badEntry         `json:"refusedEntries"`
	}
	bundleVector struct {
		File     string          `json:"file"`
		Policy   string          `json:"policy"`
		About    string          `json:"about"`
		Step     Step            `json:"step"` // the step that fails, empty if the bundle is good
		Verified *verifiedVector `json:"verified,omitempty"`
	}
	verifiedVector struct {
		Entry     entryFieldsVector `json:"entry"`
		Erased    bool              `json:"erased"`
		Payload   string            `json:"payload"`
		Index     uint64            `json:"index"`
		Leaf      string            `json:"leaf"`
		Origin    string            `json:"origin"`
		Size      uint64            `json:"size"`
		Root      string            `json:"root"`
		SignedBy  []string          `json:"signedBy"`
		Published string            `json:"published"`
		Device    *deviceVector     `json:"device,omitempty"`
	}
	deviceVector struct {
		Public  string `json:"public"`
		Counter uint64 `json:"counter"`
		Until   int64  `json:"until"`
		To      string `json:"to"`
		Content string `json:"content"`
		Direct  bool   `json:"direct"`
	}
)

func entryFieldsOf(e Entry) entryFieldsVector {
	return entryFieldsVector{e.Height, e.Time, uint8(e.Operation), e.Originator, e.Target, e.Resource, e.Type, e.Status,
		hex.EncodeToString(e.Commitment[:]), uint8(e.Auth.Method), hex.EncodeToString(e.Auth.Key[:]), e.Auth.Counter}
}

// indented returns v as JSON text.
func indented(t *testing.T, v any) []byte {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

// vectorEntries returns entries that reach the limits of every field.
func vectorEntries() []Entry {
	long := strings.Repeat("ü", MaxID/2)
	genesis := Entry{Height: 1, Time: testTime * 1_000_000, Operation: OpGenesis, Resource: "cb", Type: 5, Status: 2001}
	genesis.Commitment = Commit(&testSalt, nil)
	return []Entry{
		testEntry(),
		{},
		genesis,
		{Height: 23, Time: 24, Operation: 255, Type: 256, Status: 65_535, Auth: Auth{Method: 23}},
		{Height: 65_536, Time: -1, Operation: 24, Type: 1<<32 - 1, Status: 65_536, Auth: Auth{Method: 24}},
		{Height: 1<<32 - 1, Time: -1 << 63, Originator: "温度計", Target: long, Resource: strings.Repeat("r", 255)},
		{Operation: 1, Type: 4, Status: 2001, Auth: Auth{Method: AuthSignature, Counter: 1}},
		{Operation: 1, Type: 4, Status: 2001, Auth: Auth{Method: AuthSignature, Counter: 1<<63 - 1}},
		{Height: 1<<64 - 1, Time: 1<<63 - 1, Originator: strings.Repeat("o", 23), Target: strings.Repeat("t", 24), Resource: strings.Repeat("r", 256)},
	}
}

// TestPrimitiveVectors covers RFC 8949 section 4.2.1 (entries) and RFC 6962 section 2.1 (leaves).
func TestPrimitiveVectors(t *testing.T) {
	var v primitiveVectors
	seed := [32]byte{0: 1, 31: 0xff}
	for _, i := range []uint32{0, 1, 256, 1<<32 - 1} {
		salt := DeriveSalt(&seed, i)
		v.Salts = append(v.Salts, saltVector{hex.EncodeToString(seed[:]), i, hex.EncodeToString(salt[:])})
	}
	for _, payload := range [][]byte{nil, {0}, testPayload} {
		c := Commit(&testSalt, payload)
		v.Commitments = append(v.Commitments, commitmentVector{hex.EncodeToString(testSalt[:]), hex.EncodeToString(payload), hex.EncodeToString(c[:])})
	}
	for _, e := range vectorEntries() {
		b := e.AppendBinary(nil)
		if got, err := DecodeEntry(b); err != nil || got != e {
			t.Errorf("%+v: decoded as %+v, %v", e, got, err)
		}
		leaf := LeafHash(b)
		v.Entries = append(v.Entries, entryVector{entryFieldsOf(e), hex.EncodeToString(b), hex.EncodeToString(leaf[:])})
	}
	for _, c := range badEntries() {
		if len(c.Hex) < 2*MaxEntry {
			v.RefusedEntries = append(v.RefusedEntries, c)
		}
	}
	golden(t, "vectors/primitives.json", indented(t, v))
}

// bundleCase is a bundle of the vectors, before it is written.
type bundleCase struct {
	name, policy, about string
	step                Step
	file                []byte
}

// bundleCases returns the good and bad bundles of the vectors.
func bundleCases() []bundleCase {
	var cases []bundleCase
	add := func(name, about string, step Step, file []byte) {
		cases = append(cases, bundleCase{name, "policy-4.txt", about, step, file})
	}
	changed := func(change func(*Bundle)) []byte {
		b := testBundle()
		change(b)
		return b.Marshal()
	}
	replaced := func(old, new string) []byte {
		return []byte(strings.Replace(string(testBundle().Marshal()), old, new, 1))
	}
	// recorded makes a bundle whose entry is really in the log, at index 2 of 3.
	recorded := func(entry, payload []byte) *Bundle {
		b := &Bundle{Entry: entry, Salt: testSalt, Payload: payload, Index: 2}
		d := leaves(3, 2, entry)
		b.Hashes = auditPath(2, d)
		b.Checkpoint = *sign(Checkpoint{testOrigin, 3, treeHash(d)}, 4)
		return b
	}
	erase := func(b *Bundle) { b.Erased, b.Salt, b.Payload = true, [32]byte{}, nil }
	sorted := func(b *Bundle, sigs ...Signature) {
		b.Checkpoint.Signatures = append(b.Checkpoint.Signatures, sigs...)
		sortSignatures(b.Checkpoint.Signatures)
	}
	stranger := ed25519.NewKeyFromSeed(make([]byte, 32))
	resign := func(b *Bundle, c Checkpoint, n int) { b.Checkpoint = *sign(c, n) }

	add("good", "a reading, cosigned by all four members", "", testBundle().Marshal())
	add("good-erased", "the same entry without salt and payload", "", changed(erase))
	add("good-quorum", "cosigned by exactly three of four members", "", changed(func(b *Bundle) { resign(b, b.Checkpoint.Checkpoint, 3) }))
	deletion := testEntry()
	deletion.Operation, deletion.Status, deletion.Commitment = 4, 2002, Commit(&testSalt, nil)
	add("good-empty-payload", "a deletion, whose payload is empty", "", recorded(deletion.AppendBinary(nil), nil).Marshal())
	add("good-two-log-signatures", "two nodes signed as the log", "", changed(func(b *Bundle) { sorted(b, SignLog(b.Checkpoint.Checkpoint, testKey(1))) }))
	first := testEntry()
	single := &Bundle{Entry: first.AppendBinary(nil), Salt: testSalt, Payload: testPayload}
	single.Checkpoint = *sign(Checkpoint{testOrigin, 1, LeafHash(single.Entry)}, 1)
	cases = append(cases, bundleCase{"good-single", "policy-1.txt", "a network of one member, a log of one entry: no hashes", "", single.Marshal()})

	add("format-empty", "an empty file", StepFormat, nil)
	add("format-version", "an unknown version of the bundle", StepFormat, replaced("bundle@v1", "bundle@v2"))
	add("format-crlf", "carriage returns", StepFormat, []byte(strings.ReplaceAll(string(testBundle().Marshal()), "\n", "\r\n")))
	add("format-cr-payload", "a carriage return inside the base64 of the payload", StepFormat, replaced("payload eyJt", "payload eyJ\rt"))
	add("format-cr-hash", "a carriage return after a hash", StepFormat, replaced("AVc=\n", "AVc=\r\n"))
	add("format-trailing", "an empty line at the end", StepFormat, append(testBundle().Marshal(), '\n'))
	add("format-no-salt", "a payload without its salt", StepFormat, replaced("salt "+strict.EncodeToString(testSalt[:])+"\n", ""))
	add("format-padding-bits", "base64 with bits set in the padding", StepFormat, replaced("IDBA==\n", "IDBB==\n"))
	add("format-index", "an index with a leading zero", StepFormat, replaced("index 41", "index 041"))
	add("format-order", "signatures in another order", StepFormat, changed(func(b *Bundle) { slices.Reverse(b.Checkpoint.Signatures) }))
	add("format-twice", "one signature twice", StepFormat, changed(func(b *Bundle) { sorted(b, b.Checkpoint.Signatures[0]) }))
	add("format-extension", "a checkpoint with an extension line", StepFormat, replaced("spoc=\n", "spoc=\nextension\n"))
	add("format-extra", "extra data in the embedded proof, which c2sp.org/tlog-proof allows and a bundle does not", StepFormat, replaced("tlog-proof@v1\n", "tlog-proof@v1\nextra AAAA\n"))
	add("format-65-hashes", "more hashes than a log can need", StepFormat, changed(func(b *Bundle) { b.Hashes = make([][32]byte, MaxHashes+1) }))

	unknown := testEntry()
	future := unknown.AppendBinary(nil)
	future[1] = 3
	add("entry-version", "an entry of an unknown version, really in the log", StepEntry, recorded(future, testPayload).Marshal())
	long := append([]byte{0x98}, append([]byte{entryFields}, unknown.AppendBinary(nil)[1:]...)...)
	add("entry-not-shortest", "an entry whose array length is not in its shortest form, really in the log", StepEntry, recorded(long, testPayload).Marshal())
	add("entry-trailing", "an entry with a byte after its end, really in the log", StepEntry, recorded(append(unknown.AppendBinary(nil), 0), testPayload).Marshal())

	add("payload-changed", "another temperature", StepPayload, changed(func(b *Bundle) { b.Payload = []byte(strings.Replace(string(testPayload), "4.25", "8.25", 1)) }))
	add("payload-salt", "another salt", StepPayload, changed(func(b *Bundle) { b.Salt[0] ^= 1 }))
	add("payload-empty", "an empty payload instead of the reading", StepPayload, changed(func(b *Bundle) { b.Payload = nil }))

	add("good-signed", "a request that the device itself signed", "", signedBundle(false).Marshal())
	add("good-signed-apart", "a change that a request brought along which the device signed", "", signedBundle(true).Marshal())
	signedWith := func(change func(b *Bundle, e *Entry)) []byte {
		b := signedBundle(false)
		e, err := DecodeEntry(b.Entry)
		if err != nil {
			panic(err)
		}
		change(b, &e)
		return seal(b, e).Marshal()
	}
	add("device-forged", "a bit of the device's signature changed, really in the log", StepDevice, signedWith(func(b *Bundle, _ *Entry) { b.Signed.Signature[0] ^= 1 }))
	add("device-key", "the public key of another device", StepDevice, signedWith(func(b *Bundle, _ *Entry) {
		b.DeviceKey = [32]byte(testKey(98).Public().(ed25519.PublicKey))
	}))
	add("device-counter", "another counter than the one that was signed", StepDevice, signedWith(func(_ *Bundle, e *Entry) { e.Auth.Counter++ }))
	add("device-lapsed", "a request that had lapsed", StepDevice, signedWith(func(_ *Bundle, e *Entry) { e.Time += 3600 * 1_000_000 }))
	add("device-missing", "an entry of a signed request without the signature", StepDevice, signedWith(func(b *Bundle, _ *Entry) { b.Signed = nil }))
	add("payload-signature", "another signature than the one that the entry commits to", StepPayload, func() []byte {
		b := signedBundle(false)
		b.Signed.Signature[0] ^= 1
		return b.Marshal()
	}())

	add("inclusion-entry", "an entry that was never in the log: another originator", StepInclusion, changed(func(b *Bundle) {
		e := testEntry()
		e.Originator = "Ctruck-0018"
		b.Entry = e.AppendBinary(nil)
	}))
	add("inclusion-index", "the index of another entry", StepInclusion, changed(func(b *Bundle) { b.Index++ }))
	add("inclusion-beyond", "an index beyond the size of the log", StepInclusion, changed(func(b *Bundle) { b.Index = 100 }))
	add("inclusion-hash", "one bit of a hash changed", StepInclusion, changed(func(b *Bundle) { b.Hashes[3][7] ^= 0x10 }))
	add("inclusion-too-few", "one hash missing", StepInclusion, changed(func(b *Bundle) { b.Hashes = b.Hashes[1:] }))
	add("inclusion-root", "another root, signed by all", StepInclusion, changed(func(b *Bundle) {
		c := b.Checkpoint.Checkpoint
		c.Root[0] ^= 1
		resign(b, c, 4)
	}))

	add("checkpoint-origin", "a checkpoint of another network, signed by the same keys", StepCheckpoint, changed(func(b *Bundle) {
		c := b.Checkpoint.Checkpoint
		c.Origin = "tallystick.example/other"
		resign(b, c, 4)
	}))
	add("checkpoint-unsigned", "no signature by the log", StepCheckpoint, changed(func(b *Bundle) {
		b.Checkpoint.Signatures = slices.DeleteFunc(b.Checkpoint.Signatures, func(s Signature) bool { return s.Name == testOrigin })
	}))
	add("checkpoint-signature", "the signature by the log is of another checkpoint", StepCheckpoint, changed(func(b *Bundle) {
		for i, s := range b.Checkpoint.Signatures {
			if s.Name == testOrigin {
				b.Checkpoint.Signatures[i] = SignLog(Checkpoint{testOrigin, 99, b.Checkpoint.Root}, testKey(0))
			}
		}
	}))

	add("quorum-two", "cosigned by two of four members", StepQuorum, changed(func(b *Bundle) { resign(b, b.Checkpoint.Checkpoint, 2) }))
	add("quorum-stranger", "cosigned by all members and by somebody the policy does not list", StepQuorum, changed(func(b *Bundle) {
		sorted(b, Cosign(b.Checkpoint.Checkpoint, "stranger.example", stranger, testTime))
	}))
	add("quorum-forged", "three valid cosignatures and one of another checkpoint", StepQuorum, changed(func(b *Bundle) {
		c := b.Checkpoint.Checkpoint
		resign(b, c, 3)
		c.Size++
		sorted(b, Cosign(c, testNames[3], testKey(3), testTime))
	}))
	add("quorum-time", "the time of one cosignature changed", StepQuorum, changed(func(b *Bundle) { b.Checkpoint.Signatures[0].Bytes[7] ^= 1 }))
	add("quorum-plain", "the signatures of the members are plain ones, without a time", StepQuorum, changed(func(b *Bundle) {
		for i, s := range b.Checkpoint.Signatures {
			if k := slices.Index(testNames, s.Name); k >= 0 {
				b.Checkpoint.Signatures[i].Bytes = ed25519.Sign(testKey(k), b.Checkpoint.Checkpoint.Marshal())
			}
		}
	}))
	return cases
}

func deviceOf(d *Device) *deviceVector {
	if d == nil {
		return nil
	}
	return &deviceVector{hex.EncodeToString(d.Public[:]), d.Request.Counter, d.Request.Until, d.Request.To, hex.EncodeToString(d.Content), d.Direct}
}

func TestBundleVectors(t *testing.T) {
	policies := map[string]*Policy{"policy-1.txt": testPolicy(t, 1), "policy-4.txt": testPolicy(t, 4)}
	for name, p := range policies {
		golden(t, "vectors/"+name, p.Marshal())
	}
	var index []bundleVector
	for _, c := range bundleCases() {
		golden(t, "vectors/"+c.name+".bundle", c.file)
		v := bundleVector{File: c.name + ".bundle", Policy: c.policy, About: c.about, Step: c.step}
		got, err := policies[c.policy].Verify(c.file)
		switch {
		case err != nil && c.step == "":
			t.Errorf("%s: %v", c.name, err)
			continue
		case err == nil && c.step != "":
			t.Errorf("%s: accepted", c.name)
			continue
		case err != nil:
			if step := stepOf(t, err); step != c.step {
				t.Errorf("%s: step %q, want %q: %v", c.name, step, c.step, err)
			}
		default:
			v.Verified = &verifiedVector{
				Entry: entryFieldsOf(got.Entry), Erased: got.Erased, Payload: hex.EncodeToString(got.Payload),
				Index: got.Index, Leaf: hex.EncodeToString(got.Leaf[:]),
				Origin: got.Checkpoint.Origin, Size: got.Checkpoint.Size, Root: hex.EncodeToString(got.Checkpoint.Root[:]),
				SignedBy: got.SignedBy, Published: got.Published.Format(time.RFC3339),
				Device: deviceOf(got.Device),
			}
		}
		index = append(index, v)
	}
	golden(t, "vectors/bundles.json", indented(t, index))

	files, err := filepath.Glob("testdata/vectors/*.bundle")
	if err != nil || len(files) != len(index) {
		t.Errorf("%d bundles in testdata/vectors, the index has %d (%v)", len(files), len(index), err)
	}
}

// TestConsistencyVectors covers RFC 6962 section 2.1.2.
func TestConsistencyVectors(t *testing.T) {
	type vector struct {
		Old    string   `json:"old"`
		New    string   `json:"new"`
		Hashes []string `json:"hashes"`
		Good   bool     `json:"good"`
	}
	d := leaves(21, 0, nil)
	checkpoint := func(n int) Checkpoint { return Checkpoint{testOrigin, uint64(n), treeHash(d[:n])} }
	var vectors []vector
	add := func(old, new Checkpoint, hashes [][32]byte, good bool) {
		if err := VerifyConsistency(old, new, hashes); (err == nil) != good {
			t.Errorf("%d to %d: %v", old.Size, new.Size, err)
		}
		v := vector{string(old.Marshal()), string(new.Marshal()), []string{}, good}
		for _, h := range hashes {
			v.Hashes = append(v.Hashes, hex.EncodeToString(h[:]))
		}
		vectors = append(vectors, v)
	}
	for _, n := range [][2]int{{1, 2}, {3, 7}, {4, 7}, {6, 7}, {8, 21}, {13, 21}, {21, 21}} {
		old, new := checkpoint(n[0]), checkpoint(n[1])
		hashes := subProof(n[0], d[:n[1]], true)
		add(old, new, hashes, true)
		old.Root[0] ^= 1
		add(old, new, hashes, false)
	}
	add(checkpoint(0), checkpoint(5), nil, true)
	add(checkpoint(7), checkpoint(3), subProof(3, d[:7], true), false)
	golden(t, "vectors/consistency.json", indented(t, vectors))
}

// TestVectorsDescribed keeps the description complete.
func TestVectorsDescribed(t *testing.T) {
	readme, err := os.ReadFile("testdata/vectors/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"primitives.json", "bundles.json", "consistency.json", "policy-1.txt", "policy-4.txt"} {
		if !strings.Contains(string(readme), name) {
			t.Errorf("README.md does not describe %s", name)
		}
	}
}
