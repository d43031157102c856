//go:build scenario

package attack

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/eclipse/paho.golang/paho"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/onem2m"
)

// refusedAs says whether an answer refuses somebody for who he is: by a status code of oneM2M or in the protocol's own way.
func refusedAs(code string) bool {
	switch code {
	case "4103", "4107", "4000", "HTTP 400", "HTTP 401", "HTTP 403", "PUBACK 0x87", "PUBACK 0x90", "CONNACK 0x87", "CONNACK 0x86", "CONNACK 0x8a", "handshake 401", "handshake 403":
		return true
	}
	return false
}

// TestImpersonation: most oneM2M servers that are open to the internet believe the X-M2M-Origin header, and most brokers
// the client ID: whoever writes a name is that device. Here device A, enrolled and well, writes the name of B into every
// field that can have one, by every binding. It must be refused each time with 4103 or 4107, or as the protocol refuses,
// must see and change nothing of B's, and the attempt must be on the audit trail (TS-0003 clause 7.2).
func TestImpersonation(t *testing.T) {
	s := open(t)
	alice := s.device(t, "alice", "alice-reading")
	bob := s.device(t, "bob", "bob-reading")

	t.Run("audit", func(t *testing.T) { impersonationIsOnRecord(t, s, alice) })
	t.Run("originator", func(t *testing.T) { impersonateByOriginator(t, s, alice, bob) })
	t.Run("headers", func(t *testing.T) { impersonateByHeaders(t, s, alice, bob) })
	t.Run("mqtt", func(t *testing.T) { impersonateOverMQTT(t, s, alice, bob) })
	t.Run("signature", func(t *testing.T) { impersonateBySignature(t, s, alice, bob) })
	t.Run("ingest", func(t *testing.T) { impersonateByIngest(t, s, alice, bob) })
	t.Run("creator", func(t *testing.T) { impersonateAsCreator(t, s, alice) })
	t.Run("group", func(t *testing.T) { impersonateByGroup(t, s, alice, bob) })
	t.Run("notification", func(t *testing.T) { impersonateByNotification(t, s, alice, bob) })
	t.Run("subscription", func(t *testing.T) { impersonateBySubscription(t, s, alice) })
	t.Run("request", func(t *testing.T) { impersonateByRequest(t, s, alice, bob) })
	t.Run("role", func(t *testing.T) { impersonateByRole(t, s, alice, bob) })
	t.Run("cse", func(t *testing.T) { impersonateAsCSE(t, s, bob) })

	b, err := s.as(bob).Retrieve(t.Context(), "tally/bob/readings?rcn=4")
	if err != nil {
		t.Fatal(err)
	}
	var after struct {
		Container struct {
			Instances []struct {
				Content string `json:"con"`
			} `json:"m2m:cin"`
		} `json:"m2m:cnt"`
	}
	if err := json.Unmarshal(b, &after); err != nil {
		t.Fatal(err)
	}
	for _, i := range after.Container.Instances {
		if !strings.HasPrefix(i.Content, "bob-") {
			t.Errorf("bob's readings have %q", i.Content)
		}
	}
}

// impersonationIsOnRecord: one attempt by each binding is on the audit trail at once. It comes first: an entry for each
// would fill the ledger, so refusals are told together when there are many (docs/audit.md).
func impersonationIsOnRecord(t *testing.T, s *site, alice credential) {
	for _, name := range []string{"http", "ws", "mqtt", "coap"} {
		from := source()
		begin := time.Now()
		if r := wires[name](t, s, from, ask{op: 2, to: "tally/bob/readings/la", fr: "Cbob", token: alice.token, topic: "Calice"}); !refusedAs(r.code) {
			t.Fatalf("%s: %s %s", name, r.code, r.raw)
		}
		var rows []refusal
		// A second is what is promised; a machine that is busy with other tests gets more.
		told := within(5*time.Second, func() bool { rows = s.refusals(t, from); return len(rows) > 0 })
		t.Logf("%s: on the audit trail after %s", name, time.Since(begin).Round(time.Millisecond))
		if !told {
			t.Errorf("%s: no entry about it", name)
			continue
		}
		if r := rows[0]; !strings.HasSuffix(r.Claimed, "Cbob") || r.Originator != "Calice" || r.Key != alice.key || r.Reason != "originator" || r.Binding != name {
			t.Errorf("%s: the entry says %+v", name, r)
		}
	}
}

