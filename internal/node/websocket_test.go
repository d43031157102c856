package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/onem2m"
)

// socketClient is a WebSocket client of a node.
type socketClient struct {
	t testing.TB
	*websocket.Conn
}

func dialSocket(t testing.TB, n *Node, token string) *socketClient {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws://"+n.Addr()+"/", &websocket.DialOptions{
		Subprotocols: []string{"oneM2M.json"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	must(t, err)
	t.Cleanup(func() { ws.CloseNow() })
	ws.SetReadLimit(1 << 20)
	return &socketClient{t, ws}
}

func (c *socketClient) send(text string) {
	c.t.Helper()
	must(c.t, c.Write(c.t.Context(), websocket.MessageText, []byte(text)))
}

func (c *socketClient) receive() onem2m.Primitive {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	_, text, err := c.Read(ctx)
	must(c.t, err)
	p, err := onem2m.ParsePrimitive(text)
	must(c.t, err)
	return p
}

func (c *socketClient) do(status onem2m.StatusCode, text string) *onem2m.Response {
	c.t.Helper()
	c.send(text)
	p := c.receive()
	if p.Response == nil || p.Response.Status != status {
		c.t.Fatalf("%s: answered %+v, want %d", text, p, status)
	}
	return p.Response
}

// TestWebSocketDevice: a device registers, sends readings without waiting, which are stored in the order in which it
// sent them, gets notifications over its own connection, and loses the connection with its credential (TS-0020 clauses
// 5.2, 6.4 and 6.5).
func TestWebSocketDevice(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	defer stopNode(t, n)
	_, e := enrol(t, n, "Cpump")
	c := dialSocket(t, n, e.Token)
	c.do(onem2m.StatusCreated, `{"op":1,"to":"tally","fr":"Cpump","rqi":"1","rvi":"4","ty":2,"pc":{"m2m:ae":{"rn":"pump","api":"Nx","rr":true,"srv":["4"]}}}`)
	c.do(onem2m.StatusCreated, `{"op":1,"to":"tally/pump","fr":"Cpump","rqi":"2","rvi":"4","ty":3,"pc":{"m2m:cnt":{"rn":"flow"}}}`)
	c.do(onem2m.StatusOriginatorHasNoPrivilege, `{"op":2,"to":"tally/pump","fr":"Cother","rqi":"3","rvi":"4"}`)

	const count = 300
	go func() {
		for i := range count {
			_ = c.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"op":1,"to":"tally/pump/flow","fr":"Cpump","rqi":"r%d","rvi":"4","ty":4,"rcn":0,"pc":{"m2m:cin":{"con":%d}}}`, i, i))
		}
	}()
	for range count {
		if p := c.receive(); p.Response == nil || p.Response.Status != onem2m.StatusCreated {
			t.Fatalf("%+v", p.Response)
		}
	}
	rsp := c.do(onem2m.StatusOK, `{"op":2,"to":"tally/pump/flow","fr":"Cpump","rqi":"4","rvi":"4","rcn":4}`)
	var all struct {
		Container struct {
			Instances []struct {
				Content int `json:"con"`
			} `json:"m2m:cin"`
		} `json:"m2m:cnt"`
	}
	must(t, json.Unmarshal(rsp.Content, &all))
	if len(all.Container.Instances) != count {
		t.Fatalf("%d instances, want %d", len(all.Container.Instances), count)
	}
	for i, x := range all.Container.Instances {
		if x.Content != i {
			t.Fatalf("instance %d has %d: the order was lost", i, x.Content)
		}
	}

	c.do(onem2m.StatusCreated, `{"op":1,"to":"tally/pump/flow","fr":"Cpump","rqi":"5","rvi":"4","ty":23,"pc":{"m2m:sub":{"nu":["Cpump"],"enc":{"net":[3]}}}}`)
	c.send(`{"op":1,"to":"tally/pump/flow","fr":"Cpump","rqi":"6","rvi":"4","ty":4,"pc":{"m2m:cin":{"con":"x"}}}`)
	for answered, told := false, false; !answered || !told; {
		p := c.receive()
		switch {
		case p.Response != nil:
			answered = p.Response.RequestID == "6" && p.Response.Status == onem2m.StatusCreated
		case p.Request.Operation == onem2m.Notify && p.Request.To == "/tally/Cpump" && strings.Contains(string(p.Request.Content), `"con":"x"`):
			told = true
			c.send(`{"rsc":2000,"rvi":"4","rqi":"` + p.Request.RequestID + `"}`)
		default:
			t.Fatalf("%+v", p.Request)
		}
	}

	ask, err := http.NewRequest("DELETE", "http://"+n.Addr()+"/-/credentials/"+e.Key, nil)
	must(t, err)
	ask.Header.Set("Authorization", "Bearer "+token(t, dir))
	done, err := http.DefaultClient.Do(ask)
	must(t, err)
	done.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("after the revocation: %v", err)
	}
}

// TestWebSocketPlainDevice: a device that knows no oneM2M sends one message after another without waiting; each is
// answered when it is committed, in their order, and they are stored in it.
func TestWebSocketPlainDevice(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	defer stopNode(t, n)
	_, e := enrol(t, n, "Cpump")
	app := dialSocket(t, n, e.Token)
	app.do(onem2m.StatusCreated, `{"op":1,"to":"tally","fr":"Cpump","rqi":"1","rvi":"4","ty":2,"pc":{"m2m:ae":{"rn":"pump","api":"Nx","rr":false,"srv":["4"]}}}`)
	ws, _, err := websocket.Dial(t.Context(), "ws://"+n.Addr()+"/ingest/pump/flow?access_token="+e.Token, nil)
	must(t, err)
	defer ws.CloseNow()
	const count = 100
	for i := range count {
		must(t, ws.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"flow":%d}`, i)))
	}
	must(t, ws.Write(t.Context(), websocket.MessageText, []byte(`{"flow":`)))
	for i := range count + 1 {
		want := `{"rsc":2001}`
		if i == count {
			want = `{"rsc":4000,"dbg":`
		}
		_, text, err := ws.Read(t.Context())
		must(t, err)
		if !strings.HasPrefix(string(text), want) {
			t.Fatalf("message %d: %s, want %s", i, text, want)
		}
	}
	rsp := app.do(onem2m.StatusOK, `{"op":2,"to":"tally/pump/flow","fr":"Cpump","rqi":"2","rvi":"4","rcn":4}`)
	at := 0
	for i := range count {
		next := strings.Index(string(rsp.Content)[at:], fmt.Sprintf(`{\"flow\":%d}`, i))
		if next < 0 {
			t.Fatalf("message %d is not after the one before it", i)
		}
		at += next
	}
}

// TestStopSideBySide: a client that keeps one protocol waiting at the end does not cost those of another their goodbye.
func TestStopSideBySide(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	slow, err := net.Dial("tcp", n.Addr())
	must(t, err)
	defer slow.Close()
	fmt.Fprintf(slow, "POST /tally HTTP/1.1\r\nHost: h\r\nX-M2M-RI: 1\r\nAuthorization: Bearer %s\r\nContent-Type: application/json;ty=3\r\nContent-Length: 9\r\n\r\n{", token(t, dir))
	c := dialSocket(t, n, token(t, dir))
	defer c.CloseNow()
	c.do(onem2m.StatusOK, `{"op":2,"to":"tally","fr":"Coperator","rqi":"1","rvi":"4"}`)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	closed := make(chan websocket.StatusCode)
	go func() {
		_, _, err := c.Read(t.Context())
		closed <- websocket.CloseStatus(err)
	}()
	must(t, n.Stop(ctx))
	if code := <-closed; code != websocket.StatusGoingAway {
		t.Errorf("closed with %v", code)
	}
}
