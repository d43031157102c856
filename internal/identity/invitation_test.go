package identity

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/cse/csetest"
)

// TestCodes: codes are all different, have the form that people can read, and count however they are typed; nothing
// else is one.
func TestCodes(t *testing.T) {
	form := regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){3}$`)
	seen := make(map[string]bool)
	for range 1000 {
		code := NewCode()
		if !form.MatchString(code) || seen[code] {
			t.Fatalf("code %q", code)
		}
		seen[code] = true
		want, ok := CodeSecret(code)
		typed := strings.NewReplacer("-", " ", "0", "o", "1", "l").Replace(strings.ToLower(code))
		got, also := CodeSecret(typed)
		if !ok || !also || got != want || CodeHash(got) == got {
			t.Fatalf("%q and %q: %v, %v", code, typed, ok, also)
		}
	}
	for _, bad := range []string{"", "00000-00000-00000-0000", "00000-00000-00000-000000", "U0000-00000-00000-00000", "00000-00000-00000-0000é"} {
		if _, ok := CodeSecret(bad); ok {
			t.Errorf("%q is taken for a code", bad)
		}
	}
}

// TestInvitations compares with a map: a code opens its invitation once, until its time, and no code is in the state.
func TestInvitations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := csetest.NewState()
		open := make(map[string]Invitation)
		now := int64(1000)
		codes := []string{"00000-00000-00000-00001", "00000-00000-00000-00002", "00000-00000-00000-00003"}
		pick := func(t *rapid.T) (string, [32]byte) {
			code := rapid.SampledFrom(codes).Draw(t, "code")
			secret, _ := CodeSecret(code)
			return code, secret
		}
		t.Repeat(map[string]func(*rapid.T){
			"invite": func(t *rapid.T) {
				code, secret := pick(t)
				v := Invitation{
					Hash: CodeHash(secret), Originator: rapid.SampledFrom([]string{"Ca", "Sb"}).Draw(t, "id"), Role: Device,
					Organisation: rapid.SampledFrom([]string{"", "acme"}).Draw(t, "organisation"), Until: now + rapid.Int64Range(0, 4).Draw(t, "for"),
				}
				err := Invite(st, v, now)
				if _, was := open[code]; was {
					if !errors.Is(err, ErrExists) {
						t.Fatalf("invited twice: %v", err)
					}
				} else if err != nil {
					t.Fatal(err)
				} else {
					open[code] = v
				}
			},
			"redeem": func(t *rapid.T) {
				code, secret := pick(t)
				got, err := OpenInvitation(st, secret, now)
				want, was := open[code]
				if !was || now > want.Until {
					if !errors.Is(err, ErrCode) {
						t.Fatalf("opened what is not open: %+v, %v", got, err)
					}
					return
				}
				if err != nil || *got != want {
					t.Fatalf("%+v, %v; want %+v", got, err, want)
				}
				if err := CloseInvitation(st, got.ID()); err != nil {
					t.Fatal(err)
				}
				delete(open, code)
			},
			"wait": func(*rapid.T) { now++ },
			"": func(t *rapid.T) {
				all := fmt.Sprint(st.Dump())
				for _, code := range codes {
					if strings.Contains(all, code) || strings.Contains(all, strings.ReplaceAll(code, "-", "")) {
						t.Fatal("a code is in the state")
					}
				}
			},
		})
	})
}

// TestManyInvitations: those that are open are bounded for each organisation; what is over makes room.
func TestManyInvitations(t *testing.T) {
	st := csetest.NewState()
	invite := func(i int, organisation string, now int64) error {
		v := Invitation{Originator: "C" + organisation, Role: Device, Organisation: organisation, Until: 10}
		copy(v.Hash[:], fmt.Sprintf("%08d", i))
		return Invite(st, v, now)
	}
	for i := range MaxInvitations {
		if err := invite(i, "acme", 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := invite(MaxInvitations, "acme", 10); !errors.Is(err, ErrManyIn) {
		t.Errorf("one more than can be: %v", err)
	}
	if err := invite(MaxInvitations, "", 10); err != nil {
		t.Errorf("of another organisation: %v", err)
	}
	if err := CloseInvitation(st, KeyID([]byte("00000000"))); err != nil {
		t.Fatal(err)
	}
	if err := invite(MaxInvitations+1, "acme", 10); err != nil {
		t.Errorf("in place of one that was used: %v", err)
	}
	if err := invite(MaxInvitations+2, "acme", 11); err != nil {
		t.Errorf("in place of one that is over: %v", err)
	}
	if v, err := LookupInvitation(st, KeyID([]byte("00000001"))); v != nil || err != nil {
		t.Errorf("the one that is over is still there: %+v, %v", v, err)
	}
}

// FuzzInvitation: a record is decoded only if encoding gives it back; whatever is typed as a code is refused or has one
// meaning.
func FuzzInvitation(f *testing.F) {
	f.Add((&Invitation{Originator: "Ca", Role: Device, Organisation: "acme", Until: 7, NotAfter: 9}).encode(), "00000-00000-00000-0000L")
	f.Fuzz(func(t *testing.T, b []byte, code string) {
		if v, err := decodeInvitation(b); err == nil && !bytes.Equal(v.encode(), b) {
			t.Fatalf("%x decodes to %+v, which is %x", b, v, v.encode())
		}
		if secret, ok := CodeSecret(code); ok {
			if again, ok := CodeSecret(strings.ToLower(code)); !ok || again != secret {
				t.Fatalf("%q has another meaning in small letters", code)
			}
		}
	})
}
