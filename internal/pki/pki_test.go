package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var quiet = slog.New(slog.DiscardHandler)

func open(t testing.TB, dir string) *Authority {
	t.Helper()
	a, err := Open(filepath.Join(dir, "ca.key"), filepath.Join(dir, "ca.pem"), "tallystick.local/0a1b2c3d", quiet)
	must(t, err)
	return a
}

func pool(t testing.TB, file []byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(file) {
		t.Fatal("the file has no certificate")
	}
	return p
}

// handshake connects a client to a server in memory and returns what either knows of the other.
func handshake(t testing.TB, server, client *tls.Config) (s, c tls.ConnectionState, err error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	there, here := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		_, err := there.Write([]byte("x"))
		done <- err
	}()
	if _, err = io.ReadFull(here, make([]byte, 1)); err == nil {
		err = <-done
	} else {
		a.Close()
		<-done
	}
	return there.ConnectionState(), here.ConnectionState(), err
}

// A server's certificate holds for its names and addresses, is trusted by who has the authority's file and by nobody
// else, and the connection has the hybrid key exchange without anybody asking for it.
func TestServer(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	server, err := a.Server([]string{"localhost", "LocalHost.", "127.0.0.1", "::1", "::ffff:127.0.0.1", "node_1", "sensor.example", ""}, quiet)
	must(t, err)
	leaf := server.Certificate().Leaf
	if got := strings.Join(leaf.DNSNames, " "); got != "localhost sensor.example" || len(leaf.IPAddresses) != 2 {
		t.Errorf("the certificate is for %q and %v", got, leaf.IPAddresses)
	}
	if life := time.Until(leaf.NotAfter); life > 90*24*time.Hour || life < 89*24*time.Hour {
		t.Errorf("the certificate lives for %s, want 90 days", life)
	}
	cfg := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return server.Certificate(), nil }}
	file, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	must(t, err)
	if string(file) != string(a.PEM()) {
		t.Error("PEM is not what the file holds")
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "sensor.example"} {
		_, c, err := handshake(t, cfg, &tls.Config{RootCAs: pool(t, file), ServerName: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Version != tls.VersionTLS13 || c.CurveID != tls.X25519MLKEM768 {
			t.Errorf("%s: version %x with %s, want TLS 1.3 with X25519MLKEM768", name, c.Version, c.CurveID)
		}
	}
	if _, _, err := handshake(t, cfg, &tls.Config{RootCAs: pool(t, file), ServerName: "other.example"}); err == nil {
		t.Error("the certificate holds for a name that it was not made for")
	}
	if _, _, err := handshake(t, cfg, &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}); err == nil {
		t.Error("the certificate is trusted without the authority")
	}
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the authority's key has mode %v", info.Mode())
	}
}

// A client shows its own key with a certificate of the authority.
func TestClient(t *testing.T) {
	a := open(t, t.TempDir())
	server, err := a.Server([]string{"localhost"}, quiet)
	must(t, err)
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	file, err := a.Client(pub, "C"+strings.Repeat("long", 30))
	must(t, err)
	block, rest := pem.Decode(file)
	if len(rest) != 0 {
		t.Errorf("%d bytes after the certificate", len(rest))
	}
	s, _, err := handshake(t,
		&tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return server.Certificate(), nil },
			ClientAuth:     tls.RequireAndVerifyClientCert, ClientCAs: a.Pool(),
		},
		&tls.Config{RootCAs: a.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: key}}})
	must(t, err)
	if got, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey); !ok || !got.Equal(pub) {
		t.Error("the server does not see the client's key")
	}
	if !s.PeerCertificates[0].NotAfter.Equal(noEnd) {
		t.Errorf("the certificate ends on %s", s.PeerCertificates[0].NotAfter)
	}
	if _, err := a.Client(pub[:31], "C"); err == nil {
		t.Error("a certificate for 31 bytes")
	}
}

// The node's certificate is renewed after 60 of its 90 days, without a restart, and never served when it has ended.
func TestServerRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := open(t, dir)
		server, err := a.Server([]string{"localhost"}, quiet)
		must(t, err)
		first := server.Certificate()
		time.Sleep(59 * 24 * time.Hour)
		if server.Certificate() != first {
			t.Error("renewed after 59 days")
		}
		time.Sleep(2 * 24 * time.Hour)
		second := server.Certificate()
		if second == first {
			t.Error("not renewed after 61 days")
		}
		time.Sleep(365 * 24 * time.Hour) // nobody connected for a year
		if leaf := server.Certificate().Leaf; !time.Now().Before(leaf.NotAfter) {
			t.Errorf("a certificate that ended on %s is served on %s", leaf.NotAfter, time.Now())
		}
	})
}

// Over eighty years, no client that fetches the authority's file once in five years ever meets a certificate that it does
// not trust; restarts change nothing.
func TestRollover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := open(t, dir)
		server, err := a.Server([]string{"localhost"}, quiet)
		must(t, err)
		cfg := func() *tls.Config {
			return &tls.Config{Certificates: []tls.Certificate{*server.Certificate()}}
		}
		trusted := pool(t, a.PEM())
		most, rolled := 0, map[string]bool{}
		for month := range 80 * 12 {
			time.Sleep(30*24*time.Hour + 10*time.Hour)
			if month%59 == 58 {
				trusted = pool(t, a.PEM())
			}
			if month%100 == 99 {
				a = open(t, dir)
				server, err = a.Server([]string{"localhost"}, quiet)
				must(t, err)
			}
			c := cfg()
			if _, _, err := handshake(t, c, &tls.Config{RootCAs: trusted, ServerName: "localhost"}); err != nil {
				t.Fatalf("month %d: %v", month, err)
			}
			rolled[string(server.Certificate().Leaf.AuthorityKeyId)] = true
			most = max(most, strings.Count(string(a.PEM()), "BEGIN"))
		}
		if len(rolled) < 5 || most < 2 || most > 3 {
			t.Errorf("%d authorities in eighty years, up to %d at once", len(rolled), most)
		}
	})
}

// Files that do not fit together are an error that says what to do, and are not replaced.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	key, cert := filepath.Join(dir, "ca.key"), filepath.Join(dir, "ca.pem")
	good, err := os.ReadFile(key)
	must(t, err)
	other := t.TempDir()
	open(t, other)
	foreign, err := os.ReadFile(filepath.Join(other, "ca.key"))
	must(t, err)
	for name, set := range map[string]func() error{
		"no key":      func() error { return os.Remove(key) },
		"foreign key": func() error { return os.WriteFile(key, foreign, 0o600) },
		"broken key":  func() error { return os.WriteFile(key, []byte("-----BEGIN X-----\nAAAA\n-----END X-----\n"), 0o600) },
	} {
		must(t, set())
		if _, err := Open(key, cert, "n", quiet); err == nil {
			t.Errorf("%s: opened", name)
		}
		must(t, os.WriteFile(key, good, 0o600))
	}
	if _, err := Open(key, cert, "n", quiet); err != nil {
		t.Error(err)
	}
	// What a crash between the two files of the first start leaves.
	must(t, os.Remove(cert))
	if _, err := Open(key, cert, "n", quiet); err != nil {
		t.Error(err)
	}
}
