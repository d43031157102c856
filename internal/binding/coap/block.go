package coapbinding

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/onem2m"
)

// maxSZX is the size exponent of the largest block, 1024 bytes; 7 is reserved (RFC 7959 clause 2.2).
const maxSZX = 6

// block is a Block1 or Block2 option (RFC 7959 clause 2.2).
type block struct {
	given bool
	num   uint32
	more  bool
	szx   uint8
}

func parseBlock(v []byte) (block, error) {
	n, ok := uintValue(v)
	b := block{given: true, num: n >> 4, more: n&8 != 0, szx: uint8(n & 7)}
	if !ok || b.szx > maxSZX {
		return block{}, errBadOption
	}
	return b, nil
}

func (b block) value() uint32 {
	v := b.num<<4 | uint32(b.szx)
	if b.more {
		v |= 8
	}
	return v
}

func (b block) size() int   { return 16 << b.szx }
func (b block) offset() int { return int(b.num) * b.size() }

// transferKey is what the messages of one block-wise transfer have in common: peer, method and all options but those
// that tell of blocks and payload (RFC 7959 clause 2.5).
type transferKey struct {
	peer peer
	sum  uint64
}

var hashSeed = maphash.MakeSeed()

func newTransferKey(p peer, m *message.Message) transferKey {
	var h maphash.Hash
	h.SetSeed(hashSeed)
	h.WriteByte(byte(m.Code))
	for _, o := range m.Options {
		switch o.ID {
		case message.Block1, message.Block2, message.Size1, message.Size2, message.ContentFormat, message.Observe:
			continue
		}
		h.Write([]byte{byte(o.ID >> 8), byte(o.ID), byte(len(o.Value) >> 8), byte(len(o.Value))})
		h.Write(o.Value)
	}
	return transferKey{p, h.Sum64()}
}

// transfer is a body that came in part, or that was delivered in part.
type transfer struct {
	body  []byte
	held  int              // bytes of memory accounted for
	reply *message.Message // of a response: all but payload and header
	last  time.Time
}

// transfers are the block-wise transfers under way in one direction. What they hold is bounded for each peer and in
// all; the ones that nobody went on with for a while are dropped.
type transfers struct {
	l *limits

	mu    sync.Mutex
	under map[transferKey]*transfer
	peers map[peer]int
	held  int
}

func newTransfers(l *limits) *transfers {
	return &transfers{l: l, under: make(map[transferKey]*transfer), peers: make(map[peer]int)}
}

var (
	errIncomplete = &refusal{code: codes.RequestEntityIncomplete, status: onem2m.StatusBadRequest, why: "blocks before this one are missing: begin again with block 0"}
	errBeyond     = &refusal{code: codes.BadRequest, status: onem2m.StatusBadRequest, why: "the response has no such block"}
	errGone       = &refusal{code: codes.RequestEntityIncomplete, status: onem2m.StatusBadRequest, why: "the rest of that response is no longer kept: begin again with block 0"}
	errBlockSize  = &refusal{code: codes.BadRequest, status: onem2m.StatusBadRequest, why: "the payload is not as long as the block that it says it is"}
	errFull       = &refusal{code: codes.ServiceUnavailable, status: onem2m.StatusInternalServerError, why: "the node is busy: block-wise transfers fill the memory set aside for them; try again later", maxAge: 10}
)

func (ts *transfers) tooLarge() error {
	return &refusal{
		code: codes.RequestEntityTooLarge, status: onem2m.StatusContentsUnacceptable,
		why: "the payload is longer than " + decimal(uint32(ts.l.body)) + " bytes", size1: uint32(ts.l.body),
	}
}

// receive takes one block of a request (RFC 7959 clause 2.5). With the last one it returns the whole body, which is then
// the caller's own, and how much memory is to be released when it is no longer needed; the body is nil before that.
func (ts *transfers) receive(key transferKey, b block, payload []byte, now time.Time) (body []byte, held int, err error) {
	if b.more && len(payload) != b.size() || len(payload) > b.size() {
		return nil, 0, errBlockSize
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.under[key]
	if b.offset()+len(payload) > ts.l.body {
		if t != nil {
			ts.remove(key, t)
		}
		return nil, 0, ts.tooLarge()
	}
	if b.num == 0 {
		if t != nil {
			ts.remove(key, t)
		}
		t = &transfer{}
		if err := ts.insert(key, t, 4*len(payload)); err != nil {
			return nil, 0, err
		}
		t.body = make([]byte, 0, t.held)
	}
	switch {
	case t == nil:
		return nil, 0, errIncomplete
	case b.more && b.num > 0 && b.offset()+len(payload) == len(t.body):
		// The block before this one again: its answer was lost, and the client repeats it as a new message.
		t.last = now
		return nil, 0, nil
	case b.offset() != len(t.body):
		ts.remove(key, t)
		return nil, 0, errIncomplete
	}
	if need := len(t.body) + len(payload); need > cap(t.body) {
		size := min(max(2*cap(t.body), need), ts.l.body)
		if ts.held+size-t.held > ts.l.transferBytes {
			ts.remove(key, t)
			return nil, 0, errFull
		}
		ts.held += size - t.held
		t.held = size
		t.body = append(make([]byte, 0, size), t.body...)
	}
	t.body, t.last = append(t.body, payload...), now
	if b.more {
		return nil, 0, nil
	}
	ts.remove(key, t)
	ts.held += t.held
	return t.body, t.held, nil
}

// release gives back what a body held that receive returned.
func (ts *transfers) release(held int) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.held -= held
}

// keep keeps a response whose payload does not fit into one message, for the peer to fetch block by block. When
// memory is short it is not kept.
func (ts *transfers) keep(key transferKey, reply *message.Message, now time.Time) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if old := ts.under[key]; old != nil {
		ts.remove(key, old)
	}
	t := &transfer{body: reply.Payload, reply: reply, last: now}
	return ts.insert(key, t, len(reply.Payload)) == nil
}

// fetch gives what keep kept. The last block of it does not end the transfer: its answer may be lost.
func (ts *transfers) fetch(key transferKey, now time.Time) *message.Message {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.under[key]
	if t == nil {
		return nil
	}
	t.last = now
	return t.reply
}

// insert adds a transfer of so many bytes. A peer with too many loses the one that has waited longest. mu is held.
func (ts *transfers) insert(key transferKey, t *transfer, bytes int) error {
	if ts.peers[key.peer] >= ts.l.transfersPerPeer {
		var oldest transferKey
		var found *transfer
		for k, v := range ts.under {
			if k.peer == key.peer && (found == nil || v.last.Before(found.last)) {
				oldest, found = k, v
			}
		}
		ts.remove(oldest, found)
	}
	if ts.held+bytes > ts.l.transferBytes || len(ts.under) >= ts.l.transfers {
		return errFull
	}
	t.held = bytes
	ts.held += bytes
	ts.under[key] = t
	ts.peers[key.peer]++
	return nil
}

// remove ends a transfer. mu is held.
func (ts *transfers) remove(key transferKey, t *transfer) {
	delete(ts.under, key)
	ts.held -= t.held
	if ts.peers[key.peer]--; ts.peers[key.peer] <= 0 {
		delete(ts.peers, key.peer)
	}
}

// expire drops the transfers that nobody went on with since before.
func (ts *transfers) expire(before time.Time) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for k, t := range ts.under {
		if t.last.Before(before) {
			ts.remove(k, t)
		}
	}
}
