package ingress

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"go.uber.org/goleak"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testToken(name string) string {
	h := sha256.Sum256([]byte(name))
	return "tally_" + base64.RawURLEncoding.EncodeToString(h[:])
}

func testEvidence(name string) binding.Evidence { return binding.Evidence{Token: testToken(name)} }

func hash(name string) string {
	h, _ := identity.TokenHash(testToken(name))
	return hex.EncodeToString(h[:])
}

// network is a ledger with an ingress before it and, in place of consensus, a goroutine that makes blocks of what the
// mempool holds.
type network struct {
	t       *testing.T
	app     *ledger.App
	ingress *Ingress
	mempool chan []byte
	submit  atomic.Pointer[func([]byte) error] // in place of the mempool, nil for the usual
	outside outside
	refuse  atomic.Pointer[error]
	height  atomic.Int64
	quit    chan struct{}
	done    sync.WaitGroup
	step    sync.Mutex // held while a block is made; a test holds it to stop the world
	// decided says whether the n-th proposal is decided; nil for all.
	decided func(txs [][]byte) bool
}

type outside struct {
	verify  func(req *onem2m.Request) error
	request func(targets []string, req *onem2m.Request) (*onem2m.Response, error)
	tell    func(targets []string, req *onem2m.Request)
}

func (o *outside) Verify(_ context.Context, _ []string, req *onem2m.Request) error {
	if o.verify != nil {
		return o.verify(req)
	}
	return nil
}

func (o *outside) Request(_ context.Context, targets []string, req *onem2m.Request) (*onem2m.Response, error) {
	if o.request != nil {
		return o.request(targets, req)
	}
	return &onem2m.Response{Status: onem2m.StatusOK}, nil
}

func (o *outside) Tell(targets []string, req *onem2m.Request) {
	if o.tell != nil {
		o.tell(targets, req)
	}
}

func newNetwork(t *testing.T, timeout time.Duration) *network {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	genesis, err := json.Marshal(ledger.Genesis{
		Version: ledger.GenesisVersion, Origin: "ingress.example/test", Seed: hex.EncodeToString(make([]byte, 32)),
		CSE:       cse.Config{SPID: "//ingress.example", CSEID: "/tally", Name: "tally", BaseRI: "cb", Admin: "Coperator", Release: "4"},
		Members:   []ledger.Member{{Name: "node1", Key: key.Public().(ed25519.PublicKey)}},
		Operators: []ledger.GenesisOperator{{Originator: "Coperator", TokenHash: hash("Coperator")}},
	})
	must(t, err)
	n := &network{t: t, mempool: make(chan []byte, 1000), quit: make(chan struct{})}
	fs := vfs.NewMem()
	must(t, fs.MkdirAll("data", 0o755))
	n.app, err = ledger.Open("data", fs, ledger.Options{
		Name: "node1", Key: key, ChainID: "test", Genesis: genesis, Logger: slog.New(slog.DiscardHandler),
		Fill:      func(max int, own []uint64) []byte { return n.ingress.Fill(max, own) },
		Committed: func(h uint64, r []ledger.Result) { n.ingress.Committed(h, r) },
		Fatal:     func(err error) { t.Errorf("fatal: %v", err) },
	})
	must(t, err)
	n.ingress = New(Options{
		App: n.app, Outside: &n.outside, Timeout: timeout,
		Submit: func(tx []byte) error {
			if f := n.submit.Load(); f != nil {
				return (*f)(tx)
			}
			r, err := n.app.CheckTx(context.Background(), &abci.RequestCheckTx{Tx: tx})
			if err != nil || r.Code != 0 {
				return fmt.Errorf("CheckTx: %v, %v", r, err)
			}
			n.mempool <- tx
			return nil
		},
		Refuse: func() error {
			if err := n.refuse.Load(); err != nil {
				return *err
			}
			return nil
		},
	})
	n.block(nil)
	n.done.Go(func() {
		for {
			select {
			case tx := <-n.mempool:
				n.step.Lock()
				txs := [][]byte{tx}
				for len(n.mempool) > 0 {
					txs = append(txs, <-n.mempool)
				}
				n.block(txs)
				n.step.Unlock()
			case <-n.quit:
				return
			}
		}
	})
	t.Cleanup(func() {
		n.ingress.Close()
		close(n.quit)
		n.done.Wait()
		must(t, n.app.Close())
	})
	return n
}

