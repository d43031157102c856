package ledger

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// lie changes an item as a member might that errs, or lies, within the format of a batch.
func (g *governed) lie(it *Item) {
	odd := func() string {
		return g.pick("", "/", "/tally", "Coperator", "tally", "cb", "a\x00b", "/mn1/C\x00", "all", "*", strings.Repeat("x", 512), "C\u2028", "node:node2", "//", "tally/ae0/../..", "Cae0 r0@acme", "-")
	}
	for range 1 + g.rng.IntN(3) {
		switch g.rng.IntN(14) {
		case 0:
			it.Operation = proof.Operation(g.rng.IntN(60))
		case 1:
			it.From = odd()
		case 2:
			it.To = odd()
		case 3:
			it.Type = onem2m.ResourceType(g.rng.IntN(80))
			if g.rng.IntN(4) == 0 {
				it.Type = 1<<31 - 1
			}
		case 4:
			it.Key = identity.KeyID{}
		case 5:
			it.Key = testKeyID(g.pick("Coperator", "Csecond", "Cae0", "/mn1"))
		case 6:
			if n := len(it.Content); n > 0 {
				b := append([]byte(nil), it.Content...)
				b[g.rng.IntN(n)] = byte(g.rng.IntN(256))
				it.Content = b
			}
		case 7:
			it.Content = []byte(g.pick("", "{", "null", "[]", `{"originator":"\u0000","reason":"x"}`, `{"originator":"Ca/b","reason":"x"}`, `{"index":18446744073709551615}`, `{"proposal":3}`,
				`{"m2m:tk":null}`, `{"m2m:rol":{}}`, `{"m2m:sub":{"nu":[""]}}`, strings.Repeat("[", 5000), `{"m2m:cin":{"con":"`+strings.Repeat("y", 70_000)+`"}}`))
		case 8:
			it.Assigned = g.pick("sub1", "cb", "", "acp2", "Cae0", "sub0000000000000")
		case 9:
			it.Parameters = &Parameters{ResponseType: uint8(g.rng.IntN(7)), RequestID: odd(), OperationExecution: g.pick("", "5000", "x", "99991231T235959"),
				ResultPersistence: g.pick("", "-1", "1"), NotificationURIs: []string{odd()}, EventCategory: g.pick("", "2", "x")}
			if g.rng.IntN(2) == 0 {
				it.Parameters.Outcome = &Outcome{Status: onem2m.StatusCode(g.rng.IntN(7000)), Content: []byte(g.pick("", `{"a":1}`, `"x"`))}
			}
		case 10:
			it.Delivery = &onem2m.Delivery{Session: [8]byte{byte(g.rng.IntN(3))}, ID: uint16(g.rng.IntN(4)), Window: 1 + uint16(g.rng.IntN(4096)), Again: g.rng.IntN(2) == 0}
		case 11:
			it.RoleIDs, it.TokenIDs = []string{"r0@acme"}, []string{"t0@acme", "t0@acme"}
		case 12:
			it.Filter = &onem2m.FilterCriteria{Usage: onem2m.FilterUsage(g.rng.IntN(9)), UnmodifiedSince: g.pick("", "x", "20261123T000000")}
		case 13:
			it.ResultContent, it.DesiredIDType, it.Release = onem2m.ResultContent(g.rng.IntN(20)-1), uint8(g.rng.IntN(5)), g.pick("4", "", "2a", "9")
		}
	}
}

// TestLyingMember: whatever a member puts into a batch that can be decoded, no node stops for it, and the log gives the state
// back.
func TestLyingMember(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			doc := governedNetwork(t)
			a := openApp(t, "data", memFS(t), func(o *Options) {
				o.Genesis = doc
				o.Fatal = func(err error) {
					if !strings.Contains(err.Error(), "quorum") {
						t.Errorf("fatal: %v", err)
					}
				}
			})
			g := &governed{history: newHistory(seed, func() Status { return a.Head() }), app: a, seq: make(map[string]uint64)}
			statuses := make(map[string]int)
			a.Committed = func(_ uint64, results []Result) {
				for _, r := range results {
					for i := range r.Responses {
						statuses[fmt.Sprint(int(r.Responses[i].Status))]++
					}
				}
			}
			for height := int64(1); height <= 150; height++ {
				txs := g.next()
				if len(txs) > 0 && height > 1 {
					items := g.items(20)
					for i := range items {
						if g.rng.IntN(3) == 0 {
							items[i] = g.governedItem()
						}
						g.lie(&items[i])
					}
					var sent []Item
					for i := range items { // what no batch can hold spoils the others
						if _, err := DecodeBatch(EncodeBatch(&Batch{Node: "node1", Items: items[i : i+1]}, testChain, testKey), nil); err == nil {
							sent = append(sent, items[i])
						}
					}
					txs = append(txs, g.batchBy("node1", sent))
				}
				_, err := apply(a, height, txs)
				must(t, err)
				must(t, a.erasePending())
			}
			t.Log(statuses)
			sameDeliveries(t, a)
			if _, err := a.Check(context.Background(), nil, t.TempDir(), noProgress); err != nil {
				t.Error(err)
			}
			must(t, a.Close())
		})
	}
}
