//go:build scenario

// Package attack plays what was done to things on the internet against a real node, on loopback, without payloads: each
// test says which attack it is, what must hold, and shows besides that the same request passes for who has the right to it.
package attack

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/test/scenario"
)

func TestMain(m *testing.M) {
	code := m.Run()
	scenario.Cleanup()
	os.Exit(code)
}

// site is a running node with its operator.
type site struct {
	*scenario.Network
	test     *testing.T // ends the node when it ends
	process  *scenario.Process
	operator *client.Client
}

// open makes a network of one node and starts it; prepare may change its configuration before.
func open(t *testing.T, prepare ...func(t *testing.T, n *scenario.Network)) *site {
	t.Helper()
	s := &site{Network: scenario.Init(t, t.TempDir()), test: t}
	for _, p := range prepare {
		p(t, s.Network)
	}
	s.process = s.Start(t)
	s.operator = s.Operator(t)
	t.Cleanup(s.operator.Close)
	t.Cleanup(func() { // whatever was shown, rightly or not, is in no log
		if line := secret.FindString(s.process.Output()); line != "" {
			t.Errorf("the node logs a token: %s", line)
		}
	})
	return s
}

// secret is a line with a token.
var secret = regexp.MustCompile(`.*tally_[A-Za-z0-9_-]{43}.*`)

// api asks for a page of the node as the operator, and ends the test unless it is answered.
func (s *site) api(t *testing.T, method, path string, body any) []byte {
	t.Helper()
	b, err := s.operator.API(t.Context(), method, path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return b
}

// credential is what an enrolled originator has.
type credential struct {
	id    string // AE-ID
	token string
	key   string // ID of the credential on the ledger
}

// enrol gives an originator a token; organisation is "" for the network's own.
func (s *site) enrol(t *testing.T, id, role, organisation string) credential {
	t.Helper()
	b := s.api(t, http.MethodPost, "/-/credentials", map[string]string{"originator": id, "role": role, "organisation": organisation})
	var e struct{ Token, Key string }
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	return credential{id, e.Token, e.Key}
}

// revoke ends a credential.
func (s *site) revoke(t *testing.T, c credential) {
	t.Helper()
	s.api(t, http.MethodDelete, "/-/credentials/"+c.key, nil)
}

// as is a client with a credential.
func (s *site) as(c credential) *client.Client { return client.New(s.URL(), c.id, c.token, 4) }

// device enrols a device and makes its AE, a container "readings" and a reading in it.
func (s *site) device(t *testing.T, name, reading string) credential {
	t.Helper()
	c := s.enrol(t, "C"+name, "device", "")
	s.register(t, c, name, reading)
	return c
}

func (s *site) register(t *testing.T, c credential, name, reading string) {
	t.Helper()
	web := s.as(c)
	defer web.Close()
	for _, r := range []struct {
		to      string
		ty      onem2m.ResourceType
		content map[string]any
	}{
		{"tally", onem2m.TypeAE, map[string]any{"m2m:ae": map[string]any{"rn": name, "api": "Nattack", "apn": name + "-app", "lbl": []string{name + "-label"}, "rr": true, "srv": []string{"4"}}}},
		{"tally/" + name, onem2m.TypeContainer, map[string]any{"m2m:cnt": map[string]any{"rn": "readings", "lbl": []string{name + "-label"}}}},
		{"tally/" + name + "/readings", onem2m.TypeContentInstance, map[string]any{"m2m:cin": map[string]any{"con": reading}}},
	} {
		if _, err := web.Create(t.Context(), r.to, r.ty, r.content); err != nil {
			t.Fatalf("set up %s: %v", name, err)
		}
	}
}

// grant lets others do something to a device's readings: acop is the sum of its operations (TS-0004 clause 6.3.4.2.29).
// It returns the address of the policy.
func (s *site) grant(t *testing.T, c credential, name, policy string, acop int, others ...string) string {
	t.Helper()
	web := s.as(c)
	defer web.Close()
	rules := []map[string]any{{"acor": []string{c.id}, "acop": 63}}
	if len(others) > 0 {
		rules = append(rules, map[string]any{"acor": others, "acop": acop})
	}
	_, err := web.Create(t.Context(), "tally/"+name, onem2m.TypeACP, map[string]any{"m2m:acp": map[string]any{
		"rn": policy, "pv": map[string]any{"acr": rules}, "pvs": map[string]any{"acr": rules[:1]}}})
	if err == nil {
		_, err = web.Update(t.Context(), "tally/"+name+"/readings", map[string]any{"m2m:cnt": map[string]any{"acpi": []string{"tally/" + name + "/" + policy}}})
	}
	if err != nil {
		t.Fatalf("grant: %v", err)
	}
	return "tally/" + name + "/" + policy
}

// withdraw takes away what grant gave.
func (s *site) withdraw(t *testing.T, c credential, policy string) {
	t.Helper()
	web := s.as(c)
	defer web.Close()
	_, err := web.Update(t.Context(), policy, map[string]any{"m2m:acp": map[string]any{
		"pv": map[string]any{"acr": []map[string]any{{"acor": []string{c.id}, "acop": 63}}}}})
	if err != nil {
		t.Fatalf("withdraw: %v", err)
	}
}

// openFor lets originators create resources of a type below the CSEBase.
func (s *site) openFor(t *testing.T, ty onem2m.ResourceType, originators ...string) {
	t.Helper()
	_, err := s.operator.Update(t.Context(), "tally/acpAdmin", map[string]any{"m2m:acp": map[string]any{"pv": map[string]any{"acr": []map[string]any{
		{"acor": []string{"Coperator"}, "acop": 63}, {"acor": originators, "acop": 1, "acod": []map[string]any{{"chty": []int{int(ty)}}}}}}}})
	if err != nil {
		t.Fatalf("open the CSEBase: %v", err)
	}
}

// refusals are the rows of the audit trail about refusals that came from one address.
func (s *site) refusals(t *testing.T, source string) (rows []refusal) {
	t.Helper()
	for line := range strings.Lines(string(s.api(t, http.MethodGet, "/-/audit?kind=denied&limit=1000", nil))) {
		var e struct {
			Payload struct{ Denied []refusal }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for _, d := range e.Payload.Denied {
			if d.Source == source {
				rows = append(rows, d)
			}
		}
	}
	return rows
}

// refusal is one row of an entry about refusals (docs/audit.md).
type refusal struct{ Source, Claimed, Key, Originator, Reason, Doing, Binding, On string }

// within waits until something holds, for so long at most, and says whether it did.
func within(limit time.Duration, holds func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if holds() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

var sources atomic.Int32

// source returns a loopback address that nobody has attacked from yet, so that one attempt's lockout is not the next one's.
func source() string {
	n := sources.Add(1)
	return fmt.Sprintf("127.66.%d.%d", n/200, 1+n%200)
}

// dialer connects from an address of this machine.
func dialer(from string) *net.Dialer {
	d := &net.Dialer{Timeout: 10 * time.Second}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	return d
}

// raw sends bytes over TCP and returns all that comes back until the peer closes or keeps silent for a second.
func raw(t *testing.T, from, addr, request string) string {
	t.Helper()
	c, err := dialer(from).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return "connect: " + err.Error()
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		return "send: " + err.Error()
	}
	c.SetReadDeadline(time.Now().Add(time.Second))
	b, _ := io.ReadAll(bufio.NewReader(io.LimitReader(c, 1<<20)))
	return string(b)
}
