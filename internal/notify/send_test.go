package notify_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/notify"
	"github.com/tallystick/tallystick/onem2m"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clientFunc is a Client.
type clientFunc func(ctx context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error)

func (f clientFunc) Send(ctx context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
	return f(ctx, to, req)
}

func verification() *onem2m.Request {
	return &onem2m.Request{Operation: onem2m.Notify, From: "/tally", Content: []byte(`{"m2m:sgn":{"vrq":true,"sur":"/tally/sub"}}`)}
}

// TS-0004 clause 7.5.1.2.2, step 2.5, and the bindings: which target a NOTIFY names to which protocol.
func TestNotificationTarget(t *testing.T) {
	var got []string
	client := clientFunc(func(_ context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
		got = append(got, to.URL+" "+req.To)
		if len(req.RequestID) < 16 || req.ReleaseVersion != "4" {
			t.Errorf("request identifier %q, release %q", req.RequestID, req.ReleaseVersion)
		}
		return nil, errors.New("down")
	})
	o := options(newOutbox(), client)
	for _, scheme := range []string{"mqtt", "coap", "ws", "pch"} {
		o.Clients[scheme] = client
	}
	o.Resolve = func(string) notify.Route {
		r := notify.Route{Entity: "Ca", To: "/tally/Ca"}
		for _, u := range []string{"conn:Ca", "http://h/x", "coap://c", "mqtt://m", "ws://w", "pch:Ca"} {
			r.Addresses = append(r.Addresses, binding.Address{URL: u})
		}
		return r
	}
	d := notify.New(o)
	if _, err := d.Request(t.Context(), []string{"Ca"}, verification()); err == nil {
		t.Error("there was a response")
	}
	want := []string{
		"conn:Ca /tally/Ca", "http://h/x http://h/x", "coap://c coap://c", "mqtt://m /tally/Ca", "ws://w /tally/Ca", "pch:Ca /tally/Ca",
	}
	if !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	got = nil
	req := verification()
	req.Operation, req.To = onem2m.Retrieve, "/other/x"
	if _, err := d.Request(t.Context(), []string{"Ca"}, req); err == nil || got[1] != "http://h/x /other/x" {
		t.Errorf("a request with a target of its own: %q, %v", got, err)
	}
}

// TS-0001 clause 9.6.5, supportedReleaseVersions: a target gets a request of a release that it speaks.
func TestRelease(t *testing.T) {
	for _, test := range []struct {
		speaks []string
		wanted string
		want   string
	}{
		{nil, "", "4"},
		{[]string{"3", "4", "5"}, "", "4"},
		{[]string{"2"}, "", "2"},
		{[]string{"2a", "3"}, "4", "3"},
		{[]string{"5"}, "3", "5"},
		{[]string{"2a", "3"}, "2a", "2a"},
		{[]string{"unheard of"}, "", "4"},
	} {
		got := ""
		client := clientFunc(func(_ context.Context, _ binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
			got = req.ReleaseVersion
			return &onem2m.Response{Status: onem2m.StatusOK}, nil
		})
		o := options(newOutbox(), client)
		o.Resolve = func(string) notify.Route {
			return notify.Route{To: "/tally/Ca", Releases: test.speaks, Addresses: []binding.Address{{URL: "http://h"}}}
		}
		req := verification()
		req.ReleaseVersion = test.wanted
		if _, err := notify.New(o).Request(t.Context(), []string{"Ca"}, req); err != nil || got != test.want {
			t.Errorf("to one that speaks %q, asked for %q: sent %q, want %q (%v)", test.speaks, test.wanted, got, test.want, err)
		}
	}
}

func TestRequestFails(t *testing.T) {
	n := newNetwork()
	n.hosts["500"] = func(int) (onem2m.StatusCode, error) { return 0, &binding.AnswerError{Code: 500} }
	n.hosts["4103"] = func(int) (onem2m.StatusCode, error) { return 4103, nil }
	n.hosts["hang"] = func(int) (onem2m.StatusCode, error) { time.Sleep(time.Hour); return 2000, nil }
	n.hosts["u:secret@down"] = func(int) (onem2m.StatusCode, error) { return 0, errors.New("down") }
	tests := []struct {
		target string
		status onem2m.StatusCode
		err    string // of Request, "" for none
		verify string // end of the error of Verify, "" for none
	}{
		{"http://ok", 2000, "", ""},
		{"http://500", 0, "notify http://500: refused with status 500", "refused with status 500"},
		{"http://4103", 4103, "", "notify http://4103: refused with status 4103"},
		{"http://hang", 0, "notify http://hang: not reachable", "not reachable"},
		{"mqtt://host/x", 0, "notify mqtt://host/x: not reachable", "not reachable"},
		{"http://u:secret@down", 0, "notify http://u:xxxxx@down: not reachable", "not reachable"},
		{"Cae", 0, "notify Cae: not reachable", "not reachable"},
	}
	n.hosts["down"] = n.hosts["u:secret@down"]
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			d := notify.New(options(newOutbox(), n))
			rsp, err := d.Request(t.Context(), []string{tt.target}, verification())
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err || err == nil && rsp.Status != tt.status {
				t.Errorf("%s: %+v, %v; want %d, %q", tt.target, rsp, err, tt.status, tt.err)
			}
			err = d.Verify(t.Context(), []string{tt.target}, verification())
			if (err == nil) != (tt.verify == "") || err != nil && !strings.HasSuffix(err.Error(), tt.verify) {
				t.Errorf("%s: Verify: %v; want %q", tt.target, err, tt.verify)
			}
			time.Sleep(2 * time.Hour)
		})
	}
}

