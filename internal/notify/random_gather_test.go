package notify_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/notify"
	"github.com/tallystick/tallystick/onem2m"
)

// kind is a subscription of the model: how its notifications are delivered.
type kind struct {
	batch  *notify.Batch
	rate   *notify.Rate
	latest bool
}

// Subscriptions of all kinds to one failing target, over restarts: whatever the order of things, each gets all of its
// notifications, or all but those that a newer one replaced; in their order; no batch is too large, or too early; and
// nothing is left behind.
func TestRandomGathering(t *testing.T) {
	kinds := []kind{
		{},
		{batch: &notify.Batch{Number: 3, Duration: time.Minute}},
		{batch: &notify.Batch{Duration: 20 * time.Second}},
		{rate: &notify.Rate{Number: 2, Window: 10 * time.Second}},
		{latest: true},
		{batch: &notify.Batch{Number: 4, Duration: time.Minute}, latest: true},
		{batch: &notify.Batch{Number: 2, Duration: time.Hour}, rate: &notify.Rate{Number: 1, Window: 5 * time.Second}},
	}
	rapid.Check(t, func(rt *rapid.T) {
		failing := rapid.IntRange(0, 80).Draw(rt, "percent of failures")
		steps := rapid.SliceOfN(rapid.IntRange(0, len(kinds)*3+2), 50, 400).Draw(rt, "steps")
		seed := rapid.Uint64().Draw(rt, "seed")
		synctest.Test(t, func(t *testing.T) {
			out, n := newOutbox(), newNetwork()
			draw := func() int {
				n.mu.Lock()
				defer n.mu.Unlock()
				seed = seed*6364136223846793005 + 1442695040888963407
				return int(seed >> 33)
			}
			taken := make(map[int]bool) // attempts that were taken, by number
			n.hosts["a"] = func(attempt int) (onem2m.StatusCode, error) {
				if draw()%100 < failing {
					return 0, errors.New("connection reset")
				}
				n.mu.Lock()
				taken[attempt-1] = true
				n.mu.Unlock()
				return onem2m.StatusOK, nil
			}
			o := options(out, n)
			o.MaxDelay, o.MaxAge, o.Concurrency = 2*time.Second, 1000*time.Hour, 4
			d, stop := run(o)
			index, restarts := 0, 0
			want := make([][]int, len(kinds))
			for _, step := range steps {
				switch k := step % len(kinds); {
				case step < len(kinds)*3:
					index++
					out.add(notify.Item{
						Key: notify.Key{Index: uint64(index)}, Subscription: fmt.Sprint("sub", k), Target: "http://a/", Originator: "/tally",
						Content: fmt.Appendf(nil, `{"m2m:sgn":{"sur":"%d %d"}}`, k, index), Time: time.Now().UnixMicro(),
						Batch: kinds[k].batch, Rate: kinds[k].rate, Latest: kinds[k].latest,
					})
					want[k] = append(want[k], index)
				case step == len(kinds)*3:
					time.Sleep(time.Duration(draw()%30000) * time.Millisecond)
				case step == len(kinds)*3+1:
					stop()
					restarts++
					d, stop = run(o)
				default:
					index++
					out.add(notify.Item{Key: notify.Key{Index: uint64(index)}, Subscription: "sub1", Target: "http://a/", Time: time.Now().UnixMicro()})
				}
			}
			for waited := 0; out.len() > 0; waited++ {
				if waited == 10000 {
					t.Fatalf("%d items are left, stats are %+v", out.len(), d.Stats())
				}
				time.Sleep(time.Minute)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if s := d.Stats(); s.Waiting != 0 || s.Dropped != 0 {
				t.Errorf("stats at the end are %+v", s)
			}
			stop()
			got := make([][]int, len(kinds))
			var sent []time.Time // of the subscription with a rate and nothing else
			for i, body := range n.bodies("a") {
				var list []int
				k := -1
				for _, part := range strings.Split(body, `"sur":"`)[1:] {
					var of, at int
					if _, err := fmt.Sscanf(part, "%d %d", &of, &at); err != nil || k >= 0 && of != k {
						t.Fatalf("request %s: %v", body, err)
					}
					k = of
					list = append(list, at)
				}
				if b := kinds[k].batch; (b != nil) != strings.HasPrefix(body, `{"m2m:agn":`) || b != nil && b.Number > 0 && len(list) > b.Number {
					t.Errorf("kind %d got %s", k, body)
				}
				if k == 3 {
					sent = append(sent, n.times["a"][i])
				}
				if taken[i] {
					got[k] = append(got[k], list...)
				}
			}
			for i := 2; restarts == 0 && i < len(sent); i++ {
				if sent[i].Sub(sent[i-2]) < 5*time.Second { // two windows may touch
					if i >= 4 && sent[i].Sub(sent[i-4]) < 10*time.Second {
						t.Errorf("more requests than the rate allows: %v", sent[i-4:i+1])
					}
				}
			}
			for k := range kinds {
				slices.Sort(got[k]) // repeats after a restart come late
				once := slices.Compact(got[k])
				if kinds[k].latest {
					if len(want[k]) > 0 && (len(once) == 0 || once[len(once)-1] != want[k][len(want[k])-1]) {
						t.Errorf("kind %d got %v, the last of %v is missing", k, once, want[k])
					}
				} else if !slices.Equal(once, want[k]) {
					t.Errorf("kind %d got %v, want %v", k, once, want[k])
				}
			}
		})
	})
}
