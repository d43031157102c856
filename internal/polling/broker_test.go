package polling

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

func notification(id string) *onem2m.Request {
	return &onem2m.Request{Operation: onem2m.Notify, RequestID: id, From: "/cse", Content: []byte(`{"m2m:sgn":{"sur":"x"}}`)}
}

func to(owner string) binding.Address { return binding.Address{URL: Scheme + ":" + owner} }

func ok(id string) *onem2m.Response {
	return &onem2m.Response{Status: onem2m.StatusOK, RequestID: id}
}

// A request waits for a poll and its sender for the response with the same identifier (TS-0004 clauses 7.4.22.2.2 and
// 7.4.22.2.5), in either order of their coming.
func TestExchange(t *testing.T) {
	for _, pollFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var arrived atomic.Int32
			b := New(Options{Arrived: func(owner string) { arrived.Add(1) }})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var wg sync.WaitGroup
			poll := func() {
				got, err := b.Poll(ctx, "Ca", false)
				if err != nil || len(got) != 1 || got[0].RequestID != "1" || got[0].To != "Ca" || got[0].RequestExpiration == "" {
					t.Errorf("poll: %+v, %v", got, err)
				}
				if err := b.Answer("Ca", ok("2")); !errors.Is(err, ErrUnknown) {
					t.Errorf("an answer to nothing: %v", err)
				}
				if err := b.Answer("Cb", ok("1")); !errors.Is(err, ErrUnknown) {
					t.Errorf("an answer of somebody else: %v", err)
				}
				if err := b.Answer("Ca", ok("1")); err != nil {
					t.Errorf("the answer: %v", err)
				}
			}
			if pollFirst {
				wg.Go(poll)
				synctest.Wait()
			}
			wg.Go(func() {
				rsp, err := b.Send(ctx, to("Ca"), notification("1"))
				if err != nil || rsp.RequestID != "1" {
					t.Errorf("send: %+v, %v", rsp, err)
				}
			})
			if !pollFirst {
				synctest.Wait()
				wg.Go(poll)
			}
			wg.Wait()
			if arrived.Load() == 1 != pollFirst {
				t.Errorf("told of %d polls without a request", arrived.Load())
			}
			if len(b.owners) != 0 || b.waiting != 0 {
				t.Errorf("left: %v, %d", b.owners, b.waiting)
			}
		})
	}
}

// Several requests come in one answer only to who asks for it (TS-0001 clause 9.6.21, requestAggregation).
func TestAggregation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() { _, _ = b.Send(ctx, to("Ca"), notification(fmt.Sprint(i))) })
		}
		synctest.Wait()
		for _, want := range []struct {
			aggregate bool
			n         int
		}{{false, 1}, {true, 32}, {false, 1}, {true, 6}} {
			got, err := b.Poll(ctx, "Ca", want.aggregate)
			if err != nil || len(got) != want.n {
				t.Errorf("%d requests, %v, want %d", len(got), err, want.n)
			}
			for _, r := range got {
				if err := b.Answer("Ca", ok(r.RequestID)); err != nil {
					t.Error(err)
				}
			}
		}
		wg.Wait()
	})
}

// Everything that waits is bounded, in number and in time.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var polls, sends sync.WaitGroup
		var many, full atomic.Int32
		for range maxPolls + 3 {
			polls.Go(func() {
				if _, err := b.Poll(ctx, "Ca", false); errors.Is(err, ErrTooManyPolls) {
					many.Add(1)
				} else if !errors.Is(err, ErrNothing) {
					t.Errorf("poll: %v", err)
				}
			})
		}
		for i := range maxWaiting + 5 {
			sends.Go(func() {
				if _, err := b.Send(ctx, to("Cb"), notification(fmt.Sprint(i))); errors.Is(err, errFull) {
					full.Add(1)
				} else if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("send: %v", err)
				}
			})
		}
		start := time.Now()
		polls.Wait()
		sends.Wait()
		if many.Load() != 3 || full.Load() != 5 || time.Since(start) != 5*time.Second {
			t.Errorf("%d polls and %d requests too many, after %s", many.Load(), full.Load(), time.Since(start))
		}
		if _, err := b.Send(ctx, binding.Address{URL: "http://x/"}, notification("1")); err == nil {
			t.Error("another scheme is taken")
		}
		if len(b.owners) != 0 || b.waiting != 0 {
			t.Errorf("left: %v, %d", b.owners, b.waiting)
		}
	})
}

// A node that stops lets nobody wait.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := b.Poll(t.Context(), "Ca", true); !errors.Is(err, errClosed) {
				t.Errorf("poll: %v", err)
			}
		})
		wg.Go(func() {
			if _, err := b.Send(t.Context(), to("Cb"), notification("1")); !errors.Is(err, errClosed) {
				t.Errorf("send: %v", err)
			}
		})
		synctest.Wait()
		b.Close()
		b.Close()
		wg.Wait()
	})
}
