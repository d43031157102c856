package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/node"
)

// remote says which running node a command talks to, and as whom.
type remote struct {
	Data   string `help:"Data folder, for the node's address and the operator's token." default:"./tally-data" type:"path"`
	URL    string `help:"Address of the node, if not the one that the data folder names." placeholder:"https://HOST:PORT"`
	CA     string `help:"File with the authorities that the node's certificate may be from, if not the data folder's ca.pem." type:"path" placeholder:"FILE"`
	Token  string `help:"File with a token, if not the operator's." type:"path" placeholder:"FILE"`
	Origin string `help:"Originator that the token is for." default:"Coperator"`
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
	file := r.Token
	if file == "" {
		file = node.OperatorTokenPath(r.Data)
	}
	token, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	return client.NewTrusting(authorities, base, r.Origin, strings.TrimSpace(string(token)), 1), nil
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
