package notify

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

const (
	// maxVerify is how many targets a subscription may have asked.
	maxVerify = 16
	// verifyTimeout bounds the whole verification of a subscription, whose originator waits for it.
	verifyTimeout = 15 * time.Second
	// maxTelling bounds the notifications under way that nothing repeats.
	maxTelling = 64
)

// sendError is why one request was not taken.
type sendError struct {
	answer     int           // response status code or the protocol's own status, 0 when there was no answer
	sent       bool          // a request has left, as far as is known
	refused    bool          // the target will not take the same request later
	retryAfter time.Duration // what the target asked for, 0 when nothing
	err        error
}

func (e *sendError) Error() string { return e.err.Error() }
func (e *sendError) Unwrap() error { return e.err }

func randomRequestID() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Request sends a request to the first of the targets that answers, once and at once, and gives the response, whatever
// its status is. A target is a URL, or the resource ID or structured address of an AE or a CSE. What the request does
// not say is filled in: request identifier, release version, and, in a NOTIFY without a target, that.
//
// The error says that the targets are not reachable, or the status with which the last one refused outside of oneM2M,
// and no more: whoever names targets is not to learn from it what listens where in the node's network. The cause is in
// the log, at level debug.
func (d *Deliverer) Request(ctx context.Context, targets []string, req *onem2m.Request) (*onem2m.Response, error) {
	err := errors.New("there is nobody to send the request to")
	for _, t := range targets {
		rsp, failure := d.exchange(ctx, t, d.o.Resolve(t), req, true)
		if failure == nil {
			return rsp, nil
		}
		err = d.conceal(t, req.From, failure)
	}
	return nil, err
}

// conceal logs why a request was not taken, and gives what its originator may know of that.
func (d *Deliverer) conceal(target, originator string, failure *sendError) error {
	shown := redacted(target)
	d.o.Log.Debug("a request to another machine was not taken", "target", shown, "originator", originator, "err", failure)
	if failure.answer == 0 {
		return fmt.Errorf("notify %s: not reachable", shown)
	}
	return fmt.Errorf("notify %s: refused with status %d", shown, failure.answer)
}

// Verify sends a NOTIFY request to all targets at once, which asks them whether they accept a subscription (TS-0004
// clause 7.4.8.2.1): at most 16 targets, within 15 s in all. The error names the first target that does not accept, as
// that of Request does.
func (d *Deliverer) Verify(ctx context.Context, targets []string, req *onem2m.Request) error {
	if len(targets) > maxVerify {
		return fmt.Errorf("verify a subscription: %d targets; the limit is %d", len(targets), maxVerify)
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	failures := make([]error, len(targets))
	limit := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i, t := range targets {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			rsp, failure := d.exchange(ctx, t, d.o.Resolve(t), req, true)
			if failure == nil {
				failure = refusal(rsp, t)
			}
			if failure != nil {
				failures[i] = d.conceal(t, req.From, failure)
			}
		})
	}
	wg.Wait()
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// Tell sends a NOTIFY request to each of the targets, once, in the background. What comes while maxTelling requests are
// under way is dropped: it is for notifications of what left no trace in the log.
func (d *Deliverer) Tell(targets []string, req *onem2m.Request) {
	for _, t := range targets {
		d.mu.Lock()
		if d.stopped || d.telling == maxTelling {
			d.mu.Unlock()
			d.stats.dropped.Add(1)
			continue
		}
		d.telling++
		d.delivery.Go(func() { d.tell(t, req) })
		d.mu.Unlock()
	}
}

func (d *Deliverer) tell(target string, req *onem2m.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), d.o.Timeout)
	defer cancel()
	rsp, failure := d.exchange(ctx, target, d.o.Resolve(target), req, false)
	if failure == nil {
		failure = refusal(rsp, target)
	}
	if failure == nil {
		d.stats.delivered.Add(1)
	} else {
		d.stats.dropped.Add(1)
		d.o.Log.Debug("a notification of a read was not delivered", "target", redacted(target), "err", failure)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.telling--
}

// exchange tries the addresses of a target in turn until one answers, or takes it when it is a notification. It fails
// for good only when all of them do. Who is asked, not told, may also answer that it does not allow the operation.
func (d *Deliverer) exchange(ctx context.Context, target string, route Route, req *onem2m.Request, asked bool) (*onem2m.Response, *sendError) {
	var worst *sendError
	var answer *onem2m.Response
	for _, to := range route.Addresses {
		scheme, _, _ := strings.Cut(to.URL, ":")
		client := d.o.Clients[strings.ToLower(scheme)]
		if client == nil {
			// Whether an entity can be reached by what is the node's own changes by itself.
			if worst == nil && scheme != "conn" && scheme != "pch" {
				worst = &sendError{refused: true, err: fmt.Errorf("notify %s: this node has no client for addresses of its scheme", redacted(to.URL))}
			}
			continue
		}
		rsp, failure := d.send(ctx, client, to, &route, req)
		if failure == nil && (req.Operation != onem2m.Notify || rsp.Status.Success() || asked && rsp.Status == onem2m.StatusOperationNotAllowed) {
			return rsp, nil
		}
		if failure == nil {
			answer = rsp
			continue
		}
		if worst == nil || worst.refused {
			failure.sent = failure.sent || worst != nil && worst.sent
			worst = failure
		}
		if ctx.Err() != nil {
			break
		}
	}
	if answer != nil {
		return answer, nil
	}
	if worst == nil {
		worst = &sendError{err: fmt.Errorf("notify %s: it has no point of access that can be reached", redacted(target))}
	}
	return nil, worst
}

// send sends a request to one address.
func (d *Deliverer) send(ctx context.Context, client binding.Client, to binding.Address, route *Route, req *onem2m.Request) (*onem2m.Response, *sendError) {
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	one := *req
	one.RequestID = cmp.Or(req.RequestID, randomRequestID())
	one.ReleaseVersion = route.release(cmp.Or(req.ReleaseVersion, d.o.Release))
	if req.To == "" {
		one.To = notificationTarget(to.URL, route.To)
	}
	rsp, err := client.Send(ctx, to, &one)
	if err == nil {
		return rsp, nil
	}
	failure := &sendError{sent: true, err: fmt.Errorf("notify %s: %w", redacted(to.URL), err)}
	var answer *binding.AnswerError
	if errors.As(err, &answer) {
		failure.answer, failure.refused, failure.retryAfter = answer.Code, answer.Final, answer.After
	}
	return nil, failure
}

// notificationTarget is the target (to) of a NOTIFY request. A point of access over HTTP or CoAP is the target as it is
// (TS-0009 clause 6.2.2); the other protocols name the target in the request.
func notificationTarget(url, target string) string {
	scheme, _, _ := strings.Cut(url, ":")
	switch strings.ToLower(scheme) {
	case "http", "https", "coap", "coaps":
		return url
	}
	return target
}

// refusal gives the error that a response stands for, nil for success. A status of class 4xxx or 6xxx will not change.
func refusal(rsp *onem2m.Response, target string) *sendError {
	if rsp.Status.Success() {
		return nil
	}
	code := int(rsp.Status)
	return &sendError{
		answer:  code,
		sent:    true,
		refused: code >= 4000 && code < 5000 && rsp.Status != onem2m.StatusRequestTimeout || code >= 6000,
		err:     fmt.Errorf("notify %s: it answered %s", redacted(target), rsp.Status),
	}
}

// redacted is an address that can be logged.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is no URL"
	}
	return u.Redacted()
}
