package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/internal/nab"
)

// replay sends all readings that are not there yet, all devices at once.
func (d *demo) replay(ctx context.Context) error {
	todo := make([][]nab.Reading, len(d.devices))
	total, there := 0, 0
	for i, v := range d.devices {
		rs, err := v.sensor.Readings()
		if err != nil {
			return err
		}
		if d.Readings > 0 {
			rs = rs[:min(d.Readings, len(rs))]
		}
		n, err := v.count(ctx)
		if err != nil {
			return fmt.Errorf("count the readings of %s: %w", v.sensor.Name, err)
		}
		n = min(n, len(rs))
		todo[i] = rs[n:]
		total += len(rs)
		there += n
	}
	d.step("Replay %d real sensor readings over HTTP, one request each, %d devices at once.", total, len(d.devices))
	if there > 0 {
		d.say("%d are committed from the run before.", there)
	}
	if there == total {
		return nil
	}
	m := &meter{start: time.Now()}
	stop := d.progress(m, total-there)
	err := d.send(ctx, todo, m)
	stop()
	if err != nil {
		d.say("Interrupted after %d readings; all of them are committed.", m.done.Load())
		return err
	}
	took := time.Since(m.start)
	p50, p99 := m.latency()
	d.say("%d readings committed in %.1f s: %.0f a second, latency p50 %.1f ms, p99 %.1f ms, height %d.",
		m.done.Load(), took.Seconds(), float64(m.done.Load())/took.Seconds(), ms(p50), ms(p99), d.node.App().Head().Height)
	return nil
}

// send runs all devices. A device has several readings under way at once; each carries its own time. When it is
// interrupted it waits for those, so that what is committed is the beginning of each file and the next run can go on
// from there.
func (d *demo) send(ctx context.Context, todo [][]nab.Reading, m *meter) error {
	underWay := context.WithoutCancel(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i, v := range d.devices {
		next := make(chan nab.Reading)
		wg.Go(func() {
			defer close(next)
			for _, r := range todo[i] {
				select {
				case next <- r:
				case <-ctx.Done():
					return
				}
			}
		})
		for range inFlight {
			wg.Go(func() {
				for r := range next {
					begin := time.Now()
					if err := v.send(underWay, r); err != nil {
						cancel(err)
						return
					}
					m.add(time.Since(begin))
				}
			})
		}
	}
	wg.Wait()
	return context.Cause(ctx)
}

// meter counts commits and remembers the latencies of the newest.
type meter struct {
	start time.Time
	done  atomic.Int64

	mu     sync.Mutex
	recent []time.Duration
	at     int
}

const meterWindow = 8192

func (m *meter) add(d time.Duration) {
	m.mu.Lock()
	if len(m.recent) < meterWindow {
		m.recent = append(m.recent, d)
	} else {
		m.recent[m.at%meterWindow] = d
		m.at++
	}
	m.mu.Unlock()
	m.done.Add(1)
}

func (m *meter) latency() (p50, p99 time.Duration) {
	m.mu.Lock()
	s := slices.Clone(m.recent)
	m.mu.Unlock()
	if len(s) == 0 {
		return 0, 0
	}
	slices.Sort(s)
	return s[len(s)/2], s[len(s)*99/100]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// progress draws the bar until the returned function is called: in place on a terminal, a line every few seconds
// elsewhere.
func (d *demo) progress(m *meter, total int) (stop func()) {
	terminal := isTerminal(d.s.out)
	every := 5 * time.Second
	if terminal {
		every = 200 * time.Millisecond
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(every)
		defer t.Stop()
		var before int64
		last := m.start
		for {
			select {
			case <-quit:
				if terminal {
					fmt.Fprint(d.s.out, "\r\033[K")
				}
				return
			case now := <-t.C:
				n := m.done.Load()
				rate := float64(n-before) / now.Sub(last).Seconds()
				before, last = n, now
				line := d.bar(m, n, total, rate)
				if terminal {
					fmt.Fprintf(d.s.out, "\r\033[K%s", line)
				} else {
					fmt.Fprintln(d.s.out, line)
				}
			}
		}
	}()
	return func() { close(quit); <-done }
}

func (d *demo) bar(m *meter, n int64, total int, rate float64) string {
	const width = 24
	full := int(n) * width / total
	p50, p99 := m.latency()
	return fmt.Sprintf("   [%s%s] %3d %%  %6.0f readings/s  p50 %4.1f ms  p99 %5.1f ms  height %d",
		strings.Repeat("#", full), strings.Repeat(".", width-full), int(n)*100/total, rate, ms(p50), ms(p99), d.node.App().Head().Height)
}
