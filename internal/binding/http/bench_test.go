package httpbinding

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

const reading = `{"m2m:cin":{"con":"2013-12-03 20:15:00 73.96732207"}}`

func instant(_ context.Context, req *onem2m.Request, _ binding.Evidence) *onem2m.Response {
	return &onem2m.Response{Status: onem2m.StatusCreated, Location: "tally/room/4-0000001", RequestID: req.RequestID, ReleaseVersion: "4"}
}

type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

// BenchmarkCreate is the binding alone, without net/http.
func BenchmarkCreate(b *testing.B) {
	h := New(handlerFunc(instant), Options{})
	r := httptest.NewRequest("POST", "/tally/room", nil)
	r.Header = http.Header{
		"X-M2m-Ri": {"r1"}, "X-M2m-Rvi": {"4"}, "X-M2m-Origin": {"Cdev"}, "Authorization": {"Bearer abcdefgh"},
		"Content-Type": {"application/json;ty=4"}, "Accept": {"*/*"},
	}
	r.ContentLength = int64(len(reading))
	body := strings.NewReader(reading)
	r.Body = io.NopCloser(body)
	w := &sink{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(reading)
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}

// BenchmarkServer compares the binding with a bare net/http server that reads and drops the same requests, client
// included.
func BenchmarkServer(b *testing.B) {
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	for name, h := range map[string]http.Handler{"bare": bare, "binding": New(handlerFunc(instant), Options{})} {
		b.Run(name, func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			srv := NewServer(h, slog.New(slog.DiscardHandler), nil)
			served := make(chan error, 1)
			go func() { served <- srv.Serve(ln) }()
			defer func() {
				srv.Close()
				<-served
			}()
			request := []byte("POST /tally/room HTTP/1.1\r\nHost: h\r\nX-M2M-RI: r1\r\nX-M2M-RVI: 4\r\nX-M2M-Origin: Cdev\r\n" +
				"Authorization: Bearer abcdefgh\r\nContent-Type: application/json;ty=4\r\nContent-Length: 53\r\n\r\n" + reading)
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer c.Close()
				buf := make([]byte, 4096)
				for pb.Next() {
					if _, err := c.Write(request); err != nil {
						b.Error(err)
						return
					}
					// The response has no body: it ends with the empty line.
					for n := 0; ; {
						k, err := c.Read(buf[n:])
						if err != nil {
							b.Error(err)
							return
						}
						if n += k; n >= 4 && string(buf[n-4:n]) == "\r\n\r\n" {
							break
						}
					}
				}
			})
		})
	}
}
