package proof

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func entryGen() *rapid.Generator[Entry] {
	return rapid.Custom(func(t *rapid.T) Entry {
		id := rapid.StringN(0, MaxID/4, MaxID)
		e := Entry{
			Height:     rapid.Uint64().Draw(t, "height"),
			Time:       rapid.Int64().Draw(t, "time"),
			Operation:  Operation(rapid.Uint8().Draw(t, "operation")),
			Originator: id.Draw(t, "originator"),
			Target:     id.Draw(t, "target"),
			Resource:   id.Draw(t, "resource"),
			Type:       rapid.Uint32().Draw(t, "type"),
			Status:     rapid.Uint32().Draw(t, "status"),
			Auth:       Auth{Method: AuthMethod(rapid.Uint8().Draw(t, "method"))},
		}
		copy(e.Commitment[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "commitment"))
		copy(e.Auth.Key[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "key"))
		if rapid.Bool().Draw(t, "signed") {
			e.Auth.Method = AuthSignature
		}
		if e.Auth.Method == AuthSignature {
			e.Auth.Counter = rapid.Uint64Range(1, 1<<63-1).Draw(t, "counter")
		}
		return e
	})
}

// TestEntryRoundTrip also compares with another implementation of core deterministic encoding (RFC 8949 section 4.2.1).
func TestEntryRoundTrip(t *testing.T) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		e := entryGen().Draw(t, "entry")
		b := e.AppendBinary(nil)
		fields := []any{1, e.Height, e.Time, uint8(e.Operation), e.Originator, e.Target, e.Resource,
			e.Type, e.Status, e.Commitment[:], uint8(e.Auth.Method), e.Auth.Key[:]}
		if e.Auth.Method == AuthSignature {
			fields[0] = 2
			fields = append(fields, e.Auth.Counter)
		}
		want, err := mode.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, want) {
			t.Fatalf("encoding\n got %x\nwant %x", b, want)
		}
		got, err := DecodeEntry(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestEntryLimits(t *testing.T) {
	long := strings.Repeat("x", MaxID)
	e := Entry{Height: math.MaxUint64, Time: math.MinInt64, Operation: 255, Originator: long, Target: long, Resource: long,
		Type: math.MaxUint32, Status: math.MaxUint32, Auth: Auth{Method: 255}}
	b := e.AppendBinary(nil)
	if len(b) != 1622 || len(b) > MaxEntry {
		t.Errorf("the largest entry has %d bytes, documented are 1622", len(b))
	}
	if got, err := DecodeEntry(b); err != nil || got != e {
		t.Errorf("largest entry: %v", err)
	}
	e.Target += "x"
	if _, err := DecodeEntry(e.AppendBinary(nil)); err == nil || !strings.Contains(err.Error(), "target: 513 bytes, the limit is 512") {
		t.Errorf("ID over the limit: %v", err)
	}
}

func TestEntryGolden(t *testing.T) {
	e := testEntry()
	golden(t, "entry.hex", []byte(hex.EncodeToString(e.AppendBinary(nil))+"\n"))
}

// badEntry is an encoding that DecodeEntry refuses.
type badEntry struct {
	Name  string `json:"name"`
	Hex   string `json:"hex"`
	Error string `json:"error"` // part of the message
}

// badEntries derives refused encodings from an accepted one.
func badEntries() []badEntry {
	e := Entry{Height: 5, Time: 7, Operation: 1, Originator: "Ca", Target: "b", Resource: "c", Type: 4, Status: 2001}
	good := hex.EncodeToString(e.AppendBinary(nil))
	swap := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	const start, ids = "8c01050701", "6243616162616304"
	return []badEntry{
		{"empty", "", "ends too early"},
		{"unknown version", "8c03" + good[4:], "version 3 is not known"},
		{"another version with another length", "8d1820" + good[4:], "version 32 is not known"},
		{"11 elements", "8b" + good[2:], "array of 11 elements"},
		{"map instead of array", "ac" + good[2:], "CBOR major type 5"},
		{"indefinite array (RFC 8949 4.2.1)", "9f" + good[2:] + "ff", "indefinite"},
		{"reserved length 28 (RFC 8949 3)", "9c" + good[2:], "indefinite or reserved"},
		{"array length in two bytes (RFC 8949 4.2.1)", "980c" + good[2:], "shortest form"},
		{"version in two bytes", "8c1801" + good[4:], "shortest form"},
		{"height 5 in two bytes", swap(start, "8c0118050701"), "height: integer or length is not in its shortest form"},
		{"height 23 in two bytes", swap(start, "8c0118170701"), "shortest form"},
		{"height 255 in three bytes", swap(start, "8c011900ff0701"), "shortest form"},
		{"height 65535 in five bytes", swap(start, "8c011a0000ffff0701"), "shortest form"},
		{"height 2^32-1 in nine bytes", swap(start, "8c011b00000000ffffffff0701"), "shortest form"},
		{"negative height", swap(start, "8c01250701"), "height: CBOR major type 1"},
		{"height as float", swap(start, "8c01f945000701"), "height: CBOR major type 7"},
		{"tagged height", swap(start, "8c01c0050701"), "height: CBOR major type 6"},
		{"time beyond 63 bits", swap(start, "8c01051b800000000000000001"), "time: does not fit"},
		{"negative time beyond 63 bits", swap(start, "8c01053b800000000000000001"), "time: does not fit"},
		{"time as text", swap(start, "8c01056001"), "time: CBOR major type 3"},
		{"operation 256", swap(start, "8c010507190100"), "operation: 256 is more than 255"},
		{"originator as bytes", swap(ids, "4243616162616304"), "originator: CBOR major type 2"},
		{"originator length in two bytes", swap(ids, "780243616162616304"), "originator: integer or length"},
		{"indefinite originator", swap(ids, "7f624361ff6162616304"), "originator: indefinite"},
		{"target not UTF-8 (RFC 8949 3.1)", swap(ids, "62436161ff616304"), "target: not valid UTF-8"},
		{"target with a surrogate half", swap(ids, "62436163eda080616304"), "target: not valid UTF-8"},
		{"resource longer than the rest", swap(ids, "62436161627901ff04"), "resource: ends too early"},
		{"resource of 2^63 bytes", swap(ids, "62436161627b8000000000000000"), "resource: 9223372036854775808 bytes"},
		{"type beyond 32 bits", swap(ids, "624361616261631b0000000100000000"), "type: 4294967296 is more than"},
		{"commitment of 31 bytes", swap("5820"+strings.Repeat("00", 32), "581f"+strings.Repeat("00", 31)), "commitment: 31 bytes"},
		{"authentication key of 7 bytes", good[:len(good)-18] + "47" + strings.Repeat("00", 7), "authentication key: 7 bytes"},
		{"last byte missing", good[:len(good)-2], "ends too early"},
		{"one byte too many", good + "00", "1 bytes after the end"},
		{"too long", strings.Repeat("00", MaxEntry+1), "2049 bytes, the limit is 2048"},
	}
}

func TestDecodeEntryRefuses(t *testing.T) {
	for _, c := range badEntries() {
		b, err := hex.DecodeString(c.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeEntry(b); err == nil {
			t.Errorf("%s: accepted", c.Name)
		} else if !strings.Contains(err.Error(), c.Error) {
			t.Errorf("%s: error %q, want %q in it", c.Name, err, c.Error)
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	e := testEntry()
	f.Add(e.AppendBinary(nil))
	for _, c := range badEntries() {
		b, _ := hex.DecodeString(c.Hex)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		if err == nil && !bytes.Equal(e.AppendBinary(nil), b) {
			t.Errorf("%x was accepted but is not canonical", b)
		}
	})
}

func TestEncodeAllocates(t *testing.T) {
	e := testEntry()
	buf := make([]byte, 0, MaxEntry)
	if n := testing.AllocsPerRun(100, func() { buf = e.AppendBinary(buf[:0]) }); n != 0 {
		t.Errorf("AppendBinary: %v allocations", n)
	}
}

func BenchmarkEntryAppendBinary(b *testing.B) {
	e := testEntry()
	buf := make([]byte, 0, MaxEntry)
	for b.Loop() {
		buf = e.AppendBinary(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

func BenchmarkDecodeEntry(b *testing.B) {
	e := testEntry()
	buf := e.AppendBinary(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeEntry(buf); err != nil {
			b.Fatal(err)
		}
	}
}
