package translog

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/zstd"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// reading is one sensor reading: who sent it, and the request content.
type reading struct {
	device  int
	content []byte
}

// readings makes n readings of six sensors that look like the real ones in the repository's data: slowly drifting
// values, three with many digits, three that are small whole numbers.
func readings(n int) []reading {
	rng := rand.New(rand.NewPCG(1, 2))
	value := [6]float64{73.9, 70.2, 20, 60, 6, 250}
	out := make([]reading, n)
	for i := range out {
		d := i % 6
		value[d] += rng.NormFloat64() * 0.8
		s := fmt.Sprintf("%.8f", value[d])
		switch {
		case d == 2:
			s = fmt.Sprintf("%.2f", value[d])
		case d > 2:
			s = fmt.Sprintf("%d", max(0, int(value[d]+rng.NormFloat64()*5)))
		}
		out[i] = reading{d, fmt.Appendf(nil, `{"m2m:cin":{"con":"%s"}}`, s)}
	}
	return out
}

// readingBlock makes the block of readings that follows size entries.
func readingBlock(height, size uint64, in []reading) *Block {
	b := &Block{Height: height, Time: 1_700_000_000_000_000 + int64(height)*40_123, Records: make([]Record, len(in))}
	b.Seeds = [][32]byte{sha256.Sum256(binary.BigEndian.AppendUint64(nil, height))}
	for i, r := range in {
		b.Records[i] = Record{
			Entry: proof.Entry{
				Operation: 1, Originator: fmt.Sprintf("Cdevice%d", r.device), Target: fmt.Sprintf("cnt%x", 100+r.device),
				Resource: onem2m.InstanceRI(size + uint64(i)), Type: 4, Status: 2001,
				Auth: proof.Auth{Method: proof.AuthToken, Key: [8]byte{1, 2, 3, 4, 5, 6, 7, byte(r.device)}},
			},
			Payload: r.content, Counter: uint32(i),
		}
	}
	return b
}

// TestBytesPerReading prints what readings cost on disk next to zstd of the raw payloads, before and after sealing,
// and holds sealed segments to twice that from 8 entries a block on.
func TestBytesPerReading(t *testing.T) {
	in := readings(12000)
	var raw []byte
	for _, r := range in {
		raw = append(raw, r.content...)
	}
	z, err := zstd.NewWriter(nil)
	must(t, err)
	floor := float64(len(z.EncodeAll(raw, nil))) / float64(len(in))
	t.Logf("zstd of the raw payloads: %.2f bytes a reading", floor)
	for _, n := range []int{1, 8, 32, 256} {
		l := mustOpen(t, Options{FS: vfs.NewMem(), SegmentBytes: 1 << 40})
		size, height := 0, uint64(0)
		for size < len(in) {
			height++
			part := in[size:min(size+n, len(in))]
			s, err := l.Stage(readingBlock(height, uint64(size), part))
			must(t, err)
			must(t, l.Append(s))
			size += len(part)
		}
		st := l.Stats()
		open := float64(st.SegmentBytes+st.HashBytes) / float64(size)
		l.mu.Lock()
		l.segments[0].full = true
		l.mu.Unlock()
		waitSealed(t, l)
		st = l.Stats()
		sealed := float64(st.SegmentBytes+st.HashBytes) / float64(size)
		t.Logf("%3d entries a block: %.2f bytes a reading (%.2f times zstd), sealed %.2f (%.2f times)", n, open, open/floor, sealed, sealed/floor)
		if n >= 8 && sealed > 2*floor || n >= 256 && open > 2*floor {
			t.Error("more than twice zstd of the raw payloads")
		}
		must(t, l.Close())
	}
}

func benchLog(b *testing.B, entries, block int, o Options) *Log {
	l, err := Open(b.TempDir()+"/log", o)
	must(b, err)
	b.Cleanup(func() { _ = l.Close() })
	in := readings(block)
	for height := uint64(1); l.Head().Size < uint64(entries); height++ {
		s, err := l.Stage(readingBlock(height, l.Head().Size, in))
		must(b, err)
		must(b, l.Append(s))
	}
	return l
}

// The benchmarks of Stage and Append count one reading as one operation.

func BenchmarkStage(b *testing.B) {
	for _, n := range []int{1, 32, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := benchLog(b, 1, 1, Options{})
			blk := readingBlock(5, 1, readings(n))
			b.ReportAllocs()
			for i := 0; i < b.N; i += n {
				_, err := l.Stage(blk)
				must(b, err)
			}
		})
	}
}

func BenchmarkStageAppend(b *testing.B) {
	for _, n := range []int{1, 32, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := benchLog(b, 0, 1, Options{})
			in := readings(n)
			blocks := make([]*Block, b.N/n+1)
			for i := range blocks {
				blocks[i] = readingBlock(uint64(i+1), uint64(i*n), in)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for _, blk := range blocks {
				s, err := l.Stage(blk)
				must(b, err)
				must(b, l.Append(s))
			}
		})
	}
}

// million makes logs of a million entries: one that is all in the last segment, and one that is sealed and of which
// little fits into the cache.
func million(b *testing.B, f func(b *testing.B, l *Log, size uint64)) {
	for name, o := range map[string]Options{"unsealed": {}, "sealed": {SegmentBytes: 1 << 20, CacheBytes: 8 << 20}} {
		b.Run(name, func(b *testing.B) {
			l := benchLog(b, 1_000_000, 256, o)
			waitSealed(b, l)
			f(b, l, l.Head().Size)
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	million(b, func(b *testing.B, l *Log, size uint64) {
		b.Run("newest", func(b *testing.B) {
			for i := range b.N {
				_, err := l.Record(size - 1 - uint64(i%6))
				must(b, err)
			}
		})
		b.Run("random", func(b *testing.B) {
			rng := rand.New(rand.NewPCG(3, 4))
			for range b.N {
				_, err := l.Record(rng.Uint64N(size))
				must(b, err)
			}
		})
	})
}

func BenchmarkInclusion(b *testing.B) {
	million(b, func(b *testing.B, l *Log, size uint64) {
		b.Run("newest", func(b *testing.B) {
			for i := range b.N {
				_, err := l.Inclusion(size-1-uint64(i%6), size)
				must(b, err)
			}
		})
		b.Run("random", func(b *testing.B) {
			rng := rand.New(rand.NewPCG(3, 4))
			for range b.N {
				_, err := l.Inclusion(rng.Uint64N(size), size)
				must(b, err)
			}
		})
	})
}
