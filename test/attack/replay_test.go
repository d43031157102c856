//go:build scenario

package attack

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/onem2m"
)

// promised is how soon a revocation ends live connections, and patience what a machine gets that is busy with other tests.
const (
	promised = time.Second
	patience = 5 * time.Second
)

// TestReplay: garage doors, car keys and meters were opened by playing back what they had heard, and sessions were resumed
// long after their passwords had been changed. Here requests that a device has signed, tokens, keys, sessions of TLS and
// one-time codes are used again: elsewhere, as somebody else, altered, after a restart, and after their end.
func TestReplay(t *testing.T) {
	s := open(t, encrypted)
	t.Run("signed requests", func(t *testing.T) { replaySigned(t, s) })
	t.Run("tokens", func(t *testing.T) { replayTokens(t, s) })
	t.Run("keys", func(t *testing.T) { replayKeys(t, s) })
	t.Run("expired", func(t *testing.T) { replayExpired(t, s) })
	t.Run("codes", func(t *testing.T) { replayCodes(t, s) })
}

// newKey enrols a key that its device made.
func (s *site) newKey(t *testing.T, id string, more map[string]any) (ed25519.PrivateKey, credential) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request := map[string]any{"originator": id, "publicKey": hex.EncodeToString(public)}
	for k, v := range more {
		request[k] = v
	}
	var e struct{ Key string }
	if err := json.Unmarshal(s.api(t, http.MethodPost, "/-/credentials", request), &e); err != nil {
		t.Fatal(err)
	}
	return key, credential{id: id, key: e.Key}
}

// sign puts a signature of a key into the vendor information of a request.
func sign(t *testing.T, s *site, key ed25519.PrivateKey, counter uint64, a ask) ask {
	t.Helper()
	return signFor(t, s.Policy(t).Origin, key, counter, a)
}

// replaySigned: each signed request is executed once, as it was signed, for this network, whoever brings it how often.
func replaySigned(t *testing.T, s *site) {
	pump := s.device(t, "pump", "0")
	other := s.device(t, "other", "0")
	key, _ := s.newKey(t, "Cpump", nil)
	counter := uint64(100)
	next := func(con string) ask {
		counter++
		return sign(t, s, key, counter, ask{op: 1, to: "/tally/tally/pump/readings", fr: "Cpump", ty: 4, pc: fmt.Sprintf(`{"m2m:cin":{"con":%q}}`, con)})
	}
	recorded := next("once")
	if r := askHTTP(t, s, "", recorded); r.code != "2001" {
		t.Fatalf("a signed request: %s", r.raw)
	}
	again := func(when string, a ask) {
		t.Helper()
		for _, name := range []string{"http", "ws", "coap", "mqtt"} {
			for _, token := range []string{"", pump.token, other.token} {
				a.token = token
				if name == "mqtt" {
					a.topic = map[string]string{pump.token: "Cpump", other.token: "Cother", "": "Cpump"}[token]
				}
				if r := wires[name](t, s, source(), a); r.success() {
					t.Errorf("%s, %s, with the token of %q: %s", when, name, a.topic, r.raw)
				}
			}
		}
	}
	again("again", recorded)

	// What is altered is refused, and does not use up the counter of what it was made from.
	fresh := next("twice")
	vsi := fresh.more["vsi"].(string)
	for what, alter := range map[string]func(a *ask){
		"content":       func(a *ask) { a.pc = `{"m2m:cin":{"con":"forged"}}` },
		"target":        func(a *ask) { a.to = "/tally/tally/pump" },
		"type":          func(a *ask) { a.ty = 3; a.pc = `{"m2m:cnt":{}}` },
		"operation":     func(a *ask) { a.op = 3; a.ty = 0 },
		"originator":    func(a *ask) { a.fr = "Cother" },
		"signature":     func(a *ask) { a.more = map[string]any{"vsi": flip(vsi, len(vsi)-30)} },
		"no signature":  func(a *ask) { a.more = nil },
		"half of it":    func(a *ask) { a.more = map[string]any{"vsi": vsi[:len(vsi)/2]} },
		"of another's":  func(a *ask) { a.more = recorded.more },
		"other network": func(a *ask) { *a = signFor(t, "elsewhere.example/1", key, counter, *a) },
	} {
		forged := fresh
		alter(&forged)
		for _, name := range []string{"http", "ws", "coap"} {
			if r := wires[name](t, s, source(), forged); r.success() {
				t.Errorf("altered (%s), %s: %s", what, name, r.raw)
			}
		}
	}
	if r := askWebSocket(t, s, "", fresh); r.code != "2001" {
		t.Errorf("the request as it was signed: %s", r.raw)
	}

	s.process.Kill()
	s.process = s.Start(s.test)
	again("after a restart", recorded)
	again("after a restart", fresh)
	if r := askCoAP(t, s, "", next("after")); r.code != "2001" {
		t.Errorf("a new request after the restart: %s", r.raw)
	}
	web := s.as(pump)
	defer web.Close()
	b, err := web.Retrieve(t.Context(), "tally/pump/readings?rcn=4")
	if err != nil || strings.Count(string(b), `"con":"`) != 4 { // and the one that was there before
		t.Errorf("the container has %s %v", b, err)
	}
}

