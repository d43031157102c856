package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	abci "github.com/cometbft/cometbft/abci/types"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/store"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/internal/tree"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Names of the folders below a node's data folder.
const (
	LogDir   = "log"
	TreeDir  = "tree"
	ChainDir = "chain"
)

// Caches, in bytes. They are full after some 100,000 readings, so that a node's memory does not grow with its ledger;
// the operating system caches the files besides.
const (
	logCache  = 16 << 20
	treeCache = 16 << 20
)

// Open opens log and tree below dir and brings them to the same block. CometBFT then replays what is missing.
func Open(dir string, fs vfs.FS, o Options) (*App, error) {
	a := &App{Options: o, creds: make(map[identity.KeyID]*identity.Credential), seqs: make(map[string]sequence), closing: make(chan struct{})}
	g, err := parseGenesis(o.Genesis)
	if err != nil {
		return nil, err
	}
	if a.policy, err = g.policy(); err != nil {
		return nil, err
	}
	a.genesis, a.core, a.members, a.doc = g, cse.New(g.CSE, identity.ForCore()), g.keys(), sha256.Sum256(o.Genesis)
	if key := a.members[o.Name]; !key.Equal(o.Key.Public()) {
		return nil, fmt.Errorf("this node's key is not the one that the genesis document has for a member named %q", o.Name)
	}
	if a.log, err = translog.Open(filepath.Join(dir, LogDir), translog.Options{FS: fs, CacheBytes: logCache}); err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	if a.tree, err = tree.Open(filepath.Join(dir, TreeDir), logReader{a}, tree.Options{FS: fs, Logger: o.Logger, Cache: treeCache}); err != nil {
		a.log.Close()
		return nil, fmt.Errorf("open the tree: %w", err)
	}
	if err := a.recover(); err != nil {
		a.tree.Close()
		a.log.Close()
		return nil, err
	}
	a.startKeeper()
	a.startPublisher()
	return a, nil
}

// recover reads where the tree stands and makes the log agree.
func (a *App) recover() error {
	v, err := a.tree.Local(localMeta)
	if err != nil {
		return fmt.Errorf("read the tree: %w", err)
	}
	a.last.AppHash = a.doc
	if v != nil {
		if a.last, err = decodeMeta(v); err != nil {
			return err
		}
	}
	if err := a.recoverLog(); err != nil {
		return err
	}
	status := a.last.Status
	a.head.Store(&status)
	a.keeper.durable.Store(0)

	view := a.tree.View()
	defer view.Close()
	doc, err := view.Aux(auxGenesis)
	if err != nil {
		return fmt.Errorf("read the genesis document from the tree: %w", err)
	}
	if doc != nil && !bytes.Equal(doc, a.Options.Genesis) {
		return errors.New("the tree belongs to another network: its genesis document is not this node's")
	}
	if err := a.loadQuarantines(view); err != nil {
		return err
	}
	return a.loadSeqs()
}

// recoverLog appends the entries that the log lost since its last sync, and checks that log and tree speak of the
// same log. A log that is longer than the tree knows is left as it is until the blocks that made it are executed
// again: should the tree be lost, the log is the last copy.
func (a *App) recoverLog() error {
	if err := a.restoreFrames(); err != nil {
		return err
	}
	if size := a.log.Head().Size; size < a.last.LogSize {
		if d := a.log.Damage(); d != nil {
			return fmt.Errorf("the log is damaged: %w; run tally fsck --repair", d)
		}
		return fmt.Errorf("the log ends at index %d, the tree knows %d entries; run tally fsck --repair", size, a.last.LogSize)
	}
	if a.last.LogSize == 0 {
		return nil
	}
	root, err := a.log.RootAt(a.last.LogSize)
	if err != nil {
		return fmt.Errorf("compare the log with the tree: %w; run tally fsck --repair", err)
	}
	if root != a.last.LogRoot {
		return fmt.Errorf("the log's root at size %d is not the one that the tree recorded: one of them is damaged; run tally fsck", a.last.LogSize)
	}
	return nil
}

// restoreFrames appends the frames that wait in the tree because the log had not been synced. A crash may have left
// a torn frame in their place.
func (a *App) restoreFrames() error {
	if a.log.Head().Size >= a.last.LogSize {
		return nil
	}
	for l, err := range a.tree.Locals(localFrame) {
		if err != nil {
			return fmt.Errorf("read the frames kept in the tree: %w", err)
		}
		size := a.log.Head().Size
		if l.Key != frameKey(size) {
			continue
		}
		if a.log.Damage() != nil {
			if err := a.log.Rewind(size); err != nil {
				return fmt.Errorf("drop a torn frame at the end of the log: %w", err)
			}
		}
		if err := a.log.AppendFrame(l.Value); err != nil {
			return fmt.Errorf("append a frame that the log had lost: %w", err)
		}
	}
	return nil
}

// rewindLog drops entries that the tree does not know, because the block that follows it is executed now and gives
// them again.
func (a *App) rewindLog() error {
	if a.log.Damage() == nil && a.log.Head().Size == a.last.LogSize {
		return nil
	}
	a.logWriter.Lock()
	defer a.logWriter.Unlock()
	if err := a.log.Rewind(a.last.LogSize); err != nil {
		return fmt.Errorf("bring the log to the tree's size of %d: %w; run tally fsck --repair", a.last.LogSize, err)
	}
	return nil
}

// Close makes everything durable and closes log and tree. CometBFT must have been stopped.
func (a *App) Close() error {
	close(a.closing)
	a.publisher.Wait()
	if a.cur != nil {
		a.cur.state.Discard() // executed and never committed
	}
	return errors.Join(a.stopKeeper(), a.tree.Close(), a.log.Close())
}

