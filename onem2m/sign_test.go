package onem2m

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var updateVectors = flag.Bool("update-vectors", false, "write testdata/signed.json anew")

// signedVector is one case of testdata/signed.json, for those who sign in another language.
type signedVector struct {
	Name    string `json:"name"`
	Seed    string `json:"seed"` // private key of RFC 8032, 32 bytes in hex
	Public  string `json:"public"`
	Origin  string `json:"origin"`
	Op      int    `json:"op"`
	From    string `json:"fr"`
	To      string `json:"to"`
	Type    int    `json:"ty"`
	Release string `json:"rvi"`
	Content string `json:"pc"`
	Counter uint64 `json:"counter"`
	Until   int64  `json:"until"`
	Message string `json:"message"` // what is signed
	VSI     string `json:"vsi"`
}

func (v *signedVector) request() *Request {
	r := &Request{Operation: Operation(v.Op), From: v.From, To: v.To, Type: ResourceType(v.Type), ReleaseVersion: v.Release}
	if v.Content != "" {
		r.Content = []byte(v.Content)
	}
	return r
}

// TestSignedVectors holds the signed text and the signatures still: devices in the field depend on every byte.
func TestSignedVectors(t *testing.T) {
	const file = "testdata/signed.json"
	seed := strings.Repeat("42", 32)
	vectors := []signedVector{
		{Name: "a reading", Seed: seed, Origin: "example.com/plant1", Op: 1, From: "Csensor", To: "tally/sensor/temp", Type: 4, Release: "4",
			Content: `{"m2m:cin":{"con":"21.5"}}`, Counter: 1, Until: 1795000000},
		{Name: "a command", Seed: seed, Origin: "example.com/plant1", Op: 3, From: "Csensor", To: "/tally/tally/valve", Release: "4",
			Content: `{"cod:valve":{"open":false}}`, Counter: 2, Until: 1795000060},
		{Name: "a removal, without content", Seed: seed, Origin: "example.com/plant1", Op: 4, From: "Csensor", To: "tally/sensor/temp/old", Release: "3",
			Counter: MaxCounter, Until: 1795000060},
		{Name: "text beyond ASCII", Seed: strings.Repeat("07", 32), Origin: "example.com/plant1", Op: 1, From: "Csensor", To: "tally/sensor/température", Type: 4, Release: "4",
			Content: "{\"m2m:cin\":{\"con\":\"21,5 °C\\n\"}}", Counter: 3, Until: 1795000060},
	}
	for i := range vectors {
		v := &vectors[i]
		b, err := hex.DecodeString(v.Seed)
		if err != nil {
			t.Fatal(err)
		}
		key := ed25519.NewKeyFromSeed(b)
		v.Public = hex.EncodeToString(key.Public().(ed25519.PublicKey))
		r := v.request()
		if err := r.Sign(v.Origin, key, v.Counter, v.Until); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		v.VSI = r.VendorInformation
		s, err := ParseSignature(v.VSI)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		msg, err := s.AppendSigned(nil, v.Origin, r)
		if err != nil {
			t.Fatal(err)
		}
		msg = append(msg, r.Content...)
		v.Message = string(msg)
		if !ed25519.Verify(key.Public().(ed25519.PublicKey), msg, s.Bytes[:]) {
			t.Errorf("%s: the signature is not valid", v.Name)
		}
	}
	got, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *updateVectors {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is signed now:\n%s", file, got)
	}
}

func TestSignatureRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Signature{Counter: rapid.Uint64Range(1, MaxCounter).Draw(t, "counter"), Until: rapid.Int64Range(1, maxUntil).Draw(t, "until")}
		copy(s.Key[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "key"))
		copy(s.Bytes[:], rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "sig"))
		text := s.String()
		if !IsSigned(text) || len(text) > 255 { // 255 bytes is what CoAP's option for vsi holds (TS-0008 clause 6.2.2.2)
			t.Fatalf("%q", text)
		}
		back, err := ParseSignature(text)
		if err != nil || *back != s {
			t.Fatalf("%v: %+v, want %+v", err, back, s)
		}
	})
}

