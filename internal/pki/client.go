package pki

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"time"
)

// noEnd is the end of a certificate that has none (RFC 5280 clause 4.1.2.5). What ends a client's key is its revocation
// on the ledger; a device must not stop because a date came.
var noEnd = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// Client issues a certificate, PEM, for the key of a client, so that TLS and DTLS libraries can show the key. Its
// subject is the originator, for people to read: who the client is follows from the key alone.
func (a *Authority) Client(key ed25519.PublicKey, originator string) ([]byte, error) {
	if len(key) != ed25519.PublicKeySize {
		return nil, errors.New("issue a client's certificate: the key is no Ed25519 public key")
	}
	der, _, err := a.sign(&x509.Certificate{
		Subject:  pkix.Name{CommonName: name64(originator)},
		NotAfter: noEnd, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", originator, err)
	}
	return certificatePEM(der), nil
}
