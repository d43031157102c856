package ingest

import (
	"context"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// lane is one sender's messages for one container, which keep their order.
type lane struct {
	shown binding.Evidence
	path  string
}

// waiting is a message that takes a goroutine, or that came while another of its lane took one.
type waiting struct {
	ctx  context.Context
	d    *delivery
	done func(*onem2m.Response)
	slow bool // it takes a goroutine
}

// Start implements binding.PlainStarter. A message that is one instance for a container that exists is queued before it
// returns. One that is a pack, or whose container is missing, gets a goroutine, and those of the same sender for the same
// container wait behind it; so all are ordered as they came. Who calls bounds how many are under way.
func (g *Ingest) Start(ctx context.Context, m *binding.Message, ev binding.Evidence, done func(*onem2m.Response)) {
	d, err := g.read(m, ev)
	if err != nil {
		done(refusal(err))
		return
	}
	w := waiting{ctx: ctx, d: d, done: done}
	if len(d.pack) > 1 || d.m.Query != "" {
		g.lineUp(w)
		return
	}
	if g.behind(w) {
		return
	}
	g.begin(w)
}

// begin queues a message that is one instance.
func (g *Ingest) begin(w waiting) {
	g.o.Door.Start(binding.Trying(w.ctx), w.d.instance(g.byName(w.d), 0), w.d.evidence, func(rsp *onem2m.Response) {
		switch {
		case missing(rsp):
			g.lineUp(w)
			return
		case rsp.Status == onem2m.StatusInvalidChildResourceType && !w.d.series:
			w.d.series = true // as store does
			g.lineUp(w)
			return
		}
		w.done(rsp)
	})
}

func (d *delivery) lane() lane { return lane{d.evidence.Shown(), d.m.Path} }

// behind has a message wait if another of its lane takes a goroutine.
func (g *Ingest) behind(w waiting) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	queue, busy := g.lanes[w.d.lane()]
	if busy {
		g.lanes[w.d.lane()] = append(queue, w)
	}
	return busy
}

// lineUp delivers a message in a goroutine of its lane.
func (g *Ingest) lineUp(w waiting) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := w.d.lane()
	w.slow = true
	queue, busy := g.lanes[l]
	g.lanes[l] = append(queue, w)
	if !busy {
		go g.run(l)
	}
}

// run delivers the messages of a lane one after another until none waits. Those that only came behind one that took a
// goroutine are queued as they would have been without it.
func (g *Ingest) run(l lane) {
	for {
		g.mu.Lock()
		queue := g.lanes[l]
		if len(queue) == 0 {
			delete(g.lanes, l)
			g.mu.Unlock()
			return
		}
		w := queue[0]
		g.lanes[l] = queue[1:]
		g.mu.Unlock()
		if w.slow {
			w.done(g.deliver(w.ctx, w.d))
		} else {
			g.begin(w)
		}
	}
}