// impersonateByOriginator writes B's ID in all forms of TS-0001 table 7.2-1 and in some that are none.
func impersonateByOriginator(t *testing.T, s *site, alice, bob credential) {
	names := []string{
		"Cbob", "/tally/Cbob", "//tallystick.local/tally/Cbob", "%43bob", "/tally/%43bob", "CBOB", "cbob", " Cbob", "Cbob ", "/tally//Cbob",
		"/tally/Calice/../Cbob", "Cbob/Calice", "Calice/Cbob", "Calice,Cbob", "tally/bob", "bob", "Coperator", "/tally", "/tally/Coperator",
		"node:node1", "*", "/*", "C*", "//tallystick.local/tally", "\u0421bob", // a Cyrillic letter
	}
	for _, name := range []string{"http", "ws", "mqtt", "coap"} {
		way := wires[name]
		for _, fr := range []string{"Cbob", "/tally/Cbob", "//tallystick.local/tally/Cbob"} { // B itself may
			if name == "mqtt" && fr[:2] == "//" {
				continue // the broker has topics of AEs, which an absolute ID is not compared with
			}
			if r := way(t, s, "", ask{op: 2, to: "tally/bob/readings/la", fr: fr, token: bob.token, topic: "Cbob"}); r.code != "2000" || !strings.Contains(r.raw, "bob-reading") {
				t.Errorf("%s: bob as %s gets %s %s", name, fr, r.code, r.raw)
			}
		}
		for _, fr := range names {
			from := source()
			for _, topic := range []string{"", "Calice"} {
				r := way(t, s, from, ask{op: 2, to: "tally/bob/readings/la", fr: fr, token: alice.token, topic: topic})
				if !refusedAs(r.code) || strings.Contains(r.raw, "bob-reading") {
					t.Errorf("%s: alice reads as %q: %s %s", name, fr, r.code, r.raw)
				}
				if name != "mqtt" {
					break
				}
			}
			r := way(t, s, from, ask{op: 1, to: "tally/bob/readings", fr: fr, token: alice.token, ty: 4, pc: `{"m2m:cin":{"con":"forged"}}`})
			if !refusedAs(r.code) {
				t.Errorf("%s: alice writes as %q: %s %s", name, fr, r.code, r.raw)
			}
		}
		// Under its own name A has no right, and a name is no credential.
		for _, a := range []ask{{fr: "Calice", token: alice.token}, {fr: "Cbob"}, {fr: "Cbob", token: "Cbob"}, {fr: "Cbob", token: bob.key}} {
			a.op, a.to = 2, "tally/bob/readings/la"
			if r := way(t, s, source(), a); !refusedAs(r.code) || strings.Contains(r.raw, "bob-reading") {
				t.Errorf("%s: as %s with the token %.5q: %s %s", name, a.fr, a.token, r.code, r.raw)
			}
		}
	}
}

