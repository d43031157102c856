package ledger

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/tree"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// historyOriginators are those that a history enrols first.
var historyOriginators = []string{"Cae0", "Cae1", "Cae2", "Cae3", "/mn1", "/mn2"}

// items makes requests, of which some belong together and some were delivered before.
func (h *history) items(n int) []Item {
	items := make([]Item, 0, n)
	for len(items) < n {
		if h.rng.IntN(40) == 0 {
			items = append(items, h.quarantine())
			continue
		}
		if h.rng.IntN(20) == 0 {
			items = append(items, h.identities())
			continue
		}
		items = append(items, h.item())
	}
	for i := 0; i < n; i++ {
		if h.rng.IntN(6) == 0 {
			items[i].Delivery = &onem2m.Delivery{
				Session: [8]byte{byte(h.rng.IntN(2))}, ID: uint16(h.rng.IntN(3)), Message: [8]byte{byte(h.rng.IntN(4))}, Window: 512,
				Again: h.rng.IntN(2) == 0,
			}
		}
		if left := n - i - 1; left > 0 && h.rng.IntN(15) == 0 {
			pack := 1 + h.rng.IntN(min(left, 3))
			items[i].Together = uint16(pack)
			i += pack
		}
	}
	return items
}

// rarer makes a non-blocking request of another one, or something about polling channels and other CSEs.
func (h *history) rarer() Item {
	who := h.pick("Cae0", "Cae1", "Cae2")
	it := Item{From: who, Key: testKeyID(who), ResultContent: onem2m.ResultContentDefault, Release: "4", To: "tally/ae" + who[3:]}
	switch h.rng.IntN(15) {
	case 12:
		it.From, it.Key, it.To = "Coperator", testKeyID("Coperator"), "tally/"+h.pick("n0", "n1")
		switch h.rng.IntN(4) {
		case 0:
			it.Operation = proof.Operation(onem2m.Delete)
		case 1:
			it.Operation, it.Content = proof.Operation(onem2m.Update), fmt.Appendf(nil, `{"m2m:nod":{%s}}`, h.pick(`"lbl":["n"]`, `"hael":["Cae0"]`, `"hael":null`))
		default:
			expires := ""
			if h.rng.IntN(3) == 0 {
				expires = fmt.Sprintf(`,"et":%q`, time.UnixMicro(h.time+h.rng.Int64N(20_000_000)).UTC().Format("20060102T150405"))
			}
			it.Operation, it.Type = proof.Operation(onem2m.Create), onem2m.TypeNode
			it.Content, it.To = fmt.Appendf(nil, `{"m2m:nod":{"rn":%q,"ni":"urn:1"%s}}`, it.To[len("tally/"):], expires), "tally"
		}
	case 13:
		it.From, it.Key, it.To = "Coperator", testKeyID("Coperator"), "tally/"+h.pick("n0", "n1")
		it.Operation, it.Type = proof.Operation(onem2m.Create), onem2m.TypeMgmtObj
		it.Content = []byte(h.pick(`{"m2m:rbo":{"rn":"m","mgd":1009}}`, `{"m2m:swr":{"rn":"m","mgd":1002,"vr":"1","swn":"s","url":"x.org"}}`, `{"m2m:bat":{"mgd":1006,"btl":5,"bts":1}}`))
		if h.rng.IntN(2) == 0 {
			it.Operation, it.Type, it.To = proof.Operation(onem2m.Update), 0, it.To+"/m"
			it.Content = []byte(h.pick(`{"m2m:rbo":{"rbo":true}}`, `{"m2m:swr":{"in":true}}`))
		}
	case 14:
		it.Operation, it.Content = proof.Operation(onem2m.Update), fmt.Appendf(nil, `{"m2m:ae":{"nl":%s}}`, h.pick(`"tally/n0"`, `"/tally/tally/n1"`, `"tally/n1"`, "null"))
	case 10:
		it.Operation, it.Type = proof.Operation(onem2m.Create), onem2m.TypeGroup
		member := it.To + "/" + h.pick("c0", "c1", "t0", "f0")
		if h.rng.IntN(3) == 0 {
			member = onem2m.ResourceRI(onem2m.TypeRequest, h.size()-min(h.size(), h.rng.Uint64N(9)))
		}
		it.Content = fmt.Appendf(nil, `{"m2m:grp":{"rn":%q,"mnm":9,"mid":[%q,%q]}}`, h.pick("g1", "g2"), it.To+"/c2", member)
	case 11:
		it.Operation, it.To = proof.Operation(onem2m.Delete), it.To+"/"+h.pick("g1", "g2", "g1/fopt", "g1/fopt", "g2/fopt")
		if h.rng.IntN(2) == 0 {
			it.Parameters = &Parameters{ResponseType: 1, RequestID: "later", OperationExecution: fmt.Sprint(h.rng.IntN(9_000))}
		}
	case 0:
		it.Operation, it.Type, it.Content = proof.Operation(onem2m.Create), onem2m.TypePollingChannel, []byte(`{"m2m:pch":{"rn":"p"}}`)
	case 1:
		it.Operation, it.To = proof.Operation(onem2m.Delete), it.To+"/p"
	case 2, 3, 4:
		return h.remote()
	default:
		if it = h.item(); it.Operation > proof.Operation(onem2m.Notify) || it.Parameters != nil {
			return it
		}
		if h.rng.IntN(3) == 0 {
			it.Operation, it.Content, it.Assigned, it.Type = proof.Operation(onem2m.Retrieve), nil, "", 0
		}
		it.Assigned = ""
		it.Parameters = &Parameters{ResponseType: 1 + uint8(h.rng.IntN(2)), RequestID: fmt.Sprint("q", h.rng.IntN(9))}
		if h.rng.IntN(2) == 0 {
			it.Parameters.ResultPersistence = fmt.Sprint(10_000 + h.rng.IntN(30_000))
		}
		switch h.rng.IntN(6) {
		case 0, 1, 2:
			it.Parameters.OperationExecution = fmt.Sprint(h.rng.IntN(9_000))
		case 3:
			it.Parameters.Outcome = &Outcome{Status: onem2m.StatusNotFound, Content: []byte(`{"m2m:dbg":"far"}`)}
		case 4: // of what comes to be meanwhile, the <request> itself among it
			it.Operation, it.Content = proof.Operation(onem2m.Delete), nil
			it.To = onem2m.ResourceRI(onem2m.TypeRequest, h.size()+h.rng.Uint64N(4))
			it.Parameters.OperationExecution = fmt.Sprint(h.rng.IntN(9_000))
		}
	}
	return it
}

