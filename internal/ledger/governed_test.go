package ledger

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

var secondKey = ed25519.NewKeyFromSeed([]byte("the key of the second member ...")[:32])

// governed makes random blocks of a network of two members in which acts take two operators, with roles, tokens and
// consultations besides all that a history has.
type governed struct {
	*history
	app *App
	seq map[string]uint64
}

func governedNetwork(t testing.TB) []byte {
	var g Genesis
	must(t, json.Unmarshal(testGenesis(t), &g))
	g.CSE.Approvals = 2
	g.Members = append(g.Members, Member{Name: "node2", Key: secondKey.Public().(ed25519.PublicKey)})
	g.Operators = append(g.Operators, GenesisOperator{Originator: "Csecond", TokenHash: testHash("Csecond")})
	doc, err := json.Marshal(g)
	must(t, err)
	return doc
}

// batchBy is a batch of any member.
func (g *governed) batchBy(node string, items []Item) []byte {
	key := testKey
	if node == "node2" {
		key = secondKey
	}
	g.seq[node]++
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(node), g.seq[node]))
	return EncodeBatch(&Batch{Node: node, Seq: g.seq[node], Seed: seed, Items: items}, testChain, key)
}

func (g *governed) by(who string, op proof.Operation, content any) Item {
	b, err := json.Marshal(content)
	if err != nil {
		panic(err)
	}
	it := g.own(op, OwnRequest{})
	it.From, it.Key, it.Content = who, testKeyID(who), b
	return it
}

func (g *governed) operator() string { return g.pick("Coperator", "Csecond", "Cacme", "Czeta") }

// begin is who there is from the start.
func (g *governed) begin() []Item {
	var items []Item
	for _, who := range historyOriginators {
		if who[0] != '/' {
			items = append(items, g.enrol(who, who))
		}
		items = append(items, g.enrolKey(who))
	}
	return items
}

// act is something that takes two operators, or not.
func (g *governed) act() Act {
	content := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return b
	}
	switch g.rng.IntN(9) {
	case 0, 1:
		who := g.pick("Cacme", "Czeta", "/mn1", "/mn2")
		r := OwnRequest{Originator: who, TokenHash: testHash(who), Role: "operator", Organisation: strings.ToLower(strings.TrimPrefix(who, "C"))}
		if who[0] == '/' {
			r.Role, r.Organisation = "device", ""
		} else if g.rng.IntN(4) == 0 {
			r.NotAfter = g.time + g.rng.Int64N(90_000_000)
		}
		return Act{Operation: proof.OpEnrol, Content: content(r)}
	case 2:
		_, hash := testCode(g.rng.IntN(8))
		return Act{Operation: proof.OpInvite, Content: content(OwnRequest{Originator: g.pick("Corg0", "Corg1"), Role: "gateway", CodeHash: hash, Until: g.time + g.rng.Int64N(60_000_000)})}
	case 3:
		id := testKeyID(g.pick("Cacme", "Czeta", "extra1", "extra2"))
		return Act{Operation: proof.OpRevoke, Content: content(OwnRequest{Key: hex.EncodeToString(id[:])})}
	case 4:
		return Act{Operation: proof.OpErase, Content: content(OwnRequest{Index: g.rng.Uint64N(g.size() + 2)})}
	case 5:
		return Act{Operation: proof.OpRelease, Content: content(QuarantineRequest{Originator: g.pick("Cae0", "Cae1", "Cae2", "Cae3"), Reason: "looked at"})}
	case 6:
		return Act{Operation: proof.Operation(onem2m.Update), To: adminPolicy, Content: fmt.Appendf(nil,
			`{"m2m:acp":{"pv":{"acr":[{"acor":["Coperator","Csecond"],"acop":63},{"acor":["Cae0","r0@acme"],"acop":%d}]}}}`, 1+g.rng.IntN(63))}
	case 7:
		return Act{Operation: proof.Operation(onem2m.Delete), To: "tally/" + g.pick("role0", "role1", "ae2", "acpAdmin")}
	}
	n := g.rng.IntN(2)
	return Act{Operation: proof.Operation(onem2m.Create), To: "tally", Type: onem2m.TypeRole, Content: fmt.Appendf(nil,
		`{"m2m:rol":{"rn":"role%d","rlid":"r%d@acme","tkhd":%q,"tkis":"Coperator","tknb":"20261101T000000","tkna":"20270101T000000"}}`, n, n, g.pick("Cae1", "Cae3"))}
}

