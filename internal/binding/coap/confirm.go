package coapbinding

import (
	"math/rand/v2"
	"sync"
	"time"
)

// confirmables are the separate responses that wait for their acknowledgement (RFC 7252 clause 4.2).
type confirmables struct {
	l *limits

	mu     sync.Mutex
	under  map[exchangeKey]*confirmable
	closed bool
}

// confirmable is a message that is sent again until the peer acknowledges it.
type confirmable struct {
	key      exchangeKey
	datagram []byte
	timeout  time.Duration
	repeated int
	timer    *time.Timer
}

func newConfirmables(l *limits) *confirmables {
	return &confirmables{l: l, under: make(map[exchangeKey]*confirmable)}
}

// maxRetransmit is MAX_RETRANSMIT of RFC 7252 clause 4.8.
const maxRetransmit = 4

// firstTimeout gives the wait before the first repetition: ACK_TIMEOUT, and up to half of it more (clause 4.8).
func firstTimeout(ackTimeout time.Duration) time.Duration {
	return ackTimeout + rand.N(ackTimeout/2)
}

// add sends a message until it is acknowledged. It says false, and sends nothing, when too many wait.
func (cs *confirmables) add(key exchangeKey, datagram []byte) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed || len(cs.under) >= cs.l.confirmables {
		return false
	}
	if old := cs.under[key]; old != nil {
		old.timer.Stop()
	}
	c := &confirmable{key: key, datagram: datagram, timeout: firstTimeout(cs.l.ackTimeout)}
	c.timer = time.AfterFunc(c.timeout, func() { cs.repeat(c) })
	cs.under[key] = c
	key.peer.send(datagram)
	return true
}

func (cs *confirmables) repeat(c *confirmable) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.under[c.key] != c {
		return
	}
	if c.repeated == maxRetransmit {
		delete(cs.under, c.key)
		return
	}
	c.repeated++
	c.timeout *= 2
	c.timer.Reset(c.timeout)
	c.key.peer.send(c.datagram)
}

// done ends the repetitions of a message: the peer acknowledged or rejected it.
func (cs *confirmables) done(key exchangeKey) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.under[key]; c != nil {
		c.timer.Stop()
		delete(cs.under, key)
	}
}

// close gives up all that wait.
func (cs *confirmables) close() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed = true
	for _, c := range cs.under {
		c.timer.Stop()
	}
	clear(cs.under)
}
