package ledger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

var update = flag.Bool("update", false, "write the golden files")

const testChain = "ledger.example/test"

// startTime is 2026-11-23 07:00:00 UTC.
const startTime = int64(1_795_417_200_000_000)

var testKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))

func testToken(name string) string {
	h := sha256.Sum256([]byte(name))
	return "tally_" + base64.RawURLEncoding.EncodeToString(h[:])
}

func testHash(name string) string {
	h, ok := identity.TokenHash(testToken(name))
	if !ok {
		panic("not a token")
	}
	return hex.EncodeToString(h[:])
}

func testKeyID(name string) identity.KeyID {
	h, _ := identity.TokenHash(testToken(name))
	return identity.KeyID(h[:8])
}

func testGenesis(t testing.TB) []byte {
	t.Helper()
	doc, err := json.Marshal(Genesis{
		Version: GenesisVersion, Origin: testChain, Seed: hex.EncodeToString(bytes.Repeat([]byte{3}, 32)),
		CSE:       cse.Config{SPID: "//ledger.example", CSEID: "/tally", Name: "tally", BaseRI: "cb", Admin: "Coperator", Release: "4"},
		Members:   []Member{{Name: "node1", Key: testKey.Public().(ed25519.PublicKey)}},
		Operators: []GenesisOperator{{Originator: "Coperator", TokenHash: testHash("Coperator")}},
	})
	must(t, err)
	return doc
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memFS is a file system in memory whose synced state can be cloned.
func memFS(t testing.TB) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	must(t, fs.MkdirAll("data", 0o755))
	d, err := fs.OpenDir("/")
	must(t, err)
	must(t, d.Sync())
	must(t, d.Close())
	return fs
}

func testOptions(t testing.TB) Options {
	return Options{
		Name: "node1", Key: testKey, ChainID: testChain, Genesis: testGenesis(t), Logger: slog.New(slog.DiscardHandler),
		Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	}
}

func openApp(t testing.TB, dir string, fs vfs.FS, change ...func(*Options)) *App {
	t.Helper()
	o := testOptions(t)
	for _, c := range change {
		c(&o)
	}
	a, err := Open(dir, fs, o)
	must(t, err)
	return a
}

// executing opens an application that collects what it answers, and returns what executes items as one batch in a block of
// its own.
func executing(t testing.TB, fs vfs.FS) (a *App, h *history, do func(...Item) []onem2m.Response) {
	t.Helper()
	var got []onem2m.Response
	a = openApp(t, "data", fs, func(o *Options) {
		o.Committed = func(_ uint64, results []Result) {
			for _, r := range results {
				got = append(got, r.Responses...)
			}
		}
	})
	h = newHistory(1, a.Head)
	height := int64(0)
	return a, h, func(items ...Item) []onem2m.Response {
		t.Helper()
		got, height, h.time = nil, height+1, h.time+1_000_000
		_, err := apply(a, height, h.block(h.time, h.batch(items)))
		must(t, err)
		return got
	}
}

// history makes the same random blocks for the same seed.
type history struct {
	rng    *rand.Rand
	seq    uint64
	time   int64
	blocks [][][]byte // transactions, by height - 1
	head   func() Status
	tokens int
	// counters are the newest that each device has signed with.
	counters map[string]uint64
}

func newHistory(seed uint64, head func() Status) *history {
	return &history{rng: rand.New(rand.NewPCG(seed, 11)), time: startTime, head: head, counters: make(map[string]uint64)}
}

func (h *history) pick(list ...string) string { return list[h.rng.IntN(len(list))] }

// next makes the transactions of the next block: the first enrols devices.
func (h *history) next() [][]byte {
	h.time += h.rng.Int64N(4_000_000) + 1
	txs := h.block(h.time)
	switch {
	case len(h.blocks) == 0:
		var items []Item
		for _, who := range historyOriginators {
			items = append(items, h.enrol(who, who), h.enrolKey(who))
		}
		txs = append(txs, h.batch(items))
	case h.rng.IntN(12) == 0: // an empty block
		txs = nil
	default:
		for range 1 + h.rng.IntN(3) {
			txs = append(txs, h.batch(h.items(1+h.rng.IntN(14))))
		}
		if h.rng.IntN(8) == 0 { // a batch comes again
			txs = append(txs, txs[1])
		}
	}
	h.blocks = append(h.blocks, txs)
	return txs
}

