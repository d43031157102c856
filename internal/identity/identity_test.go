package identity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/cse/csetest"
)

// TestTokens: tokens are long, all different, and nothing else is one.
func TestTokens(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		token := NewToken()
		if _, ok := TokenHash(token); !ok || seen[token] || len(token) < 43 {
			t.Fatalf("token %q", token)
		}
		seen[token] = true
	}
	for _, bad := range []string{"", "secret", "tally_", "tally_short", "tally_" + strings.Repeat("x", 44), "TALLY_" + strings.Repeat("x", 43)} {
		if _, ok := TokenHash(bad); ok {
			t.Errorf("%q is taken for a token", bad)
		}
	}
}

// A few real public keys: RFC 8032 section 7.1, tests 1 to 3.
var testKeys = []string{
	"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
	"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
	"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
}

func unhex(t interface{ Fatal(...any) }, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCheckKey: keys of RFC 8032 pass. Points of small order, encodings that are not the only one of their point, what
// is no point at all, and a point with a part of small order do not (the examples are those of "Taming the many EdDSAs",
// table 6, and of RFC 8032 section 5.1.3).
func TestCheckKey(t *testing.T) {
	for _, k := range testKeys {
		if err := CheckKey(unhex(t, k)); err != nil {
			t.Errorf("%s: %v", k, err)
		}
	}
	for what, k := range map[string]string{
		"nothing":                "",
		"a byte short":           testKeys[0][2:],
		"the neutral element":    "0100000000000000000000000000000000000000000000000000000000000000",
		"order 2":                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"order 4":                "0000000000000000000000000000000000000000000000000000000000000000",
		"order 4, other sign":    "0000000000000000000000000000000000000000000000000000000000000080",
		"order 8":                "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"order 8, other":         "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"not canonical, y=p":     "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"not canonical, y=p+1":   "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"negative zero":          "0100000000000000000000000000000000000000000000000000000000000080",
		"all ones":               "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"no point":               "0200000000000000000000000000000000000000000000000000000000000000",
		"prime order plus eight": "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
	} {
		if CheckKey(unhex(t, k)) == nil {
			t.Errorf("%s: %s is taken for a key", what, k)
		}
	}
}

// TestEnrolRevoke compares with a map: a credential is valid from its enrolment to its revocation within its time, IDs
// are used once, an originator stays with the organisation that had it first, and the network keeps an operator. No
// token is ever in the state.
func TestEnrolRevoke(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := csetest.NewState()
		model := make(map[KeyID]*Credential)
		belongs := make(map[string]string)
		var tokens []string
		now, index := int64(1000), uint64(0)
		for i := range rapid.IntRange(1, 6).Draw(t, "tokens") {
			tokens = append(tokens, fmt.Sprintf("tally_%043d", i))
		}
		// remain is how many operators the network has without a credential.
		remain := func(without *Credential) int {
			names := make(map[string]bool)
			for _, c := range model {
				if c != without && c.Role == Operator && !c.Revoked && c.Organisation == "" && c.NotBefore == 0 && c.NotAfter == 0 {
					names[c.Originator] = true
				}
			}
			return len(names)
		}
		pick := func(t *rapid.T) (c Credential) {
			if rapid.Bool().Draw(t, "is key") {
				c.Kind, c.Value = Key, [32]byte(unhex(t, rapid.SampledFrom(testKeys).Draw(t, "key")))
			} else {
				c.Kind = Token
				c.Value, _ = TokenHash(rapid.SampledFrom(tokens).Draw(t, "token"))
			}
			return c
		}
		t.Repeat(map[string]func(*rapid.T){
			"enrol": func(t *rapid.T) {
				index++
				c := pick(t)
				c.Originator = rapid.SampledFrom([]string{"Ca", "Sb"}).Draw(t, "id")
				c.Role = rapid.SampledFrom([]Role{Device, Operator}).Draw(t, "role")
				c.Organisation = rapid.SampledFrom([]string{"", "", "acme"}).Draw(t, "organisation")
				c.NotBefore = rapid.SampledFrom([]int64{0, 1002}).Draw(t, "not before")
				c.NotAfter = rapid.SampledFrom([]int64{0, 1004}).Draw(t, "not after")
				c.Index = index
				err := Enrol(st, c, now)
				of, known := belongs[c.Originator]
				switch {
				case model[c.ID()] != nil:
					if !errors.Is(err, ErrExists) {
						t.Fatalf("enrolled twice: %v", err)
					}
				case known && of != c.Organisation:
					if !errors.Is(err, ErrForeign) {
						t.Fatalf("%s of %q enrolled for %q: %v", c.Originator, of, c.Organisation, err)
					}
				case err != nil:
					t.Fatal(err)
				default:
					model[c.ID()] = &c
					belongs[c.Originator] = c.Organisation
				}
			},
			"revoke": func(t *rapid.T) {
				index++
				drawn := pick(t)
				id := drawn.ID()
				c := model[id]
				least := rapid.IntRange(1, 2).Draw(t, "operators that it needs")
				got, err := Revoke(st, id, index, least)
				switch {
				case c == nil || c.Revoked:
					if !errors.Is(err, ErrUnknown) {
						t.Fatalf("revoked what is not there: %v", err)
					}
				case c.lasting() && remain(c) < remain(nil) && remain(c) < least:
					if !errors.Is(err, ErrLast) {
						t.Fatalf("revoked the last operator: %v", err)
					}
				case err != nil:
					t.Fatal(err)
				default:
					c.Revoked, c.Revocation = true, index
					if *got != *c {
						t.Fatalf("revoked %+v, want %+v", got, c)
					}
				}
			},
			"wait": func(t *rapid.T) { now += rapid.Int64Range(1, 3).Draw(t, "micros") },
			"": func(t *rapid.T) {
				held := make(map[string]bool)
				for id, want := range model {
					got, err := Lookup(st, id)
					if err != nil || got == nil || *got != *want {
						t.Fatalf("credential %x is %+v, want %+v (%v)", id, got, want, err)
					}
					valid := !want.Revoked && (want.NotBefore == 0 || now >= want.NotBefore) && (want.NotAfter == 0 || now <= want.NotAfter)
					if got.Valid(now) != valid {
						t.Fatalf("%+v at %d: valid is %v", got, now, got.Valid(now))
					}
					held[want.Originator] = held[want.Originator] || valid
				}
				for _, who := range []string{"Ca", "Sb"} {
					if holds, err := Holds(st, who, now); err != nil || holds != held[who] {
						t.Fatalf("%s holds a valid credential: %v, want %v (%v)", who, holds, held[who], err)
					}
					of, known := belongs[who]
					if got, err := OrganisationOf(st, who); err != nil || got != of {
						t.Fatalf("%s is of %q, want %q (%v)", who, got, of, err)
					}
					if b, _ := st.Aux(RegistryKey(of, who)); (b != nil) != known {
						t.Fatalf("%s of %q is in the registry: %v, want %v", who, of, b != nil, known)
					}
				}
				for _, token := range tokens {
					if strings.Contains(fmt.Sprint(st.Dump()), token) {
						t.Fatal("a token is in the state")
					}
				}
			},
		})
	})
}

