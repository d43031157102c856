package httpbinding

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TS-0009 clause 6.4.19: authorization tokens share the Authorization header with the credential of RFC 6750.
func TestAuthorizationTokens(t *testing.T) {
	const jwt, other = "eyJ0eXAiOiJKV1QifQ.eyJqdGkiOiJhQGIifQ.c2ln", "eyJ0eXAiOiJKV1QifQ.eyJqdGkiOiJjQGIifQ."
	for _, c := range []struct {
		header, credential string
		tokens             []string
	}{
		{"", "", nil},
		{"Bearer tally_abc", "tally_abc", nil},
		{"Bearer a.b+c=", "a.b+c=", nil},
		{"Bearer tally_abc+" + jwt, "tally_abc", []string{jwt}},
		{"bearer tally_abc+" + jwt + "+ " + other, "tally_abc", []string{jwt, other}},
		{"Bearer " + jwt, "", []string{jwt}},
		{jwt + "+" + other, "", []string{jwt, other}},
		{"Basic YTpi", "Basic YTpi", nil}, // a password: no credential, but shown as one
		{"Basic", "", nil},
		{"Digest a=b", "", nil},
		{"tally_abc+" + jwt, "", []string{jwt}}, // a credential needs its scheme
	} {
		credential, tokens := authorizationTokens(c.header)
		if credential != c.credential || !cmp.Equal(tokens, c.tokens) {
			t.Errorf("%q: credential %q, tokens %q; want %q, %q", c.header, credential, tokens, c.credential, c.tokens)
		}
		if again, more := authorizationTokens(authorizationHeader(credential, tokens)); again != credential || !cmp.Equal(more, tokens) {
			t.Errorf("%q: written and read again: %q, %q", c.header, again, more)
		}
	}
}
