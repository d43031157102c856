package mqttbinding

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// world is a ledger in memory: readings in a log, and who may do what.
type world struct {
	mu      sync.Mutex
	tokens  map[string]string // originator by token
	lab     bool
	log     []binding.Reading
	grown   chan struct{}
	deny    map[string]bool                                          // "originator container"
	hold    chan struct{}                                            // commits wait until it is closed; nil: they do not
	refuse  func(*binding.Message) *onem2m.Response                  // nil: everything is taken
	seen    map[string][]onem2m.Delivery                             // deliveries by session
	answer  func(*onem2m.Request, binding.Evidence) *onem2m.Response // of Do
	changed bool
	ends    []ending
}

// ending is what is to end with a credential.
type ending struct {
	token string
	end   func()
}

func (w *world) Watch(ev binding.Evidence, end func()) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, ending{ev.Token, end})
	return func() {}
}

func newWorld() *world {
	return &world{
		tokens: map[string]string{"t-dev": "Cdev", "t-app": "Capp", "t-other": "Cother"},
		grown:  make(chan struct{}), deny: make(map[string]bool), seen: make(map[string][]onem2m.Delivery),
	}
}

func (w *world) Known(ev binding.Evidence) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lab && ev.Token == "" || w.tokens[ev.Token] != ""
}

func (w *world) Claim(ev binding.Evidence, claimed string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lab && ev.Token == "" {
		return claimed, true
	}
	o := w.tokens[ev.Token]
	return o, o != "" && (claimed == "" || claimed == o || claimed == "/cse/"+o)
}

func (w *world) Do(_ context.Context, req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.tokens[ev.Token]
	if w.lab && ev.Token == "" {
		o = req.From
	}
	resp := &onem2m.Response{Status: onem2m.StatusOK, RequestID: req.RequestID, ReleaseVersion: req.ReleaseVersion}
	if req.RequestID == "mqtt" {
		if o == "" || w.deny[o+" "+strings.TrimPrefix(req.To, "-/")] {
			resp.Status = onem2m.StatusOriginatorHasNoPrivilege
		}
		return resp
	}
	if req.RequestID == "mqtt-clear" {
		w.commit(strings.TrimPrefix(req.To, "-/"), o, nil, "")
	}
	if w.answer != nil {
		return w.answer(req, ev)
	}
	return resp
}

func (w *world) Ingest(ctx context.Context, m *binding.Message, ev binding.Evidence) *onem2m.Response {
	done := make(chan *onem2m.Response, 1)
	w.Start(ctx, m, ev, func(r *onem2m.Response) { done <- r })
	return <-done
}

func (w *world) Start(_ context.Context, m *binding.Message, ev binding.Evidence, done func(*onem2m.Response)) {
	w.mu.Lock()
	if w.refuse != nil {
		if r := w.refuse(m); r != nil {
			w.mu.Unlock()
			done(r)
			return
		}
	}
	if w.tokens[ev.Token] == "" && !w.lab {
		w.mu.Unlock()
		done(&onem2m.Response{Status: onem2m.StatusSecurityAssociationRequired})
		return
	}
	if d := m.Delivery; d != nil {
		key := fmt.Sprint(m.From, d.Session)
		before := w.seen[key]
		last := before[max(0, len(before)-int(d.Window)):]
		for i := len(last) - 1; d.Again && i >= 0; i-- {
			if last[i].ID == d.ID {
				if last[i].Message == d.Message {
					w.mu.Unlock()
					done(&onem2m.Response{Status: onem2m.StatusCreated})
					return
				}
				break
			}
		}
		w.seen[key] = append(before, *d)
	}
	r := w.commit(m.Path, m.From, m.Body, m.MediaType)
	hold := w.hold
	w.mu.Unlock()
	resp := &onem2m.Response{Status: onem2m.StatusCreated, Location: "cse/" + m.Path + "/" + onem2m.InstanceRI(r.Index)}
	if hold == nil {
		go done(resp)
		return
	}
	go func() {
		<-hold
		done(resp)
	}()
}

// remembered gives the last messages of a session.
func (w *world) remembered(originator string, session [8]byte, n int) ([]onem2m.Delivery, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.seen[fmt.Sprint(originator, session)]
	return slices.Clone(all[max(0, len(all)-n):]), nil
}

// commit appends a reading. w.mu is held.
func (w *world) commit(path, from string, body []byte, mediaType string) binding.Reading {
	r := binding.Reading{
		Index: uint64(len(w.log)), Path: path, Container: path, Originator: from, Payload: bytes.Clone(body), MediaType: mediaType,
		Time: time.Now().UnixMicro(),
	}
	w.log = append(w.log, r)
	close(w.grown)
	w.grown = make(chan struct{})
	return r
}

// put commits a reading that came by another protocol.
func (w *world) put(path, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commit(path, "Cdev", []byte(body), "text/plain")
}

func (w *world) Head() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return uint64(len(w.log))
}

func (w *world) Grown() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.grown
}

func (w *world) Read(from uint64, limit int, want func(string) bool) (rs []binding.Reading, next uint64, changed bool, err error) {
	w.mu.Lock()
	next = min(from+uint64(limit), uint64(len(w.log)))
	some := w.log[from:next]
	changed, w.changed = w.changed, false
	w.mu.Unlock()
	for _, r := range some {
		if want(r.Path) {
			rs = append(rs, r)
		}
	}
	return rs, next, changed, nil
}

func (w *world) Reading(index uint64) (binding.Reading, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if index >= uint64(len(w.log)) {
		return binding.Reading{}, false, nil
	}
	return w.log[index], true, nil
}

// stored returns the payloads committed to a container.
func (w *world) stored(path string) (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.log {
		if r.Path == path {
			all = append(all, string(r.Payload))
		}
	}
	return all
}

func (w *world) revoke(token string) {
	w.mu.Lock()
	delete(w.tokens, token)
	ends := w.ends
	w.mu.Unlock()
	for _, e := range ends {
		if e.token == token {
			e.end()
		}
	}
}

func (w *world) denyReading(originator, container string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deny[originator+" "+container] = true
}

type bed struct {
	*testing.T
	*world
	broker *Broker
	most   int // connections; 0: the default
	addr   string
	dir    string
}

func newBed(t *testing.T) *bed {
	b := &bed{T: t, world: newWorld(), dir: t.TempDir()}
	b.start()
	t.Cleanup(func() { b.broker.Close() })
	return b
}

func (b *bed) start() {
	b.Helper()
	var err error
	b.broker, err = New(Options{
		Handler: b.world, Plain: b.world, Live: b.world, Remembered: b.world.remembered, CSEID: "/cse", CSEName: "tally", Dir: b.dir, Log: slog.New(slog.DiscardHandler),
		ConnectTimeout: time.Second, MaxConnections: b.most,
	})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.addr = l.Addr().String()
	go b.broker.Serve(l)
}

func (b *bed) restart() {
	b.Helper()
	if err := b.broker.Close(); err != nil {
		b.Fatal(err)
	}
	b.start()
}
