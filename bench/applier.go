package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// applier drives a ledger the way consensus does, without consensus: it makes blocks and has them executed and
// committed. One goroutine owns it.
type applier struct {
	app      *ledger.App
	public   ed25519.PublicKey // of the key that signs batches
	height   int64
	keys     [sensors]identity.KeyID
	operator identity.KeyID
	answers  []onem2m.Response // to the newest batch
	seed     [32]byte
	failed   chan error
}

const (
	operatorID = "Coperator"
	memberName = "node1"
	chainID    = "bench"
	origin     = "bench.local/apply"
)

// newApplier makes a ledger in dir, with six devices enrolled and registered.
func newApplier(dir string) (*applier, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	operator, _ := identity.TokenHash(identity.NewToken())
	a := &applier{public: public, operator: identity.KeyID(operator[:8]), failed: make(chan error, 1)}
	rand.Read(a.seed[:])
	genesis, err := json.Marshal(ledger.Genesis{
		Version: ledger.GenesisVersion, Origin: origin, Members: []ledger.Member{{Name: memberName, Key: public}}, Seed: hex.EncodeToString(a.seed[:]),
		CSE:       cse.Config{SPID: "//bench.local", CSEID: "/tally", Name: "tally", BaseRI: "cb", Admin: operatorID, Release: "4"},
		Operators: []ledger.GenesisOperator{{Originator: operatorID, TokenHash: hex.EncodeToString(operator[:])}},
	})
	if err != nil {
		return nil, err
	}
	a.app, err = ledger.Open(dir, vfs.Default, ledger.Options{
		Name: memberName, Key: key, ChainID: chainID, Genesis: genesis, Logger: slog.New(slog.DiscardHandler), RetainBlocks: 1,
		Committed: func(_ uint64, results []ledger.Result) {
			for _, r := range results {
				a.answers = r.Responses
			}
		},
		Fatal: func(err error) {
			select {
			case a.failed <- err:
			default:
			}
		},
	})
	if err != nil {
		return nil, err
	}
	if err := a.begin(genesis); err != nil {
		return nil, errors.Join(err, a.app.Close())
	}
	return a, nil
}

// begin commits the network's first blocks: genesis, then the devices.
func (a *applier) begin(genesis []byte) error {
	ctx := context.Background()
	if _, err := a.app.InitChain(ctx, &abci.RequestInitChain{AppStateBytes: genesis}); err != nil {
		return err
	}
	var enrol []ledger.Item
	for i := range sensors {
		hash, _ := identity.TokenHash(identity.NewToken())
		a.keys[i] = identity.KeyID(hash[:8])
		content, err := json.Marshal(ledger.OwnRequest{Originator: deviceID(i), TokenHash: hex.EncodeToString(hash[:])})
		if err != nil {
			return err
		}
		enrol = append(enrol, ledger.Item{
			Operation: proof.OpEnrol, From: operatorID, Content: content, Key: a.operator, ResultContent: onem2m.ResultContentDefault, Release: "4",
		})
	}
	if err := a.commit(enrol); err != nil {
		return fmt.Errorf("enrol the devices: %w", err)
	}
	for i := range sensors {
		err := register(i, func(parent string, ty onem2m.ResourceType, content string) error {
			it := a.item(i, parent, []byte(content))
			it.Type = ty
			return a.commit([]ledger.Item{it})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// item is a request of a sensor to create an instance, as ingress makes it of what came over HTTP.
func (a *applier) item(sensor int, to string, content []byte) ledger.Item {
	return ledger.Item{
		Operation: proof.Operation(onem2m.Create), From: deviceID(sensor), To: to, Type: onem2m.TypeContentInstance,
		Content: content, Key: a.keys[sensor], ResultContent: onem2m.ResultContentDefault, Release: "4",
	}
}

// sign makes the transaction of the next batch. Batches must be committed in the order in which they were signed.
func (a *applier) sign(items []ledger.Item) []byte {
	binary.BigEndian.PutUint64(a.seed[:], binary.BigEndian.Uint64(a.seed[:])+1)
	_, tx := a.app.Sign(a.seed, items)
	return tx
}

// commit has a batch agreed and committed, and checks its answers.
func (a *applier) commit(items []ledger.Item) error {
	block, err := a.propose(a.sign(items))
	if err != nil {
		return err
	}
	if _, err := a.apply(block); err != nil {
		return err
	}
	return a.check(len(items))
}

// propose makes a block of a batch.
func (a *applier) propose(tx []byte) (*abci.RequestFinalizeBlock, error) {
	now := time.Now()
	resp, err := a.app.PrepareProposal(context.Background(), &abci.RequestPrepareProposal{
		Txs: [][]byte{tx}, MaxTxBytes: ledger.MaxBlockBytes, Height: a.height + 1, Time: now,
	})
	if err != nil {
		return nil, err
	}
	if len(resp.Txs) != 2 {
		return nil, fmt.Errorf("block %d: the ledger does not take its own batch", a.height+1)
	}
	return &abci.RequestFinalizeBlock{Txs: resp.Txs, Height: a.height + 1, Time: now}, nil
}

// apply executes and commits a block and returns how long the execution alone took.
func (a *applier) apply(block *abci.RequestFinalizeBlock) (execute time.Duration, err error) {
	a.answers = nil
	begin := time.Now()
	if _, err := a.app.FinalizeBlock(context.Background(), block); err != nil {
		return 0, err
	}
	execute = time.Since(begin)
	if _, err := a.app.Commit(context.Background(), &abci.RequestCommit{}); err != nil {
		return 0, err
	}
	a.height = block.Height
	return execute, nil
}

// check says whether the newest batch had n requests and all succeeded.
func (a *applier) check(n int) error {
	select {
	case err := <-a.failed:
		return err
	default:
	}
	if len(a.answers) != n {
		return fmt.Errorf("block %d: %d requests have %d answers", a.height, n, len(a.answers))
	}
	for i := range a.answers {
		if r := &a.answers[i]; r.Status != onem2m.StatusCreated {
			return fmt.Errorf("block %d, request %d: %d %s: %s", a.height, i, int(r.Status), r.Status, r.Content)
		}
	}
	return nil
}

func (a *applier) close() error { return a.app.Close() }

// source makes batches of readings, all sensors in turn.
type source struct {
	*readings
	a    *applier
	sent uint64
}

// batch signs a batch of the next n readings.
func (s *source) batch(n int) []byte {
	items := make([]ledger.Item, n)
	for i := range items {
		sensor := int(s.sent % sensors)
		items[i] = s.a.item(sensor, container(sensor), s.readings.append(nil, sensor, s.sent/sensors))
		s.sent++
	}
	return s.a.sign(items)
}
