package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestTimeout: ordinary requests end after the client's timeout, in the midst of the answer too; a stream goes on
// for as long as its context allows.
func TestTimeout(t *testing.T) {
	const timeout, lines = 50 * time.Millisecond, 6
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-M2M-RSC", "2000")
		for i := 0; i < lines || r.URL.Path == "/-/endless"; i++ {
			io.WriteString(w, "line\n")
			http.NewResponseController(w).Flush()
			select {
			case <-time.After(timeout / 2):
			case <-r.Context().Done():
				return
			}
		}
	}))
	defer s.Close()
	c := New(s.URL, "C", "t", 1)
	defer c.Close()
	c.timeout = timeout
	ctx := context.Background()

	body, err := c.Stream(ctx, http.MethodPost, "/-/fsck", nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	body.Close()
	if err != nil || string(b) != strings.Repeat("line\n", lines) {
		t.Errorf("the stream gave %q, %v", b, err)
	}

	if _, err := c.API(ctx, http.MethodGet, "/-/status", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("API: %v", err)
	}
	if _, err := c.Retrieve(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Retrieve: %v", err)
	}

	ctx, cancel := context.WithCancel(ctx)
	if body, err = c.Stream(ctx, http.MethodPost, "/-/endless", nil); err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(body); !errors.Is(err, context.Canceled) {
		t.Errorf("the stream after its context's end: %v", err)
	}
	if _, err := c.Stream(ctx, http.MethodPost, "/-/fsck", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a stream on a dead context: %v", err)
	}
}