// flip changes one character of a text in base64.
func flip(s string, at int) string {
	c := "A"
	if s[at] == 'A' {
		c = "B"
	}
	return s[:at] + c + s[at+1:]
}

// signFor is sign for the network of an origin.
func signFor(t *testing.T, origin string, key ed25519.PrivateKey, counter uint64, a ask) ask {
	t.Helper()
	r := &onem2m.Request{
		Operation: onem2m.Operation(a.op), To: a.to, From: a.fr, RequestID: "attack", ReleaseVersion: "4", Type: onem2m.ResourceType(a.ty),
		Content: []byte(a.pc), ResultContent: onem2m.ResultContentDefault,
	}
	if err := r.Sign(origin, key, counter, time.Now().Add(time.Minute).Unix()); err != nil {
		t.Fatal(err)
	}
	a.more = map[string]any{"vsi": r.VendorInformation}
	return a
}

// ends requires that a live connection ends soon after since, when its credential did.
func ends(t *testing.T, what string, since time.Time, ended func() bool) {
	t.Helper()
	if !within(patience, ended) {
		t.Errorf("%s goes on", what)
		return
	}
	d := time.Since(since).Round(time.Millisecond)
	t.Logf("%s ended after %s", what, d)
	if d > promised {
		t.Logf("%s took longer than the second that is promised; is the machine busy?", what)
	}
}

