package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A server's certificate is issued anew after two thirds of its life, by the handshake that finds it so old.
const (
	serverLife  = 90 * 24 * time.Hour
	serverRenew = serverLife * 2 / 3
	renewAgain  = time.Minute // after a failure
)

// Server is a server's certificate with its key, which stays in memory. It is safe for concurrent use.
type Server struct {
	authority *Authority
	names     []string
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	renew   time.Time
}

// Server issues a certificate for host names and IP addresses. Names that no certificate can have are left out.
func (a *Authority) Server(names []string, log *slog.Logger) (*Server, error) {
	s := &Server{authority: a, names: names, log: log}
	if err := s.issue(time.Now()); err != nil {
		return nil, fmt.Errorf("issue the node's certificate: %w", err)
	}
	return s, nil
}

// Certificate gives the certificate, issued anew when it is time. When that fails it gives the one before: there is a
// month to mend the cause.
func (s *Server) Certificate() *tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.After(s.renew) {
		if err := s.issue(now); err != nil {
			s.renew = now.Add(renewAgain)
			s.log.Error("renew the node's certificate; it goes on with the one it has", "until", s.current.Leaf.NotAfter, "err", err)
		} else {
			s.log.Info("renewed the node's certificate", "until", s.current.Leaf.NotAfter)
		}
	}
	return s.current
}

func (s *Server) issue(now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "Tallystick node"},
		NotAfter: now.Add(serverLife), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range s.names {
		if ip, err := netip.ParseAddr(name); err == nil {
			if addr := net.IP(ip.Unmap().WithZone("").AsSlice()); !slices.ContainsFunc(template.IPAddresses, addr.Equal) {
				template.IPAddresses = append(template.IPAddresses, addr)
			}
		} else if name = strings.ToLower(strings.TrimSuffix(name, ".")); isHost(name) && !slices.Contains(template.DNSNames, name) {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, issuer, err := s.authority.sign(template, key.Public())
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	// The authority's own goes along, for who knows nothing of it yet but its hash (a one-time code).
	s.current = &tls.Certificate{Certificate: [][]byte{der, issuer}, PrivateKey: key, Leaf: leaf}
	s.renew = now.Add(serverRenew)
	return nil
}

// isHost says whether a name can be a host name (RFC 1123 clause 2.1), a wildcard for its first label included.
func isHost(name string) bool {
	name = strings.TrimPrefix(name, "*.")
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		bad := func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
		}
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, bad) {
			return false
		}
	}
	return true
}
