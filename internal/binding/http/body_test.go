package httpbinding

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// countingBody counts what the binding reads of a body.
type countingBody struct {
	io.ReadCloser
	read *atomic.Int64
}

func (c countingBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// TestStrangers: nothing is read of the bodies of those without a credential, however many come (RFC 6750 clause 3).
func TestStrangers(t *testing.T) {
	const connections, size = 500, 1 << 20
	var read, reached atomic.Int64
	binding := New(handlerFunc(func(context.Context, *onem2m.Request, binding.Evidence) *onem2m.Response {
		reached.Add(1)
		return &onem2m.Response{Status: onem2m.StatusCreated}
	}), Options{})
	srv := NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = countingBody{r.Body, &read}
		binding.ServeHTTP(w, r)
	}), slog.New(slog.DiscardHandler), nil)
	addr := listen(t, srv)
	const head = "POST /tally/x HTTP/1.1\r\nHost: h\r\nX-M2M-RI: 1\r\nAuthorization: Bearer stranger\r\nContent-Type: application/json;ty=4\r\n"
	body := strings.Repeat(" ", size)
	var all sync.WaitGroup
	for i := range connections {
		framing := "Content-Length: 1048576\r\n\r\n"
		if i%2 == 1 {
			framing = "Transfer-Encoding: chunked\r\n\r\n100000\r\n"
		}
		c := dial(t, addr)
		all.Go(func() { io.WriteString(c, head+framing+body) }) // fails when the server hangs up
		all.Go(func() {
			b, _ := io.ReadAll(c)
			if s := string(b); !strings.HasPrefix(s, "HTTP/1.1 401 ") || !strings.Contains(s, "X-M2M-RSC: 4107\r\n") ||
				!strings.Contains(s, "Connection: close\r\n") || !strings.Contains(s, `error="invalid_token"`) {
				t.Errorf("connection %d: got %q", i, s)
			}
		})
	}
	all.Wait()
	if read.Load() != 0 || reached.Load() != 0 {
		t.Errorf("%d bytes were read and %d requests executed", read.Load(), reached.Load())
	}

	// One with a short body keeps the connection, and may find the right token.
	c := dial(t, addr)
	status, _ := ask(t, c, head+"Content-Length: 2\r\n\r\n{}")
	if status != 401 || read.Load() != 0 {
		t.Errorf("short body: got %d, %d bytes were read", status, read.Load())
	}
	if status, _ = ask(t, c, strings.Replace(head, "stranger", "x", 1)+"Content-Length: 2\r\n\r\n{}"); status != 201 {
		t.Errorf("the same connection with a token: got %d", status)
	}
}

func jsonOf(size int) string { return `"` + strings.Repeat("x", size-2) + `"` }

func post(h http.Handler, content string, chunked bool, read *atomic.Int64) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/tally/x", countingBody{io.NopCloser(strings.NewReader(content)), read})
	r.ContentLength = int64(len(content))
	if chunked {
		r.ContentLength = -1
	}
	r.Header = http.Header{"X-M2m-Ri": {"1"}, "Content-Type": {"application/json;ty=4"}}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestBodyMemory: known originators too fill no more than the body memory, and get in when it is free again.
func TestBodyMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		h := New(handlerFunc(func(_ context.Context, req *onem2m.Request, _ binding.Evidence) *onem2m.Response {
			if len(req.Content) > smallBody {
				<-gate
			}
			return &onem2m.Response{Status: onem2m.StatusCreated}
		}), Options{MaxBody: 10_000, BodyMemory: 20_000})
		var read atomic.Int64
		large, chunks := jsonOf(9000), jsonOf(5000)
		codes := make(chan int, 4)
		go func() { codes <- post(h, large, false, &read).Code }()
		synctest.Wait()
		go func() { codes <- post(h, chunks, true, &read).Code }() // counts as 10 000
		synctest.Wait()
		read.Store(0)

		// There is no room for a third; nothing of it is read while it waits, and then it is refused.
		start := time.Now()
		w := post(h, large, false, &read)
		if w.Code != 500 || w.Header()[headerRSC][0] != "5000" || !strings.Contains(w.Body.String(), "busy") || read.Load() != 0 {
			t.Errorf("got %d %v %s after %d bytes", w.Code, w.Header(), w.Body, read.Load())
		}
		if d := time.Since(start); d != memoryWait {
			t.Errorf("refused after %v", d)
		}
		// Of one in chunks only what a small body may have is.
		if w = post(h, large, true, &read); w.Code != 500 || read.Load() != smallBody+1 {
			t.Errorf("in chunks: got %d after %d bytes", w.Code, read.Load())
		}
		// Small bodies do not wait.
		start = time.Now()
		for _, chunked := range []bool{false, true} {
			if w = post(h, jsonOf(smallBody), chunked, &read); w.Code != 201 || time.Since(start) != 0 {
				t.Errorf("small body, chunked %t: got %d after %v", chunked, w.Code, time.Since(start))
			}
		}
		// One that waits gets in as soon as another is answered.
		go func() { codes <- post(h, large, false, &read).Code }()
		synctest.Wait()
		time.Sleep(memoryWait / 2)
		close(gate)
		for range 3 {
			if code := <-codes; code != 201 {
				t.Errorf("got %d", code)
			}
		}
	})
}

// panicky panics in Do.
type panicky struct{ handlerFunc }

func (panicky) Do(context.Context, *onem2m.Request, binding.Evidence) *onem2m.Response { panic("no") }

// TestBodyMemoryComesBack: whatever becomes of a request.
func TestBodyMemoryComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var read atomic.Int64
		h := New(panicky{}, Options{MaxBody: 10_000, BodyMemory: 1})
		for range 3 {
			for content, want := range map[string]int{strings.Repeat("x", 9000): 400, strings.Repeat(" ", 10_001): 413} {
				for _, chunked := range []bool{false, true} {
					if w := post(h, content, chunked, &read); w.Code != want {
						t.Errorf("got %d, want %d: %s", w.Code, want, w.Body)
					}
				}
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the handler was not reached")
					}
				}()
				post(h, jsonOf(9000), false, &read)
			}()
		}
	})
}

// TestBodySizes: bodies around the sizes at which they are read differently arrive whole.
func TestBodySizes(t *testing.T) {
	for _, maxBody := range []int{100, smallBody, smallBody + 1, 20_000} {
		var got string
		h := New(handlerFunc(func(_ context.Context, req *onem2m.Request, _ binding.Evidence) *onem2m.Response {
			got = string(req.Content)
			return &onem2m.Response{Status: onem2m.StatusCreated}
		}), Options{MaxBody: int64(maxBody)})
		for _, size := range []int{2, 99, 100, 101, smallBody - 1, smallBody, smallBody + 1, smallBody + 2, 20_000, 20_001} {
			for _, chunked := range []bool{false, true} {
				got = ""
				var read atomic.Int64
				w := post(h, jsonOf(size), chunked, &read)
				if size > maxBody {
					if w.Code != 413 || got != "" || read.Load() > int64(maxBody)+1 {
						t.Errorf("%d of %d bytes, chunked %t: got %d after %d bytes", size, maxBody, chunked, w.Code, read.Load())
					}
				} else if w.Code != 201 || got != jsonOf(size) {
					t.Errorf("%d of %d bytes, chunked %t: got %d, content of %d bytes", size, maxBody, chunked, w.Code, len(got))
				}
			}
		}
	}
}
