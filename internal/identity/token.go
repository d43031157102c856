package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// TokenPrefix begins every token, so that one can be told from other texts.
const TokenPrefix = "tally_"

// NewToken draws a random 256-bit token. It is shown once and stored nowhere by this project but by its owner.
func NewToken() string {
	var b [32]byte
	rand.Read(b[:])
	return TokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// TokenHash returns what the ledger keeps of a token. ok is false for anything that NewToken cannot have made, so
// that nobody's chosen password ever becomes a credential.
func TokenHash(token string) (hash [32]byte, ok bool) {
	body, found := strings.CutPrefix(token, TokenPrefix)
	if !found || len(body) != 43 {
		return hash, false
	}
	return sha256.Sum256([]byte(token)), true
}
