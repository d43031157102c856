package coapbinding

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/udp"
	"github.com/plgd-dev/go-coap/v3/udp/client"
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

const goodToken = "tally_good"

// fake is a handler that notes what it gets.
type fake struct {
	mu      sync.Mutex
	reqs    []onem2m.Request
	tokens  []string
	plain   []binding.Message
	respond func(req *onem2m.Request) *onem2m.Response // nil: created
	lab     bool
}

func (f *fake) Known(ev binding.Evidence) bool {
	return ev.Token == goodToken || f.lab && ev.Token == ""
}

func (f *fake) Do(_ context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
	f.mu.Lock()
	f.reqs = append(f.reqs, *req)
	f.tokens = append(f.tokens, ev.Token)
	respond := f.respond
	f.mu.Unlock()
	rsp := &onem2m.Response{Status: onem2m.StatusCreated, Content: []byte(`{"m2m:cin":{"con":"21"}}`), Location: "tally/a/c/cin1"}
	if respond != nil {
		rsp = respond(req)
	}
	rsp.RequestID = req.RequestID
	return rsp
}

func (f *fake) Ingest(_ context.Context, m *binding.Message, _ binding.Evidence) *onem2m.Response {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plain = append(f.plain, *m)
	if strings.HasSuffix(m.Path, "/refused") {
		return &onem2m.Response{Status: onem2m.StatusOriginatorHasNoPrivilege, Content: []byte(`{"m2m:dbg":"no rights"}`)}
	}
	return &onem2m.Response{Status: onem2m.StatusCreated}
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.reqs)
}

func (f *fake) message(i int) binding.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.plain[i]
}

func (f *fake) last(t *testing.T) onem2m.Request {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reqs) == 0 {
		t.Fatal("no request reached the handler")
	}
	return f.reqs[len(f.reqs)-1]
}

// serve starts a server on a UDP port of this machine.
func serve(t testing.TB, f *fake, o Options, change func(*limits)) (s *Server, addr string) {
	t.Helper()
	conn, err := ListenUDP("127.0.0.1:0")
	must(t, err)
	l := defaultLimits()
	if change != nil {
		change(&l)
	}
	s = newServer(f, o, l)
	done := make(chan error, 1)
	go func() { done <- s.Serve(conn) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, conn.LocalAddr().String()
}

// dial gives go-coap's client: an implementation of the message layer by others.
func dial(t testing.TB, addr string, opts ...udp.Option) *client.Conn {
	t.Helper()
	// The module's own runner sleeps on after the end.
	stop := make(chan struct{})
	var running sync.WaitGroup
	runner := options.WithPeriodicRunner(func(f func(time.Time) bool) {
		running.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case now := <-tick.C:
					f(now)
				case <-stop:
					return
				}
			}
		})
	})
	c, err := udp.Dial(addr, append(opts, runner)...)
	must(t, err)
	t.Cleanup(func() { c.Close(); <-c.Done(); close(stop); running.Wait() })
	return c
}

type opt = message.Option

func str(id message.OptionID, v string) opt { return opt{ID: id, Value: []byte(v)} }

func num(id message.OptionID, v uint32) opt { return appendUint(nil, id, v)[0] }

// oneM2M are the options of a request of originator CA to an address.
func oneM2M(path string, more ...opt) message.Options {
	var o message.Options
	for s := range strings.SplitSeq(path, "/") {
		o = append(o, str(message.URIPath, s))
	}
	o = append(o, str(optionFR, "CA"), str(optionRQI, "r1"), str(optionRVI, "4"), str(message.URIQuery, "tkns="+goodToken))
	o = append(o, more...)
	sortOptions(o)
	return o
}

// ask sends a request over go-coap's client.
func ask(t testing.TB, c *client.Conn, code codes.Code, payload []byte, with message.Options) *pool.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req := c.AcquireMessage(ctx)
	req.SetCode(code)
	token, err := message.GetToken()
	must(t, err)
	req.SetToken(token)
	req.SetType(message.Confirmable)
	req.SetMessageID(c.GetMessageID())
	for _, o := range with {
		req.AddOptionBytes(o.ID, o.Value)
	}
	if payload != nil {
		req.SetBody(bytes.NewReader(payload))
	}
	rsp, err := c.Do(req)
	must(t, err)
	return rsp
}

func body(t testing.TB, m *pool.Message) string {
	t.Helper()
	b, err := m.ReadBody()
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return string(b)
}

func status(t testing.TB, m *pool.Message) int {
	t.Helper()
	v, err := m.Options().GetUint32(optionRSC)
	must(t, err)
	return int(v)
}

// A CREATE and what the primitive and the response are made of (TS-0008 clauses 6.2.1 to 6.2.3).
func TestCreate(t *testing.T) {
	f := &fake{}
	_, addr := serve(t, f, Options{}, nil)
	rsp := ask(t, dial(t, addr), codes.POST, []byte(`{"m2m:cin":{"con":"21"}}`), oneM2M("tally/a/c",
		num(optionTY, 4), num(message.ContentFormat, 50), str(optionOT, "20261123T114411"), str(optionRQET, "20991123T114411"),
		str(optionRSET, "+5000"), str(optionOET, "0"), num(optionEC, 2), str(optionGID, "g"), str(optionVSI, "v"),
		str(optionRTURI, "http://a&http://b"), str(message.URIQuery, "rcn=1"), str(message.URIHost, "example"), num(message.URIPort, 5683)))
	req := f.last(t)
	got := fmt.Sprintf("%d %s %s %s %s %d %s %s %s %s %s %s %s %v %d %s", req.Operation, req.To, req.From, req.RequestID, req.ReleaseVersion,
		req.Type, req.OriginatingTimestamp, req.RequestExpiration, req.ResultExpiration, req.OperationExecution, req.EventCategory,
		req.GroupRequestID, req.VendorInformation, req.NotificationURIs, req.ResultContent, req.SourceIP)
	want := "1 tally/a/c CA r1 4 4 20261123T114411 20991123T114411 +5000 0 2 g v [http://a http://b] 1 127.0.0.1"
	if got != want || string(req.Content) != `{"m2m:cin":{"con":"21"}}` {
		t.Errorf("got  %s %s\nwant %s", got, req.Content, want)
	}
	if f.tokens[0] != goodToken {
		t.Errorf("token %q", f.tokens[0])
	}
	if rsp.Code() != codes.Created || status(t, rsp) != 2001 || body(t, rsp) != `{"m2m:cin":{"con":"21"}}` {
		t.Errorf("got %v %s", rsp, body(t, rsp))
	}
	if p, _ := rsp.Options().LocationPath(); p != "/tally/a/c/cin1" {
		t.Errorf("TS-0008 6.2.3: Location-Path %q", p)
	}
	if rqi, _ := rsp.Options().GetString(optionRQI); rqi != "r1" {
		t.Errorf("request identifier %q", rqi)
	}
	if f, _ := rsp.ContentFormat(); f != message.AppJSON {
		t.Errorf("Content-Format %v", f)
	}
}
