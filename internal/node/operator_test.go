package node

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"github.com/tallystick/tallystick/client"
)

// The first start of a network that speaks TLS makes the operator a key and nothing else: no token lies about, and the
// key is worth what it is bound to, over TLS only.
func TestOperatorKey(t *testing.T) {
	dir := t.TempDir()
	must(t, Init(InitOptions{Dir: dir, HTTPS: "127.0.0.1:0"}))
	files := Operator(dir)
	if _, err := os.Stat(files.Token); !os.IsNotExist(err) {
		t.Errorf("there is a token too: %v", err)
	}
	info, err := os.Stat(files.Key)
	must(t, err)
	if info.Mode().Perm() != 0o600 || files.Secret() != files.Key {
		t.Errorf("the key has mode %v, the secret is %s", info.Mode(), files.Secret())
	}
	n := startNode(t, dir)
	defer stopNode(t, n)
	pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	must(t, err)
	pool := x509.NewCertPool()
	b, err := os.ReadFile(CAPath(dir))
	must(t, err)
	pool.AppendCertsFromPEM(b)
	operator := client.NewWithKey(pool, pair, n.URL(), OperatorID, 1)
	defer operator.Close()
	if _, err := operator.API(t.Context(), "POST", "/-/credentials", map[string]string{"originator": "Cpump"}); err != nil {
		t.Errorf("the operator cannot enrol with its key: %v", err)
	}
	nobody := client.NewTrusting(pool, n.URL(), OperatorID, "", 1)
	defer nobody.Close()
	if _, err := nobody.API(t.Context(), "POST", "/-/credentials", map[string]string{"originator": "Cother"}); err == nil {
		t.Error("nobody can enrol")
	}
}
