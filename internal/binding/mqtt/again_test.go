package mqttbinding

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tallystick/tallystick/onem2m"
)

// sentMessage is a message of a model client. The server does not see its number.
type sentMessage struct {
	number  int
	id      uint16
	message [8]byte
}

// model is a client, a network that loses what is under way when a connection ends, and a server that decides by uses
// what it stores. Everything happens one step at a time.
type model struct {
	*testing.T
	rnd *rand.Rand
	// The client.
	next     int
	window   int
	content  func(number int) byte
	identify func(m *model) uint16
	unacked  []sentMessage // oldest first
	acked    []int
	lastID   uint16
	// The network.
	up   []sentMessage
	dups int // of up, are sent again
	down []uint16
	// The server.
	uses    uses
	visit   uint32
	in      map[uint16]*taking
	pending []*taking // in the order of execution
	queue   []*taking // of the connection that there is, in the order of acknowledgement
	ledger  []sentMessage
	// What became of messages.
	stored map[int]int
	// repeats says of a message whether the server ever knew that the client repeats itself when it judged it, and
	// ignorant whether it ever took it for one that comes again and did not know.
	repeats, ignorant map[int]bool
}

// taking is a message on its way to a block.
type taking struct {
	sentMessage
	among   int
	settled bool
}

func (m *model) send() {
	id := m.identify(m)
	s := sentMessage{number: m.next, id: id, message: [8]byte{m.content(m.next), byte(id), byte(id >> 8)}}
	m.next++
	m.lastID = id
	m.unacked = append(m.unacked, s)
	m.up = append(m.up, s)
}

// arrive is one message that reaches the server.
func (m *model) arrive() {
	s, dup := m.up[0], m.dups > 0
	m.up = m.up[1:]
	if dup {
		m.dups--
	}
	if !m.uses.known {
		var before []onem2m.Delivery
		for _, l := range m.ledger[max(0, len(m.ledger)-maxUses):] {
			before = append(before, onem2m.Delivery{ID: l.id, Message: l.message})
		}
		m.uses.remember(before)
	}
	among := m.uses.receive(s.id, s.message, dup, m.visit, maxInFlight)
	m.repeats[s.number] = m.repeats[s.number] || m.uses.repeats
	m.ignorant[s.number] = m.ignorant[s.number] || among > 0 && !m.uses.repeats
	if t := m.in[s.id]; t != nil && t.message == s.message {
		m.queue = append(m.queue, t)
		m.flush()
		return
	}
	t := &taking{sentMessage: s, among: among}
	m.in[s.id] = t
	m.pending, m.queue = append(m.pending, t), append(m.queue, t)
}

// commit is one message that is committed.
func (m *model) commit() {
	t := m.pending[0]
	m.pending = m.pending[1:]
	m.execute(t)
	t.settled = true
	m.flush()
}

// flush acknowledges what is due on the connection.
func (m *model) flush() {
	for len(m.queue) > 0 && m.queue[0].settled {
		t := m.queue[0]
		m.queue = m.queue[1:]
		delete(m.in, t.id)
		m.uses.answered(&publication{id: t.id, recorded: true}, m.visit)
		m.down = append(m.down, t.id)
	}
}

func (m *model) execute(t *taking) {
	last := m.ledger[max(0, len(m.ledger)-t.among):]
	for i := len(last) - 1; i >= 0; i-- {
		if last[i].id == t.id {
			if last[i].message == t.message {
				return
			}
			break
		}
	}
	m.ledger = append(m.ledger, t.sentMessage)
	m.stored[t.number]++
}

// acknowledge is one acknowledgement that reaches the client.
func (m *model) acknowledge() {
	i := slices.IndexFunc(m.unacked, func(s sentMessage) bool { return s.id == m.down[0] })
	if i != 0 {
		m.Fatalf("the acknowledgement of %d comes, not of the oldest %v", m.down[0], m.unacked)
	}
	m.down = m.down[1:]
	m.acked = append(m.acked, m.unacked[0].number)
	m.unacked = m.unacked[1:]
}