// governedItem is about approvals, roles, tokens or consultations.
func (g *governed) governedItem() Item {
	who := g.operator()
	request := func(op onem2m.Operation, to string, ty onem2m.ResourceType, content string, args ...any) Item {
		return Item{
			Operation: proof.Operation(op), From: who, Key: testKeyID(who), To: to, Type: ty, Content: fmt.Appendf(nil, content, args...),
			ResultContent: onem2m.ResultContentDefault, Release: "4",
		}
	}
	switch g.rng.IntN(12) {
	case 0, 1, 2:
		return g.by(who, proof.OpPropose, g.act())
	case 3, 4, 5, 6:
		all, err := g.app.Proposals()
		if err != nil {
			panic(err)
		}
		id := g.size() + g.rng.Uint64N(3) // one of this block, perhaps
		if len(all) > 0 && g.rng.IntN(5) > 0 {
			id = all[g.rng.IntN(len(all))].ID
		}
		return g.by(who, proof.OpApprove, Approval{Proposal: id})
	case 7: // a token of an operator
		id := fmt.Sprintf("t%d@acme", g.rng.IntN(4))
		permission := `{"ris":["tally/ae0/c0","tally/ae1/c1"],"pv":{"acr":[{"acor":["all"],"acop":63}]}}`
		if g.rng.IntN(4) == 0 {
			permission = `{"rids":["r0@acme"]}`
		}
		jwt := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil,
			`{"tkvr":"1","jti":%q,"iss":%q,"azp":%q,"nbf":1795410000,"exp":%d,"tkps":{"pm":[%s]}}`, id, who, g.pick("Cae1", "Cae2"), g.time/1_000_000+g.rng.Int64N(60), permission)) + "."
		return request(onem2m.Create, "tally", onem2m.TypeToken, `{"m2m:tk":{"rn":%q,"tkid":%q,"tkob":%q}}`, strings.TrimSuffix(id, "@acme"), id, jwt)
	case 8:
		return request(onem2m.Delete, "tally/"+g.pick("t0", "t1", "role0", "dac0"), 0, "")
	case 9:
		who = "Coperator"
		return request(onem2m.Create, "tally", onem2m.TypeDAC, `{"m2m:dac":{"rn":"dac0","dae":%s,"dap":["http://127.0.0.1:9/d"]}}`, g.pick("true", "true", "false"))
	case 10:
		who = "Cae0"
		return request(onem2m.Update, "tally/ae0/c0", 0, `{"m2m:cnt":{"daci":%s}}`, g.pick(`["tally/dac0"]`, `["tally/dac0"]`, "null"))
	}
	return g.consulted()
}

// consulted is what the CSE orders after a consultation, as far as there is anybody to be asked.
func (g *governed) consulted() Item {
	view := g.app.View()
	defer view.Close()
	req := onem2m.Request{Operation: onem2m.Create, To: "tally/ae0/c0", From: g.pick("Cae1", "Cae3"), Type: onem2m.TypeContentInstance, ReleaseVersion: "4", RequestID: "-"}
	asked, err := g.app.core.Consultations(view, &req, cse.Env{Time: g.time})
	if err != nil {
		panic(err)
	}
	it := g.rarer()
	for _, x := range asked {
		answer := []byte(`{"m2m:seci":{"sit":2,"dres":{"dai":{"gp":[{"acor":["all"],"acop":63}],"pl":20000}}}}`)
		for _, made := range g.app.core.Granted(&x, answer, fmt.Sprint("g", g.rng.Uint32()), g.time) {
			it = Item{
				Operation: proof.Operation(made.Operation), From: made.From, To: made.To, Type: made.Type, Content: made.Content,
				ResultContent: made.ResultContent, Release: made.ReleaseVersion,
			}
			if g.rng.IntN(5) == 0 { // somebody who was asked about nothing
				it.From, it.Key = "Cae1", testKeyID("Cae1")
			}
		}
	}
	return it
}

