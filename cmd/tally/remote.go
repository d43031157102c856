package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/node"
)

// remote says which running node a command talks to, and as whom.
type remote struct {
	Data   string `help:"Data folder, for the node's address and the operator's key." default:"./tally-data" type:"path"`
	URL    string `help:"Address of the node, if not the one that the data folder names." placeholder:"https://HOST:PORT"`
	CA     string `help:"File with the authorities that the node's certificate may be from, if not the data folder's ca.pem." type:"path" placeholder:"FILE"`
	Token  string `help:"File with a token, to use instead of the operator's key." type:"path" placeholder:"FILE" xor:"proof"`
	Key    string `help:"File with another key in PEM; its certificate is beside it, in a file that ends in .pem or .crt instead." type:"path" placeholder:"FILE" xor:"proof"`
	Origin string `help:"Originator that the key or token is for." default:"Coperator"`
}

func (r *remote) connect() (*client.Client, error) {
	base := r.URL
	if base == "" {
		cfg, err := node.LoadConfig(r.Data)
		if err != nil {
			return nil, err
		}
		base = cfg.URL()
	}
	authorities, err := r.authorities()
	if err != nil {
		return nil, err
	}
	own := node.Operator(r.Data)
	token, key := r.Token, r.Key
	switch {
	case token != "" || key != "":
	case exists(own.Key):
		key = own.Key
	default:
		token = own.Token
	}
	if key != "" {
		if !strings.HasPrefix(base, "https:") {
			return nil, fmt.Errorf("%s is in plain text, where no key can be shown: enrol an operator with a token by https, and name it by --token", base)
		}
		certificate, err := readPair(key)
		if err != nil {
			return nil, err
		}
		return client.NewWithKey(authorities, certificate, base, r.Origin, 1), nil
	}
	b, err := os.ReadFile(token)
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	return client.NewTrusting(authorities, base, r.Origin, strings.TrimSpace(string(b)), 1), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readPair reads a key and the certificate beside it.
func readPair(key string) (tls.Certificate, error) {
	base := strings.TrimSuffix(key, filepath.Ext(key))
	certificate := base + ".pem"
	if !exists(certificate) {
		certificate = base + ".crt"
	}
	if _, err := os.Stat(key); err != nil {
		return tls.Certificate{}, fmt.Errorf("read the key: %w", err)
	}
	if !exists(certificate) {
		return tls.Certificate{}, fmt.Errorf("read the certificate of the key %s: there is neither %s.pem nor %[2]s.crt beside it", key, base)
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return pair, fmt.Errorf("read the key %s with its certificate: %w", key, err)
	}
	return pair, nil
}

// authorities are those that the node's certificate may be from: those of the system, and the network's own where they are
// known.
func (r *remote) authorities() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any
	}
	file := r.CA
	if file == "" {
		file = node.CAPath(r.Data)
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && r.CA == "" {
		return pool, nil
	}
	if err == nil && !pool.AppendCertsFromPEM(b) {
		err = fmt.Errorf("%s has no certificate in PEM", file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the authorities that the node's certificate may be from: %w", err)
	}
	return pool, nil
}
