package httpbinding

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// net/http lingers for half a second on a connection that it ended early.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

type handlerFunc func(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response

func (f handlerFunc) Do(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
	return f(ctx, req, ev)
}

// Known takes every token but "stranger".
func (f handlerFunc) Known(ev binding.Evidence) bool { return ev.Token != "stranger" }

func listen(t *testing.T, srv *http.Server) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return ln.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

const getLatest = "GET /tally/x/la HTTP/1.1\r\nHost: h\r\nX-M2M-RI: 1\r\nX-M2M-RVI: 4\r\nX-M2M-Origin: Ca\r\n\r\n"

func ask(t *testing.T, c net.Conn, request string) (status int, wire string) {
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	rsp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(c, &seen)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, rsp.Body); err != nil {
		t.Fatal(err)
	}
	return rsp.StatusCode, seen.String()
}

func TestServer(t *testing.T) {
	var ip string
	h := New(handlerFunc(func(_ context.Context, req *onem2m.Request, _ binding.Evidence) *onem2m.Response {
		ip = req.SourceIP
		return &onem2m.Response{Status: onem2m.StatusOK, Content: []byte(`{"m2m:cin":{"con":"1"}}`)}
	}), Options{})
	srv := newServer(h, slog.New(slog.DiscardHandler), nil, 2)
	srv.ReadHeaderTimeout = 200 * time.Millisecond
	srv.ReadTimeout = 200 * time.Millisecond
	closed := make(chan struct{}, 10)
	count := srv.ConnState
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		count(c, state)
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	addr := listen(t, srv)

	// Header names are spelled as in TS-0009 clause 6.4 on the wire.
	first := dial(t, addr)
	status, wire := ask(t, first, getLatest)
	if status != 200 || !strings.Contains(wire, "\r\nX-M2M-RSC: 2000\r\n") || !strings.Contains(wire, "\r\nX-M2M-RI: 1\r\n") {
		t.Fatalf("got %d:\n%s", status, wire)
	}
	if ip != "127.0.0.1" {
		t.Errorf("source address %q", ip)
	}

	// A client that sends its header slowly is cut off.
	slow := dial(t, addr)
	if _, err := io.WriteString(slow, getLatest[:30]); err != nil {
		t.Fatal(err)
	}

	// Meanwhile the server is full.
	third := dial(t, addr)
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("a connection too many was served")
	}
	if _, err := io.ReadAll(slow); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("slow client: %v", err)
	}

	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-closed
	}

	// A body that is too large is refused before it is read, and the answer arrives.
	large := dial(t, addr)
	status, wire = ask(t, large, "POST /tally/x HTTP/1.1\r\nHost: h\r\nX-M2M-RI: 1\r\nContent-Type: application/json;ty=4\r\nContent-Length: 9999999\r\n\r\n{")
	if status != 413 || !strings.Contains(wire, "X-M2M-RSC: 4102") {
		t.Errorf("large body: got %d:\n%s", status, wire)
	}

	// So is a header that is too large; net/http answers that by itself.
	huge := dial(t, addr)
	status, _ = ask(t, huge, "GET /tally HTTP/1.1\r\nHost: h\r\nX-M2M-VSI: "+strings.Repeat("x", 32<<10)+"\r\n\r\n")
	if status != 431 {
		t.Errorf("large header: got %d", status)
	}
}