// block proposes and decides one block. A proposal that is not decided leaves an empty block.
func (n *network) block(txs [][]byte) {
	n.t.Helper()
	h := n.height.Add(1)
	p, err := n.app.PrepareProposal(context.Background(), &abci.RequestPrepareProposal{Txs: txs, MaxTxBytes: ledger.MaxBlockBytes, Height: h, Time: time.Now()})
	if err == nil && n.decided != nil && !n.decided(p.Txs) {
		p.Txs = nil
	}
	for _, tx := range txs {
		if err == nil && !slices.ContainsFunc(p.Txs, func(in []byte) bool { return bytes.Equal(in, tx) }) {
			n.mempool <- tx // stays
		}
	}
	if err == nil {
		_, err = n.app.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{Height: h, Txs: p.Txs})
	}
	if err == nil {
		_, err = n.app.Commit(context.Background(), nil)
	}
	if err != nil {
		n.t.Errorf("block %d: %v", h, err)
	}
}

func (n *network) do(who string, req onem2m.Request) *onem2m.Response {
	if req.From == "" {
		req.From = who
	}
	req.RequestID, req.ReleaseVersion = "r", "4"
	if req.ResultContent == 0 {
		req.ResultContent = onem2m.ResultContentDefault
	}
	return n.ingress.Do(context.Background(), &req, testEvidence(who))
}

func (n *network) want(status onem2m.StatusCode, resp *onem2m.Response) {
	n.t.Helper()
	if resp.Status != status {
		n.t.Fatalf("answered %d %s, want %d", resp.Status, resp.Content, status)
	}
}

func (n *network) enrol(who string) {
	n.t.Helper()
	content, _ := json.Marshal(ledger.OwnRequest{Originator: who, TokenHash: hash(who)})
	n.want(onem2m.StatusCreated, n.ingress.Own(context.Background(), proof.OpEnrol, content, testEvidence("Coperator")))
}

// ready is a network with an AE and a container.
func ready(t *testing.T, timeout time.Duration) *network {
	n := newNetwork(t, timeout)
	n.enrol("Cdev")
	n.want(onem2m.StatusCreated, n.do("Cdev", onem2m.Request{Operation: onem2m.Create, To: "tally", Type: onem2m.TypeAE, Content: []byte(`{"m2m:ae":{"rn":"dev","api":"Nx","rr":false,"srv":["4"]}}`)}))
	n.want(onem2m.StatusCreated, n.do("Cdev", onem2m.Request{Operation: onem2m.Create, To: "tally/dev", Type: onem2m.TypeContainer, Content: []byte(`{"m2m:cnt":{"rn":"c"}}`)}))
	return n
}

func reading(i int) onem2m.Request {
	return onem2m.Request{Operation: onem2m.Create, To: "tally/dev/c", Type: onem2m.TypeContentInstance, Content: fmt.Appendf(nil, `{"m2m:cin":{"con":"%d"}}`, i)}
}

// TestCommittedBeforeAnswered: many at once, each is answered after its commit: what was acknowledged can be read.
func TestCommittedBeforeAnswered(t *testing.T) {
	n := ready(t, 0)
	size := n.app.Head().LogSize
	var wg sync.WaitGroup
	seen := make([]string, 400)
	for i := range seen {
		wg.Go(func() {
			resp := n.do("Cdev", reading(i))
			if resp.Status != onem2m.StatusCreated || resp.RequestID != "r" {
				t.Errorf("%d: %d %s", i, resp.Status, resp.Content)
				return
			}
			get := n.do("Cdev", onem2m.Request{Operation: onem2m.Retrieve, To: resp.Location})
			if want := fmt.Sprintf(`"con":"%d"`, i); get.Status != onem2m.StatusOK || !bytes.Contains(get.Content, []byte(want)) {
				t.Errorf("%d: acknowledged, but reading it gives %d %s", i, get.Status, get.Content)
			}
			seen[i] = resp.Location
		})
	}
	wg.Wait()
	if grown := n.app.Head().LogSize - size; grown != uint64(len(seen)) {
		t.Errorf("the log has grown by %d, want %d", grown, len(seen))
	}
	all := make(map[string]bool)
	for _, s := range seen {
		all[s] = true
	}
	if len(all) != len(seen) {
		t.Errorf("%d answers name %d resources", len(seen), len(all))
	}
}

