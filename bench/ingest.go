package bench

import (
	"context"
	"fmt"
)

// packRecords is how many readings a pack has.
const packRecords = 100

// ingest measures what plain devices POST over HTTP: a reading a request, and packs.
func (b *Bench) ingest(ctx context.Context) (*Section, error) {
	s := &Section{
		Name: "ingest", Title: "HTTP from plain devices, answered when committed and durable",
		Subject: "node", Against: "bare server",
	}
	p, err := b.pair(ctx)
	if err != nil {
		return nil, err
	}
	job := b.job(goalConns, false)
	job.Protocol = plainHTTP
	node, bare, err := b.compare(ctx, p, job)
	if err != nil {
		return nil, err
	}
	s.addSides(connections(goalConns)+", one reading a request", &node, &bare, nil, nil)
	job.Records = packRecords
	if node, bare, err = b.compare(ctx, p, job); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s, SenML packs of %d readings", connections(goalConns), packRecords)
	s.add(name, "readings/s", median(node.rate)*packRecords, median(bare.rate)*packRecords, nil)
	s.add(name+", p50 of a pack", "ms", median(node.p50), median(bare.p50), nil)
	s.add(name+", p99 of a pack", "ms", median(node.p99), median(bare.p99), nil)
	s.add(name+", server's CPU", "us/reading", median(node.cpu)/packRecords, median(bare.cpu)/packRecords, nil)
	s.note("bare server: net/http that reads, parses as JSON and drops the same bodies, answers 201 and writes nothing to disk. What becomes of a body at the node: docs/ingest.md.")
	s.note("medians of %d rounds of %s, node and bare server in turn; load generator and servers are processes on this machine.", b.Rounds, b.Round)
	return s, nil
}