func (h *history) size() uint64 { return h.head().LogSize }

// block begins a block at a time with what its proposer says of the state before it.
func (h *history) block(time int64, batches ...[]byte) [][]byte {
	return append([][]byte{encodeTime(time, h.head().AppHash)}, batches...)
}

func (h *history) batch(items []Item) []byte {
	h.seq++
	b := &Batch{Node: "node1", Seq: h.seq, Seed: sha256.Sum256(binary.BigEndian.AppendUint64(nil, h.seq)), Items: items}
	return EncodeBatch(b, testChain, testKey)
}

func (h *history) own(op proof.Operation, r OwnRequest) Item {
	content, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return Item{
		Operation: op, From: "Coperator", Content: content, Key: testKeyID("Coperator"),
		ResultContent: onem2m.ResultContentDefault, Release: "4",
	}
}

func (h *history) enrol(originator, token string) Item {
	return h.own(proof.OpEnrol, OwnRequest{Originator: originator, Role: "device", TokenHash: testHash(token)})
}

func (h *history) item() Item {
	switch h.rng.IntN(40) {
	case 0:
		h.tokens++
		return h.enrol(h.pick("Cae0", "Cae1", "Cx"), fmt.Sprint("extra", h.tokens))
	case 1:
		id := testKeyID(fmt.Sprint("extra", h.rng.IntN(h.tokens+1)))
		return h.own(proof.OpRevoke, OwnRequest{Key: hex.EncodeToString(id[:])})
	case 2, 3:
		return h.own(proof.OpErase, OwnRequest{Index: h.rng.Uint64N(h.size() + 3)})
	case 4:
		return auditItem(h.pick("node1", "node1", "node2"), h.rng.Uint64N(9))
	}
	if h.rng.IntN(5) == 0 {
		return h.rarer()
	}
	who := h.pick("Cae0", "Cae1", "Cae2", "Cae3", "Coperator")
	it := Item{
		From: who, Key: testKeyID(who), ResultContent: onem2m.ResultContentDefault, Release: h.pick("2a", "3", "4", "4", "5"),
		SourceIP: netip.MustParseAddr(h.pick("10.0.0.1", "10.0.0.2", "2001:db8::1")),
	}
	ae := "tally/" + h.pick("ae0", "ae1", "ae2")
	if h.rng.IntN(5) > 0 { // mostly at home
		who = h.pick("Cae0", "Cae1", "Cae2")
		ae = "tally/ae" + who[3:]
		it.From, it.Key = who, testKeyID(who)
	}
	cnt := ae + "/" + h.pick("c0", "c1", "c2")
	expires := ""
	if h.rng.IntN(4) == 0 {
		at := time.UnixMicro(h.time + h.rng.Int64N(20_000_000)).UTC().Format("20060102T150405")
		expires = fmt.Sprintf(`,"et":%q`, at)
	}
	create := func(to string, ty onem2m.ResourceType, content string, args ...any) {
		it.Operation, it.To, it.Type, it.Content = proof.Operation(onem2m.Create), to, ty, fmt.Appendf(nil, content, args...)
	}
	switch h.rng.IntN(22) {
	case 17:
		create(ae, onem2m.TypeTimeSeries, `{"m2m:ts":{"rn":"t0","mni":%d,"pei":2000,"mdt":3000,"mdd":true,"mdn":5%s}}`, 2+h.rng.IntN(9), expires)
	case 18, 19:
		dgt := time.UnixMicro(h.time - h.rng.Int64N(9)*1_000_000).UTC().Format("20060102T150405")
		create(ae+"/t0", onem2m.TypeTimeSeriesInst, `{"m2m:tsi":{"con":"%d","dgt":%q,"lbl":["secret"]}}`, h.rng.IntN(1000), dgt)
		if h.rng.IntN(8) == 0 {
			it.Operation, it.To, it.Content = proof.Operation(onem2m.Update), ae+"/t0", fmt.Appendf(nil, `{"m2m:ts":{"mdd":%s}}`, h.pick("true", "false"))
		}
	case 20:
		create(ae, onem2m.TypeFlexContainer, `{"cod:tempe":{"rn":"f0","cnd":"org.onem2m.common.moduleclass.temperature","curT0":%d.5,"fcied":true%s%s}}`,
			h.rng.IntN(30), h.pick("", `,"mni":2`), expires)
	case 21:
		it.Operation, it.To = proof.Operation(onem2m.Update), ae+"/f0"
		it.Content = fmt.Appendf(nil, `{"cod:tempe":{%s}}`, h.pick(`"curT0":7.25`, `"tarTe":3.0`, `"fcied":false`, `"fcied":true`, `"fcied":null`, `"lbl":["f"]`))
	case 0, 1:
		create("tally", onem2m.TypeAE, `{"m2m:ae":{"rn":%q,"api":"Ntest","rr":false,"srv":["%s"],"lbl":["a","b"]%s}}`, ae[len("tally/"):], h.pick("2a", "3", "4", "5"), expires)
	case 2, 3, 4:
		create(ae, onem2m.TypeContainer, `{"m2m:cnt":{"rn":%q,"mni":%d%s%s}}`, h.pick("c0", "c1", "c2"), 1+h.rng.IntN(6), h.pick("", `,"mia":5`, `,"mbs":40`), expires)
	case 5, 6, 7, 8, 9, 10:
		name := ""
		if h.rng.IntN(6) == 0 {
			name = fmt.Sprintf(`"rn":"i%d",`, h.rng.IntN(4))
		}
		create(cnt, onem2m.TypeContentInstance, `{"m2m:cin":{%s"con":"%d"%s}}`, name, h.rng.IntN(1000), expires)
	case 11:
		create(ae, onem2m.TypeACP, `{"m2m:acp":{"rn":%q,"pv":{"acr":[{"acor":["all"],"acop":63,"acco":[{"acip":{"ipv4":["10.0.0.1"]}}]},{"acor":["Coperator"],"acop":63}]},"pvs":{"acr":[{"acor":["all"],"acop":63}]}}}`,
			h.pick("p0", "p1"))
	case 12:
		create(cnt, onem2m.TypeSubscription, `{"m2m:sub":{"rn":%q,"nu":["http://127.0.0.1:9/n"],"enc":{"net":[1,2,3,4]},"nct":%d%s}}`, h.pick("s0", "s1"), 1+h.rng.IntN(3),
			h.pick("", `,"bn":{"num":3},"nse":true`, `,"exc":2,"ln":true`, `,"rl":{"mnn":1,"tww":"PT1M"},"su":"Cae0"`))
		if h.rng.IntN(2) == 0 {
			it.Assigned = cse.AssignedRI([10]byte(binary.BigEndian.AppendUint64([]byte{1, 2}, h.rng.Uint64())))
		}
	case 13:
		create("tally/"+h.pick("ae0", "ae1"), onem2m.TypeGroup, `{"m2m:grp":{"rn":"g0","mnm":10,"mt":3,"mid":["tally/ae0/c0","tally/ae0/c1","tally/ae1/c0"]}}`)
	case 14:
		switch h.rng.IntN(3) {
		case 0:
			create("tally/"+h.pick("ae0", "ae1")+"/g0/fopt", onem2m.TypeContentInstance, `{"m2m:cin":{"con":"fan%d"}}`, h.rng.IntN(100))
		case 1:
			it.Operation, it.To, it.Content = proof.Operation(onem2m.Update), "tally/"+h.pick("ae0", "ae1")+"/g0/fopt", fmt.Appendf(nil, `{"m2m:cnt":{"lbl":["f%d"]}}`, h.rng.IntN(9))
		default:
			it.Operation, it.To = proof.Operation(onem2m.Delete), "tally/"+h.pick("ae0", "ae1")+"/g0/fopt/"+h.pick("la", "ol", "i1")
		}
	case 15:
		it.Operation, it.To = proof.Operation(onem2m.Update), cnt
		it.Content = fmt.Appendf(nil, `{"m2m:cnt":{"mni":%d,"lbl":["x%d"]%s}}`, h.rng.IntN(5), h.rng.IntN(50), h.pick("", `,"acpi":["tally/ae0/p0"]`, `,"acpi":null`))
		if h.rng.IntN(4) == 0 {
			it.Filter = &onem2m.FilterCriteria{UnmodifiedSince: time.UnixMicro(h.time).UTC().Format("20060102T150405"), Usage: onem2m.FilterUsageConditional}
		}
	default:
		it.Operation, it.To = proof.Operation(onem2m.Delete), h.pick(cnt, cnt+"/la", cnt+"/ol", cnt+"/i1", cnt+"/s0", ae+"/p0", ae+"/g0", ae+"/t0/la", ae+"/t0/ol", ae+"/f0/la", ae+"/f0")
		if h.rng.IntN(8) == 0 {
			it.To = ae
		}
	}
	if h.rng.IntN(3) == 0 {
		h.sign(&it)
	}
	return it
}

