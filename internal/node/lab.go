package node

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/cometbft/cometbft/types"

	"github.com/tallystick/tallystick/internal/ledger"
)

// checkLab refuses to start a lab network that was not asked for, an ordinary network as a lab, and a lab network that
// another machine could reach. It comes before anything listens, and returns the network's origin.
func checkLab(dir string, cfg *Config, lab bool) (origin string, err error) {
	doc, err := types.GenesisDocFromFile(filepath.Join(dir, genesisFile))
	if err != nil {
		return "", fmt.Errorf("read the genesis document: %w", err)
	}
	var g ledger.Genesis
	if err := json.Unmarshal(doc.AppState, &g); err != nil {
		return "", fmt.Errorf("read the genesis document: %w", err)
	}
	switch {
	case g.CSE.Lab && !lab:
		return "", fmt.Errorf("%s holds a lab network, in which anybody is who he says he is: start it with --lab if that is what you want", dir)
	case !g.CSE.Lab && lab:
		return "", fmt.Errorf("%s holds an ordinary network, which cannot be run as a lab: make one with tally network init --lab", dir)
	case !lab:
		return g.Origin, nil
	}
	for _, l := range cfg.listeners() {
		if err := loopback(l.address); err != nil {
			return "", fmt.Errorf("a lab network listens on this machine only, but %s in config.json is %q: %w", l.field, l.address, err)
		}
	}
	return g.Origin, nil
}

// listener is an address in the configuration on which a node listens.
type listener struct{ field, address string }

// listeners are all addresses that a configuration has the node listen on.
func (c *Config) listeners() []listener {
	return []listener{{"http", c.HTTP}, {"https", c.HTTPS}, {"mqtt", c.MQTT}, {"mqtts", c.MQTTS}, {"coap", c.CoAP}, {"coaps", c.CoAPS}}
}

// loopback refuses an address that is reachable from other machines. Empty stands for no listener.
func loopback(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if !isLoopback(host) {
		return fmt.Errorf("use 127.0.0.1, [::1] or localhost")
	}
	return nil
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// namesThisMachine says whether the Host of an HTTP request, with a port or without, is this machine as a lab network is
// reached. A browser that was given another name, which its owner lets lead to this machine, sends that name: so the pages
// of others cannot use a network that asks for no credential.
func namesThisMachine(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host == "" || isLoopback(strings.ToLower(strings.Trim(host, "[]")))
}
