package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

func compareIP(a, b netip.Addr) bool { return a == b }

func genItem() *rapid.Generator[Item] {
	return rapid.Custom(func(t *rapid.T) Item {
		it := Item{
			Operation:     proof.Operation(rapid.Byte().Draw(t, "op")),
			From:          rapid.StringN(0, 20, -1).Draw(t, "from"),
			To:            rapid.StringN(0, 40, -1).Draw(t, "to"),
			Type:          onem2m.ResourceType(rapid.Int32Min(0).Draw(t, "type")),
			Content:       rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "content"),
			ResultContent: onem2m.ResultContent(rapid.Int8().Draw(t, "rcn")),
			DesiredIDType: rapid.Byte().Draw(t, "drt"),
			Release:       rapid.SampledFrom([]string{"", "2a", "3", "4", "5", "12345678"}).Draw(t, "rvi"),
		}
		copy(it.Key[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "key"))
		it.Together = rapid.Uint16Max(MaxItems-1).Draw(t, "together")
		if rapid.Bool().Draw(t, "delivered") {
			it.Delivery = &onem2m.Delivery{
				ID: rapid.Uint16().Draw(t, "id"), Window: rapid.Uint16Range(1, onem2m.MaxDeliveries).Draw(t, "window"),
				Again: rapid.Bool().Draw(t, "again"),
			}
			copy(it.Delivery.Session[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "session"))
			copy(it.Delivery.Message[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "message"))
		}
		if rapid.Bool().Draw(t, "signed") {
			it.Signature = &onem2m.Signature{Key: it.Key, Counter: rapid.Uint64Range(1, onem2m.MaxCounter).Draw(t, "counter"), Until: rapid.Int64Min(0).Draw(t, "until")}
			copy(it.Signature.Bytes[:], rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "signature"))
		}
		if rapid.Bool().Draw(t, "non-blocking") {
			it.Parameters = &Parameters{
				ResponseType: rapid.Byte().Draw(t, "rt"), RequestID: rapid.StringN(0, 20, -1).Draw(t, "rqi"), EventCategory: rapid.SampledFrom([]string{"", "4"}).Draw(t, "ec"),
				NotificationURIs: rapid.SampledFrom([][]string{nil, {}, {"http://x/?a=b&c"}}).Draw(t, "nu"),
			}
			if rapid.Bool().Draw(t, "done") {
				it.Parameters.Outcome = &Outcome{Status: onem2m.StatusOK, Content: []byte(`{"a":1}`)}
			}
		}
		if rapid.Bool().Draw(t, "rights") {
			it.RoleIDs = rapid.SampledFrom([][]string{nil, {"nurse@hospital.example"}, {"a@b", "c@d.e"}}).Draw(t, "rids")
			it.TokenIDs = rapid.SampledFrom([][]string{nil, {"t1@das.example"}}).Draw(t, "tids")
		}
		if len(it.Content) == 0 {
			it.Content = nil
		}
		if n := rapid.SampledFrom([]int{0, 4, 16}).Draw(t, "ip"); n > 0 {
			it.SourceIP, _ = netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address"))
		}
		if rapid.Bool().Draw(t, "filtered") {
			limit := rapid.Int64().Draw(t, "lim")
			it.Filter = &onem2m.FilterCriteria{
				Labels: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "lbl"), Limit: &limit,
				Attributes: []onem2m.AttributeFilter{{Name: "cr", Value: rapid.String().Draw(t, "cr")}},
			}
		}
		return it
	})
}

// TestBatchRoundTrip: what was encoded is decoded, and the decoded batch has the same encoding.
func TestBatchRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &Batch{
			Node: rapid.StringMatching(`[a-z]{1,64}`).Draw(t, "node"), Seq: rapid.Uint64Max(1<<63-1).Draw(t, "seq"),
			Items: rapid.SliceOfN(genItem(), 0, 5).Draw(t, "items"),
		}
		copy(b.Seed[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		size := 0
		for i := range b.Items {
			if err := b.Items[i].Check(); err != nil && b.Items[i].Signature == nil { // not all that can be encoded can be signed
				t.Fatal(err)
			}
			size += b.Items[i].Size()
		}
		tx := EncodeBatch(b, testChain, testKey)
		if len(tx) > size+256 {
			t.Fatalf("%d bytes, Size promises at most %d and 256", len(tx), size)
		}
		got, err := DecodeBatch(tx, &interner{})
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Items) == 0 {
			b.Items = got.Items
		}
		if diff := cmp.Diff(b, got, cmp.Comparer(compareIP)); diff != "" {
			t.Fatal(diff)
		}
		if !bytes.Equal(EncodeBatch(got, testChain, testKey), tx) {
			t.Fatal("the decoded batch has another encoding")
		}
	})
}

