package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	abci "github.com/cometbft/cometbft/abci/types"
	cmtcfg "github.com/cometbft/cometbft/config"
	cmtlog "github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/proxy"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/store"
	"github.com/cometbft/cometbft/types"

	"github.com/cockroachdb/pebble/v2"
)

// Consensus is CometBFT in this process, driving an App.
type Consensus struct {
	node *node.Node
	db   *pebble.DB
	quit chan struct{} // closed by Stop
	side sync.WaitGroup

	stopping atomic.Bool
}

// ConsensusOptions places CometBFT.
type ConsensusOptions struct {
	Dir           string // everything CometBFT keeps
	ListenAddress string // tcp://host:port for other nodes; "" when there are none
	Peers         string // id@host:port, comma-separated
	Genesis       *types.GenesisDoc
	Validator     *Validator
	NodeKey       *p2p.NodeKey
	Logger        *slog.Logger
	Fatal         func(error)
}

// alone says whether nobody else can take part in consensus.
func (o *ConsensusOptions) alone() bool {
	return o.ListenAddress == "" && o.Peers == "" && len(o.Genesis.Validators) == 1
}

func cometConfig(o ConsensusOptions) *cmtcfg.Config {
	c := cmtcfg.DefaultConfig()
	c.SetRoot(o.Dir)
	c.RPC.ListenAddress = "" // nothing listens that the node's configuration does not name
	c.TxIndex.Indexer = "null"
	c.Storage.DiscardABCIResponses = true
	c.P2P.ListenAddress = o.ListenAddress
	if o.ListenAddress == "" {
		// CometBFT cannot run without a listener; alone it gets one that nobody else can reach and that takes no peer.
		c.P2P.ListenAddress = "tcp://127.0.0.1:0"
		c.P2P.MaxNumInboundPeers = 0
		// There is nobody to wait for. These times pass only after a crash between the signature of a proposal and its
		// record in the write-ahead log: the validator then refuses to sign another for that round and goes to the next.
		c.Consensus.TimeoutPropose, c.Consensus.TimeoutProposeDelta = 300*time.Millisecond, 300*time.Millisecond
		c.Consensus.TimeoutPrevote, c.Consensus.TimeoutPrevoteDelta = 50*time.Millisecond, 50*time.Millisecond
		c.Consensus.TimeoutPrecommit, c.Consensus.TimeoutPrecommitDelta = 50*time.Millisecond, 50*time.Millisecond
	}
	c.P2P.PersistentPeers = o.Peers
	c.P2P.PexReactor = false
	c.P2P.AddrBookStrict = false
	c.P2P.AllowDuplicateIP = true
	c.P2P.FlushThrottleTimeout = time.Millisecond
	c.P2P.SendRate, c.P2P.RecvRate = 100<<20, 100<<20
	c.Mempool.Recheck = false // a batch does not become invalid
	c.Mempool.Size = 1024
	c.Mempool.MaxTxBytes = MaxBatchBytes
	c.Mempool.MaxTxsBytes = 64 << 20
	c.Mempool.CacheSize = 8192
	c.Consensus.CreateEmptyBlocks = false
	c.Consensus.TimeoutCommit = 0
	c.Consensus.SkipTimeoutCommit = true
	c.Consensus.PeerGossipSleepDuration = 5 * time.Millisecond
	return c
}

// StartConsensus opens CometBFT's store, replays what the application misses, and takes part in consensus.
// Stop must be called once, also after the Fatal callback.
func StartConsensus(app *App, o ConsensusOptions) (*Consensus, error) {
	cfg := cometConfig(o)
	o.Validator.alone = o.alone()
	for _, dir := range []string{"config", "data"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, dir), 0o700); err != nil {
			return nil, err
		}
	}
	db, err := openChain(filepath.Join(o.Dir, "blocks"), o.Logger, false)
	if err != nil {
		return nil, err
	}
	c := &Consensus{db: db, quit: make(chan struct{})}
	provider := func(ctx *cmtcfg.DBContext) (dbm.DB, error) { return newStore(db, ctx.ID), nil }
	if err := app.lendResults(db); err != nil {
		db.Close()
		return nil, err
	}
	logger := cometLogger{o.Logger, o.Fatal, &c.stopping}
	err = guard("start consensus", func() (err error) {
		c.node, err = node.NewNode(cfg, o.Validator, o.NodeKey, proxy.NewConnSyncLocalClientCreator(app),
			func() (*types.GenesisDoc, error) { return o.Genesis, nil },
			provider, node.DefaultMetricsProvider(cfg.Instrumentation), logger)
		if err != nil {
			return err
		}
		app.resumeSeq() // after the handshake executed what was missing
		return c.node.Start()
	})
	if err != nil {
		db.Close()
		return nil, err
	}
	c.side.Go(func() {
		c.trim(&walTrimmer{dir: filepath.Dir(cfg.Consensus.WalFile())}, func() uint64 { return app.Head().Height })
	})
	return c, nil
}

