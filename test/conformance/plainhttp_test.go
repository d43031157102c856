//go:build scenario

package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/test/scenario"
)

func init() {
	plainWays["http"] = func(_ *testing.T, n *scenario.Network) plainWay { return &plainHTTP{base: n.URL() + "/ingest/"} }
	plainWays["ws"] = func(t *testing.T, n *scenario.Network) plainWay {
		w := &plainWS{base: "ws" + strings.TrimPrefix(n.URL(), "http") + "/ingest/", conns: make(map[string]*websocket.Conn)}
		t.Cleanup(func() {
			for _, c := range w.conns {
				c.CloseNow()
			}
		})
		return w
	}
}

// plainHTTP posts to /ingest/<ae>/<path>.
type plainHTTP struct{ base string }

func (*plainHTTP) has(*plainMessage) bool { return true }

func (w *plainHTTP) send(t *testing.T, path string, m *plainMessage, token string) plainAnswer {
	t.Helper()
	method, address := "POST", w.base+escapePath(path)
	if m.method != "" {
		method = m.method
	}
	if m.query != "" {
		address += "?" + m.query
	}
	var body io.Reader
	if m.body != "" {
		body = strings.NewReader(m.body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	if m.media != "" {
		r.Header.Set("Content-Type", m.media)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	rsp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	b, err := io.ReadAll(rsp.Body)
	if err != nil {
		t.Fatal(err)
	}
	rsc, why := readPlainAnswer(t, b)
	if got := rsp.Header.Get("X-M2M-RSC"); got != rsc {
		t.Errorf("X-M2M-RSC is %s and the body says %s", got, rsc)
	}
	return plainAnswer{fmt.Sprint(rsp.StatusCode, " ", rsc), why}
}

func escapePath(path string) string {
	names := strings.Split(path, "/")
	for i := range names {
		names[i] = url.PathEscape(names[i])
	}
	return strings.Join(names, "/")
}

// readPlainAnswer reads what HTTP and WebSocket answer: {"rsc":2001}, or {"rsc":4000,"dbg":"why"}.
func readPlainAnswer(t *testing.T, b []byte) (rsc, why string) {
	t.Helper()
	var a struct {
		Status json.Number `json:"rsc"`
		Why    string      `json:"dbg"`
	}
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if a.Status == "2001" && string(b) != `{"rsc":2001}` {
		t.Errorf("a success is answered %s", b)
	}
	return a.Status.String(), a.Why
}

// plainWS sends the messages of one type to one container over one connection, one after another.
type plainWS struct {
	base  string
	conns map[string]*websocket.Conn
}

func (*plainWS) has(m *plainMessage) bool { return m.method == "" && m.query == "" }

func (w *plainWS) send(t *testing.T, path string, m *plainMessage, token string) plainAnswer {
	t.Helper()
	address := w.base + escapePath(path)
	if m.media != "" {
		address += "?ct=" + url.QueryEscape(m.media)
	}
	key := address + " " + token
	c := w.conns[key]
	if c == nil {
		o := &websocket.DialOptions{HTTPHeader: http.Header{}}
		if token != "" {
			o.HTTPHeader.Set("Authorization", "Bearer "+token)
		}
		var rsp *http.Response
		var err error
		if c, rsp, err = websocket.Dial(t.Context(), address, o); err != nil {
			if rsp == nil {
				t.Fatal(err)
			}
			return plainAnswer{code: fmt.Sprint("handshake ", rsp.StatusCode)}
		}
		w.conns[key] = c
	}
	kind := websocket.MessageText
	if strings.Contains(m.media, "octet-stream") || strings.Contains(m.media, "cbor") || strings.Contains(m.media, "image/") {
		kind = websocket.MessageBinary
	}
	err := c.Write(t.Context(), kind, []byte(m.body))
	var b []byte
	if err == nil {
		_, b, err = c.Read(t.Context())
	}
	if status := websocket.CloseStatus(err); status >= 0 {
		delete(w.conns, key)
		return plainAnswer{code: fmt.Sprint("close ", int(status))}
	}
	if err != nil {
		t.Fatal(err)
	}
	rsc, why := readPlainAnswer(t, b)
	return plainAnswer{rsc, why}
}
