// Package ledger is the application that CometBFT drives: it executes agreed batches through the oneM2M core, stages
// log and tree, and commits both. Everything in it that runs between FinalizeBlock and Commit is deterministic.
package ledger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/internal/tree"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// Options of a node's ledger.
type Options struct {
	Name    string             // this node's member name
	Key     ed25519.PrivateKey // signs batches
	ChainID string
	Genesis []byte // app_state of the network's genesis document
	Logger  *slog.Logger

	// RetainBlocks is how many of the newest blocks CometBFT keeps; older ones are pruned, the log stays.
	RetainBlocks int64
	// Fill is asked by PrepareProposal, on the node that proposes, for one more batch with what is waiting right
	// now; own are the numbers of this node's batches that the proposal has already. It returns nil when nothing waits. May
	// be nil.
	Fill func(maxBytes int, own []uint64) []byte
	// Committed is told the results of this node's own batches and the height, after they can be read. May be nil.
	Committed func(height uint64, results []Result)
	// Fatal is called once when the ledger cannot go on. The node has to stop. May be nil.
	Fatal func(error)
}

// App implements abci.Application. CometBFT calls its consensus methods from one goroutine at a time; that goroutine
// owns every field without a note.
type App struct {
	abci.BaseApplication
	Options

	// Fixed when opened; any goroutine.
	genesis *Genesis
	policy  *proof.Policy
	members map[string]ed25519.PublicKey
	doc     [32]byte // SHA-256 of the genesis document
	core    *cse.Core
	tree    *tree.Tree
	log     *translog.Log

	cur       *building
	last      meta // as of the last committed block
	next      meta // what Commit will record for cur
	staged    *translog.Staged
	strings   interner
	addresses map[netip.Addr]string // as text
	creds     map[identity.KeyID]*identity.Credential
	// quarantines are all that stand, nil when they are to be read from the state.
	quarantines map[string]*Quarantine
	seqs        map[string]sequence // batch numbers used, by member
	req         onem2m.Request      // reused
	unsynced    int64               // bytes of frames written since the last sync
	again       struct {            // where a block led that is executed again at the start; height 0 for none
		height  uint64
		appHash [32]byte
	}

	counting         sync.Mutex                             // held while what was sent is counted
	logWriter        sync.Mutex                             // the log has one writer at a time: commits and the keeper
	verified         verifiedBatches                        // any goroutine
	devices          deviceSignatures                       // any goroutine
	head             atomic.Pointer[Status]                 // committed state; any goroutine may read it
	grown            notifier                               // any goroutine: wakes readers at each commit
	shownQuarantines atomic.Pointer[map[string]*Quarantine] // as committed; any goroutine may read it
	// identityVersion changes whenever a credential or a quarantine does, so that caches of credentials know they are stale.
	identityVersion atomic.Uint64
	// structureVersion changes whenever anything but instances does.
	structureVersion atomic.Uint64

	published atomic.Pointer[proof.SignedCheckpoint] // newest; any goroutine
	publisher sync.WaitGroup
	closing   chan struct{}
	seq       atomic.Uint64 // number of this node's last batch; any goroutine
	keeper    keeper
}

// Status is the committed state of a node at one moment.
type Status struct {
	Height  uint64
	Time    int64 // Unix microseconds
	LogSize uint64
	LogRoot [32]byte
	AppHash [32]byte
}

// meta is what the tree records of the ledger in the same write as a block.
type meta struct {
	Status
	Chain [32]byte // hash chain over the state writes of all blocks
}

const localMeta = "meta"

const metaVersion = 1

func (m *meta) encode() []byte {
	b := make([]byte, 0, 1+8+8+8+32*3)
	b = append(b, metaVersion)
	b = binary.BigEndian.AppendUint64(b, m.Height)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Time))
	b = binary.BigEndian.AppendUint64(b, m.LogSize)
	b = append(b, m.LogRoot[:]...)
	b = append(b, m.AppHash[:]...)
	return append(b, m.Chain[:]...)
}

func decodeMeta(b []byte) (m meta, err error) {
	if len(b) != 1+24+96 || b[0] != metaVersion {
		return m, errors.New("the ledger's record in the tree is not of version 1")
	}
	m.Height = binary.BigEndian.Uint64(b[1:])
	m.Time = int64(binary.BigEndian.Uint64(b[9:]))
	m.LogSize = binary.BigEndian.Uint64(b[17:])
	copy(m.LogRoot[:], b[25:])
	copy(m.AppHash[:], b[57:])
	copy(m.Chain[:], b[89:])
	return m, nil
}

