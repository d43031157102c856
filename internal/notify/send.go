package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

const (
	// maxAnswer is how much of an answer's body is read, so that the connection can be used again.
	maxAnswer = 64 << 10
	// maxVerify is how many targets a subscription may have asked.
	maxVerify = 16
	// verifyTimeout bounds the whole verification of a subscription, whose originator waits for it.
	verifyTimeout = 15 * time.Second
)

func newClient(o Options) *http.Client {
	return &http.Client{
		Transport: o.Transport,
		Timeout:   o.Timeout,
		// A redirect may not move a notification to another host, nor turn the POST into a GET, whose success
		// would say nothing.
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			first := via[0].URL
			if len(via) > 3 || req.Method != http.MethodPost || req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// deliveryError is why one request was not taken.
type deliveryError struct {
	status     onem2m.StatusCode // of the target, or TARGET_NOT_REACHABLE
	answer     int               // response status code or HTTP status, 0 when there was no answer
	refused    bool              // the target will not take the same notification later
	retryAfter time.Duration     // what the target asked for, 0 when nothing
	err        error
}

func (e *deliveryError) Error() string { return e.err.Error() }
func (e *deliveryError) Unwrap() error { return e.err }

// requestID names a notification to one of its targets, the same each time it is sent.
func requestID(it *Item, target string) string {
	b := append(make([]byte, 0, 32), "ntf-"...)
	b = strconv.AppendUint(b, it.Key.Index, 10)
	b = strconv.AppendUint(append(b, '-'), uint64(it.Key.N), 10)
	b = strconv.AppendInt(append(b, '-'), int64(slices.Index(it.Targets, target)), 10)
	return string(b)
}

func randomRequestID() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Send delivers one NOTIFY request to a target, a URL or the resource ID of an AE, once and at once. The status is
// the target's, or TARGET_NOT_REACHABLE; the error is nil when the target took it.
//
// The error says that the target is not reachable or with which status it refused, and no more: whoever names targets
// is not to learn from it what listens where in the node's network. The cause is in the log, at level debug.
func (d *Deliverer) Send(ctx context.Context, target, originator string, content []byte) (onem2m.StatusCode, error) {
	failure := d.sendAny(ctx, target, randomRequestID(), originator, content)
	if failure == nil {
		return onem2m.StatusOK, nil
	}
	shown := redacted(target)
	d.o.Log.Debug("a notification was not delivered", "target", shown, "originator", originator, "err", failure)
	if failure.answer == 0 {
		return failure.status, fmt.Errorf("notify %s: not reachable", shown)
	}
	return failure.status, fmt.Errorf("notify %s: refused with status %d", shown, failure.answer)
}

// Forward delivers a NOTIFY request to the first of the targets that takes it.
func (d *Deliverer) Forward(ctx context.Context, targets []string, originator string, content []byte) error {
	err := errors.New("there is nobody to notify")
	for _, t := range targets {
		if _, err = d.Send(ctx, t, originator, content); err == nil {
			return nil
		}
	}
	return err
}

// Verify asks all targets at once whether they accept a subscription (TS-0004 clause 7.4.8.2.1): at most 16 targets,
// within 15 s in all. The error names the first target that does not accept, as Send does.
func (d *Deliverer) Verify(ctx context.Context, targets []string, originator string, content []byte) error {
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
			_, failures[i] = d.Send(ctx, t, originator, content)
			<-limit
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

// sendAny tries the addresses of a target in turn until one takes the notification. It fails for good only when all
// of them refuse.
func (d *Deliverer) sendAny(ctx context.Context, target, id, originator string, content []byte) *deliveryError {
	urls := d.o.Resolve(target)
	if len(urls) == 0 {
		return &deliveryError{
			status: onem2m.StatusTargetNotReachable,
			err:    fmt.Errorf("notify %s: it has no point of access that can be reached", target),
		}
	}
	var worst *deliveryError
	for _, u := range urls {
		failure := d.post(ctx, u, id, originator, content)
		if failure == nil {
			return nil
		}
		if worst == nil || worst.refused {
			worst = failure
		}
		if ctx.Err() != nil {
			break
		}
	}
	return worst
}

// post sends one request as TS-0009 says and judges the answer.
func (d *Deliverer) post(ctx context.Context, address, id, originator string, content []byte) *deliveryError {
	shown := redacted(address)
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return &deliveryError{
			status: onem2m.StatusTargetNotReachable, refused: true,
			err: fmt.Errorf("notify %s: this node notifies over http and https only", shown),
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(content))
	if err != nil {
		return &deliveryError{status: onem2m.StatusTargetNotReachable, refused: true, err: fmt.Errorf("notify %s: %w", shown, err)}
	}
	// Spelled as in TS-0009 and with nothing after the media type: deployed receivers compare letter by letter.
	req.Header["X-M2M-Origin"] = []string{originator}
	req.Header["X-M2M-RI"] = []string{id}
	req.Header["X-M2M-RVI"] = []string{d.o.Release}
	req.Header["Content-Type"] = []string{"application/json"}
	req.Header["Accept"] = []string{"application/json"}
	req.Header["User-Agent"] = []string{"tallystick"}
	rsp, err := d.client.Do(req)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // without the address, which may hold a password
		}
		return &deliveryError{status: onem2m.StatusTargetNotReachable, err: fmt.Errorf("notify %s: %w", shown, err)}
	}
	defer rsp.Body.Close()
	// What the answer says beyond its status is of no use, and a failure to read it changes nothing.
	_, _ = io.CopyN(io.Discard, rsp.Body, maxAnswer)
	return judge(rsp, shown)
}

// redacted is an address that can be logged.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is no URL"
	}
	return u.Redacted()
}

// judge reads the answer: the response status code where there is one, or else the HTTP status.
func judge(rsp *http.Response, shown string) *deliveryError {
	if code, err := strconv.ParseUint(strings.TrimSpace(rsp.Header.Get("X-M2M-RSC")), 10, 16); err == nil {
		status := onem2m.StatusCode(code)
		if status.Success() {
			return nil
		}
		return &deliveryError{
			status:     status,
			answer:     int(code),
			refused:    code >= 4000 && code < 5000 && status != onem2m.StatusRequestTimeout || code >= 6000,
			retryAfter: retryAfter(rsp),
			err:        fmt.Errorf("notify %s: it answered %s", shown, status),
		}
	}
	if rsp.StatusCode >= 200 && rsp.StatusCode < 300 {
		return nil
	}
	failure := &deliveryError{
		status: onem2m.StatusTargetNotReachable, answer: rsp.StatusCode, retryAfter: retryAfter(rsp),
		err: fmt.Errorf("notify %s: it answered HTTP %d", shown, rsp.StatusCode),
	}
	switch rsp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		failure.refused = rsp.StatusCode >= 400 && rsp.StatusCode < 500
	}
	return failure
}

// retryAfter is the pause in seconds that a target asks for (RFC 9110 clause 10.2.3); its other form, a date, depends
// on the target's clock and is left out.
func retryAfter(rsp *http.Response) time.Duration {
	s, err := strconv.ParseUint(rsp.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(s) * time.Second
}