// impersonateByHeaders smuggles a second name past whoever reads only the first, or only the last.
func impersonateByHeaders(t *testing.T, s *site, alice, bob credential) {
	const request = "GET /tally/bob/readings/la HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-M2M-RI: 1\r\nX-M2M-RVI: 4\r\n"
	if got := raw(t, source(), s.Addr, request+"X-M2M-Origin: Cbob\r\nAuthorization: Bearer "+bob.token+"\r\n\r\n"); !strings.Contains(got, "bob-reading") {
		t.Fatalf("bob gets %s", got)
	}
	own := "Authorization: Bearer " + alice.token + "\r\n"
	for _, h := range []string{
		"X-M2M-Origin: Calice\r\nX-M2M-Origin: Cbob\r\n" + own,
		"X-M2M-Origin: Cbob\r\nX-M2M-Origin: Calice\r\n" + own,
		"X-M2M-Origin: Calice, Cbob\r\n" + own,
		"X-M2M-Origin: Calice\r\n Cbob\r\n" + own,
		"X-M2M-Origin : Cbob\r\nX-M2M-Origin: Calice\r\n" + own,
		"x-m2m-origin: Cbob\r\n" + own,
		"X_M2M_Origin: Cbob\r\nX-M2M-Origin: Calice\r\n" + own,
		"X-M2M-Origin: Cbob\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-User: Cbob\r\n" + own,
		"X-M2M-Origin: Cbob\r\nAuthorization: Bearer\r\n" + own,
		"X-M2M-Origin: Cbob\r\nAuthorization: Basic Q2JvYjo=\r\n",
		"X-M2M-Origin: Cbob\r\nCookie: token=" + alice.token + "\r\n",
	} {
		if got := raw(t, source(), s.Addr, request+h+"\r\n"); strings.Contains(got, "bob-reading") || !strings.HasPrefix(got, "HTTP/1.1 4") {
			t.Errorf("%q: %s", h, got)
		}
	}
}

func impersonateOverMQTT(t *testing.T, s *site, alice, bob credential) {
	theirs := mustMQTT(t, s, mqttOptions{id: "bobs-client", user: "Cbob", password: bob.token})
	if code := theirs.subscribe(t, "tally/bob/#"); code > 2 {
		t.Fatalf("bob subscribes: 0x%02x", code)
	}
	for _, user := range []string{"Cbob", "/tally/Cbob", "Coperator", "/tally", "cbob", "%43bob"} {
		if c, refused := dialMQTT(t, s, mqttOptions{id: "x", user: user, password: alice.token, from: source()}); c != nil || !strings.HasPrefix(refused, "CONNACK 0x8") {
			t.Errorf("user %s with alice's token: %s", user, refused)
		}
	}
	will := &paho.WillMessage{Topic: "tally/bob/readings", Payload: []byte("forged will"), QoS: 1}
	c := mustMQTT(t, s, mqttOptions{id: "bobs-client", user: "Calice", password: alice.token, will: will, from: source()})
	if theirs.send(t, "tally/bob/readings", "bob-again") != 0 {
		t.Error("a client with bob's client ID took bob's session over")
	}
	for _, topic := range []string{
		"tally/bob/readings", "tally/Cbob/readings", "tally/bob/new", "tally/Cbob", "/oneM2M/req/Cbob/tally/json", "/oneM2M/resp/Cbob/tally/json",
		"/oneM2M/req/tally/Cbob/json", "/oneM2M/resp/tally/Cbob/json", "/oneM2M/reg_resp/bobs-client/tally/json", "/oneM2M/req/tally:Cbob/tally/json",
		"tally//bob/readings", "tally/alice/../bob/readings", "tally/%62ob/readings", "TALLY/bob/readings",
	} {
		if code := c.send(t, topic, "forged"); code < 0x80 && code != -1 {
			t.Errorf("alice publishes to %s: 0x%02x", topic, code)
		}
	}
	for _, filter := range []string{"tally/bob/readings", "/oneM2M/resp/Cbob/#", "/oneM2M/resp/Cbob/tally/json", "/oneM2M/req/tally/Cbob/json", "/oneM2M/reg_resp/bobs-client/#"} {
		// What is not refused at once must bring nothing; TestBrokerBypasses looks at that.
		if code := c.subscribe(t, filter); code < 0x80 && filter != "/oneM2M/reg_resp/bobs-client/#" {
			t.Errorf("alice subscribes to %s: 0x%02x", filter, code)
		}
	}
	if code := c.send(t, "tally/alice/readings", "alice-own"); code != 0 {
		t.Errorf("alice publishes her own: 0x%02x", code)
	}
	c.conn.Close() // without DISCONNECT, so that the will is published
	if code := theirs.send(t, "tally/bob/readings", "bob-last"); code != 0 {
		t.Errorf("bob publishes: 0x%02x", code)
	}
	for _, p := range theirs.until(t, "bob-last") {
		if !strings.HasPrefix(string(p.Payload), "bob-") {
			t.Errorf("bob gets %q on %s", p.Payload, p.Topic)
		}
	}
}

