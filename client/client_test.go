package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/onem2m"
)

// TestRequests: what goes over the wire (TS-0009 clauses 6.2 and 6.4).
func TestRequests(t *testing.T) {
	var got, seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = append(got, strings.Join([]string{
			r.Method, r.URL.EscapedPath(), r.Header.Get("X-M2M-Origin"), r.Header.Get("X-M2M-RVI"), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(b),
		}, " "))
		seen = append(seen, r.Header.Get("X-M2M-RI"))
		w.Header().Set("X-M2M-RSC", "2000")
		io.WriteString(w, `{"x":1}`)
	}))
	defer s.Close()
	c := New(s.URL+"/", "Cdev", "tok", 2)
	defer c.Close()
	ctx := context.Background()
	_, err := c.Create(ctx, "cse/ae", onem2m.TypeContainer, json.RawMessage(`{"m2m:cnt":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := c.Retrieve(ctx, "/other/cse/ae"); err != nil || string(b) != `{"x":1}` {
		t.Fatal(string(b), err)
	}
	if _, err := c.Update(ctx, "//sp/other/cse", map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(ctx, "cse/ae"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`POST /cse/ae Cdev 4 Bearer tok application/json;ty=3 {"m2m:cnt":{}}`,
		`GET /~/other/cse/ae Cdev 4 Bearer tok  `,
		`PUT /_/sp/other/cse Cdev 4 Bearer tok application/json {"a":1}`,
		`DELETE /cse/ae Cdev 4 Bearer tok  `,
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("request %d: %q, want %q", i, got[i], want[i])
		}
	}
	ids := make(map[string]bool)
	for _, id := range seen {
		if id == "" || ids[id] {
			t.Errorf("request identifiers %q", seen)
		}
		ids[id] = true
	}
}

// TestErrors: nothing but a success status of oneM2M is a success.
func TestErrors(t *testing.T) {
	for _, a := range []struct {
		rsc  string
		http int
		body string
		want onem2m.StatusCode
		text string
		ok   bool
	}{
		{"2001", 201, `{}`, 0, "", true},
		{"4004", 404, `{"m2m:dbg":"nothing there"}`, 4004, "nothing there", false},
		{"", 200, `hello`, 0, "hello", false},
		{"1000", 202, ``, 1000, "", false},
		{"x", 500, ``, 0, "", false},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if a.rsc != "" {
				w.Header().Set("X-M2M-RSC", a.rsc)
			}
			w.WriteHeader(a.http)
			io.WriteString(w, a.body)
		}))
		c := New(s.URL, "C", "t", 1)
		_, err := c.Retrieve(context.Background(), "x")
		var e *StatusError
		switch {
		case a.ok:
			if err != nil {
				t.Errorf("%+v: %v", a, err)
			}
		case !errors.As(err, &e) || e.Status != a.want || e.HTTP != a.http || e.Text != a.text || !IsStatus(err, a.want) || e.Error() == "":
			t.Errorf("%+v: %v", a, err)
		}
		c.Close()
		s.Close()
	}
	c := New("http://127.0.0.1:1", "C", "t", 1)
	if _, err := c.Retrieve(context.Background(), "x"); err == nil {
		t.Error("nobody answered, and that is a success")
	}
	if _, err := c.Create(context.Background(), "x", 3, func() {}); err == nil {
		t.Error("a function was sent")
	}
}
