package ingress

import (
	"sync"
	"sync/atomic"

	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of what may wait for a block on one node.
const (
	maxWaiting      = 1 << 16  // requests
	maxWaitingBytes = 64 << 20 // their contents
	batchBytes      = 1 << 20  // contents that go into one batch, unless a single request is larger
	batchOverhead   = 256      // more than a batch takes besides its items
)

// waiter is one request on its way to a block, or several that are done together or not at all.
type waiter struct {
	items []ledger.Item
	size  int                    // of the items in a batch, in bytes
	done  chan []onem2m.Response // receives exactly once: a response an item; not used when then is set
	then  func([]onem2m.Response)
	gone  atomic.Bool // nobody waits for the response; such a waiter is not used again
}

// coalescer turns concurrent requests into batches. A request that finds no batch of this node under way leaves at
// once; those that come while one is being agreed on leave together, as soon as that one is committed or this node
// proposes a block, whichever is first. So nobody is held back for others to come, and batches grow with the load.
type coalescer struct {
	app    *ledger.App
	submit func(tx []byte) error
	kick   chan struct{} // tells the submitter that there may be something to do
	stop   chan struct{} // closed by close
	pool   sync.Pool

	mu      sync.Mutex
	queue   []*waiter
	bytes   int // of the requests in queue and in batches
	queued  int // of those in queue
	closed  error
	batches map[uint64]*inFlight // by sequence number
	making  int                  // batches taken from the queue and not yet in batches
	mempool int                  // batches handed to the mempool and not committed
	height  uint64               // newest committed height
}

// inFlight is a batch that is not committed yet.
type inFlight struct {
	waiters  []*waiter
	bytes    int
	tx       []byte
	proposed uint64 // height of the proposal it was put into directly; 0 when it went to the mempool
}

func newCoalescer(app *ledger.App, submit func([]byte) error) *coalescer {
	c := &coalescer{
		app: app, submit: submit, kick: make(chan struct{}, 1), stop: make(chan struct{}), batches: make(map[uint64]*inFlight),
		height: app.Head().Height,
	}
	c.pool.New = func() any { return &waiter{done: make(chan []onem2m.Response, 1)} }
	go c.run()
	return c
}

func (c *coalescer) add(items ...ledger.Item) (*waiter, error) {
	w := c.pool.Get().(*waiter)
	w.items = append(w.items[:0], items...)
	if err := c.enqueue(w); err != nil {
		c.release(w)
		return nil, err
	}
	return w, nil
}

// enqueue puts a waiter with its items behind all that wait.
func (c *coalescer) enqueue(w *waiter) error {
	w.size = 0
	for i := range w.items {
		w.size += w.items[i].Size()
	}
	c.mu.Lock()
	if c.closed != nil || len(c.queue) >= maxWaiting || c.bytes >= maxWaitingBytes {
		err := c.closed
		if err == nil {
			err = errBusy
		}
		c.mu.Unlock()
		return err
	}
	c.queue = append(c.queue, w)
	c.bytes += w.size
	c.queued += w.size
	due := c.mempool == 0 || c.queued >= batchBytes
	c.mu.Unlock()
	if due {
		c.wake()
	}
	return nil
}

// answer gives a waiter its responses.
func (w *waiter) answer(each []onem2m.Response) {
	if w.then != nil {
		w.then(each)
		return
	}
	w.done <- each
}

// release gives a waiter back whose response was received, or that was never queued.
func (c *coalescer) release(w *waiter) {
	clear(w.items)
	c.pool.Put(w)
}

func (c *coalescer) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// run hands batches to the mempool.
func (c *coalescer) run() {
	for {
		select {
		case <-c.kick:
		case <-c.stop:
			return
		}
		for {
			tx, b := c.next()
			if b == nil {
				break
			}
			if err := c.submit(tx); err != nil {
				c.refuse(b, err)
			}
		}
	}
}

// next takes a batch for the mempool if one is due: none of this node's is there, or a full one waits.
func (c *coalescer) next() ([]byte, *inFlight) {
	c.mu.Lock()
	if !c.ready() || (c.mempool > 0 && c.queued < batchBytes) {
		c.mu.Unlock()
		return nil, nil
	}
	ws := c.take(batchBytes)
	if len(ws) == 0 {
		c.mu.Unlock()
		return nil, nil
	}
	c.mempool++
	c.mu.Unlock()
	return c.encode(ws, 0)
}

// fill takes a batch for a proposal that this node is about to make, which has the batches own of this node already. It
// takes none while there is any other, on its way to the mempool or left there: the requests would overtake those of that
// batch, and readings of one connection keep their order.
func (c *coalescer) fill(maxBytes int, own []uint64) []byte {
	c.mu.Lock()
	if !c.ready() || c.making > 0 || !c.allOf(own) || maxBytes < c.queue[0].size+batchOverhead {
		c.mu.Unlock()
		return nil
	}
	ws := c.take(min(maxBytes-batchOverhead, batchBytes))
	if len(ws) == 0 {
		c.mu.Unlock()
		return nil
	}
	height := c.height + 1
	c.mu.Unlock()
	tx, _ := c.encode(ws, height)
	return tx // nil when the node is stopping
}

// allOf says whether all batches under way are among those given. mu is held.
func (c *coalescer) allOf(seqs []uint64) bool {
	n := 0
	for _, seq := range seqs {
		if c.batches[seq] != nil {
			n++
		}
	}
	return n == len(c.batches)
}

// ready says whether a batch may be made now: requests wait, and not too many batches are under way. mu is held.
func (c *coalescer) ready() bool {
	return c.closed == nil && len(c.queue) > 0 && len(c.batches)+c.making < ledger.MaxInFlight
}

// take removes requests of up to max bytes from the queue, and those that nobody waits for any more. It returns at
// least one, unless nobody waits for any. mu is held.
func (c *coalescer) take(max int) []*waiter {
	var ws []*waiter
	n, size, items := 0, 0, 0
	for ; n < len(c.queue) && items+len(c.queue[n].items) <= ledger.MaxItems; n++ {
		w := c.queue[n]
		if w.gone.Load() {
			c.bytes -= w.size
			c.queued -= w.size
			continue
		}
		if len(ws) > 0 && size+w.size > max {
			break
		}
		size += w.size
		items += len(w.items)
		ws = append(ws, w)
	}
	c.queue = c.queue[n:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	c.queued -= size
	if len(ws) > 0 {
		c.making++
	}
	return ws
}

// encode signs a batch and registers it. It returns nil when close came first, and answers the requests.
func (c *coalescer) encode(ws []*waiter, proposed uint64) ([]byte, *inFlight) {
	items := make([]ledger.Item, 0, len(ws))
	size := 0
	for _, w := range ws {
		items = append(items, w.items...)
		size += w.size
	}
	seq, tx := c.app.Sign(newSeed(), items)
	b := &inFlight{waiters: ws, bytes: size, tx: tx, proposed: proposed}
	c.mu.Lock()
	c.making--
	err := c.closed
	if err == nil {
		c.batches[seq] = b
	}
	c.mu.Unlock()
	if err != nil {
		answer(ws, stopped(err))
		return nil, nil
	}
	return tx, b
}

// refuse answers the requests of a batch that the mempool did not take, unless they were answered meanwhile: a waiter
// that was answered may serve another request by now.
func (c *coalescer) refuse(b *inFlight, err error) {
	c.mu.Lock()
	pending := false
	for seq, x := range c.batches {
		if x == b {
			delete(c.batches, seq)
			c.mempool--
			c.bytes -= b.bytes
			pending = true
		}
	}
	more := len(c.queue) > 0
	c.mu.Unlock()
	if pending {
		answer(b.waiters, failure(onem2m.StatusInternalServerError, "not taken for ordering: "+err.Error()))
	}
	if more {
		c.wake()
	}
}

// answer gives the same response to all.
func answer(ws []*waiter, resp *onem2m.Response) {
	for _, w := range ws {
		each := make([]onem2m.Response, len(w.items))
		for i := range each {
			each[i] = *resp
		}
		w.answer(each)
	}
}

func stopped(err error) *onem2m.Response {
	return failure(onem2m.StatusRequestTimeout, err.Error()+": the request may still be committed; read before you repeat it")
}

// committed answers the requests of committed batches and sends what gathered meanwhile on its way.
func (c *coalescer) committed(height uint64, results []ledger.Result) {
	c.mu.Lock()
	c.height = height
	done := make([]*inFlight, len(results))
	for i, r := range results {
		b := c.batches[r.Seq]
		if b == nil {
			continue // from before a restart
		}
		delete(c.batches, r.Seq)
		c.bytes -= b.bytes
		if b.proposed == 0 {
			c.mempool--
		}
		done[i] = b
	}
	// A batch put into a proposal that was not decided goes the ordinary way.
	var again []*inFlight
	for _, b := range c.batches {
		if b.proposed != 0 && b.proposed <= height {
			b.proposed = 0
			c.mempool++
			again = append(again, b)
		}
	}
	more := len(c.queue) > 0
	c.mu.Unlock()
	for _, b := range again {
		go func() { // the mempool is locked during commit
			if err := c.submit(b.tx); err != nil {
				c.refuse(b, err)
			}
		}()
	}
	if more {
		c.wake()
	}
	for i, b := range done {
		if b == nil {
			continue
		}
		each := results[i].Responses
		for _, w := range b.waiters {
			n := len(w.items)
			w.answer(each[:n:n])
			each = each[n:]
		}
	}
}

func (c *coalescer) close(err error) {
	c.mu.Lock()
	if c.closed != nil {
		c.mu.Unlock()
		return
	}
	c.closed = err
	ws := c.queue
	c.queue = nil
	for _, b := range c.batches {
		ws = append(ws[:len(ws):len(ws)], b.waiters...)
	}
	clear(c.batches)
	close(c.stop)
	c.mu.Unlock()
	answer(ws, stopped(err))
}
