package notify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/internal/notify"
	"github.com/tallystick/tallystick/onem2m"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sgn = `{"m2m:sgn":{"vrq":true,"sur":"/tally/tally/sub"}}`

func sender(t *testing.T, resolve notify.Resolver) *notify.Deliverer {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	o := options(newOutbox(), tr)
	o.Timeout = 2 * time.Second
	if resolve != nil {
		o.Resolve = resolve
	}
	return notify.New(o)
}

// TS-0009 clauses 6.2 to 6.4: what is on the wire. Deployed receivers compare Content-Type letter by letter.
func TestRequestOnTheWire(t *testing.T) {
	var got *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("X-M2M-RSC", "2000")
	}))
	defer srv.Close()
	status, err := sender(t, nil).Send(context.Background(), srv.URL+"/in?x=1", "/tally", []byte(sgn))
	if err != nil || status != onem2m.StatusOK {
		t.Fatalf("Send: %v, %v", status, err)
	}
	for key, want := range map[string]string{"Content-Type": "application/json", "X-M2M-Origin": "/tally", "X-M2M-RVI": "4"} {
		if v := got.Header.Get(key); v != want {
			t.Errorf("%s: %q, want %q", key, v, want)
		}
	}
	if got.Method != "POST" || got.RequestURI != "/in?x=1" || len(got.Header.Get("X-M2M-RI")) < 16 || string(body) != sgn {
		t.Errorf("%s %s, request identifier %q, body %s", got.Method, got.RequestURI, got.Header.Get("X-M2M-RI"), body)
	}
}

func TestSendFails(t *testing.T) {
	stop := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/500", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) })
	mux.HandleFunc("/rsc", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-M2M-RSC", "4103") })
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) { <-stop })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/ok", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	defer close(stop)
	d := sender(t, nil)
	tests := []struct {
		target string
		status onem2m.StatusCode
		err    string // in the error, "" for success
	}{
		{srv.URL + "/ok", 2000, ""},
		{srv.URL + "/moved", 2000, ""},
		{srv.URL + "/endless", 2000, ""},
		{srv.URL + "/500", 5103, "refused with status 500"},
		{srv.URL + "/rsc", 4103, "refused with status 4103"},
		{srv.URL + "/away", 5103, "refused with status 307"},
		{srv.URL + "/get", 5103, "refused with status 302"},
		{srv.URL + "/hang", 5103, ": not reachable"},
		{"http://127.0.0.1:1/", 5103, ": not reachable"},
		{"mqtt://host/x", 5103, ": not reachable"},
		{"coap://host/x", 5103, ": not reachable"},
		{"ws://host/x", 5103, ": not reachable"},
		{"http://", 5103, ": not reachable"},
		{"http://user:secret@127.0.0.1:1/", 5103, "http://user:xxxxx@127.0.0.1:1/: not reachable"},
		{"Cae", 5103, ": not reachable"},
	}
	for _, tt := range tests {
		status, err := d.Send(context.Background(), tt.target, "/tally", []byte(sgn))
		if status != tt.status || (err == nil) != (tt.err == "") || err != nil && !strings.HasSuffix(err.Error(), tt.err) {
			t.Errorf("%s: %d, %v; want %d, %q", tt.target, status, err, tt.status, tt.err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: a password is in the error", tt.target)
		}
	}
}

// TS-0004 clause 7.4.8.2.1: every target must accept. TS-0001 clause 9.6.5: points of access are tried in turn.
func TestVerifyAndForward(t *testing.T) {
	ok := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer ok.Close()
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) }))
	defer bad.Close()
	d := sender(t, func(target string) []string {
		switch target {
		case "Cboth":
			return []string{"mqtt://x/", bad.URL, ok.URL}
		case "Cbad":
			return []string{bad.URL}
		}
		return nil
	})
	ctx := context.Background()
	for _, tt := range []struct {
		targets         []string
		verify, forward bool
	}{
		{[]string{"Cboth"}, true, true},
		{[]string{"Cboth", "Cbad"}, false, true},
		{[]string{"Cbad", "Cboth"}, false, true},
		{[]string{"Cbad", "Cnone"}, false, false},
		{nil, true, false},
		{slices.Repeat([]string{"Cboth"}, 16), true, true},
		{slices.Repeat([]string{"Cboth"}, 17), false, true},
	} {
		if err := d.Verify(ctx, tt.targets, "/tally", []byte(sgn)); (err == nil) != tt.verify {
			t.Errorf("Verify %v: %v", tt.targets, err)
		}
		if err := d.Forward(ctx, tt.targets, "/tally", []byte(sgn)); (err == nil) != tt.forward {
			t.Errorf("Forward %v: %v", tt.targets, err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The originator of a subscription waits no longer than 15 s for its targets, however many points of access they have
// (TS-0004 clause 7.4.8.2.1, TS-0001 clause 9.6.5).
func TestVerifyDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(newOutbox(), roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		o.Timeout = 10 * time.Second
		o.Resolve = func(string) []string { return slices.Repeat([]string{"http://hangs"}, 16) }
		start := time.Now()
		err := notify.New(o).Verify(context.Background(), slices.Repeat([]string{"Chang"}, 16), "/tally", []byte(sgn))
		if took := time.Since(start); err == nil || took != 15*time.Second {
			t.Errorf("Verify: %v after %v", err, took)
		}
	})
}

// The caller learns nothing about the node's network from a failure; the operator does, at level debug.
func TestFailureTells(t *testing.T) {
	var log bytes.Buffer
	causes := map[string]error{
		"http://a": errors.New("dial tcp 10.0.0.1:22: connect: connection refused"),
		"http://b": errors.New("dial tcp 10.0.0.1:23: i/o timeout"),
		"http://c": errors.New("net/http: HTTP/1.x transport connection broken: SSH-2.0"),
	}
	o := options(newOutbox(), roundTripper(func(r *http.Request) (*http.Response, error) {
		return nil, causes[r.URL.String()]
	}))
	o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d := notify.New(o)
	ctx := context.Background()
	for address, cause := range causes {
		_, sent := d.Send(ctx, address, "/tally", []byte(sgn))
		for what, err := range map[string]error{
			"Send": sent, "Verify": d.Verify(ctx, []string{address}, "/tally", []byte(sgn)),
			"Forward": d.Forward(ctx, []string{address}, "/tally", []byte(sgn)),
		} {
			if want := "notify " + address + ": not reachable"; err == nil || err.Error() != want {
				t.Errorf("%s %s: %v, want %s", what, address, err, want)
			}
		}
		if !strings.Contains(log.String(), "level=DEBUG") || !strings.Contains(log.String(), cause.Error()) {
			t.Errorf("the log does not tell of %v:\n%s", cause, &log)
		}
	}
}
