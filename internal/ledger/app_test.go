package ledger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// TestSameBlocksSameBytes: nodes that execute the same blocks have the same application hash, the same tree and the
// same log at each height, whatever their caches hold and however often they were restarted.
func TestSameBlocksSameBytes(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			fsA, fsB := memFS(t), memFS(t)
			a, b := openApp(t, "data", fsA), openApp(t, "data", fsB)
			h := newHistory(seed, func() Status { return a.Head() })
			rng := rand.New(rand.NewPCG(seed, 2))
			statuses := make(map[onem2m.StatusCode]int)
			a.Committed = func(_ uint64, results []Result) {
				for _, r := range results {
					for i := range r.Responses {
						statuses[r.Responses[i].Status]++
					}
				}
			}
			for height := int64(1); height <= 150; height++ {
				txs := h.next()
				hashA, err := apply(a, height, txs)
				must(t, err)
				hashB, err := apply(b, height, txs)
				must(t, err)
				if hashA != hashB {
					t.Fatalf("height %d: application hashes %x and %x", height, hashA, hashB)
				}
				if height%10 == 0 {
					if diff := cmp.Diff(dump(t, a), dump(t, b)); diff != "" {
						t.Fatalf("height %d: (-a +b):\n%s", height, diff)
					}
				}
				switch rng.IntN(12) {
				case 0: // a restart
					must(t, b.Close())
					b = openApp(t, "data", fsB)
					if info, _ := b.Info(context.Background(), nil); info.LastBlockHeight != height || b.Head().AppHash != hashA {
						t.Fatalf("height %d: after a restart the application says %d, %x", height, info.LastBlockHeight, b.Head().AppHash)
					}
				case 1: // cold caches
					clear(b.creds)
					b.quarantines = nil
					b.strings, b.verified = interner{}, verifiedBatches{}
				}
			}
			t.Log(statuses)
			if statuses[2001] < 200 || statuses[2002] == 0 || statuses[2004] == 0 {
				t.Error("the history says too little")
			}
			must(t, a.Close())
			must(t, b.Close())
		})
	}
}

// TestReplayedBatch: a batch that comes again, in the same block or later, has no effect.
func TestReplayedBatch(t *testing.T) {
	a := openApp(t, "data", memFS(t))
	defer a.Close()
	h := newHistory(1, func() Status { return a.Head() })
	_, err := apply(a, 1, h.next())
	must(t, err)
	tx := h.batch([]Item{h.enrol("Cnew", "new")})
	hash, err := apply(a, 2, h.block(h.time+1, tx, tx))
	must(t, err)
	head := a.Head()
	again, err := apply(a, 3, h.block(h.time+2, tx))
	must(t, err)
	if again != hash || a.Head().LogSize != head.LogSize {
		t.Errorf("a replayed batch had an effect: log size %d after %d", a.Head().LogSize, head.LogSize)
	}
}

