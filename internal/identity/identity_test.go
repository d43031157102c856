package identity

import (
	"bytes"
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

// TestEnrolRevoke compares with a map: a credential is valid from its enrolment to its revocation, IDs are used once,
// and the last operator stays. No token is ever in the state.
func TestEnrolRevoke(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := csetest.NewState()
		model := make(map[KeyID]*Credential)
		var tokens []string
		operators := func() (n int) {
			for _, c := range model {
				if c.Role == Operator && !c.Revoked {
					n++
				}
			}
			return n
		}
		for i := range rapid.IntRange(1, 6).Draw(t, "tokens") {
			tokens = append(tokens, fmt.Sprintf("tally_%043d", i))
		}
		pick := func(t *rapid.T) [32]byte {
			h, _ := TokenHash(rapid.SampledFrom(tokens).Draw(t, "token"))
			return h
		}
		t.Repeat(map[string]func(*rapid.T){
			"enrol": func(t *rapid.T) {
				c := Credential{Hash: pick(t), Originator: rapid.SampledFrom([]string{"Ca", "Sb"}).Draw(t, "id"), Role: rapid.SampledFrom([]Role{Device, Operator}).Draw(t, "role")}
				err := Enrol(st, c)
				if model[c.ID()] != nil {
					if !errors.Is(err, ErrExists) {
						t.Fatalf("enrolled twice: %v", err)
					}
				} else if err != nil {
					t.Fatal(err)
				} else {
					model[c.ID()] = &c
				}
			},
			"revoke": func(t *rapid.T) {
				h := pick(t)
				id := KeyID(h[:8])
				c, last := model[id], operators() == 1
				got, err := Revoke(st, id)
				switch {
				case c == nil || c.Revoked:
					if !errors.Is(err, ErrUnknown) {
						t.Fatalf("revoked what is not valid: %v", err)
					}
				case c.Role == Operator && last:
					if !errors.Is(err, ErrLast) {
						t.Fatalf("revoked the last operator: %v", err)
					}
				case err != nil:
					t.Fatal(err)
				default:
					c.Revoked = true
					if *got != *c {
						t.Fatalf("revoked %+v, want %+v", got, c)
					}
				}
			},
			"": func(t *rapid.T) {
				for _, token := range tokens {
					h, _ := TokenHash(token)
					got, err := Lookup(st, KeyID(h[:8]))
					want := model[KeyID(h[:8])]
					if err != nil || (got == nil) != (want == nil) || got != nil && *got != *want {
						t.Fatalf("credential %x is %+v, want %+v (%v)", h[:8], got, want, err)
					}
					if strings.Contains(fmt.Sprint(st.Dump()), token) {
						t.Fatal("a token is in the state")
					}
				}
			},
		})
	})
}

func TestRoles(t *testing.T) {
	for _, r := range []Role{Device, Operator} {
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

// FuzzDecode: a record is decoded only if encoding gives it back.
func FuzzDecode(f *testing.F) {
	f.Add((&Credential{Originator: "Ca", Role: Device, Revoked: true}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decode(b); err == nil && !bytes.Equal(c.encode(), b) {
			t.Fatalf("%x decodes to %+v, which is %x", b, c, c.encode())
		}
	})
}