// Core returns the network's oneM2M core.
func (a *App) Core() *cse.Core { return a.core }

// Genesis returns what the network began with.
func (a *App) Genesis() *Genesis { return a.genesis }

// Policy returns the network's policy for auditors.
func (a *App) Policy() *proof.Policy { return a.policy }

// View returns the committed resources. The caller closes it.
func (a *App) View() *tree.View { return a.tree.View() }

// Log returns the log, for reading.
func (a *App) Log() *translog.Log { return a.log }

// logReader gives the tree the contents of instances, those of the block under way included.
type logReader struct{ a *App }

func (r logReader) Instance(index uint64) (string, cse.InstanceContent, error) {
	a := r.a
	var rec *translog.Record
	// Only the goroutine that executes blocks asks for entries that are not committed, and it owns cur.
	if index >= a.log.Head().Size {
		if a.cur == nil || index < a.cur.base || index >= a.cur.nextIndex() {
			return "", cse.InstanceContent{}, tree.ErrNotInstance
		}
		rec = &a.cur.log.Records[index-a.cur.base]
		rec.Entry.Time = a.cur.time
	} else {
		committed, err := a.log.Record(index)
		if err != nil {
			return "", cse.InstanceContent{}, err
		}
		rec = &committed
	}
	e := &rec.Entry
	if e.Operation != proof.Operation(onem2m.Create) || !onem2m.ResourceType(e.Type).IsInstance() {
		return "", cse.InstanceContent{}, tree.ErrNotInstance
	}
	return e.Target, cse.InstanceContent{Content: rec.Payload, Time: e.Time, Originator: e.Originator}, nil
}

// openChain opens CometBFT's store. It is apart from the tree, so that neither's damage is the other's. A check opens
// it at rest: for reading only, without background work that would meet the damage first.
func openChain(dir string, logger *slog.Logger, atRest bool) (*pebble.DB, error) {
	cache := pebble.NewCache(8 << 20)
	defer cache.Unref()
	opts := &pebble.Options{
		Cache:              cache,
		MemTableSize:       4 << 20,
		FormatMajorVersion: pebble.FormatNewest,
		ReadOnly:           atRest,
		Logger:             pebbleLogger{logger},
		EventListener: &pebble.EventListener{
			// Pebble's default ends the process. Whoever reads the damaged block gets the error and says it.
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				logger.Error("the block store is damaged", "file", i.Path, "why", i.Details)
			},
		},
	}
	err := tree.Preflight(dir, opts)
	var db *pebble.DB
	if err == nil {
		db, err = pebble.Open(dir, opts)
	}
	if err != nil {
		return nil, fmt.Errorf("open the block store %s: %w", dir, err)
	}
	return db, nil
}

type pebbleLogger struct{ log *slog.Logger }

func (l pebbleLogger) Infof(string, ...any) {}
func (l pebbleLogger) Errorf(f string, args ...any) {
	l.log.Error("block store: " + fmt.Sprintf(f, args...))
}

// Fatalf panics where a writer waits for its commit: nobody may take a write for durable that is not, and consensus
// reports the panic and stops. In the background Pebble has an error to return too, which its reader will meet.
func (l pebbleLogger) Fatalf(f string, args ...any) {
	if strings.Contains(f, "commit") {
		panic("block store: " + fmt.Sprintf(f, args...))
	}
	l.Errorf(f, args...)
}

const localResults = "results"

// lendResults gives CometBFT back the results of the last block when a power failure took its copy but left the
// application's commit, which is not synced before it either. Without them it could not go on. If the last block has to be
// executed again, it notes where that led before, as far as CometBFT remembers: no other block states it yet.
func (a *App) lendResults(db *pebble.DB) error {
	height := int64(a.Head().Height)
	blocks := store.NewBlockStore(newStore(db, blockStoreID))
	if base := blocks.Base(); base > height+1 {
		return fmt.Errorf("the tree ends at block %d and the blocks before %d are gone: run tally fsck --repair, which makes the tree again from the log", height, base)
	}
	if blocks.Height() < height {
		return fmt.Errorf("the block store ends at block %d, the tree at %d: blocks are missing; run tally fsck", blocks.Height(), height)
	}
	states := sm.NewStore(newStore(db, "state"), sm.StoreOptions{DiscardABCIResponses: true})
	r, err := states.LoadLastFinalizeBlockResponse(blocks.Height())
	if err == nil && blocks.Height() > height && len(r.TxResults) > 0 && len(r.TxResults[0].Data) == 32 {
		a.again.height, a.again.appHash = uint64(blocks.Height()), [32]byte(r.TxResults[0].Data)
	}
	if err == nil || height == 0 || blocks.Height() != height {
		return nil
	}
	v, err := a.tree.Local(localResults)
	if err != nil {
		return err
	}
	var codes []uint32
	if err := json.Unmarshal(v, &codes); err != nil {
		return fmt.Errorf("read the results of block %d: %w", height, err)
	}
	return states.SaveFinalizeBlockResponse(height, a.response(codes, a.Head().AppHash))
}

// response is what a block with transactions of these result codes gives CometBFT, and that led to appHash.
//
// To CometBFT the application hash is the same all the time, because it makes an empty block for the sake of each one that
// changes it. What the block led to is the result of its first transaction, which the next block's header commits to, and
// it is stated by the next block that has a batch.
func (a *App) response(codes []uint32, appHash [32]byte) *abci.ResponseFinalizeBlock {
	r := &abci.ResponseFinalizeBlock{AppHash: a.doc[:]}
	for _, c := range codes {
		r.TxResults = append(r.TxResults, &abci.ExecTxResult{Code: c})
	}
	if len(codes) > 0 {
		r.TxResults[0].Data = appHash[:]
	}
	return r
}
