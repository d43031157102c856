package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/guard"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
)

// startGuarded starts a node with quotas of its own.
func startGuarded(t *testing.T, q guard.Quotas) *Node {
	t.Helper()
	dir := initNode(t)
	configure(t, dir, func(c *Config) { c.Quotas = q })
	return startNode(t, dir)
}

func fetch(t *testing.T, url, token string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	r.Header.Set("X-M2M-RI", "1")
	r.Header.Set("X-M2M-RVI", "4")
	r.Header.Set("X-M2M-Origin", "Cdev")
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	resp.Body.Close()
	return resp
}

// TestBotIsQuarantined: an enrolled device that scans and floods is put into quarantine by the node's own policy, with its
// evidence on the ledger, and a good one beside it goes on.
func TestBotIsQuarantined(t *testing.T) {
	n := startGuarded(t, guard.Quotas{Messages: 200, MessageBurst: 100})
	defer stopNode(t, n)
	bot, _ := enrol(t, n, "Cbot")
	good, _ := enrol(t, n, "Cgood")
	for _, c := range []*client.Client{bot, good} {
		_, err := c.Create(t.Context(), "tally", onem2m.TypeAE, map[string]any{"m2m:ae": map[string]any{"api": "Nx", "rr": true, "srv": []string{"4"}}})
		must(t, err)
	}
	begin := time.Now()
	done := make(chan struct{})
	for i := range 32 {
		go func() {
			for j := 0; ; j++ {
				select {
				case <-done:
					return
				default:
					bot.Retrieve(t.Context(), fmt.Sprintf("tally/secret-%d-%d", i, j))
					bot.Retrieve(t.Context(), "cb")
				}
			}
		}()
	}
	for n.app.Quarantined("Cbot") == nil && time.Since(begin) < 20*time.Second {
		_, err := good.Retrieve(t.Context(), "Cgood")
		must(t, err)
		time.Sleep(20 * time.Millisecond)
	}
	close(done)
	q := n.app.Quarantined("Cbot")
	if q == nil {
		t.Fatalf("no quarantine; events %v", n.guard.Events(20))
	}
	t.Logf("after %s: %s; %s", time.Since(begin), q.Error(), q.Evidence)
	if q.Node != n.cfg.Name || !strings.Contains(q.Evidence, "refusals") || !strings.Contains(q.Evidence, "127.0.0.1") {
		t.Errorf("%+v", q)
	}
	_, err := good.Retrieve(t.Context(), "Cgood")
	must(t, err)
	op := client.New("http://"+n.Addr(), OperatorID, token(t, n.Dir()), 4)
	defer op.Close()
	b, err := op.API(t.Context(), http.MethodGet, Prefix+"/events", nil)
	must(t, err)
	var events []guard.Event
	must(t, json.Unmarshal(b, &events))
	acted := false
	for _, e := range events {
		acted = acted || e.Originator == "Cbot" && e.Action == guard.ToQuarantine
	}
	if !acted {
		t.Errorf("the events say %+v", events)
	}
	var denied *client.StatusError
	if _, err := good.API(t.Context(), http.MethodGet, Prefix+"/events", nil); !errors.As(err, &denied) || denied.HTTP != http.StatusForbidden {
		t.Errorf("a device reads the events: %v", err)
	}
	// The evidence is in the log, and can be proven like anything else.
	bundle, err := n.app.Bundle(t.Context(), q.Index)
	must(t, err)
	var request ledger.QuarantineRequest
	must(t, json.Unmarshal(bundle.Payload, &request))
	if request.Evidence != q.Evidence || request.Node != n.cfg.Name {
		t.Errorf("the log says %+v", request)
	}
}

// TestLockoutOverHTTP: after a handful of bad tokens the address is told to stay away, with the time; who has a valid token
// goes on from the same address (RFC 6585 clause 4).
func TestLockoutOverHTTP(t *testing.T) {
	n := startNode(t, initNode(t))
	defer stopNode(t, n)
	_, e := enrol(t, n, "Cdev")
	url := "http://" + n.Addr() + "/cb"
	statuses := ""
	var last *http.Response
	for i := range 8 {
		last = fetch(t, url, fmt.Sprint("admin", i))
		statuses += fmt.Sprint(last.StatusCode, " ")
	}
	if !strings.HasPrefix(statuses, "401 401 401 401 ") || last.StatusCode != http.StatusTooManyRequests || last.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", statuses, last.Header.Get("Retry-After"))
	}
	if r := fetch(t, "http://"+n.Addr()+Prefix+"/status", "admin"); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the node's own pages answer %d", r.StatusCode)
	}
	if r := fetch(t, url, e.Token); r.StatusCode != http.StatusForbidden { // known, and without a right to it
		t.Errorf("a valid token gets %d", r.StatusCode)
	}
	if n.guard.Counts()[guard.Lockout] == 0 {
		t.Error("no event")
	}
}

// TestQuotaOverHTTP: what is beyond a quota is answered 429 with 4141 and Retry-After, and the next second is another one.
func TestQuotaOverHTTP(t *testing.T) {
	n := startGuarded(t, guard.Quotas{Messages: 0.5, MessageBurst: 3})
	defer stopNode(t, n)
	_, e := enrol(t, n, "Cdev")
	url := "http://" + n.Addr() + "/cb"
	var last *http.Response
	for range 6 {
		last = fetch(t, url, e.Token)
	}
	if last.StatusCode != http.StatusTooManyRequests || last.Header.Get("X-M2M-RSC") != "4141" || last.Header.Get("Retry-After") != "1" {
		t.Errorf("%v", last.Header)
	}
}

// TestPlainIsNoScan: a gateway of plain devices that reports to containers which are made on the way looks for nothing that is
// not its own; who posts to one name after the other does.
func TestPlainIsNoScan(t *testing.T) {
	n := startGuarded(t, guard.Quotas{})
	defer stopNode(t, n)
	post := func(token, path string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.Addr()+"/ingest/"+path, strings.NewReader("1"))
		must(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		must(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	_, gateway := enrol(t, n, "Cgateway")
	var all sync.WaitGroup
	for i := range 30 {
		if i == 1 {
			all.Wait() // the AE is there
		}
		all.Go(func() {
			if s := post(gateway.Token, fmt.Sprintf("Cgateway/sensor%d/data", i)); s != http.StatusCreated {
				t.Errorf("a new container: %d", s)
			}
		})
	}
	all.Wait()
	if c := n.guard.Counts(); c[guard.Refusals] > 0 {
		t.Errorf("a gateway counts as a scanner: %v", n.guard.Events(9))
	}
	_, bot := enrol(t, n, "Cbot")
	for i := range 30 {
		if s := post(bot.Token, fmt.Sprintf("secret%d/data", i)); s != http.StatusNotFound {
			t.Errorf("what is not there: %d", s)
		}
	}
	if c := n.guard.Counts(); c[guard.Refusals] == 0 {
		t.Errorf("a scan is not noticed: %v", c)
	}
}
