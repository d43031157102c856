package tree

import (
	"cmp"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tallystick/tallystick/internal/cse"
)

// stagedChunk is a chunk that the block in progress wrote, or deleted when its record is nil.
type stagedChunk struct {
	name   uint64
	record []byte
}

// chunks reads the full chunks of one container: those of a version under those staged. It opens a Pebble iterator
// when it first needs one; close ends that. A record it returns is valid until the next call.
type chunks struct {
	v      *version
	ri     string
	masked bool          // the version's own do not count: the container is new or was emptied by its removal
	staged []stagedChunk // ascending
	it     *pebble.Iterator
}

func (c *chunks) close() error {
	if c.it == nil {
		return nil
	}
	it := c.it
	c.it = nil
	if err := it.Close(); err != nil {
		return readError(appendKey(nil, spaceChunk, c.ri), err)
	}
	return nil
}

// search finds the first staged chunk whose name is not below name.
func search(staged []stagedChunk, name uint64) (int, bool) {
	return slices.BinarySearchFunc(staged, name, func(s stagedChunk, name uint64) int { return cmp.Compare(s.name, name) })
}

// ceil returns the chunk with the lowest name that is not below name.
func (c *chunks) ceil(name uint64) (stagedChunk, bool, error) { return c.seek(name, true) }

// floor returns the chunk with the highest name that is not above name.
func (c *chunks) floor(name uint64) (stagedChunk, bool, error) { return c.seek(name, false) }

func (c *chunks) seek(name uint64, up bool) (best stagedChunk, ok bool, err error) {
	i, found := search(c.staged, name)
	if up {
		for ; i < len(c.staged) && !ok; i++ {
			best, ok = c.staged[i], c.staged[i].record != nil
		}
	} else {
		if !found {
			i--
		}
		for ; i >= 0 && !ok; i-- {
			best, ok = c.staged[i], c.staged[i].record != nil
		}
	}
	if c.masked || ok && best.name == name {
		return best, ok, nil
	}
	base, baseOK, err := c.seekBase(name, up)
	if err != nil {
		return base, false, err
	}
	if baseOK && (!ok || (base.name < best.name) == up) {
		return base, true, nil
	}
	return best, ok, nil
}

// seekBase is seek among the version's chunks that are not staged anew.
func (c *chunks) seekBase(name uint64, up bool) (found stagedChunk, ok bool, err error) {
	if c.it == nil {
		lower, upper := rangeOf(spaceChunk, c.ri)
		if c.it, err = c.v.iterate(lower, upper); err != nil {
			return found, false, err
		}
	}
	if up {
		ok = c.it.SeekGE(appendNumberKey(nil, spaceChunk, c.ri, name))
	} else {
		ok = c.it.SeekLT(append(appendNumberKey(nil, spaceChunk, c.ri, name), 0))
	}
	for ok {
		key := c.it.Key()
		_, n, valid := splitNumber(key)
		if !valid {
			return found, false, corrupt(key, "malformed key")
		}
		if _, staged := search(c.staged, n); !staged {
			record, err := c.it.ValueAndErr()
			if err != nil {
				return found, false, readError(key, err)
			}
			return stagedChunk{n, record}, true, nil
		}
		if up {
			ok = c.it.Next()
		} else {
			ok = c.it.Prev()
		}
	}
	if err := c.it.Error(); err != nil {
		return found, false, readError(appendKey(nil, spaceChunk, c.ri), err)
	}
	return found, false, nil
}

func (c *chunks) corrupt(name uint64, why any) error {
	return corrupt(appendNumberKey(nil, spaceChunk, c.ri, name), "%v", why)
}

// decode decodes the live postings of a full chunk.
func (c *chunks) decode(room []posting, k *container, chunk stagedChunk) ([]posting, error) {
	ps, err := decodeChunk(room[:0], chunk.name, chunk.record, k.dated)
	if err != nil {
		return nil, c.corrupt(chunk.name, err)
	}
	if chunk.name == k.first {
		if k.skip >= len(ps) {
			return nil, c.corrupt(chunk.name, "all postings of the oldest chunk are gone")
		}
		ps = ps[k.skip:]
	}
	return ps, nil
}

