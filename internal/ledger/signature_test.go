package ledger

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// signedNet is a ledger with one device that signs.
type signedNet struct {
	t       testing.TB
	app     *App
	h       *history
	height  int64
	answers []onem2m.Response
}

const signer = "Cae0"

func newSignedNet(t testing.TB) *signedNet {
	n := &signedNet{t: t}
	n.app = openApp(t, "data", memFS(t), func(o *Options) {
		o.Committed = func(_ uint64, results []Result) {
			for _, r := range results {
				n.answers = append(n.answers, r.Responses...)
			}
		}
	})
	t.Cleanup(func() { n.app.Close() })
	n.h = newHistory(1, func() Status { return n.app.Head() })
	n.block(n.h.enrol(signer, signer), n.h.enrolKey(signer), n.h.enrol("Cae1", "Cae1"), n.h.enrolKey("Cae1"))
	n.block(n.token(n.create("tally", onem2m.TypeAE, `{"m2m:ae":{"rn":"ae0","api":"Nt","rr":false,"srv":["4"]}}`)))
	n.block(n.token(n.create("tally/ae0", onem2m.TypeContainer, `{"m2m:cnt":{"rn":"c0","mni":1000}}`)))
	for _, a := range n.answers {
		if a.Status != onem2m.StatusCreated {
			t.Fatalf("%d %s", a.Status, a.Content)
		}
	}
	return n
}

func (n *signedNet) create(to string, ty onem2m.ResourceType, content string) Item {
	return Item{
		Operation: proof.Operation(onem2m.Create), From: signer, To: to, Type: ty, Content: []byte(content),
		ResultContent: onem2m.ResultContentDefault, Release: "4",
	}
}

func (n *signedNet) token(it Item) Item {
	it.Key = testKeyID(it.From)
	return it
}

// reading is a signed reading.
func (n *signedNet) reading(counter uint64) Item {
	it := n.create("tally/ae0/c0", onem2m.TypeContentInstance, fmt.Sprintf(`{"m2m:cin":{"con":"%d"}}`, counter))
	signItem(&it, counter, n.h.time/1_000_000+60)
	return it
}

// tx makes a batch of items, as another node would.
func (n *signedNet) tx(items ...Item) []byte { return n.h.batch(items) }

// block commits a block with one batch and returns its answers.
func (n *signedNet) block(items ...Item) []onem2m.Response { return n.commit(n.tx(items...)) }

func (n *signedNet) commit(txs ...[]byte) []onem2m.Response {
	n.t.Helper()
	n.answers = nil
	n.h.time += 1_000_000
	n.height++
	_, err := apply(n.app, n.height, n.h.block(n.h.time, txs...))
	must(n.t, err)
	return n.answers
}

// TestSignedReading: a reading that the device signed is in the log with the signature, and proves itself offline.
func TestSignedReading(t *testing.T) {
	n := newSignedNet(t)
	if a := n.block(n.reading(5), n.reading(4)); a[0].Status != onem2m.StatusCreated || a[1].Status != onem2m.StatusCreated {
		t.Fatalf("%+v", a)
	}
	rec, err := n.app.log.Record(n.app.Head().LogSize - 2)
	must(t, err)
	key, err := proof.NewDeviceKey(deviceKey(signer).Public().(ed25519.PublicKey))
	must(t, err)
	if want := (proof.Auth{Method: proof.AuthSignature, Key: key.ID(), Counter: 5}); rec.Entry.Auth != want {
		t.Errorf("the entry's authentication is %+v, want %+v", rec.Entry.Auth, want)
	}
	signed, err := proof.DecodeSigned(rec.Signed)
	must(t, err)
	r, message, err := signed.Request(testChain, &rec.Entry, rec.Payload)
	must(t, err)
	if !key.Verify(message, signed.Signature[:]) || r.To != "tally/ae0/c0" || signed.Apart || !ed25519.Verify(deviceKey(signer).Public().(ed25519.PublicKey), message, signed.Signature[:]) {
		t.Errorf("%+v of %+v", signed, r)
	}
	// What the request brought along has the signature too, with what was signed.
	flex := n.create("tally/ae0", onem2m.TypeFlexContainer, `{"cod:tempe":{"rn":"f0","cnd":"org.onem2m.common.moduleclass.temperature","curT0":1.5,"fcied":true}}`)
	signItem(&flex, 6, n.h.time/1_000_000+60)
	before := n.app.Head().LogSize
	if a := n.block(flex); a[0].Status != onem2m.StatusCreated {
		t.Fatalf("%s", a[0].Content)
	}
	for i := before; i < n.app.Head().LogSize; i++ {
		rec, err := n.app.log.Record(i)
		must(t, err)
		signed, err := proof.DecodeSigned(rec.Signed)
		must(t, err)
		_, message, err := signed.Request(testChain, &rec.Entry, rec.Payload)
		must(t, err)
		if !key.Verify(message, signed.Signature[:]) || signed.Apart != (rec.Entry.Type == uint32(onem2m.TypeFlexContInst)) {
			t.Errorf("entry of type %d: %+v", rec.Entry.Type, signed)
		}
	}
	if n.app.Head().LogSize != before+2 {
		t.Errorf("%d entries, want the flexContainer and its first instance", n.app.Head().LogSize-before)
	}
}

