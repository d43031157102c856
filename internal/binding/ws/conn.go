package wsbinding

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/semaphore"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// conn is one WebSocket connection. One goroutine reads it; answers are written by a goroutine that lives as long as
// there are any.
type conn struct {
	b        *Binding
	format   format
	dialed   bool                // this node opened it
	near     bool                // and it leads to this machine
	memory   *semaphore.Weighted // that its long messages share, in bytes
	socket   *socket             // nil when it was dialed
	evidence binding.Evidence
	path     string // of a plain device
	media    string
	remote   string // the client's IP address

	ws     *websocket.Conn
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc

	wrapped  atomic.Bool  // the peer's last message was wrapped in m2m:rqp or m2m:rsp
	stranger atomic.Bool  // no valid credential was shown
	since    int64        // tick of its beginning
	heard    atomic.Int64 // tick of the last sign of life
	pinged   atomic.Int64 // tick of the last ping
	reading  atomic.Int64 // tick at which the message that is being read began, 0 when none is
	waiting  atomic.Bool  // for room, not for the client
	refused  int          // requests without a valid credential; of the reading goroutine

	window    *semaphore.Weighted // bytes of requests that are not answered yet
	retrieves *semaphore.Weighted

	mu         sync.Mutex
	ended      bool
	writing    bool        // a goroutine writes
	out        []byte      // messages to be written, one after another
	marks      []mark      // one a message in out
	spare      []byte      // for the next out
	spareMarks []mark      // for the next marks
	asked      asked       // requests to the peer
	proven     []string    // originators that the client speaks for
	tokens     []string    // credentials shown in requests
	unwatch    []func()    // end the watch over all credentials shown
	ordered    orderedList // answers to a plain device
}

// mark ends one message in conn.out.
type mark struct {
	end      int
	kind     websocket.MessageType
	cost     int64 // given back to the window when the message is written
	retrieve bool
}

