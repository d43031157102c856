package wsbinding

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

func notification(id string) *onem2m.Request {
	return &onem2m.Request{
		Operation: onem2m.Notify, To: "Cdev", From: "/cse", RequestID: id, ReleaseVersion: "4",
		ResultContent: onem2m.ResultContentDefault, Content: []byte(`{"m2m:sgn":{}}`),
	}
}

// TS-0020 clause 5.2: requests go both ways over one connection.
func TestRequestsToClients(t *testing.T) {
	b, url := serve(t, &world{}, nil)
	to := binding.Address{URL: "conn:Cdev"}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := b.Send(ctx, to, notification("0")); err == nil {
		t.Error("sent to one who is not connected")
	}
	c := dial(t, url, "oneM2M.json", "Cdev-token")
	until(t, "it is connected", func() bool { return b.Connected("Cdev") })
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			id := fmt.Sprint("n", i)
			rsp, err := b.Send(ctx, to, notification(id))
			if err != nil || rsp.RequestID != id || rsp.Status != onem2m.StatusOK {
				t.Errorf("%+v, %v", rsp, err)
			}
		})
	}
	for range 20 {
		_, text, err := c.receive()
		must(t, err)
		p, err := onem2m.ParsePrimitive([]byte(text))
		if err != nil || p.Request == nil || p.Wrapped || p.Request.From != "/cse" || string(p.Request.Content) != `{"m2m:sgn":{}}` {
			t.Fatalf("%s, %v", text, err)
		}
		c.send(fmt.Sprintf(`{"rsc":2000,"rqi":%q}`, p.Request.RequestID))
	}
	wg.Wait()

	// Between requests of the client's own, wrapped as it does it.
	c.send(`{"m2m:rqp":{"op":2,"to":"c","fr":"Cdev","rqi":"own"}}`)
	c.receive()
	wg.Go(func() {
		rsp, err := b.Send(ctx, to, notification("w"))
		if err != nil || rsp.Status != onem2m.StatusNotFound {
			t.Errorf("%+v, %v", rsp, err)
		}
	})
	if _, text, err := c.receive(); err != nil || !strings.HasPrefix(text, `{"m2m:rqp":{"op":5,`) {
		t.Errorf("%s, %v", text, err)
	}
	c.send(`{"m2m:rsp":{"rsc":4004,"rqi":"w"}}`)
	wg.Wait()

	// No answer in time, an identifier that is in use, and a connection that ends.
	short, cancelShort := context.WithTimeout(ctx, 20*time.Millisecond)
	if _, err := b.Send(short, to, notification("late")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	cancelShort()
	wg.Go(func() {
		if _, err := b.Send(ctx, to, notification("x")); !errors.Is(err, errEnded) {
			t.Errorf("the connection ended: %v", err)
		}
	})
	c.receive()
	c.receive()
	if _, err := b.Send(ctx, to, notification("x")); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("an identifier in use: %v", err)
	}
	c.CloseNow()
	wg.Wait()
}

// Requests go to the newest connection of an originator, and to no connection that only claims to be his.
func TestWhoIsConnected(t *testing.T) {
	b, url := serve(t, &world{}, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	liar := dial(t, url, "oneM2M.json", "Cliar-token")
	liar.send(`{"op":2,"to":"c","fr":"Cdev","rqi":"1"}`)
	liar.receive()
	if b.Connected("Cdev") {
		t.Fatal("a claim was taken for a proof")
	}
	old := dial(t, url, "oneM2M.json", "Cdev-token")
	old.send(`{"op":2,"to":"c","fr":"Cdev","rqi":"1"}`)
	old.receive()
	newer := dial(t, url, "oneM2M.cbor", "Cdev-token")
	for _, c := range []*client{newer, old} {
		cborToo := c == newer
		if cborToo {
			in, _ := onem2m.JSONToCBOR([]byte(`{"op":2,"to":"c","fr":"Cdev","rqi":"1"}`))
			must(t, c.Write(ctx, websocket.MessageBinary, in))
			c.receive()
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if rsp, err := b.Send(ctx, binding.Address{URL: "conn:Cdev"}, notification("n")); err != nil || rsp.Status != onem2m.StatusOK {
				t.Errorf("%+v, %v", rsp, err)
			}
		})
		_, text, err := c.receive()
		must(t, err)
		answer := []byte(`{"rsc":2000,"rqi":"n"}`)
		if cborToo {
			if j, err := onem2m.CBORToJSON([]byte(text)); err != nil || !strings.Contains(string(j), "sgn") {
				t.Errorf("%s, %v", j, err)
			}
			answer, _ = onem2m.JSONToCBOR(answer)
		}
		must(t, c.Write(ctx, websocket.MessageBinary, answer))
		wg.Wait()
		c.Close(websocket.StatusNormalClosure, "")
		until(t, "it is gone", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			n := len(b.peers["Cdev"])
			return n < 2 && cborToo || n == 0
		})
	}
	if b.Connected("Cdev") {
		t.Error("connected after all connections ended")
	}
}