// impersonateBySignature signs with A's key, rightly, what says that it is from B; and sends A's own as B.
func impersonateBySignature(t *testing.T, s *site, alice, bob credential) {
	key, _ := s.newKey(t, "Calice", nil)
	for i, name := range []string{"http", "ws", "coap"} {
		for j, fr := range []string{"Cbob", "/tally/Cbob", "//tallystick.local/tally/Cbob", "Coperator", "/tally"} {
			a := sign(t, s, key, uint64(100+10*i+j), ask{op: 1, to: "/tally/tally/bob/readings", fr: fr, ty: 4, pc: `{"m2m:cin":{"con":"forged"}}`})
			for _, token := range []string{"", alice.token, bob.token} {
				a.token = token
				if r := wires[name](t, s, source(), a); !refusedAs(r.code) {
					t.Errorf("%s: signed by alice, from %s, with the token %.9q: %s %s", name, fr, token, r.code, r.raw)
				}
			}
		}
		a := sign(t, s, key, uint64(109+10*i), ask{op: 1, to: "/tally/tally/alice/readings", fr: "Calice", ty: 4, pc: `{"m2m:cin":{"con":"alice-signed"}}`})
		a.token = bob.token // B carries what A signed
		if r := wires[name](t, s, source(), a); !refusedAs(r.code) {
			t.Errorf("%s: bob carries what alice signed: %s %s", name, r.code, r.raw)
		}
		a.token = ""
		if r := wires[name](t, s, "", a); r.code != "2001" {
			t.Errorf("%s: what alice signed: %s %s", name, r.code, r.raw)
		}
	}
}

// impersonateByIngest sends as a plain device to the containers of another.
func impersonateByIngest(t *testing.T, s *site, alice, bob credential) {
	post := func(c credential, path string, headers map[string]string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+path, strings.NewReader(c.id[1:]+"-plain"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+c.token)
		r.Header.Set("Content-Type", "text/plain")
		for k, v := range headers {
			r.Header.Set(k, v)
		}
		resp, err := webClient(source()).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, fetched(t, resp)
	}
	if status, got := post(bob, "/ingest/bob/readings", nil); status != 201 {
		t.Fatal(got)
	}
	for _, path := range []string{"/ingest/bob/readings", "/ingest/Cbob/readings", "/ingest/%43bob/readings", "/ingest/alice/../bob/readings", "/ingest/bob/new", "/ingest/tally/bob/readings"} {
		if status, got := post(alice, path, nil); status < 400 {
			t.Errorf("alice to %s: %s", path, got)
		}
	}
	if status, got := post(alice, "/ingest/alice/readings", map[string]string{"X-M2M-Origin": "Cbob"}); status < 400 {
		t.Errorf("alice as bob to her own: %s", got)
	}
	coap := func(c credential) reply {
		return sendCoAP(t, s, source(), codes.POST, "ingest/bob/readings", c.token, func(m coapMessage) { m.SetBody(strings.NewReader(c.id[1:] + "-plain")) })
	}
	if r := coap(bob); r.code != "2.01" {
		t.Fatal(r)
	}
	if r := coap(alice); r.code != "4.03" && r.code != "4.04" {
		t.Errorf("alice over CoAP: %v", r)
	}
	c, refused := dialWebSocket(t, s, source(), "/ingest/bob/readings", alice.token)
	if c == nil {
		if refused.code != "handshake 403" {
			t.Error(refused)
		}
		return
	}
	defer c.CloseNow()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(`{"forged":1}`)); err != nil {
		t.Fatal(err)
	}
	if _, b, err := c.Read(t.Context()); err != nil || !strings.Contains(string(b), `"rsc":4103`) {
		t.Errorf("alice over WebSocket: %s %v", b, err)
	}
}

