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
	// HTTP is the address of the oneM2M HTTP binding and of the log's public pages. Default 127.0.0.1:7380.
	HTTP string `json:"http"`
	// HTTPS is a second address for the same pages and bindings, over TLS 1.3 with HTTP/1.1 and HTTP/2; it needs tls.
	// Default none.
	HTTPS string `json:"https,omitempty"`
	// TLS is the certificate of every address that is served over TLS: {"cert": FILE, "key": FILE}, both PEM, relative
	// to the data folder, the chain after the certificate. A changed file is read again within seconds. Default none.
	TLS TLSFiles `json:"tls,omitzero"`
	// MQTT is the address of the embedded MQTT broker. Default none: tally network init --mqtt 127.0.0.1:7383 writes one.
	MQTT string `json:"mqtt,omitempty"`
	// MQTTS is the address of the same broker over TLS; it needs tls. Default none.
	MQTTS string `json:"mqtts,omitempty"`
	// CoAP is the address of the CoAP binding over UDP, for plain devices too. Default none: tally network init --coap
	// 127.0.0.1:5683 writes one.
	CoAP string `json:"coap,omitempty"`
	// CoAPS is the address of the CoAP binding over DTLS 1.2; it needs tls. Default none.
	CoAPS string `json:"coaps,omitempty"`
	// CoAPTokensInClear is whether tokens are accepted that come over coap from other machines, where everybody on the
	// way can read and use them. Default false.
	CoAPTokensInClear bool `json:"coapTokensInClear,omitempty"`
	// PointsOfAccess is the list of URLs by which other CSEs reach this node; its registrar is told. Default the address of
	// http.
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
}

// TLSFiles name the PEM files of a certificate with its chain, and of its key.
type TLSFiles struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
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
	operatorFile  = "operator.token"
)

func (c *Config) defaults() {
	if c.HTTP == "" {
		c.HTTP = "127.0.0.1:7380"
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
	if c.HTTPS != "" && c.TLS.Cert == "" {
		return c, fmt.Errorf("read the configuration %s: https needs a certificate; name its files in tls", path)
	}
	if c.MQTTS != "" && c.TLS.Cert == "" {
		return c, fmt.Errorf("read the configuration %s: mqtts needs a certificate; name its files in tls", path)
	}
	if r := c.Registrar; (r.CSEID == "") != (r.URL == "") || r.CSEID != "" && r.CSEID[0] != '/' {
		return c, fmt.Errorf("read the configuration %s: registrar needs a cseID that begins with a slash, and a url", path)
	}
	if c.CoAPS != "" && c.TLS.Cert == "" {
		return c, fmt.Errorf("read the configuration %s: coaps needs a certificate; name its files in tls", path)
	}
	c.defaults()
	return c, nil
}

// PolicyPath is where a data folder keeps the network's policy for auditors.
func PolicyPath(dir string) string { return filepath.Join(dir, policyFile) }

// OperatorTokenPath is where a data folder keeps the token of the operator that init made.
func OperatorTokenPath(dir string) string { return filepath.Join(dir, keysDir, operatorFile) }
