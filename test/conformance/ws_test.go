//go:build scenario

package conformance

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/test/scenario"
)

func init() {
	bindings["ws"] = func(t *testing.T, n *scenario.Network, cbor bool) wire {
		w := &wsWire{url: "ws" + strings.TrimPrefix(n.URL(), "http") + "/", cbor: cbor, conns: make(map[string]*websocket.Conn)}
		t.Cleanup(func() {
			for _, c := range w.conns {
				c.CloseNow()
			}
		})
		return w
	}
}

// wsWire speaks TS-0020, over one connection for each credential.
type wsWire struct {
	url   string
	cbor  bool
	conns map[string]*websocket.Conn
}

func (w *wsWire) do(t *testing.T, req primitive, token string) primitive {
	t.Helper()
	c := w.conn(t, token)
	kind := websocket.MessageText
	if w.cbor {
		kind = websocket.MessageBinary
	}
	if err := c.Write(t.Context(), kind, encodePrimitive(t, req, w.cbor)); err != nil {
		t.Fatal(err)
	}
	for {
		got, b, err := c.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got != kind {
			t.Errorf("TS-0020 table 6.2.2.9-1: a message of kind %v, want %v", got, kind)
		}
		if p := decodePrimitive(t, b, w.cbor); p["rsc"] != nil {
			return p
		}
	}
}

func (w *wsWire) conn(t *testing.T, token string) *websocket.Conn {
	t.Helper()
	if c := w.conns[token]; c != nil {
		return c
	}
	o := &websocket.DialOptions{Subprotocols: []string{"oneM2M.json"}, HTTPHeader: http.Header{}}
	if w.cbor {
		o.Subprotocols[0] = "oneM2M.cbor"
	}
	if token != "" {
		o.HTTPHeader.Set("Authorization", "Bearer "+token)
	}
	c, _, err := websocket.Dial(t.Context(), w.url, o)
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(4 << 20)
	w.conns[token] = c
	return c
}
