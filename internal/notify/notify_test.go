package notify_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/notify"
	"github.com/tallystick/tallystick/onem2m"
)

// network is a Client without a network, so that clocks can be faked: each host answers as its function says, with a
// response status code or an error.
type network struct {
	mu    sync.Mutex
	hosts map[string]func(attempt int) (onem2m.StatusCode, error)
	got   map[string][]string // contents by host, one for each attempt
	reqs  map[string][]onem2m.Request
	times map[string][]time.Time
}

func newNetwork() *network {
	return &network{
		hosts: make(map[string]func(int) (onem2m.StatusCode, error)),
		got:   make(map[string][]string), reqs: make(map[string][]onem2m.Request), times: make(map[string][]time.Time),
	}
}

func (n *network) Send(ctx context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
	u, err := url.Parse(to.URL)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	host := cmp.Or(u.Host, u.Opaque)
	n.got[host] = append(n.got[host], string(req.Content))
	n.reqs[host] = append(n.reqs[host], *req)
	n.times[host] = append(n.times[host], time.Now())
	attempt := len(n.got[host])
	answer := n.hosts[host]
	n.mu.Unlock()
	status := onem2m.StatusOK
	if answer != nil {
		status, err = answer(attempt)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return &onem2m.Response{Status: status}, nil
}

func (n *network) bodies(host string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.got[host]...)
}

// item is a notification with one item a target.
func item(index uint64, targets ...string) (list []notify.Item) {
	for i, target := range targets {
		list = append(list, notify.Item{
			Key: notify.Key{Index: index, N: uint32(i)}, Subscription: "sub1", Target: target, Originator: "/tally",
			Content: fmt.Appendf(nil, `{"m2m:sgn":{"sur":"%d"}}`, index), Time: time.Now().UnixMicro(),
		})
	}
	return list
}

func want(indexes ...int) []string {
	var s []string
	for _, i := range indexes {
		s = append(s, fmt.Sprintf(`{"m2m:sgn":{"sur":"%d"}}`, i))
	}
	return s
}

func options(o notify.Outbox, n binding.Client) notify.Options {
	return notify.Options{
		Outbox: o, Log: slog.New(slog.DiscardHandler),
		Clients: map[string]binding.Client{"http": n, "conn": n},
		Resolve: func(target string) notify.Route {
			if strings.Contains(target, "://") {
				return notify.Route{To: target, Addresses: []binding.Address{{URL: target}}}
			}
			return notify.Route{}
		},
	}
}

// run starts a Deliverer; the function that it returns stops it and waits.
func run(o notify.Options) (*notify.Deliverer, func()) {
	d := notify.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { d.Run(ctx) })
	return d, func() { cancel(); wg.Wait() }
}

// TS-0004 clause 7.5.1.2.2: every target of nu gets the notification; in the order of the log.
func TestDeliversInOrderToEveryTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		d, stop := run(options(out, n))
		defer stop()
		for i := range 300 {
			out.add(item(uint64(i+1), "http://a/", "http://b/")...)
		}
		synctest.Wait()
		var all []int
		for i := range 300 {
			all = append(all, i+1)
		}
		for _, host := range []string{"a", "b"} {
			if diff := gocmp.Diff(want(all...), n.bodies(host)); diff != "" {
				t.Errorf("%s got (-want +got):\n%s", host, diff)
			}
		}
		if out.len() != 0 || d.Stats().Delivered != 600 || d.Stats().Waiting != 0 {
			t.Errorf("outbox has %d items, stats are %+v", out.len(), d.Stats())
		}
	})
}

// What waits for a target that takes nothing is bounded; what ends a subscription comes through all the same, and who has
// caught up gets everything again.
func TestBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		up := time.Now().Add(time.Hour)
		n.hosts["dead"] = func(int) (onem2m.StatusCode, error) {
			if time.Now().Before(up) {
				return 0, errors.New("connection refused")
			}
			return onem2m.StatusOK, nil
		}
		o := options(out, n)
		o.Backlog = 200
		d, stop := run(o)
		defer stop()
		for i := range 500 {
			out.add(item(uint64(i+1), "http://dead/", "http://alive/")...)
			if i%10 == 0 {
				synctest.Wait()
			}
		}
		last := item(501, "http://dead/")
		last[0].Content = []byte(`{"m2m:sgn":{"sud":true}}`)
		out.add(last...)
		synctest.Wait()
		if out.len() != 201 || d.Stats().Dropped != 300 || len(n.bodies("alive")) != 500 {
			t.Fatalf("outbox has %d items, stats are %+v, alive got %d", out.len(), d.Stats(), len(n.bodies("alive")))
		}
		time.Sleep(2 * time.Hour)
		out.add(item(600, "http://dead/")...)
		synctest.Wait()
		if got := n.bodies("dead"); out.len() != 0 || got[len(got)-1] != want(600)[0] || d.Stats().Delivered != 702 {
			t.Errorf("outbox has %d items, stats are %+v, the last is %s", out.len(), d.Stats(), got[len(got)-1])
		}
	})
}

