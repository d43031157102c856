package ingress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
)

func (n *network) start(req onem2m.Request, done func(*onem2m.Response)) {
	req.From, req.RequestID, req.ReleaseVersion, req.ResultContent = "Cdev", "s", "4", onem2m.ResultContentDefault
	n.ingress.Start(context.Background(), &req, testEvidence("Cdev"), done)
}

// TestStartKeepsOrder: readings that one goroutine starts are committed in that order, and all are answered, once.
func TestStartKeepsOrder(t *testing.T) {
	n := ready(t, 0)
	const count = 500
	var wg sync.WaitGroup
	locations := make([]string, count)
	var answers atomic.Int32
	wg.Add(count)
	for i := range count {
		n.start(reading(i), func(resp *onem2m.Response) {
			answers.Add(1)
			if resp.Status != onem2m.StatusCreated || resp.RequestID != "s" || resp.ReleaseVersion != "4" {
				t.Errorf("%d: %+v", i, resp)
			}
			locations[i] = resp.Location
			wg.Done()
		})
	}
	wg.Wait()
	last := ""
	for i, l := range locations {
		get := n.do("Cdev", onem2m.Request{Operation: onem2m.Retrieve, To: l})
		if !bytes.Contains(get.Content, fmt.Appendf(nil, `"con":"%d"`, i)) {
			t.Fatalf("%d: %s has %s", i, l, get.Content)
		}
		if len(l) < len(last) || len(l) == len(last) && l <= last {
			t.Fatalf("%d: %s was committed before %s", i, l, last)
		}
		last = l
	}
	if answers.Load() != count {
		t.Errorf("%d answers to %d requests", answers.Load(), count)
	}
}

// TestStartEchoes: the response has the parameters that come back, as that of Do has (TS-0004 clause 6.4.2).
func TestStartEchoes(t *testing.T) {
	n := ready(t, 0)
	good, bad := reading(1), reading(2)
	bad.To = "tally/dev/none"
	for _, r := range []onem2m.Request{good, bad} {
		r.EventCategory, r.ResultExpiration = "2", "60000"
		answer := make(chan *onem2m.Response, 1)
		n.start(r, func(resp *onem2m.Response) { answer <- resp })
		if resp := <-answer; resp.EventCategory != "2" || resp.ResultExpiration != "60000" {
			t.Errorf("%s: event category %q, result expiration %q", resp.Status, resp.EventCategory, resp.ResultExpiration)
		}
	}
}

// TestStartRefuses: what Do refuses Start refuses, and what no reading is is done too.
func TestStartRefuses(t *testing.T) {
	n := ready(t, 0)
	ask := func(req onem2m.Request) *onem2m.Response {
		answer := make(chan *onem2m.Response, 2)
		n.start(req, func(r *onem2m.Response) { answer <- r })
		return <-answer
	}
	n.want(onem2m.StatusNotFound, ask(onem2m.Request{Operation: onem2m.Create, To: "tally/dev/none", Type: onem2m.TypeContentInstance, Content: []byte(`{"m2m:cin":{"con":1}}`)}))
	n.want(onem2m.StatusBadRequest, ask(onem2m.Request{Operation: onem2m.Create, To: "tally/dev/c", Type: onem2m.TypeContentInstance, Content: []byte(`{"m2m:cin":{}}`)}))
	n.want(onem2m.StatusOK, ask(onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/c"}))
	n.want(onem2m.StatusCreated, ask(onem2m.Request{Operation: onem2m.Create, To: "tally/dev", Type: onem2m.TypeContainer, Content: []byte(`{"m2m:cnt":{}}`)}))
	full := errors.New("the disk is full")
	n.refuse.Store(&full)
	n.want(onem2m.StatusInternalServerError, ask(reading(1)))
	n.refuse.Store(nil)
	stranger := reading(1)
	stranger.From = "Cother"
	answer := make(chan *onem2m.Response, 2)
	n.ingress.Start(context.Background(), &stranger, testEvidence("Cdev"), func(r *onem2m.Response) { answer <- r })
	n.want(onem2m.StatusOriginatorHasNoPrivilege, <-answer)
}

// TestStartInTime: who is not committed in time is told so, once, even when the block comes later.
func TestStartInTime(t *testing.T) {
	n := ready(t, 50*time.Millisecond)
	n.step.Lock()
	answer := make(chan *onem2m.Response, 2)
	n.start(reading(1), func(r *onem2m.Response) { answer <- r })
	n.want(onem2m.StatusRequestTimeout, <-answer)
	for expiration, want := range map[string]onem2m.StatusCode{"20": onem2m.StatusRequestTimeout, "-5": onem2m.StatusRequestTimeout, "soon": onem2m.StatusBadRequest} {
		r := reading(1)
		r.RequestExpiration = expiration
		n.start(r, func(r *onem2m.Response) { answer <- r })
		n.want(want, <-answer)
	}
	n.step.Unlock()
	n.want(onem2m.StatusCreated, n.do("Cdev", reading(2)))
	if len(answer) != 0 {
		t.Errorf("answered again: %+v", <-answer)
	}
}

// TestStartAndClose: whoever waits when the node stops is answered, once.
func TestStartAndClose(t *testing.T) {
	n := ready(t, 20*time.Second)
	n.step.Lock()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Add(1)
		n.start(reading(i), func(r *onem2m.Response) {
			if r.Status == onem2m.StatusCreated {
				t.Error("created while no block is made")
			}
			wg.Done()
		})
	}
	n.ingress.Close()
	wg.Wait()
	n.step.Unlock()
}

// TestFillOvertakesNothing: what waits is put into a proposal only if everything that came before it is in it too.
func TestFillOvertakesNothing(t *testing.T) {
	n := ready(t, 0)
	held, release := make(chan []byte, 9), make(chan struct{})
	submit := func(tx []byte) error {
		held <- tx
		<-release
		n.mempool <- tx
		return nil
	}
	n.submit.Store(&submit)
	var wg sync.WaitGroup
	wg.Add(2)
	created := func(resp *onem2m.Response) {
		if resp.Status != onem2m.StatusCreated {
			t.Errorf("%+v", resp)
		}
		wg.Done()
	}
	n.start(reading(0), created)
	first, err := ledger.DecodeBatch(<-held, nil)
	must(t, err)
	n.start(reading(1), created)
	if tx := n.ingress.Fill(1<<20, []uint64{first.Seq - 1}); tx != nil {
		t.Error("a proposal without the first reading has the second")
	}
	if tx := n.ingress.Fill(1<<20, []uint64{first.Seq}); tx == nil {
		t.Error("a proposal with the first reading does not have the second")
	}
	close(release) // the second's proposal is not decided: it goes to the mempool too
	wg.Wait()
}