// guard turns a panic of CometBFT, its way to report damaged files at start, into an error.
func guard(what string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v", what, r)
		}
	}()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Submit hands an encoded batch to the mempool, from where every proposer takes it.
func (c *Consensus) Submit(tx []byte) error {
	var refused error
	err := c.node.Mempool().CheckTx(tx, func(r *abci.ResponseCheckTx) { // called before CheckTx returns
		if r.Code != abci.CodeTypeOK {
			refused = errors.New(r.Log)
		}
	}, mempool.TxInfo{})
	return errors.Join(err, refused)
}

// Peers returns how many other nodes are connected.
func (c *Consensus) Peers() int { return c.node.Switch().Peers().Size() }

// Stop ends consensus and closes the store.
func (c *Consensus) Stop() error {
	c.stopping.Store(true)
	close(c.quit)
	c.side.Wait()
	err := guard("stop consensus", func() error {
		if err := c.node.Stop(); err != nil {
			return err
		}
		c.node.Wait()
		return nil
	})
	if e := c.db.Close(); err == nil {
		err = e
	}
	return err
}

// cometLogger passes CometBFT's log on: its errors as warnings, all else at debug level. It also listens for the
// lines by which CometBFT tells that consensus has stopped for good.
type cometLogger struct {
	log      *slog.Logger
	fatal    func(error)
	stopping *atomic.Bool // what closes then is meant to
}

var _ cmtlog.Logger = cometLogger{}

func (l cometLogger) Debug(string, ...any) {}

func (l cometLogger) Info(msg string, kv ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(msg, printable(kv)...)
	}
}

func (l cometLogger) Warn(msg string, kv ...any) { l.Info(msg, kv...) }

func (l cometLogger) Error(msg string, kv ...any) {
	if l.stopping.Load() {
		l.Info(msg, kv...)
		return
	}
	// With a write-ahead log that cannot be written, CometBFT would stand still without an end.
	if strings.HasPrefix(msg, "CONSENSUS FAILURE") || msg == "failed writing to WAL" {
		cause := "unknown"
		for i := 0; i+1 < len(kv); i += 2 {
			if kv[i] == "err" {
				cause = fmt.Sprint(kv[i+1])
			}
		}
		// One clear message: what follows from it, stacks included, is for those who look closely.
		l.stopping.Store(true)
		if l.fatal != nil {
			l.fatal(fmt.Errorf("consensus stopped: %s", cause))
		}
		l.Info(msg, kv...)
		return
	}
	l.log.Warn("consensus: "+msg, printable(kv)...)
}

func (l cometLogger) With(kv ...any) cmtlog.Logger {
	return cometLogger{l.log.With(printable(kv)...), l.fatal, l.stopping}
}

// printable renders lazily formatted values, which slog would print as addresses.
func printable(kv []any) []any {
	out := make([]any, len(kv))
	for i, v := range kv {
		if s, ok := v.(fmt.Stringer); ok && i%2 == 1 {
			v = s.String()
		}
		out[i] = v
	}
	return out
}

// History is what CometBFT keeps of the network's past.
type History struct {
	blocks     *store.BlockStore
	validators func(height int64) (*types.ValidatorSet, error)
}

func chainHistory(db *pebble.DB, blocks *store.BlockStore) *History {
	return &History{blocks, sm.NewStore(newStore(db, "state"), sm.StoreOptions{}).LoadValidators}
}

// History returns the blocks that were not pruned, for a check.
func (c *Consensus) History() *History { return chainHistory(c.db, c.node.BlockStore()) }

var discard = slog.New(slog.DiscardHandler)
