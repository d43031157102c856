package mqttbinding

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
)

// Bounds of reading the log.
const (
	readAtOnce   = 4096    // entries
	replayBack   = 1 << 20 // entries that a client which was away is given at most
	replayersMax = 2       // sessions that read the log at a time
)

// feed follows the log and gives every reading to the subscriptions that match it. One goroutine does that for all
// sessions that keep up; the others read the log for themselves until they have caught up.
type feed struct {
	broker   *Broker
	position atomic.Uint64 // readings before it were given out
	handing  sync.Mutex    // held while readings are given out
	replay   chan struct{}

	// Of the goroutine that gives out.
	found map[*session]*matched
	order []*matched
}

func (f *feed) run() {
	live := f.broker.o.Live
	for {
		grown := live.Grown()
		for f.position.Load() < live.Head() {
			if err := f.advance(); err != nil {
				f.broker.o.Log.Error("read the log for MQTT subscribers", "from", f.position.Load(), "error", err)
				select {
				case <-time.After(time.Second):
				case <-f.broker.ctx.Done():
					return
				}
			}
			if f.broker.ctx.Err() != nil {
				return
			}
		}
		select {
		case <-grown:
		case <-f.broker.ctx.Done():
			return
		}
	}
}

// advance gives out the next readings.
func (f *feed) advance() error {
	b := f.broker
	head := b.o.Live.Head() // before the question: what is committed after a subscription is not passed over
	if b.nobodyListens() {
		f.position.Store(head)
		b.moved.Add(1)
		b.epoch.Add(1) // what was passed over may have changed rights
		return nil
	}
	rs, next, changed, err := b.o.Live.Read(f.position.Load(), readAtOnce, b.wanted)
	if err != nil {
		return err
	}
	if changed {
		b.epoch.Add(1)
	}
	f.handing.Lock()
	defer f.handing.Unlock()
	for i := range rs {
		f.give(&rs[i])
	}
	f.position.Store(next)
	b.moved.Add(1)
	return nil
}

// nobodyListens says whether there are no subscriptions at all.
func (b *Broker) nobodyListens() bool {
	b.subs.RLock()
	defer b.subs.RUnlock()
	return b.trie.root.empty()
}

// wanted says whether anybody subscribed to a container.
func (b *Broker) wanted(path string) bool {
	found := false
	b.subs.RLock()
	defer b.subs.RUnlock()
	b.trie.match(plainPrefix+path, func(*subscription) { found = true }, func(*group) { found = true })
	return found
}

// give queues a reading for every session that it matches.
func (f *feed) give(r *binding.Reading) {
	b := f.broker
	m := newMessage(r)
	f.order = f.order[:0]
	if f.found == nil {
		f.found = make(map[*session]*matched)
	}
	clear(f.found)
	b.subs.Lock() // groups are changed
	b.trie.match(m.topic,
		func(sub *subscription) {
			if sub.from <= r.Index && !(sub.options.NoLocal && r.Originator == sub.session.owner) {
				f.note(sub, false)
			}
		},
		func(g *group) {
			if sub := g.pick(m); sub != nil {
				f.note(sub, true)
			}
		})
	b.subs.Unlock()
	for _, x := range f.order {
		x.session.offerReading(&outgoing{message: m, qos: x.qos, ids: x.ids, shared: x.shared})
	}
}

func (f *feed) note(sub *subscription, shared bool) {
	x := f.found[sub.session]
	if x == nil {
		x = &matched{session: sub.session, shared: true}
		f.found[sub.session] = x
		f.order = append(f.order, x)
	}
	x.shared = x.shared && shared
	x.add(sub)
}

// maxRefused bounds the members of a group that are asked whether they may read one reading: they are all of one
// originator, so that most likely none may.
const maxRefused = 8

// pick returns the member of a group whose turn it is, of those that are there, have room, and may read the container.
// When none is, nobody gets the reading: a group keeps nothing for later.
func (g *group) pick(m *message) *subscription {
	refused := 0
	for range g.members {
		g.next = (g.next + 1) % len(g.members)
		sub := g.members[g.next]
		s := sub.session
		s.mu.Lock()
		c := s.conn
		ok := c != nil && !s.behind && s.fits(m)
		s.mu.Unlock()
		switch {
		case !ok:
		case s.mayRead(m.container, c.ip):
			return sub
		default:
			if refused++; refused == maxRefused {
				return nil
			}
		}
	}
	return nil
}

