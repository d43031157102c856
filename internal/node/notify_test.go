package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/onem2m"
)

// message is a notification as it came over HTTP.
type message struct {
	contentType, category, content string
}

// inbox takes notifications; those that ask for agreement are answered with status.
type inbox struct {
	*httptest.Server
	status atomic.Int32
	got    chan message
}

func newInbox(t testing.TB) *inbox {
	in := &inbox{got: make(chan message, 100)}
	in.status.Store(2000)
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		if req.Header.Get("Content-Type") == "application/cbor" {
			b, _ = onem2m.CBORToJSON(b)
		}
		w.Header().Set("X-M2M-RSC", fmt.Sprint(in.status.Load()))
		in.got <- message{req.Header.Get("Content-Type"), req.Header.Get("X-M2M-EC"), string(b)}
	}))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) next(t testing.TB) message {
	t.Helper()
	select {
	case m := <-in.got:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("no notification came")
	}
	return message{}
}

// TestNotifications is what subscribers get of batches, statistics, serializations and updates that they have to agree
// to, over HTTP from a whole node (TS-0001 clauses 9.6.8 and 10.2.10, TS-0004 clause 7.5.1.2).
func TestNotifications(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	defer func() { stopNode(t, n) }()
	ctx := t.Context()
	dev, cred := enrol(t, n, "Cdev")
	in := newInbox(t)
	create := func(to string, ty onem2m.ResourceType, content string) string {
		t.Helper()
		b, err := dev.Create(ctx, to, ty, json.RawMessage(content))
		must(t, err)
		return string(b)
	}
	update := func(to, content string) string {
		t.Helper()
		b, err := dev.Update(ctx, to, json.RawMessage(content))
		must(t, err)
		return string(b)
	}
	retrieve := func(to string) string {
		t.Helper()
		b, err := dev.Retrieve(ctx, to)
		must(t, err)
		return string(b)
	}
	create("tally", onem2m.TypeAE, `{"m2m:ae":{"rn":"dev","api":"Nx","rr":true,"srv":["4"],"poa":["`+in.URL+`"]}}`)
	create("tally/dev", onem2m.TypeContainer, `{"m2m:cnt":{"rn":"c"}}`)

	made := create("tally/dev/c", onem2m.TypeSubscription, fmt.Sprintf(`{"m2m:sub":{"rn":"s","nu":[%q],"nse":true,"bn":{"num":3}}}`, in.URL+"?ct=cbor"))
	var sub struct {
		Sub struct {
			RI string         `json:"ri"`
			BN map[string]any `json:"bn"`
		} `json:"m2m:sub"`
	}
	must(t, json.Unmarshal([]byte(made), &sub))
	if m := in.next(t); m.contentType != "application/cbor" || !strings.Contains(m.content, `"sur":"/tally/`+sub.Sub.RI+`"`) || sub.Sub.BN["dur"] != "PT60S" {
		t.Errorf("asked %+v for %s", m, made)
	}
	if strings.Contains(retrieve("tally/dev/c/s"), "nsi") {
		t.Error("statistics before there are any")
	}
	for i := range 3 {
		update("tally/dev/c", fmt.Sprintf(`{"m2m:cnt":{"lbl":["l%d"]}}`, i))
	}
	if m := in.next(t); strings.Count(m.content, `"nev"`) != 3 || !strings.HasPrefix(m.content, `{"m2m:agn":{"m2m:sgn":[`) || strings.Index(m.content, "l0") > strings.Index(m.content, "l2") {
		t.Errorf("the batch is %+v", m)
	}
	statistics := func(want string) {
		t.Helper()
		want = strings.ReplaceAll(want, "URL", in.URL+"?ct=cbor")
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(retrieve("tally/dev/c/s"), want); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s, want %s", retrieve("tally/dev/c/s"), want)
			}
		}
	}
	statistics(`"nsi":[{"tg":"URL","rqs":3,"rsr":3,"noec":3}]`)
	if got := update("tally/dev/c/s", `{"m2m:sub":{"nse":false}}`); !strings.Contains(got, `"noec":3`) {
		t.Errorf("not counted any more: %s", got)
	}
	if got := update("tally/dev/c/s", `{"m2m:sub":{"nse":true}}`); strings.Contains(got, "nsi") {
		t.Errorf("counted anew: %s", got)
	}

	// What is gathered survives a restart, and the end of the subscription sends it.
	update("tally/dev/c", `{"m2m:cnt":{"lbl":["last"]}}`)
	stopNode(t, n)
	n = startNode(t, dir)
	dev = client.New("http://"+n.Addr(), "Cdev", cred.Token, 4)
	defer dev.Close()
	statistics(`"nsi":[{"tg":"URL","rqs":0,"rsr":0,"noec":1}]`)
	must(t, dev.Delete(ctx, "tally/dev/c/s"))
	if m := in.next(t); strings.Count(m.content, `"nev"`) != 1 || !strings.Contains(m.content, `"last"`) || !strings.Contains(m.content, "m2m:agn") {
		t.Errorf("the rest of the batch is %+v", m)
	}

	// An AE's own points of access and serialization; nobody asks the originator.
	create("tally/dev/c", onem2m.TypeSubscription, `{"m2m:sub":{"rn":"s","nu":["Cdev"],"ln":true}}`)
	update("tally/dev/c", `{"m2m:cnt":{"lbl":["own"]}}`)
	if m := in.next(t); m.contentType != "application/json" || m.category != "4" || !strings.Contains(m.content, "own") {
		t.Errorf("the own notification is %+v", m)
	}
	update("tally/dev", `{"m2m:ae":{"csz":["application/cbor"]}}`)
	update("tally/dev/c", `{"m2m:cnt":{"lbl":["own"]}}`)
	if m := in.next(t); m.contentType != "application/cbor" {
		t.Errorf("the own notification is %+v", m)
	}
	must(t, dev.Delete(ctx, "tally/dev/c/s"))

	create("tally/dev/c", onem2m.TypeSubscription, `{"m2m:sub":{"rn":"s","nu":["Cdev"],"enc":{"net":[7],"atr":["lbl"]}}}`)
	in.status.Store(4005)
	if _, err := dev.Update(ctx, "tally/dev/c", json.RawMessage(`{"m2m:cnt":{"lbl":["no"]}}`)); !client.IsStatus(err, onem2m.StatusOperationDeniedByRemoteEntity) {
		t.Errorf("an update that is not agreed to: %v", err)
	}
	in.status.Store(2000)
	update("tally/dev/c", `{"m2m:cnt":{"lbl":["yes"]}}`)
	for _, want := range []string{"no", "yes"} {
		if m := in.next(t); !strings.Contains(m.content, `"nev":{"net":7,"rep":{"m2m:cnt":{"lbl":["`+want+`"]}}}`) {
			t.Errorf("asked %+v", m)
		}
	}
	in.Close()
	if _, err := dev.Update(ctx, "tally/dev/c", json.RawMessage(`{"m2m:cnt":{"lbl":["no"]}}`)); !client.IsStatus(err, onem2m.StatusRemoteEntityNotReachable) {
		t.Errorf("an update that nobody can agree to: %v", err)
	}
}

