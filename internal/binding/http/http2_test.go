package httpbinding

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// serveTLS serves h with the limits of this package over TLS, and gives a client that speaks HTTP/2.
func serveTLS(t *testing.T, h http.Handler) (*http.Client, string) {
	cert := httptest.NewUnstartedServer(nil) // for its certificate
	cert.StartTLS()
	defer cert.Close()
	srv := NewServer(h, slog.New(slog.DiscardHandler), nil)
	srv.TLSConfig = &tls.Config{Certificates: cert.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS13}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.ServeTLS(ln, "", "") }()
	pool := x509.NewCertPool()
	pool.AddCert(cert.Certificate())
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"}, ForceAttemptHTTP2: true}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return &http.Client{Transport: tr}, "https://" + ln.Addr().String()
}

func post2(t *testing.T, c *http.Client, url string, body io.Reader, length int64) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/tally/x", body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = length
	for k, v := range map[string]string{"X-M2M-RI": "1", "X-M2M-RVI": "4", "X-M2M-Origin": "Ca", "Content-Type": "application/json;ty=4"} {
		req.Header.Set(k, v)
	}
	rsp, err := c.Do(req)
	if err != nil {
		t.Error(err)
		return &http.Response{Header: http.Header{}, Body: http.NoBody}
	}
	_, _ = io.Copy(io.Discard, rsp.Body)
	rsp.Body.Close()
	return rsp
}

// TestHTTP2: one connection has many requests under way but not more than the limit, and all bodies take their share
// of the memory, since one connection can have a hundred.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	oneM2M := New(handlerFunc(func(context.Context, *onem2m.Request, binding.Evidence) *onem2m.Response {
		time.Sleep(20 * time.Millisecond)
		return &onem2m.Response{Status: onem2m.StatusCreated}
	}), Options{MaxBody: 10000, BodyMemory: 10000})
	var mu sync.Mutex
	now, most := make(map[string]int), 0 // requests at once, by connection
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			now[r.RemoteAddr] += n
			most = max(most, now[r.RemoteAddr])
		}
		count(1)
		defer count(-1)
		oneM2M.ServeHTTP(w, r)
	})
	c, url := serveTLS(t, h)
	var wg sync.WaitGroup
	for range 3 * maxStreams {
		wg.Go(func() {
			const body = `{"m2m:cin":{"con":"1"}}`
			rsp := post2(t, c, url, strings.NewReader(body), int64(len(body)))
			if rsp.ProtoMajor != 2 || rsp.Header.Get("X-M2M-RSC") != "2001" {
				t.Errorf("%s %s %v", rsp.Proto, rsp.Status, rsp.Header)
			}
		})
	}
	wg.Wait()
	if most < 2 || most > maxStreams {
		t.Errorf("%d requests of one connection at once, want up to %d", most, maxStreams)
	}

	const body = `{"m2m:cin":{"con":"1"}}`
	slow, feed := io.Pipe()
	first := make(chan *http.Response, 1)
	go func() { first <- post2(t, c, url, slow, 9990) }()
	if _, err := io.WriteString(feed, strings.Repeat(" ", 9990-len(body))); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // the first holds nearly all memory
	second := make(chan *http.Response, 1)
	go func() { second <- post2(t, c, url, strings.NewReader(body), int64(len(body))) }()
	select {
	case rsp := <-second:
		t.Errorf("a body was read without a share of the memory: %s", rsp.Status)
	case <-time.After(100 * time.Millisecond):
	}
	if _, err := io.WriteString(feed, body); err != nil {
		t.Fatal(err)
	}
	feed.Close()
	for _, ch := range []chan *http.Response{first, second} {
		if rsp := <-ch; rsp.Header.Get("X-M2M-RSC") != "2001" {
			t.Errorf("%s %v", rsp.Status, rsp.Header)
		}
	}
}

// TestHTTP2Headers: a header list over the limit is refused.
func TestHTTP2Headers(t *testing.T) {
	t.Parallel()
	c, url := serveTLS(t, New(handlerFunc(func(context.Context, *onem2m.Request, binding.Evidence) *onem2m.Response {
		return &onem2m.Response{Status: onem2m.StatusOK}
	}), Options{}))
	req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/tally", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 3*MaxHeaderBytes))
	rsp, err := c.Do(req)
	if err == nil {
		rsp.Body.Close()
		if rsp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s", rsp.Status)
		}
	}
}
