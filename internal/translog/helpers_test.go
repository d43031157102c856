package translog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

const testDir = "data/log"

// model is the slow, obvious log that tests compare with.
type model struct {
	blocks []*Block // as staged, with commitments
	leaves [][32]byte
}

func (m *model) height() uint64 {
	if len(m.blocks) == 0 {
		return 0
	}
	return m.blocks[len(m.blocks)-1].Height
}

// makeBlock builds the block that follows size entries: mostly readings, sometimes something else.
func makeBlock(height, size uint64, n int) *Block {
	b := &Block{Height: height, Time: 1_700_000_000_000_000 + int64(height)*1_000_000, Seeds: make([][32]byte, 1+n/8)}
	for i := range b.Seeds {
		b.Seeds[i] = sha256.Sum256(binary.BigEndian.AppendUint64([]byte{byte(i)}, height))
	}
	counters := make([]uint32, len(b.Seeds))
	for i := range n {
		index := size + uint64(i)
		who := index % 6
		seed := uint32(i / 8)
		r := Record{
			Entry: proof.Entry{
				Operation: 1, Originator: fmt.Sprintf("Cdevice%d", who), Target: fmt.Sprintf("cnt%d", who),
				Resource: onem2m.InstanceRI(index), Type: 4, Status: 2001,
				Auth: proof.Auth{Method: proof.AuthToken, Key: [8]byte{byte(who), 7}},
			},
			Payload: fmt.Appendf(nil, `{"m2m:cin":{"con":"%d.%d"}}`, 70+index%9, index*7919%100000),
			Seed:    seed, Counter: counters[seed],
		}
		switch index % 17 {
		case 3: // a DELETE has no payload
			r.Entry.Operation, r.Entry.Resource, r.Entry.Status, r.Payload = 4, r.Entry.Target, 2002, nil
		case 5:
			r.Entry.Operation, r.Entry.Type, r.Entry.Resource = 1, 3, fmt.Sprintf("x%d", index)
			r.Payload = fmt.Appendf(nil, `{"m2m:cnt":{"rn":"room%d"}}`, index)
			counters[seed] += 2 // numbers may be skipped
			r.Counter = counters[seed]
		}
		counters[seed]++
		b.Records = append(b.Records, r)
	}
	return b
}