// TestRefusedBatches: only what a member signed for this network gets into the mempool or is accepted in a proposal,
// and what is decided all the same has no effect.
func TestRefusedBatches(t *testing.T) {
	a := openApp(t, "data", memFS(t))
	defer a.Close()
	h := newHistory(1, func() Status { return a.Head() })
	_, err := apply(a, 1, h.next())
	must(t, err)
	good := h.batch([]Item{h.enrol("Cnew", "new")})
	flipped := bytes.Clone(good)
	flipped[40] ^= 1
	b := &Batch{Node: "stranger", Seq: 99, Items: []Item{h.enrol("Cnew", "new")}}
	known := &Batch{Node: "node1", Seq: 99, Items: b.Items}
	bad := map[string][]byte{
		"flipped bit":       flipped,
		"unknown member":    EncodeBatch(b, testChain, testKey),
		"another network":   EncodeBatch(known, "elsewhere", testKey),
		"another key":       EncodeBatch(known, testChain, ed25519.NewKeyFromSeed(make([]byte, 32))),
		"time":              encodeTime(5, [32]byte{}),
		"nothing":           nil,
		"cut":               good[:len(good)-1],
		"byte too many":     append(bytes.Clone(good), 0),
		"signature of none": good[:80],
	}
	clock := func() []byte { return encodeTime(time.Now().UnixMicro(), a.Head().AppHash) }
	propose := func(txs ...[]byte) bool {
		r, err := a.ProcessProposal(context.Background(), &abci.RequestProcessProposal{Height: 2, Txs: txs, Time: time.UnixMicro(startTime)})
		must(t, err)
		return r.IsAccepted()
	}
	head := a.Head()
	height := int64(2)
	for name, tx := range bad {
		r, err := a.CheckTx(context.Background(), &abci.RequestCheckTx{Tx: tx})
		must(t, err)
		if r.Code == 0 {
			t.Errorf("%s: admitted to the mempool", name)
		}
		if propose(clock(), tx) || propose(clock(), good, tx) {
			t.Errorf("%s: accepted in a proposal", name)
		}
		f, err := a.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{Height: height, Txs: [][]byte{clock(), tx}})
		must(t, err)
		if f.TxResults[1].Code == 0 {
			t.Errorf("%s: executed", name)
		}
		_, err = a.Commit(context.Background(), nil)
		must(t, err)
		height++
		p, err := a.PrepareProposal(context.Background(), &abci.RequestPrepareProposal{Txs: [][]byte{tx}, MaxTxBytes: MaxBlockBytes})
		must(t, err)
		if len(p.Txs) != 0 {
			t.Errorf("%s: proposed", name)
		}
	}
	if a.Head().AppHash != head.AppHash {
		t.Error("refused batches changed the state")
	}
	if !propose(clock(), good) {
		t.Error("the good batch is refused")
	}
}

// TestTime: a proposal needs a time first that is after the last block's, not before CometBFT's own and not far ahead.
func TestTime(t *testing.T) {
	a := openApp(t, "data", memFS(t))
	defer a.Close()
	h := newHistory(1, func() Status { return a.Head() })
	_, err := apply(a, 1, h.next())
	must(t, err)
	tx := h.batch([]Item{h.enrol("Cnew", "new")})
	last, now := a.Head().Time, time.Now().UnixMicro()
	block := time.UnixMicro(last + 1000)
	at := func(t int64) []byte { return encodeTime(t, a.Head().AppHash) }
	other := a.Head().AppHash
	other[31] ^= 1
	for name, c := range map[string]struct {
		txs [][]byte
		ok  bool
	}{
		"empty block":         {nil, true},
		"at the block's time": {[][]byte{at(last + 1000), tx}, true},
		"now":                 {[][]byte{at(now), tx}, true},
		"same as the last":    {[][]byte{at(last), tx}, false},
		"backwards":           {[][]byte{at(last - 1), tx}, false},
		"before the block's":  {[][]byte{at(last + 999), tx}, false},
		"far ahead":           {[][]byte{at(now + 60_000_000), tx}, false},
		"missing":             {[][]byte{tx}, false},
		"not first":           {[][]byte{tx, at(now)}, false},
		"twice":               {[][]byte{at(now), at(now), tx}, false},
		"another state":       {[][]byte{encodeTime(now, other), tx}, false},
		"no state":            {[][]byte{at(now)[:9], tx}, false},
		"of version 1":        {[][]byte{append([]byte{0x02}, at(now)[1:9]...), tx}, false},
		"alone":               {[][]byte{at(now)}, false},
	} {
		r, err := a.ProcessProposal(context.Background(), &abci.RequestProcessProposal{Height: 2, Txs: c.txs, Time: block})
		must(t, err)
		if r.IsAccepted() != c.ok {
			t.Errorf("%s: %v", name, r.Status)
		}
	}
}