// impersonateAsCreator: whoever is the creator of a resource has rights by that (TS-0001 table 9.6.1.3.2-1), so nobody may
// name another, neither in creator nor in hostedCSE or AE-ID of a registration.
func impersonateAsCreator(t *testing.T, s *site, alice credential) {
	for i, pc := range []string{`{"m2m:cnt":{"rn":"cr%d","cr":"Cbob"}}`, `{"m2m:cnt":{"rn":"cr%d","cr":"/tally/Cbob"}}`} {
		a := ask{op: 1, to: "tally/alice", fr: "Calice", token: alice.token, ty: 3, pc: fmt.Sprintf(pc, i)}
		if r := askHTTP(t, s, "", a); r.success() {
			t.Errorf("%s: %s", a.pc, r.raw)
		}
	}
	a := ask{op: 1, to: "tally/alice", fr: "Calice", token: alice.token, ty: 3, pc: `{"m2m:cnt":{"rn":"own","cr":null}}`}
	if r := askHTTP(t, s, "", a); r.code != "2001" || !strings.Contains(r.raw, `"cr":"Calice"`) || strings.Contains(r.raw, "Cbob") {
		t.Errorf("a creator of one's own: %s", r.raw)
	}
	for _, pc := range []string{`{"m2m:cnt":{"cr":"Cbob"}}`, `{"m2m:cnt":{"pi":"Cbob"}}`, `{"m2m:cnt":{"ri":"Cbob"}}`} {
		if r := askHTTP(t, s, "", ask{op: 3, to: "tally/alice/own", fr: "Calice", token: alice.token, pc: pc}); r.success() {
			t.Errorf("UPDATE %s: %s", pc, r.raw)
		}
	}
	eve := s.enrol(t, "Ceve", "device", "")
	for _, a := range []ask{
		{fr: "Ceve", pc: `{"m2m:ae":{"rn":"eve","api":"Nx","rr":false,"srv":["4"],"aei":"Cbob"}}`},
		{fr: "Cbob", pc: `{"m2m:ae":{"rn":"eve","api":"Nx","rr":false,"srv":["4"]}}`},
		{fr: "C", pc: `{"m2m:ae":{"rn":"eve","api":"Nx","rr":false,"srv":["4"]}}`},
		{fr: "Ceve", pc: `{"m2m:ae":{"rn":"Cbob","api":"Nx","rr":false,"srv":["4"]}}`},
	} {
		a.op, a.to, a.ty, a.token = 1, "tally", 2, eve.token
		if r := askHTTP(t, s, "", a); r.success() && a.fr != "Ceve" || strings.Contains(r.raw, `"aei":"Cbob"`) {
			t.Errorf("%s registers %s: %s", a.fr, a.pc, r.raw)
		}
	}
}

// impersonateByGroup: a group fans a request out as its sender, not as its members or their owners. Who makes one needs
// rights to its members, and needs them again when he uses it.
func impersonateByGroup(t *testing.T, s *site, alice, bob credential) {
	a := ask{op: 1, to: "tally/alice", fr: "Calice", token: alice.token, ty: 9,
		pc: `{"m2m:grp":{"rn":"crowd","mt":0,"mnm":10,"mid":["tally/alice/readings","tally/bob/readings"]}}`}
	if r := askHTTP(t, s, source(), a); r.success() {
		t.Errorf("a group with a member that alice has no right to: %s", r.raw)
	}
	policy := s.grant(t, bob, "bob", "for-group", 3, "Calice")
	if r := askHTTP(t, s, "", a); r.code != "2001" {
		t.Fatalf("a group: %s", r.raw)
	}
	read := ask{op: 2, to: "tally/alice/crowd/fopt/la", fr: "Calice", token: alice.token}
	write := ask{op: 1, to: "tally/alice/crowd/fopt", fr: "Calice", token: alice.token, ty: 4, pc: `{"m2m:cin":{"con":"bob-and-alice"}}`}
	if r := askHTTP(t, s, "", read); strings.Count(r.raw, `"rsc":2000`) != 2 {
		t.Errorf("a fan-out with the right to all: %s", r.raw)
	}
	if r := askHTTP(t, s, "", write); strings.Count(r.raw, `"rsc":2001`) != 2 {
		t.Errorf("a fan-out with the right to all: %s", r.raw)
	}
	s.withdraw(t, bob, policy)
	if r := askHTTP(t, s, "", read); strings.Count(r.raw, `"rsc":2000`) != 1 || strings.Contains(r.raw, "bob-reading") {
		t.Errorf("a fan-out reads %s", r.raw)
	}
	if r := askHTTP(t, s, "", write); strings.Count(r.raw, `"rsc":2001`) != 1 || !strings.Contains(r.raw, `"rsc":4103`) {
		t.Errorf("a fan-out writes %s", r.raw)
	}
}

