package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The flood of one device, and the good client beside it.
const (
	abuseClients  = 8
	abuseWindow   = 64
	abuseGood     = 400 // publishes of the good client
	abusePause    = 5 * time.Millisecond
	abuseGoodOnly = 2 // its sensor, counted from 1
)

// abuse measures what a device that sends as much as it can costs another one.
func (b *Bench) abuse(ctx context.Context) (s *Section, err error) {
	s = &Section{
		Name: "abuse", Title: "Abuse: one device floods, another one publishes now and then", Subject: "beside the flood", Against: "idle",
	}
	n, broker, err := b.startServing(ctx, "abuse", "mqtt", freeTCP)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	good := func() (loadResult, error) {
		return n.load(ctx, &b.Program, loadJob{
			Conns: 1, Only: abuseGoodOnly, Protocol: plainMQTT, Window: 1, At: broker, Total: abuseGood, Pause: abusePause,
		})
	}
	var idle, beside, flood side
	for range b.Rounds {
		r, err := good()
		if err != nil {
			return nil, err
		}
		idle.add(r, 0)
		r, f, err := b.besideFlood(ctx, n, broker, good)
		if err != nil {
			return nil, err
		}
		beside.add(r, 0)
		flood.add(f, 0)
	}
	s.add("the other one's p50", "ms", median(beside.p50), median(idle.p50), nil)
	s.add("the other one's p99", "ms", median(beside.p99), median(idle.p99), ratioAtMost(2))
	s.add("the flood", "requests/s", median(flood.rate), 0, nil)
	s.note("the flood: %d connections of one device, %d publishes of QoS 1 under way on each, as fast as they are taken; the quotas are the defaults.", abuseClients, abuseWindow)
	s.note("medians of %d rounds of %d publishes, one at a time, with a pause of %s; load generators and node share this machine.", b.Rounds, abuseGood, abusePause)
	return s, nil
}

// besideFlood runs a load while one device floods, and gives what both found.
func (b *Bench) besideFlood(ctx context.Context, n *node, broker string, load func() (loadResult, error)) (got, flood loadResult, err error) {
	type result struct {
		loadResult
		err error
	}
	ended := make(chan result, 1)
	length := 2*abuseGood*(abusePause+20*time.Millisecond) + b.Round
	ctx, stop := context.WithTimeout(ctx, length+time.Minute)
	defer stop()
	job := loadJob{
		Conns: abuseClients, Only: 1, Protocol: plainMQTT, Window: abuseWindow, At: broker, Addr: n.addr, Tokens: n.tokens, Next: n.next,
		Warm: b.Round / 4, Measure: length / 2,
	}
	go func() {
		r, err := b.Program.load(ctx, job)
		ended <- result{r, err}
	}()
	select {
	case <-time.After(job.Warm):
	case r := <-ended:
		return got, flood, fmt.Errorf("the flood ended before it began: %w", r.err)
	}
	if got, err = load(); err != nil {
		return got, flood, err
	}
	r := <-ended
	return got, r.loadResult, r.err
}