func newMessage(r *binding.Reading) *message {
	return &message{
		topic: plainPrefix + r.Path, payload: r.Payload, mediaType: r.MediaType,
		container: r.Container, index: r.Index, reading: true,
	}
}

// catchUp gives a session what it missed, as long as it has room, and has it join the others at the end.
func (f *feed) catchUp(s *session) {
	b := f.broker
	s.mu.Lock()
	if head := b.o.Live.Head(); head > replayBack && s.cursor < head-replayBack {
		s.cursor = head - replayBack
	}
	s.mu.Unlock()
	for s.goOn() {
		select {
		case f.replay <- struct{}{}:
		case <-b.ctx.Done():
			return
		}
		err := f.replayTo(s)
		<-f.replay
		if err != nil {
			b.o.Log.Error("read the log for an MQTT client that was away", "error", err)
			s.mu.Lock()
			s.reading = false
			s.mu.Unlock()
			return
		}
	}
}

// replayTo reads the next entries for a session that is behind.
func (f *feed) replayTo(s *session) error {
	b := f.broker
	subs := slices.DeleteFunc(s.subscriptions(), func(sub *subscription) bool {
		return sub.filter.group != "" || sub.options.Qos == 0
	})
	s.mu.Lock()
	from, visit := s.cursor, s.visit
	s.mu.Unlock()
	var rs []binding.Reading
	next := max(from, f.position.Load())
	if len(subs) > 0 && from < next {
		var err error
		rs, next, _, err = b.o.Live.Read(from, readAtOnce, func(path string) bool {
			return slices.ContainsFunc(subs, func(sub *subscription) bool { return sub.filter.matches(plainPrefix + path) })
		})
		if err != nil {
			return err
		}
	}
	for i := range rs {
		r := &rs[i]
		m := newMessage(r)
		x := matched{}
		s.mu.Lock()
		for _, sub := range subs {
			if s.subs[sub.text] == sub && // or the client has unsubscribed meanwhile [MQTT-3.10.4-2]
				sub.from <= r.Index && sub.filter.matches(m.topic) && !(sub.options.NoLocal && r.Originator == s.owner) {
				x.add(sub)
			}
		}
		if x.qos == 0 {
			s.mu.Unlock()
			continue
		}
		if s.visit != visit || s.gone { // park has noted where to go on
			s.mu.Unlock()
			return nil
		}
		if !s.fits(m) {
			s.cursor = r.Index
			s.mu.Unlock()
			return nil
		}
		s.push(&outgoing{message: m, qos: x.qos, ids: x.ids})
		s.seen, s.cursor = r.Index+1, r.Index+1
		c := s.conn
		s.mu.Unlock()
		c.wake()
	}
	f.handing.Lock()
	defer f.handing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.visit != visit {
		return nil
	}
	s.cursor = next
	if next >= f.position.Load() {
		s.behind, s.seen = false, max(s.seen, next)
	}
	return nil
}

// deliver queues a message for the sessions that match it and that entitled accepts. It returns how many took it.
func (b *Broker) deliver(topic string, payload []byte, entitled func(*session) bool) int {
	m := &message{topic: topic, payload: payload}
	found := make(map[*session]*matched)
	var order []*matched
	note := func(sub *subscription) {
		if !entitled(sub.session) {
			return
		}
		x := found[sub.session]
		if x == nil {
			x = &matched{session: sub.session}
			found[sub.session] = x
			order = append(order, x)
		}
		x.add(sub)
	}
	b.subs.Lock()
	b.trie.match(topic, note, func(g *group) {
		for range g.members {
			g.next = (g.next + 1) % len(g.members)
			sub := g.members[g.next]
			sub.session.mu.Lock()
			there := sub.session.conn != nil
			sub.session.mu.Unlock()
			if there && entitled(sub.session) {
				note(sub)
				return
			}
		}
	})
	b.subs.Unlock()
	took := 0
	for _, x := range order {
		if x.session.offer(&outgoing{message: m, qos: x.qos, ids: x.ids}) {
			took++
		}
	}
	return took
}

// pathOf is the container that a topic of plain devices names.
func pathOf(topic string) (path string, ok bool) {
	path, ok = strings.CutPrefix(topic, plainPrefix)
	return path, ok && path != "" && !strings.HasPrefix(path, "/") && !strings.HasSuffix(path, "/") && !strings.Contains(path, "//")
}