// remote is about the <remoteCSE> of another CSE, by itself or by this one.
func (h *history) remote() Item {
	id := h.pick("/mn1", "/mn2")
	it := Item{From: id, Key: testKeyID(id), ResultContent: onem2m.ResultContentDefault, Release: "4", To: "tally" + id}
	switch h.rng.IntN(6) {
	case 0, 1:
		it.Operation, it.To, it.Type = proof.Operation(onem2m.Create), "tally", onem2m.TypeRemoteCSE
		it.Content = fmt.Appendf(nil, `{"m2m:csr":{"rn":%q,"csi":%q,"cb":%q,"rr":true,"srv":["4"],"dcse":["/far"]}}`, id[1:], id, id+"/x")
		if h.rng.IntN(3) == 0 {
			it.From, it.Key = "/tally", [8]byte{}
		}
	case 2:
		it.Operation, it.Content = proof.Operation(onem2m.Update), fmt.Appendf(nil, `{"m2m:csr":{"poa":["http://x%d/"]}}`, h.rng.IntN(9))
	case 3:
		it.Operation = proof.Operation(onem2m.Delete)
		if h.rng.IntN(2) == 0 {
			it.From, it.Key = "/tally", [8]byte{}
		}
	case 4:
		it.From = h.pick("/far/Ca", "/mn1/Ca", "/mn2/Cb")
		it.Operation, it.To, it.Type, it.Content = proof.Operation(onem2m.Create), "tally/ae0", onem2m.TypeContainer, []byte(`{"m2m:cnt":{"rn":"far"}}`)
	default:
		it.Operation, it.Type, it.Content = proof.Operation(onem2m.Create), onem2m.TypePollingChannel, []byte(`{"m2m:pch":{"rn":"p"}}`)
	}
	return it
}

var firstSeed = flag.Uint64("history.seed", 100, "the first seed of TestHistoryIsInLog")
var seeds = flag.Uint64("history.seeds", 4, "how many histories TestHistoryIsInLog makes")

// TestHistoryIsInLog: the log of a random history gives back the state that it led to, and so does a log of which
// payloads were erased. Nothing stops a node.
func TestHistoryIsInLog(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			kinds := make(map[string]int)
			a := openApp(t, "data", memFS(t))
			h := newHistory(seed, func() Status { return a.Head() })
			for height := int64(1); height <= 150; height++ {
				_, err := apply(a, height, h.next())
				must(t, err)
			}
			if _, err := a.Check(context.Background(), nil, filepath.Join(t.TempDir(), "scratch"), noProgress); err != nil {
				t.Fatal(err)
			}
			sameDeliveries(t, a)
			for blk, err := range a.log.Blocks(0) {
				must(t, err)
				for _, r := range blk.Records {
					kinds[fmt.Sprint(r.Entry.Operation, " ", onem2m.ResourceType(r.Entry.Type))]++
				}
			}
			t.Log(kinds)
			must(t, a.Close())
		})
	}
}

// sameDeliveries rebuilds the tree from the log and compares what is remembered of messages.
func sameDeliveries(t *testing.T, a *App) {
	t.Helper()
	r := newReplayer(a.genesis, a.Options.Genesis, a.log)
	must(t, r.open("tree", tree.Options{FS: vfs.NewMem()}))
	defer r.app.tree.Close()
	must(t, r.run(context.Background(), a.Head().LogSize, func(meta) error { return nil }))
	remembered := func(from *tree.Tree) (all []string) {
		for l, err := range from.Locals(localDelivery) {
			must(t, err)
			all = append(all, fmt.Sprintf("%q %x", l.Key, l.Value))
		}
		return all
	}
	want := remembered(a.tree)
	if diff := cmp.Diff(want, remembered(r.app.tree)); diff != "" || len(want) == 0 {
		t.Errorf("%d deliveries are remembered; (-want +got):\n%s", len(want), diff)
	}
}
