package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
)

// crockford is the alphabet of Crockford's base 32: no letter can be taken for a digit, or for another letter.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const (
	codeChars = 20 // 100 random bits
	codeGroup = 5
)

// NewCode draws a one-time code, 100 random bits in groups that a person can read out and type. It is shown once and
// stored nowhere.
func NewCode() string {
	var b [codeChars]byte
	rand.Read(b[:])
	var s strings.Builder
	for i, c := range b {
		if i > 0 && i%codeGroup == 0 {
			s.WriteByte('-')
		}
		s.WriteByte(crockford[c&31])
	}
	return s.String()
}

// CodeSecret is what whoever has a code tells the ledger to prove that. The ledger keeps only CodeHash of it, so that
// nobody who reads the ledger can make use of a code, and every node can check one. ok is false for what is no code.
// Letters may be small, and those that look like digits count as these; blanks and hyphens do not count.
func CodeSecret(code string) (secret [32]byte, ok bool) {
	plain := make([]byte, 0, codeChars)
	for _, c := range []byte(code) {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		switch c {
		case '-', ' ':
			continue
		case 'O':
			c = '0'
		case 'I', 'L':
			c = '1'
		}
		if strings.IndexByte(crockford, c) < 0 || len(plain) == codeChars {
			return secret, false
		}
		plain = append(plain, c)
	}
	if len(plain) != codeChars {
		return secret, false
	}
	return sha256.Sum256(append([]byte("tallystick/enrol/v1\n"), plain...)), true
}

// CodeHash is what the ledger keeps of a code.
func CodeHash(secret [32]byte) [32]byte { return sha256.Sum256(secret[:]) }
