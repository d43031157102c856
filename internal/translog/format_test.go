package translog

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tallystick/tallystick/onem2m"
)

var update = flag.Bool("update", false, "write the golden files again")

// golden returns a file of format version 1, which must never change.
func golden(t *testing.T, name string, written []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, written, 0o644))
	}
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// goldenBlocks are blocks with everything in them: several seeds, a kept salt, an erased payload with a residue.
func goldenBlocks(t testing.TB) []*Block {
	t.Helper()
	var blocks []*Block
	first := uint64(1000)
	for i, n := range []int{9, 30, 1} {
		b := makeBlock(uint64(50+3*i), first, n)
		b.First = first
		must(t, b.check())
		for j := range b.Records {
			b.Records[j].complete(b)
		}
		first += uint64(n)
		blocks = append(blocks, b)
	}
	blocks[1].erase(12, []byte("kept"))
	return blocks
}

// TestGolden writes format version 1, and reads it.
func TestGolden(t *testing.T) {
	blocks := goldenBlocks(t)
	single, err := newEncoder(zstd.SpeedFastest)
	must(t, err)
	group, err := newEncoder(zstd.SpeedBetterCompression)
	must(t, err)
	sameFrame(t, "frame-v1", single, blocks[:1])
	sameFrame(t, "group-v1", group, blocks)

	m, files := smallLog(t)
	old := make(map[string][]byte)
	for name, b := range files {
		old[name] = golden(t, "log-v1-"+name, b)
	}
	for _, name := range []string{hashName(1), markName} {
		if !bytes.Equal(old[name], files[name]) {
			t.Errorf("%s differs from what is written now", name)
		}
	}
	l, err := Open(testDir, Options{FS: writeFiles(t, old)})
	must(t, err)
	m.compare(t, l)
	if len(l.Mended()) > 0 {
		t.Error(l.Mended())
	}
	must(t, l.Close())
}

// sameFrame says whether blocks are written as the golden file has them, and read from it as they are.
func sameFrame(t *testing.T, name string, enc *encoder, blocks []*Block) {
	t.Helper()
	z, err := newDecoder()
	must(t, err)
	written, err := enc.appendFrame(nil, blocks[0].First, blocks)
	must(t, err)
	b := golden(t, name, written)
	f, err := decodeFrame(z, b)
	must(t, err)
	for i := range blocks {
		sameBlock(t, f.materialise(i, true), blocks[i])
	}
	// What the compressor makes of it may change with its version; all else may not.
	if !bytes.Equal(storedFrame(b, unpacked(t, z, b)), storedFrame(written, unpacked(t, z, written))) {
		t.Errorf("%s differs from what is written now", name)
	}
}

// unpacked returns the parts of a frame as the encoder had them before compression.
func unpacked(t *testing.T, z *zstd.Decoder, b []byte) *encoder {
	t.Helper()
	h, err := verifyFrame(b)
	must(t, err)
	body := b[h.size+h.plain:]
	if h.body < h.raw {
		body, err = z.DecodeAll(body, nil)
		must(t, err)
	}
	return &encoder{plain: b[h.size : h.size+h.plain], raw: body}
}

// TestInstanceID holds the ID that the log leaves out to being the one that it puts back.
func TestInstanceID(t *testing.T) {
	for _, index := range []uint64{0, 1, 35, 36, 1_000_000, math.MaxUint64} {
		if _, got, ok := onem2m.ParseInstanceRI(onem2m.InstanceRI(index)); !ok || got != index {
			t.Errorf("%d: %d, %v", index, got, ok)
		}
	}
	for _, ri := range []string{"cin01", "cin", "cinA", "Cin1", " cin1", "cin+1", "cin1 "} {
		if _, index, ok := onem2m.ParseInstanceRI(ri); ok {
			t.Errorf("%q is taken for %d, whose ID is %q", ri, index, onem2m.InstanceRI(index))
		}
	}
}

