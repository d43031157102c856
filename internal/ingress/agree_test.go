package ingress

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

// TestAssigned: whoever is asked about a subscription is told the ID that it gets (TS-0004 clause 7.5.1.2.3).
func TestAssigned(t *testing.T) {
	n := ready(t, 0)
	var told string
	n.outside.verify = func(req *onem2m.Request) error {
		told = string(req.Content)
		return nil
	}
	resp := n.do("Cdev", onem2m.Request{
		Operation: onem2m.Create, To: "tally/dev/c", Type: onem2m.TypeSubscription, Content: []byte(`{"m2m:sub":{"rn":"s","nu":["http://127.0.0.1:9/"]}}`),
	})
	n.want(onem2m.StatusCreated, resp)
	_, after, _ := strings.Cut(told, `"sur":"/tally/`)
	ri, _, _ := strings.Cut(after, `"`)
	if len(ri) < 8 || !strings.Contains(string(resp.Content), `"ri":"`+ri+`"`) {
		t.Errorf("told %s, made %s", told, resp.Content)
	}
	n.want(onem2m.StatusOK, n.do("Cdev", onem2m.Request{Operation: onem2m.Retrieve, To: ri}))
}

// TestBlockingUpdate: an update waits for the answer of the one who wants to be asked, and others for it (TS-0001 clause
// 9.6.8, notificationEventType 7).
func TestBlockingUpdate(t *testing.T) {
	n := ready(t, 2*time.Second)
	n.want(onem2m.StatusCreated, n.do("Cdev", onem2m.Request{
		Operation: onem2m.Create, To: "tally/dev/c", Type: onem2m.TypeSubscription,
		Content: []byte(`{"m2m:sub":{"rn":"s","nu":["http://127.0.0.1:9/"],"enc":{"net":[7],"atr":["lbl"]}}}`),
	}))
	update := onem2m.Request{Operation: onem2m.Update, To: "tally/dev/c", Content: []byte(`{"m2m:cnt":{"lbl":["x"]}}`)}
	var answer onem2m.StatusCode
	var lost error
	asked := 0
	n.outside.request = func(targets []string, req *onem2m.Request) (*onem2m.Response, error) {
		asked++
		if targets[0] != "http://127.0.0.1:9/" || !strings.Contains(string(req.Content), `"rep":{"m2m:cnt":{"lbl":["x"]}}`) || req.From != "/tally" {
			t.Errorf("asked %v: %s", targets, req.Content)
		}
		return &onem2m.Response{Status: answer}, lost
	}
	size := n.app.Head().LogSize
	for _, test := range []struct {
		answer onem2m.StatusCode
		lost   error
		want   onem2m.StatusCode
	}{
		{4005, nil, onem2m.StatusOperationDeniedByRemoteEntity},
		{onem2m.StatusTargetNotReachable, nil, onem2m.StatusRemoteEntityNotReachable},
		{0, errors.New("not reachable"), onem2m.StatusRemoteEntityNotReachable},
	} {
		answer, lost = test.answer, test.lost
		n.want(test.want, n.do("Cdev", update))
	}
	if n.app.Head().LogSize != size {
		t.Error("an update without agreement was ordered")
	}
	answer, lost = onem2m.StatusOK, nil
	n.want(onem2m.StatusUpdated, n.do("Cdev", update))
	n.want(onem2m.StatusUpdated, n.do("Cdev", onem2m.Request{Operation: onem2m.Update, To: "tally/dev/c", Content: []byte(`{"m2m:cnt":{"mni":9}}`)}))
	if asked != 4 {
		t.Errorf("asked %d times, want 4", asked)
	}
	var mu sync.Mutex
	busy := false
	n.outside.request = func([]string, *onem2m.Request) (*onem2m.Response, error) {
		mu.Lock()
		if busy {
			t.Error("asked about two updates at a time")
		}
		busy = true
		mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		mu.Lock()
		busy = false
		mu.Unlock()
		return &onem2m.Response{Status: onem2m.StatusOK}, nil
	}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { n.want(onem2m.StatusUpdated, n.do("Cdev", update)) })
	}
	wg.Wait()
	silent := make(chan struct{})
	n.outside.request = func([]string, *onem2m.Request) (*onem2m.Response, error) {
		<-silent
		return nil, errors.New("not reachable")
	}
	wg.Go(func() { n.want(onem2m.StatusRemoteEntityNotReachable, n.do("Cdev", update)) })
	time.Sleep(50 * time.Millisecond)
	n.want(onem2m.StatusRequestTimeout, n.do("Cdev", update))
	close(silent)
	wg.Wait()
	if len(n.ingress.updates.taken) != 0 {
		t.Error("a turn has not ended")
	}
}

// TestTold: a read that somebody monitors is answered without waiting for who is told of it (TS-0001 clause 9.6.8,
// operationMonitor).
func TestTold(t *testing.T) {
	n := ready(t, 0)
	n.want(onem2m.StatusCreated, n.do("Cdev", onem2m.Request{
		Operation: onem2m.Create, To: "tally/dev/c", Type: onem2m.TypeSubscription,
		Content: []byte(`{"m2m:sub":{"nu":["http://127.0.0.1:9/"],"nct":3,"nec":3,"enc":{"om":[{"ops":2}]}}}`),
	}))
	var told []string
	n.outside.tell = func(targets []string, req *onem2m.Request) {
		told = append(told, targets[0]+" "+req.EventCategory+" "+string(req.Content))
	}
	n.want(onem2m.StatusOK, n.do("Cdev", onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/c"}))
	if len(told) != 1 || !strings.HasPrefix(told[0], `http://127.0.0.1:9/ 3 {"m2m:sgn":{"nev":{"om":{"op":2,"or":"Cdev"},"rep":{"m2m:uri":`) {
		t.Errorf("told %v", told)
	}
}
