package node

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/onem2m"
)

// TestWebSocketLab: what a conformance suite does over WebSocket without credentials. A registration on one connection, a
// subscription on the next, whose X-M2M-Origin names the AE; a notification over that connection although the AE's
// point of access leads nowhere; one to a WebSocket server of the AE's own, once no connection is open (TS-0020 clauses
// 5.2, 6.4 and 6.5); and one to a point of access over another protocol, although a connection is open (TS-0004 clause
// 7.3.3.9.1).
func TestWebSocketLab(t *testing.T) {
	n, err := StartLab(context.Background(), initCSE(t, "id-in", true), watchedLog)
	must(t, err)
	defer stopNode(t, n)
	dial := func(originator string) *socketClient {
		o := &websocket.DialOptions{Subprotocols: []string{"oneM2M.json"}, HTTPHeader: http.Header{}}
		if originator != "" {
			o.HTTPHeader.Set("X-M2M-Origin", originator)
		}
		ws, _, err := websocket.Dial(t.Context(), "ws://"+n.Addr(), o)
		must(t, err)
		return &socketClient{t, ws}
	}
	told := make(chan string, 10)
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"oneM2M.json"}})
		if err != nil {
			return
		}
		defer ws.CloseNow()
		_, text, err := ws.Read(r.Context())
		if err != nil {
			return
		}
		req, err := onem2m.ParseRequest(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		told <- string(text)
		answer := onem2m.AppendResponse(nil, &onem2m.Response{Status: onem2m.StatusOK, RequestID: req.RequestID, ReleaseVersion: "4"})
		_ = ws.Write(r.Context(), websocket.MessageText, answer)
	}))
	defer own.Close()

	c := dial("")
	rsp := c.do(onem2m.StatusCreated, `{"op":1,"to":"cse-id-in","rqi":"1","rvi":"4","ty":2,"pc":{"m2m:ae":{"rn":"ae","api":"Na","rr":true,"srv":["4"],"poa":["ws://127.0.0.1:1"]}}}`)
	id, ok := onem2m.Unquote(onem2m.Field(onem2m.Field(rsp.Content, "m2m:ae"), "aei"))
	if !ok || id == "" {
		t.Fatalf("no AE-ID: %s", rsp.Content)
	}
	c.Close(websocket.StatusNormalClosure, "")

	c = dial(id)
	c.do(onem2m.StatusCreated, fmt.Sprintf(`{"op":1,"to":"cse-id-in/ae","fr":%q,"rqi":"2","rvi":"4","ty":23,"pc":{"m2m:sub":{"rn":"sub","nu":[%[1]q]}}}`, id))
	update := func(rqi string) {
		t.Helper()
		other := dial("CAdmin")
		other.do(onem2m.StatusUpdated, fmt.Sprintf(`{"op":3,"to":"cse-id-in/ae","fr":"CAdmin","rqi":%q,"rvi":"4","pc":{"m2m:ae":{"lbl":[%[1]q]}}}`, rqi))
		other.Close(websocket.StatusNormalClosure, "")
	}
	update("3")
	p := c.receive()
	if p.Request == nil || p.Request.Operation != onem2m.Notify || !strings.Contains(string(p.Request.Content), `"lbl":["3"]`) {
		t.Fatalf("%+v", p.Request)
	}
	c.send(`{"rsc":2000,"rvi":"4","rqi":"` + p.Request.RequestID + `"}`)
	c.send(fmt.Sprintf(`{"op":3,"to":"cse-id-in/ae","fr":%q,"rqi":"4","rvi":"4","rcn":0,"pc":{"m2m:ae":{"poa":["ws%s"]}}}`, id, strings.TrimPrefix(own.URL, "http")))
	for range 2 { // the answer and the notification, in any order
		if p := c.receive(); p.Response != nil && p.Response.Status != onem2m.StatusUpdated {
			t.Fatalf("%+v", p.Response)
		}
	}
	c.CloseNow()

	update("5")
	for range 2 { // the notification that was not answered comes again
		if text := <-told; strings.Contains(text, `"lbl":["5"]`) {
			break
		}
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-M2M-RSC", "2000")
		w.Header().Set("X-M2M-RI", r.Header.Get("X-M2M-RI"))
		told <- "over HTTP"
	}))
	defer other.Close()
	c = dial(id)
	c.do(onem2m.StatusUpdated, fmt.Sprintf(`{"op":3,"to":"cse-id-in/ae","fr":%q,"rqi":"7","rvi":"4","rcn":0,"pc":{"m2m:ae":{"poa":[%q]}}}`, id, other.URL))
	c.do(onem2m.StatusOK, fmt.Sprintf(`{"op":5,"to":"cse-id-in/ae","fr":%q,"rqi":"8","rvi":"4","pc":{"m2m:sgn":{"nev":{"net":1,"rep":{}}}}}`, id))
	for text := range told {
		if text == "over HTTP" {
			break
		}
	}
	c.CloseNow()
	c = dial("CDifferent")
	c.do(onem2m.StatusDeleted, fmt.Sprintf(`{"op":4,"to":"cse-id-in/ae","fr":%q,"rqi":"6","rvi":"4"}`, id))
	c.CloseNow()
}
