package bench

import (
	"context"
	"fmt"
)

// wsLoads are the loads over WebSocket: connections, and requests that each keeps under way.
var wsLoads = []struct{ conns, window int }{{64, 16}, {16, 64}, {4, 256}, {1, 256}}

// ws measures creating instances over WebSocket, one a request, many requests of a connection under way.
func (b *Bench) ws(ctx context.Context) (_ *Section, err error) {
	s := &Section{
		Name: "ws", Title: "WebSocket: one reading a request, pipelined, answered when committed and durable",
		Subject: "node", Against: "same binding, no ledger",
	}
	p, err := b.pair(ctx)
	if err != nil {
		return nil, err
	}
	if p.instant == nil {
		if p.instant, err = b.Program.instant(ctx); err != nil {
			return nil, err
		}
	}
	for _, l := range wsLoads {
		job := b.job(l.conns, false)
		job.Window = l.window
		node, instant, err := b.compareWith(ctx, p.node, p.instant, job)
		if err != nil {
			return nil, err
		}
		var goal *Goal
		if l.conns == goalConns {
			goal = ratioAtLeast(0.6)
		}
		s.addSides(fmt.Sprintf("%s, %d under way on each", connections(l.conns), l.window), &node, &instant, goal, nil)
	}
	s.note("same binding, no ledger: the node's WebSocket binding before a handler that answers 2001 at once and keeps nothing.")
	s.note("medians of %d rounds of %s, the two in turn; load generator and servers are processes on this machine.", b.Rounds, b.Round)
	return s, nil
}
