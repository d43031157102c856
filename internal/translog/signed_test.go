package translog

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tallystick/tallystick/proof"
)

// signSome makes of some entries of a block such as devices signed themselves, some with a content apart.
func signSome(b *Block, size uint64) {
	for i := range b.Records {
		r, index := &b.Records[i], size+uint64(i)
		if index%3 == 0 {
			continue
		}
		s := &proof.Signed{Text: fmt.Appendf(nil, "tallystick/signed-request@v1\norigin o\nkey k\ncounter %d\nuntil 9\n\n", 100+index), Apart: index%7 == 0}
		if index%14 == 0 {
			s.Content = []byte("something else")
		}
		s.Signature = sha512.Sum512(s.Text)
		r.Entry.Auth = proof.Auth{Method: proof.AuthSignature, Key: r.Entry.Auth.Key, Counter: 100 + index - index%5*2}
		r.Signed = s.AppendBinary(nil)
	}
}

func signedBlocks(t testing.TB) []*Block {
	t.Helper()
	blocks := goldenBlocks(t)
	for _, b := range blocks {
		kept := make([]Record, 0, 1)
		for i := range b.Records {
			if b.Records[i].Erased {
				kept = append(kept, b.Records[i])
			}
		}
		signSome(b, b.First)
		for i := range b.Records {
			if r := &b.Records[i]; r.Erased && len(kept) > 0 {
				auth := r.Entry.Auth
				*r = kept[0]
				r.Entry.Auth = auth
			}
			b.Records[i].complete(b)
		}
		must(t, b.check())
	}
	return blocks
}

// TestGoldenSigned writes frames of version 2, and reads them.
func TestGoldenSigned(t *testing.T) {
	blocks := signedBlocks(t)
	enc, err := newEncoder(zstd.SpeedFastest)
	must(t, err)
	sameFrame(t, "frame-v2", enc, blocks[:1])
	sameFrame(t, "group-v2", enc, blocks)
}

// TestSignedLog keeps signed requests through sealing, erasing and opening again; an erased signature is in no file.
func TestSignedLog(t *testing.T) {
	fs := newFS(t)
	l := mustOpen(t, Options{FS: fs, SegmentBytes: 4000})
	m := &model{}
	for i := range 12 {
		b := makeBlock(m.height()+1, uint64(len(m.leaves)), 40)
		signSome(b, uint64(len(m.leaves)))
		s, err := l.Stage(b)
		must(t, err)
		must(t, l.Append(s))
		m.push(b)
		if i == 5 { // what a crash took is appended again from the frame
			frame := bytes.Clone(l.Frame())
			must(t, l.Rewind(b.First))
			must(t, l.AppendFrame(frame))
		}
	}
	waitSealed(t, l)
	m.compare(t, l)
	for _, index := range []uint64{1, 41, 470, 479} {
		before, err := l.Record(index)
		must(t, err)
		if before.Signed == nil || !inFiles(t, fs, before.Signed[:64]) {
			t.Fatalf("entry %d: the signature is not on disk as it is, the test would prove nothing", index)
		}
		must(t, l.Erase(index, []byte("left")))
		m.erase(index, []byte("left"))
		after, err := l.Record(index)
		must(t, err)
		if after.Signed != nil || after.Entry != before.Entry || inFiles(t, fs, before.Signed[:64]) {
			t.Fatalf("after the erasure: %+v", after)
		}
	}
	m.compare(t, l)
	must(t, l.Close())
	l = mustOpen(t, Options{FS: fs, SegmentBytes: 4000})
	m.compare(t, l)
}

func TestSignedRefused(t *testing.T) {
	for name, change := range map[string]func(*Record){
		"no signature":           func(r *Record) { r.Signed = nil },
		"a short one":            func(r *Record) { r.Signed = r.Signed[:64] },
		"no counter":             func(r *Record) { r.Entry.Auth.Counter = 0 },
		"a signature too many":   func(r *Record) { r.Entry.Auth = proof.Auth{Method: proof.AuthToken} },
		"a counter too many":     func(r *Record) { r.Signed, r.Entry.Auth.Method = nil, proof.AuthToken },
		"erased with it":         func(r *Record) { r.Erased, r.Payload, r.Seed, r.Salt = true, nil, NoSeed, [32]byte{} },
		"more than anybody uses": func(r *Record) { r.Signed = make([]byte, maxSigned+1) },
	} {
		b := makeBlock(1, 1, 1)
		signSome(b, 1)
		must(t, b.check())
		change(&b.Records[0])
		if b.check() == nil {
			t.Errorf("%s: a block that cannot be read again is taken", name)
		}
	}
}
