package notify_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/notify"
	"github.com/tallystick/tallystick/onem2m"
)

// gathered is a notification of a subscription with batchNotify.
func gathered(index uint64, number int, duration time.Duration) notify.Item {
	it := item(index, "http://a/")[0]
	it.Batch = &notify.Batch{Number: number, Duration: duration}
	return it
}

// aggregated is what a target gets of several.
func aggregated(from, to int) string {
	var list []string
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprintf(`{"sur":"%d"}`, i))
	}
	return `{"m2m:agn":{"m2m:sgn":[` + strings.Join(list, ",") + `]}}`
}

func wantGot(t *testing.T, n *network, out *memoryOutbox, left int, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := gocmp.Diff(want, n.bodies("a")); diff != "" {
		t.Errorf("got (-want +got):\n%s", diff)
	}
	if out.len() != left {
		t.Errorf("outbox has %d items, want %d", out.len(), left)
	}
}

// TS-0001 clause 9.6.8, batchNotify: by number, by duration since the first, and at once when the subscription ends.
func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		_, stop := run(options(out, n))
		defer stop()
		for i := range 7 {
			out.add(gathered(uint64(i+1), 3, time.Minute))
		}
		wantGot(t, n, out, 1, aggregated(1, 3), aggregated(4, 6))
		// What is not gathered does not wait for what is.
		out.add(item(8, "http://a/")...)
		wantGot(t, n, out, 1, aggregated(1, 3), aggregated(4, 6), want(8)[0])
		time.Sleep(59 * time.Second)
		wantGot(t, n, out, 1, aggregated(1, 3), aggregated(4, 6), want(8)[0])
		time.Sleep(time.Second)
		wantGot(t, n, out, 0, aggregated(1, 3), aggregated(4, 6), want(8)[0], aggregated(7, 7))
		out.add(gathered(9, 3, time.Hour))
		synctest.Wait()
		end := gathered(10, 0, 0)
		end.Content, end.Batch = nil, nil
		out.add(end)
		wantGot(t, n, out, 0, aggregated(1, 3), aggregated(4, 6), want(8)[0], aggregated(7, 7), aggregated(9, 9))
		if id := n.reqs["a"][0].RequestID; id != "ntf-1-0-3-0" {
			t.Errorf("request identifier %q", id)
		}
	})
}

// No batch grows without bound, whatever its subscription says.
func TestBatchBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		_, stop := run(options(out, n))
		defer stop()
		for i := range 3000 {
			out.add(gathered(uint64(i+1), 0, 1000*time.Hour))
		}
		synctest.Wait()
		if got := len(n.bodies("a")); got != 2 || out.len() != 3000-2*1024 {
			t.Errorf("%d requests, outbox has %d items", got, out.len())
		}
		big := gathered(3001, 9, time.Hour)
		big.Subscription, big.Content = "sub2", []byte(`{"m2m:sgn":{"sur":"`+strings.Repeat("x", 400<<10)+`"}}`)
		other := big
		other.Key.Index++
		out.add(big, other)
		synctest.Wait()
		if got := n.bodies("a"); len(got) != 3 || len(got[2]) > 500<<10 {
			t.Errorf("%d requests", len(got))
		}
		// The rest of the batch waits for its own number or time.
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := len(n.bodies("a")); got != 4 {
			t.Errorf("%d requests after an hour", got)
		}
	})
}

// TS-0001 clause 9.6.8, latestNotify: what was not delivered yet is replaced; together with batchNotify the newest of
// the batch goes.
func TestLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		var down atomic.Bool
		down.Store(true)
		n.hosts["a"] = func(int) (onem2m.StatusCode, error) {
			if down.Load() {
				return 0, errors.New("down")
			}
			return onem2m.StatusOK, nil
		}
		d, stop := run(options(out, n))
		defer stop()
		latest := func(index uint64) notify.Item {
			it := item(index, "http://a/")[0]
			it.Latest, it.Category = true, "4"
			return it
		}
		out.add(latest(1))
		synctest.Wait()
		for i := range 3000 {
			out.add(latest(uint64(i + 2)))
		}
		synctest.Wait()
		down.Store(false)
		time.Sleep(time.Minute)
		wantGot(t, n, out, 0, want(1, 3001)...)
		if got := n.reqs["a"][1].EventCategory; got != "4" {
			t.Errorf("event category %q", got)
		}
		if s := d.Stats(); s.Replaced != 3000 || s.Delivered != 1 || s.Waiting != 0 {
			t.Errorf("stats are %+v", s)
		}
		for i := range 3 {
			it := latest(uint64(4000 + i))
			it.Batch = &notify.Batch{Number: 3, Duration: time.Minute}
			out.add(it)
		}
		wantGot(t, n, out, 0, want(1, 3001)[0], want(3001)[0], aggregated(4002, 4002))
	})
}

// A batch that fails is tried again, and is no older than the time it took to gather it.
func TestBatchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		n.hosts["a"] = func(attempt int) (onem2m.StatusCode, error) {
			if attempt < 4 {
				return 0, &binding.AnswerError{Code: 503}
			}
			return onem2m.StatusOK, nil
		}
		o := options(out, n)
		o.MaxAge = time.Hour
		var sent, answered int
		o.Count = func(subscription, target string, s, a int) {
			if subscription != "sub1" || target != "http://a/" {
				t.Errorf("counted %s %s", subscription, target)
			}
			sent, answered = sent+s, answered+a
		}
		_, stop := run(o)
		defer stop()
		for i := range 2 {
			it := gathered(uint64(i+1), 0, 48*time.Hour)
			it.Counted = true
			out.add(it)
		}
		time.Sleep(49 * time.Hour)
		b := aggregated(1, 2)
		wantGot(t, n, out, 0, b, b, b, b)
		if sent != 8 || answered != 8 {
			t.Errorf("counted %d sent, %d answered", sent, answered)
		}
	})
}