// TS-0004 clause 7.4.8.2.1: every target must accept. TS-0001 clause 9.6.5: points of access are tried in turn.
func TestVerifyAndRequest(t *testing.T) {
	n := newNetwork()
	n.hosts["bad"] = func(int) (onem2m.StatusCode, error) { return onem2m.StatusOriginatorHasNoPrivilege, nil }
	n.hosts["denies"] = func(int) (onem2m.StatusCode, error) { return onem2m.StatusOperationNotAllowed, nil }
	o := options(newOutbox(), n)
	o.Resolve = func(target string) notify.Route {
		r := notify.Route{Entity: target, To: "/tally/" + target}
		switch target {
		case "Cboth":
			r.Addresses = []binding.Address{{URL: "mqtt://x/"}, {URL: "http://bad"}, {URL: "http://ok"}}
		case "Cbad":
			r.Addresses = []binding.Address{{URL: "http://bad"}}
		case "Cdenies":
			// TS-0004 clause 7.3.2.9: that is its decision, which another of its addresses does not change.
			r.Addresses = []binding.Address{{URL: "http://denies"}, {URL: "http://ok"}}
		}
		return r
	}
	d := notify.New(o)
	for _, tt := range []struct {
		targets []string
		verify  bool
		status  onem2m.StatusCode // of the first response, 0 for none
	}{
		{[]string{"Cboth"}, true, 2000},
		{[]string{"Cboth", "Cbad"}, false, 2000},
		{[]string{"Cbad", "Cboth"}, false, 4103},
		{[]string{"Cnone", "Cboth"}, false, 2000},
		{[]string{"Cnone"}, false, 0},
		{[]string{"Cdenies"}, false, 4005},
		{nil, true, 0},
		{slices.Repeat([]string{"Cboth"}, 16), true, 2000},
		{slices.Repeat([]string{"Cboth"}, 17), false, 2000},
	} {
		if err := d.Verify(t.Context(), tt.targets, verification()); (err == nil) != tt.verify {
			t.Errorf("Verify %v: %v", tt.targets, err)
		}
		rsp, err := d.Request(t.Context(), tt.targets, verification())
		if (err == nil) != (tt.status != 0) || err == nil && rsp.Status != tt.status {
			t.Errorf("Request %v: %+v, %v", tt.targets, rsp, err)
		}
	}
}

// The originator of a subscription waits no longer than 15 s for its targets, however many points of access they have
// (TS-0004 clause 7.4.8.2.1, TS-0001 clause 9.6.5).
func TestVerifyDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(newOutbox(), clientFunc(func(ctx context.Context, _ binding.Address, _ *onem2m.Request) (*onem2m.Response, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		o.Timeout = 10 * time.Second
		o.Resolve = func(string) notify.Route {
			return notify.Route{Addresses: slices.Repeat([]binding.Address{{URL: "http://hangs"}}, 16)}
		}
		start := time.Now()
		err := notify.New(o).Verify(t.Context(), slices.Repeat([]string{"Chang"}, 16), verification())
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
	o := options(newOutbox(), clientFunc(func(_ context.Context, to binding.Address, _ *onem2m.Request) (*onem2m.Response, error) {
		return nil, causes[to.URL]
	}))
	o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d := notify.New(o)
	for address, cause := range causes {
		_, sent := d.Request(t.Context(), []string{address}, verification())
		for what, err := range map[string]error{
			"Request": sent, "Verify": d.Verify(t.Context(), []string{address}, verification()),
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

// What left no trace in the log is sent once, and never takes more than its share of the node.
func TestTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.hosts["slow"] = func(int) (onem2m.StatusCode, error) { time.Sleep(time.Second); return onem2m.StatusOK, nil }
		n.hosts["bad"] = func(int) (onem2m.StatusCode, error) { return onem2m.StatusBadRequest, nil }
		d, stop := run(options(newOutbox(), n))
		d.Tell([]string{"http://ok", "http://bad", "Cnowhere"}, verification())
		synctest.Wait()
		if s := d.Stats(); s.Delivered != 1 || s.Dropped != 2 {
			t.Errorf("stats are %+v", s)
		}
		d.Tell(slices.Repeat([]string{"http://slow"}, 100), verification())
		time.Sleep(2 * time.Second)
		d.Tell([]string{"http://ok"}, verification())
		synctest.Wait()
		if s := d.Stats(); s.Delivered != 1+64+1 || s.Dropped != 2+36 {
			t.Errorf("stats are %+v", s)
		}
		stop()
		d.Tell([]string{"http://ok"}, verification())
		synctest.Wait()
		if got := len(n.bodies("ok")); got != 2 {
			t.Errorf("%d requests after the end", got)
		}
	})
}