// TestPreparedIsAccepted: what one node proposes, within the size that CometBFT allows, every node accepts.
func TestPreparedIsAccepted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var fill []byte
	a := openApp(t, "data", memFS(t), func(o *Options) { o.Fill = func(int, []uint64) []byte { return fill } })
	b := openApp(t, "data", memFS(t))
	defer a.Close()
	defer b.Close()
	h := newHistory(9, func() Status { return a.Head() })
	for height := int64(1); height <= 60; height++ {
		var mempool [][]byte
		if txs := h.next(); len(txs) > 0 {
			mempool = txs[1:]
		}
		if rng.IntN(3) == 0 {
			mempool = append(mempool, []byte("rubbish"), encodeTime(5, [32]byte{}))
		}
		fill = nil
		if rng.IntN(2) == 0 {
			fill = h.batch([]Item{h.item()})
		}
		limit := int64(rng.IntN(8000))
		p, err := a.PrepareProposal(context.Background(), &abci.RequestPrepareProposal{Txs: mempool, MaxTxBytes: limit, Height: height, Time: time.UnixMicro(startTime)})
		must(t, err)
		size := int64(0)
		for _, tx := range p.Txs {
			size += int64(len(tx)) + 6
		}
		if size > limit {
			t.Fatalf("proposed %d bytes, the limit is %d", size, limit)
		}
		r, err := b.ProcessProposal(context.Background(), &abci.RequestProcessProposal{Txs: p.Txs, Height: height, Time: time.UnixMicro(startTime)})
		must(t, err)
		if !r.IsAccepted() {
			t.Fatalf("height %d: a prepared proposal is refused", height)
		}
		hashA, err := apply(a, height, p.Txs)
		must(t, err)
		hashB, err := apply(b, height, p.Txs)
		must(t, err)
		if hashA != hashB {
			t.Fatalf("height %d: hashes differ", height)
		}
	}
}

// TestBlockIsBounded: requests that together make more of a block than the log can take are refused, one by one, and
// the ledger goes on. A request to a group multiplies its content by the members.
func TestBlockIsBounded(t *testing.T) {
	var results []Result
	a := openApp(t, "data", memFS(t), func(o *Options) { o.Committed = func(_ uint64, r []Result) { results = r } })
	b := openApp(t, "data", memFS(t))
	defer a.Close()
	defer b.Close()
	h := newHistory(1, func() Status { return a.Head() })
	both := func(height int64, txs [][]byte) {
		t.Helper()
		x, err := apply(a, height, txs)
		must(t, err)
		y, err := apply(b, height, txs)
		must(t, err)
		if x != y {
			t.Fatal("hashes differ")
		}
	}
	both(1, h.next())
	item := func(op onem2m.Operation, to string, ty onem2m.ResourceType, content string) Item {
		return Item{
			Operation: proof.Operation(op), From: "Coperator", Key: testKeyID("Coperator"), To: to, Type: ty, Content: []byte(content),
			ResultContent: onem2m.ResultContentNothing, Release: "4",
		}
	}
	const members = 100
	var items []Item
	var mid []string
	for i := range members {
		items = append(items, item(onem2m.Create, "tally", onem2m.TypeContainer, fmt.Sprintf(`{"m2m:cnt":{"rn":"m%d"}}`, i)))
		mid = append(mid, fmt.Sprintf("tally/m%d", i))
	}
	list, _ := json.Marshal(mid)
	items = append(items, item(onem2m.Create, "tally", onem2m.TypeGroup, fmt.Sprintf(`{"m2m:grp":{"rn":"g","mnm":%d,"mid":%s}}`, members, list)))
	both(2, h.block(h.time+1, h.batch(items)))
	for i, r := range results[0].Responses {
		if r.Status != onem2m.StatusCreated {
			t.Fatalf("item %d: %d %s", i, r.Status, r.Content)
		}
	}
	big := func(n int) Item {
		return item(onem2m.Create, "tally/g/fopt", onem2m.TypeContentInstance, fmt.Sprintf(`{"m2m:cin":{"con":"%0*d"}}`, n, 1))
	}
	size := a.Head().LogSize
	// 200 KiB for 100 members fit once, 512 KiB never.
	both(3, h.block(h.time+2, h.batch([]Item{big(1 << 19), big(200 << 10), big(200 << 10), big(10)})))
	var got []onem2m.StatusCode
	for _, r := range results[0].Responses {
		got = append(got, r.Status)
	}
	want := []onem2m.StatusCode{onem2m.StatusInternalServerError, onem2m.StatusOK, onem2m.StatusInternalServerError, onem2m.StatusOK}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if grown := a.Head().LogSize - size; grown != 2*members {
		t.Errorf("the log has grown by %d entries, want %d", grown, 2*members)
	}
	if diff := cmp.Diff(dump(t, a), dump(t, b)); diff != "" {
		t.Error(diff)
	}
}

