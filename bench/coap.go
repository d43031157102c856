package bench

import (
	"context"
	"errors"
	"fmt"
)

// coapLoads are the loads over CoAP: clients, each with a socket of its own, and requests that each keeps under way. One
// is what RFC 7252 clause 4.7 asks of a client (NSTART).
var coapLoads = []struct{ clients, window int }{{64, 16}, {64, 1}, {1, 16}, {1, 1}}

// coap measures readings that plain devices POST in confirmable messages, answered when committed, against the same
// binding answering at once.
func (b *Bench) coap(ctx context.Context) (s *Section, err error) {
	s = &Section{
		Name: "coap", Title: "CoAP: one reading a confirmable POST, answered when committed and durable",
		Subject: "node", Against: "no ledger",
	}
	n, addr, err := b.startServing(ctx, "coap", "coap", freeUDP)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	instant, err := b.Program.reference(ctx, RoleInstantCoAP)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, instant.stop()) }()
	var again, againInstant uint64
	for _, l := range coapLoads {
		job := b.job(l.clients, false)
		job.Protocol, job.Window, job.At = plainCoAP, l.window, addr
		node, other, err := b.compareWith(ctx, n, instant, job)
		if err != nil {
			return nil, err
		}
		s.addSides(fmt.Sprintf("%s, %d under way on each", clients(l.clients), l.window), &node, &other, nil, nil)
		again, againInstant = again+node.again, againInstant+other.again
	}
	s.note("no ledger: the node's own CoAP binding and what makes instances of plain messages, before a handler that says at once that everything is stored, and keeps nothing.")
	s.note("%d requests to the node and %d to the reference were sent again, for nothing came within %s (RFC 7252 clause 4.2).", again, againInstant, coapTimeout)
	s.note("medians of %d rounds of %s, node and reference in turn; load generator and servers are processes on this machine.", b.Rounds, b.Round)
	return s, nil
}
