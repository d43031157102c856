package ledger

import (
	"context"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
)

// TestClockSetBack: a validator whose clock was ahead and is set right goes on: it may propose the time after the last
// block's, and accepts that of others.
func TestClockSetBack(t *testing.T) {
	a := openApp(t, "data", memFS(t))
	defer a.Close()
	h := newHistory(1, func() Status { return a.Head() })
	h.time = time.Now().Add(time.Hour).UnixMicro() // the clock was an hour ahead, then was set right
	if _, err := apply(a, 1, h.next()); err != nil {
		t.Fatal(err)
	}
	var txs [][]byte
	for len(txs) < 2 {
		txs = h.next()
	}
	p, err := a.PrepareProposal(context.Background(), &abci.RequestPrepareProposal{Txs: txs[1:], MaxTxBytes: MaxBlockBytes, Height: 2, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.checkProposal(p.Txs, time.Now()); err != nil || len(p.Txs) < 2 {
		t.Errorf("its own proposal of %d transactions: %v", len(p.Txs), err)
	}
	p.Txs[0] = encodeTime(a.Head().Time+2, a.Head().AppHash)
	if err := a.checkProposal(p.Txs, time.Now()); err == nil {
		t.Error("a time further ahead than need be was accepted")
	}
}