// TestUndoneCredential: a credential that is enrolled together with what is refused is nobody's, also on a node that has
// seen it used in between.
func TestUndoneCredential(t *testing.T) {
	a, b := openApp(t, "data", memFS(t)), openApp(t, "data", memFS(t))
	defer a.Close()
	defer b.Close()
	h := newHistory(1, func() Status { return a.Head() })
	both := func(height int64, txs [][]byte) {
		t.Helper()
		x, err := apply(a, height, txs)
		must(t, err)
		y, err := apply(b, height, txs)
		must(t, err)
		if x != y {
			t.Fatalf("height %d: hashes differ", height)
		}
		clear(b.creds) // as after a restart
	}
	both(1, h.next())
	used := Item{
		Operation: proof.Operation(onem2m.Create), From: "Cnew", Key: testKeyID("new"), To: "tally", Type: onem2m.TypeAE,
		Content: []byte(`{"m2m:ae":{"api":"Nx","rr":false,"srv":["4"]}}`), ResultContent: onem2m.ResultContentNothing, Release: "4",
	}
	enrol, revoke, refused := h.enrol("Cnew", "new"), h.own(proof.OpRevoke, OwnRequest{Key: fmt.Sprintf("%x", testKeyID("Cae1"))}), used
	refused.To = "nowhere"
	enrol.Together = 2
	both(2, h.block(h.time+1, h.batch([]Item{enrol, used, refused})))
	both(3, h.block(h.time+2, h.batch([]Item{used})))
	revoke.Together = 2
	used.From, used.Key = "Cae1", testKeyID("Cae1")
	both(4, h.block(h.time+3, h.batch([]Item{revoke, used, refused})))
	both(5, h.block(h.time+4, h.batch([]Item{used})))
	view := a.View()
	defer view.Close()
	if res, err := view.Resource("Cnew"); err != nil || res != nil {
		t.Errorf("the AE of an undone credential: %+v, %v", res, err)
	}
	if res, err := view.Resource("Cae1"); err != nil || res == nil {
		t.Errorf("the AE of a credential that was not revoked after all: %+v, %v", res, err)
	}
}

// TestNumbersAfterCrash: batches of the time before a crash that are executed again leave their numbers behind, so
// that none of the new ones counts as replayed.
func TestNumbersAfterCrash(t *testing.T) {
	fs := memFS(t)
	a := openApp(t, "data", fs)
	defer a.Close()
	h := newHistory(1, func() Status { return a.Head() })
	_, err := apply(a, 1, h.next())
	must(t, err)
	for height := int64(2); height < 80; height++ { // as CometBFT does at start with blocks that the tree lost
		for range 3 {
			h.seq++
		}
		h.time++
		_, err := apply(a, height, h.block(h.time, h.batch([]Item{h.item()})))
		must(t, err)
	}
	a.resumeSeq()
	a.resumeSeq()
	var answered bool
	a.Committed = func(_ uint64, r []Result) { answered = len(r) == 1 }
	_, tx := a.Sign([32]byte{}, []Item{h.item()})
	_, err = apply(a, 80, h.block(h.time+1, tx))
	must(t, err)
	if !answered {
		t.Error("the first batch after the restart counts as replayed")
	}
}

// TestStrangersKey: a node does not start with a key that is not its member's.
func TestStrangersKey(t *testing.T) {
	o := testOptions(t)
	o.Key = ed25519.NewKeyFromSeed(make([]byte, 32))
	if a, err := Open("data", memFS(t), o); err == nil {
		a.Close()
		t.Error("opened with another member's key")
	}
	o = testOptions(t)
	o.Name = "node2"
	if a, err := Open("data", memFS(t), o); err == nil {
		a.Close()
		t.Error("opened as no member")
	}
}
