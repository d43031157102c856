package ingress

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

// TestManyLargeBatches: more large requests at once than the window of batch numbers has room for are all answered with
// success, with a mempool that gives out at most a block's worth in the order of arrival, and the node goes on.
func TestManyLargeBatches(t *testing.T) {
	n := ready(t, 30*time.Second)
	var mu sync.Mutex
	var pool [][]byte
	pb := 0
	sub := func(tx []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if pb+len(tx) > 64<<20 {
			return fmt.Errorf("mempool is full")
		}
		pb += len(tx)
		pool = append(pool, tx)
		return nil
	}
	n.submit.Store(&sub)
	big := fmt.Appendf(nil, `{"m2m:cin":{"con":"%0*d"}}`, 600000, 1)
	var wg sync.WaitGroup
	var created, other atomic.Int32
	run := func(content []byte) {
		wg.Go(func() {
			r := reading(0)
			r.Content = content
			if resp := n.do("Cdev", r); resp.Status == onem2m.StatusCreated {
				created.Add(1)
			} else {
				other.Add(1)
			}
		})
	}
	for range 100 {
		run(big)
	}
	time.Sleep(50 * time.Millisecond)
	run(fmt.Appendf(nil, `{"m2m:cin":{"con":"%0*d"}}`, 460000, 1))
	time.Sleep(100 * time.Millisecond)
	stop := make(chan struct{})
	var lw sync.WaitGroup
	lw.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			mu.Lock()
			var txs [][]byte
			size := 0
			for len(pool) > 0 && size+len(pool[0]) < 8<<20-100 {
				size += len(pool[0])
				pb -= len(pool[0])
				txs = append(txs, pool[0])
				pool = pool[1:]
			}
			mu.Unlock()
			if len(txs) == 0 { // CreateEmptyBlocks = false
				time.Sleep(5 * time.Millisecond)
				continue
			}
			n.step.Lock()
			n.block(txs)
			n.step.Unlock()
		}
	})
	wg.Wait()
	if created.Load() != 101 || other.Load() != 0 {
		t.Errorf("%d requests succeeded and %d did not, want 101 and 0", created.Load(), other.Load())
	}
	if r := n.do("Cdev", reading(0)); r.Status != onem2m.StatusCreated {
		t.Errorf("a small request afterwards: %d %s", r.Status, r.Content)
	}
	close(stop)
	lw.Wait()
}