// appHash commits to the log and to every state write since genesis. The block that comes next states it, so that nodes
// that diverge are found.
func (m *meta) appHash() [32]byte {
	b := make([]byte, 0, 128)
	b = append(b, "tallystick/app/v1\n"...)
	b = binary.BigEndian.AppendUint64(b, m.LogSize)
	b = append(b, m.LogRoot[:]...)
	b = append(b, m.Chain[:]...)
	return sha256.Sum256(b)
}

// chainState continues the hash chain over state writes.
func chainState(prev [32]byte, height uint64, time int64, digest [32]byte) [32]byte {
	b := make([]byte, 0, 128)
	b = append(b, "tallystick/state/v1\n"...)
	b = append(b, prev[:]...)
	b = binary.BigEndian.AppendUint64(b, height)
	b = binary.BigEndian.AppendUint64(b, uint64(time))
	b = append(b, digest[:]...)
	return sha256.Sum256(b)
}

// Head returns the committed state.
func (a *App) Head() Status { return *a.head.Load() }

// IdentityVersion changes whenever a credential is enrolled or revoked, or an originator quarantined or released.
func (a *App) IdentityVersion() uint64 { return a.identityVersion.Load() }

// StructureVersion changes whenever an entry is committed that is no instance of a container, so that caches of what
// depends on resources and credentials know that they are stale.
func (a *App) StructureVersion() uint64 { return a.structureVersion.Load() }

// Info tells CometBFT where this application stands, so that it can replay what is missing.
func (a *App) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	h := a.Head()
	r := &abci.ResponseInfo{Data: "tallystick", AppVersion: 1, LastBlockHeight: int64(h.Height)}
	if h.Height > 0 {
		r.LastBlockAppHash = a.doc[:]
	}
	return r, nil
}

// InitChain takes the genesis document; its effects are part of the first block.
func (a *App) InitChain(_ context.Context, req *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	if !sameJSON(req.AppStateBytes, a.Options.Genesis) {
		return nil, errors.New("the genesis document is not this node's")
	}
	// The node's own copy counts: when the first blocks are executed again, CometBFT brings the document as its store
	// wrote it, without the white space that the file has.
	return &abci.ResponseInitChain{AppHash: a.doc[:]}, nil
}

// sameJSON says whether two documents differ in white space at most.
func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

// CheckTx admits batches that a member signed to the mempool.
func (a *App) CheckTx(_ context.Context, req *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	if err := a.verify(req.Tx); err != nil {
		return &abci.ResponseCheckTx{Code: 1, Log: err.Error()}, nil
	}
	return &abci.ResponseCheckTx{GasWanted: 1}, nil
}

// verify checks the signature of a batch against the member it names.
func (a *App) verify(tx []byte) error {
	if a.verified.has(tx) {
		return nil
	}
	b, err := DecodeBatch(tx, &interner{}) // the strings of other batches are the consensus goroutine's
	if err != nil {
		return err
	}
	key, ok := a.members[b.Node]
	if !ok {
		return fmt.Errorf("batch %d: %q is no member", b.Seq, b.Node)
	}
	if !VerifyBatch(tx, a.ChainID, key) {
		return fmt.Errorf("batch %d of %s: the signature is not valid", b.Seq, b.Node)
	}
	a.verified.add(tx, nil)
	if b.signed() && a.tree != nil { // a log that is repaired has no state to ask for keys
		return a.verifyDevices(tx, b)
	}
	return nil
}

// PrepareProposal orders what the mempool holds, adds what is waiting on this node right now, and puts the block's
// time and the application hash first.
func (a *App) PrepareProposal(_ context.Context, req *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	room := req.MaxTxBytes - 64
	txs := make([][]byte, 1, len(req.Txs)+2)
	for _, tx := range req.Txs {
		size := int64(len(tx)) + 16
		if size > room || a.verify(tx) != nil {
			continue
		}
		room -= size
		txs = append(txs, tx)
	}
	if a.Fill != nil && room > 1024 {
		if tx := a.Fill(int(room)-16, a.own(txs[1:])); tx != nil && int64(len(tx)) <= room-16 {
			txs = append(txs, tx)
		}
	}
	if len(txs) == 1 {
		return &abci.ResponsePrepareProposal{}, nil
	}
	head := a.Head()
	txs[0] = encodeTime(max(time.Now().UnixMicro(), head.Time+1, req.Time.UnixMicro()), head.AppHash)
	return &abci.ResponsePrepareProposal{Txs: txs}, nil
}

