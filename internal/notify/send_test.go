package notify_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
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
		{srv.URL + "/500", 5103, "HTTP 500"},
		{srv.URL + "/rsc", 4103, "ORIGINATOR_HAS_NO_PRIVILEGE"},
		{srv.URL + "/away", 5103, "HTTP 307"},
		{srv.URL + "/get", 5103, "HTTP 302"},
		{srv.URL + "/hang", 5103, "Timeout"},
		{"http://127.0.0.1:1/", 5103, "refused"},
		{"mqtt://host/x", 5103, "http and https only"},
		{"coap://host/x", 5103, "http and https only"},
		{"ws://host/x", 5103, "http and https only"},
		{"http://", 5103, "http and https only"},
		{"http://user:secret@127.0.0.1:1/", 5103, "user:xxxxx@"},
		{"Cae", 5103, "no point of access"},
	}
	for _, tt := range tests {
		status, err := d.Send(context.Background(), tt.target, "/tally", []byte(sgn))
		if status != tt.status || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
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
		{slices.Repeat([]string{"Cboth"}, 20), true, true},
	} {
		if err := d.Verify(ctx, tt.targets, "/tally", []byte(sgn)); (err == nil) != tt.verify {
			t.Errorf("Verify %v: %v", tt.targets, err)
		}
		if err := d.Forward(ctx, tt.targets, "/tally", []byte(sgn)); (err == nil) != tt.forward {
			t.Errorf("Forward %v: %v", tt.targets, err)
		}
	}
}