// TestSignedFields changes every signed field, and every bit of the signature.
func TestSignedFields(t *testing.T) {
	n := newSignedNet(t)
	refused := func(what string, it Item) {
		t.Helper()
		for _, a := range n.block(it) {
			if a.Status.Success() {
				t.Errorf("%s changed: accepted", what)
			}
		}
	}
	for what, change := range map[string]func(*Item){
		"op":           func(it *Item) { it.Operation = proof.Operation(onem2m.Update) },
		"fr":           func(it *Item) { it.From = "Cae1" },
		"to":           func(it *Item) { it.To = "tally/ae0" },
		"ty":           func(it *Item) { it.Type = onem2m.TypeContainer },
		"rvi":          func(it *Item) { it.Release = "5" },
		"pc":           func(it *Item) { it.Content = bytes.Replace(it.Content, []byte("1"), []byte("2"), 1) },
		"counter":      func(it *Item) { it.Signature.Counter++ },
		"until":        func(it *Item) { it.Signature.Until++ },
		"key":          func(it *Item) { it.Key = n.h.idOf("Cae1"); it.Signature.Key = it.Key },
		"key to token": func(it *Item) { it.Key = testKeyID(signer); it.Signature.Key = it.Key },
		"filter":       func(it *Item) { it.Filter = &onem2m.FilterCriteria{CreatedBefore: "20990101T000000"} },
		"rt":           func(it *Item) { it.Parameters = &Parameters{ResponseType: 1, RequestID: "r"} },
		"oet": func(it *Item) {
			it.Parameters = &Parameters{ResponseType: 3, RequestID: "r", OperationExecution: "PT5S"}
		},
	} {
		it := n.reading(1)
		change(&it)
		refused(what, it)
	}
	for i := range 512 {
		it := n.reading(1)
		it.Signature.Bytes[i/8] ^= 1 << (i % 8)
		if i%8 == 0 {
			refused(fmt.Sprintf("bit %d of the signature", i), it)
		} else if n.app.VerifySignature(&it, n.h.credential(n.app, it.Key)) {
			t.Errorf("bit %d of the signature changed: valid", i)
		}
	}
	if a := n.block(n.reading(1)); a[0].Status != onem2m.StatusCreated {
		t.Errorf("unchanged: %s", a[0].Content)
	}
}

// TestBadAmongGood: one bad signature refuses its request and no other, whoever put it into a batch.
func TestBadAmongGood(t *testing.T) {
	n := newSignedNet(t)
	var items []Item
	for i := range 200 {
		items = append(items, n.reading(uint64(i+1)))
	}
	items[77].Signature.Bytes[9] ^= 1
	for i, a := range n.block(items...) {
		if want := onem2m.StatusCreated; i == 77 && a.Status != onem2m.StatusOriginatorHasNoPrivilege || i != 77 && a.Status != want {
			t.Errorf("request %d: %d %s", i, a.Status, a.Content)
		}
	}
	good := n.tx(n.reading(300))
	must(t, n.app.verify(good))
	if !n.app.devices.batches.has(good) {
		t.Error("a batch of valid signatures is verified again when it is executed")
	}
	n.commit(good)
}

// TestEnrolledInTheSameBlock: the key need not be known when the batch is first seen.
func TestEnrolledInTheSameBlock(t *testing.T) {
	n := newSignedNet(t)
	ae := Item{
		Operation: proof.Operation(onem2m.Create), From: "Cae2", To: "tally", Type: onem2m.TypeAE, Content: []byte(`{"m2m:ae":{"rn":"ae2","api":"Nt","rr":false,"srv":["4"]}}`),
		ResultContent: onem2m.ResultContentDefault, Release: "4",
	}
	signItem(&ae, 1, n.h.time/1_000_000+60)
	for i, a := range n.block(n.h.enrolKey("Cae2"), ae) {
		if a.Status != onem2m.StatusCreated {
			t.Errorf("request %d: %d %s", i, a.Status, a.Content)
		}
	}
	id := n.h.idOf("Cae2")
	revoke := n.h.own(proof.OpRevoke, OwnRequest{Key: fmt.Sprintf("%x", id)})
	late := n.create("tally/ae2", onem2m.TypeContainer, `{"m2m:cnt":{}}`)
	late.From = "Cae2"
	signItem(&late, 2, n.h.time/1_000_000+60)
	if a := n.block(revoke, late); a[1].Status != onem2m.StatusOriginatorHasNoPrivilege {
		t.Errorf("after the revocation: %d %s", a[1].Status, a[1].Content)
	}
}