func goldenBatch() *Batch {
	b := &Batch{Node: "node1", Seq: 300, Items: []Item{
		{
			Operation: proof.Operation(onem2m.Create), From: "Cdevice", To: "tally/ae/cnt", Type: onem2m.TypeContentInstance,
			Content: []byte(`{"m2m:cin":{"con":"21.5"}}`), Key: identity.KeyID{1, 2, 3, 4, 5, 6, 7, 8},
			ResultContent: onem2m.ResultContentDefault, Release: "4",
		},
		{
			Operation: proof.Operation(onem2m.Update), From: "Cdevice", To: "tally/ae/cnt", Content: []byte(`{"m2m:cnt":{"lbl":["x"]}}`),
			Key: identity.KeyID{8}, ResultContent: onem2m.ResultContentNothing, DesiredIDType: 2, SourceIP: netip.MustParseAddr("2001:db8::1"),
			Filter: &onem2m.FilterCriteria{UnmodifiedSince: "20261123T070000"}, Release: "2a",
		},
		{Operation: proof.OpErase, From: "Coperator", Content: []byte(`{"index":7}`), ResultContent: onem2m.ResultContentDefault, Release: "4", SourceIP: netip.MustParseAddr("192.0.2.1")},
		{
			Operation: proof.Operation(onem2m.Create), From: "Cdevice", To: "tally/ae", Type: onem2m.TypeContainer,
			Content: []byte(`{"m2m:cnt":{"rn":"c"}}`), ResultContent: onem2m.ResultContentDefault, Release: "4", Together: 1,
			Delivery: &onem2m.Delivery{Session: [8]byte{9}, ID: 1023, Message: [8]byte{1, 2, 3}, Window: 512, Again: true},
		},
		{
			Operation: proof.Operation(onem2m.Create), From: "Cdevice", To: "tally/ae/c", Type: onem2m.TypeContentInstance,
			Content: []byte(`{"m2m:cin":{"con":"1"}}`), ResultContent: onem2m.ResultContentDefault, Release: "4",
		},
		{
			Operation: proof.Operation(onem2m.Retrieve), From: "Cdevice", To: "tally/ae/c", ResultContent: onem2m.ResultContentDefault, Release: "4",
			Parameters: &Parameters{ResponseType: 2, NotificationURIs: []string{"http://x/"}, RequestID: "r1", ResultPersistence: "PT5S", Outcome: &Outcome{Status: 2000, Content: []byte(`{}`)}},
			RoleIDs:    []string{"nurse@hospital.example"}, TokenIDs: []string{"t1@das.example"},
		},
	}}
	copy(b.Seed[:], bytes.Repeat([]byte{0xab}, 32))
	return b
}

// golden compares with a file of hex text; the format may not change without a new version.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	text := hex.Dump(got)
	if *update {
		must(t, os.MkdirAll("testdata", 0o777))
		must(t, os.WriteFile(name, []byte(text), 0o666))
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-file +now):\n%s", name, diff)
	}
}

// goldenSignedBatch has a request that a device signed.
func goldenSignedBatch() *Batch {
	it := Item{
		Operation: proof.Operation(onem2m.Create), From: "Cdevice", To: "tally/ae/cnt", Type: onem2m.TypeContentInstance,
		Content: []byte(`{"m2m:cin":{"con":"21.5"}}`), ResultContent: onem2m.ResultContentDefault, Release: "4",
	}
	signItem(&it, 300, 1_795_000_000)
	return &Batch{Node: "node1", Seq: 301, Items: []Item{it}}
}