func newConn(b *Binding, f format, memory *semaphore.Weighted) *conn {
	c := &conn{
		b: b, format: f, memory: memory, since: b.clock.Load(),
		window: semaphore.NewWeighted(maxWindow), retrieves: semaphore.NewWeighted(maxRetrieves),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// open gives the connection what it was made for. It is false when it has ended meanwhile.
func (c *conn) open(ws *websocket.Conn) bool {
	c.heard.Store(c.b.clock.Load())
	c.pinged.Store(c.b.clock.Load())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ws = ws
	return !c.ended
}

// pong is called for each pong of the peer.
func (c *conn) pong(context.Context, []byte) { c.heard.Store(c.b.clock.Load()) }

// end closes the connection at once and fails what waits for the peer.
func (c *conn) end() {
	c.mu.Lock()
	ended, ws := c.ended, c.ws
	c.ended = true
	waiting, unwatch := c.asked.all(), c.unwatch
	c.unwatch = nil
	c.mu.Unlock()
	if ended {
		return
	}
	c.cancel()
	for _, stop := range unwatch {
		stop()
	}
	for _, w := range waiting {
		close(w)
	}
	if ws == nil {
		return
	}
	if c.socket != nil {
		_ = c.socket.Close() // nobody has to wait for the end of a close handshake
	}
	_ = ws.CloseNow() // nobody is left to tell
}

// hangUp closes the connection with a reason, and waits a little until the peer has got it.
func (c *conn) hangUp(code websocket.StatusCode, reason string) {
	c.b.o.Log.Debug("a WebSocket connection is closed", "remote", c.remote, "reason", reason)
	_ = c.ws.Close(code, reason) // it ends either way
	c.end()
}

// leave closes the connection when all that is under way is answered, or when ctx ends.
func (c *conn) leave(ctx context.Context) {
	c.mu.Lock()
	ws := c.ws
	c.mu.Unlock()
	if ws != nil && c.window.Acquire(ctx, maxWindow) == nil {
		farewell := time.AfterFunc(farewellTime, c.end)
		_ = ws.Close(websocket.StatusGoingAway, "the node is stopping") // it ends either way
		farewell.Stop()
	}
	c.end()
}

// lookAfter does what is due at a tick.
func (c *conn) lookAfter(now int64) {
	c.mu.Lock()
	ws, ended := c.ws, c.ended
	c.mu.Unlock()
	if ws == nil || ended {
		return
	}
	if began := c.reading.Load(); began != 0 && now-began > ticks(messageTimeout) ||
		!c.waiting.Load() && now-c.heard.Load() > ticks(silence) ||
		!c.dialed && c.stranger.Load() && now-c.since > ticks(strangerTime) {
		c.b.running.Go(c.end)
		return
	}
	if now-c.heard.Load() >= ticks(pingInterval) && now-c.pinged.Load() >= ticks(pingInterval) {
		c.pinged.Store(now)
		c.b.running.Go(func() {
			ctx, cancel := context.WithTimeout(c.ctx, pingInterval)
			defer cancel()
			_ = ws.Ping(ctx) // the pong counts, or that none comes
		})
	}
}

// watch has the connection closed when a credential that was shown on it ends.
func (c *conn) watch(ev binding.Evidence) {
	if c.b.watcher == nil {
		return
	}
	stop := c.b.watcher.Watch(ev, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.ended { // once it has, Close may have stopped waiting
			c.b.running.Go(func() { c.hangUp(websocket.StatusPolicyViolation, "the credential is not valid any more") })
		}
	})
	c.mu.Lock()
	ended := c.ended
	if !ended {
		c.unwatch = append(c.unwatch, stop)
	}
	c.mu.Unlock()
	if ended {
		stop()
	}
}

// serve reads messages until the connection ends.
func (c *conn) serve() {
	for {
		m, err := c.read()
		if err != nil {
			c.b.o.Log.Debug("a WebSocket connection ended", "remote", c.remote, "err", err)
			if errors.Is(err, websocket.ErrMessageTooBig) && c.socket != nil {
				c.linger()
			}
			return
		}
		if !c.take(m) {
			return
		}
	}
}

// linger reads what the client goes on sending for a moment: closing at once would reset the connection, and the client
// might lose the close frame that says why.
func (c *conn) linger() {
	if c.socket.SetReadDeadline(time.Now().Add(farewellTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.socket.Conn, 4*c.b.o.MaxMessage) // it ends either way
	}
}

// message is one message of the peer.
type message struct {
	text  []byte
	share int64 // of the message memory, in bytes
}

// scratches hold messages until their size is known.
var scratches = sync.Pool{New: func() any { return new([smallMessage + 1]byte) }}

var errStranger = errors.New("a long message without a valid credential")

// read reads the next message. Its text belongs to the caller.
func (c *conn) read() (m message, err error) {
	_, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return m, err
	}
	c.heard.Store(c.b.clock.Load())
	c.reading.Store(c.b.clock.Load())
	defer c.reading.Store(0)
	scratch := scratches.Get().(*[smallMessage + 1]byte)
	defer scratches.Put(scratch)
	n, err := io.ReadFull(r, scratch[:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		m.text = append(make([]byte, 0, n), scratch[:n]...)
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if c.stranger.Load() {
		binding.Denied(c.b.o.Handler, c.evidence, binding.Denial{Reason: binding.BadCredential, Doing: "send"})
		c.hangUp(websocket.StatusPolicyViolation, errStranger.Error())
		return m, errStranger
	}
	return c.readLong(scratch[:], r)
}

// readLong reads the rest of a message that begins with start.
func (c *conn) readLong(start []byte, r io.Reader) (m message, err error) {
	full := c.b.o.MaxMessage
	ctx, cancel := context.WithTimeout(c.ctx, memoryWait)
	defer cancel()
	if err := c.memory.Acquire(ctx, full); err != nil {
		c.hangUp(websocket.StatusTryAgainLater, "the messages of others fill the memory set aside for them")
		return m, err
	}
	text := slices.Clone(start)
	for {
		if len(text) == cap(text) {
			text = slices.Grow(text, min(len(text), int(full)-len(text)+1))
		}
		n, err := r.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if errors.Is(err, io.EOF) {
			m = message{text: slices.Clip(text), share: min(int64(len(text)), full)}
			c.memory.Release(full - m.share)
			return m, nil
		}
		if err != nil {
			c.memory.Release(full)
			return m, err
		}
	}
}

// giveBack ends a message's hold on the message memory.
func (c *conn) giveBack(m message) {
	if m.share > 0 {
		c.memory.Release(m.share)
	}
}

// room waits until a message may be executed and gives what it costs.
func (c *conn) room(s *semaphore.Weighted, n int64) bool {
	if s.TryAcquire(n) {
		return true
	}
	c.waiting.Store(true)
	err := s.Acquire(c.ctx, n)
	c.heard.Store(c.b.clock.Load())
	c.waiting.Store(false)
	return err == nil
}

func cost(n int) int64 { return min(max(int64(n), minCost), maxWindow) }

// put adds a primitive to what is to be written.
func (c *conn) put(m mark, p onem2m.Primitive) bool {
	m.kind = websocket.MessageText
	var cbor []byte
	if c.format == formatCBOR {
		cbor, m.kind = encodeCBOR(p)
	}
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		c.written(m)
		return false
	}
	if cbor != nil {
		c.out = append(c.out, cbor...)
	} else {
		c.out = p.Append(c.out)
	}
	c.queue(m)
	return true
}

// queue ends a message in out and sees to it that somebody writes. It unlocks mu.
func (c *conn) queue(m mark) {
	m.end = len(c.out)
	c.marks = append(c.marks, m)
	c.startWriting()
}

// startWriting sees to it that somebody writes what is to be written. It unlocks mu.
func (c *conn) startWriting() {
	if !c.writing && len(c.marks) > 0 {
		c.writing = true
		c.b.running.Go(c.write) // under mu: once the connection has ended, Close may have stopped waiting
	}
	c.mu.Unlock()
}

// encodeCBOR gives a primitive as CBOR, or as JSON text when a number in its content has no CBOR form: an answer says
// what was done, which an error could not.
func encodeCBOR(p onem2m.Primitive) ([]byte, websocket.MessageType) {
	text := p.Append(nil)
	cbor, err := onem2m.JSONToCBOR(text)
	if err != nil {
		return text, websocket.MessageText
	}
	return cbor, websocket.MessageBinary
}

// written gives back what a message held.
func (c *conn) written(m mark) {
	if m.cost > 0 {
		c.window.Release(m.cost)
	}
	if m.retrieve {
		c.retrieves.Release(1)
	}
}

// maxSpare is the size of a buffer that is kept for the next messages, in bytes.
const maxSpare = 256 << 10

// write writes messages until there are none.
func (c *conn) write() {
	for {
		c.mu.Lock()
		if len(c.marks) == 0 || c.ended {
			c.writing = false
			marks := c.marks
			c.marks = nil
			c.mu.Unlock()
			for _, m := range marks {
				c.written(m)
			}
			return
		}
		out, marks := c.out, c.marks
		c.out, c.marks = c.spare[:0], c.spareMarks[:0]
		c.spare, c.spareMarks = nil, nil
		c.mu.Unlock()
		err := c.writeAll(out, marks)
		for _, m := range marks {
			c.written(m)
		}
		if err != nil {
			c.b.o.Log.Debug("a WebSocket client does not take what is written to it", "remote", c.remote, "err", err)
			c.end()
			continue
		}
		c.mu.Lock()
		if cap(out) <= maxSpare {
			c.spare, c.spareMarks = out, marks
		}
		c.mu.Unlock()
	}
}

func (c *conn) writeAll(out []byte, marks []mark) error {
	if c.socket == nil {
		ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
		defer cancel()
		return c.writeEach(ctx, out, marks)
	}
	c.socket.hold()
	err := c.writeEach(context.Background(), out, marks)
	// Even then: a close frame may be among what was gathered.
	return errors.Join(err, c.socket.flush())
}

func (c *conn) writeEach(ctx context.Context, out []byte, marks []mark) error {
	start := 0
	for _, m := range marks {
		if err := c.ws.Write(ctx, m.kind, out[start:m.end]); err != nil {
			return err
		}
		start = m.end
	}
	return nil
}
