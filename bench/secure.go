package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// secureLoads are the loads of which the cost of identity, TLS and rights is measured: one for each binding.
var secureLoads = []struct {
	name          string
	protocol      protocol
	conns, window int
	clear, secure func(*served) string
}{
	{"HTTP", overHTTP, goalConns, 1, func(s *served) string { return s.addr }, func(s *served) string { return s.https }},
	{"WebSocket", overWebSocket, 64, 256, func(s *served) string { return s.addr }, func(s *served) string { return s.https }},
	{"MQTT", plainMQTT, 100, 64, func(s *served) string { return s.mqtt }, func(s *served) string { return s.mqtt }},
	{"CoAP", plainCoAP, 64, 16, func(s *served) string { return s.coap }, func(s *served) string { return s.coap }},
}

// served is a node and where it serves what.
type served struct {
	*node
	https, mqtt, coap string
}

// secure measures what a network that proves every originator and encrypts costs against a lab network, which takes
// everybody at his word, in clear.
func (b *Bench) secure(ctx context.Context) (s *Section, err error) {
	s = &Section{
		Name: "secure", Title: "Identity, TLS and rights, against a lab network without them",
		Subject: "TLS, tokens, policies", Against: "lab, in clear",
	}
	lab, err := b.startLab(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lab.close()) }()
	proven, err := b.startSecure(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, proven.close()) }()
	for _, l := range secureLoads {
		job := b.job(l.conns, false)
		job.Protocol, job.Window = l.protocol, l.window
		clear, secure := job, job
		clear.At, clear.Anonymous = l.clear(lab), true
		secure.At, secure.CA = l.secure(proven), b.Program.CA(proven.dir)
		with, without, err := b.inTurn(ctx, proven.node, secure, lab.node, clear)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		s.addSides(fmt.Sprintf("%s, %s, %d under way on each", l.name, connections(l.conns), l.window), &with, &without, ratioAtLeast(0.75), nil)
	}
	s.note("both are whole nodes with a ledger; the lab network asks for no credential, its administrator's rights are not used, and its policies are the same.")
	s.note("TLS 1.3 for HTTP, WebSocket and MQTT, DTLS 1.2 for CoAP; connections are made before a round begins.")
	s.note("medians of %d rounds of %s, one node and the other in turn; the load generator pays for its side of the encryption on the same machine.", b.Rounds, b.Round)
	return s, nil
}

// inTurn sends each node its job, in rounds that begin with the one and the other in turn.
func (b *Bench) inTurn(ctx context.Context, first *node, firstJob loadJob, second *node, secondJob loadJob) (one, other side, err error) {
	send := func(n *node, job loadJob, to *side) error {
		cpu0, err := processCPU(n.pid())
		if err != nil {
			return err
		}
		r, err := n.load(ctx, &b.Program, job)
		if err != nil {
			return err
		}
		cpu1, err := processCPU(n.pid())
		to.add(r, cpu1-cpu0)
		return err
	}
	for round := range b.Rounds {
		steps := []func() error{
			func() error { return send(first, firstJob, &one) },
			func() error { return send(second, secondJob, &other) },
		}
		if round%2 == 1 {
			steps[0], steps[1] = steps[1], steps[0]
		}
		if err := errors.Join(steps[0](), steps[1]()); err != nil {
			return one, other, err
		}
	}
	return one, other, nil
}

// startSecure starts a node that serves everything over TLS and DTLS, and in clear what the load generator's set-up
// needs.
func (b *Bench) startSecure(ctx context.Context) (*served, error) {
	s := &served{}
	dir := filepath.Join(b.dir, "secure")
	var err error
	if s.node, err = b.Program.startNode(ctx, dir, 0); err != nil {
		return nil, err
	}
	for _, l := range []struct {
		field string
		addr  *string
		free  func() (string, error)
	}{{"https", &s.https, freeTCP}, {"mqtts", &s.mqtt, freeTCP}, {"coaps", &s.coap, freeUDP}} {
		if *l.addr, err = l.free(); err == nil {
			err = configure(b.Program.Config(dir), l.field, *l.addr)
		}
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	if err := s.stop(); err != nil {
		return nil, err
	}
	return s, s.start(ctx, &b.Program)
}

// startLab starts the node of a lab network, with the same resources.
func (b *Bench) startLab(ctx context.Context) (*served, error) {
	s := &served{node: &node{dir: filepath.Join(b.dir, "lab")}}
	var err error
	if s.mqtt, err = freeTCP(); err != nil {
		return nil, err
	}
	if s.coap, err = freeUDP(); err != nil {
		return nil, err
	}
	if s.server, err = b.Program.serveNode(ctx, b.Program.Lab(s.dir, s.mqtt, s.coap)); err != nil {
		return nil, err
	}
	for i := range sensors {
		if err := s.enrol(ctx, &b.Program, i); err != nil {
			return nil, errors.Join(fmt.Errorf("enrol %s: %w", deviceID(i), err), s.stop())
		}
	}
	return s, nil
}
