package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/types"

	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/pki"
	"github.com/tallystick/tallystick/proof"
)

// InitOptions describe a new network of one validator.
type InitOptions struct {
	Dir    string
	Name   string // member name, default "node1"
	Origin string // the log's name, default "tallystick.local/<8 random hex digits>"
	HTTPS  string // listen address, default as in Config
	HTTP   string // listen address of HTTP in plain text, default none; of a lab network as that of HTTPS
	MQTTS  string // listen address, default none
	MQTT   string // listen address of MQTT in plain text, default none
	CoAPS  string // listen address of CoAP over DTLS, default none
	CoAP   string // listen address of CoAP over UDP in plain text, default none
	CSE    Identity
	// Lab makes a lab network: originators need no credential, and the administrator passes every access control. It
	// can never be made an ordinary one.
	Lab bool
	// Mobius admits clients that were written for Mobius (cse.Config.Mobius).
	Mobius bool
	// Registrar is where the CSE registers, if it does.
	Registrar Registrar
	// MayRegister are the CSE-IDs of CSEs that may register in a lab network without a credential.
	MayRegister []string
	// Approvals is how many operators an administrative act takes: 2, or 0 for one.
	Approvals int
}

// Exists says whether dir holds a node.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, configFile))
	return err == nil
}

// Init makes a data folder with a new network of one validator. It writes the configuration last: a folder without
// one was left half made and is made anew.
func Init(o InitOptions) error {
	if Exists(o.Dir) {
		return fmt.Errorf("%s holds a node already: start it with tally node start --data %s, or choose another folder", o.Dir, o.Dir)
	}
	for _, data := range []string{ledger.LogDir, ledger.TreeDir, ledger.ChainDir} {
		if _, err := os.Stat(filepath.Join(o.Dir, data)); err == nil {
			return fmt.Errorf("%s holds the data of a node that has run, but no %s: restore that file; new keys would make the data useless", o.Dir, configFile)
		}
	}
	if o.Name == "" {
		o.Name = "node1"
	}
	if o.Origin == "" {
		var id [4]byte
		rand.Read(id[:])
		o.Origin = "tallystick.local/" + hex.EncodeToString(id[:])
	}
	cfg, err := o.cseConfig()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, keysDir), 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	nodeKey, err := newKey(o.Dir, nodeKeyFile)
	if err != nil {
		return err
	}
	validator, err := newKey(o.Dir, validatorFile)
	if err != nil {
		return err
	}
	if _, err := newKey(o.Dir, peerKeyFile); err != nil {
		return err
	}
	if o.Lab && o.HTTP == "" && o.HTTPS == "" {
		o.HTTP = defaultAddress
	}
	var authority *pki.Authority // of the operators' certificates, where they have some
	if !o.Lab {
		if authority, err = openAuthority(o.Dir, o.Origin, slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
		if o.HTTP != "" {
			authority = nil
		}
	}
	operators, err := o.operators(cfg.Admin, authority)
	if err != nil {
		return err
	}
	var seed [32]byte
	rand.Read(seed[:])
	members := []ledger.Member{{Name: o.Name, Key: nodeKey.Public().(ed25519.PublicKey)}}
	app := ledger.Genesis{
		Version: ledger.GenesisVersion, Origin: o.Origin, Members: members, Seed: hex.EncodeToString(seed[:]),
		CSE:       cfg,
		Operators: operators,
	}
	if err := writeGenesis(o, app, validator); err != nil {
		return err
	}
	policy, err := proof.NewPolicy(o.Origin, []proof.Member{{Name: o.Name, Key: members[0].Key}})
	if err != nil {
		return err
	}
	if err := writeFile(PolicyPath(o.Dir), policy.Marshal(), 0o644); err != nil {
		return err
	}
	c := Config{
		Name: o.Name, HTTPS: o.HTTPS, HTTP: o.HTTP, MQTTS: o.MQTTS, MQTT: o.MQTT, CoAPS: o.CoAPS, CoAP: o.CoAP, Registrar: o.Registrar,
	}
	c.defaults()
	doc, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(o.Dir, configFile), append(doc, '\n'), 0o644)
}

func writeGenesis(o InitOptions, app ledger.Genesis, validator ed25519.PrivateKey) error {
	state, err := json.Marshal(app)
	if err != nil {
		return err
	}
	pub := cmted25519.PrivKey(validator).PubKey()
	params := types.DefaultConsensusParams()
	params.Block.MaxBytes = ledger.MaxBlockBytes
	doc := &types.GenesisDoc{
		GenesisTime: time.Now().UTC(), ChainID: chainID(o.Origin), ConsensusParams: params, AppState: state,
		Validators: []types.GenesisValidator{{Address: pub.Address(), PubKey: pub, Power: 10, Name: o.Name}},
	}
	if err := doc.ValidateAndComplete(); err != nil {
		return fmt.Errorf("make the genesis document: %w", err)
	}
	path := filepath.Join(o.Dir, genesisFile)
	if err := doc.SaveAs(path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// chainID is the network's name in consensus: its origin in the 50 characters that CometBFT allows.
func chainID(origin string) string {
	if len(origin) > types.MaxChainIDLen {
		origin = origin[len(origin)-types.MaxChainIDLen:]
	}
	return origin
}

// newKey makes a secret key file: the base64 of an Ed25519 seed.
func newKey(dir, name string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	text := base64.StdEncoding.EncodeToString(key.Seed()) + "\n"
	return key, writeFile(filepath.Join(dir, keysDir, name), []byte(text), 0o600)
}

func loadKey(dir, name string) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, keysDir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err == nil && len(seed) != ed25519.SeedSize {
		err = errors.New("not 32 bytes")
	}
	if err != nil {
		return nil, fmt.Errorf("read the key %s: %w", path, err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// writeFile writes a file durably.
func writeFile(path string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
