package ledger

import (
	"encoding/binary"
	"fmt"

	"github.com/tallystick/tallystick/onem2m"
)

// What is remembered of messages that a client may send twice is kept in node-local records, which are the same on every
// node: a message that comes again is executed or not by what they say. They are no part of the state that the
// application hash commits to, which would cost more than the readings; so that a node whose tree is rebuilt has them
// too, the log carries them, in an entry of OpDeliver at the end of the block.
//
// A session numbers its messages and keeps the last onem2m.MaxDeliveries, in a ring of chunks; a message that is older than all
// that its client can have under way is not taken for one that comes again, whatever it says. An originator has a ring of
// sessions, as many as a node lets it have, so that what is remembered of it never grows beyond that.
const (
	localDelivery = "delivery/"

	deliveryChunk  = 32                                     // messages in a record
	deliveryChunks = onem2m.MaxDeliveries/deliveryChunk + 1 // one more, which the next messages begin to overwrite
	// deliverySessions is how many sessions of an originator are remembered.
	deliverySessions = 1 << 14
)

// Kinds of records of an originator. No originator's ID has a zero byte.
const (
	deliveryCount   = "\x00n" // how many sessions it has had
	deliverySession = "\x00s" // by place in the ring of sessions: the session that has it
	deliveryHead    = "\x00h" // by session: the number of its next message, BE64
	deliveryRing    = "\x00m" // by session and place in its ring: a chunk
)

// locals reads node-local records: of a block under way or of what is committed.
type locals interface {
	Local(key string) ([]byte, error)
}

type localWriter interface {
	locals
	SetLocal(key string, value []byte)
}

func headKey(originator string, session [8]byte) string {
	return localDelivery + originator + deliveryHead + string(session[:])
}

func chunkKey(originator string, session [8]byte, number uint64) string {
	key := localDelivery + originator + deliveryRing + string(session[:])
	return string(binary.BigEndian.AppendUint16([]byte(key), uint16(number/deliveryChunk%deliveryChunks)))
}

// readNext gives the number of the next message of a session.
func readNext(r locals, originator string, session [8]byte) (next uint64, known bool, err error) {
	v, err := r.Local(headKey(originator, session))
	if err != nil || v == nil {
		return 0, false, err
	}
	if len(v) != 8 {
		return 0, false, fmt.Errorf("what is remembered of a session of %s: its record has %d bytes, want 8", originator, len(v))
	}
	return binary.BigEndian.Uint64(v), true, nil
}

// deliveryUse is a message that had a packet identifier.
type deliveryUse struct {
	number  uint64
	message [8]byte
	index   uint64 // log index of the last entry that it made
}

// A chunk is the number of its first message, BE64, and of each message its packet identifier, BE16, its 8 bytes, and
// the log index, BE64.
const useSize = 2 + 8 + 8

// eachUse calls f with the last window messages of a session, oldest first.
func eachUse(r locals, originator string, session [8]byte, next, window uint64, f func(id uint16, u deliveryUse)) error {
	from := next - min(next, window)
	for n := from; n < next; n += deliveryChunk - n%deliveryChunk {
		v, err := r.Local(chunkKey(originator, session, n))
		if err != nil {
			return err
		}
		first := n - n%deliveryChunk
		if len(v) < 8 || binary.BigEndian.Uint64(v) != first {
			return fmt.Errorf("what is remembered of a session of %s: the record of its messages from %d on is another", originator, first)
		}
		for v, n := v[8:], first; len(v) >= useSize; v, n = v[useSize:], n+1 {
			if n >= from {
				f(binary.BigEndian.Uint16(v), deliveryUse{n, [8]byte(v[2:]), binary.BigEndian.Uint64(v[10:])})
			}
		}
	}
	return nil
}

// rememberedMessages keeps, of the sessions that send messages again in one block, what was read of them.
type rememberedMessages struct {
	uses map[string]map[uint16]deliveryUse // by key of the header
}

// find looks a message up that may have been committed before, and gives the log index of its last entry.
func (m *rememberedMessages) find(r locals, originator string, d *onem2m.Delivery) (index uint64, ok bool, err error) {
	next, known, err := readNext(r, originator, d.Session)
	if err != nil || !known {
		return 0, false, err
	}
	key := headKey(originator, d.Session)
	uses, read := m.uses[key]
	if !read {
		uses = make(map[uint16]deliveryUse)
		if err := eachUse(r, originator, d.Session, next, onem2m.MaxDeliveries, func(id uint16, u deliveryUse) {
			uses[id] = u
		}); err != nil {
			return 0, false, err
		}
		if m.uses == nil {
			m.uses = make(map[string]map[uint16]deliveryUse)
		}
		m.uses[key] = uses
	}
	u, ok := uses[d.ID]
	if !ok || u.message != d.Message || next-u.number > uint64(d.Window) {
		return 0, false, nil
	}
	return u.index, true, nil
}

// note remembers a message whose last entry has a log index.
func (m *rememberedMessages) note(w localWriter, originator string, d *onem2m.Delivery, index uint64) error {
	n, known, err := readNext(w, originator, d.Session)
	if err != nil {
		return err
	}
	if !known {
		if err := m.admit(w, originator, d.Session); err != nil {
			return err
		}
	}
	key := chunkKey(originator, d.Session, n)
	chunk := binary.BigEndian.AppendUint64(nil, n)
	if n%deliveryChunk != 0 {
		if chunk, err = w.Local(key); err != nil {
			return err
		}
		if want := 8 + int(n%deliveryChunk)*useSize; len(chunk) != want {
			return fmt.Errorf("what is remembered of a session of %s: a record has %d bytes, want %d", originator, len(chunk), want)
		}
	}
	grown := append(make([]byte, 0, len(chunk)+useSize), chunk...)
	grown = append(binary.BigEndian.AppendUint16(grown, d.ID), d.Message[:]...)
	w.SetLocal(key, binary.BigEndian.AppendUint64(grown, index))
	head := headKey(originator, d.Session)
	w.SetLocal(head, binary.BigEndian.AppendUint64(nil, n+1))
	if uses, read := m.uses[head]; read {
		uses[d.ID] = deliveryUse{n, d.Message, index}
	}
	return nil
}

// admit gives a new session its place among those of its originator. The one that had it is forgotten.
func (m *rememberedMessages) admit(w localWriter, originator string, session [8]byte) error {
	counter := localDelivery + originator + deliveryCount
	v, err := w.Local(counter)
	if err != nil {
		return err
	}
	n := uint64(0)
	if len(v) == 8 {
		n = binary.BigEndian.Uint64(v)
	}
	place := string(binary.BigEndian.AppendUint16([]byte(localDelivery+originator+deliverySession), uint16(n%deliverySessions)))
	old, err := w.Local(place)
	if err != nil {
		return err
	}
	if len(old) == 8 {
		if err := m.forget(w, originator, [8]byte(old)); err != nil {
			return err
		}
	}
	w.SetLocal(place, session[:])
	w.SetLocal(counter, binary.BigEndian.AppendUint64(nil, n+1))
	return nil
}

func (m *rememberedMessages) forget(w localWriter, originator string, session [8]byte) error {
	next, _, err := readNext(w, originator, session)
	if err != nil {
		return err
	}
	chunks := min((next+deliveryChunk-1)/deliveryChunk, deliveryChunks)
	for i := range chunks {
		w.SetLocal(chunkKey(originator, session, i*deliveryChunk), nil)
	}
	delete(m.uses, headKey(originator, session))
	w.SetLocal(headKey(originator, session), nil)
	return nil
}