// TestMany: an originator has so many credentials at a time and no more; those that are over make room.
func TestMany(t *testing.T) {
	st := csetest.NewState()
	enrol := func(i int, notAfter, now int64) error {
		c := Credential{Kind: Token, Originator: "Ca", Role: Device, NotAfter: notAfter}
		c.Value[0], c.Value[1] = byte(i), 1
		return Enrol(st, c, now)
	}
	for i := range MaxHeld {
		if err := enrol(i, int64(i/31*5), 1); err != nil { // the last one ends at 5
			t.Fatal(err)
		}
	}
	if err := enrol(100, 0, 5); !errors.Is(err, ErrMany) {
		t.Errorf("one more than can be: %v", err)
	}
	if err := enrol(100, 0, 6); err != nil {
		t.Errorf("in place of an expired one: %v", err)
	}
	if _, err := Revoke(st, KeyID{3, 1}, 7, 1); err != nil {
		t.Fatal(err)
	}
	if err := enrol(101, 0, 6); err != nil {
		t.Errorf("in place of a revoked one: %v", err)
	}
	if err := enrol(102, 0, 6); !errors.Is(err, ErrMany) {
		t.Errorf("one more than can be, again: %v", err)
	}
	h, err := LookupHolder(st, "Ca")
	if err != nil || len(h.Keys) != MaxHeld || h.Keys[MaxHeld-1] != (KeyID{101, 1}) {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestCheck: what cannot be bound is refused before anything is written.
func TestCheck(t *testing.T) {
	key := [32]byte(unhex(t, testKeys[0]))
	for _, c := range []struct {
		why string
		c   Credential
	}{
		{"role 9", Credential{Kind: Token, Role: 9}},
		{"kind 0", Credential{Role: Device}},
		{"organisation", Credential{Kind: Token, Role: Device, Organisation: "a/b"}},
		{"organisation", Credential{Kind: Token, Role: Device, Organisation: strings.Repeat("a", 65)}},
		{"before 1970", Credential{Kind: Token, Role: Device, NotAfter: -1}},
		{"before it begins", Credential{Kind: Token, Role: Device, NotBefore: 5, NotAfter: 5}},
		{"a node", Credential{Kind: Token, Role: Node}},
		{"an organisation", Credential{Kind: Token, Role: Organisation}},
		{"not the encoding", Credential{Kind: Key, Role: Device, Value: [32]byte{2}}},
		{"", Credential{Kind: Key, Role: Organisation, Value: key, Organisation: "acme-1.x", NotBefore: 1, NotAfter: 2}},
	} {
		err := c.c.Check()
		if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%+v: %v, want %q", c.c, err, c.why)
		}
	}
	for _, ok := range []struct {
		id   string
		role Role
	}{{"Ca", Device}, {"S1.2_3-x", Operator}, {"/in", Gateway}, {"node:n1", Node}} {
		if err := CheckOriginator(ok.id, ok.role); err != nil {
			t.Errorf("%s as %s: %v", ok.id, ok.role, err)
		}
	}
	for _, bad := range []struct {
		id   string
		role Role
	}{{"", Device}, {"C", Device}, {"Xa", Device}, {"C a", Device}, {"/in/Ca", Device}, {"node:n1", Device}, {"node:", Node}, {"Ca", Node}, {"C" + strings.Repeat("a", 512), Device}} {
		if CheckOriginator(bad.id, bad.role) == nil {
			t.Errorf("%s can be a %s", bad.id, bad.role)
		}
	}
}

func TestRoles(t *testing.T) {
	for _, r := range []Role{Device, Operator, Gateway, Node, Organisation} {
		if got, err := ParseRole(r.String()); err != nil || got != r {
			t.Errorf("%s: %v, %v", r, got, err)
		}
	}
	if r, err := ParseRole(""); err != nil || r != Device {
		t.Errorf("no role: %v, %v", r, err)
	}
	if _, err := ParseRole("root"); err == nil {
		t.Error("root is a role")
	}
}

// TestMayActFor: operators act within their organisation, those of the network everywhere, others nowhere.
func TestMayActFor(t *testing.T) {
	for _, c := range []struct {
		role Role
		of   string
		on   string
		may  bool
	}{
		{Operator, "", "", true}, {Operator, "", "acme", true}, {Operator, "acme", "acme", true}, {Operator, "acme", "", false},
		{Operator, "acme", "other", false}, {Organisation, "acme", "acme", false}, {Device, "", "", false}, {Node, "", "", false},
	} {
		if got := (&Credential{Role: c.role, Organisation: c.of}).MayActFor(c.on); got != c.may {
			t.Errorf("%s of %q for %q: %v", c.role, c.of, c.on, got)
		}
	}
}

// FuzzDecode: a record is decoded only if encoding gives it back.
func FuzzDecode(f *testing.F) {
	f.Add((&Credential{Kind: Key, Originator: "Ca", Role: Device, Organisation: "acme", NotAfter: 7, Revoked: true, Index: 1, Revocation: 2}).encode())
	f.Add((&Holder{Organisation: "acme", Keys: []KeyID{{1}, {2}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decode(b); err == nil && !bytes.Equal(c.encode(), b) {
			t.Fatalf("%x decodes to %+v, which is %x", b, c, c.encode())
		}
		if h, err := decodeHolder(b); err == nil && !bytes.Equal(h.encode(), b) {
			t.Fatalf("%x decodes to %+v, which is %x", b, h, h.encode())
		}
	})
}