// auditItem is what a node says that it refused.
func auditItem(node string, count uint64) Item {
	a := Audit{Node: node, Since: 1, Until: 2, Denied: []Denied{{Source: "10.0.0.9", Claimed: "Cx", Reason: "originator", Doing: "create", Binding: "http", On: "tally/ae0", Count: count}}}
	content, err := a.Encode()
	if err != nil {
		panic(err)
	}
	return Item{Operation: proof.OpAudit, From: "/tally", Content: content, ResultContent: onem2m.ResultContentDefault, Release: "4"}
}

// sign has the device sign an item, if it can be signed: mostly with a new counter, and in time.
func (h *history) sign(it *Item) {
	h.counters[it.From] += 1 + h.rng.Uint64N(3)
	counter, until := h.counters[it.From], h.time/1_000_000+h.rng.Int64N(50)
	switch h.rng.IntN(8) {
	case 0:
		counter -= h.rng.Uint64N(min(counter, 80))
	case 1:
		until -= 2
	}
	signItem(it, counter, until)
}

// deviceKey is the key that a device signs with.
func deviceKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func (h *history) enrolKey(originator string) Item {
	return h.own(proof.OpEnrol, OwnRequest{Originator: originator, PublicKey: hex.EncodeToString(deviceKey(originator).Public().(ed25519.PublicKey))})
}