// Batches survive a restart: nothing is lost, nothing is delivered before its time.
func TestBatchRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		_, stop := run(options(out, n))
		out.add(gathered(1, 5, time.Minute), gathered(2, 5, time.Minute))
		time.Sleep(30 * time.Second)
		stop()
		_, stop = run(options(out, n))
		time.Sleep(20 * time.Second)
		wantGot(t, n, out, 2)
		out.add(gathered(3, 5, time.Minute))
		time.Sleep(10 * time.Second)
		wantGot(t, n, out, 0, aggregated(1, 3))
		out.add(gathered(4, 5, time.Minute))
		synctest.Wait()
		stop()
		end := gathered(5, 0, 0)
		end.Content, end.Batch = nil, nil
		out.add(end)
		_, stop = run(options(out, n))
		defer stop()
		wantGot(t, n, out, 0, aggregated(1, 3), aggregated(4, 4))
	})
}

// A target that can be reached again gets what it has missed without waiting for the end of a pause.
func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		var down atomic.Bool
		down.Store(true)
		n.hosts["Ca"] = func(int) (onem2m.StatusCode, error) {
			if down.Load() {
				return 0, errors.New("not connected")
			}
			return onem2m.StatusOK, nil
		}
		o := options(out, n)
		o.Resolve = func(string) notify.Route {
			return notify.Route{Entity: "Ca", To: "/tally/Ca", Addresses: []binding.Address{{URL: "conn:Ca"}}}
		}
		d, stop := run(o)
		defer stop()
		out.add(item(1, "tally/ae1")...)
		out.add(item(2, "Ca")...)
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		failed := d.Stats().Failed
		down.Store(false)
		d.Wake("Cother")
		synctest.Wait()
		if d.Stats().Delivered != 0 {
			t.Error("delivered although somebody else came")
		}
		d.Wake("Ca")
		d.Wake("Ca")
		synctest.Wait()
		if s := d.Stats(); s.Delivered != 2 || s.Failed != failed || out.len() != 0 {
			t.Errorf("stats are %+v", s)
		}
	})
}

// TS-0001 clause 9.6.8, rateLimit: so many requests in a time window, in their order; nobody else has to wait.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		d, stop := run(options(out, n))
		defer stop()
		limited := func(index uint64) notify.Item {
			it := item(index, "http://a/")[0]
			it.Rate = &notify.Rate{Number: 2, Window: time.Minute}
			return it
		}
		start := time.Now()
		out.add(limited(1))
		time.Sleep(20 * time.Second)
		for i := range 4 {
			out.add(limited(uint64(i + 2)))
		}
		synctest.Wait()
		out.add(item(6, "http://a/")...)
		wantGot(t, n, out, 3, want(1, 2, 6)...)
		time.Sleep(10 * time.Minute)
		wantGot(t, n, out, 0, want(1, 2, 6, 3, 4, 5)...)
		for i, after := range []time.Duration{0, 20 * time.Second, 20 * time.Second, time.Minute, time.Minute, 2 * time.Minute} {
			if got := n.times["a"][i].Sub(start); got != after {
				t.Errorf("request %d after %v, want %v", i, got, after)
			}
		}
		if s := d.Stats(); s.Waiting != 0 {
			t.Errorf("stats are %+v", s)
		}
	})
}

// Whoever comes while he is being looked for is found at once too.
func TestWakeMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		var d *notify.Deliverer
		n.hosts["Ca"] = func(attempt int) (onem2m.StatusCode, error) {
			switch attempt {
			case 1:
				return 0, errors.New("not connected")
			case 2:
				d.Wake("Ca") // just too late for this attempt
				return 0, errors.New("not connected")
			}
			return onem2m.StatusOK, nil
		}
		o := options(out, n)
		o.Resolve = func(string) notify.Route {
			return notify.Route{Entity: "Ca", To: "/tally/Ca", Addresses: []binding.Address{{URL: "conn:Ca"}}}
		}
		var stop func()
		d, stop = run(o)
		defer stop()
		out.add(item(1, "Ca")...)
		time.Sleep(time.Minute)
		synctest.Wait()
		if at := n.times["Ca"]; len(at) != 3 || !at[1].Equal(at[2]) {
			t.Errorf("tried at %v", at)
		}
	})
}

// Settle is over when everything was sent once, whatever came of it, and waits for no batch and no pause.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, n := newOutbox(), newNetwork()
		n.hosts["slow"] = func(int) (onem2m.StatusCode, error) { time.Sleep(50 * time.Millisecond); return onem2m.StatusOK, nil }
		n.hosts["bad"] = func(int) (onem2m.StatusCode, error) { return 0, errors.New("down") }
		d, stop := run(options(out, n))
		defer stop()
		out.add(item(1, "http://slow/", "http://bad/")...)
		out.add(gathered(2, 5, time.Hour))
		start := time.Now()
		d.Settle(t.Context())
		if took := time.Since(start); took < 50*time.Millisecond || took > 60*time.Millisecond || len(n.bodies("bad")) != 1 {
			t.Errorf("settled after %v", took)
		}
		d.Settle(t.Context())
		if took := time.Since(start); took > 60*time.Millisecond {
			t.Errorf("settled again after %v", took)
		}
	})
}