func TestSignedBatchGolden(t *testing.T) {
	tx := EncodeBatch(goldenSignedBatch(), testChain, testKey)
	golden(t, "testdata/batch-signed.v1.hex", tx)
	got, err := DecodeBatch(tx, nil)
	must(t, err)
	if diff := cmp.Diff(goldenSignedBatch(), got, cmp.Comparer(compareIP)); diff != "" {
		t.Error(diff)
	}
	// A counter of 0 is none, and a longer form of one another transaction.
	n := len(tx) - ed25519.SignatureSize - len(onem2m.Signature{}.Bytes) - 5 - 2
	if tx[n] != 0xac || tx[n+1] != 0x02 {
		t.Fatalf("the counter is not where it was: %x", tx[n:n+2])
	}
	for _, counter := range [][]byte{{0x80, 0x00}, {0x00, 0x02}} {
		bad := bytes.Clone(tx)
		copy(bad[n:], counter)
		if _, err := DecodeBatch(bad, nil); err == nil {
			t.Errorf("the counter %x is taken", counter)
		}
	}
}

func TestBatchGolden(t *testing.T) {
	tx := EncodeBatch(goldenBatch(), testChain, testKey)
	golden(t, "testdata/batch.v1.hex", tx)
	got, err := DecodeBatch(tx, nil)
	must(t, err)
	if diff := cmp.Diff(goldenBatch(), got, cmp.Comparer(compareIP)); diff != "" {
		t.Error(diff)
	}
}

// TestBatchSignature: the signature binds the network and every byte.
func TestBatchSignature(t *testing.T) {
	tx := EncodeBatch(goldenBatch(), testChain, testKey)
	pub := testKey.Public().(ed25519.PublicKey)
	if !VerifyBatch(tx, testChain, pub) {
		t.Fatal("not valid")
	}
	if VerifyBatch(tx, testChain+"x", pub) || VerifyBatch(tx, testChain[1:], pub) {
		t.Error("valid for another network")
	}
	other := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	if VerifyBatch(tx, testChain, other) {
		t.Error("valid for another key")
	}
	for i := range tx {
		for bit := range 8 {
			bad := bytes.Clone(tx)
			bad[i] ^= 1 << bit
			if VerifyBatch(bad, testChain, pub) {
				t.Fatalf("valid with bit %d of byte %d flipped", bit, i)
			}
		}
	}
	for n := range tx {
		if VerifyBatch(tx[:n], testChain, pub) {
			t.Fatalf("valid when cut to %d bytes", n)
		}
	}
}

