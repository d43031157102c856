package wsbinding

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a Handler for tokens "<name>-token", which are for the originator <name>, with a switch for each behaviour.
type world struct {
	mu      sync.Mutex
	revoked map[string]bool
	lab     bool
	do      func(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response
	seen    []*onem2m.Request
	ends    map[*func()]string // what ends with a token
}

func (w *world) Watch(ev binding.Evidence, end func()) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ends == nil {
		w.ends = make(map[*func()]string)
	}
	w.ends[&end] = ev.Token
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.ends, &end)
	}
}

func (w *world) Known(ev binding.Evidence) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.HasSuffix(ev.Token, "-token") && !w.revoked[ev.Token] || w.lab && ev.Token == ""
}

func (w *world) originator(ev binding.Evidence) (string, bool) {
	name, ok := strings.CutSuffix(ev.Token, "-token")
	return name, ok && w.Known(ev)
}

func (w *world) revoke(token string) {
	w.mu.Lock()
	w.revoked[token] = true
	var over []func()
	for end, of := range w.ends {
		if of == token {
			over = append(over, *end)
		}
	}
	w.mu.Unlock()
	for _, end := range over {
		end()
	}
}

func (w *world) Do(ctx context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
	if !w.Known(ev) {
		return &onem2m.Response{Status: onem2m.StatusSecurityAssociationRequired, RequestID: req.RequestID}
	}
	w.mu.Lock()
	w.seen = append(w.seen, req)
	do := w.do
	w.mu.Unlock()
	if do != nil {
		return do(ctx, req, ev)
	}
	rsp := &onem2m.Response{Status: onem2m.StatusOK, RequestID: req.RequestID, ReleaseVersion: req.ReleaseVersion, To: req.From}
	switch req.Operation {
	case onem2m.Create:
		rsp.Status, rsp.Content = onem2m.StatusCreated, req.Content
	case onem2m.Retrieve:
		rsp.Content = []byte(`{"m2m:cin":{"con":"21"}}`)
	}
	return rsp
}

// Ingest answers with what the message says.
func (w *world) Ingest(ctx context.Context, m *binding.Message, ev binding.Evidence) *onem2m.Response {
	var body struct {
		Wait time.Duration
		Bad  bool
	}
	if err := json.Unmarshal(m.Body, &body); err != nil || body.Bad {
		return &onem2m.Response{Status: onem2m.StatusBadRequest, Content: []byte(`{"m2m:dbg":"` + m.Path + ` ` + m.MediaType + ` is bad"}`)}
	}
	time.Sleep(body.Wait * time.Millisecond)
	return &onem2m.Response{Status: onem2m.StatusCreated}
}

// serve runs a binding on a listener of its own.
func serve(t testing.TB, w *world, change func(*Options)) (*Binding, string) {
	t.Helper()
	if w.revoked == nil {
		w.revoked = make(map[string]bool)
	}
	o := Options{Handler: w, Plain: w, Originator: w.originator}
	if change != nil {
		change(&o)
	}
	b := New(o)
	srv := httptest.NewServer(b.Wrap(http.NotFoundHandler()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		b.Close(ctx)
		srv.Close()
	})
	return b, "ws" + strings.TrimPrefix(srv.URL, "http")
}

// client is a connection of a test.
type client struct {
	t testing.TB
	*websocket.Conn
}

func dial(t testing.TB, url, protocol, token string) *client {
	t.Helper()
	c, rsp, err := try(url, protocol, token)
	if err != nil {
		t.Fatalf("%v (%v)", err, rsp)
	}
	t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(1 << 22)
	return &client{t, c}
}

func try(url, protocol, token string) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}}
	if protocol != "" {
		o.Subprotocols = strings.Split(protocol, ",")
	}
	if token != "" {
		o.HTTPHeader.Set("Authorization", "Bearer "+token)
	}
	return websocket.Dial(ctx, url, o)
}

func (c *client) send(text string) {
	c.t.Helper()
	must(c.t, c.Write(context.Background(), websocket.MessageText, []byte(text)))
}

func (c *client) receive() (websocket.MessageType, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	kind, b, err := c.Read(ctx)
	return kind, string(b), err
}

