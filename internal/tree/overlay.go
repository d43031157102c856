package tree

// overlay is what a block has changed of one kind of record, with what it takes to come back to a mark.
type overlay[K comparable, V any] struct {
	m    map[K]V
	undo []undo[K, V]
}

type undo[K comparable, V any] struct {
	key  K
	prev V
	had  bool
}

func newOverlay[K comparable, V any]() overlay[K, V] { return overlay[K, V]{m: make(map[K]V)} }

func (o *overlay[K, V]) set(k K, v V) {
	prev, had := o.m[k]
	o.undo = append(o.undo, undo[K, V]{k, prev, had})
	o.m[k] = v
}

func (o *overlay[K, V]) clear() {
	clear(o.m)
	clear(o.undo)
	o.undo = o.undo[:0]
}

func (o *overlay[K, V]) rollback(to int) {
	for i := len(o.undo) - 1; i >= to; i-- {
		u := &o.undo[i]
		if u.had {
			o.m[u.key] = u.prev
		} else {
			delete(o.m, u.key)
		}
	}
	clear(o.undo[to:])
	o.undo = o.undo[:to]
}
