package bench

import (
	"context"
	"fmt"
)

// wsLoads are the loads over WebSocket: connections, and requests that each keeps under way.
var wsLoads = []struct{ conns, window int }{{64, 256}, {64, 16}, {16, 64}, {1, 256}}

// ws measures creating instances over WebSocket, one a request, many requests of a connection under way, against a
// server that does the least it can.
func (b *Bench) ws(ctx context.Context) (*Section, error) {
	s := &Section{
		Name: "ws", Title: "WebSocket: one reading a request, pipelined, answered when committed and durable",
		Subject: "node", Against: "bare server",
	}
	if err := b.wsRows(ctx, s, RoleBareWS); err != nil {
		return nil, err
	}
	s.note("bare server: net/http and coder/websocket; it reads, parses as JSON and drops the same messages, and answers each with 2001.")
	s.note("medians of %d rounds of %s, node and bare server in turn; load generator and servers are processes on this machine.", b.Rounds, b.Round)
	return s, nil
}

// wsInstant is the same against the node's own binding.
func (b *Bench) wsInstant(ctx context.Context) (*Section, error) {
	s := &Section{
		Name: "ws-ledger", Title: "WebSocket: what the ledger takes of the binding's speed",
		Subject: "node", Against: "no ledger",
	}
	if err := b.wsRows(ctx, s, RoleInstant); err != nil {
		return nil, err
	}
	s.note("no ledger: the node's WebSocket binding before a handler that answers 2001 at once and keeps nothing.")
	return s, nil
}

func (b *Bench) wsRows(ctx context.Context, s *Section, role string) error {
	p, err := b.pair(ctx)
	if err != nil {
		return err
	}
	reference, err := b.Program.reference(ctx, role)
	if err != nil {
		return err
	}
	p.others = append(p.others, reference)
	for i, l := range wsLoads {
		job := b.job(l.conns, false)
		job.Protocol, job.Window = overWebSocket, l.window
		node, other, err := b.compareWith(ctx, p.node, reference, job)
		if err != nil {
			return err
		}
		var goal *Goal
		if i == 0 {
			goal = ratioAtLeast(0.6)
		}
		s.addSides(fmt.Sprintf("%s, %d under way on each", connections(l.conns), l.window), &node, &other, goal, nil)
	}
	return nil
}
