package tree

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tallystick/tallystick/onem2m"
)

// encoded is what a block writes to the replicated key spaces.
type encoded struct {
	ranges []write // deleted before anything is set: from key to below value
	writes []write // ascending by key, each key once
	bytes  int
	sum    [32]byte
	arena  []byte
	buf    []byte // for hash
}

// reuse makes e empty and keeps its memory, unless that is a lot.
func (e *encoded) reuse() {
	if cap(e.arena) > 1<<20 || cap(e.writes) > keepLimit {
		*e = encoded{}
		return
	}
	clear(e.ranges)
	clear(e.writes)
	*e = encoded{ranges: e.ranges[:0], writes: e.writes[:0], arena: e.arena[:0], buf: e.buf[:0]}
}

type write struct {
	key   []byte
	value []byte
	kind  byte
}

// The kinds of writes, as the digest has them.
const (
	writeRange  = 0
	writeDelete = 1
	writeSet    = 2
)

func (e *encoded) delete(key []byte) { e.writes = append(e.writes, write{key: key, kind: writeDelete}) }

func (e *encoded) set(key, value []byte) {
	e.writes = append(e.writes, write{key: key, value: value, kind: writeSet})
}

func (e *encoded) deleteRange(space byte, ri string) {
	lower, upper := rangeOf(space, ri)
	e.ranges = append(e.ranges, write{key: lower, value: upper, kind: writeRange})
}

// made appends to the arena what make appends, and returns that.
func (e *encoded) made(make func(dst []byte) []byte) []byte {
	start := len(e.arena)
	e.arena = make(e.arena)
	return e.arena[start:len(e.arena):len(e.arena)]
}

func (e *encoded) key(space byte, id string) []byte {
	return e.made(func(dst []byte) []byte { return appendKey(dst, space, id) })
}

func (e *encoded) pairKey(space byte, id, rest string) []byte {
	return e.made(func(dst []byte) []byte { return appendPairKey(dst, space, id, rest) })
}

func (e *encoded) numberKey(space byte, id string, n uint64) []byte {
	return e.made(func(dst []byte) []byte { return appendNumberKey(dst, space, id, n) })
}

func (e *encoded) number(n uint64) []byte {
	return e.made(func(dst []byte) []byte { return binary.AppendUvarint(dst, n) })
}

// encode turns the block into writes. Maps are walked in any order; the writes are sorted after.
func (b *Block) encode() *encoded {
	if b.encoded != nil {
		return b.encoded
	}
	e := &b.memory
	e.reuse()
	if b.order != b.v.order {
		e.set(keyOrder, e.number(b.order))
	}
	for ri, c := range b.nodes.m {
		e.node(ri, c)
	}
	for k, c := range b.names.m {
		if c.now != "" {
			e.set(e.pairKey(spaceName, k.pi, k.rn), []byte(c.now))
		} else if c.base != "" {
			e.delete(e.pairKey(spaceName, k.pi, k.rn))
		}
	}
	for key, value := range b.aux.m {
		if value != nil {
			e.set(e.key(spaceAux, key), value)
		} else {
			e.delete(e.key(spaceAux, key))
		}
	}
	for _, s := range b.containers {
		if s.dirty {
			e.container(s)
		}
	}
	for k, n := range b.instances.m {
		if k.generation != b.containers[k.ri].generation {
			continue // gone with its container
		}
		if n.live {
			e.set(e.pairKey(spaceInstName, k.ri, k.name), e.number(n.index))
		} else if n.committed {
			e.delete(e.pairKey(spaceInstName, k.ri, k.name))
		}
	}
	for place, at := range b.byIndex.m {
		if place.generation != b.containers[place.ri].generation {
			continue
		}
		if at.live {
			e.set(e.numberKey(spaceInstIndex, place.ri, place.index), []byte(at.name))
		} else if at.committed {
			e.delete(e.numberKey(spaceInstIndex, place.ri, place.index))
		}
	}
	for place, set := range b.times.m {
		if place.generation == b.containers[place.ri].generation {
			e.times(place, set)
		}
	}
	byKey := func(x, y write) int { return bytes.Compare(x.key, y.key) }
	slices.SortFunc(e.ranges, byKey)
	slices.SortFunc(e.writes, byKey)
	e.hash()
	b.encoded = e
	return e
}

// node writes a resource and its entries in the child list, the subscription list and the expiry index.
func (e *encoded) node(ri string, c nodeChange) {
	base, now := c.base, c.now
	moved := base == nil || now == nil || base.order != now.order
	if base != nil && moved && base.res.PI != "" {
		e.delete(e.numberKey(spaceChild, base.res.PI, base.order))
		if base.res.Type == onem2m.TypeSubscription {
			e.delete(e.numberKey(spaceSub, base.res.PI, base.order))
		}
	}
	if base != nil && base.res.Due() != 0 && (now == nil || now.res.Due() != base.res.Due()) {
		e.delete(e.made(func(dst []byte) []byte { return appendDueKey(dst, base.res.Due(), ri) }))
	}
	if now == nil {
		if base != nil {
			e.delete(e.key(spaceResource, ri))
		}
		return
	}
	e.set(e.key(spaceResource, ri), e.made(now.encode))
	if moved && now.res.PI != "" {
		kid := child{order: now.order}
		kid.RI, kid.RN, kid.Type = ri, now.res.RN, now.res.Type
		e.set(e.numberKey(spaceChild, now.res.PI, now.order), e.made(kid.encode))
		if now.res.Type == onem2m.TypeSubscription {
			e.set(e.numberKey(spaceSub, now.res.PI, now.order), []byte(ri))
		}
	}
	if now.res.Due() != 0 && (base == nil || base.res.Due() != now.res.Due()) {
		e.set(e.made(func(dst []byte) []byte { return appendDueKey(dst, now.res.Due(), ri) }), nil)
	}
}

