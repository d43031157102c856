package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tallystick/tallystick/internal/guard"
)

// Config is a node's configuration, the file config.json in its data folder. What it does not name has the default.
type Config struct {
	// Name is the member that runs this node, as in the network's policy.
	Name string `json:"name"`
	// HTTPS is the address of the oneM2M HTTP and WebSocket bindings and of the log's public pages, over TLS 1.3 with HTTP/1.1
	// and HTTP/2. Default 127.0.0.1:7380, or none when there is http.
	HTTPS string `json:"https,omitempty"`
	// HTTP is an address for the same in plain text, tokens included. Default none.
	HTTP string `json:"http,omitempty"`
	// TLS is the certificate of every address that is served over TLS or DTLS: {"cert": FILE, "key": FILE}, both PEM, relative
	// to the data folder, the chain after the certificate; a changed file is read again within seconds. Default a certificate
	// of the network's own authority (ca.pem), for this machine's names and addresses and for {"names": [NAME, ...]}.
	TLS TLSFiles `json:"tls,omitzero"`
	// PeerCAs is the list of PEM files with the authorities that certificates of other machines may be from, such as the
	// ca.pem of another network, besides those of the system and this network's own; relative to the data folder. Default none.
	PeerCAs []string `json:"peerCAs,omitempty"`
	// MQTTS is the address of the embedded MQTT broker over TLS 1.3. Default none: tally network init --mqtts 127.0.0.1:7384
	// writes one.
	MQTTS string `json:"mqtts,omitempty"`
	// MQTT is an address of the same broker in plain text, tokens included. Default none.
	MQTT string `json:"mqtt,omitempty"`
	// CoAPS is the address of the CoAP binding over DTLS 1.2, for plain devices too. Default none: tally network init --coaps
	// 127.0.0.1:5684 writes one.
	CoAPS string `json:"coaps,omitempty"`
	// CoAP is an address of the same over UDP in plain text. Default none.
	CoAP string `json:"coap,omitempty"`
	// CoAPTokensInClear is whether tokens are accepted that come over coap from other machines, where everybody on the
	// way can read and use them. Default false.
	CoAPTokensInClear bool `json:"coapTokensInClear,omitempty"`
	// PointsOfAccess is the list of URLs by which other CSEs reach this node; its registrar is told. Default the address of
	// http, or else of https.
	PointsOfAccess []string `json:"pointsOfAccess,omitempty"`
	// Registrar is the CSE at which this one registers, and by which it reaches others: {"cseID": "/in", "url": URL}. The
	// token to show there is in peerTokens. Default none.
	Registrar Registrar `json:"registrar,omitzero"`
	// PeerTokens is the file with the token to show to another CSE, by that one's CSE-ID; relative to the data folder.
	// Default none.
	PeerTokens map[string]string `json:"peerTokens,omitempty"`
	// RetainBlocks is how many of the newest consensus blocks are kept once log and tree are safe without them.
	// The log is never pruned. Default 1024.
	RetainBlocks int64 `json:"retainBlocks"`
	// MaxBody is the largest request body in bytes. Default and limit 1 MiB.
	MaxBody int64 `json:"maxBody"`
	// MinFreeBytes is the free disk space below which the node refuses writes, so that it never has to break off
	// half way. Default 256 MiB.
	MinFreeBytes uint64 `json:"minFreeBytes"`
	// Quotas is what one originator and one source address may take of the node: see [abuse](abuse.md#quotas). Default
	// bounds that only a flood meets.
	Quotas guard.Quotas `json:"quotas,omitzero"`
	// Behaviour is what happens when a device no longer behaves as it used to, a list of
	// {"detector": NAMES, "action": "log", "throttle" or "quarantine"}: see [abuse](abuse.md#policy). Default quarantine for
	// who scans and floods at once.
	Behaviour []guard.Rule `json:"behaviour,omitempty"`

	byDefault bool // https was not named
}

// TLSFiles name the PEM files of a certificate with its chain, and of its key; or what the network's own authority makes
// out a certificate to besides this machine's names and addresses.
type TLSFiles struct {
	Cert  string   `json:"cert,omitempty"`
	Key   string   `json:"key,omitempty"`
	Names []string `json:"names,omitempty"`
}

// Registrar says where the CSE is that another one registers at.
type Registrar struct {
	CSEID string `json:"cseID"`
	URL   string `json:"url"`
}

// Names in a data folder.
const (
	configFile    = "config.json"
	genesisFile   = "genesis.json"
	policyFile    = "policy.txt"
	lockFile      = "lock"
	keysDir       = "keys"
	nodeKeyFile   = "node.key"
	validatorFile = "validator.key"
	peerKeyFile   = "peer.key"
	signStateFile = "validator.state"
)

// defaultAddress is where a node serves HTTP when its configuration names no address for that.
const defaultAddress = "127.0.0.1:7380"

func (c *Config) defaults() {
	if c.HTTP == "" && c.HTTPS == "" {
		c.HTTPS, c.byDefault = defaultAddress, true
	}
	if c.RetainBlocks == 0 {
		c.RetainBlocks = 1024
	}
	if c.MaxBody == 0 {
		c.MaxBody = 1 << 20
	}
	if c.MinFreeBytes == 0 {
		c.MinFreeBytes = 256 << 20
	}
}

// LoadConfig reads the configuration of a data folder.
func LoadConfig(dir string) (Config, error) {
	var c Config
	path := filepath.Join(dir, configFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%s is no node's data folder: it has no %s; make one with tally network init --data %s", dir, configFile, dir)
	}
	if err != nil {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	// A misspelt name would leave its field at the default, and something open or closed that was not meant to be.
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("read the configuration %s: %w", path, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("read the configuration %s: there is more after its end", path)
	}
	if err := checkPasswords(dir, b); err != nil {
		return c, fmt.Errorf("read the configuration %s: %w", path, err)
	}
	if c.Name == "" {
		return c, fmt.Errorf("read the configuration %s: it has no name", path)
	}
	if c.MaxBody < 0 || c.MaxBody > 1<<20 {
		return c, fmt.Errorf("read the configuration %s: maxBody is over 1 MiB", path)
	}
	if err := guard.Check(c.Behaviour); err != nil {
		return c, fmt.Errorf("read the configuration %s: behaviour: %w", path, err)
	}
	if c.RetainBlocks < 0 {
		return c, fmt.Errorf("read the configuration %s: retainBlocks is negative", path)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return c, fmt.Errorf("read the configuration %s: tls needs both cert and key", path)
	}
	if c.TLS.Cert != "" && len(c.TLS.Names) > 0 {
		return c, fmt.Errorf("read the configuration %s: tls has a certificate of its own and names for one of the network's; leave one of them out", path)
	}
	if r := c.Registrar; (r.CSEID == "") != (r.URL == "") || r.CSEID != "" && r.CSEID[0] != '/' {
		return c, fmt.Errorf("read the configuration %s: registrar needs a cseID that begins with a slash, and a url", path)
	}
	c.defaults()
	return c, nil
}

// PolicyPath is where a data folder keeps the network's policy for auditors.
func PolicyPath(dir string) string { return filepath.Join(dir, policyFile) }