// reconnect ends the connection, and begins the next: what was not acknowledged is sent again.
func (m *model) reconnect(verdict useState) {
	m.uses.ended(verdict)
	m.visit++
	m.down, m.queue = nil, nil
	m.up = slices.Clone(m.unacked)
	m.dups = len(m.up)
}

// crash kills the server.
func (m *model) crash() {
	m.uses, m.visit = uses{}, 0
	m.pending, m.in = nil, make(map[uint16]*taking)
	m.reconnect(useUnknown)
}

// verdict is what the socket says: everything that was sent was confirmed, or not.
func (m *model) verdict() useState {
	if len(m.down) == 0 {
		return useLanded
	}
	return useMissed
}

func (m *model) step(crashes, silent bool) {
	switch k := m.rnd.IntN(100); {
	case k < 35 && len(m.unacked) < m.window && m.dups == 0:
		m.send()
	case k < 60 && len(m.up) > 0:
		m.arrive()
	case k < 75 && len(m.pending) > 0:
		m.commit()
	case k < 95 && len(m.down) > 0:
		m.acknowledge()
	case k < 97 && k >= 95:
		if silent {
			m.reconnect(useUnknown)
		} else {
			m.reconnect(m.verdict())
		}
	case k == 97 && crashes:
		m.crash()
	}
}

// How clients choose packet identifiers.
var identifiers = map[string]func(*model) uint16{
	"counting": func(m *model) uint16 { return following(m.lastID) },
	"lowest": func(m *model) uint16 {
		id := uint16(1)
		for slices.ContainsFunc(m.unacked, func(s sentMessage) bool { return s.id == id }) {
			id++
		}
		return id
	},
	"round 30":  func(m *model) uint16 { return m.lastID%30 + 1 },
	"scattered": func(m *model) uint16 { return uint16(m.next+1) * 40503 },
}

// What clients say.
var contents = map[string]func(int) byte{
	"constant": func(int) byte { return 0 },
	"few":      func(n int) byte { return byte(n * n % 7 % 2) },
	"distinct": func(n int) byte { return byte(n) },
}

// TestModelOfRetry: whatever connections lose, and however a client chooses packet identifiers and repeats what it says,
// nothing acknowledged is lost and nothing is stored twice (MQTT 5.0 clause 4.4), as long as it can be told what of the
// acknowledgements has arrived. When that cannot be told, because the node was killed or the connection reset, the same
// holds for clients that do not use an identifier for the same content again, or that count; of others, which have been
// seen to do so, nothing is lost.
func TestModelOfRetry(t *testing.T) {
	for how, identify := range identifiers {
		for what, content := range contents {
			for _, blind := range []bool{false, true} {
				t.Run(fmt.Sprint(how, " ", what, " blind ", blind), func(t *testing.T) {
					for seed := range uint64(12) {
						m := &model{
							T: t, rnd: rand.New(rand.NewPCG(seed, 11)), identify: identify, content: content, in: make(map[uint16]*taking),
							stored: make(map[int]int), repeats: make(map[int]bool), ignorant: make(map[int]bool),
						}
						m.window = 1 + m.rnd.IntN(12)
						m.uses.known = true
						for range 4000 {
							m.step(blind, blind && m.rnd.IntN(2) == 0)
						}
						m.check(seed, blind)
					}
				})
			}
		}
	}
}

func (m *model) check(seed uint64, blind bool) {
	for _, n := range m.acked {
		if m.stored[n] == 0 && (!blind || !m.ignorant[n]) {
			m.Fatalf("seed %d: message %d of %d was acknowledged and is not stored", seed, n, m.next)
		}
	}
	for n, times := range m.stored {
		if times > 1 && (!blind || !m.repeats[n]) {
			m.Fatalf("seed %d: message %d is stored %d times", seed, n, times)
		}
	}
}
