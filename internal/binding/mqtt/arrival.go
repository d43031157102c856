package mqttbinding

import (
	"errors"
	"io"
	"net"
	"time"
)

// writerPatience is how long the end of a connection waits for its writer to note what it has written.
const writerPatience = 20 * time.Millisecond

// sending is what was sent on a connection, as far as it matters whether acknowledgements have arrived.
type sending struct {
	acks    int // that were queued
	written int // of them
	after   int // bytes written after the last of them
	seen    int // of them, whose arrival was noted
	verdict useState
	judged  int // of them, when the verdict was made
}

// note notes that n bytes were written, with the acknowledgements that were queued when acks were.
func (s *sending) note(n, acks int) {
	if acks > s.written {
		s.written, s.after = acks, 0
		return
	}
	s.after += n
}

// arrival says whether the client's machine has confirmed all acknowledgements that were sent on the connection: by the
// socket's count of bytes that were not confirmed yet. c.mu is held.
func (c *conn) arrival() useState {
	s := &c.sending
	if s.acks != s.written {
		return useUnknown
	}
	n, ok := unconfirmed(c.net)
	switch {
	case !ok:
		return useUnknown
	case n <= s.after:
		return useLanded
	case s.after == 0:
		return useMissed
	}
	return useUnknown
}

// testify notes, once, what became of the acknowledgements of a connection that ends: before anything else is written
// to it. err is why it ends.
func (c *conn) testify(err error) {
	var timeout net.Error
	silent := err == nil || errors.Is(err, io.EOF) || errors.As(err, &timeout) && timeout.Timeout()
	c.mu.Lock()
	defer c.mu.Unlock()
	for end := time.Now().Add(writerPatience); c.writing && c.sending.acks != c.sending.written && time.Now().Before(end); {
		c.mu.Unlock()
		time.Sleep(time.Millisecond)
		c.mu.Lock()
	}
	if c.sending.verdict != useUnknown || c.ending || c.closed {
		return
	}
	// A machine resets a connection whose program has not read all of it; what that has read is not known then.
	if silent {
		c.sending.verdict, c.sending.judged = c.arrival(), c.sending.acks
	}
}

// final gives the verdict. What was sent after it was sent to nobody. c.mu is held.
func (s *sending) final() useState {
	if s.verdict == useLanded && s.acks > s.judged {
		return useMissed
	}
	return s.verdict
}

// observe notes which acknowledgements have arrived on the connections that there are.
func (b *Broker) observe() {
	b.mu.RLock()
	all := make([]*conn, 0, len(b.conns))
	for c := range b.conns {
		all = append(all, c)
	}
	b.mu.RUnlock()
	for _, c := range all {
		c.mu.Lock()
		if s := &c.sending; c.accepted && !c.ending && s.acks > s.seen && c.arrival() == useLanded {
			s.seen = s.acks
			c.session.mu.Lock()
			c.session.uses.ended(useLanded)
			c.session.mu.Unlock()
		}
		c.mu.Unlock()
	}
}
