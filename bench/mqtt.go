package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// mqttLoads are the loads over MQTT: clients, and publishes of QoS 1 that each keeps under way.
var mqttLoads = []struct{ clients, window int }{{100, 64}, {100, 8}, {100, 1}, {1, 256}}

// Sizes of the crowd of clients that do nothing, and of the flood of those that are refused.
const (
	mqttCrowd     = 10000
	mqttFloodRate = 1000 // CONNECTs a second
	mqttGood      = 400  // publishes of the good client
	mqttGoodPause = 5 * time.Millisecond
)

// mqtt measures readings published with QoS 1, acknowledged when committed, against the same broker acknowledging at
// once.
func (b *Bench) mqtt(ctx context.Context) (s *Section, err error) {
	s = &Section{
		Name: "mqtt", Title: "MQTT: one reading a publish, QoS 1, acknowledged when committed and durable",
		Subject: "node", Against: "no ledger",
	}
	n, broker, err := b.startServing(ctx, "mqtt", "mqtt", freeTCP)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	instant, err := b.Program.reference(ctx, RoleInstantMQTT)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, instant.stop()) }()
	for i, l := range mqttLoads {
		job := b.job(l.clients, false)
		job.Protocol, job.Window, job.At = plainMQTT, l.window, broker
		node, other, err := b.compareWith(ctx, n, instant, job)
		if err != nil {
			return nil, err
		}
		var goal *Goal
		if i == 0 {
			goal = ratioAtLeast(0.6)
		}
		s.addSides(fmt.Sprintf("%s, %d under way on each", clients(l.clients), l.window), &node, &other, goal, nil)
	}
	s.note("no ledger: the node's own broker and what makes instances of plain messages, before a handler that says at once that everything is stored, and keeps nothing.")
	s.note("medians of %d rounds of %s, node and reference in turn; load generator and servers are processes on this machine.", b.Rounds, b.Round)
	return s, nil
}

// mqttIdle measures what clients cost that do nothing, and what those cost a good one that are refused.
func (b *Bench) mqttIdle(ctx context.Context) (s *Section, err error) {
	s = &Section{Name: "mqtt-crowd", Title: "MQTT: clients that do nothing, clients that are refused", Subject: "node"}
	n, broker, err := b.startServing(ctx, "mqtt-crowd", "mqtt", freeTCP)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	good := func() (loadResult, error) {
		return n.load(ctx, &b.Program, loadJob{Conns: 1, Protocol: plainMQTT, Window: 1, At: broker, Total: mqttGood, Pause: mqttGoodPause})
	}
	var quiet, flooded side
	for range b.Rounds {
		r, err := good()
		if err != nil {
			return nil, err
		}
		quiet.add(r, 0)
		flood, err := b.Program.crowd(ctx, crowdJob{Addr: broker, Rate: mqttFloodRate})
		if err != nil {
			return nil, err
		}
		r, err = good()
		if err := errors.Join(err, flood.stop()); err != nil {
			return nil, err
		}
		flooded.add(r, 0)
	}
	before, _, err := residentBytes(n.pid())
	if err != nil {
		return nil, err
	}
	crowd, err := b.Program.crowd(ctx, crowdJob{Addr: broker, Token: n.tokens[0], Idle: mqttCrowd})
	if err != nil {
		return nil, err
	}
	after, _, err := residentBytes(n.pid())
	if err := errors.Join(err, crowd.stop()); err != nil {
		return nil, err
	}
	s.add(fmt.Sprintf("%d idle clients, resident memory more", mqttCrowd), "MB", float64(after-before)/1e6, 0, atMost(500))
	s.add("one client's p50", "ms", median(quiet.p50), 0, nil)
	s.add("one client's p99", "ms", median(quiet.p99), 0, nil)
	s.add(fmt.Sprintf("p50 with %d refused CONNECTs a second, against that", mqttFloodRate), "ms", median(flooded.p50), median(quiet.p50), nil)
	s.add(fmt.Sprintf("p99 with %d refused CONNECTs a second, against that", mqttFloodRate), "ms", median(flooded.p99), median(quiet.p99), ratioAtMost(2))
	s.note("medians of %d rounds of %d publishes, one at a time, with a pause of %s; who is refused shows a token that nobody has.", b.Rounds, mqttGood, mqttGoodPause)
	return s, nil
}
