// Package pki is the network's own certificate authority: it makes the certificates by which clients know a node, and
// those by which devices show their keys to it. It decides nothing about who may do what: a certificate is worth what
// the ledger says of the key in it.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// How long certificates are valid. An authority gets a successor half way, ten years before its end, and issues for
// five more years, in which clients get to know the successor: both are in the file that they trust.
const (
	authorityLife = 20 * 365 * 24 * time.Hour
	successorAt   = 10 * 365 * 24 * time.Hour // before the end
	issuesUntil   = 5 * 365 * 24 * time.Hour  // before the end
	// backdated allows for clients whose clock is behind.
	backdated = 24 * time.Hour
)

// Authority is a certificate authority in two files. It is safe for concurrent use.
type Authority struct {
	keyFile, certFile string
	name              string
	log               *slog.Logger

	mu      sync.Mutex
	issuers []issuer // oldest first
	failed  error    // why the last try to make a successor did
}

// issuer is one key of an authority, with the certificate that clients trust. They are ECDSA keys on P-256, because
// browsers and small DTLS stacks take no others.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// Open reads the authority from its files, both PEM: keys, which must stay on this machine, and certificates, which
// clients trust. Without a certificate file it makes a new authority, whose certificate names the network.
func Open(keyFile, certFile, network string, log *slog.Logger) (*Authority, error) {
	a := &Authority{keyFile: keyFile, certFile: certFile, name: network, log: log}
	certs, err := os.ReadFile(certFile)
	if err == nil {
		err = a.read(certs)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the network's certificate authority: %w", err)
	}
	if a.succeed(time.Now()); len(a.issuers) == 0 {
		return nil, fmt.Errorf("make the network's certificate authority: %w", a.failed)
	}
	return a, nil
}

// read finds the key of each certificate. One that has no key is kept: it was made elsewhere, and clients trust it.
func (a *Authority) read(certs []byte) error {
	keys, err := readKeys(a.keyFile)
	if err != nil {
		return err
	}
	for block, rest := pem.Decode(certs); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("read %s: %w", a.certFile, err)
		}
		i := issuer{cert: cert}
		for _, k := range keys {
			if pub, ok := k.Public().(*ecdsa.PublicKey); ok && pub.Equal(cert.PublicKey) {
				i.key = k
			}
		}
		a.issuers = append(a.issuers, i)
	}
	for _, i := range a.issuers {
		if i.key != nil {
			return nil
		}
	}
	return fmt.Errorf("%s has no key of a certificate in %s: restore both from a backup, or move both away to have new ones made, which every client must then be given", a.keyFile, a.certFile)
}

func readKeys(path string) (keys []crypto.Signer, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		// Without its cause: a missing key is not the first start.
		return nil, fmt.Errorf("read the authority's keys: %v", err)
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read %s: it holds something that is no key", path)
		}
		if signer, ok := key.(crypto.Signer); ok {
			keys = append(keys, signer)
		}
	}
	return keys, nil
}

// succeed makes the next issuer when it is time, and drops those that have ended. That it cannot be made stops nothing
// for ten years. a.mu is held, or nobody else knows a.
func (a *Authority) succeed(now time.Time) {
	due := true
	for _, i := range a.issuers {
		if i.key != nil && now.Before(i.cert.NotAfter.Add(-successorAt)) {
			due = false
		}
	}
	if !due {
		return
	}
	kept := slices.DeleteFunc(slices.Clone(a.issuers), func(i issuer) bool { return now.After(i.cert.NotAfter) })
	next, err := newIssuer(a.name, now)
	if err == nil {
		kept = append(kept, next)
		err = a.write(kept)
	}
	if a.failed = err; err != nil {
		a.log.Error("make the next certificate authority of the network", "err", err)
		return
	}
	a.log.Info("made a certificate authority of the network", "until", next.cert.NotAfter, "file", a.certFile)
	a.issuers = kept
}

// write writes the files, the keys first: a certificate whose key a crash left unwritten would be of no use, a key
// without its certificate does no harm.
func (a *Authority) write(issuers []issuer) error {
	var keys, certs []byte
	for _, i := range issuers {
		certs = append(certs, certificatePEM(i.cert.Raw)...)
		if i.key == nil {
			continue
		}
		der, err := x509.MarshalPKCS8PrivateKey(i.key)
		if err != nil {
			return err
		}
		keys = append(keys, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	if err := replace(a.keyFile, keys, 0o600); err != nil {
		return err
	}
	return replace(a.certFile, certs, 0o644)
}

func newIssuer(network string, now time.Time) (issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issuer{}, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Tallystick CA " + now.UTC().Format(time.DateOnly), Organization: []string{name64(network)}},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:     true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return issuer{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return issuer{cert, key}, err
}

// name64 is a name in the 64 characters that a subject allows (RFC 5280 appendix A.1).
func name64(s string) string {
	if len(s) > 64 {
		return s[len(s)-64:]
	}
	return s
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// replace writes a file durably, so that after a crash it is the old one or the new one.
func replace(path string, b []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// current is the issuer of certificates: the oldest that has long enough to live, else the newest. a.mu is held.
func (a *Authority) current(now time.Time) (by issuer) {
	for _, i := range a.issuers {
		if i.key == nil {
			continue
		}
		if by = i; now.Before(i.cert.NotAfter.Add(-issuesUntil)) {
			break
		}
	}
	return by
}

// sign issues a certificate and tells by which authority's.
func (a *Authority) sign(template *x509.Certificate, pub crypto.PublicKey) (der, issuer []byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.succeed(now)
	by := a.current(now)
	template.NotBefore = now.Add(-backdated)
	der, err = x509.CreateCertificate(rand.Reader, template, by.cert, pub, by.key)
	return der, by.cert.Raw, err
}

// Pool is what clients trust.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, i := range a.issuers {
		pool.AddCert(i.cert)
	}
	return pool
}

// PEM is the file of certificates that clients trust, as it is now.
func (a *Authority) PEM() []byte {
	var b bytes.Buffer
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, i := range a.issuers {
		b.Write(certificatePEM(i.cert.Raw))
	}
	return b.Bytes()
}
