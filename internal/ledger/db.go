package ledger

import (
	"bytes"
	"errors"

	dbm "github.com/cometbft/cometbft-db"

	"github.com/cockroachdb/pebble/v2"
)

// chainStore is one of CometBFT's databases: a key range of a Pebble instance that all of them share, instead of a
// second engine.
//
// Sharing one instance means sharing one write-ahead log, and with it one order: whatever was written before a
// synced write is durable when that returns. Only the block itself needs to be synced before it is executed. The
// other synced writes of CometBFT (the results of a block, its own state) come after the block and before the next
// one; should a power failure take them, it takes a suffix of the log, and the handshake replays the block from the
// block store (see also lendResults). So they are written without waiting for the disk.
type chainStore struct {
	db     *pebble.DB
	prefix []byte
	end    []byte // first key after the range
	sync   *pebble.WriteOptions
}

var _ dbm.DB = (*chainStore)(nil)

// storePrefix starts every key.
const storePrefix = "z/"

// blockStoreID is CometBFT's name for the database whose synced writes are the durability of the whole node.
const blockStoreID = "blockstore"

func newStore(db *pebble.DB, id string) *chainStore {
	s := &chainStore{db: db, prefix: []byte(storePrefix + id + "/"), sync: pebble.NoSync}
	s.end = append(bytes.Clone(s.prefix[:len(s.prefix)-1]), '/'+1)
	if id == blockStoreID {
		s.sync = pebble.Sync
	}
	return s
}

var (
	errEmptyKey = errors.New("key is empty")
	errNilValue = errors.New("value is nil")
)

func (s *chainStore) key(k []byte) []byte {
	return append(s.prefix[:len(s.prefix):len(s.prefix)], k...)
}

func (s *chainStore) Get(k []byte) ([]byte, error) {
	if len(k) == 0 {
		return nil, errEmptyKey
	}
	v, closer, err := s.db.Get(s.key(k))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(v)) // never nil: that would mean absent
	copy(out, v)
	return out, closer.Close()
}

func (s *chainStore) Has(k []byte) (bool, error) {
	v, err := s.Get(k)
	return v != nil, err
}

func (s *chainStore) set(k, v []byte, o *pebble.WriteOptions) error {
	if len(k) == 0 {
		return errEmptyKey
	}
	if v == nil {
		return errNilValue
	}
	return s.db.Set(s.key(k), v, o)
}

func (s *chainStore) delete(k []byte, o *pebble.WriteOptions) error {
	if len(k) == 0 {
		return errEmptyKey
	}
	return s.db.Delete(s.key(k), o)
}

func (s *chainStore) Set(k, v []byte) error     { return s.set(k, v, pebble.NoSync) }
func (s *chainStore) SetSync(k, v []byte) error { return s.set(k, v, s.sync) }
func (s *chainStore) Delete(k []byte) error     { return s.delete(k, pebble.NoSync) }
func (s *chainStore) DeleteSync(k []byte) error { return s.delete(k, s.sync) }

// Close does nothing: Consensus owns the instance.
func (s *chainStore) Close() error { return nil }

func (s *chainStore) Print() error             { return nil }
func (s *chainStore) Stats() map[string]string { return nil }

// Compact does nothing: Pebble compacts by itself.
func (s *chainStore) Compact(start, end []byte) error { return nil }

func (s *chainStore) bounds(start, end []byte) (*pebble.IterOptions, error) {
	if (start != nil && len(start) == 0) || (end != nil && len(end) == 0) {
		return nil, errEmptyKey
	}
	o := &pebble.IterOptions{LowerBound: s.prefix, UpperBound: s.end}
	if start != nil {
		o.LowerBound = s.key(start)
	}
	if end != nil {
		o.UpperBound = s.key(end)
	}
	return o, nil
}

func (s *chainStore) Iterator(start, end []byte) (dbm.Iterator, error) {
	return s.iterate(start, end, false)
}

func (s *chainStore) ReverseIterator(start, end []byte) (dbm.Iterator, error) {
	return s.iterate(start, end, true)
}

func (s *chainStore) iterate(start, end []byte, reverse bool) (dbm.Iterator, error) {
	o, err := s.bounds(start, end)
	if err != nil {
		return nil, err
	}
	it, err := s.db.NewIter(o)
	if err != nil {
		return nil, err
	}
	si := &storeIterator{it: it, start: start, end: end, prefix: len(s.prefix), reverse: reverse}
	if reverse {
		it.Last()
	} else {
		it.First()
	}
	return si, nil
}

type storeIterator struct {
	it         *pebble.Iterator
	start, end []byte
	prefix     int
	reverse    bool
}

func (i *storeIterator) Domain() (start, end []byte) { return i.start, i.end }
func (i *storeIterator) Valid() bool                 { return i.it.Valid() }
func (i *storeIterator) Key() []byte                 { return bytes.Clone(i.it.Key()[i.prefix:]) }
func (i *storeIterator) Value() []byte               { return bytes.Clone(i.it.Value()) }
func (i *storeIterator) Error() error                { return i.it.Error() }
func (i *storeIterator) Close() error                { return i.it.Close() }

func (i *storeIterator) Next() {
	if !i.it.Valid() {
		panic("next on an iterator that is not valid")
	}
	if i.reverse {
		i.it.Prev()
	} else {
		i.it.Next()
	}
}

func (s *chainStore) NewBatch() dbm.Batch { return &storeBatch{s: s, b: s.db.NewBatch()} }

type storeBatch struct {
	s *chainStore
	b *pebble.Batch
}

var errBatchClosed = errors.New("batch has been written or closed")

func (b *storeBatch) Set(k, v []byte) error {
	switch {
	case b.b == nil:
		return errBatchClosed
	case len(k) == 0:
		return errEmptyKey
	case v == nil:
		return errNilValue
	}
	return b.b.Set(b.s.key(k), v, nil)
}

func (b *storeBatch) Delete(k []byte) error {
	switch {
	case b.b == nil:
		return errBatchClosed
	case len(k) == 0:
		return errEmptyKey
	}
	return b.b.Delete(b.s.key(k), nil)
}

func (b *storeBatch) Write() error     { return b.commit(pebble.NoSync) }
func (b *storeBatch) WriteSync() error { return b.commit(b.s.sync) }

func (b *storeBatch) commit(o *pebble.WriteOptions) error {
	if b.b == nil {
		return errBatchClosed
	}
	err := b.b.Commit(o)
	return errors.Join(err, b.Close())
}

func (b *storeBatch) Close() error {
	if b.b == nil {
		return nil
	}
	err := b.b.Close()
	b.b = nil
	return err
}
