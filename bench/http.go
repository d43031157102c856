package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

var (
	postConns = []int{64, 1, 16, 256, 1024}
	getConns  = []int{64, 1}
)

const goalConns = 64 // connections that the goals are about

// pair is a node and the servers that it is compared with, all running.
type pair struct {
	node   *node
	bare   *server
	others []*server
}

// startPair starts both. The bare server answers a GET with as many bytes as the node's latest instance has.
func (b *Bench) startPair(ctx context.Context) (*pair, error) {
	n, err := b.Program.startNode(ctx, filepath.Join(b.dir, "node"), 0)
	if err != nil {
		return nil, err
	}
	p := &pair{node: n}
	_, err = n.load(ctx, &b.Program, loadJob{Conns: sensors, Total: 50 * sensors})
	var get loadResult
	if err == nil {
		get, err = n.load(ctx, &b.Program, loadJob{Conns: sensors, Total: sensors, Get: true})
	}
	if err == nil {
		p.bare, err = b.Program.bare(ctx, get.BodySize)
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return p, nil
}

func (p *pair) close() error {
	err := errors.Join(p.node.close(), p.bare.stop())
	for _, s := range p.others {
		err = errors.Join(err, s.stop())
	}
	return err
}

// side is what the rounds of one kind of load found at one server.
type side struct {
	rate, p50, p99, cpu []float64
	again               uint64 // requests sent again
}

func (s *side) add(r loadResult, cpu time.Duration) {
	s.rate = append(s.rate, r.Rate)
	s.p50 = append(s.p50, millis(r.P50))
	s.p99 = append(s.p99, millis(r.P99))
	s.again += r.Again
	if r.Requests > 0 {
		s.cpu = append(s.cpu, micros(cpu)/float64(r.Requests))
	}
}

// compare sends the same load to node and bare server, in rounds that begin with the one and the other in turn.
func (b *Bench) compare(ctx context.Context, p *pair, job loadJob) (node, bare side, err error) {
	return b.compareWith(ctx, p.node, p.bare, job)
}

// compareWith does what compare does, with any server.
func (b *Bench) compareWith(ctx context.Context, n *node, reference *server, job loadJob) (node, bare side, err error) {
	toNode := func() error {
		cpu0, err := processCPU(n.pid())
		if err != nil {
			return err
		}
		r, err := n.load(ctx, &b.Program, job)
		if err != nil {
			return fmt.Errorf("load the node over %d connections: %w", job.Conns, err)
		}
		cpu1, err := processCPU(n.pid())
		node.add(r, cpu1-cpu0)
		return err
	}
	toBare := func() error {
		cpu0, err := processCPU(reference.pid())
		if err != nil {
			return err
		}
		job := job
		job.Addr, job.At, job.Tokens, job.Next = reference.addr, "", n.tokens, n.next
		r, err := b.Program.load(ctx, job)
		if err != nil {
			return fmt.Errorf("load the reference over %d connections: %w", job.Conns, err)
		}
		cpu1, err := processCPU(reference.pid())
		bare.add(r, cpu1-cpu0)
		return err
	}
	for round := range b.Rounds {
		first, second := toBare, toNode
		if round%2 == 1 {
			first, second = toNode, toBare
		}
		if err := first(); err != nil {
			return node, bare, err
		}
		if err := second(); err != nil {
			return node, bare, err
		}
	}
	return node, bare, nil
}

func (s *Section) addSides(name string, node, bare *side, rate, p50 *Goal) {
	s.add(name, "requests/s", median(node.rate), median(bare.rate), rate)
	s.add(name+", p50", "ms", median(node.p50), median(bare.p50), p50)
	s.add(name+", p99", "ms", median(node.p99), median(bare.p99), nil)
	s.add(name+", server's CPU", "us/request", median(node.cpu), median(bare.cpu), nil)
}

func (b *Bench) job(conns int, get bool) loadJob {
	return loadJob{Conns: conns, Get: get, Warm: b.Round / 4, Measure: b.Round}
}

// http measures creating instances, one a request.
func (b *Bench) http(ctx context.Context) (*Section, error) {
	s := &Section{
		Name: "http", Title: "HTTP: one reading a request, answered when committed and durable",
		Subject: "node", Against: "bare server",
	}
	p, err := b.pair(ctx)
	if err != nil {
		return nil, err
	}
	for _, conns := range postConns {
		var goal *Goal
		if conns == goalConns {
			goal = ratioAtLeast(0.6)
		}
		node, bare, err := b.compare(ctx, p, b.job(conns, false))
		if err != nil {
			return nil, err
		}
		s.addSides(connections(conns), &node, &bare, goal, nil)
	}
	s.note("bare server: net/http that reads, parses as JSON and drops the same bodies, answers 201 and writes nothing to disk.")
	s.note("medians of %d rounds of %s, node and bare server in turn; load generator and servers are processes on this machine.", b.Rounds, b.Round)
	s.note("with few connections a node waits for the disk (sync p50 %.2f ms), the bare server for nothing.", b.report.Machine.SyncP50)
	return s, nil
}

// latest measures retrieving the latest instance.
func (b *Bench) latest(ctx context.Context) (*Section, error) {
	s := &Section{Name: "la", Title: "HTTP: retrieve the latest instance", Subject: "node", Against: "bare server"}
	p, err := b.pair(ctx)
	if err != nil {
		return nil, err
	}
	for _, conns := range getConns {
		var rate, p50 *Goal
		if conns == goalConns {
			rate = ratioAtLeast(0.8)
		} else {
			p50 = atMost(0.4)
		}
		node, bare, err := b.compare(ctx, p, b.job(conns, true))
		if err != nil {
			return nil, err
		}
		s.addSides(connections(conns), &node, &bare, rate, p50)
	}
	s.note("bare server: net/http that answers with a constant body of the same size. The node checks credential and policy and reads the log.")
	return s, nil
}

func connections(n int) string { return several(n, "connection") }

func clients(n int) string { return several(n, "client") }

func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Idle requests.
const (
	idleRequests = 200
	idlePause    = 20 * time.Millisecond
)

// idle measures the latency of single commits of a node that has nothing else to do.
func (b *Bench) idle(ctx context.Context) (*Section, error) {
	s := &Section{Name: "idle", Title: "Commit latency, idle: one request at a time", Subject: "node", Against: "bare server"}
	p, err := b.pair(ctx)
	if err != nil {
		return nil, err
	}
	job := loadJob{Conns: 1, Total: idleRequests, Pause: idlePause}
	node, bare, err := b.compare(ctx, p, job)
	if err != nil {
		return nil, err
	}
	s.add("p50", "ms", median(node.p50), median(bare.p50), atMost(10))
	s.add("p99", "ms", median(node.p99), median(bare.p99), nil)
	s.add("server's CPU", "us/request", median(node.cpu), median(bare.cpu), nil)
	s.note("%d rounds of %d requests with a pause of %s; a sync of this disk takes %.2f ms (p50), %.2f ms (p99).",
		b.Rounds, idleRequests, idlePause, b.report.Machine.SyncP50, b.report.Machine.SyncP99)
	return s, nil
}

// pair starts node and bare server once for all sections that use them.
func (b *Bench) pair(ctx context.Context) (*pair, error) {
	if b.running == nil {
		p, err := b.startPair(ctx)
		if err != nil {
			return nil, err
		}
		b.running = p
	}
	return b.running, nil
}

// endPair stops what pair started and drops its data.
func (b *Bench) endPair() error {
	if b.running == nil {
		return nil
	}
	dir := b.running.node.dir
	err := b.running.close()
	b.running = nil
	return errors.Join(err, os.RemoveAll(dir))
}