// own gives the numbers of this node's batches among transactions that were verified.
func (a *App) own(txs [][]byte) []uint64 {
	var seqs []uint64
	for _, tx := range txs {
		if node, seq := batchNumber(tx); node == a.Name {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

// clockTolerance is how far ahead of this node's clock a proposer's may be.
const clockTolerance = 10 * time.Second

// ProcessProposal refuses blocks that no honest proposer makes: batches without a member's signature, no time or a
// time that runs backwards, before CometBFT's own block time, or far ahead, another state than this node's. CometBFT's
// block time alone will not do: it is the time of the previous block's votes, which lie as far back as the network was
// idle.
func (a *App) ProcessProposal(_ context.Context, req *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	if err := a.checkProposal(req.Txs, req.Time); err != nil {
		a.Logger.Warn("refused a proposed block", "height", req.Height, "why", err)
		return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
	}
	return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
}

func (a *App) checkProposal(txs [][]byte, blockTime time.Time) error {
	if len(txs) == 0 {
		return nil
	}
	o, err := decodeTime(txs[0])
	if err != nil {
		return err
	}
	t := o.time
	if err := a.sameState(o); err != nil {
		return err
	}
	if t <= a.Head().Time || t < blockTime.UnixMicro() {
		return fmt.Errorf("the time %d is not after the last block's", t)
	}
	// What the proposer had to add to its clock to come after the last block is not held against it.
	if t > max(time.Now().Add(clockTolerance).UnixMicro(), a.Head().Time+1, blockTime.UnixMicro()) {
		return fmt.Errorf("the time %d is more than %s ahead of this node's clock", t, clockTolerance)
	}
	if len(txs) == 1 {
		return errors.New("a time without a batch")
	}
	for _, tx := range txs[1:] {
		if err := a.verify(tx); err != nil {
			return err
		}
	}
	return nil
}

// sameState says whether a block states the application hash that this node has before it.
func (a *App) sameState(o opening) error {
	if h := a.Head(); o.appHash != h.AppHash {
		return fmt.Errorf("the block states the application hash %x after block %d, this node has %x", o.appHash, h.Height, h.AppHash)
	}
	return nil
}

// FinalizeBlock executes a decided block. Nothing is written before Commit.
func (a *App) FinalizeBlock(_ context.Context, req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	if err := a.finalize(uint64(req.Height), req.Time, req.Txs); err != nil {
		err = fmt.Errorf("execute block %d: %w", req.Height, err)
		a.fatal(err)
		return nil, err
	}
	return a.response(a.cur.codes, a.next.AppHash), nil
}

func (a *App) finalize(height uint64, blockTime time.Time, txs [][]byte) error {
	head := a.Head()
	if err := a.rewindLog(); err != nil {
		return err
	}
	b := &building{height: height, time: head.Time, base: head.LogSize, work: maxBlockWork, codes: make([]uint32, len(txs))}
	switch {
	case len(txs) > 0:
		o, err := decodeTime(txs[0])
		if err != nil { // more than 1/3 of the power is faulty, or this is another version's block
			return err
		}
		if err := a.sameState(o); err != nil {
			return fmt.Errorf("%w: run tally fsck", err)
		}
		b.time = o.time
	case head.LogSize == 0:
		b.time = blockTime.UnixMicro() // of the first block: the genesis document's
	}
	b.state = a.tree.Begin(height, b.time)
	b.log.Height, b.log.Time = height, b.time
	a.cur = b
	if head.LogSize == 0 {
		if err := a.applyGenesis(b); err != nil {
			return err
		}
	}
	for i, tx := range txs {
		if i == 0 {
			continue
		}
		if err := a.verify(tx); err != nil {
			b.codes[i] = 1
			continue
		}
		var batch *Batch
		var read *readBatch
		if read, b.proven = a.devices.batches.find(tx); read != nil {
			batch, b.signed = read.batch, read.signed
		} else {
			var err error
			if batch, err = DecodeBatch(tx, &a.strings); err != nil { // not a reason to stop: it is nothing to any node
				b.codes[i] = 1
				continue
			}
		}
		if i == 1 {
			if err := a.passTime(b, batch.Seed); err != nil {
				return err
			}
		}
		a.verified.drop(tx) // it is not met again
		a.devices.batches.drop(tx)
		if err := a.applyBatch(b, batch); err != nil {
			return err
		}
		b.signed = nil
	}
	a.recordDelivered(b)
	if err := a.stage(b); err != nil {
		return err
	}
	if w := a.again; w.height == height && w.appHash != a.next.AppHash {
		return fmt.Errorf("it gives the application hash %x, and gave %x when it was executed before: run tally fsck", a.next.AppHash, w.appHash)
	}
	return nil
}

// passTime removes what has expired, and does what else time calls for. The salts come from the seed of the block's
// first batch.
func (a *App) passTime(b *building, seed [32]byte) error {
	res := a.core.Expire(b.state, cse.Env{Time: b.time, NextIndex: b.nextIndex()}, expirePerBlock)
	if res.Err != nil {
		return fmt.Errorf("expire resources: %w", res.Err)
	}
	due := a.core.Tick(b.state, cse.Env{
		Time: b.time, NextIndex: b.nextIndex() + uint64(len(res.Effects)), Work: &b.work,
		Authentic: func(originator string) (bool, error) { return a.authentic(b, originator) },
	}, duePerBlock)
	if due.Err != nil {
		return fmt.Errorf("act on what is due: %w", due.Err)
	}
	if len(res.Effects)+len(due.Effects) == 0 {
		return nil
	}
	b.seed(sha256.Sum256(append([]byte("expire\n"), seed[:]...)))
	for _, r := range []cse.Result{res, due} {
		b.notify(r.Events)
		b.effects(r.Effects, noAuth)
	}
	return nil
}

// stage computes the new log head and application hash.
func (a *App) stage(b *building) error {
	next := a.last
	next.Height = b.height
	a.staged = nil
	if len(b.log.Records) > 0 {
		staged, err := a.log.Stage(&b.log)
		if err != nil {
			return err
		}
		a.staged = staged
		head := a.staged.Head()
		next.Time, next.LogSize, next.LogRoot = b.time, head.Size, head.Root
		next.Chain = chainState(a.last.Chain, b.height, b.time, b.state.Digest())
		next.AppHash = next.appHash()
	}
	a.next = next
	return nil
}

// Commit writes the block: the log's frame, then the tree with the record of where both stand.
//
// Neither is synced. The block itself is durable in CometBFT's store; what a crash takes from here is executed again.
func (a *App) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	retain, err := a.commit()
	if err != nil {
		err = fmt.Errorf("commit block %d: %w", a.cur.height, err)
		a.fatal(err)
		return nil, err
	}
	return &abci.ResponseCommit{RetainHeight: retain}, nil
}

func (a *App) commit() (retain int64, err error) {
	b := a.cur
	if a.staged != nil {
		frame, err := a.append()
		if err != nil {
			return 0, err
		}
		// The frame goes through the tree's write-ahead log as well, until the segment is synced: the tree then
		// never knows of entries that the log lost, without a sync of two files a block.
		b.state.SetLocal(frameKey(b.base), frame)
		a.unsynced += int64(len(frame))
	}
	structure := false
	for i := range b.log.Records {
		b.noteTrail(b.base+uint64(i), &b.log.Records[i])
		if e := &b.log.Records[i].Entry; isNewest(e) {
			structure = true
			b.state.SetLocal(entryKey(e.Resource), binary.BigEndian.AppendUint64(nil, b.base+uint64(i)))
		}
	}
	if b.quarantines {
		if _, err := a.standing(b); err != nil { // what was undone last left them to be read again
			return 0, err
		}
	}
	b.noteErased()
	if err := b.post(); err != nil {
		return 0, err
	}
	codes, err := json.Marshal(b.codes)
	if err != nil {
		return 0, err
	}
	b.state.SetLocal(localResults, codes)
	b.state.SetLocal(localMeta, a.next.encode())
	if err := b.state.Commit(); err != nil {
		return 0, err
	}
	if err := a.dropCounts(b.uncounted); err != nil {
		return 0, err
	}
	a.last = a.next
	status := a.last.Status
	a.head.Store(&status)
	if b.quarantines {
		a.showQuarantines(a.quarantines)
	}
	if b.identities {
		a.identityVersion.Add(1) // not before: a reader would keep what it still reads as the new version
	}
	if structure {
		a.structureVersion.Add(1)
	}
	a.cur, a.staged = nil, nil
	a.grown.broadcast()
	if a.Committed != nil {
		a.Committed(b.height, b.results)
	}
	return a.keep(b), nil
}

func (a *App) append() (frame []byte, err error) {
	a.logWriter.Lock()
	defer a.logWriter.Unlock()
	if err := a.log.Append(a.staged); err != nil {
		return nil, err
	}
	return a.log.Frame(), nil
}

func (a *App) fatal(err error) {
	a.Logger.Error("the ledger cannot go on", "error", err)
	if a.Fatal != nil {
		a.Fatal(err)
	}
}

// Grown returns a channel that is closed when the next block is committed.
func (a *App) Grown() <-chan struct{} { return a.grown.wait() }

// notifier wakes any number of waiters.
type notifier struct {
	mu sync.Mutex
	ch chan struct{}
}

func (n *notifier) broadcast() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}

func (n *notifier) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}
