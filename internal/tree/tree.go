package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tallystick/tallystick/internal/cse"
)

// Options are the settings of a tree. The zero value is usable.
type Options struct {
	FS     vfs.FS       // nil means the operating system's
	Cache  int64        // bytes for caches of decoded records and of file blocks, half each; 0 means 64 MiB
	Logger *slog.Logger // nil means none
	// AtRest leaves out background work, which would meet damage before a check can name it: Pebble panics when opening
	// fails while it compacts.
	AtRest bool
}

// LogReader gives the content of instances, which is in the log and not in the tree.
type LogReader interface {
	// Instance returns the container and the content of the instance that the log entry at index created.
	// The error is ErrNotInstance when that entry is none, or is not there. Entries of the block in progress are included.
	Instance(index uint64) (container string, c cse.InstanceContent, err error)
}

// ErrNotInstance is what a LogReader answers for an entry that created no instance.
var ErrNotInstance = errors.New("tree: log entry is no instance")

// Tree is the resource tree of one node. Any number of goroutines may read it; one block at a time changes it.
type Tree struct {
	db      *pebble.DB
	log     LogReader
	failure *failure

	newest     atomic.Uint64 // version announced to the caches
	nodes      *cache[string, *node]
	names      *cache[pair, string]
	containers *cache[string, *container]
	subs       *cache[string, []string]

	current atomic.Pointer[version]
	open    sync.WaitGroup // versions that somebody reads
	commit  sync.Mutex     // held while a version is replaced
	spare   atomic.Pointer[work]
}

// pair is a parent and a name below it.
type pair struct{ pi, rn string }

// Open opens the tree in the directory dir and makes an empty one when there is none.
func Open(dir string, log LogReader, o Options) (*Tree, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Cache <= 0 {
		o.Cache = 64 << 20
	}
	t := &Tree{log: log, failure: newFailure(o.Logger)}
	decoded := o.Cache / 2
	t.nodes = newCache[string, *node](decoded*3/8, &t.newest)
	t.names = newCache[pair, string](decoded/8, &t.newest)
	t.containers = newCache[string, *container](decoded*3/8, &t.newest)
	t.subs = newCache[string, []string](decoded/8, &t.newest)

	p := storeOptions(o, t.failure)
	p.Cache = pebble.NewCache(o.Cache - decoded)
	defer p.Cache.Unref()
	var err error
	if t.db, err = t.failure.open(dir, p); err != nil {
		return nil, err
	}
	if err := t.start(); err != nil {
		return nil, errors.Join(err, t.db.Close())
	}
	return t, nil
}

// start checks the format and makes the first version.
func (t *Tree) start() error {
	format, err := t.value(keyFormat)
	if err != nil {
		return err
	}
	if format == nil {
		return t.create()
	}
	if n, err := decodeNumber(format); err != nil {
		return corrupt(keyFormat, "%v", err)
	} else if n != formatVersion {
		return fmt.Errorf("tree: format version %d on disk, this program knows %d", n, formatVersion)
	}
	record, err := t.value(keyHeight)
	if err != nil {
		return err
	}
	d := decoder{b: record}
	height, time := d.uvarint(), int64(d.uvarint())
	if d.bad || len(d.b) != 0 {
		return corrupt(keyHeight, "malformed height record")
	}
	record, err = t.value(keyOrder)
	if err != nil {
		return err
	}
	var order uint64
	if record != nil {
		if order, err = decodeNumber(record); err != nil {
			return corrupt(keyOrder, "%v", err)
		}
	}
	t.publish(height, time, order)
	return nil
}

// create writes the first records of a new tree.
func (t *Tree) create() error {
	it, err := t.db.NewIter(&pebble.IterOptions{LowerBound: []byte("a/"), UpperBound: []byte("y")})
	if err != nil {
		return readError(nil, err)
	}
	for it.First(); it.Valid(); it.Next() {
		if it.Key()[0] != spaceLocal {
			err = corrupt(keyFormat, "missing, but there is a record %q", it.Key())
			break
		}
	}
	if err := errors.Join(err, it.Close()); err != nil {
		return err
	}
	b := t.db.NewBatch()
	_ = b.Set(keyFormat, binary.AppendUvarint(nil, formatVersion), nil)
	_ = b.Set(keyHeight, heightRecord(0, 0), nil)
	if err := t.failure.guard("creating the tree", func() error { return t.db.Apply(b, pebble.Sync) }); err != nil {
		return err
	}
	t.publish(0, 0, 0)
	return nil
}

func heightRecord(height uint64, time int64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, height), uint64(time))
}

// value reads one record of the store as it is now; nil when absent.
func (t *Tree) value(key []byte) ([]byte, error) {
	b, closer, err := t.db.Get(key)
	if err == pebble.ErrNotFound {
		return nil, nil
	} else if err != nil {
		return nil, readError(key, err)
	}
	v := append(make([]byte, 0, len(b)), b...)
	return v, closer.Close()
}

// DB is the Pebble instance, for those who test its failures.
func (t *Tree) DB() *pebble.DB { return t.db }

// Last gives the height and the time of the last committed block; 0 and 0 when there is none.
func (t *Tree) Last() (height uint64, time int64) {
	v := t.current.Load()
	return v.height, v.time
}

// Err is the failure of the store after which nothing more is written, nil while there is none.
func (t *Tree) Err() error { return t.failure.get() }

// Failed is closed when the store fails; Err then says why.
func (t *Tree) Failed() <-chan struct{} { return t.failure.done }

// Sync makes everything committed so far durable.
func (t *Tree) Sync() error {
	return t.failure.guard("syncing", func() error { return t.db.LogData(nil, pebble.Sync) })
}

// Close syncs and closes the store, when every View is closed, for which it waits. Views after it can read nothing. Every
// Block must be committed or discarded before.
func (t *Tree) Close() error {
	err := t.Err()
	if err == nil {
		err = t.Sync()
	}
	if err2 := t.close(); err2 != nil { // what is still read must not be closed
		return errors.Join(err, err2)
	}
	err2 := func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("tree: closing: %v", r)
			}
		}()
		return t.db.Close()
	}()
	if err == nil {
		err = err2
	}
	return err
}
