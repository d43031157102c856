package translog

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/proof"
)

// TestErase erases in the last, a waiting and a sealed segment: proofs and leaves stay, the payload's salt and the
// batch's seed are in no file any more, and erasing again changes nothing.
func TestErase(t *testing.T) {
	fs := newFS(t)
	l := mustOpen(t, Options{FS: fs, SegmentBytes: 2000})
	m := &model{}
	for range 12 {
		m.add(t, l, 40)
	}
	waitSealed(t, l)
	root := l.Head().Root
	for _, index := range []uint64{0, 41, 470, 479} {
		before, err := l.Record(index)
		must(t, err)
		block := m.blocks[index/40]
		seed := block.Seeds[block.Records[index%40].Seed]
		if !inFiles(t, fs, seed[:]) {
			t.Fatal("the seed is not on disk as it is, the test would prove nothing")
		}
		for range 2 {
			must(t, l.Erase(index, []byte("left")))
		}
		m.erase(index, []byte("left"))
		after, err := l.Record(index)
		must(t, err)
		if !after.Erased || after.Payload != nil || after.Salt != [32]byte{} || string(after.Residue) != "left" || after.Entry != before.Entry {
			t.Fatalf("after the erasure: %+v", after)
		}
		if inFiles(t, fs, seed[:]) || inFiles(t, fs, before.Salt[:]) {
			t.Fatal("seed or salt are still on disk")
		}
		path, err := l.Inclusion(index, 480)
		must(t, err)
		if !sameHashes(path, naivePath(int(index), m.leaves)) {
			t.Fatal("the proof changed")
		}
	}
	if l.Head().Root != root {
		t.Fatal("the root changed")
	}
	m.compare(t, l)
	if err := l.Erase(480, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("past the end: %v", err)
	}
	if err := l.Erase(1, make([]byte, proof.MaxPayload+1)); err == nil {
		t.Error("a residue above the limit was kept")
	}
}

func inFiles(t *testing.T, fs vfs.FS, b []byte) bool {
	for _, content := range readFiles(t, fs) {
		if bytes.Contains(content, b) {
			return true
		}
	}
	return false
}

// TestSyncAfterKill kills the process, not the machine, before anything was synced: what the next process finds is
// durable after its own first Sync.
func TestSyncAfterKill(t *testing.T) {
	fs := newFS(t)
	l, err := Open(testDir, Options{FS: fs})
	must(t, err)
	m := &model{}
	for range 20 {
		m.add(t, l, 30)
	}
	l.sealer.stop()
	must(t, errors.Join(l.closeActive(), l.hashes.close()))
	l = mustOpen(t, Options{FS: fs})
	must(t, l.Sync())
	m.compare(t, mustOpen(t, Options{FS: fs.CrashClone(vfs.CrashCloneCfg{})}))
}

// TestStageRefuses holds Stage to the bounds that decoders enforce.
func TestStageRefuses(t *testing.T) {
	l := mustOpen(t, Options{FS: newFS(t)})
	m := &model{}
	m.add(t, l, 5)
	for name, spoil := range map[string]func(b *Block){
		"height":  func(b *Block) { b.Height = m.height() },
		"payload": func(b *Block) { b.Records[0].Payload = make([]byte, proof.MaxPayload+1) },
		"id":      func(b *Block) { b.Records[0].Entry.Target = string(make([]byte, proof.MaxID+1)) },
		"seed":    func(b *Block) { b.Records[0].Seed = 1 },
		"erased":  func(b *Block) { b.Records[0].Erased = true },
		"residue": func(b *Block) { b.Records[0].Residue = []byte("x") },
	} {
		b := makeBlock(m.height()+1, 5, 3)
		spoil(b)
		if _, err := l.Stage(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	first, err := l.Stage(makeBlock(m.height()+1, 5, 3))
	must(t, err)
	second, err := l.Stage(makeBlock(m.height()+1, 5, 4))
	must(t, err)
	must(t, l.Append(second))
	if err := l.Append(first); err == nil {
		t.Error("a block staged before another one was appended was accepted")
	}
	empty, err := l.Stage(&Block{Height: 99})
	must(t, err)
	if empty.Head() != l.Head() {
		t.Error("a block without records changes the head")
	}
	must(t, l.Append(empty))
}
