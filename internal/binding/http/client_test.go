package httpbinding

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

func testClient(t *testing.T, h http.HandlerFunc) (*Client, string) {
	srv := httptest.NewServer(h)
	c := NewClient(nil)
	t.Cleanup(func() { c.Close(); srv.Close() })
	return c, srv.URL
}

// TestClientAndServer: what the client sends is what the server parses, and the response comes back, in both
// serializations (TS-0009 clauses 6.2 to 6.4).
func TestClientAndServer(t *testing.T) {
	limit := int64(3)
	var got *onem2m.Request
	answer := &onem2m.Response{}
	own := New(handlerFunc(func(_ context.Context, req *onem2m.Request, _ binding.Evidence) *onem2m.Response {
		got = req
		return answer
	}), Options{})
	c, base := testClient(t, own.ServeHTTP)
	for _, req := range []*onem2m.Request{
		{Operation: onem2m.Create, To: "/cse2/base/ae", Type: 3, Content: []byte(`{"m2m:cnt":{"rn":"c"}}`), ResultContent: onem2m.ResultContentNothing},
		{Operation: onem2m.Retrieve, To: "-/ae/c", ResultContent: onem2m.ResultContentDefault, Attributes: []string{"con", "lt"}},
		{Operation: onem2m.Retrieve, To: "//sp.example/cse2/base", ResultContent: onem2m.ResultContentDefault, Filter: &onem2m.FilterCriteria{
			Usage: 1, Limit: &limit, Labels: []string{"a b", "c&d"}, Types: []onem2m.ResourceType{3, 4}, ContentTypes: []string{"application/senml+json"},
			Attributes: []onem2m.AttributeFilter{{Name: "rn", Value: "a*"}},
		}},
		{Operation: onem2m.Update, To: "/cse2/-/x", Content: []byte(`{"m2m:cnt":{"lbl":null}}`), ResultContent: onem2m.ResultContentDefault, OriginatingTimestamp: "20261123T120000"},
		{Operation: onem2m.Delete, To: "/cse2/cnt1", ResultContent: onem2m.ResultContentDefault, RequestExpiration: "5000", VendorInformation: "v", EventCategory: "2"},
		{Operation: onem2m.Notify, To: "/cse2/Cx", Content: []byte(`{"m2m:sgn":{"nev":{"net":1}}}`), ResultContent: onem2m.ResultContentDefault, NotificationURIs: []string{"http://a/", "Cx"}},
	} {
		req.From, req.RequestID, req.ReleaseVersion = "/tally", "r1", "3"
		for _, cbor := range []bool{false, true} {
			*answer = onem2m.Response{
				Status: onem2m.StatusCreated, RequestID: "r1", ReleaseVersion: "3", Content: []byte(`{"m2m:cnt":{"rn":"c"}}`), Location: "base/ae/c",
				ContentStatus: 1, ContentOffset: 7, OriginatingTimestamp: "20261123T120001", VendorInformation: "w",
			}
			rsp, err := c.Send(t.Context(), binding.Address{URL: base, CBOR: cbor}, req)
			if err != nil {
				t.Fatalf("operation %d, CBOR %v: %v", req.Operation, cbor, err)
			}
			got.SourceIP = ""
			if diff := cmp.Diff(req, got); diff != "" {
				t.Errorf("operation %d, CBOR %v (-sent +received):\n%s", req.Operation, cbor, diff)
			}
			if diff := cmp.Diff(answer, rsp); diff != "" {
				t.Errorf("operation %d, CBOR %v (-answered +received):\n%s", req.Operation, cbor, diff)
			}
		}
	}
}

// TestNotificationOnTheWire: to a URL a notification goes as it is, and with nothing after the media type (TS-0009
// clauses 6.2 and 6.4).
func TestNotificationOnTheWire(t *testing.T) {
	const sgn = `{"m2m:sgn":{"vrq":true}}`
	var seen *http.Request
	var body []byte
	c, base := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		body, _ = io.ReadAll(r.Body)
		io.WriteString(w, "thanks")
	})
	for _, to := range []string{"", base + "/in?x=1"} {
		for mediaType, cbor := range map[string]bool{"application/json": false, "application/cbor": true} {
			req := &onem2m.Request{Operation: onem2m.Notify, To: to, From: "/tally", RequestID: "r", Content: []byte(sgn)}
			rsp, err := c.Send(t.Context(), binding.Address{URL: base + "/in?x=1", CBOR: cbor}, req)
			if err != nil || rsp.Status != onem2m.StatusOK || rsp.Content != nil {
				t.Fatalf("%v, %v", rsp, err)
			}
			h := seen.Header
			if seen.Method != "POST" || seen.RequestURI != "/in?x=1" || h.Get("Content-Type") != mediaType || h.Get("Accept") != mediaType ||
				h.Get("X-M2M-Origin") != "/tally" || h.Get("X-M2M-RI") != "r" || h.Get("X-M2M-RVI") != "4" || !cbor && string(body) != sgn {
				t.Errorf("%s %s %v\n%s", seen.Method, seen.RequestURI, h, body)
			}
		}
	}
}

