//go:build scenario

// Package http sends requests as a oneM2M client would to a real node and compares what comes back with the clauses.
package http

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/tallystick/tallystick/test/scenario"
)

func TestMain(m *testing.M) {
	code := m.Run()
	scenario.Cleanup()
	os.Exit(code)
}

// exchange is one request and what must come back. The cases run in order against one node.
type exchange struct {
	name   string
	clause string
	method string
	path   string
	as     string // originator; "" for CA
	ty     int    // resource type in Content-Type, 0 for none
	body   string
	media  string            // Content-Type when not application/json
	header map[string]string // changes to the usual headers; "-" takes one away
	http   int
	rsc    int    // 0: no X-M2M-RSC expected
	has    string // must be in the body
	hasNot string // must not be in the body
}

// What third-party clients rely on in TS-0009: methods, paths, headers, HTTP status codes, media types.
func TestCorpus(t *testing.T) {
	n := scenario.Init(t, t.TempDir())
	p := n.Start(t)
	tokens := map[string]string{"Coperator": n.Token(t)}
	for _, id := range []string{"CA", "CB"} {
		tokens[id] = enrol(t, n, id)
	}
	for _, group := range []struct {
		name  string
		cases []exchange
	}{
		{"methods", methods}, {"addressing", addressing}, {"serialization", serialization}, {"headers", headers}, {"deletion", deletion},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, e := range group.cases {
				t.Run(e.name, func(t *testing.T) { e.run(t, n.URL(), tokens) })
			}
		})
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("stop: exit %d:\n%s", code, p.Output())
	}
	n.Fsck(t)
}

func enrol(t *testing.T, n *scenario.Network, id string) string {
	r := scenario.Run(t, "device", "enrol", id, "--data", n.Dir)
	if r.Code != 0 {
		t.Fatalf("enrol: %s", r)
	}
	return strings.TrimSpace(r.Stdout)
}

func (e *exchange) run(t *testing.T, base string, tokens map[string]string) {
	as := e.as
	if as == "" {
		as = "CA"
	}
	req, err := http.NewRequestWithContext(t.Context(), e.method, base+e.path, strings.NewReader(e.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+tokens[as])
	req.Header.Set("X-M2M-Origin", as)
	req.Header.Set("X-M2M-RI", "corpus")
	req.Header.Set("X-M2M-RVI", "4")
	if e.body != "" {
		media := e.media
		if media == "" {
			media = "application/json"
		}
		if e.ty != 0 {
			media += ";ty=" + strconv.Itoa(e.ty)
		}
		req.Header.Set("Content-Type", media)
	}
	for k, v := range e.header {
		if v == "-" {
			req.Header.Del(k)
		} else {
			req.Header.Set(k, v)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := readable(t, resp.Header.Get("Content-Type"), b)
	rsc, _ := strconv.Atoi(resp.Header.Get("X-M2M-RSC"))
	if resp.StatusCode != e.http || rsc != e.rsc {
		t.Errorf("%s: HTTP %d, RSC %d, want %d, %d: %s", e.clause, resp.StatusCode, rsc, e.http, e.rsc, text)
	}
	if !strings.Contains(text, e.has) {
		t.Errorf("%s: no %s in %s", e.clause, e.has, text)
	}
	if e.hasNot != "" && strings.Contains(text, e.hasNot) {
		t.Errorf("%s: %s in %s", e.clause, e.hasNot, text)
	}
	if ri := resp.Header.Get("X-M2M-RI"); e.rsc != 0 && e.header["X-M2M-RI"] == "" && ri != "corpus" {
		t.Errorf("TS-0009 6.4.3: X-M2M-RI is %q in the response", ri)
	}
}

// readable gives CBOR as JSON.
func readable(t *testing.T, media string, b []byte) string {
	if !strings.Contains(media, "cbor") || len(b) == 0 {
		return string(bytes.TrimSpace(b))
	}
	var v map[string]any
	if err := cbor.Unmarshal(b, &v); err != nil {
		t.Fatalf("the body is no CBOR map: %v", err)
	}
	text, err := json.Marshal(plain(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// plain makes of CBOR's maps ones that JSON knows.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			if s, ok := k.(string); ok {
				m[s] = plain(x)
			}
		}
		return m
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}
