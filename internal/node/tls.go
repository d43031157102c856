package node

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/tallystick/tallystick/internal/pki"
)

// Names in a data folder: of the network's certificate authority.
const (
	caFile    = "ca.pem"
	caKeyFile = "ca.key"
)

// CAPath is where a data folder keeps the certificates that clients trust.
func CAPath(dir string) string { return filepath.Join(dir, caFile) }

// openAuthority opens the network's certificate authority, and makes it the first time.
func openAuthority(dir, origin string, log *slog.Logger) (*pki.Authority, error) {
	return pki.Open(filepath.Join(dir, keysDir, caKeyFile), CAPath(dir), origin, log)
}

// prepareTLS finds the certificate of everything that is served over TLS and DTLS: that of the configuration, else one of
// the network's own authority.
func (n *Node) prepareTLS(origin string) (err error) {
	encrypted := n.cfg.HTTPS != "" || n.cfg.MQTTS != "" || n.cfg.CoAPS != ""
	if n.lab && !encrypted {
		return nil
	}
	if n.authority, err = openAuthority(n.dir, origin, n.log); err != nil {
		return err
	}
	if n.cfg.TLS.Cert != "" {
		if n.tls, err = loadCertificate(n.dir, n.cfg.TLS, n.log); err != nil {
			return err
		}
		n.certificate = n.tls.get
		return nil
	}
	if !encrypted {
		return nil
	}
	own, err := n.authority.Server(n.names(), n.log)
	if err != nil {
		return err
	}
	n.certificate = own.Certificate
	return nil
}

// names are those that clients may know the node by.
func (n *Node) names() []string {
	names := append([]string{"localhost", "127.0.0.1", "::1"}, n.cfg.TLS.Names...)
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	for _, l := range n.cfg.listeners() {
		host, _, err := net.SplitHostPort(l.address)
		if err != nil {
			continue
		}
		if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
			names = append(names, host)
			continue
		}
		all, err := net.InterfaceAddrs()
		if err != nil {
			continue
		}
		for _, a := range all {
			if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLinkLocalUnicast() {
				names = append(names, ip.IP.String())
			}
		}
	}
	return names
}

// tlsConfig is how a protocol is served over TLS; protocols are those of ALPN, if it has any. Clients are asked for a
// certificate, and need none. Who issued one is not looked at: TLS proves that the client holds the key in it, and whose
// key that is the ledger knows. A lab network asks for none, because there who shows nothing is welcome.
func (n *Node) tlsConfig(protocols ...string) *tls.Config {
	c := &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.certificate(), nil },
	}
	if !n.lab {
		c.ClientAuth = tls.RequestClientCert
	}
	return c
}

// trusted are the authorities that certificates of other machines may be from: those of the system, this network's own,
// and those of the configuration.
func (n *Node) trusted() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any
	}
	if n.authority != nil {
		pool.AppendCertsFromPEM(n.authority.PEM())
	}
	for _, file := range n.cfg.PeerCAs {
		if !filepath.IsAbs(file) {
			file = filepath.Join(n.dir, file)
		}
		b, err := os.ReadFile(file)
		if err == nil && !pool.AppendCertsFromPEM(b) {
			err = fmt.Errorf("%s has no certificate in PEM", file)
		}
		if err != nil {
			return nil, fmt.Errorf("read the authorities of other machines (peerCAs in %s): %w", configFile, err)
		}
	}
	return pool, nil
}

// IssueClient issues a certificate, PEM, with which TLS and DTLS libraries can show an enrolled key: for whom the key is
// follows from the ledger alone, and so does when it ends.
func (n *Node) IssueClient(key ed25519.PublicKey, originator string) ([]byte, error) {
	if n.authority == nil {
		return nil, errors.New("this lab network has no certificate authority")
	}
	return n.authority.Client(key, originator)
}

// serveCA serves the certificates that clients trust, so that they get to know a new one before it is used.
func (n *Node) serveCA(w http.ResponseWriter, _ *http.Request) {
	if n.authority == nil {
		refuse(w, http.StatusNotFound, "this lab network has no certificate authority")
		return
	}
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	w.Write(n.authority.PEM())
}