// FuzzFrame gives arbitrary bytes, with the checksum put right, to the decoder of frames: whatever it accepts can be
// encoded again and means the same.
func FuzzFrame(f *testing.F) {
	enc, err := newEncoder(zstd.SpeedFastest)
	must(f, err)
	blocks := goldenBlocks(f)
	signed := signedBlocks(f)
	for _, part := range [][]*Block{blocks, blocks[:1], blocks[2:], signed, signed[:1]} {
		b, err := enc.appendFrame(nil, part[0].First, part)
		must(f, err)
		f.Add(b)
		// The same with a body that is not compressed, which lets the fuzzer reach the columns.
		enc.collect(part[0].First, part)
		f.Add(storedFrame(b, enc))
	}
	z, err := newDecoder()
	must(f, err)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err != nil || h.length() > len(b) || h.raw > 1<<16 || h.entries > 1<<12 {
			return
		}
		b = b[:h.length()]
		setSum(b)
		fr, err := decodeFrame(z, b)
		if err != nil {
			return
		}
		var blocks []*Block
		for i := range fr.blocks {
			blocks = append(blocks, fr.materialise(i, true))
		}
		again, err := enc.appendFrame(nil, fr.first, blocks)
		if err != nil {
			t.Fatal(err)
		}
		fr2, err := decodeFrame(z, again)
		if err != nil {
			t.Fatal(err)
		}
		for i := range blocks {
			sameBlock(t, fr2.materialise(i, true), blocks[i])
		}
	})
}

// FuzzFooter gives arbitrary bytes, with the checksums put right, to the decoder of footers and trailers.
func FuzzFooter(f *testing.F) {
	f.Add(appendFooter(nil, []frameRef{{5, 0}, {9, 100}, {4000, 70000}}, 90000, 5000, 77))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < trailerSize {
			return
		}
		at := len(b) - trailerSize
		setFooterSums(b)
		tr, err := parseTrailer(b[at:])
		if err != nil || tr.footer > at {
			return
		}
		refs, end, err := parseFooter(b[at-tr.footer:at], tr)
		if err != nil {
			return
		}
		again := appendFooter(nil, refs, end, tr.next, tr.height)
		tr2, err := parseTrailer(again[len(again)-trailerSize:])
		if err != nil {
			t.Fatal(err)
		}
		refs2, end2, err := parseFooter(again[:tr2.footer], tr2)
		if err != nil || end2 != end || len(refs2) != len(refs) {
			t.Fatal(err, end2, end)
		}
	})
}

// The ID that the log leaves out is that of the instance of the entry's type; any other is kept as it is.
func TestDerivedInstances(t *testing.T) {
	enc, err := newEncoder(zstd.SpeedFastest)
	must(t, err)
	z, err := newDecoder()
	must(t, err)
	b := makeBlock(50, 1000, 9)
	b.First = 1000
	derived := 0
	for i, e := range []struct {
		typ      onem2m.ResourceType
		resource string
		derived  bool
	}{
		{onem2m.TypeTimeSeriesInst, onem2m.ResourceRI(onem2m.TypeTimeSeriesInst, 1000), true},
		{onem2m.TypeTimeSeriesInst, onem2m.InstanceRI(1001), false},
		{onem2m.TypeFlexContInst, onem2m.ResourceRI(onem2m.TypeFlexContInst, 1002), true},
		{onem2m.TypeContentInstance, onem2m.ResourceRI(onem2m.TypeTimeSeriesInst, 1003), false},
		{onem2m.TypeContentInstance, onem2m.InstanceRI(1004), true},
		{onem2m.TypeTimeSeries, onem2m.InstanceRI(1005), true},
		{onem2m.TypeTimeSeriesInst, onem2m.ResourceRI(onem2m.TypeTimeSeriesInst, 7), false},
	} {
		b.Records[i].Entry.Type, b.Records[i].Entry.Resource = uint32(e.typ), e.resource
		if e.derived {
			derived++
		}
	}
	for i := range b.Records {
		b.Records[i].complete(b)
	}
	must(t, b.check())
	written, err := enc.appendFrame(nil, b.First, []*Block{b})
	must(t, err)
	f, err := decodeFrame(z, written)
	must(t, err)
	sameBlock(t, f.materialise(0, true), b)
	got := 0
	for i := range 7 {
		if f.resource.at(i) == resourceDerived {
			got++
		}
	}
	if got != derived {
		t.Errorf("%d IDs were left out, want %d", got, derived)
	}
}
