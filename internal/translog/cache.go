package translog

import (
	"container/list"
	"sync"
)

// cacheKey names something that was read from disk. A file that is replaced gets a new generation, so that what was
// read from the old one is never found again.
type cacheKey struct {
	kind       cacheKind
	generation uint64
	at, width  uint64
}

type cacheKind uint8

const (
	cacheFrame  cacheKind = iota // at is the frame's first index
	cacheFooter                  // at is the segment's first index
	cacheTile                    // at is the tile's number, generation its level
)

// cache keeps what was used last, up to a number of bytes. It may be used by many goroutines.
type cache struct {
	limit int64

	mu    sync.Mutex // guards all below
	used  int64
	byKey map[cacheKey]*list.Element
	order list.List // of *cacheItem, most recently used first
}

type cacheItem struct {
	key   cacheKey
	value any
	bytes int64
}

func newCache(limit int64) *cache {
	return &cache{limit: limit, byKey: make(map[cacheKey]*list.Element)}
}

// cached returns the value of a key, nil when there is none.
func cached[T any](c *cache, k cacheKey) *T {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[k]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cacheItem).value.(*T)
}

// put keeps a value that takes the given number of bytes; one that takes more than a quarter of the limit is not kept.
func (c *cache) put(k cacheKey, value any, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byKey[k]; ok || bytes > c.limit/4 {
		return
	}
	c.byKey[k] = c.order.PushFront(&cacheItem{k, value, bytes})
	for c.used += bytes; c.used > c.limit; {
		c.remove(c.order.Back())
	}
}

func (c *cache) remove(e *list.Element) {
	item := c.order.Remove(e).(*cacheItem)
	delete(c.byKey, item.key)
	c.used -= item.bytes
}

// drop forgets every item for which f returns true.
func (c *cache) drop(f func(cacheKey) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.byKey {
		if f(k) {
			c.remove(e)
		}
	}
}
