package tree

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// cache keeps decoded records, bounded by bytes. An entry is what the newest version says and carries the version
// from which on that is known to hold; a reader of an older version goes to its snapshot instead.
//
// A commit first announces its version, then replaces the entries it changed. A reader may add what it read
// only while the version it read is still the newest one announced, so an entry is never older than the tree.
type cache[K comparable, V any] struct {
	newest *atomic.Uint64 // the newest version announced
	seed   maphash.Seed
	shards [cacheShards]cacheShard[K, V]
}

const cacheShards = 16

type cacheShard[K comparable, V any] struct {
	mu    sync.Mutex
	m     map[K]*cacheEntry[K, V]
	ring  []*cacheEntry[K, V] // for the clock that evicts
	hand  int
	bytes int64
	limit int64
}

type cacheEntry[K comparable, V any] struct {
	key   K
	value V
	from  uint64
	size  int64
	place int // in the ring
	used  bool
}

func newCache[K comparable, V any](limit int64, newest *atomic.Uint64) *cache[K, V] {
	c := &cache[K, V]{newest: newest, seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].m = make(map[K]*cacheEntry[K, V])
		c.shards[i].limit = limit / cacheShards
	}
	return c
}

func (c *cache[K, V]) shard(k K) *cacheShard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
}

// get returns the value of k as version at sees it, if it is here.
func (c *cache[K, V]) get(k K, at uint64) (v V, ok bool) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.m[k]
	if e == nil || e.from > at {
		return v, false
	}
	e.used = true
	return e.value, true
}

// fill adds what a reader of version at found in its snapshot.
func (c *cache[K, V]) fill(k K, v V, size int64, at uint64) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if at == c.newest.Load() && s.m[k] == nil {
		s.insert(k, v, size, at)
	}
}

// put replaces the value of k in the version being committed.
func (c *cache[K, V]) put(k K, v V, size int64, version uint64) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.m[k]
	if e == nil {
		s.insert(k, v, size, version)
		return
	}
	s.bytes += size - e.size
	e.value, e.size, e.from, e.used = v, size, version, true
	s.evict()
}

// drop forgets k, whose value changes in the version being committed.
func (c *cache[K, V]) drop(k K) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.m[k]; e != nil {
		s.remove(e)
	}
}

func (s *cacheShard[K, V]) insert(k K, v V, size int64, from uint64) {
	e := &cacheEntry[K, V]{key: k, value: v, from: from, size: size, place: len(s.ring)}
	s.m[k] = e
	s.ring = append(s.ring, e)
	s.bytes += size
	s.evict()
}

func (s *cacheShard[K, V]) evict() {
	for s.bytes > s.limit && len(s.ring) > 0 {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		e := s.ring[s.hand]
		if e.used {
			e.used = false
			s.hand++
			continue
		}
		s.remove(e)
	}
}

func (s *cacheShard[K, V]) remove(e *cacheEntry[K, V]) {
	end := len(s.ring) - 1
	moved := s.ring[end]
	s.ring[e.place], moved.place = moved, e.place
	s.ring[end] = nil
	s.ring = s.ring[:end]
	delete(s.m, e.key)
	s.bytes -= e.size
}
