package mqttbinding

import (
	"math"
	"slices"

	"github.com/tallystick/tallystick/onem2m"
)

// A client may use a packet identifier again as soon as it has received the acknowledgement of the message that had it
// (MQTT 5.0 clause 2.2.1). So a PUBLISH with DUP that looks like the last message of its identifier is one of two: that
// message, whose acknowledgement got lost, or another with the same topic and payload, whose first transmission got
// lost. If it is answered as the first although it is the second, something acknowledged is lost; if it is stored
// although it is the first, something is stored twice. This file decides which it is.

const (
	// maxUses is how many of a session's last messages are kept here; what is older is in the ledger.
	maxUses = maxInFlight
	// manyUses is after how many messages it is known whether a client uses packet identifiers again soon.
	manyUses = 32
	// countingRun is after how many consecutive packet identifiers a client is taken for one that counts.
	countingRun = 8
)

// use is a message of QoS 1 or 2 under its packet identifier.
type use struct {
	message [8]byte
	id      uint16
	state   useState
	noted   bool   // the ledger has it
	visit   uint32 // the connection on which it was acknowledged, or came while it was not
}

// useState is what is known of a message's acknowledgement.
type useState uint8

const (
	useUnknown useState = iota // the message is from before the node's start, or its connection left no trace of what arrived
	useWaiting                 // none was sent since the message came last
	useSent                    // on the connection that there is
	useMissed                  // the connection ended before the client's machine confirmed all that was sent
	useLanded                  // the client's machine has confirmed it
	useTaken                   // the client has got it, as follows from what it sent
	useRefused                 // the message was refused
)

// uses are the last messages of a session, oldest first. The session's lock guards them.
type uses struct {
	last    []use
	known   bool // what the ledger remembers is in last
	repeats bool // the client has used an identifier for the same message again
}

// find gives the place of the last message with an identifier, -1 when there is none.
func (u *uses) find(id uint16) int {
	for i := len(u.last) - 1; i >= 0; i-- {
		if u.last[i].id == id {
			return i
		}
	}
	return -1
}

// receive notes a message, and says among how many of the session's last messages of the ledger it may be one that the
// client sends again: 0 when it is a new one. all is how many the client can have under way.
func (u *uses) receive(id uint16, message [8]byte, dup bool, visit uint32, all int) (window int) {
	i := u.find(id)
	switch {
	case !dup:
		if i >= 0 {
			u.reused(i)
			u.repeats = u.repeats || u.last[i].message == message
		}
	case i < 0:
		window = all
		if u.counts() && u.next() == id || slices.ContainsFunc(u.last, func(x use) bool { return x.state == useTaken }) {
			window = u.after(-1) // an older one was acknowledged
		}
	case u.last[i].message == message && u.same(i, visit):
		// Messages are sent again in the order in which they were sent first [MQTT-4.6.0-1]: the acknowledgements of all
		// before this one have arrived, but for those of messages that it has sent again as well.
		for j := range u.last[:i] {
			if u.last[j].state != useSent {
				u.last[j].take()
			}
		}
		u.last[i].state, u.last[i].visit = useWaiting, visit
		return all
	default:
		// Nor is it the one here; but a block that the node's end interrupted may have brought it since.
		window = u.after(i)
	}
	if len(u.last) >= maxUses {
		u.last = append(u.last[:0], u.last[len(u.last)-maxUses+1:]...)
	}
	u.last = append(u.last, use{message: message, id: id, state: useWaiting, visit: visit})
	return window
}

// take notes that the acknowledgement has reached the client, if one was sent.
func (x *use) take() {
	if x.state != useWaiting && x.state != useRefused {
		x.state = useTaken
	}
}

// reused notes that the client uses the identifier of the message at i for a new one: it has got the acknowledgement,
// and with it all that were sent before on the same connection, which keeps their order [MQTT-4.6.0-2].
func (u *uses) reused(i int) {
	if s := u.last[i].state; s == useWaiting || s == useRefused {
		return
	}
	for j := range u.last[:i+1] {
		if u.last[j].visit == u.last[i].visit {
			u.last[j].take()
		}
	}
}

// after counts the messages after the one at i that the ledger has.
func (u *uses) after(i int) (n int) {
	for _, x := range u.last[i+1:] {
		if x.noted {
			n++
		}
	}
	return n
}

// same says whether a message that has DUP and agrees with the one at i is that one. Else it is another, that was sent
// for the first time after the client had got all acknowledgements, and nothing of it arrived.
func (u *uses) same(i int, visit uint32) bool {
	x := &u.last[i]
	switch {
	case x.state == useRefused:
		return false
	case x.visit == visit && x.state != useUnknown:
		return true // a message does not get lost between two others of one connection
	case x.state == useTaken:
		return false
	case slices.ContainsFunc(u.last[i:], func(y use) bool { return y.state == useWaiting && y.visit != visit }):
		return true // not all were acknowledged
	case len(u.last) >= manyUses && !u.reuses():
		return true // the client goes through many identifiers before it uses one again
	case x.state == useMissed:
		return true
	case x.state == useLanded:
		return false
	}
	return !u.repeats
}

// reuses says whether the client has used an identifier again lately.
func (u *uses) reuses() bool {
	seen := make(map[uint16]bool, len(u.last))
	for _, x := range u.last {
		if seen[x.id] {
			return true
		}
		seen[x.id] = true
	}
	return false
}

// counts says whether the client takes packet identifiers one after the other.
func (u *uses) counts() bool {
	n := len(u.last)
	if n < countingRun {
		return false
	}
	for i := n - countingRun + 1; i < n; i++ {
		if u.last[i].id != following(u.last[i-1].id) {
			return false
		}
	}
	return true
}

// next is the packet identifier that comes next when the client counts.
func (u *uses) next() uint16 { return following(u.last[len(u.last)-1].id) }

func following(id uint16) uint16 {
	if id == math.MaxUint16 {
		return 1 // 0 is none [MQTT-2.2.1-2]
	}
	return id + 1
}

// answered notes that a message was answered on a connection. One that was refused is a new one when it comes again;
// and so is one of which it is not known whether it was committed, if the ledger may have another that agrees with it.
func (u *uses) answered(p *publication, visit uint32) {
	i := u.find(p.id)
	if i < 0 {
		return
	}
	x, r := &u.last[i], p.result
	x.noted = x.noted || p.recorded
	switch {
	case r.code.Code == 0:
		x.state, x.visit = useSent, visit
	case !r.unknown || slices.ContainsFunc(u.last[:i], func(y use) bool { return y.id == p.id && y.message == x.message }):
		x.state = useRefused
	}
}

// ended notes what became of the acknowledgements that were sent on the connection that there is.
func (u *uses) ended(state useState) {
	for i := range u.last {
		if u.last[i].state == useSent {
			u.last[i].state = state
		}
	}
}

// remember takes what the ledger remembers of a session that began before the node did. It comes before anything else.
func (u *uses) remember(before []onem2m.Delivery) {
	u.known = true
	u.last = make([]use, 0, len(before))
	for _, d := range before {
		if i := u.find(d.ID); i >= 0 {
			u.repeats = u.repeats || u.last[i].message == d.Message
		}
		u.last = append(u.last, use{id: d.ID, message: d.Message, noted: true})
	}
}
