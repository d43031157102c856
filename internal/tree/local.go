package tree

import (
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
)

// LocalRecord is a record that only this node has: a cursor, a delivery to be made, its own bookkeeping.
type LocalRecord struct {
	Key   string
	Value []byte
}

// Local reads a node-local record as it is now; nil when absent.
func (t *Tree) Local(key string) ([]byte, error) {
	return t.value(appendKey(nil, spaceLocal, key))
}

// SetLocal writes a node-local record, or removes it when value is nil. It becomes durable with the next synced write.
func (t *Tree) SetLocal(key string, value []byte) error {
	k := appendKey(nil, spaceLocal, key)
	return t.failure.guard(fmt.Sprintf("writing local record %q", key), func() error {
		if value == nil {
			return t.db.Delete(k, pebble.NoSync)
		}
		return t.db.Set(k, value, pebble.NoSync)
	})
}

// DropLocals removes the node-local records whose keys are from from on and below to. It becomes durable with the next
// synced write.
func (t *Tree) DropLocals(from, to string) error {
	return t.failure.guard(fmt.Sprintf("removing local records from %q to %q", from, to), func() error {
		return t.db.DeleteRange(appendKey(nil, spaceLocal, from), appendKey(nil, spaceLocal, to), pebble.NoSync)
	})
}

// Locals lists the node-local records whose keys begin with prefix, in order of their keys, as they are when it begins.
func (t *Tree) Locals(prefix string) iter.Seq2[LocalRecord, error] {
	return t.LocalsFrom(prefix, prefix)
}

// LocalsFrom is Locals for the keys from from on.
func (t *Tree) LocalsFrom(from, prefix string) iter.Seq2[LocalRecord, error] {
	return func(yield func(LocalRecord, error) bool) {
		lower, upper := appendKey(nil, spaceLocal, from), successor(appendKey(nil, spaceLocal, prefix))
		it, err := t.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			yield(LocalRecord{}, readError(lower, err))
			return
		}
		for it.First(); it.Valid(); it.Next() {
			value, err := it.ValueAndErr()
			if err != nil {
				break // Close reports it
			}
			if !yield(LocalRecord{string(it.Key()[2:]), append([]byte(nil), value...)}, nil) {
				_ = it.Close() // nothing more is read, so nothing can be missing
				return
			}
		}
		if err := it.Close(); err != nil {
			yield(LocalRecord{}, readError(lower, err))
		}
	}
}

// successor is the lowest key above all that begin with prefix, which does not consist of 0xff alone.
func successor(prefix []byte) []byte {
	s := append([]byte(nil), prefix...)
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] != 0xff {
			s[i]++
			return s[:i+1]
		}
	}
	return nil
}

// Dump is View.Dump of the newest version.
func (t *Tree) Dump(yield func(key, value []byte) bool) error {
	v := t.View()
	defer v.Close()
	return v.Dump(yield)
}

// Local reads a node-local record as the view's block left it; nil when absent.
func (r *View) Local(key string) (value []byte, err error) {
	err = r.v.get(appendKey(nil, spaceLocal, key), func(record []byte) error {
		if record != nil {
			value = append([]byte{}, record...)
		}
		return nil
	})
	return value, err
}

// Dump calls yield with all replicated records in order of their keys, until it answers false. Trees with the same
// history give the same dump. The bytes are valid during the call only.
func (r *View) Dump(yield func(key, value []byte) bool) error {
	v := r.v
	for i := range len(replicated) {
		space := replicated[i]
		more := true
		err := v.scan([]byte{space, '/'}, []byte{space, '/' + 1}, func(key, value []byte) (bool, error) {
			more = yield(key, value)
			return more, nil
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}