// In a lab network the client's word is enough: the handshake's X-M2M-Origin, an executed request, a registration.
func TestLabOriginators(t *testing.T) {
	w := &world{lab: true}
	w.do = func(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
		rsp := &onem2m.Response{Status: onem2m.StatusCreated, RequestID: req.RequestID, Content: []byte(`{"m2m:ae":{"aei":"Cassigned"}}`)}
		if req.From == "Cbad" {
			rsp.Status = onem2m.StatusOriginatorHasNoPrivilege
		}
		return rsp
	}
	b, url := serve(t, w, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"oneM2M.json"}, HTTPHeader: http.Header{"X-M2M-Origin": {"Cheader"}}})
	must(t, err)
	defer ws.CloseNow()
	c := &client{t, ws}
	c.send(`{"op":1,"ty":2,"to":"c","fr":"C","rqi":"1"}`)
	c.receive()
	c.send(`{"op":2,"to":"c","fr":"Cbad","rqi":"1"}`)
	c.receive()
	for who, want := range map[string]bool{"Cheader": true, "Cassigned": true, "Cbad": false, "C": false} {
		if b.Connected(who) != want {
			t.Errorf("%s is connected: %v", who, !want)
		}
	}
}

// target is a WebSocket server that answers requests.
func target(t *testing.T, protocol string, once bool) (url string, accepted *[]http.Header) {
	accepted = new([]http.Header)
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{protocol}})
		if err != nil {
			return
		}
		mu.Lock()
		*accepted = append(*accepted, r.Header)
		mu.Unlock()
		defer ws.CloseNow()
		for {
			kind, text, err := ws.Read(context.Background())
			if err != nil {
				return
			}
			if kind == websocket.MessageBinary {
				text, _ = onem2m.CBORToJSON(text)
			}
			req, err := onem2m.ParseRequest(text)
			if err != nil {
				t.Errorf("%s: %v", text, err)
				return
			}
			// A request the other way is not taken.
			_ = ws.Write(context.Background(), websocket.MessageText, []byte(`{"op":2,"to":"c","fr":"Cevil","rqi":"back"}`))
			answer := onem2m.AppendResponse(nil, &onem2m.Response{Status: onem2m.StatusOK, RequestID: req.RequestID})
			if kind == websocket.MessageBinary {
				answer, _ = onem2m.JSONToCBOR(answer)
			}
			if ws.Write(context.Background(), kind, answer) != nil || once {
				return
			}
			if _, text, err = ws.Read(context.Background()); kind == websocket.MessageText && (err != nil || !strings.Contains(string(text), `"rsc":4005`)) {
				t.Errorf("a request on a connection that the node opened: %s, %v", text, err)
			}
		}
	}))
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http"), accepted
}

