//go:build scenario

// Package crash kills a real node under load, again and again, and finds everything that it acknowledged.
package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/test/scenario"
)

var (
	seed    = flag.Uint64("seed", seedOfEnv(), "seed of the moments of death and of the samples; TALLY_SEED sets it too")
	kills   = flag.Int("kills", 32, "how often the node is killed")
	dir     = flag.String("dir", "", "data folder, new, to be kept for a look at it; a temporary one when not given")
	devices = flag.Int("devices", 6, "devices that send at once")
)

func seedOfEnv() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("TALLY_SEED"), 10, 64); err == nil {
		return n
	}
	return uint64(time.Now().UnixNano())
}

func TestMain(m *testing.M) {
	code := m.Run()
	scenario.Cleanup()
	os.Exit(code)
}

// The second of the four promises: committed, and so acknowledged, means durable. A node that is killed with SIGKILL
// while devices send loses no acknowledged reading, keeps their order, repeats none, can prove each, and its log
// only ever grows.
func TestKilledNodeKeepsWhatItAcknowledged(t *testing.T) {
	t.Logf("seed %d", *seed)
	rnd := rand.New(rand.NewPCG(*seed, 0))
	folder := *dir
	if folder == "" {
		folder = t.TempDir()
	}
	n := scenario.Init(t, folder)
	p := n.Start(t)
	policy := n.Policy(t)

	series := make([]*scenario.Series, *devices)
	for i := range series {
		series[i] = scenario.NewSeries(t, n, fmt.Sprintf("device-%d", i))
	}
	monitor := newMonitor(n.URL(), policy)
	for kill := 1; kill <= *kills; kill++ {
		delay := 50*time.Millisecond + time.Duration(rnd.Int64N(int64(750*time.Millisecond)))
		load(t, p, series, monitor, delay)
		whole := kill%5 == 0 || kill == *kills
		if whole {
			n.Fsck(t)
		}
		p = n.Start(t)
		if err := monitor.look(t.Context()); err != nil {
			t.Fatalf("kill %d after %s: %v", kill, delay, err)
		}
		again := time.Now()
		resume(t, p, series)
		idle := time.Since(again)
		proved := 0
		for _, s := range series {
			s.Check(t, whole)
			for range 2 {
				if s.Sent() > 0 && s.Prove(t, policy, rnd.IntN(s.Sent())) {
					proved++
				}
			}
		}
		t.Logf("kill %d after %s: %d sent, %d acknowledged, %d proofs verified, log size %d, writes again after %s",
			kill, delay.Round(time.Millisecond), total(series, (*scenario.Series).Sent), total(series, (*scenario.Series).Acked), proved, monitor.last.Size, idle.Round(time.Millisecond))
	}
	if code := p.Stop(); code != 0 {
		t.Fatalf("the node ended with exit code %d:\n%s", code, p.Output())
	}
	n.Fsck(t)
	if total(series, (*scenario.Series).Acked) < *kills {
		t.Fatal("hardly anything was acknowledged: this run shows nothing")
	}
}

// resume requires that the restarted node takes readings again.
func resume(t *testing.T, p *scenario.Process, series []*scenario.Series) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, s := range series {
		if err := s.Send(ctx); err != nil {
			t.Fatalf("%s: after a restart: %v; the node said:\n%s", s.ID, err, p.Output())
		}
	}
}

// load lets all devices send, and an auditor watch the checkpoint, until the node dies.
func load(t *testing.T, p *scenario.Process, series []*scenario.Series, m *monitor, d time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	var dead atomic.Bool
	for _, s := range series {
		wg.Go(func() {
			for {
				if err := s.Send(ctx); err != nil {
					if !dead.Load() {
						t.Errorf("%s: refused before the node was killed: %v", s.ID, err)
					}
					return
				}
			}
		})
	}
	wg.Go(func() {
		for !dead.Load() {
			if err := m.look(ctx); err != nil && !dead.Load() {
				t.Errorf("before the node was killed: %v", err)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	time.Sleep(d)
	dead.Store(true)
	p.Kill()
	wg.Wait()
	if t.Failed() {
		t.Fatalf("the node said:\n%s", p.Output())
	}
}

func total(series []*scenario.Series, of func(*scenario.Series) int) (n int) {
	for _, s := range series {
		n += of(s)
	}
	return n
}
