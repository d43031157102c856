package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/store"

	"github.com/cockroachdb/pebble/v2"
)

// TestDivergence: a node whose state is not the one that the others have agreed on proposes nothing that they accept,
// accepts nothing that they propose, and stops loudly when it learns what they have decided.
func TestDivergence(t *testing.T) {
	var stopped error
	a := openApp(t, "data", memFS(t))
	b := openApp(t, "data", memFS(t), func(o *Options) { o.Fatal = func(err error) { stopped = err } })
	defer a.Close()
	defer b.Close()
	h := newHistory(1, func() Status { return a.Head() })
	first := h.next()
	for _, app := range []*App{a, b} {
		_, err := apply(app, 1, first)
		must(t, err)
	}
	b.last.Chain[0] ^= 1 // a write of its own, say by a fault of the memory
	second := h.block(h.time+1, h.batch([]Item{h.enrol("Cnew", "new")}))
	for _, app := range []*App{a, b} {
		_, err := apply(app, 2, second)
		must(t, err)
	}
	if a.Head().LogRoot != b.Head().LogRoot || a.Head().AppHash == b.Head().AppHash {
		t.Fatal("the nodes should differ in the state and nowhere else")
	}
	batch := h.batch([]Item{h.enrol("Cnewer", "newer")})
	accepts := func(app *App, txs [][]byte) bool {
		r, err := app.ProcessProposal(context.Background(), &abci.RequestProcessProposal{Height: 3, Txs: txs, Time: time.UnixMicro(startTime)})
		must(t, err)
		return r.IsAccepted()
	}
	propose := func(app *App) [][]byte {
		p, err := app.PrepareProposal(context.Background(), &abci.RequestPrepareProposal{Txs: [][]byte{batch}, MaxTxBytes: MaxBlockBytes, Height: 3, Time: time.UnixMicro(startTime)})
		must(t, err)
		return p.Txs
	}
	if good := propose(a); !accepts(a, good) || accepts(b, good) {
		t.Error("a proposal should be accepted by its proposer, and not by the node that differs")
	}
	if bad := propose(b); !accepts(b, bad) || accepts(a, bad) {
		t.Error("a proposal of the node that differs should be accepted by nobody else")
	}
	size := b.Head().LogSize
	if _, err := apply(b, 3, propose(a)); err == nil || stopped == nil || !strings.Contains(stopped.Error(), "this node has") {
		t.Errorf("the node that differs executes what the others decided: %v, %v", err, stopped)
	}
	if b.Head().LogSize != size {
		t.Error("the refused block left something behind")
	}
	if _, err := apply(a, 3, propose(a)); err != nil {
		t.Error(err)
	}
}

// TestExecutedAgain: a node that loses its tree and then executes its last block with another result than before does
// not start, although no other block says what the result was.
func TestExecutedAgain(t *testing.T) {
	c := newChain(t, t.TempDir())
	must(t, c.start())
	c.history(3, 3)
	height := c.app.Head().Height
	c.stop()

	db, err := openChain(c.dir+"/"+ChainDir+"/blocks", discard, false)
	must(t, err)
	states := sm.NewStore(newStore(db, "state"), sm.StoreOptions{DiscardABCIResponses: true})
	r, err := states.LoadLastFinalizeBlockResponse(int64(height))
	must(t, err)
	again := func() error {
		o := testOptions(t)
		o.Logger = discard
		var got error
		var mu sync.Mutex
		o.Fatal = func(err error) {
			mu.Lock()
			defer mu.Unlock()
			got = errors.Join(got, err)
		}
		b, err := Open(t.TempDir(), memFS(t), o)
		must(t, err)
		defer b.Close()
		must(t, b.lendResults(db))
		blocks := chainBlocks(t, db)
		for i, txs := range blocks {
			if _, err = b.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{Height: int64(i + 1), Txs: txs, Time: c.doc.GenesisTime}); err != nil {
				break
			}
			_, err = b.Commit(context.Background(), nil)
			must(t, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if (err == nil) != (got == nil) {
			t.Errorf("%v, but Fatal was told %v", err, got)
		}
		return err
	}
	if err := again(); err != nil {
		t.Errorf("the same blocks, executed again: %v", err)
	}
	r.TxResults[0].Data[0] ^= 1
	must(t, states.SaveFinalizeBlockResponse(int64(height), r))
	if err := again(); err == nil || !strings.Contains(err.Error(), "when it was executed before") {
		t.Errorf("another result than before: %v", err)
	}
	must(t, db.Close())
}

// chainBlocks are the transactions of all blocks of a store.
func chainBlocks(t *testing.T, db *pebble.DB) (all [][][]byte) {
	t.Helper()
	h := chainHistory(db, store.NewBlockStore(newStore(db, blockStoreID)))
	for height := h.blocks.Base(); height <= h.blocks.Height(); height++ {
		all = append(all, h.blocks.LoadBlock(height).Txs.ToSliceOfBytes())
	}
	return all
}

// TestOneBlockPerWrite: on an idle network each write makes one block, and none follows it.
func TestOneBlockPerWrite(t *testing.T) {
	c := newChain(t, t.TempDir())
	must(t, c.start())
	defer c.stop()
	h := newHistory(1, func() Status { return c.app.Head() })
	c.submit([]Item{h.enrol("Cfirst", "first")})
	before := c.app.Head().Height
	for i := range 5 {
		c.submit([]Item{h.enrol(fmt.Sprint("Cnew", i), fmt.Sprint("new", i))})
		time.Sleep(20 * time.Millisecond) // for a block that should not come
	}
	if got := c.app.Head().Height - before; got != 5 {
		t.Errorf("5 writes made %d blocks", got)
	}
}
