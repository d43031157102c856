package ledger

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/proof"
)

// GenesisVersion is the version of what the nodes of a network have to do alike beyond what else is versioned. Since 2 a
// block with a batch states the application hash in its first transaction, and blocks have the same one in their headers.
const GenesisVersion = 2

// Genesis is what all nodes of a network agree on before the first block. It is the app_state of CometBFT's genesis
// document, and the payload of the log's first entry.
type Genesis struct {
	Version   int               `json:"version"` // GenesisVersion
	Origin    string            `json:"origin"`  // the log's name in checkpoints (C2SP tlog-checkpoint)
	CSE       cse.Config        `json:"cse"`
	Members   []Member          `json:"members"`
	Operators []GenesisOperator `json:"operators"`
	Seed      string            `json:"seed"` // 32 random bytes in hex: the salts of the first entries
}

// Member is an organisation that runs a node. Its key signs batches and cosigns checkpoints.
type Member struct {
	Name string            `json:"name"`
	Key  ed25519.PublicKey `json:"key"`
}

// GenesisOperator is a credential that exists from the start.
type GenesisOperator struct {
	Originator string `json:"originator"`
	TokenHash  string `json:"tokenHash,omitempty"` // SHA-256 of the token in hex; or
	PublicKey  string `json:"publicKey,omitempty"` // Ed25519 public key in hex
}

func parseGenesis(b []byte) (*Genesis, error) {
	g := new(Genesis)
	if err := json.Unmarshal(b, g); err != nil {
		return nil, fmt.Errorf("parse genesis: %w", err)
	}
	if g.Version != GenesisVersion {
		return nil, fmt.Errorf("parse genesis: the network is of version %d, this program is for version %d: use the program that made it, or begin a new network", g.Version, GenesisVersion)
	}
	if len(g.Members) == 0 || len(g.Operators) == 0 || g.Origin == "" {
		return nil, errors.New("parse genesis: it needs an origin, a member and an operator")
	}
	if err := g.checkApprovals(); err != nil {
		return nil, fmt.Errorf("parse genesis: %w", err)
	}
	seen := make(map[string]bool)
	for _, m := range g.Members {
		if m.Name == "" || len(m.Name) > maxName || len(m.Key) != ed25519.PublicKeySize || seen[m.Name] {
			return nil, fmt.Errorf("parse genesis: member %q: the name is missing, too long or used twice, or the key is no Ed25519 key", m.Name)
		}
		if err := identity.CheckKey(m.Key); err != nil {
			return nil, fmt.Errorf("parse genesis: member %q: %w", m.Name, err)
		}
		seen[m.Name] = true
	}
	return g, nil
}

// checkApprovals refuses a network in which acts take two operators that nobody could be.
func (g *Genesis) checkApprovals() error {
	switch {
	case g.CSE.Approvals == 0:
		return nil
	case g.CSE.Approvals != 2:
		return fmt.Errorf("%d approvals; an act takes one operator (0) or two (2)", g.CSE.Approvals)
	case g.CSE.Lab:
		return errors.New("a lab network, in which anybody is anybody, cannot ask for two operators")
	}
	for _, o := range g.Operators[1:] {
		if o.Originator != g.Operators[0].Originator && (o.TokenHash != g.Operators[0].TokenHash || o.PublicKey != g.Operators[0].PublicKey) {
			return nil
		}
	}
	return errors.New("acts take two operators, and the network begins with one")
}

func (g *Genesis) seed() ([32]byte, error) {
	var s [32]byte
	b, err := hex.DecodeString(g.Seed)
	if err != nil || len(b) != len(s) {
		return s, errors.New("genesis: the seed is not 32 bytes in hex")
	}
	return [32]byte(b), nil
}

// keys returns the members' public keys by name.
func (g *Genesis) keys() map[string]ed25519.PublicKey {
	keys := make(map[string]ed25519.PublicKey, len(g.Members))
	for _, m := range g.Members {
		keys[m.Name] = m.Key
	}
	return keys
}

// policy is the network's policy for auditors, as it was at genesis.
func (g *Genesis) policy() (*proof.Policy, error) {
	var members []proof.Member
	for _, m := range g.Members {
		members = append(members, proof.Member{Name: m.Name, Key: m.Key})
	}
	return proof.NewPolicy(g.Origin, members)
}

// auxGenesis is where the tree keeps the genesis document.
const auxGenesis = "genesis"

// applyGenesis begins the log.
func (a *App) applyGenesis(b *building) error {
	seed, err := a.genesis.seed()
	if err != nil {
		return err
	}
	b.seed(seed)
	return a.applyGenesisEntries(b)
}

// applyGenesisEntries writes the first entries: the network itself, what the core creates, the credentials of the
// members' nodes and of the operators.
func (a *App) applyGenesisEntries(b *building) error {
	doc := a.Options.Genesis
	if err := b.state.SetAux(auxGenesis, doc); err != nil {
		return err
	}
	b.record(proof.Entry{Operation: proof.OpGenesis, Originator: a.genesis.CSE.CSEID, Resource: a.genesis.CSE.BaseRI}, doc)

	res, err := a.core.Genesis(b.state, cse.Env{Time: b.time, NextIndex: b.nextIndex()})
	if err != nil {
		return fmt.Errorf("genesis of the resource tree: %w", err)
	}
	b.effects(res.Effects, proof.Auth{})
	for _, m := range a.genesis.Members {
		c := identity.Credential{
			Kind: identity.Key, Value: [32]byte(m.Key), Originator: identity.NodeOriginator(m.Name), Role: identity.Node,
		}
		if err := a.enrol(b, c, a.genesis.CSE.CSEID, proof.Auth{}, enrolment(&c)); err != nil {
			return err
		}
	}
	for _, o := range a.genesis.Operators {
		r := OwnRequest{Originator: o.Originator, Role: identity.Operator.String(), TokenHash: o.TokenHash, PublicKey: o.PublicKey}
		c, err := r.credential()
		if err != nil {
			return fmt.Errorf("genesis: operator %s: %w", o.Originator, err)
		}
		if err := a.enrol(b, c, a.genesis.CSE.CSEID, proof.Auth{}, enrolment(&c)); err != nil {
			return err
		}
	}
	return nil
}
