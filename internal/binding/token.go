package binding

import (
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// Credential is what an Authorization header shows of who a client is: the token of the scheme Bearer (RFC 6750 clause 2.1).
// Of Basic (RFC 7617) it is the whole header: no password is a credential here, so that is one that is none, and counts as
// an attempt to log in. "" for everything else.
func Credential(authorization string) string {
	scheme, rest, _ := strings.Cut(authorization, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "Bearer"): // RFC 9110 clause 11.1: in any case of letters
		return rest
	case strings.EqualFold(scheme, "Basic") && rest != "":
		return authorization
	}
	return ""
}

// SplitTokens parts what came as Tokens (tkns): credentials, of which one becomes evidence of who the client is, and
// authorization tokens, which say what it may do and stay in the request (TS-0003 clause 7.3.2).
func SplitTokens(tokens []string) (credentials, authorization []string) {
	for _, t := range tokens {
		if onem2m.IsJWT(t) {
			authorization = append(authorization, t)
		} else {
			credentials = append(credentials, t)
		}
	}
	return credentials, authorization
}