// TestLabDeletion: conformance suites look for the notification of a deletion as soon as the DELETE is answered.
func TestLabDeletion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	must(t, Init(InitOptions{Dir: dir, HTTP: "127.0.0.1:0", Lab: true}))
	n, err := StartLab(context.Background(), dir, watchedLog)
	must(t, err)
	defer stopNode(t, n)
	dev := client.New("http://"+n.Addr(), "Cdev", "", 4)
	defer dev.Close()
	in := newInbox(t)
	_, err = dev.Create(t.Context(), "tally", onem2m.TypeAE, json.RawMessage(`{"m2m:ae":{"rn":"dev","api":"Nx","rr":true,"srv":["4"]}}`))
	must(t, err)
	for range 20 {
		_, err = dev.Create(t.Context(), "tally/dev", onem2m.TypeSubscription, json.RawMessage(fmt.Sprintf(`{"m2m:sub":{"rn":"s","nu":[%q],"su":%q}}`, in.URL, in.URL)))
		must(t, err)
		if m := in.next(t); !strings.Contains(m.content, `"vrq":true`) {
			t.Errorf("asked %+v", m)
		}
		must(t, dev.Delete(t.Context(), "tally/dev/s"))
		select {
		case m := <-in.got:
			if !strings.Contains(m.content, `"sud":true`) {
				t.Errorf("told %+v", m)
			}
		default:
			t.Fatal("nothing was told when the DELETE was answered")
		}
	}
}