// add stages and appends the next block of n entries.
func (m *model) add(t testing.TB, l *Log, n int) {
	t.Helper()
	b := makeBlock(m.height()+1+uint64(n%2), uint64(len(m.leaves)), n)
	s, err := l.Stage(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Append(s); err != nil {
		t.Fatal(err)
	}
	m.push(b)
	if got := l.Head(); got != s.Head() || got.Root != naiveRoot(m.leaves) && len(m.leaves) < 3000 || got.Size != uint64(len(m.leaves)) {
		t.Fatalf("head %+v after %d entries", got, len(m.leaves))
	}
}

// push notes a staged block.
func (m *model) push(b *Block) {
	m.blocks = append(m.blocks, b)
	for i := range b.Records {
		m.leaves = append(m.leaves, proof.LeafHash(b.Records[i].Entry.AppendBinary(nil)))
	}
}

// rewind drops blocks past size.
func (m *model) rewind(size uint64) {
	m.leaves = m.leaves[:size]
	for n := len(m.blocks); n > 0 && m.blocks[n-1].First >= size; n-- {
		m.blocks = m.blocks[:n-1]
	}
}

// erase notes an erasure; other salts stay what they were.
func (m *model) erase(index uint64, residue []byte) {
	for i, b := range m.blocks {
		if index >= b.First && index < b.First+uint64(len(b.Records)) {
			c := *b
			c.Records = append([]Record(nil), b.Records...)
			if !c.Records[index-b.First].Erased {
				c.erase(int(index-b.First), residue)
			}
			m.blocks[i] = &c // the log may give b to its readers
		}
	}
}

// compare reads everything back and has the log check itself.
func (m *model) compare(t testing.TB, l *Log) {
	t.Helper()
	if h := l.Head(); h.Size != uint64(len(m.leaves)) || h.Height != m.height() || h.Root != naiveRoot(m.leaves) {
		t.Fatalf("head %d, height %d; want %d, %d", h.Size, h.Height, len(m.leaves), m.height())
	}
	i := 0
	for b, err := range l.Blocks(0) {
		if err != nil {
			t.Fatal(err)
		}
		if i >= len(m.blocks) {
			t.Fatalf("more than %d blocks", len(m.blocks))
		}
		sameBlock(t, b, m.blocks[i])
		i++
	}
	if i != len(m.blocks) {
		t.Fatalf("%d blocks, want %d", i, len(m.blocks))
	}
	for _, b := range m.blocks {
		for j := range b.Records {
			r, err := l.Record(b.First + uint64(j))
			if err != nil {
				t.Fatal(err)
			}
			sameRecord(t, &r, &b.Records[j])
		}
	}
	if err := l.Check(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
}

func sameBlock(t testing.TB, got, want *Block) {
	t.Helper()
	if got.Height != want.Height || got.Time != want.Time || got.First != want.First || len(got.Records) != len(want.Records) || len(got.Seeds) != len(want.Seeds) {
		t.Fatalf("block height %d time %d first %d with %d records, want %d %d %d %d",
			got.Height, got.Time, got.First, len(got.Records), want.Height, want.Time, want.First, len(want.Records))
	}
	for i := range got.Seeds {
		if got.Seeds[i] != want.Seeds[i] {
			t.Fatalf("block %d: seed %d differs", got.Height, i)
		}
	}
	for i := range got.Records {
		sameRecord(t, &got.Records[i], &want.Records[i])
	}
}

func sameRecord(t testing.TB, got, want *Record) {
	t.Helper()
	if got.Entry != want.Entry || string(got.Payload) != string(want.Payload) || got.Salt != want.Salt || got.Erased != want.Erased ||
		string(got.Residue) != string(want.Residue) || got.Seed != want.Seed || got.Counter != want.Counter ||
		string(got.Signed) != string(want.Signed) {
		t.Fatalf("record\n%+v, want\n%+v", got, want)
	}
	commitment := proof.Commit(&got.Salt, got.Payload)
	if got.signed() {
		commitment = proof.CommitSigned(&got.Salt, got.Payload, got.Signed)
	}
	if !got.Erased && commitment != got.Entry.Commitment {
		t.Fatal("salt and payload do not give the commitment")
	}
}

// The definitions of RFC 6962 section 2.1, word by word.

func naiveRoot(leaves [][32]byte) [32]byte {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	default:
		k := split(n)
		left, right := naiveRoot(leaves[:k]), naiveRoot(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}

// split is the largest power of two smaller than n.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

func naivePath(m int, leaves [][32]byte) [][32]byte {
	n := len(leaves)
	if n <= 1 {
		return nil
	}
	if k := split(n); m < k {
		return append(naivePath(m, leaves[:k]), naiveRoot(leaves[k:]))
	} else {
		return append(naivePath(m-k, leaves[k:]), naiveRoot(leaves[:k]))
	}
}

func naiveConsistency(m int, leaves [][32]byte, whole bool) [][32]byte {
	n := len(leaves)
	if m == n {
		if whole {
			return nil
		}
		return [][32]byte{naiveRoot(leaves)}
	}
	if k := split(n); m <= k {
		return append(naiveConsistency(m, leaves[:k], whole), naiveRoot(leaves[k:]))
	} else {
		return append(naiveConsistency(m-k, leaves[k:], false), naiveRoot(leaves[:k]))
	}
}

func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(testDir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// newFS returns a file system whose synced state can be cloned.
func newFS(t testing.TB) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll("data", 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := fs.OpenDir("/")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	return fs
}

// waitSealed waits until the sealer has nothing left to do.
func waitSealed(t testing.TB, l *Log) {
	t.Helper()
	for range 2000 {
		if g, _ := l.nextFull(); g == nil {
			return
		}
		l.sealer.wake() // after a failure it waits for a signal
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("not sealed: %+v", l.Stats())
}