// closed watches a WebSocket connection.
func closed(c *websocket.Conn) func() bool {
	done := make(chan struct{})
	go func() {
		c.Read(context.Background())
		close(done)
	}()
	return func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

// replayTokens: a token that was revoked counts nowhere any more, and what was opened with it ends.
func replayTokens(t *testing.T, s *site) {
	eve := s.device(t, "eve", "reading")
	a := ask{op: 2, to: "tally/eve/readings/la", fr: "Ceve", token: eve.token}
	kept := &http.Client{Transport: &http.Transport{}} // one connection for all its requests
	defer kept.CloseIdleConnections()
	get := func() int {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/tally/eve/readings/la", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"X-M2m-Origin": {"Ceve"}, "X-M2m-Ri": {"1"}, "X-M2m-Rvi": {"4"}, "Authorization": {"Bearer " + eve.token}}
		resp, err := kept.Do(r)
		if err != nil {
			return 0
		}
		fetched(t, resp)
		return resp.StatusCode
	}
	ws, refused := dialWebSocket(t, s, "", "/", eve.token)
	if ws == nil {
		t.Fatal(refused)
	}
	defer ws.CloseNow()
	mqtt := mustMQTT(t, s, mqttOptions{id: "eve", user: "Ceve", password: eve.token})
	if r := exchange(t, ws, a); r.code != "2000" || get() != 200 || mqtt.send(t, "tally/eve/readings", "more") != 0 {
		t.Fatalf("before the revocation: %s", r.raw)
	}
	gone := closed(ws)
	s.revoke(t, eve)
	since := time.Now()
	if status := get(); status == 200 {
		t.Error("the connection of HTTP still reads")
	}
	for name, way := range wires {
		if r := way(t, s, source(), a); !refusedAs(r.code) || strings.Contains(r.raw, "reading\"") {
			t.Errorf("a new connection, %s: %s %s", name, r.code, r.raw)
		}
	}
	ends(t, "WebSocket", since, gone)
	ends(t, "MQTT", since, func() bool {
		select {
		case <-mqtt.ended:
			return true
		default:
			return false
		}
	})
	// The name lives on with another credential, and the old one is none for it.
	again := s.enrol(t, "Ceve", "device", "")
	if r := askHTTP(t, s, "", ask{op: 2, to: a.to, fr: "Ceve", token: again.token}); r.code != "2000" {
		t.Errorf("the new token: %s", r.raw)
	}
	if r := askHTTP(t, s, source(), a); !refusedAs(r.code) {
		t.Errorf("the old token after that: %s", r.raw)
	}
}

// certificate is one that its holder makes out himself: what is in it besides the key counts for nothing.
func certificate(t *testing.T, key ed25519.PrivateKey, name string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// replayKeys: a session of TLS that is resumed proves the key of the first handshake, and proves nothing once that key is
// revoked; and no data comes before the handshake is done, where it could be repeated (RFC 8446 clause 8).
func replayKeys(t *testing.T, s *site) {
	alice := s.device(t, "alice", "alice-reading")
	bob := s.device(t, "bob", "bob-reading")
	key, enrolled := s.newKey(t, "Calice", nil)
	sessions := &recorder{ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	cfg := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{certificate(t, key, "Cbob")}, ClientSessionCache: sessions, ServerName: "localhost"}
	// one sends a request over a connection of its own.
	one := func(cfg *tls.Config, fr, token, to string) (status int, resumed bool, answer string) {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true, DialContext: dialer(source()).DialContext}}
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+s.address(t, "https")+"/"+to, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"X-M2m-Origin": {fr}, "X-M2m-Ri": {"1"}, "X-M2m-Rvi": {"4"}}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(r)
		if err != nil {
			return 0, false, err.Error()
		}
		return resp.StatusCode, resp.TLS.DidResume, fetched(t, resp)
	}
	const own, theirs = "tally/alice/readings/la", "tally/bob/readings/la"
	if status, _, answer := one(cfg, "Calice", "", own); status != 200 {
		t.Fatalf("with the key: %s", answer)
	}
	if status, resumed, answer := one(cfg, "Calice", "", own); status != 200 || !resumed {
		t.Fatalf("with a session that is resumed (%t): %s", resumed, answer)
	}
	if early := sessions.early(t); early {
		t.Error("a session ticket allows data before the handshake is done")
	}
	// The name in a certificate is nobody's, and with A's key goes no token of B's.
	if status, _, answer := one(cfg, "Cbob", "", theirs); status < 400 {
		t.Errorf("as whom the certificate names: %s", answer)
	}
	if status, _, answer := one(cfg, "Cbob", bob.token, theirs); status < 400 {
		t.Errorf("alice's key and bob's token, as bob: %s", answer)
	}
	if status, _, answer := one(cfg, "Calice", bob.token, own); status < 400 {
		t.Errorf("alice's key and bob's token, as alice: %s", answer)
	}
	if status, _, answer := one(cfg, "Calice", alice.token, own); status != 200 {
		t.Errorf("alice's key and alice's token: %s", answer)
	}
	bare := &tls.Config{InsecureSkipVerify: true}
	if status, _, answer := one(bare, "Cbob", bob.token, theirs); status != 200 {
		t.Errorf("bob's token alone: %s", answer)
	}

	broker := cfg.Clone()
	broker.ClientSessionCache = nil
	raw, err := tls.Dial("tcp", s.address(t, "mqtts"), broker)
	if err != nil {
		t.Fatal(err)
	}
	mqtt, refused := connectMQTT(t, raw, mqttOptions{id: "alice", user: "Calice"})
	if mqtt == nil || mqtt.send(t, "tally/alice/readings", "alice-over-tls") != 0 {
		t.Fatalf("MQTT with the key: %s", refused)
	}
	s.revoke(t, enrolled)
	since := time.Now()
	status, resumed, answer := one(cfg, "Calice", "", own)
	if status != 401 && status != 403 || !resumed {
		t.Errorf("a session that is resumed (%t) after the revocation: %s", resumed, answer)
	}
	fresh := cfg.Clone()
	fresh.ClientSessionCache = nil
	if status, _, answer := one(fresh, "Calice", "", own); status < 400 {
		t.Errorf("a new handshake after the revocation: %s", answer)
	}
	ends(t, "MQTT over TLS", since, func() bool {
		select {
		case <-mqtt.ended:
			return true
		default:
			return false
		}
	})
	if raw, err = tls.Dial("tcp", s.address(t, "mqtts"), broker); err == nil {
		if c, _ := connectMQTT(t, raw, mqttOptions{id: "alice", user: "Calice"}); c != nil {
			t.Error("MQTT connects with the key after the revocation")
		}
	}
	if r := askHTTP(t, s, source(), sign(t, s, key, 1, ask{op: 1, to: "/tally/tally/alice/readings", fr: "Calice", ty: 4, pc: `{"m2m:cin":{"con":"late"}}`})); r.success() {
		t.Errorf("a request signed with the revoked key: %s", r.raw)
	}
	if status, _, answer := one(bare, "Calice", alice.token, own); status != 200 {
		t.Errorf("alice's token, which was not revoked: %s", answer)
	}
}