// A target that is down must not delay another, and gets everything in order when it is back, more than memory keeps
// included.
func TestDeadTargetDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		up := time.Now().Add(time.Hour)
		n.hosts["dead"] = func(int) (onem2m.StatusCode, error) {
			if time.Now().Before(up) {
				return 0, errors.New("connection refused")
			}
			return onem2m.StatusOK, nil
		}
		d, stop := run(options(out, n))
		defer stop()
		var all []int
		for i := range 1000 {
			all = append(all, i+1)
			out.add(item(uint64(i+1), "http://dead/", "http://alive/")...)
			if i%10 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if diff := gocmp.Diff(want(all...), n.bodies("alive")); diff != "" {
			t.Fatalf("alive got (-want +got):\n%s", diff)
		}
		if out.len() != 1000 {
			t.Fatalf("outbox has %d items, want all 1000: dead has got none", out.len())
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		got := n.bodies("dead")
		failed := len(got) - 1000
		if diff := gocmp.Diff(want(all...), got[failed:]); diff != "" {
			t.Errorf("dead got in the end (-want +got):\n%s", diff)
		}
		if len(n.bodies("alive")) != 1000 || out.len() != 0 {
			t.Errorf("alive got %d, outbox has %d", len(n.bodies("alive")), out.len())
		}
		if s := d.Stats(); s.Failed != uint64(failed) || s.Delivered != 2000 || s.Dropped != 0 {
			t.Errorf("stats are %+v, want %d failed", s, failed)
		}
	})
}

func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		n.hosts["a"] = func(attempt int) (onem2m.StatusCode, error) {
			if attempt == 15 {
				return onem2m.StatusOK, nil
			}
			return onem2m.StatusInternalServerError, nil
		}
		_, stop := run(options(out, n))
		defer stop()
		out.add(item(1, "http://a/")...)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		times := n.times["a"]
		if len(times) != 15 {
			t.Fatalf("%d attempts, want 15", len(times))
		}
		for i := 1; i < len(times); i++ {
			full := min(time.Second<<(i-1), 5*time.Minute)
			if pause := times[i].Sub(times[i-1]); pause < full/2 || pause > full {
				t.Errorf("pause %d is %v, want %v to %v", i, pause, full/2, full)
			}
		}
		for _, req := range n.reqs["a"] {
			if req.RequestID != "ntf-1-0" || req.To != "http://a/" || req.From != "/tally" || req.ReleaseVersion != "4" {
				t.Errorf("request %+v, want the same each time", req)
			}
		}
	})
}

func TestGivesUp(t *testing.T) {
	answer := func(status onem2m.StatusCode, err error) func(int) (onem2m.StatusCode, error) {
		return func(int) (onem2m.StatusCode, error) { return status, err }
	}
	tests := []struct {
		name    string
		target  string
		answer  func(int) (onem2m.StatusCode, error)
		dropped bool // at once
	}{
		{"not found", "http://a/", answer(0, &binding.AnswerError{Code: 404, Final: true}), true},
		{"forbidden", "http://a/", answer(4103, nil), true},
		{"external failure", "http://a/", answer(6003, nil), true},
		{"no scheme of ours", "mqtt://a/", nil, true},
		{"rate limit", "http://a/", answer(0, &binding.AnswerError{Code: 429, After: time.Minute}), false},
		{"request timeout", "http://a/", answer(4008, nil), false},
		{"behind it is unreachable", "http://a/", answer(5103, nil), false},
		{"server error", "http://a/", answer(0, &binding.AnswerError{Code: 503}), false},
		{"no point of access", "Cae", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out, n := newOutbox(), newNetwork()
				n.hosts["a"] = tt.answer
				d, stop := run(options(out, n))
				defer stop()
				out.add(item(1, tt.target)...)
				synctest.Wait()
				if got := out.len() == 0; got != tt.dropped {
					t.Fatalf("given up at once: %v, want %v", got, tt.dropped)
				}
				// Whatever it is, it ends when the notification is too old.
				time.Sleep(25 * time.Hour)
				synctest.Wait()
				if out.len() != 0 || d.Stats().Dropped != 1 || d.Stats().Waiting != 0 {
					t.Errorf("after 25 h the outbox has %d items, stats are %+v", out.len(), d.Stats())
				}
			})
		})
	}
}