// decodeTail decodes the live postings of the tail.
func (c *chunks) decodeTail(room []posting, k *container) ([]posting, error) {
	ps, err := readPostings(room[:0], k.tailName, k.tailN, k.tail, k.dated)
	if err == nil && k.headInTail() && k.skip >= len(ps) {
		err = errContainer
	}
	if err != nil {
		return nil, corrupt(appendKey(nil, spaceContainer, c.ri), "%v", err)
	}
	if k.headInTail() {
		ps = ps[k.skip:]
	}
	return ps, nil
}

// find returns the live posting of the instance with that index.
func (c *chunks) find(k *container, index uint64) (p posting, ok bool, err error) {
	if k == nil || k.Count == 0 || index < k.Oldest || index > k.Newest {
		return p, false, nil
	}
	var room [chunkLimit]posting
	var ps []posting
	if k.tailN > 0 && index >= k.tailName {
		ps, err = c.decodeTail(room[:], k)
	} else {
		var chunk stagedChunk
		chunk, ok, err = c.floor(index)
		if err != nil || !ok {
			return p, false, err
		}
		ps, err = c.decode(room[:], k, chunk)
	}
	if err != nil {
		return p, false, err
	}
	i, ok := slices.BinarySearchFunc(ps, index, func(p posting, index uint64) int { return cmp.Compare(p.Index, index) })
	if !ok {
		return p, false, nil
	}
	return ps[i], true, nil
}

// errStopped ends a walk that its consumer has seen enough of.
var errStopped = errors.New("stopped")

// ascend calls yield with the live postings of k from the oldest on; errStopped says that yield answered false.
func (c *chunks) ascend(k *container, yield func(*posting) bool) error {
	if k.Count == 0 {
		return nil
	}
	var room [chunkLimit]posting
	for name := k.first; k.hasChunks(); {
		chunk, ok, err := c.ceil(name)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		ps, err := c.decode(room[:], k, chunk)
		if err != nil {
			return err
		}
		for i := range ps {
			if !yield(&ps[i]) {
				return errStopped
			}
		}
		name = chunk.name + 1
	}
	if k.tailN == 0 {
		return nil
	}
	ps, err := c.decodeTail(room[:], k)
	if err != nil {
		return err
	}
	for i := range ps {
		if !yield(&ps[i]) {
			return errStopped
		}
	}
	return nil
}

// descend calls yield with the live postings of k from the newest on.
func (c *chunks) descend(k *container, yield func(*posting) bool) error {
	if k.Count > 0 && k.tailN > 0 {
		// The newest is at hand without decoding anything; most readers want just that.
		last := k.last
		if !yield(&last) {
			return errStopped
		}
	}
	return c.descendOn(k, yield)
}

// descendOn is descend without the last of the tail.
func (c *chunks) descendOn(k *container, yield func(*posting) bool) error {
	var room [chunkLimit]posting
	if k.tailN > 0 {
		ps, err := c.decodeTail(room[:], k)
		if err != nil {
			return err
		}
		for i := len(ps) - 2; i >= 0; i-- {
			if !yield(&ps[i]) {
				return errStopped
			}
		}
	}
	for name := k.Newest; k.hasChunks() && name >= k.first; {
		chunk, ok, err := c.floor(name)
		if err != nil {
			return err
		}
		if !ok || chunk.name < k.first {
			break
		}
		ps, err := c.decode(room[:], k, chunk)
		if err != nil {
			return err
		}
		for i := len(ps) - 1; i >= 0; i-- {
			if !yield(&ps[i]) {
				return errStopped
			}
		}
		if chunk.name == 0 {
			break
		}
		name = chunk.name - 1
	}
	return nil
}

// list walks the live postings of k as cse.Reader.Instances does.
func (c *chunks) list(k *container, newestFirst bool, yield func(cse.InstanceRef, error) bool) {
	if k == nil {
		return
	}
	walk := c.ascend
	if newestFirst {
		walk = c.descend
	}
	err := walk(k, func(p *posting) bool { return yield(p.InstanceRef, nil) })
	if err == errStopped {
		_ = c.close() // nothing more is read, so nothing can be missing
		return
	}
	if err2 := c.close(); err == nil {
		err = err2
	}
	if err != nil {
		yield(cse.InstanceRef{}, err)
	}
}
