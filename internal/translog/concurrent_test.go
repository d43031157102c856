package translog

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestReadersAndWriter reads records, blocks, proofs and tiles and checks the log while it grows, is sealed and
// erased from.
func TestReadersAndWriter(t *testing.T) {
	l := mustOpen(t, Options{FS: newFS(t), SegmentBytes: 3000, CacheBytes: 100_000})
	m := &model{}
	m.add(t, l, 30)
	ctx, stop := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	read := func(f func(size uint64) error) {
		readers.Go(func() {
			for ctx.Err() == nil {
				if err := f(l.Head().Size); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
					return
				}
			}
		})
	}
	read(func(size uint64) error {
		for i := range size {
			if _, err := l.Record(i * 7919 % size); err != nil {
				return err
			}
		}
		return nil
	})
	read(func(uint64) error {
		next := uint64(0)
		for b, err := range l.Blocks(0) {
			if err != nil {
				return err
			}
			if b.First != next {
				t.Errorf("block at %d, want %d", b.First, next)
			}
			next += uint64(len(b.Records))
		}
		return nil
	})
	read(func(size uint64) error {
		_, err := l.Inclusion(size/3, size)
		if err == nil {
			_, err = l.Consistency(1+size/2, size)
		}
		if err == nil {
			_, err = l.Tile(0, 0, 7)
		}
		return err
	})
	read(func(uint64) error { return l.Check(ctx, nil) })
	for i := range 60 {
		m.add(t, l, 1+i%40)
		if i%9 == 8 {
			index := uint64(i * 31 % len(m.leaves))
			must(t, l.Erase(index, nil))
			m.erase(index, nil)
		}
		if i%20 == 0 {
			must(t, l.Sync())
			time.Sleep(2 * time.Millisecond)
		}
	}
	stop()
	readers.Wait()
	waitSealed(t, l)
	m.compare(t, l)
}

// TestClosed holds every call after Close to ErrClosed.
func TestClosed(t *testing.T) {
	l := mustOpen(t, Options{FS: newFS(t)})
	s, err := l.Stage(makeBlock(1, 0, 3))
	must(t, err)
	must(t, l.Close())
	_, err = l.Stage(makeBlock(1, 0, 3))
	for i, err := range []error{err, l.Append(s), l.Rewind(0), l.Erase(0, nil), l.Sync(), l.RebuildHashes(), l.Close()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}
