package coapbinding

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"

	"github.com/tallystick/tallystick/internal/binding"
)

// exchangeKey names a message of a peer (RFC 7252 clause 4.4).
type exchangeKey struct {
	peer peer
	mid  uint16
}

// exchange is a request that is being executed, or was: so that a request that arrives again is recognised and
// answered as the first time (RFC 7252 clause 4.5).
type exchange struct {
	key         exchangeKey
	shown       binding.Evidence // the credential
	sum         uint64           // of the whole datagram: a message ID that was used before, by a device that was off meanwhile for example, is a new request
	confirmable bool
	began       time.Time

	mu    sync.Mutex
	acked bool   // an Empty acknowledgement was sent: the response is a separate one
	reply []byte // nil as long as the request is executed
	timer *time.Timer
	size  int // accounted for in the table
}

// exchanges is the table of them. It is bounded: the oldest that is answered makes place, so under the highest load
// the server remembers for less than the EXCHANGE_LIFETIME of RFC 7252 clause 4.8.2.
type exchanges struct {
	l *limits

	mu       sync.Mutex
	byKey    map[exchangeKey]*exchange
	answered []*exchange              // in the order of their answers; nil where one was replaced
	first    int                      // of answered
	bytes    int                      // of replies in answered
	running  int                      // being executed
	peers    map[peer]int             // being executed, for each peer
	shown    map[binding.Evidence]int // and for each credential; none of a lab counts
}

func newExchanges(l *limits) *exchanges {
	return &exchanges{l: l, byKey: make(map[exchangeKey]*exchange), peers: make(map[peer]int), shown: make(map[binding.Evidence]int)}
}

func sum(datagram []byte) uint64 { return maphash.Bytes(hashSeed, datagram) }

// exchangeOverhead is what an exchange takes besides its reply, in bytes.
const exchangeOverhead = 256

// find gives the exchange of a message that was seen before, nil when it was not.
func (es *exchanges) find(key exchangeKey, sum uint64) *exchange {
	es.mu.Lock()
	defer es.mu.Unlock()
	if x := es.byKey[key]; x != nil && x.sum == sum {
		return x
	}
	return nil
}

// begin notes a request. It returns the one under way instead, with again true, when it is the same; and nil when too
// many are executed.
func (es *exchanges) begin(key exchangeKey, sum uint64, shown binding.Evidence, confirmable bool, now time.Time) (x *exchange, again bool) {
	es.mu.Lock()
	defer es.mu.Unlock()
	if x := es.byKey[key]; x != nil && x.sum == sum {
		return x, true
	}
	if es.running >= es.l.running || es.peers[key.peer] >= es.l.runningPerPeer || es.shown[shown] >= es.l.runningPerToken {
		return nil, false
	}
	x = &exchange{key: key, shown: shown, sum: sum, confirmable: confirmable, began: now}
	es.byKey[key] = x
	es.running++
	es.peers[key.peer]++
	if !shown.Anonymous() {
		es.shown[shown]++
	}
	return x, false
}

// end notes that a request is answered. When remember is false it may be executed again, should it come again.
func (es *exchanges) end(x *exchange, remember bool) {
	es.mu.Lock()
	defer es.mu.Unlock()
	es.running--
	if es.peers[x.key.peer]--; es.peers[x.key.peer] <= 0 {
		delete(es.peers, x.key.peer)
	}
	if !x.shown.Anonymous() {
		if es.shown[x.shown]--; es.shown[x.shown] <= 0 {
			delete(es.shown, x.shown)
		}
		x.shown = binding.Evidence{} // it may be remembered for long
	}
	if es.byKey[x.key] != x {
		return // its message ID was used anew meanwhile
	}
	if !remember {
		delete(es.byKey, x.key)
		return
	}
	x.size = exchangeOverhead + len(x.reply)
	es.answered = append(es.answered, x)
	es.bytes += x.size
	for es.bytes > es.l.exchangeBytes {
		es.forgetFirst()
	}
}

// expire forgets what was begun before.
func (es *exchanges) expire(before time.Time) {
	es.mu.Lock()
	defer es.mu.Unlock()
	for es.first < len(es.answered) && es.answered[es.first].began.Before(before) {
		es.forgetFirst()
	}
}

// forgetFirst forgets the exchange that was answered first. mu is held.
func (es *exchanges) forgetFirst() {
	x := es.answered[es.first]
	es.answered[es.first] = nil
	es.first++
	es.bytes -= x.size
	if es.byKey[x.key] == x {
		delete(es.byKey, x.key)
	}
	if es.first > 1024 && es.first > len(es.answered)/2 {
		n := copy(es.answered, es.answered[es.first:])
		clear(es.answered[n:])
		es.answered, es.first = es.answered[:n], 0
	}
}

// drain waits until no request is executed, or ctx ends.
func (es *exchanges) drain(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		es.mu.Lock()
		running := es.running
		es.mu.Unlock()
		if running == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("end the CoAP binding: %d requests are not answered: %w", running, ctx.Err())
		}
	}
}

// late acknowledges a request that takes long, so that the client does not repeat it (RFC 7252 clause 5.2.2).
func (x *exchange) late() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.reply == nil && !x.acked {
		x.acked = true
		x.key.peer.send(header(message.Acknowledgement, x.key.mid))
	}
}

// again answers a request that came again. One that is not confirmable is ignored (RFC 7252 clause 4.5).
func (x *exchange) again() {
	if !x.confirmable {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.reply == nil {
		x.acked = true
	}
	if x.acked {
		x.key.peer.send(header(message.Acknowledgement, x.key.mid))
	}
	if x.reply != nil {
		x.key.peer.send(x.reply)
	}
}