// TestClientAnswers: what the client makes of answers that are none of oneM2M, or ask for patience.
func TestClientAnswers(t *testing.T) {
	stop := make(chan struct{})
	mux := http.NewServeMux()
	answers := map[string]func(w http.ResponseWriter, r *http.Request){
		"ok":   func(w http.ResponseWriter, r *http.Request) {},
		"500":  func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		"403":  func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) },
		"rsc":  func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-M2M-RSC", "4103"); w.WriteHeader(403) },
		"busy": func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Retry-After", "7"); w.WriteHeader(503) },
		"busyrsc": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.Header().Set("X-M2M-RSC", "5000")
		},
		"often": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(429) },
		"html":  func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>") },
		"badjson": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, "{")
		},
		"long": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, strings.Repeat("x", maxAnswer+10)) },
		"away": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusTemporaryRedirect)
		},
		"get":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) },
		"moved": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusTemporaryRedirect) },
		"hang":  func(w http.ResponseWriter, r *http.Request) { <-stop },
	}
	for name, h := range answers {
		mux.HandleFunc("/"+name, h)
	}
	c, base := testClient(t, mux.ServeHTTP)
	defer close(stop)
	for _, tt := range []struct {
		path   string
		op     onem2m.Operation
		status onem2m.StatusCode
		err    error // nil when there is a response
	}{
		{"ok", onem2m.Notify, 2000, nil},
		{"moved", onem2m.Notify, 2000, nil},
		{"html", onem2m.Notify, 2000, nil},
		{"long", onem2m.Notify, 2000, nil},
		{"badjson", onem2m.Notify, 2000, nil},
		{"rsc", onem2m.Update, 4103, nil},
		{"500", onem2m.Notify, 0, &binding.AnswerError{Code: 500}},
		{"403", onem2m.Notify, 0, &binding.AnswerError{Code: 403, Final: true}},
		{"often", onem2m.Notify, 0, &binding.AnswerError{Code: 429}},
		{"busy", onem2m.Notify, 0, &binding.AnswerError{Code: 503, After: 7 * time.Second}},
		{"busyrsc", onem2m.Notify, 0, &binding.AnswerError{Code: 5000, After: 7 * time.Second}},
		{"away", onem2m.Notify, 0, &binding.AnswerError{Code: 307}},
		{"get", onem2m.Notify, 0, &binding.AnswerError{Code: 302}},
		{"html", onem2m.Update, 0, errors.New("Content-Type")},
		{"badjson", onem2m.Update, 0, errors.New("JSON")},
		{"long", onem2m.Update, 0, errors.New("longer than")},
		{"hang", onem2m.Notify, 0, context.DeadlineExceeded},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if tt.path == "hang" {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		}
		rsp, err := c.Send(ctx, binding.Address{URL: base + "/" + tt.path}, &onem2m.Request{Operation: tt.op, From: "/tally", RequestID: "r"})
		cancel()
		var want, got *binding.AnswerError
		switch {
		case tt.err == nil:
			if err != nil || rsp.Status != tt.status {
				t.Errorf("%s: %v, %v", tt.path, rsp, err)
			}
		case errors.As(tt.err, &want):
			if !errors.As(err, &got) || *got != *want {
				t.Errorf("%s: %v, want %+v", tt.path, err, *want)
			}
		case err == nil || !errors.Is(err, tt.err) && !strings.Contains(err.Error(), tt.err.Error()):
			t.Errorf("%s: %v, want %v", tt.path, err, tt.err)
		}
	}
	for _, address := range []string{"mqtt://h/x", "http://", "http:///x", "http://h:x/", "Cae", "http://user:secret@127.0.0.1:1/"} {
		if _, err := c.Send(t.Context(), binding.Address{URL: address}, &onem2m.Request{Operation: onem2m.Notify}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
