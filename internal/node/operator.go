package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"path/filepath"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/pki"
)

// OperatorFiles are where init keeps what a first operator proves itself with: a key with a certificate that TLS shows
// it by, or, in a network that was made with HTTP in plain text, where no key can be shown, a token.
type OperatorFiles struct {
	Key, Certificate string // PEM
	Token            string
}

// Operator are the files of the first operator in a data folder.
func Operator(dir string) OperatorFiles { return operatorFiles(dir, "operator") }

// SecondOperatorFiles are those of the second operator of a network in which acts take two.
func SecondOperatorFiles(dir string) OperatorFiles { return operatorFiles(dir, "operator2") }

func operatorFiles(dir, name string) OperatorFiles {
	base := filepath.Join(dir, keysDir, name)
	return OperatorFiles{Key: base + ".key", Certificate: base + ".pem", Token: base + ".token"}
}

// SecondOperator is the AE-ID of the second operator.
func SecondOperator(admin string) string { return admin + "2" }

// Secret is the file that must be kept secret and safe, of the two that may be there.
func (f OperatorFiles) Secret() string {
	if exists(f.Key) {
		return f.Key
	}
	return f.Token
}

// operators makes the credentials of the first operators: of the administrator, and of a second one when acts take two.
// Without an authority they are tokens.
func (o *InitOptions) operators(admin string, authority *pki.Authority) (all []ledger.GenesisOperator, err error) {
	files := map[string]OperatorFiles{admin: Operator(o.Dir)}
	names := []string{admin}
	if o.Approvals > 1 {
		names = append(names, SecondOperator(admin))
		files[SecondOperator(admin)] = SecondOperatorFiles(o.Dir)
	}
	for _, name := range names {
		g := ledger.GenesisOperator{Originator: name}
		if authority != nil {
			g.PublicKey, err = files[name].makeKey(name, authority)
		} else {
			g.TokenHash, err = files[name].makeToken()
		}
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

func (f OperatorFiles) makeToken() (hash string, err error) {
	token := identity.NewToken()
	h, _ := identity.TokenHash(token)
	return hex.EncodeToString(h[:]), writeFile(f.Token, []byte(token+"\n"), 0o600)
}

func (f OperatorFiles) makeKey(originator string, authority *pki.Authority) (public string, err error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make the key of %s: %w", originator, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("make the key of %s: %w", originator, err)
	}
	certificate, err := authority.Client(pub, originator)
	if err != nil {
		return "", err
	}
	if err := writeFile(f.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return "", err
	}
	return hex.EncodeToString(pub), writeFile(f.Certificate, certificate, 0o644)
}