// Requests to other servers: one connection serves many, a new one is made when it ended.
func TestRequestsToServers(t *testing.T) {
	b, _ := serve(t, &world{}, func(o *Options) { o.From = "/tally" })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, cbor := range []bool{false, true} {
		protocol := protocolJSON
		if cbor {
			protocol = protocolCBOR
		}
		for _, once := range []bool{false, true} {
			url, accepted := target(t, protocol, once)
			b.mu.Lock()
			before := len(b.dialed)
			b.mu.Unlock()
			for i := range 3 {
				rsp, err := b.Send(ctx, binding.Address{URL: url, CBOR: cbor}, notification(fmt.Sprint(i)))
				if err != nil || rsp.Status != onem2m.StatusOK || rsp.RequestID != fmt.Sprint(i) {
					t.Fatalf("cbor %v, once %v: %+v, %v", cbor, once, rsp, err)
				}
				if once {
					until(t, "the server has closed the connection", func() bool {
						b.mu.Lock()
						defer b.mu.Unlock()
						return len(b.dialed) == before
					})
				}
			}
			want := 1
			if once {
				want = 3
			}
			if len(*accepted) != want || (*accepted)[0].Get("X-M2M-Origin") != "/tally" {
				t.Errorf("cbor %v, once %v: connections %v", cbor, once, *accepted)
			}
		}
	}
	b.dropIdle(b.clock.Add(ticks(idleTime) + 1))
	b.mu.Lock()
	if len(b.dialed) != 0 {
		t.Errorf("%d idle connections are left", len(b.dialed))
	}
	b.mu.Unlock()
	closed := httptest.NewServer(http.NotFoundHandler())
	defer closed.Close()
	var answer *binding.AnswerError
	_, err := b.Send(ctx, binding.Address{URL: "ws" + strings.TrimPrefix(closed.URL, "http"), Token: "t"}, notification("1"))
	if !errors.As(err, &answer) || answer.Code != 404 || answer.Final {
		t.Errorf("a server that speaks no WebSocket: %v", err)
	}
	other, _ := target(t, "chat", false)
	for _, url := range []string{"ws://127.0.0.1:1/", other, "ws://", "http://127.0.0.1:1", "ws://u:secret@127.0.0.1:1/"} {
		if _, err := b.Send(ctx, binding.Address{URL: url}, notification("1")); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A connection that the node opened ends, like any other, when a credential that was shown on it is revoked: it would go
// on to bring what is meant for the originator.
func TestRevokedBetweenCSEs(t *testing.T) {
	in, url := serve(t, &world{lab: true}, nil)
	w := &world{}
	mn, _ := serve(t, w, func(o *Options) { o.From = "/mn" })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := mn.Send(ctx, binding.Address{URL: url, Token: "/mn-token"}, notification("1"))
	must(t, err)
	until(t, "/mn is connected", func() bool { return in.Connected("/mn") })
	_, err = in.Send(ctx, binding.Address{URL: "conn:/mn", Token: "/in-token"}, notification("2"))
	must(t, err)
	if !mn.Connected("/in") {
		t.Fatal("/in is not connected")
	}
	w.revoke("/in-token")
	tick(mn, 1)
	until(t, "/in is not connected any more", func() bool { return !mn.Connected("/in") })
}

// TS-0020 clause 5.2: a CSE that connected to another gets requests over that connection. They need a credential of
// their own, except on one machine in a lab network.
func TestRequestsBetweenCSEs(t *testing.T) {
	lab := &world{lab: true}
	in, url := serve(t, &world{lab: true}, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, c := range []struct {
		w             *world
		token, answer string
		want          onem2m.StatusCode
	}{
		{&world{}, "/mn1-token", "", onem2m.StatusOperationNotAllowed},
		{&world{}, "/mn2-token", "wrong", onem2m.StatusSecurityAssociationRequired},
		{&world{}, "/mn3-token", "/in-token", onem2m.StatusOK},
		{lab, "", "", onem2m.StatusOK},
	} {
		who, _ := strings.CutSuffix(c.token, "-token")
		if who == "" {
			who = "/mn4"
		}
		mn, _ := serve(t, c.w, func(o *Options) { o.From = who })
		req := &onem2m.Request{Operation: onem2m.Retrieve, To: "/in", From: who, RequestID: "1", ReleaseVersion: "4", ResultContent: onem2m.ResultContentDefault}
		if rsp, err := mn.Send(ctx, binding.Address{URL: url, Token: c.token}, req); err != nil || rsp.Status != onem2m.StatusOK {
			t.Fatalf("%s to /in: %+v, %v", who, rsp, err)
		}
		until(t, who+" is connected", func() bool { return in.Connected(who) })
		back := &onem2m.Request{Operation: onem2m.Retrieve, To: who, From: "/in", RequestID: "2", ReleaseVersion: "4", ResultContent: onem2m.ResultContentDefault}
		rsp, err := in.Send(ctx, binding.Address{URL: "conn:" + who, Token: c.answer}, back)
		if err != nil || rsp.Status != c.want {
			t.Errorf("/in to %s: %+v, %v, want %d", who, rsp, err, c.want)
		}
		if back.Tokens != nil {
			t.Error("the caller's request was changed")
		}
		if mn.Connected("/in") != (c.want == onem2m.StatusOK) {
			t.Errorf("%s: /in is connected: %v", who, mn.Connected("/in"))
		}
		mn.Close(ctx)
		if mn.Connected("/in") {
			t.Errorf("%s: /in is connected after the end", who)
		}
	}
}