// impersonateByNotification sends what only the CSE sends: a notification about a subscription.
func impersonateByNotification(t *testing.T, s *site, alice, bob credential) {
	var mu sync.Mutex
	var got []string
	inbox := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		got = append(got, r.Header.Get("X-M2M-Origin")+" "+string(b))
		mu.Unlock()
		w.Header().Set("X-M2M-RSC", "2000")
		w.Header().Set("X-M2M-RI", r.Header.Get("X-M2M-RI"))
	}))
	defer inbox.Close()
	web := s.as(bob)
	defer web.Close()
	if _, err := web.Update(t.Context(), "tally/bob", map[string]any{"m2m:ae": map[string]any{"poa": []string{inbox.URL}}}); err != nil {
		t.Fatal(err)
	}
	const forged = `{"m2m:sgn":{"nev":{"rep":{"m2m:cin":{"con":"forged"}},"net":3},"sur":"tally/bob/readings/sub"}}`
	for _, name := range []string{"http", "ws", "mqtt", "coap"} {
		for _, fr := range []string{"/tally", "Cbob", "//tallystick.local/tally", "Calice", "/tally/Cbob"} {
			if r := wires[name](t, s, source(), ask{op: 5, to: "tally/bob", fr: fr, token: alice.token, pc: forged}); !refusedAs(r.code) {
				t.Errorf("%s: a notification as %s: %s", name, fr, r.code)
			}
		}
	}
	_, err := web.Create(t.Context(), "tally/bob/readings", onem2m.TypeSubscription, map[string]any{"m2m:sub": map[string]any{
		"rn": "sub", "nu": []string{"Cbob"}, "nct": 1, "enc": map[string]any{"net": []int{3}}}})
	if err == nil {
		_, err = web.Create(t.Context(), "tally/bob/readings", onem2m.TypeContentInstance, map[string]any{"m2m:cin": map[string]any{"con": "bob-notified"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	if !within(10*time.Second, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(strings.Join(got, "\n"), "bob-notified")
	}) {
		t.Error("bob's own notification did not come")
	}
	mu.Lock()
	defer mu.Unlock()
	if all := strings.Join(got, "\n"); strings.Contains(all, "forged") {
		t.Errorf("bob was told %s", all)
	}
}

// impersonateBySubscription has notifications sent to somebody who did not ask for them (TS-0004 clause 7.4.8.2.1): the
// target is asked, is told who asks, and its refusal counts.
func impersonateBySubscription(t *testing.T, s *site, alice credential) {
	var mu sync.Mutex
	var got []string
	answer := "4103"
	inbox := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(b))
		w.Header().Set("X-M2M-RSC", answer)
		w.Header().Set("X-M2M-RI", r.Header.Get("X-M2M-RI"))
		if answer != "2000" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer inbox.Close()
	bobs := s.device(t, "target", "target-reading")
	web := s.as(bobs)
	defer web.Close()
	if _, err := web.Update(t.Context(), "tally/target", map[string]any{"m2m:ae": map[string]any{"poa": []string{inbox.URL}}}); err != nil {
		t.Fatal(err)
	}
	subscribe := func(name, nu string) reply {
		return askHTTP(t, s, "", ask{op: 1, to: "tally/alice/readings", fr: "Calice", token: alice.token, ty: 23,
			pc: fmt.Sprintf(`{"m2m:sub":{"rn":%q,"nu":[%q],"nct":1}}`, name, nu)})
	}
	for i, nu := range []string{"Ctarget", "/tally/Ctarget", inbox.URL} {
		if r := subscribe(fmt.Sprint("spam", i), nu); r.success() {
			t.Errorf("a subscription for %s that it refuses: %s", nu, r.raw)
		}
	}
	mu.Lock()
	if all := strings.Join(got, "\n"); !strings.Contains(all, "Calice") {
		t.Errorf("the target is not told who asks: %s", all)
	}
	answer = "2000"
	mu.Unlock()
	if r := subscribe("wanted", "Ctarget"); r.code != "2001" {
		t.Errorf("a subscription that its target agrees to: %s", r.raw)
	}
}

// impersonateByRequest: the result of a non-blocking request is its originator's.
func impersonateByRequest(t *testing.T, s *site, alice, bob credential) {
	a := ask{op: 2, to: "tally/bob/readings/la", fr: "Cbob", token: bob.token, more: map[string]any{"rt": map[string]any{"rtv": 1}}}
	r := askWebSocket(t, s, "", a)
	var accepted struct {
		PC struct {
			URI string `json:"m2m:uri"`
		} `json:"pc"`
	}
	if err := json.Unmarshal([]byte(r.raw), &accepted); err != nil || r.code != "1001" || accepted.PC.URI == "" {
		t.Fatalf("a non-blocking request: %s %v", r.raw, err)
	}
	if !within(10*time.Second, func() bool {
		r := askWebSocket(t, s, "", ask{op: 2, to: accepted.PC.URI, fr: "Cbob", token: bob.token})
		return strings.Contains(r.raw, "bob-")
	}) {
		t.Error("bob does not get the result")
	}
	for _, fr := range []string{"Calice", "Cbob"} {
		if r := askWebSocket(t, s, source(), ask{op: 2, to: accepted.PC.URI, fr: fr, token: alice.token}); r.success() || strings.Contains(r.raw, "bob-") {
			t.Errorf("alice reads bob's <request> as %s: %s", fr, r.raw)
		}
	}
	a.token = alice.token
	if r := askWebSocket(t, s, source(), a); !refusedAs(r.code) {
		t.Errorf("a non-blocking request in bob's name: %s", r.raw)
	}
	a.fr = "Calice"
	if r := askWebSocket(t, s, source(), a); r.code == "1001" { // then its result refuses
		if err := json.Unmarshal([]byte(r.raw), &accepted); err != nil {
			t.Fatal(err)
		}
		var got reply
		within(10*time.Second, func() bool {
			got = askWebSocket(t, s, "", ask{op: 2, to: accepted.PC.URI, fr: "Calice", token: alice.token})
			return strings.Contains(got.raw, "4103")
		})
		if strings.Contains(got.raw, "bob-") || !strings.Contains(got.raw, "4103") {
			t.Errorf("alice's non-blocking request for bob's reading: %s", got.raw)
		}
	}
}

// impersonateByRole presents a role and a token that were given to somebody else (TS-0003 clauses 7.3 and 7.4).
func impersonateByRole(t *testing.T, s *site, alice, bob credential) {
	carol := s.device(t, "carol", "carol-reading")
	const day = 24 * time.Hour
	from, to := time.Now().Add(-day).UTC().Format("20060102T150405"), time.Now().Add(day).UTC().Format("20060102T150405")
	_, err := s.operator.Create(t.Context(), "tally", onem2m.TypeRole, map[string]any{"m2m:rol": map[string]any{
		"rlid": "reader@tallystick.local", "tkis": "Coperator", "tkhd": "Cbob", "tknb": from, "tkna": to}})
	if err != nil {
		t.Fatal(err)
	}
	policy := s.grant(t, carol, "carol", "for-readers", 2, "reader@tallystick.local")
	roles := map[string]any{"rids": []string{"reader@tallystick.local"}}
	a := ask{op: 2, to: "tally/carol/readings/la", fr: "Cbob", token: bob.token, more: roles}
	if r := askWebSocket(t, s, "", a); r.code != "2000" {
		t.Errorf("bob in his role gets %s", r.raw)
	}
	for _, name := range []string{"ws", "mqtt"} {
		for _, fr := range []string{"Calice", "Cbob", "reader@tallystick.local"} {
			a.fr, a.token = fr, alice.token
			if r := wires[name](t, s, source(), a); !refusedAs(r.code) || strings.Contains(r.raw, "carol-") {
				t.Errorf("%s: alice as %s in bob's role: %s", name, fr, r.raw)
			}
		}
	}
	s.withdraw(t, carol, policy)

	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"tkvr":"1","jti":"pass@carol.example","iss":"Ccarol","azp":"Cbob","nbf":%d,"exp":%d,"tkps":{"pm":[{"ris":["tally/carol/readings"],"pv":{"acr":[{"acor":["all"],"acop":2}]}}]}}`,
		time.Now().Add(-day).Unix(), time.Now().Add(day).Unix())
	object := encode([]byte(`{"typ":"JWT","alg":"none"}`)) + "." + encode([]byte(claims)) + "."
	s.openFor(t, onem2m.TypeToken, "Ccarol")
	web := s.as(carol)
	defer web.Close()
	if _, err := web.Create(t.Context(), "tally", onem2m.TypeToken, map[string]any{"m2m:tk": map[string]any{"tkid": "pass@carol.example", "tkob": object}}); err != nil {
		t.Fatal(err)
	}
	for _, more := range []map[string]any{{"tids": []string{"pass@carol.example"}}, {"tkns": []string{object}}} {
		a = ask{op: 2, to: "tally/carol/readings", fr: "Cbob", token: bob.token, more: more}
		if r := askWebSocket(t, s, "", a); r.code != "2000" {
			t.Errorf("bob with his token gets %s", r.raw)
		}
		for _, fr := range []string{"Calice", "Cbob"} {
			a.fr, a.token = fr, alice.token
			if r := askWebSocket(t, s, source(), a); !refusedAs(r.code) || strings.Contains(r.raw, `"cni"`) {
				t.Errorf("alice as %s with bob's token: %s", fr, r.raw)
			}
		}
	}
}

// impersonateAsCSE: another CSE's credential is for that CSE and what is behind it, not for what is registered here.
func impersonateAsCSE(t *testing.T, s *site, bob credential) {
	other := s.enrol(t, "/other", "device", "")
	r := askHTTP(t, s, "", ask{op: 1, to: "tally", fr: "/other", token: other.token, ty: 16, pc: `{"m2m:csr":{"rn":"other","cb":"/other/cse","csi":"/other","rr":false,"srv":["4"]}}`})
	if r.code != "2001" {
		t.Fatalf("the CSE registers: %s", r.raw)
	}
	policy := s.grant(t, bob, "bob", "for-other", 2, "/other/Cx")
	defer s.withdraw(t, bob, policy)
	if r := askHTTP(t, s, "", ask{op: 2, to: "tally/bob/readings/la", fr: "/other/Cx", token: other.token}); r.code != "2000" {
		t.Errorf("somebody behind the CSE who may read gets %s", r.raw)
	}
	for _, fr := range []string{"Cbob", "/tally/Cbob", "//tallystick.local/tally/Cbob", "Coperator", "/tally", "/third/Cx", "/third", "/other/../tally/Cbob", "/other/Cy"} {
		if r := askHTTP(t, s, source(), ask{op: 2, to: "tally/bob/readings/la", fr: fr, token: other.token}); !refusedAs(r.code) || strings.Contains(r.raw, "bob-") {
			t.Errorf("the CSE /other as %s: %s", fr, r.raw)
		}
	}
}
