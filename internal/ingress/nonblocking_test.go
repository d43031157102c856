package ingress

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

// result gives the status that the <request> of an accepted request of somebody has.
func (n *network) result(who string, resp *onem2m.Response) onem2m.StatusCode {
	n.t.Helper()
	ri, ok := onem2m.Unquote(onem2m.Field(resp.Content, "m2m:uri"))
	if resp.Status != onem2m.StatusAcceptedNonBlockingRequestSync || !ok {
		n.t.Fatalf("answered %d %s", resp.Status, resp.Content)
	}
	kept := n.do(who, onem2m.Request{Operation: onem2m.Retrieve, To: ri})
	n.want(onem2m.StatusOK, kept)
	status, _ := onem2m.Int(onem2m.Field(onem2m.Field(onem2m.Field(kept.Content, "m2m:req"), "ors"), "rsc"))
	return onem2m.StatusCode(status)
}

// TestNonBlockingAgreement: whoever has to agree is asked before a non-blocking request is ordered, and what could not
// be asked about is never executed (TS-0004 clauses 7.3.2.2 and 7.4.8.2.1).
func TestNonBlockingAgreement(t *testing.T) {
	n := ready(t, 0)
	var asked atomic.Int32
	n.outside.verify = func(*onem2m.Request) error { asked.Add(1); return errors.New("no") }
	sub := func(to string) onem2m.Request {
		return onem2m.Request{
			Operation: onem2m.Create, To: to, Type: onem2m.TypeSubscription, Content: []byte(`{"m2m:sub":{"rn":"s","nu":["http://127.0.0.1:9/"]}}`),
			ResponseType: onem2m.ResponseTypeNonBlockingSync,
		}
	}
	if got := n.result("Cdev", n.do("Cdev", sub("tally/dev/c"))); got != onem2m.StatusSubscriptionVerificationInitiationFailed || asked.Load() != 1 {
		t.Errorf("not agreed to: %d, asked %d times", got, asked.Load())
	}
	// It may exist when the request is ordered; nobody was asked about it.
	if got := n.result("Cdev", n.do("Cdev", sub("tally/dev/later"))); got != onem2m.StatusNotFound {
		t.Errorf("below what does not exist: %d", got)
	}
	n.outside.verify = nil
	if got := n.result("Cdev", n.do("Cdev", sub("tally/dev/c"))); got != onem2m.StatusCreated {
		t.Errorf("agreed to: %d", got)
	}
	n.want(onem2m.StatusOK, n.do("Cdev", onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/c/s"}))
	full := errors.New("the disk is full")
	n.refuse.Store(&full)
	n.want(onem2m.StatusInternalServerError, n.do("Cdev", sub("tally/dev/c")))
}

// TestExecutionTime: a blocking request waits for its operation execution time, as long as anything lasts that it
// depends on (TS-0004 clauses 7.3.2.1 and 7.3.3.6).
func TestExecutionTime(t *testing.T) {
	n := ready(t, 2*time.Second)
	get := onem2m.Request{Operation: onem2m.Retrieve, To: "tally/dev/c", OperationExecution: "PT0.1S", RequestExpiration: "1000", ResultExpiration: "1500"}
	start := time.Now()
	resp := n.do("Cdev", get)
	n.want(onem2m.StatusOK, resp)
	if time.Since(start) < 100*time.Millisecond || resp.ResultExpiration != "1500" {
		t.Errorf("after %s, result expiration %q", time.Since(start), resp.ResultExpiration)
	}
	put := reading(1)
	put.OperationExecution = "100"
	n.want(onem2m.StatusCreated, n.do("Cdev", put))
	get.OperationExecution = "PT1M"
	n.want(onem2m.StatusRequestTimeout, n.do("Cdev", get))
	get.RequestExpiration, get.ResultExpiration = "", ""
	n.want(onem2m.StatusRequestTimeout, n.do("Cdev", get))
	for _, far := range []string{"99991231T235959", "P600Y", "25000101T000000", "26000101T000000"} {
		get.OperationExecution = far
		n.want(onem2m.StatusRequestTimeout, n.do("Cdev", get))
	}
	get.OperationExecution = "PT1M"
	get.ResponseType = onem2m.ResponseTypeFlexBlocking
	n.want(onem2m.StatusAcceptedNonBlockingRequestSync, n.do("Cdev", get))
	get.NotificationURIs = []string{"http://127.0.0.1:9/"}
	n.want(onem2m.StatusAcceptedNonBlockingRequestAsync, n.do("Cdev", get))

	wait := onem2m.Request{
		Operation: onem2m.Retrieve, To: "tally/dev/c", From: "Cdev", RequestID: "r", ReleaseVersion: "4", ResultContent: onem2m.ResultContentDefault,
		OperationExecution: "1900",
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	again := wait
	n.want(onem2m.StatusRequestTimeout, n.ingress.Do(ctx, &again, testEvidence("Cdev")))
	time.AfterFunc(50*time.Millisecond, n.ingress.Close)
	start = time.Now()
	n.want(onem2m.StatusInternalServerError, n.ingress.Do(t.Context(), &wait, testEvidence("Cdev")))
	if time.Since(start) > time.Second {
		t.Errorf("a node that stops lets a request wait for %s", time.Since(start))
	}
}