// TestSignedFieldsAreCovered checks that no two requests that differ in a signed field have the same text.
func TestSignedFieldsAreCovered(t *testing.T) {
	s := Signature{Counter: 7, Until: 1795000000}
	base := Request{Operation: Create, From: "Ca", To: "tally/b", Type: 4, ReleaseVersion: "4"}
	text := func(s Signature, origin string, r Request) string {
		b, err := s.AppendSigned(nil, origin, &r)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	seen := map[string]string{text(s, "o", base): "nothing"}
	add := func(what string, s Signature, origin string, r Request) {
		if was, ok := seen[text(s, origin, r)]; ok {
			t.Errorf("a change of %s gives the text of a change of %s", what, was)
		}
		seen[text(s, origin, r)] = what
	}
	for what, change := range map[string]func(*Request){
		"op": func(r *Request) { r.Operation = Update }, "fr": func(r *Request) { r.From = "Cb" }, "to": func(r *Request) { r.To = "tally/c" },
		"ty": func(r *Request) { r.Type = 3 }, "rvi": func(r *Request) { r.ReleaseVersion = "5" },
	} {
		r := base
		change(&r)
		add(what, s, "o", r)
	}
	add("origin", s, "p", base)
	other := s
	other.Counter++
	add("counter", other, "o", base)
	other = s
	other.Until++
	add("until", other, "o", base)
	other = s
	other.Key[7] ^= 1
	add("key", other, "o", base)
}

func TestUnsignable(t *testing.T) {
	one := int64(1)
	for what, r := range map[string]Request{
		"a read":               {Operation: Retrieve, From: "Ca", To: "b", ReleaseVersion: "4"},
		"a notification":       {Operation: Notify, From: "Ca", To: "b", ReleaseVersion: "4"},
		"a filter":             {Operation: Delete, From: "Ca", To: "b", ReleaseVersion: "4", Filter: &FilterCriteria{StateTagBigger: &one}},
		"an execution time":    {Operation: Delete, From: "Ca", To: "b", ReleaseVersion: "4", OperationExecution: "20270101T000000"},
		"no originator":        {Operation: Delete, To: "b", ReleaseVersion: "4"},
		"a second line":        {Operation: Delete, From: "Ca", To: "b\nty 4", ReleaseVersion: "4"},
		"no UTF-8":             {Operation: Delete, From: "Ca", To: "\xff", ReleaseVersion: "4"},
		"a non-blocking one":   {Operation: Delete, From: "Ca", To: "b", ReleaseVersion: "4", ResponseType: ResponseTypeNonBlockingSync},
		"no release":           {Operation: Delete, From: "Ca", To: "b"},
		"attributes":           {Operation: Update, From: "Ca", To: "b", ReleaseVersion: "4", Attributes: []string{"lbl"}},
		"a group's members":    {Operation: Update, From: "Ca", To: "tally/group/fopt", ReleaseVersion: "4"},
		"members' children":    {Operation: Update, From: "Ca", To: "tally/group/fopt/child", ReleaseVersion: "4"},
		"a group's identifier": {Operation: Update, From: "Ca", To: "b", ReleaseVersion: "4", GroupRequestID: "g"},
	} {
		if err := r.Sign("o", ed25519.NewKeyFromSeed(make([]byte, 32)), 1, 1); err == nil {
			t.Errorf("%s was signed", what)
		}
	}
}

func FuzzParseSignature(f *testing.F) {
	f.Add((&Signature{Counter: 1, Until: 1}).String())
	f.Add("tallystick-signature;v=1;key=0000000000000000;ctr=01;until=1;sig=")
	f.Add("tallystick-signature;v=2")
	f.Fuzz(func(t *testing.T, vsi string) {
		s, err := ParseSignature(vsi)
		if err == nil && s.String() != vsi {
			t.Errorf("%q was taken for %q", vsi, s)
		}
	})
}
