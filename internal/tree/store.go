package tree

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// storeOptions are the settings of the Pebble instance: small memory, small files, zstd at the bottom.
func storeOptions(o Options, f *failure) *pebble.Options {
	p := &pebble.Options{
		FS:                          failFS{o.FS, f},
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                4 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               64 << 20,
		BytesPerSync:                512 << 10,
		MaxOpenFiles:                1000,
		Logger:                      f,
		DisableAutomaticCompactions: o.AtRest,
		// Statistics are read in the background from the moment that Open has a version, and end the process when Open
		// then gives up. They only hasten the compaction of tombstones, of which the tree has few.
		DisableTableStats: true,
		EventListener: &pebble.EventListener{
			BackgroundError: f.background,
			DataCorruption:  func(i pebble.DataCorruptionInfo) { f.record(fmt.Errorf("corruption: %s", i)) },
			DiskSlow:        func(i pebble.DiskSlowInfo) { f.log.Warn("slow disk", "info", i.String()) },
		},
	}
	for i := range p.Levels {
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		p.Levels[i].BlockSize = 16 << 10
		p.Levels[i].IndexBlockSize = 64 << 10
	}
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	return p
}

// failure remembers the first failure of the store, after which nothing more is written. It is Pebble's logger too,
// because that is how Pebble reports what it cannot return.
type failure struct {
	log  *slog.Logger
	once sync.Once
	done chan struct{}
	err  error // valid once done is closed
}

func newFailure(log *slog.Logger) *failure {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &failure{log: log, done: make(chan struct{})}
}

func (f *failure) record(err error) {
	f.once.Do(func() {
		f.err = fmt.Errorf("tree: store failed: %w", err)
		close(f.done)
		f.log.Error("the store failed; nothing more is written", "err", err)
	})
}

// retryPause slows down background work that Pebble tries again although it cannot succeed.
const retryPause = 20 * time.Millisecond

func (f *failure) background(err error) {
	f.record(fmt.Errorf("background work: %w", err))
	time.Sleep(retryPause)
}

// Preflight opens a Pebble store for reading only and closes it again. Pebble's Open begins background work before it
// has read everything, and when it then meets damage and gives up, that work may end the process; reading has none.
// A store that does not exist passes.
func Preflight(dir string, p *pebble.Options) error {
	fs := p.FS
	if fs == nil {
		fs = vfs.Default
	}
	names, err := fs.List(dir)
	if err != nil || !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "MANIFEST-") }) {
		return nil // Open makes it, or says why it cannot
	}
	q := *p
	q.ReadOnly = true
	db, err := pebble.Open(dir, &q)
	switch {
	case errors.Is(err, pebble.ErrDBDoesNotExist):
		return nil
	case err != nil:
		return err
	}
	return db.Close()
}

// openGrace is how long after a failure an Open may take to return its own error.
const openGrace = 100 * time.Millisecond

// open opens the store. Pebble's Open never returns when it has a log to flush and no space for it, so it is left
// behind then.
func (f *failure) open(dir string, p *pebble.Options) (*pebble.DB, error) {
	var db *pebble.DB
	done := make(chan error, 1)
	go func() {
		done <- f.guard("opening "+dir, func() (err error) {
			if err = Preflight(dir, p); err == nil {
				db, err = pebble.Open(dir, p)
			}
			return err
		})
	}()
	var err error
	select {
	case err = <-done:
	case <-f.done:
		select {
		case err = <-done:
		case <-time.After(openGrace):
			return nil, f.get()
		}
	}
	if err != nil && db != nil {
		_ = db.Close() // err says what is wrong
	}
	return db, err
}

func (f *failure) get() error {
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}

// Infof implements pebble.Logger.
func (f *failure) Infof(format string, args ...any) {
	f.log.Debug(fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (f *failure) Errorf(format string, args ...any) {
	f.log.Error(fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble goes on as if nothing had happened when it returns, so where a writer waits
// for its commit it panics: nobody may take a write for durable that is not. Elsewhere, in the background, Pebble
// has an error to return too, and a process that still serves reads is of more use than none.
func (f *failure) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	f.record(err)
	if strings.Contains(format, "commit") {
		panic(err)
	}
}

// guard runs a call into Pebble and turns what it panics with into an error, and every error into a failure.
func (f *failure) guard(what string, call func() error) (err error) {
	if err := f.get(); err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			cause, ok := r.(error)
			if !ok {
				cause = fmt.Errorf("%v", r)
			}
			err = cause
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
			f.record(err)
			err = f.get()
		}
	}()
	if err := call(); err != nil {
		return err
	}
	return f.get()
}

// ErrCorrupt is what errors about records that contradict themselves or one another wrap.
var ErrCorrupt = errors.New("tree: corrupt")

// CorruptionError names the first record that is wrong.
type CorruptionError struct {
	Key []byte
	Why string
}

// Error describes the corruption.
func (e *CorruptionError) Error() string {
	return fmt.Sprintf("tree: corrupt record %q: %s", e.Key, e.Why)
}

// Unwrap makes every CorruptionError an ErrCorrupt.
func (e *CorruptionError) Unwrap() error { return ErrCorrupt }

func corrupt(key []byte, format string, args ...any) error {
	return &CorruptionError{Key: append([]byte(nil), key...), Why: fmt.Sprintf(format, args...)}
}

// readError says which record a failed read of the store was after.
func readError(key []byte, err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: reading %q: %w", ErrCorrupt, key, err)
	}
	return fmt.Errorf("tree: reading %q: %w", key, err)
}
