package tree

// seen is what a block has read of the version below it. The requests of a block are about the same few resources again
// and again, and whoever reads a block is alone with it, while the caches of the tree are shared, and locked for each look.
type seen struct {
	nodes map[string]*node
	names map[pair]string
	subs  map[string][]string
}

// maxSeen bounds how much of one kind is remembered. A block that touches more resources finds them in the caches.
const maxSeen = 1 << 12

func newSeen() seen {
	return seen{make(map[string]*node), make(map[pair]string), make(map[string][]string)}
}

// clear forgets everything: the next block begins on another version.
func (s *seen) clear() {
	clear(s.nodes)
	clear(s.names)
	clear(s.subs)
}

// remembered gives what known has for k, or what read gives.
func remembered[K comparable, V any](known map[K]V, k K, read func(K) (V, error)) (V, error) {
	if v, ok := known[k]; ok {
		return v, nil
	}
	v, err := read(k)
	if err == nil && len(known) < maxSeen {
		known[k] = v
	}
	return v, err
}

// below reads a resource as it was before the block.
func (b *Block) below(ri string) (*node, error) { return remembered(b.seen.nodes, ri, b.v.node) }

// nameBelow resolves a name as it was before the block.
func (b *Block) nameBelow(k pair) (string, error) {
	return remembered(b.seen.names, k, func(k pair) (string, error) { return b.v.child(k.pi, k.rn) })
}

// subscriptionsBelow lists subscriptions as they were before the block.
func (b *Block) subscriptionsBelow(pi string) ([]string, error) {
	return remembered(b.seen.subs, pi, b.v.subscriptions)
}