// TestNotAnsweredBeforeCommit: while no block is made nobody is answered; who gives up or has a deadline is told that
// the outcome is open.
func TestNotAnsweredBeforeCommit(t *testing.T) {
	n := ready(t, 0)
	n.step.Lock()
	answered := make(chan *onem2m.Response, 10)
	go func() { answered <- n.do("Cdev", reading(1)) }()
	ctx, cancel := context.WithCancel(context.Background())
	gone := reading(2)
	gone.From, gone.RequestID, gone.ReleaseVersion, gone.ResultContent = "Cdev", "r", "4", onem2m.ResultContentDefault
	left := make(chan *onem2m.Response, 1)
	go func() { left <- n.ingress.Do(ctx, &gone, testEvidence("Cdev")) }()
	short := reading(3)
	short.RequestExpiration = "30"
	n.want(onem2m.StatusRequestTimeout, n.do("Cdev", short))
	cancel()
	n.want(onem2m.StatusRequestTimeout, <-left)
	select {
	case r := <-answered:
		t.Errorf("answered %d before the commit", r.Status)
	case <-time.After(30 * time.Millisecond):
	}
	n.step.Unlock()
	n.want(onem2m.StatusCreated, <-answered)
	n.want(onem2m.StatusCreated, n.do("Cdev", reading(4))) // nothing is stuck
}

// TestUndecidedProposal: a batch that went straight into a proposal which was not decided is ordered again.
func TestUndecidedProposal(t *testing.T) {
	n := ready(t, 0)
	n.step.Lock()
	var fail atomic.Int32
	n.decided = func(txs [][]byte) bool { return fail.Add(-1) < 0 }
	fail.Store(1)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if r := n.do("Cdev", reading(i)); r.Status != onem2m.StatusCreated {
				t.Errorf("%d: %d %s", i, r.Status, r.Content)
			}
		})
	}
	time.Sleep(20 * time.Millisecond) // the first in the mempool, the others wait for a proposal
	n.step.Unlock()
	wg.Wait()
	size := n.app.Head().LogSize
	n.want(onem2m.StatusCreated, n.do("Cdev", reading(99)))
	if got := n.app.Head().LogSize; got != size+1 {
		t.Errorf("log size %d after one reading, want %d: something was committed twice", got, size+1)
	}
}

// TestMempoolRefuses: what the mempool does not take is answered, and the next request is not held up, also when a
// batch is to be ordered again.
func TestMempoolRefuses(t *testing.T) {
	n := ready(t, 5*time.Second)
	no := func([]byte) error { return errors.New("mempool is full") }
	n.submit.Store(&no)
	n.want(onem2m.StatusInternalServerError, n.do("Cdev", reading(1)))
	n.submit.Store(nil)
	n.want(onem2m.StatusCreated, n.do("Cdev", reading(2)))

	n.step.Lock()
	var fail atomic.Int32
	fail.Store(1)
	n.decided = func([][]byte) bool {
		if fail.Add(-1) < 0 {
			return true
		}
		n.submit.Store(&no) // for the batch that the undecided proposal held
		return false
	}
	answers := make(chan *onem2m.Response, 2)
	go func() { answers <- n.do("Cdev", reading(3)) }()
	time.Sleep(10 * time.Millisecond)
	go func() { answers <- n.do("Cdev", reading(4)) }()
	time.Sleep(10 * time.Millisecond)
	n.step.Unlock()
	got := []onem2m.StatusCode{(<-answers).Status, (<-answers).Status}
	t.Log(got)
	n.submit.Store(nil)
	n.want(onem2m.StatusCreated, n.do("Cdev", reading(5)))
}

