package notify_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/notify"
	"github.com/tallystick/tallystick/onem2m"
)

// Whatever fails and whenever the node restarts: every target gets every notification at least once, first deliveries
// are in the order of the log, nothing is left behind, and without a restart nothing is delivered twice.
func TestRandomFailures(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		targets := rapid.IntRange(1, 6).Draw(rt, "targets")
		failing := rapid.SliceOfN(rapid.IntRange(0, 90), targets, targets).Draw(rt, "percent of failures")
		slow := rapid.SliceOfN(rapid.IntRange(0, 3), targets, targets).Draw(rt, "seconds to answer")
		batches := rapid.SliceOfN(rapid.IntRange(1, 300), 1, 4).Draw(rt, "batches")
		restarts := rapid.IntRange(0, 2).Draw(rt, "restarts")
		delay := rapid.IntRange(0, 100).Draw(rt, "milliseconds to read")
		seed := rapid.Uint64().Draw(rt, "seed")
		synctest.Test(t, func(t *testing.T) {
			out, n := newOutbox(), newNetwork()
			out.delay = time.Duration(delay) * time.Millisecond
			draw := func() int {
				n.mu.Lock()
				defer n.mu.Unlock()
				seed = seed*6364136223846793005 + 1442695040888963407
				return int(seed >> 33)
			}
			taken := make([][]int, targets)
			want := make([][]int, targets)
			for i := range targets {
				n.hosts[fmt.Sprint("t", i)] = func(int) (onem2m.StatusCode, error) {
					time.Sleep(time.Duration(slow[i]) * time.Second)
					if draw()%100 < failing[i] {
						return 0, errors.New("connection reset")
					}
					return onem2m.StatusOK, nil
				}
			}
			o := options(out, n)
			o.MaxDelay, o.MaxAge, o.Concurrency = 2*time.Second, 1000*time.Hour, 4
			d, stop := run(o)
			index := 0
			for b, size := range batches {
				for range size {
					index++
					var items []notify.Item
					for i := range targets {
						if draw()%3 == 0 {
							items = append(items, notify.Item{
								Key: notify.Key{Index: uint64(index / 3), N: uint32(index%3*targets + i)}, Target: fmt.Sprintf("http://t%d/", i),
								Originator: "/tally", Content: fmt.Appendf(nil, "%d", index), Time: time.Now().UnixMicro(),
							})
							want[i] = append(want[i], index)
						}
					}
					out.add(items...)
					if draw()%40 == 0 {
						time.Sleep(time.Duration(draw()%200) * time.Millisecond)
					}
				}
				time.Sleep(time.Duration(draw()%5000) * time.Millisecond)
				if b < restarts {
					stop()
					d, stop = run(o)
				}
			}
			for waited := 0; out.len() > 0; waited++ {
				if waited == 10000 {
					t.Fatalf("%d items are left, stats are %+v", out.len(), d.Stats())
				}
				time.Sleep(10 * time.Second)
			}
			synctest.Wait()
			if s := d.Stats(); s.Waiting != 0 || s.Dropped != 0 {
				t.Errorf("stats at the end are %+v", s)
			}
			stop()
			for i := range targets {
				// A failed attempt is repeated, so what a target was sent, without repeats, is what it was to get.
				highest := 0
				for _, body := range n.bodies(fmt.Sprint("t", i)) {
					var k int
					if _, err := fmt.Sscan(body, &k); err != nil {
						t.Fatal(err)
					}
					if k > highest {
						taken[i] = append(taken[i], k)
						highest = k
					} else if restarts == 0 && k < highest {
						t.Errorf("target %d got %d again after %d", i, k, highest)
					}
				}
				if fmt.Sprint(taken[i]) != fmt.Sprint(want[i]) {
					t.Errorf("target %d got %v, want %v", i, taken[i], want[i])
				}
			}
		})
	})
}
