package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// writeCertificate makes a certificate for 127.0.0.1 and other addresses with a serial number, and gives a pool that
// trusts it.
func writeCertificate(t *testing.T, dir string, serial int64, also ...net.IP) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "node"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: append(also, net.IPv4(127, 0, 0, 1)),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	parsed, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

// configure changes one field of a data folder's configuration.
func configure(t *testing.T, dir string, set func(*Config)) {
	t.Helper()
	c, err := LoadConfig(dir)
	must(t, err)
	set(&c)
	b, err := json.Marshal(c)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, configFile), b, 0o644))
}

// TestHTTPS: HTTP/1.1 and HTTP/2 over TLS 1.3, nothing older; a new certificate needs no restart, and one that cannot
// be read changes nothing.
func TestHTTPS(t *testing.T) {
	dir := initNode(t)
	pool := writeCertificate(t, dir, 1)
	configure(t, dir, func(c *Config) { c.HTTPS, c.TLS = "127.0.0.1:0", TLSFiles{Cert: "cert.pem", Key: "key.pem"} })
	n := startNode(t, dir)
	defer stopNode(t, n)
	if l := n.Listens(); len(l) != 2 || l[1].Protocol != "https" || !l[1].Encrypted {
		t.Fatal(l)
	}
	addr := n.Listens()[1].Address
	get := func(proto string, pool *x509.CertPool, maxVersion uint16) (*http.Response, error) {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MaxVersion: maxVersion}, ForceAttemptHTTP2: proto == "HTTP/2.0"}
		defer tr.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+addr+"/tally", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+token(t, dir))
		req.Header.Set("X-M2M-Origin", "Coperator")
		req.Header.Set("X-M2M-RI", "1")
		req.Header.Set("X-M2M-RVI", "4")
		rsp, err := tr.RoundTrip(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, rsp.Body)
			rsp.Body.Close()
		}
		return rsp, err
	}
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		rsp, err := get(proto, pool, 0)
		must(t, err)
		if rsp.Proto != proto || rsp.StatusCode != 200 || rsp.Header.Get("X-M2M-RSC") != "2000" {
			t.Errorf("%s: got %s %s %v", proto, rsp.Proto, rsp.Status, rsp.Header)
		}
	}
	if _, err := get("HTTP/1.1", pool, tls.VersionTLS12); err == nil {
		t.Error("TLS 1.2 is spoken")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	ws, _, err := websocket.Dial(t.Context(), "wss://"+addr+"/", &websocket.DialOptions{
		Subprotocols: []string{"oneM2M.json"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token(t, dir)}}, HTTPClient: &http.Client{Transport: tr},
	})
	must(t, err) // a WebSocket goes over HTTP/1.1, also where HTTP/2 is offered
	must(t, ws.CloseNow())
	renewed := writeCertificate(t, dir, 2)
	n.tls.checked = time.Time{}
	if _, err := get("HTTP/1.1", renewed, 0); err != nil {
		t.Errorf("the new certificate is not used: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "key.pem"), []byte("torn"), 0o600))
	n.tls.checked = time.Time{}
	if _, err := get("HTTP/1.1", renewed, 0); err != nil {
		t.Errorf("a file that cannot be read stopped TLS: %v", err)
	}
}

// TestBadTLS: a certificate that cannot be used stops the start, with the reason.
func TestBadTLS(t *testing.T) {
	for name, set := range map[string]func(*Config){
		"needs both cert and key": func(c *Config) { c.TLS.Cert = "cert.pem" },
		"no such file":            func(c *Config) { c.TLS = TLSFiles{Cert: "none.pem", Key: "key.pem"} },
		"tls: ":                   func(c *Config) { c.TLS = TLSFiles{Cert: "cert.pem", Key: "cert.pem"} },
	} {
		dir := initNode(t)
		writeCertificate(t, dir, 1)
		configure(t, dir, set)
		if _, err := Start(context.Background(), dir, watchedLog); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}
