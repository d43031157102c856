package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/node"
)

// remote says which running node a command talks to, and as whom.
type remote struct {
	Data   string `help:"Data folder, for the node's address and the operator's token." default:"./tally-data" type:"path"`
	URL    string `help:"Address of the node, if not the one that the data folder names." placeholder:"http://HOST:PORT"`
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
		base = "http://" + cfg.HTTP
	}
	file := r.Token
	if file == "" {
		file = node.OperatorTokenPath(r.Data)
	}
	token, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	return client.New(base, r.Origin, strings.TrimSpace(string(token)), 1), nil
}