// TestReplayedRequest: what took effect is not done again, within a block and after; what was refused may be tried again
// until it lapses.
func TestReplayedRequest(t *testing.T) {
	n := newSignedNet(t)
	first := n.reading(100)
	a := n.block(first, first)
	if a[0].Status != onem2m.StatusCreated || a[1].Status != onem2m.StatusConflict || !strings.Contains(string(a[1].Content), "newest that was used is 100") {
		t.Fatalf("%d, %d %s", a[0].Status, a[1].Status, a[1].Content)
	}
	if a := n.block(first); a[0].Status != onem2m.StatusConflict {
		t.Errorf("in a later block: %d %s", a[0].Status, a[0].Content)
	}
	if a := n.block(n.reading(36), n.reading(37)); a[0].Status != onem2m.StatusConflict || a[1].Status != onem2m.StatusCreated {
		t.Errorf("64 and 63 below the newest: %d %d", a[0].Status, a[1].Status)
	}
	missing := n.create("tally/ae0/later", onem2m.TypeContentInstance, `{"m2m:cin":{"con":"1"}}`)
	signItem(&missing, 101, n.h.time/1_000_000+60)
	if a := n.block(missing); a[0].Status != onem2m.StatusNotFound {
		t.Fatalf("%d %s", a[0].Status, a[0].Content)
	}
	container := n.create("tally/ae0", onem2m.TypeContainer, `{"m2m:cnt":{"rn":"later"}}`)
	signItem(&container, 102, n.h.time/1_000_000+60)
	n.block(container)
	if a := n.block(missing); a[0].Status != onem2m.StatusCreated {
		t.Errorf("refused once, in time: %d %s", a[0].Status, a[0].Content)
	}
	late := n.reading(103)
	n.h.time += 62_000_000
	if a := n.block(late); a[0].Status != onem2m.StatusSecurityAssociationRequired {
		t.Errorf("lapsed: %d %s", a[0].Status, a[0].Content)
	}
	forever := n.reading(104)
	signItem(&forever, 104, n.h.time/1_000_000+onem2m.MaxSignedFor+100)
	if a := n.block(forever); a[0].Status != onem2m.StatusBadRequest {
		t.Errorf("good for too long: %d %s", a[0].Status, a[0].Content)
	}
}

// TestTogetherSigned: what is undone leaves the counter free.
func TestTogetherSigned(t *testing.T) {
	n := newSignedNet(t)
	first, second := n.reading(1), n.reading(2)
	second.Signature.Bytes[0] ^= 1
	first.Together = 1
	if a := n.block(first, second); a[0].Status.Success() || a[1].Status.Success() {
		t.Fatalf("%+v", a)
	}
	if a := n.block(n.reading(1)); a[0].Status != onem2m.StatusCreated {
		t.Errorf("the counter of what was undone: %s", a[0].Content)
	}
}

// TestOwnBatchProven: what was verified on arrival is not verified again, and nothing else counts as verified.
func TestOwnBatchProven(t *testing.T) {
	n := newSignedNet(t)
	it := n.reading(1)
	if !n.app.VerifySignature(&it, n.h.credential(n.app, it.Key)) {
		t.Fatal("not valid")
	}
	_, tx := n.app.Sign([32]byte{1}, []Item{it})
	if !n.app.devices.batches.has(tx) {
		t.Error("it would be verified again")
	}
	other := it
	other.Content = []byte(`{"m2m:cin":{"con":"2"}}`)
	for _, items := range [][]Item{{other}, {it, other}, {n.reading(2)}} {
		if _, tx := n.app.Sign([32]byte{1}, items); n.app.devices.batches.has(tx) {
			t.Errorf("taken as verified: %s", items[len(items)-1].Content)
		}
	}
}

// TestWindow compares the window of counters with a set that remembers everything.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s sequence
		used, newest := make(map[uint64]bool), uint64(0)
		for range rapid.IntRange(1, 300).Draw(t, "n") {
			c := rapid.Uint64Range(1, newest+70).Draw(t, "counter")
			want := !used[c] && (c > newest || newest-c < 64)
			if got := s.use(c); got != want {
				t.Fatalf("counter %d, newest %d: %v, want %v", c, newest, got, want)
			}
			if want {
				used[c], newest = true, max(newest, c)
			}
		}
	})
}
