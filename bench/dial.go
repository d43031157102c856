package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"

	"github.com/pion/dtls/v3"
)

// dial opens a connection of a job, with the handshake of TLS or DTLS if it is not in clear.
func (j *loadJob) dial(ctx context.Context) (net.Conn, error) {
	addr, network := j.Addr, "tcp"
	if j.At != "" {
		addr = j.At
	}
	if j.Protocol == plainCoAP {
		network = "udp"
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err == nil && j.CA != "" {
		c, err = j.protect(ctx, c, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return c, nil
}

func (j *loadJob) protect(ctx context.Context, c net.Conn, addr string) (net.Conn, error) {
	pem, err := os.ReadFile(j.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if j.Protocol == plainCoAP {
		association, err := dtls.ClientWithOptions(&connected{c}, c.RemoteAddr(), dtls.WithRootCAs(roots), dtls.WithServerName(host))
		if err != nil {
			return nil, err
		}
		return association, association.HandshakeContext(ctx)
	}
	secured := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS13})
	return secured, secured.HandshakeContext(ctx)
}

// connected is a connected socket as one that names its peer with every datagram.
type connected struct{ net.Conn }

func (c *connected) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.Read(b)
	return n, c.RemoteAddr(), err
}

func (c *connected) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }
