package binding

import "github.com/tallystick/tallystick/onem2m"

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
