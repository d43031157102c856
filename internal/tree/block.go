package tree

import (
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// Block is the block in progress: the newest committed version under what the requests so far have changed. It is
// used by one goroutine and ends with Commit or Discard. After an error of a write, Rollback is due before anything else.
type Block struct {
	t      *Tree
	v      *version
	height uint64
	time   int64
	order  uint64 // next order of creation
	marks  uint64 // number of marks and rollbacks so far
	*work         // nil once the block has ended
}

// work is what a block has changed. It is kept for the next block, to spare the allocations.
type work struct {
	nodes     overlay[string, nodeChange]
	names     overlay[pair, nameChange]
	subs      overlay[string, []string]
	aux       overlay[string, []byte]
	instances overlay[instanceName, nameOfInstance]
	byIndex   overlay[instancePlace, nameAtIndex]
	times     overlay[timesPlace, timeSet]

	kids     map[string][]child // created in this block, by parent, in order
	kidsUndo []string           // their parents, in order of creation

	containers     map[string]*staged
	containersUndo []containerUndo
	appended       []appended // instances of this block, ascending by index

	seen    seen
	local   map[string][]byte
	encoded *encoded // the writes, as long as nothing has changed since
	memory  encoded  // what encoded points to
}

func newWork() *work {
	return &work{
		nodes:      newOverlay[string, nodeChange](),
		names:      newOverlay[pair, nameChange](),
		subs:       newOverlay[string, []string](),
		aux:        newOverlay[string, []byte](),
		instances:  newOverlay[instanceName, nameOfInstance](),
		byIndex:    newOverlay[instancePlace, nameAtIndex](),
		times:      newOverlay[timesPlace, timeSet](),
		kids:       make(map[string][]child),
		containers: make(map[string]*staged),
		local:      make(map[string][]byte),
		seen:       newSeen(),
	}
}

// keepLimit bounds what is kept for the next block, so that one large block does not hold memory for good.
const keepLimit = 1 << 14

// clear makes w as good as new; it answers false when that is not worth it.
func (w *work) clear() bool {
	if len(w.nodes.undo)+len(w.names.undo)+len(w.containersUndo)+len(w.byIndex.undo)+len(w.times.undo)+len(w.aux.undo) > keepLimit {
		return false
	}
	w.nodes.clear()
	w.names.clear()
	w.subs.clear()
	w.aux.clear()
	w.instances.clear()
	w.byIndex.clear()
	w.times.clear()
	clear(w.kids)
	w.kidsUndo = w.kidsUndo[:0]
	clear(w.containers)
	clear(w.containersUndo)
	w.containersUndo = w.containersUndo[:0]
	clear(w.appended)
	w.appended = w.appended[:0]
	clear(w.local)
	w.seen.clear()
	w.encoded = nil
	w.memory.reuse()
	return true
}

// nodeChange is a resource before the block and now.
type nodeChange struct{ base, now *node }

// nameChange is what a name meant before the block and now; "" is nothing.
type nameChange struct{ base, now string }

// instanceName is a name below a container. Its generation tells containers of the same ID apart that were removed in
// this block.
type instanceName struct {
	ri         string
	generation uint32
	name       string
}

type nameOfInstance struct {
	index           uint64
	live, committed bool
}

type instancePlace struct {
	ri         string
	generation uint32
	index      uint64
}

type nameAtIndex struct {
	name            string
	live, committed bool
}

type appended struct {
	to    *staged
	index uint64
}

var _ cse.State = (*Block)(nil)

// Begin starts a block on top of the newest committed version. Height and time (Unix microseconds) are what Last gives
// once it is committed.
func (t *Tree) Begin(height uint64, time int64) *Block {
	v := t.acquire()
	w := t.spare.Swap(nil)
	if w == nil {
		w = newWork()
	}
	return &Block{t: t, v: v, height: height, time: time, order: v.order, work: w}
}

// Discard ends a block without a trace. After Commit it does nothing.
func (b *Block) Discard() {
	if b.work == nil {
		return
	}
	if b.work.clear() {
		b.t.spare.Store(b.work)
	}
	b.work = nil
	b.v.releaseLogged()
}

// Mark is a point in a block that Rollback can come back to.
type Mark struct {
	nodes, names, subs, aux, instances, byIndex, times, kids, containers, appended int
	order                                                                          uint64
}

// Mark notes where the block is now.
func (b *Block) Mark() Mark {
	b.marks++
	return Mark{
		nodes: len(b.nodes.undo), names: len(b.names.undo), subs: len(b.subs.undo), aux: len(b.aux.undo),
		instances: len(b.instances.undo), byIndex: len(b.byIndex.undo), times: len(b.times.undo), kids: len(b.kidsUndo),
		containers: len(b.containersUndo), appended: len(b.appended), order: b.order,
	}
}

// Rollback undoes everything since m was taken, node-local records apart. Marks taken after m are void.
func (b *Block) Rollback(m Mark) {
	b.marks++
	b.encoded = nil
	b.nodes.rollback(m.nodes)
	b.names.rollback(m.names)
	b.subs.rollback(m.subs)
	b.aux.rollback(m.aux)
	b.instances.rollback(m.instances)
	b.byIndex.rollback(m.byIndex)
	b.times.rollback(m.times)
	for i := len(b.kidsUndo) - 1; i >= m.kids; i-- {
		list := b.kids[b.kidsUndo[i]]
		b.kids[b.kidsUndo[i]] = list[:len(list)-1]
	}
	b.kidsUndo = b.kidsUndo[:m.kids]
	for i := len(b.containersUndo) - 1; i >= m.containers; i-- {
		b.undoContainer(&b.containersUndo[i])
	}
	clear(b.containersUndo[m.containers:])
	b.containersUndo = b.containersUndo[:m.containers]
	clear(b.appended[m.appended:])
	b.appended = b.appended[:m.appended]
	b.order = m.order
}

// SetLocal stages a node-local record, or its removal when value is nil. It becomes durable with the block, is
// no part of Digest, and Rollback leaves it alone.
func (b *Block) SetLocal(key string, value []byte) { b.local[key] = slices.Clone(value) }

// Local reads a node-local record as this block leaves it, nil when there is none.
func (b *Block) Local(key string) ([]byte, error) {
	if v, ok := b.local[key]; ok {
		return v, nil
	}
	return b.t.Local(key)
}

// Put implements cse.State. A resource keeps its type, parent and name for life.
func (b *Block) Put(r *cse.Resource) error {
	if err := checkResource(r); err != nil {
		return err
	}
	old, err := b.node(r.RI)
	if err != nil {
		return err
	}
	b.encoded = nil
	if old != nil {
		if old.res.Type != r.Type || old.res.PI != r.PI || old.res.RN != r.RN {
			return fmt.Errorf("tree: put resource %q: it cannot change its type, parent or name", r.RI)
		}
		b.setNode(r.RI, old, &node{order: old.order, res: r})
		return nil
	}
	taken, err := b.Child(r.PI, r.RN)
	if err != nil {
		return err
	}
	if taken != "" {
		return fmt.Errorf("tree: put resource %q: the name %q below %q belongs to %q", r.RI, r.RN, r.PI, taken)
	}
	n := &node{order: b.order, res: r}
	b.order++
	b.setNode(r.RI, nil, n)
	if err := b.setName(pair{r.PI, r.RN}, r.RI); err != nil {
		return err
	}
	b.kids[r.PI] = append(b.kids[r.PI], child{n.order, cse.ChildRef{RI: r.RI, RN: r.RN, Type: r.Type}})
	b.kidsUndo = append(b.kidsUndo, r.PI)
	switch {
	case r.Type.InstanceType() != 0:
		return b.newContainer(r)
	case r.Type == onem2m.TypeSubscription:
		list, err := b.Subscriptions(r.PI)
		if err != nil {
			return err
		}
		b.subs.set(r.PI, append(slices.Clip(list), r.RI))
	}
	return nil
}

func checkResource(r *cse.Resource) error {
	if r.RI == "" || r.RN == "" || r.Type.IsInstance() || r.Type < 0 {
		return fmt.Errorf("tree: put resource %q, name %q, type %d: not a resource the tree keeps", r.RI, r.RN, r.Type)
	}
	if r.Expires < 0 || r.Expires >= maxNumber || r.Wake < 0 || r.Wake >= maxNumber {
		return fmt.Errorf("tree: put resource %q: expiry %d or wake %d out of range", r.RI, r.Expires, r.Wake)
	}
	if err := checkID("resource ID", r.RI); err != nil {
		return err
	}
	if err := checkID("parent ID", r.PI); err != nil {
		return err
	}
	return checkID("resource name", r.RN)
}

// setNode notes that the resource ri, now old, becomes n.
func (b *Block) setNode(ri string, old, n *node) {
	c, changed := b.nodes.m[ri]
	if !changed {
		c.base = old
	}
	c.now = n
	b.nodes.set(ri, c)
}

func (b *Block) setName(k pair, ri string) error {
	c, changed := b.names.m[k]
	if !changed {
		base, err := b.nameBelow(k)
		if err != nil {
			return err
		}
		c.base = base
	}
	c.now = ri
	b.names.set(k, c)
	return nil
}

// newContainer gives a new container its counters.
func (b *Block) newContainer(r *cse.Resource) error {
	s := b.containers[r.RI]
	if s == nil {
		base, err := b.v.container(r.RI)
		if err != nil {
			return err
		}
		if base != nil {
			return corrupt(appendKey(nil, spaceContainer, r.RI), "it belongs to no resource")
		}
		s = &staged{ri: r.RI}
		b.addStaged(s)
	}
	b.save(s)
	s.container = container{Counters: cse.Counters{StateTag: r.StateTag, Modified: r.Modified}}
	s.present, s.dirty = true, true
	return nil
}

// Remove implements cse.State.
func (b *Block) Remove(ri string) error {
	n, err := b.node(ri)
	if err != nil {
		return err
	}
	if n == nil {
		return fmt.Errorf("tree: remove resource %q: not there", ri)
	}
	b.encoded = nil
	b.setNode(ri, n, nil)
	if err := b.setName(pair{n.res.PI, n.res.RN}, ""); err != nil {
		return err
	}
	switch {
	case n.res.Type.InstanceType() != 0:
		s, err := b.stage(ri)
		if err != nil {
			return err
		}
		if s == nil {
			return corrupt(appendKey(nil, spaceContainer, ri), "missing")
		}
		b.save(s)
		s.clear()
	case n.res.Type == onem2m.TypeSubscription:
		list, err := b.Subscriptions(n.res.PI)
		if err != nil {
			return err
		}
		rest := make([]string, 0, len(list))
		for _, sub := range list {
			if sub != ri {
				rest = append(rest, sub)
			}
		}
		b.subs.set(n.res.PI, rest)
	}
	return nil
}

// SetAux implements cse.State.
func (b *Block) SetAux(key string, value []byte) error {
	if err := checkID("aux key", key); err != nil {
		return err
	}
	b.encoded = nil
	b.aux.set(key, slices.Clone(value))
	return nil
}