// container writes a container and the chunks that the block changed.
func (e *encoded) container(s *staged) {
	if s.wiped {
		if s.base.hasChunks() {
			e.deleteRange(spaceChunk, s.ri)
		}
		if s.base.dated {
			e.deleteRange(spaceTimes, s.ri)
		}
		if s.base.named > 0 {
			e.deleteRange(spaceInstName, s.ri)
			e.deleteRange(spaceInstIndex, s.ri)
		}
	}
	if s.present {
		e.set(e.key(spaceContainer, s.ri), e.made(s.encode))
	} else if s.base != nil {
		e.delete(e.key(spaceContainer, s.ri))
	}
	for _, c := range s.chunks {
		if c.record != nil {
			e.set(e.numberKey(spaceChunk, s.ri, c.name), c.record)
		} else {
			e.delete(e.numberKey(spaceChunk, s.ri, c.name))
		}
	}
}

// hash computes the digest: for each write its kind, and key and value with their lengths before them.
func (e *encoded) hash() {
	h := sha256.New()
	buf := e.buf[:0]
	for _, list := range [][]write{e.ranges, e.writes} {
		for i := range list {
			w := &list[i]
			buf = append(buf, w.kind)
			buf = binary.AppendUvarint(buf, uint64(len(w.key)))
			buf = append(buf, w.key...)
			buf = binary.AppendUvarint(buf, uint64(len(w.value)))
			buf = append(buf, w.value...)
			e.bytes += len(w.key) + len(w.value) + 12
			if len(buf) >= 4<<10 {
				h.Write(buf)
				buf = buf[:0]
			}
		}
	}
	h.Write(buf)
	e.buf = buf[:0]
	h.Sum(e.sum[:0])
}

// Digest is the SHA-256 of all staged writes to the replicated key spaces, so of what the block does to the tree and
// of nothing else: ranges deleted, then records deleted and set, each in ascending order of keys. Blocks with the
// same requests on the same history have the same digest on every node. A block without writes has the SHA-256 of nothing.
func (b *Block) Digest() [32]byte { return b.encode().sum }

// Empty says that the block changes nothing that is replicated.
func (b *Block) Empty() bool {
	e := b.encode()
	return len(e.ranges) == 0 && len(e.writes) == 0
}

// Commit writes the block as one batch and makes it the version that new readers see. The batch becomes durable with the
// next synced write to the store, at the latest with Sync. After an error the store counts as failed.
func (b *Block) Commit() error {
	t := b.t
	t.commit.Lock()
	defer t.commit.Unlock()
	if b.work == nil {
		return errors.New("tree: commit: the block has ended")
	}
	if t.current.Load() != b.v {
		return errors.New("tree: commit: another block was committed since this one began")
	}
	e := b.encode()
	batch := t.db.NewBatchWithSize(e.bytes + 256)
	if err := b.fill(batch, e); err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := t.failure.guard("committing a block", func() error { return t.db.Apply(batch, pebble.NoSync) }); err != nil {
		return err
	}
	if err := batch.Close(); err != nil {
		return err
	}
	b.updateCaches(t.newest.Add(1))
	t.publish(b.height, b.time, b.order)
	b.Discard()
	return nil
}

// fill puts the writes into the batch.
func (b *Block) fill(batch *pebble.Batch, e *encoded) error {
	for _, w := range e.ranges {
		if err := batch.DeleteRange(w.key, w.value, nil); err != nil {
			return err
		}
	}
	for _, w := range e.writes {
		var err error
		if w.kind == writeSet {
			err = batch.Set(w.key, w.value, nil)
		} else {
			err = batch.Delete(w.key, nil)
		}
		if err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b.local)) {
		var err error
		if value := b.local[key]; value != nil {
			err = batch.Set(appendKey(nil, spaceLocal, key), value, nil)
		} else {
			err = batch.Delete(appendKey(nil, spaceLocal, key), nil)
		}
		if err != nil {
			return err
		}
	}
	return batch.Set(keyHeight, heightRecord(b.height, b.time), nil)
}

// updateCaches brings the caches to the version that the block makes.
func (b *Block) updateCaches(version uint64) {
	t := b.t
	for ri, c := range b.nodes.m {
		if c.now != nil {
			t.nodes.put(ri, c.now, c.now.size()+int64(len(ri)), version)
		} else {
			t.nodes.drop(ri)
		}
	}
	for k, c := range b.names.m {
		if c.now != "" {
			t.names.put(k, c.now, nameSize(k, c.now), version)
		} else {
			t.names.drop(k)
		}
	}
	for pi, list := range b.subs.m {
		t.subs.put(pi, list, subsSize(pi, list), version)
	}
	for ri, s := range b.containers {
		if !s.dirty {
			continue
		}
		if s.present {
			c := s.container
			t.containers.put(ri, &c, c.size()+int64(100+len(ri)), version)
		} else {
			t.containers.drop(ri)
		}
	}
}