// next makes the transactions of a block, by both members.
func (g *governed) next() [][]byte {
	g.time += g.rng.Int64N(4_000_000) + 1
	if g.size() == 0 {
		return g.block(g.time, g.batchBy("node1", g.begin()))
	}
	if g.rng.IntN(12) == 0 {
		return nil
	}
	txs := g.block(g.time)
	for range 1 + g.rng.IntN(3) {
		items := g.items(1 + g.rng.IntN(14))
		for i := range items {
			switch n := g.rng.IntN(10); {
			case n < 4:
				together := items[i].Together
				items[i] = g.governedItem()
				items[i].Together = together
			case n == 4 && items[i].From != "/tally":
				items[i].RoleIDs = []string{"r0@acme", "r1@acme"}[:1+g.rng.IntN(2)]
			case n == 5 && items[i].From != "/tally":
				items[i].TokenIDs = []string{"t0@acme", "t1@acme", "t2@acme"}
				items[i].To = strings.Replace(items[i].To, "ae2", "ae0", 1)
			}
		}
		txs = append(txs, g.batchBy(g.pick("node1", "node2"), items))
	}
	return txs
}

// TestGovernedHistory: two members that execute the same blocks, one of which starts again and again, agree about all of
// it; and the log gives back the state of both. Of what was undone nothing is left.
func TestGovernedHistory(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			doc := governedNetwork(t)
			fs, other := memFS(t), memFS(t)
			fatal := func(err error) {
				if !strings.Contains(err.Error(), "quorum") { // neither has the other's signature of a checkpoint
					t.Errorf("fatal: %v", err)
				}
			}
			one := func(o *Options) { o.Genesis, o.Fatal = doc, fatal }
			two := func(o *Options) { o.Genesis, o.Fatal, o.Name, o.Key = doc, fatal, "node2", secondKey }
			a, b := openApp(t, "data", fs, one), openApp(t, "data", other, two)
			statuses := make(map[string]int)
			g := &governed{history: newHistory(seed, func() Status { return a.Head() }), app: a, seq: make(map[string]uint64)}
			a.Committed = func(_ uint64, results []Result) {
				for _, r := range results {
					for i := range r.Responses {
						statuses[fmt.Sprint(int(r.Responses[i].Status))]++
					}
				}
			}
			rng := rand.New(rand.NewPCG(seed, 5))
			for height := int64(1); height <= 150; height++ {
				txs := g.next()
				hash, err := apply(a, height, txs)
				must(t, err)
				same, err := apply(b, height, txs)
				must(t, err)
				if hash != same {
					t.Fatalf("height %d: application hashes %x and %x:\n%s", height, hash, same, cmp.Diff(dump(t, a), dump(t, b)))
				}
				switch rng.IntN(10) {
				case 0:
					must(t, b.Close())
					b = openApp(t, "data", other, two)
				case 1: // what is to be erased goes at each node's own pace
					must(t, b.erasePending())
				case 2:
					clear(b.creds)
					b.quarantines, b.devices, b.verified = nil, deviceSignatures{}, verifiedBatches{}
				}
			}
			must(t, a.erasePending())
			must(t, b.erasePending())
			kinds := make(map[string]int)
			erasures := 0
			for blk, err := range a.log.Blocks(0) {
				must(t, err)
				for i, r := range blk.Records {
					kinds[fmt.Sprint(r.Entry.Operation, " ", onem2m.ResourceType(r.Entry.Type))]++
					if r.Erased {
						erasures++
					}
					rec, err := b.log.Record(blk.First + uint64(i))
					must(t, err)
					if diff := cmp.Diff(r.Payload, rec.Payload); diff != "" || r.Erased != rec.Erased {
						t.Errorf("entry %d (-a +b): %s", blk.First+uint64(i), diff)
					}
				}
			}
			erased := 0
			for k, n := range kinds {
				if strings.HasPrefix(k, proof.OpErase.String()) {
					erased += n
				}
			}
			if erasures != erased {
				t.Errorf("%d payloads are erased by %d erasures", erasures, erased)
			}
			t.Log(statuses, kinds)
			for _, app := range []*App{a, b} {
				sameDeliveries(t, app)
				if _, err := app.Check(context.Background(), nil, t.TempDir(), noProgress); err != nil {
					t.Error(err)
				}
				must(t, app.Close())
			}
		})
	}
}