// The rest of a subscription's notifications go when it goes, but not the one that says so (TS-0004 clause 7.5.1.2.4).
func TestSubscriptionGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		up := time.Now().Add(time.Hour)
		n.hosts["a"] = func(int) (onem2m.StatusCode, error) {
			if time.Now().Before(up) {
				return onem2m.StatusTargetNotReachable, nil
			}
			return onem2m.StatusOK, nil
		}
		o := options(out, n)
		o.Subscribed = func(string) bool { return false }
		d, stop := run(o)
		defer stop()
		for i := range 200 {
			out.add(item(uint64(i+1), "http://a/")...)
		}
		last := item(201, "http://a/")[0]
		last.Content = []byte(`{"m2m:sgn":{"sud":true,"sur":"x"}}`)
		out.add(last)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		got := n.bodies("a")
		if out.len() != 0 || d.Stats().Dropped != 200 || got[len(got)-1] != string(last.Content) {
			t.Errorf("outbox has %d items, stats are %+v, the last was %s", out.len(), d.Stats(), got[len(got)-1])
		}
	})
}

// Slow targets may not take all places.
func TestSlowTargetsDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		o := options(out, n)
		o.Concurrency = 8
		_, stop := run(o)
		defer stop()
		for i := range 20 {
			host := "slow" + strconv.Itoa(i)
			n.hosts[host] = func(int) (onem2m.StatusCode, error) { time.Sleep(8 * time.Second); return onem2m.StatusOK, nil }
			for k := range 10 {
				out.add(item(uint64(i*10+k+1), "http://"+host+"/")...)
			}
		}
		time.Sleep(time.Minute)
		start := time.Now()
		out.add(item(1000, "http://quick/")...)
		synctest.Wait()
		if len(n.bodies("quick")) != 1 || time.Since(start) != 0 {
			t.Errorf("the quick target had to wait")
		}
		time.Sleep(time.Hour)
		if out.len() != 0 {
			t.Errorf("outbox has %d items", out.len())
		}
	})
}

// At least once, across restarts in the middle of everything.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		n.hosts["a"] = func(attempt int) (onem2m.StatusCode, error) {
			time.Sleep(30 * time.Millisecond)
			if attempt%7 == 0 {
				return onem2m.StatusTargetNotReachable, nil
			}
			return onem2m.StatusOK, nil
		}
		for i := range 100 {
			out.add(item(uint64(i+1), "http://a/", "http://b/")...)
		}
		for restarts := 0; out.len() > 0; restarts++ {
			if restarts == 500 {
				t.Fatalf("outbox still has %d items", out.len())
			}
			_, stop := run(options(out, n))
			time.Sleep(100 * time.Millisecond)
			stop()
		}
		for _, host := range []string{"a", "b"} {
			seen, next := make(map[string]bool), 1
			for _, body := range n.bodies(host) {
				if !seen[body] && body != want(next)[0] {
					t.Fatalf("%s: first delivery of %s before that of %d", host, body, next)
				} else if !seen[body] {
					next++
				}
				seen[body] = true
			}
			if next != 101 {
				t.Errorf("%s got %d notifications, want 100", host, next-1)
			}
		}
	})
}

func TestOutboxFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		out.setFailure(errors.New("disk gone"))
		_, stop := run(options(out, n))
		defer stop()
		out.add(item(1, "http://a/")...)
		time.Sleep(time.Minute)
		out.setFailure(nil)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if diff := gocmp.Diff(want(1), n.bodies("a")); diff != "" || out.len() != 0 {
			t.Errorf("outbox has %d items; got (-want +got):\n%s", out.len(), diff)
		}
	})
}

// A target that cannot keep up misses nothing that is committed while its backlog is read again from the outbox.
func TestBacklogWhileCommitting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		out.delay = 7 * time.Millisecond
		n.hosts["a"] = func(int) (onem2m.StatusCode, error) { time.Sleep(3 * time.Millisecond); return onem2m.StatusOK, nil }
		d, stop := run(options(out, n))
		defer stop()
		var all []int
		for i := range 6000 {
			all = append(all, i+1)
			out.add(item(uint64(i+1), "http://a/")...)
			// Bursts make a backlog; between them it shrinks slowly while more is committed.
			if i%600 > 100 {
				time.Sleep(12*time.Millisecond + time.Duration(i%7)*100*time.Microsecond)
			}
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if diff := gocmp.Diff(want(all...), n.bodies("a")); diff != "" || out.len() != 0 || d.Stats().Waiting != 0 {
			t.Errorf("outbox has %d items; got (-want +got):\n%s", out.len(), diff)
		}
	})
}