// TestBatchOneEncoding: no batch has two encodings, so that nobody can make two transactions of one.
func TestBatchOneEncoding(t *testing.T) {
	sig := make([]byte, ed25519.SignatureSize)
	head := func(count ...byte) []byte {
		b := append([]byte{kindBatch, 1, 'n', 5}, make([]byte, 32)...)
		return append(b, count...)
	}
	item := func(flags byte, tail ...byte) []byte {
		b := append(head(1), 1, flags, 1, 'C', 1, 't', 4)
		b = append(b, make([]byte, 8)...)
		b = append(b, 0)
		return append(b, tail...)
	}
	for name, c := range map[string]struct {
		body []byte
		ok   bool
	}{
		"no items":                 {head(0), true},
		"count not minimal":        {head(0x80, 0), false},
		"one item":                 {item(0), true},
		"byte too many":            {item(0, 0), false},
		"unknown flag":             {item(1 << 4), false},
		"unknown flag 7":           {item(1 << 7), false},
		"default result":           {item(flagResult, 0xff, 0), false},
		"result":                   {item(flagResult, 1, 0), true},
		"default release":          {item(flagRelease, 1, '4'), false},
		"release":                  {item(flagRelease, 1, '3'), true},
		"release too long":         {item(flagRelease, append([]byte{9}, "123456789"...)...), false},
		"address of 5 bytes":       {item(flagSource, 5, 1, 2, 3, 4, 5), false},
		"address of 0 bytes":       {item(flagSource, 0), false},
		"filter with white space":  {item(flagFilter, append([]byte{3}, "{ }"...)...), false},
		"filter is no JSON":        {item(flagFilter, append([]byte{3}, "{,}"...)...), false},
		"filter with unknown name": {item(flagFilter, append([]byte{7}, `{"a":1}`...)...), false},
		"cut filter":               {item(flagFilter, 200, 1), false},
		"more items than bytes":    {head(0xff, 0x7f), false},
		"too many items":           {append(head(0xff, 0xff, 3), make([]byte, 1<<18)...), false},
	} {
		if _, err := DecodeBatch(append(c.body, sig...), nil); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeBatch(append(head(0), sig[1:]...), nil); err == nil {
		t.Error("short signature taken")
	}
	if _, err := DecodeBatch(make([]byte, MaxBatchBytes+1), nil); err == nil {
		t.Error("too long a batch taken")
	}
	if _, err := DecodeBatch(nil, nil); err == nil {
		t.Error("nothing taken")
	}
}

// TestItemCheck: what Check lets pass can be decoded; what a decoder refuses does not pass.
func TestItemCheck(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		it Item
		ok bool
	}{
		"largest":         {Item{From: long(proof.MaxID), To: long(maxAddress), Content: make([]byte, proof.MaxPayload), Release: long(maxRelease)}, true},
		"originator":      {Item{From: long(proof.MaxID + 1)}, false},
		"address":         {Item{To: long(maxAddress + 1)}, false},
		"content":         {Item{Content: make([]byte, proof.MaxPayload+1)}, false},
		"release":         {Item{Release: long(maxRelease + 1)}, false},
		"filter":          {Item{Filter: &onem2m.FilterCriteria{LabelsQuery: long(maxFilter)}}, false},
		"filter, no text": {Item{Filter: &onem2m.FilterCriteria{LabelsQuery: "\xff"}}, false},
		"filter, escapes": {Item{Filter: &onem2m.FilterCriteria{LabelsQuery: "<&>\u2028\x00"}}, true},
	} {
		if err := c.it.Check(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		_, err := DecodeBatch(EncodeBatch(&Batch{Node: "n", Items: []Item{c.it}}, testChain, testKey), nil)
		if (err == nil) != c.ok {
			t.Errorf("%s: decode: %v", name, err)
		}
	}
}

func TestTimeTransaction(t *testing.T) {
	hash := [32]byte{1, 2, 31: 3}
	for _, v := range []int64{1, startTime, 253402300799999999} {
		if got, err := decodeTime(encodeTime(v, hash)); err != nil || got != (opening{v, hash}) {
			t.Errorf("%d: %v, %v", v, got, err)
		}
	}
	golden, err := hex.DecodeString("03" + "000660cd2b0d8000" + "0102" + strings.Repeat("00", 29) + "03")
	must(t, err)
	if got := encodeTime(0x660cd2b0d8000, hash); !bytes.Equal(got, golden) {
		t.Errorf("encoded as %x, want %x", got, golden)
	}
	good := encodeTime(5, hash)
	kind := append([]byte{kindBatch}, good[1:]...)
	bad := [][]byte{nil, {kindTime}, encodeTime(0, hash), encodeTime(-1, hash), encodeTime(253402300800000000, hash), append(bytes.Clone(good), 0), good[:len(good)-1], kind}
	for _, b := range bad {
		if _, err := decodeTime(b); err == nil {
			t.Errorf("%x taken", b)
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	tx := EncodeBatch(goldenBatch(), testChain, testKey)
	f.Add(tx)
	f.Add(tx[:len(tx)-1])
	f.Add(EncodeBatch(&Batch{Node: "n"}, testChain, testKey))
	f.Add(EncodeBatch(goldenSignedBatch(), testChain, testKey))
	f.Add([]byte{kindBatch})
	f.Fuzz(func(t *testing.T, tx []byte) {
		b, err := DecodeBatch(tx, nil)
		if err != nil {
			if b != nil || errors.Unwrap(err) == nil && !strings.HasPrefix(err.Error(), "decode batch: ") {
				t.Fatalf("%v, %v", b, err)
			}
			return
		}
		again := EncodeBatch(b, testChain, testKey)
		if n := len(tx) - ed25519.SignatureSize; !bytes.Equal(again[:len(again)-ed25519.SignatureSize], tx[:n]) {
			t.Fatalf("%x is decoded, its encoding is %x", tx[:n], again)
		}
	})
}