// signItem signs an item as its originator does, unless it cannot be signed.
func signItem(it *Item, counter uint64, until int64) {
	req := onem2m.Request{
		Operation: onem2m.Operation(it.Operation), From: it.From, To: it.To, Type: it.Type, Content: it.Content, ReleaseVersion: it.Release, Filter: it.Filter,
	}
	if err := req.Sign(testChain, deviceKey(it.From), counter, until); err != nil {
		return
	}
	s, err := onem2m.ParseSignature(req.VendorInformation)
	if err != nil {
		panic(err)
	}
	it.Signature, it.Key = s, s.Key
}

// apply executes a block as CometBFT does.
func apply(a *App, height int64, txs [][]byte) ([32]byte, error) {
	if height == 1 {
		if _, err := a.InitChain(context.Background(), &abci.RequestInitChain{AppStateBytes: a.Options.Genesis}); err != nil {
			return [32]byte{}, err
		}
	}
	r, err := a.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{Height: height, Txs: txs, Time: time.UnixMicro(startTime)})
	if err != nil {
		return [32]byte{}, err
	}
	if _, err := a.Commit(context.Background(), nil); err != nil {
		return [32]byte{}, err
	}
	hash := a.Head().AppHash
	if len(txs) > 0 && !bytes.Equal(r.TxResults[0].Data, hash[:]) {
		return hash, errors.New("the first result is not the application hash")
	}
	return hash, nil
}

// dump is all that nodes agree on.
func dump(t testing.TB, a *App) string {
	t.Helper()
	var b bytes.Buffer
	must(t, a.tree.Dump(func(k, v []byte) bool {
		fmt.Fprintf(&b, "%q = %x\n", k, v)
		return true
	}))
	fmt.Fprintf(&b, "log %d %x\n", a.Head().LogSize, a.Head().LogRoot)
	return b.String()
}

func (h *history) idOf(originator string) identity.KeyID {
	return onem2m.KeyID(deviceKey(originator).Public().(ed25519.PublicKey))
}

func (h *history) credential(a *App, id identity.KeyID) *identity.Credential {
	view := a.View()
	defer view.Close()
	c, err := identity.Lookup(view, id)
	if err != nil {
		panic(err)
	}
	return c
}