// TestBusy: a full queue answers at once.
func TestBusy(t *testing.T) {
	n := ready(t, 5*time.Second)
	n.step.Lock()
	var wg sync.WaitGroup
	var busy, fine atomic.Int32
	big := fmt.Appendf(nil, `{"m2m:cin":{"con":"%0*d"}}`, 1000000, 1)
	for range 90 { // 64 MB may wait
		wg.Go(func() {
			r := reading(0)
			r.Content = big
			start := time.Now()
			switch resp := n.do("Cdev", r); resp.Status {
			case onem2m.StatusInternalServerError:
				busy.Add(1)
				if time.Since(start) > 4*time.Second {
					t.Error("busy, but not at once")
				}
			default:
				fine.Add(1)
			}
		})
	}
	for deadline := time.Now().Add(4 * time.Second); busy.Load() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if busy.Load() == 0 {
		t.Error("nobody was told that the queue is full")
	}
	n.step.Unlock()
	wg.Wait()
	n.want(onem2m.StatusCreated, n.do("Cdev", reading(1)))
}

// TestClaims: the originator must be who the token was given to (TS-0003 clause 7.2).
func TestClaims(t *testing.T) {
	n := ready(t, 0)
	n.enrol("Cother")
	for claimed, status := range map[string]onem2m.StatusCode{
		"Cdev": onem2m.StatusOK, "/tally/Cdev": onem2m.StatusOK,
		"Cother": onem2m.StatusOriginatorHasNoPrivilege, "/other/Cdev": onem2m.StatusOriginatorHasNoPrivilege,
		"/tally/": onem2m.StatusOriginatorHasNoPrivilege, "cdev": onem2m.StatusOriginatorHasNoPrivilege, "Coperator": onem2m.StatusOriginatorHasNoPrivilege,
	} {
		r := n.do("Cdev", onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev", From: claimed})
		if r.Status != status {
			t.Errorf("%s with Cdev's token: %d, want %d", claimed, r.Status, status)
		}
		w := reading(1)
		w.From = claimed
		if r := n.do("Cdev", w); (r.Status == onem2m.StatusCreated) != (status == onem2m.StatusOK) {
			t.Errorf("%s writes with Cdev's token: %d", claimed, r.Status)
		}
	}
	for _, token := range []string{"", "x", testToken("nobody"), testToken("Cdev")[1:], testToken("Cdev") + "x"} {
		req := reading(1)
		req.From, req.RequestID, req.ReleaseVersion = "Cdev", "r", "4"
		if r := n.ingress.Do(context.Background(), &req, binding.Evidence{Token: token}); r.Status != onem2m.StatusSecurityAssociationRequired {
			t.Errorf("token %q: %d", token, r.Status)
		}
	}
}

// TestRevoked: a revoked token is of no use from the moment that the revocation is answered, also to somebody who uses
// it all the time.
func TestRevoked(t *testing.T) {
	n := ready(t, 0)
	for round := range 20 {
		who := fmt.Sprint("Ctemp", round)
		n.enrol(who)
		quit := make(chan struct{})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for {
					select {
					case <-quit:
						return
					default:
						n.ingress.Authenticate(testEvidence(who))
					}
				}
			})
		}
		h, _ := identity.TokenHash(testToken(who))
		content, _ := json.Marshal(ledger.OwnRequest{Key: hex.EncodeToString(h[:8])})
		n.want(onem2m.StatusDeleted, n.ingress.Own(context.Background(), proof.OpRevoke, content, testEvidence("Coperator")))
		if _, err := n.ingress.Authenticate(testEvidence(who)); !errors.Is(err, ErrNoCredential) {
			t.Fatalf("round %d: a revoked token is taken: %v", round, err)
		}
		close(quit)
		wg.Wait()
		n.want(onem2m.StatusSecurityAssociationRequired, n.do(who, onem2m.Request{Operation: onem2m.Retrieve, To: "tally"}))
	}
}