func (c *client) want(text string) {
	c.t.Helper()
	_, got, err := c.receive()
	if err != nil || got != text {
		c.t.Fatalf("got %s, %v, want %s", got, err, text)
	}
}

// closed waits until the server closes the connection and gives the code.
func (c *client) closed() websocket.StatusCode {
	for {
		if _, _, err := c.receive(); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

const reading = `{"op":1,"to":"cse/room","fr":"Cdev","rqi":"%d","rvi":"4","ty":4,"pc":{"m2m:cin":{"con":"%d"}}}`

// TS-0020 clauses 6.2.2.9 and 6.5: requests are executed, and answered in the serialization of the subprotocol.
func TestRequests(t *testing.T) {
	_, url := serve(t, &world{}, nil)
	for _, protocol := range []string{"oneM2M.json", "ONEM2M.JSON", "oneM2M.xml,oneM2M.json"} {
		c := dial(t, url, protocol, "Cdev-token")
		c.send(fmt.Sprintf(reading, 1, 5))
		c.want(`{"rsc":2001,"rqi":"1","rvi":"4","to":"Cdev","pc":{"m2m:cin":{"con":"5"}}}`)
		// Wrapped primitives are answered wrapped.
		c.send(`{"m2m:rqp":{"op":2,"to":"cse/room/la","fr":"Cdev","rqi":"2"}}`)
		c.want(`{"m2m:rsp":{"rsc":2000,"rqi":"2","rvi":"4","to":"Cdev","pc":{"m2m:cin":{"con":"21"}}}}`)
	}
	c := dial(t, url+"/any/path?access_token=Cdev-token", "oneM2M.cbor", "")
	in, err := onem2m.JSONToCBOR(fmt.Appendf(nil, reading, 1, 5))
	must(t, err)
	must(t, c.Write(context.Background(), websocket.MessageBinary, in))
	kind, got, err := c.receive()
	must(t, err)
	text, err := onem2m.CBORToJSON([]byte(got))
	if err != nil || kind != websocket.MessageBinary || string(text) != `{"rsc":2001,"rqi":"1","rvi":"4","to":"Cdev","pc":{"m2m:cin":{"con":"5"}}}` {
		t.Errorf("kind %v, %s, %v", kind, text, err)
	}
}

// A message that is no primitive is answered with why, and the request identifier if it could be read; the connection
// goes on.
func TestBadMessages(t *testing.T) {
	_, url := serve(t, &world{}, nil)
	c := dial(t, url, "oneM2M.json", "Cdev-token")
	for text, want := range map[string]string{
		`x`:                                      `{"rsc":4000,"rvi":"4","pc":{"m2m:dbg":"primitive: want one JSON object"}}`,
		`{"rqi":"7","op":9,"to":"c"}`:            `{"rsc":4000,"rqi":"7","rvi":"4","pc":{"m2m:dbg":"parameter op: \"9\" is not an integer from 1 to 5"}}`,
		`{"rqi":"8","fr":"Cx","op":2,"rvi":"3"}`: `{"rsc":4000,"rqi":"8","rvi":"3","to":"Cx","pc":{"m2m:dbg":"the request has no target (to)"}}`,
	} {
		c.send(text)
		c.want(want)
	}
	c.send(`{"rsc":2000,"rqi":"an answer to nothing"}`)
	c.send(fmt.Sprintf(reading, 1, 5))
	c.want(`{"rsc":2001,"rqi":"1","rvi":"4","to":"Cdev","pc":{"m2m:cin":{"con":"5"}}}`)
	b := dial(t, url, "oneM2M.cbor", "Cdev-token")
	must(t, b.Write(context.Background(), websocket.MessageBinary, []byte{0xff}))
	if _, got, err := b.receive(); err != nil || !strings.Contains(got, "no usable CBOR") {
		t.Errorf("%q, %v", got, err)
	}
}

// TS-0020 clauses 6.2.2.7 and 6.2.3.1.
func TestHandshakeRefuses(t *testing.T) {
	b, url := serve(t, &world{}, func(o *Options) { o.MaxConnections = 3 })
	for _, c := range []struct {
		path, protocol, token string
		status                int
	}{
		{"/", "", "Cdev-token", 400},
		{"/", "oneM2M.xml", "Cdev-token", 400},
		{"/", "onem2m.r2.0.json", "Cdev-token", 400},
		{"/", "oneM2M.json", "wrong", 401},
		{"/?access_token=wrong", "oneM2M.json", "", 401},
		{"/?access_token=%", "oneM2M.json", "", 400},
		{"/ingest/dev/room", "", "", 401},
	} {
		ws, rsp, err := try(url+c.path, c.protocol, c.token)
		if err == nil {
			ws.CloseNow()
		}
		if err == nil || rsp.StatusCode != c.status {
			t.Errorf("%s %s: %v, %v, want %d", c.path, c.protocol, rsp, err, c.status)
		}
	}
	for range 3 {
		dial(t, url, "oneM2M.json", "Cdev-token")
	}
	if ws, rsp, err := try(url, "oneM2M.json", "Cdev-token"); err == nil || rsp.StatusCode != 503 {
		ws.CloseNow()
		t.Errorf("more connections than may be: %v, %v", rsp, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.Close(ctx)
	if ws, rsp, err := try(url, "oneM2M.json", "Cdev-token"); err == nil || rsp.StatusCode != 503 {
		ws.CloseNow()
		t.Errorf("a handshake after the end: %v, %v", rsp, err)
	}
}

// A page of another site gets no connection without a credential, even in a lab network.
func TestForeignPage(t *testing.T) {
	_, url := serve(t, &world{lab: true}, nil)
	for token, ok := range map[string]bool{"": false, "Cdev-token": true} {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		o := &websocket.DialOptions{Subprotocols: []string{"oneM2M.json"}, HTTPHeader: http.Header{"Origin": {"http://evil.example"}}}
		ws, _, err := websocket.Dial(ctx, url+"?access_token="+token, o)
		cancel()
		if err == nil {
			ws.CloseNow()
		}
		if (err == nil) != ok {
			t.Errorf("token %q: %v", token, err)
		}
	}
}

// The Mobius subprotocol is there when it is asked for.
func TestMobius(t *testing.T) {
	_, url := serve(t, &world{}, func(o *Options) { o.Mobius = true })
	c := dial(t, url, "onem2m.r2.0.json", "Cdev-token")
	c.send(`{"m2m:rqp":{"op":2,"to":"/Mobius","fr":"Cdev","rqi":"1"}}`)
	c.want(`{"m2m:rsp":{"rsc":2000,"rqi":"1","rvi":"4","to":"Cdev","pc":{"m2m:cin":{"con":"21"}}}}`)
}

// A credential may come in the request itself (tkns).
func TestTokenInRequest(t *testing.T) {
	b, url := serve(t, &world{}, nil)
	c := dial(t, url, "oneM2M.json", "")
	c.send(`{"op":2,"to":"c","fr":"Cdev","rqi":"1"}`)
	c.want(`{"rsc":4107,"rqi":"1","rvi":"4","to":"Cdev","pc":{"m2m:dbg":"a valid bearer token is required (tally device enrol makes one)"}}`)
	if b.Connected("Cdev") {
		t.Error("who showed nothing counts as an originator")
	}
	c.send(`{"op":2,"to":"c","fr":"Cdev","rqi":"2","tkns":["no","Cdev-token"]}`)
	c.want(`{"rsc":2000,"rqi":"2","rvi":"4","to":"Cdev","pc":{"m2m:cin":{"con":"21"}}}`)
	if !b.Connected("Cdev") {
		t.Error("who showed his token is not connected")
	}
	if b.strangers.Load() != 0 {
		t.Error("he still counts as a stranger")
	}
}

// Who shows no credential is hung up on: at once when he asks for much, else soon.
func TestStrangers(t *testing.T) {
	_, url := serve(t, &world{}, nil)
	long := dial(t, url, "oneM2M.json", "")
	long.send(strings.Repeat(" ", 5000))
	if code := long.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("a long message without a credential: closed with %v", code)
	}
	many := dial(t, url, "oneM2M.json", "")
	for range maxRefused {
		many.send(`{"op":2,"to":"c","fr":"Cdev","rqi":"1"}`)
	}
	if code := many.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("many requests without a credential: closed with %v", code)
	}
}
