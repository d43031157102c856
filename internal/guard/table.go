package guard

import "sync"

// table keeps the entries used last, at most max of them: a flood of keys takes no more memory than that.
type table[K comparable, V any] struct {
	max int

	mu     sync.Mutex
	m      map[K]*node[K, V]
	newest *node[K, V]
	oldest *node[K, V]
}

type node[K comparable, V any] struct {
	key          K
	value        V
	newer, older *node[K, V]
}

// tries is how many of the oldest entries are asked whether they can go.
const tries = 8

// get returns the value of key, a zero one when it is new. An entry that keep wants to stay goes only when the ones after it
// must stay too. The value stays valid for who holds it, also when the table forgets it.
func (t *table[K, V]) get(key K, keep func(*V) bool) *V {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.m[key]; n != nil {
		if t.newest != n {
			t.unlink(n)
			t.link(n)
		}
		return &n.value
	}
	if t.m == nil {
		t.m = make(map[K]*node[K, V])
	}
	if len(t.m) >= t.max {
		goes := t.oldest
		for i, n := 0, t.oldest; i < tries && n != nil; i, n = i+1, n.newer {
			if !keep(&n.value) {
				goes = n
				break
			}
		}
		t.unlink(goes)
		delete(t.m, goes.key)
	}
	n := &node[K, V]{key: key}
	t.m[key] = n
	t.link(n)
	return &n.value
}

// find returns the value of key without making one, nil when there is none.
func (t *table[K, V]) find(key K) *V {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.m[key]; n != nil {
		return &n.value
	}
	return nil
}

// each calls f for all entries. It holds the table.
func (t *table[K, V]) each(f func(K, *V)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := t.newest; n != nil; n = n.older {
		f(n.key, &n.value)
	}
}

func (t *table[K, V]) link(n *node[K, V]) {
	n.older, n.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = n
	}
	t.newest = n
	if t.oldest == nil {
		t.oldest = n
	}
}

func (t *table[K, V]) unlink(n *node[K, V]) {
	if n.newer != nil {
		n.newer.older = n.older
	} else {
		t.newest = n.older
	}
	if n.older != nil {
		n.older.newer = n.newer
	} else {
		t.oldest = n.newer
	}
}
