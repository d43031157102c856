package node

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/ledger"
)

// TestFsckLines: a check may take longer than the server allows a request and its response.
func TestFsckLines(t *testing.T) {
	const limit, lines = 50 * time.Millisecond, 6
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := newFsckLines(w)
		for i := range lines {
			time.Sleep(limit / 2)
			out.write(fsckLine{Step: "log", Done: uint64(i), Total: lines})
		}
		if err := r.Context().Err(); err != nil {
			t.Errorf("after %v the server ended the check: %v", lines*limit/2, err)
		}
		out.write(fsckLine{Report: &ledger.Report{Entries: 7}})
	}))
	s.Config.ReadTimeout, s.Config.WriteTimeout = limit, limit
	s.Start()
	defer s.Close()
	resp, err := http.Post(s.URL, "", nil)
	must(t, err)
	defer resp.Body.Close()
	seen := 0
	rep, err := ReadFsck(resp.Body, func(string, uint64, uint64) { seen++ })
	must(t, err)
	if rep.Entries != 7 || seen != lines {
		t.Errorf("%d lines came and the report %+v", seen, rep)
	}
}