// recorder keeps the last session that it was given.
type recorder struct {
	tls.ClientSessionCache
	last *tls.ClientSessionState
}

func (r *recorder) Put(name string, s *tls.ClientSessionState) {
	if s != nil {
		r.last = s
	}
	r.ClientSessionCache.Put(name, s)
}

func (r *recorder) early(t *testing.T) bool {
	t.Helper()
	if r.last == nil {
		t.Fatal("no session was offered")
	}
	_, state, err := r.last.ResumptionState()
	if err != nil {
		t.Fatal(err)
	}
	return state.EarlyData
}

// replayExpired: a credential that was given for a time ends by itself, with what was opened with it.
func replayExpired(t *testing.T, s *site) {
	s.device(t, "guest", "reading")
	end := time.Now().Add(2 * time.Second).UTC()
	var guest struct{ Token string }
	b := s.api(t, http.MethodPost, "/-/credentials", map[string]any{"originator": "Cguest", "notAfter": end})
	if err := json.Unmarshal(b, &guest); err != nil {
		t.Fatal(err)
	}
	a := ask{op: 2, to: "tally/guest/readings/la", fr: "Cguest", token: guest.Token}
	ws, refused := dialWebSocket(t, s, "", "/", guest.Token)
	if ws == nil {
		t.Fatal(refused)
	}
	defer ws.CloseNow()
	if r := exchange(t, ws, a); r.code != "2000" {
		t.Fatalf("while it lasts: %s", r.raw)
	}
	gone := closed(ws)
	time.Sleep(time.Until(end))
	ends(t, "WebSocket", end, gone)
	for name, way := range wires {
		if r := way(t, s, source(), a); !refusedAs(r.code) {
			t.Errorf("%s after the end: %s", name, r.raw)
		}
	}
	if b, err := s.operator.API(t.Context(), http.MethodPost, "/-/credentials", map[string]any{"originator": "Clate", "notAfter": time.Now().Add(-time.Hour).UTC(), "notBefore": time.Now().UTC()}); err == nil {
		t.Errorf("a credential that ended before it began: %s", b)
	}
}

// replayCodes: a one-time code is worth one credential, once, in time, and nothing when an operator took it back.
func replayCodes(t *testing.T, s *site) {
	invite := func(id string, seconds int) (code, key string) {
		var v struct{ Code, Key string }
		b := s.api(t, http.MethodPost, "/-/invitations", map[string]any{"originator": id, "seconds": seconds})
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		return v.Code, v.Key
	}
	redeem := func(code string) (int, string) {
		doc, err := json.Marshal(map[string]string{"code": code})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := webClient(source()).Post(s.URL()+"/-/enrol", "application/json", bytes.NewReader(doc))
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, fetched(t, resp)
	}
	code, _ := invite("Cnew", 600)
	if status, answer := redeem(code); status != 200 || !strings.Contains(answer, "tally_") {
		t.Fatalf("the code: %s", answer)
	}
	for _, c := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), code + " "} {
		if status, answer := redeem(c); status < 400 {
			t.Errorf("the code again: %s", answer)
		}
	}
	both := make(chan int, 8)
	race, _ := invite("Crace", 600)
	for range cap(both) {
		go func() { status, _ := redeem(race); both <- status }()
	}
	won := 0
	for range cap(both) {
		if <-both == 200 {
			won++
		}
	}
	if won != 1 {
		t.Errorf("a code that eight used at once gave %d credentials", won)
	}
	late, _ := invite("Clate", 2)
	taken, key := invite("Ctaken", 600)
	s.api(t, http.MethodDelete, "/-/credentials/"+key, nil)
	if status, answer := redeem(taken); status < 400 {
		t.Errorf("a code that was taken back: %s", answer)
	}
	time.Sleep(2 * time.Second)
	if status, answer := redeem(late); status < 400 {
		t.Errorf("a code whose time is over: %s", answer)
	}
}