// TestOwn: only operators enrol, revoke and erase.
func TestOwn(t *testing.T) {
	n := ready(t, 0)
	for _, op := range []proof.Operation{proof.OpEnrol, proof.OpRevoke, proof.OpErase} {
		n.want(onem2m.StatusOriginatorHasNoPrivilege, n.ingress.Own(context.Background(), op, []byte(`{}`), testEvidence("Cdev")))
		n.want(onem2m.StatusSecurityAssociationRequired, n.ingress.Own(context.Background(), op, []byte(`{}`), binding.Evidence{}))
		if r := n.ingress.Own(context.Background(), op, []byte(`{`), testEvidence("Coperator")); r.Status != onem2m.StatusBadRequest {
			t.Errorf("operation %d without content: %d", op, r.Status)
		}
	}
}

// TestUnorderable: what no batch can hold is refused alone and stops nobody.
func TestUnorderable(t *testing.T) {
	n := ready(t, 5*time.Second)
	req := reading(1)
	req.Filter = &onem2m.FilterCriteria{Usage: onem2m.FilterUsageConditional, Labels: []string{string(bytes.Repeat([]byte("x"), 20000))}}
	if r := n.do("Cdev", req); r.Status == onem2m.StatusCreated || r.Status == onem2m.StatusRequestTimeout {
		t.Errorf("a filter of 20 kB: %d %s", r.Status, r.Content)
	}
	many := reading(1)
	many.Filter = &onem2m.FilterCriteria{Usage: onem2m.FilterUsageConditional, Labels: []string{string(bytes.Repeat([]byte("x"), 15000))}}
	n.step.Lock()
	var wg sync.WaitGroup
	for range 300 { // together more than a batch may have
		wg.Go(func() {
			if r := n.do("Cdev", many); r.Status == onem2m.StatusRequestTimeout {
				t.Errorf("%d %s", r.Status, r.Content)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	n.step.Unlock()
	wg.Wait()
	n.want(onem2m.StatusCreated, n.do("Cdev", reading(2)))
}

// TestOutside: a subscription whose target does not agree is refused before it is ordered (TS-0004 clause 7.4.8.2.1).
func TestOutside(t *testing.T) {
	n := ready(t, 0)
	sub := onem2m.Request{Operation: onem2m.Create, To: "tally/dev/c", Type: onem2m.TypeSubscription, Content: []byte(`{"m2m:sub":{"rn":"s","nu":["http://127.0.0.1:9/"]}}`)}
	size := n.app.Head().LogSize
	n.outside.verify = func(*onem2m.Request) error { return errors.New("no") }
	n.want(onem2m.StatusSubscriptionVerificationInitiationFailed, n.do("Cdev", sub))
	if n.app.Head().LogSize != size {
		t.Error("a refused subscription was ordered")
	}
	n.outside.verify = nil
	n.want(onem2m.StatusCreated, n.do("Cdev", sub))
	full := errors.New("the disk is full")
	n.refuse.Store(&full)
	n.want(onem2m.StatusInternalServerError, n.do("Cdev", reading(1)))
	n.want(onem2m.StatusOK, n.do("Cdev", onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/c/s"}))
}

// TestClose: whoever waits is answered when the node stops, and later requests are refused; at any moment.
func TestClose(t *testing.T) {
	for round := range 10 {
		n := ready(t, 20*time.Second)
		n.step.Lock()
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				start := time.Now()
				r := n.do("Cdev", reading(i))
				if r.Status == onem2m.StatusCreated || time.Since(start) > 10*time.Second {
					t.Errorf("answered %d after %s", r.Status, time.Since(start))
				}
			})
		}
		time.Sleep(time.Duration(round) * time.Millisecond / 2)
		n.ingress.Close()
		wg.Wait()
		n.step.Unlock()
		n.want(onem2m.StatusInternalServerError, n.do("Cdev", reading(1)))
		n.ingress.Close() // again does nothing
	}
}
