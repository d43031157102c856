package ingress

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeadlines: each ends once and at its time, however they were added, unless it was taken back before.
func TestDeadlines(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			var l deadlines
			type waiting struct {
				deadline
				due   time.Time
				mu    sync.Mutex // guards ended: the end comes from a timer
				ended time.Time
				taken bool
			}
			var all []*waiting
			for range 300 {
				wait := 30 * time.Second
				if rng.IntN(5) == 0 {
					wait = time.Duration(rng.Int64N(int64(40 * time.Second)))
				}
				w := &waiting{due: time.Now().Add(wait)}
				w.end = func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					if !w.ended.IsZero() {
						t.Error("ended twice")
					}
					w.ended = time.Now()
				}
				l.add(&w.deadline, wait)
				all = append(all, w)
				other := all[rng.IntN(len(all))]
				other.mu.Lock()
				ended := !other.ended.IsZero()
				other.mu.Unlock()
				if rng.IntN(2) == 0 && !ended && !other.taken {
					l.take(&other.deadline)
					other.taken = true
				}
				time.Sleep(time.Duration(rng.Int64N(int64(300 * time.Millisecond))))
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			for i, w := range all {
				if w.taken != w.ended.IsZero() || !w.taken && !w.ended.Equal(w.due) {
					t.Errorf("%d: taken back %v, due %s, ended %s", i, w.taken, w.due, w.ended)
				}
			}
			if l.first != nil || l.last != nil {
				t.Error("something is left in the list")
			}
			l.stop()
		})
	}
}
