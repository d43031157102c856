package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// runBare is the reference's process: a net/http server that does the least a server can do. It reads a body, parses
// it as JSON, drops it and answers 201; a GET it answers with a body of size bytes. It prints its address and ends
// when in does, so that it never outlives its parent.
func runBare(ctx context.Context, in io.Reader, out io.Writer, size int) error {
	return serveHTTP(ctx, &http.Server{Handler: bare(size)}, in, out)
}

// serveHTTP serves on a port of its own, whose address it prints, until in or ctx ends.
func serveHTTP(ctx context.Context, s *http.Server, in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start a server to compare with: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	go func() {
		io.Copy(io.Discard, in)
		s.Close()
	}()
	fmt.Fprintln(out, l.Addr())
	if err := s.Serve(l); err != http.ErrServerClosed {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func bare(size int) http.Handler {
	answer := bytes.Repeat([]byte("x"), size)
	length := []string{strconv.Itoa(size)}
	mediaType := []string{"application/json"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header()["Content-Length"], w.Header()["Content-Type"] = length, mediaType
			w.Write(answer)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := parseBody(body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
}

// parseBody parses what a load sends: an instance, a reading of a plain device, or a pack of them.
func parseBody(body []byte) error {
	if bytes.HasPrefix(body, []byte{'['}) {
		var pack []struct {
			Name  string          `json:"n"`
			Time  json.RawMessage `json:"t"`
			Value json.RawMessage `json:"v"`
		}
		return json.Unmarshal(body, &pack)
	}
	var content struct {
		Instance struct {
			Content json.RawMessage `json:"con"`
		} `json:"m2m:cin"`
	}
	return json.Unmarshal(body, &content)
}
