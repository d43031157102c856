//go:build scenario

package attack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/test/scenario"
)

// canary is in every name and every content of the camera, and in nothing that a crawler sends that walks blindly.
const canary = "kanarie"

// crawler is one who has no business here.
type crawler struct {
	name  string
	id    string // the originator that it says it is
	token string
}

// TestInsecam: in 2014 a page listed 73,000 cameras that answered whoever asked, found by crawling addresses; pages like it
// are made of what search engines for devices know of banners, titles and versions. Here crawlers walk all that a node
// answers to, without a credential, with a wrong one, and as strangers with valid ones, one of another organisation. They
// must get no reading, no name, no number of resources and no version. What anybody may see are the pages for monitors of
// the log, which say how long it is and nothing of what is in it.
func TestInsecam(t *testing.T) {
	s := open(t, encrypted)
	camera := s.enrol(t, "C"+canary, "device", "acme")
	s.register(t, camera, canary, canary+"-picture")
	stranger := s.enrol(t, "Cstranger", "device", "")
	s.register(t, stranger, "stranger", "own")
	foreign := s.enrol(t, "Cforeign", "device", "zeta")
	rival := s.enrol(t, "Crival", "operator", "zeta")
	crawlers := []crawler{
		{"nobody", "", ""},
		{"nobody with a name", "Coperator", ""},
		{"with a wrong token", "Cstranger", "tally_" + strings.Repeat("A", 43)},
		{"a stranger", stranger.id, stranger.token},
		{"of another organisation", foreign.id, foreign.token},
		{"an operator of another organisation", rival.id, rival.token},
	}
	// The camera's owner gets what they look for, by each way.
	for name, way := range wires {
		if r := way(t, s, "", ask{op: 2, to: "tally/" + canary + "/readings/la", fr: camera.id, token: camera.token}); r.code != "2000" || !strings.Contains(r.raw, canary+"-picture") {
			t.Fatalf("%s: the owner gets %s %s", name, r.code, r.raw)
		}
	}
	t.Run("http", func(t *testing.T) { crawlHTTP(t, s, crawlers) })
	t.Run("by name", func(t *testing.T) { crawlByName(t, s, crawlers) })
	t.Run("http2", func(t *testing.T) { crawlHTTP2(t, s, crawlers) })
	t.Run("mqtt", func(t *testing.T) { crawlMQTT(t, s, crawlers, camera) })
	t.Run("coap", func(t *testing.T) { crawlCoAP(t, s, crawlers, camera) })
	t.Run("websocket", func(t *testing.T) { crawlWebSocket(t, s, crawlers) })
	t.Run("certificates", func(t *testing.T) { readCertificates(t, s) })
	t.Run("transparency", func(t *testing.T) { readTransparency(t, s) })
	t.Run("admin", func(t *testing.T) { enrolAdmin(t, s) })
}

// encrypted has a node listen with TLS and DTLS too.
func encrypted(t *testing.T, n *scenario.Network) {
	for _, field := range []string{"https", "mqtts", "coaps"} {
		n.Configure(t, field, scenario.FreePort(t))
	}
}

// address is one that the configuration names.
func (s *site) address(t *testing.T, field string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	a, _ := c[field].(string)
	if a == "" {
		t.Fatalf("the configuration has no %s", field)
	}
	return a
}

// banner finds what tells versions: of the program, of its language, of its libraries.
var banner = regexp.MustCompile(`(?i)\bserver:|x-powered-by|\bgo1\.\d|tallystick/\d|\bv?\d+\.\d+\.\d+-(?:rc|dev|beta)|cometbft|pebble|mochi|golang|goroutine|\.go:\d`)

// tells says what an answer gives away, "" when nothing.
func tells(answer string) string {
	if strings.Contains(strings.ToLower(answer), canary) {
		return "what is the camera's"
	}
	if m := banner.FindString(answer); m != "" {
		return "a version, by " + m
	}
	if strings.Contains(answer, runtime.Version()) {
		return "the version of Go"
	}
	return ""
}

// routes are the node's own pages, as its source registers them, so that a new one is crawled without a word here.
func routes(t *testing.T) (paths []string) {
	t.Helper()
	files, err := filepath.Glob("../../internal/node/*.go")
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(`HandleFunc\("[A-Z]+ "\+Prefix\+"([^"]+)"`)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pattern.FindAllStringSubmatch(string(b), -1) {
			paths = append(paths, "/-"+strings.NewReplacer("{path...}", "entries/000.p/1", "{key}", "0000000000000000", "{id}", "1").Replace(m[1]))
		}
	}
	if len(paths) < 15 {
		t.Fatalf("found the routes %q only: the pattern no longer fits the source", paths)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// public are the pages that are for everybody (docs/http.md).
var public = map[string]bool{"/-/checkpoint": true, "/-/policy": true, "/-/ca.pem": true, "/-/tile/0/000.p/1": true}

func blindPaths(t *testing.T) []string {
	paths := append(routes(t),
		"/-/tile/0/000.p/1", "/-/tile/1/000", "/-/proof?index=1", "/-/proof?resource=tally", "/-/rights?originator=Coperator&operation=retrieve&resource=tally",
		"/-/audit?limit=1000", "/-/", "/-", "/-/..", "/-//status", "/%2d/status", "/-/debug", "/-/metrics", "/-/config",
		"/", "/favicon.ico", "/robots.txt", "/index.html", "/sitemap.xml", "/.git/config", "/.env", "/.well-known/core", "/.well-known/security.txt",
		"/metrics", "/debug/pprof/", "/debug/vars", "/status", "/health", "/version", "/admin", "/login", "/setup.cgi", "/cgi-bin/snapshot.cgi",
		"/snapshot.jpg", "/video.mjpg", "/onvif/device_service", "/__ut__", "/*",
		"/tally", "/tally/", "/tally?fu=1", "/tally?fu=1&ty=2", "/tally?fu=1&lim=1", "/tally?fu=1&lbl=*", "/tally?rcn=4", "/tally?rcn=5", "/tally?rcn=6", "/tally?rcn=8", "/tally?rcn=11&fu=1",
		"/-?fu=1", "/~/tally/-", "/~/tally", "/~/tally/-?fu=1", "/~/tally?rcn=4", "/_/tallystick.local/tally/-", "/_/tallystick.local/tally?fu=1", "/_/other.example/tally/-", "/~/other",
		"/cb", "/cb?fu=1", "/tally/la", "/tally/ol", "/tally/fopt", "/tally/pcu", "/tally/acpAdmin", "/tally/stranger/../*", "/tally/*", "/tally/*/*",
		"/Coperator", "/Cstranger/..", "/ingest", "/ingest/", "/ingest/x", "/ingest/x/y", "/ingest/*", "/ingest/tally", "/mqtt", "/ws", "/oneM2M", "/oneM2M/req/+/+",
	)
	for i := range 40 { // resource IDs have a type and a place in the log (docs/rights.md)
		for _, ty := range []string{"ae", "cnt", "cin", "acp", "sub"} {
			paths = append(paths, fmt.Sprintf("/%s%c", ty, "0123456789abcdefghijklmnopqrstuvwxyz012345678"[i]))
		}
	}
	return paths
}

// crawl sends one request and returns the status and everything that came back.
func (c crawler) crawl(t *testing.T, client *http.Client, method, url, body string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-M2M-RI", "1")
	r.Header.Set("X-M2M-RVI", "4")
	if c.id != "" {
		r.Header.Set("X-M2M-Origin", c.id)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json;ty=3")
	}
	resp, err := client.Do(r)
	if err != nil {
		if strings.Contains(err.Error(), "EOF") || strings.Contains(err.Error(), "reset") { // hung up on
			return 0, ""
		}
		t.Fatalf("%s %s: %v", method, url, err)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	resp.Header.Del("Date")
	var head bytes.Buffer
	resp.Header.Write(&head)
	return resp.StatusCode, head.String() + "\r\n" + string(b)
}

// mayKnow says whether a successful answer is one that a stranger with a valid credential may get: an empty list, or how
// the node is, which a checkpoint says too.
func (c crawler) mayKnow(path, answer string) bool {
	_, body, _ := strings.Cut(answer, "\r\n\r\n")
	if c.token == "" || strings.HasPrefix(c.token, "tally_AAAA") {
		return false
	}
	if c.id == "Cstranger" && (strings.Contains(body, `"con":"own"`) || strings.Contains(body, `"stranger-label"`)) {
		return true // its own
	}
	if path == "/-/status" || path == "/%2d/status" {
		var s map[string]any
		if json.Unmarshal([]byte(body), &s) != nil {
			return false
		}
		for field := range s {
			if !slices.Contains([]string{"name", "origin", "height", "blockTime", "committedEntries", "publishedEntries", "logRoot"}, field) {
				return false
			}
		}
		return true
	}
	if page, _, _ := strings.Cut(path, "?"); c.id == "Crival" && slices.Contains([]string{"/-/devices", "/-/audit", "/-/quarantine", "/-/proposals", "/-/events"}, page) {
		return !strings.Contains(body, "stranger") && !strings.Contains(body, "acme") // of its own organisation only
	}
	if !strings.Contains(path, "fu=1") {
		return false
	}
	var list struct {
		URIs []string `json:"m2m:uril"`
	}
	if json.Unmarshal([]byte(body), &list) != nil {
		return false
	}
	for _, uri := range list.URIs { // its own only
		if !strings.Contains(uri, "/stranger") {
			return false
		}
	}
	return c.id == "Cstranger" || len(list.URIs) == 0
}

// crawlHTTP walks blindly, with every method.
func crawlHTTP(t *testing.T, s *site, crawlers []crawler) {
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY"}
	n := 0
	for _, path := range blindPaths(t) {
		for _, c := range crawlers {
			if len(path) == 5 && path[0] == '/' && c.token == "" && n%3 == 0 {
				continue
			}
			from := source()
			client := &http.Client{Transport: &http.Transport{DialContext: dialer(from).DialContext}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			for _, method := range methods {
				if strings.HasPrefix(path, "/c") && len(path) < 6 && method != "GET" {
					continue // an ID more or less shows nothing new of the other methods
				}
				n++
				body := ""
				if method == "POST" || method == "PUT" {
					body = `{"m2m:cnt":{}}`
				}
				if strings.HasPrefix(path, "/tally/stranger") || strings.HasPrefix(path, "/Cstranger") {
					body = ""
				}
				status, answer := c.crawl(t, client, method, s.URL()+path, body)
				if why := tells(answer); why != "" {
					t.Errorf("%s: %s %s tells %s: %s", c.name, method, path, why, answer)
				}
				if status == http.StatusTemporaryRedirect && path == "/-//status" {
					continue // to the address without the second slash, which is asked for besides
				}
				if status >= 200 && status < 400 && !(public[path] && (method == "GET" || method == "HEAD")) && !c.mayKnow(path, answer) && method != "HEAD" {
					t.Errorf("%s: %s %s is answered %d: %s", c.name, method, path, status, answer)
				}
			}
			client.CloseIdleConnections()
		}
	}
	t.Logf("%d requests", n)
	for _, bad := range []string{"GET / HTTP/1.0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\nHost: x\r\n\r\n", "\x16\x03\x01\x00\x05hello", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://other.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 20000) + "\r\n\r\n"} {
		answer := raw(t, source(), s.Addr, bad)
		if why := tells(answer); why != "" {
			t.Errorf("%.60q tells %s: %s", bad, why, answer)
		}
	}
}

// crawlByName asks for the camera by its right name, as somebody who has heard of it. What comes back must be what comes
// back for a name that nobody has: to nobody at all, and to strangers below what is registered, whose names are no secret
// because no two can be the same.
func crawlByName(t *testing.T, s *site, crawlers []crawler) {
	const absent = "kanarix"
	paths := []string{
		"/tally/%s/readings", "/tally/%s/readings/la", "/tally/%s/readings/ol", "/tally/%s/readings/fopt", "/tally/%s/readings/x", "/tally/%s?rcn=4", "/tally/%s/readings?rcn=4", "/tally/%s?fu=1",
		"/C%s/readings/la", "/~/tally/tally/%s/readings", "/~/tally/C%s/readings/la", "/_/tallystick.local/tally/tally/%s/readings", "/tally/%s", "/C%s", "/C%s/pcu", "/ingest/%s/readings",
		"/-/proof?resource=tally/%s/readings", "/tally?fu=1&lbl=%s-label", "/tally?fu=1&rn=%s", "/tally?fu=1&apn=%s-app",
	}
	for _, c := range crawlers {
		for _, path := range paths {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
				real, twin := fmt.Sprintf(path, canary), fmt.Sprintf(path, absent)
				anonymous := c.token == "" || strings.HasPrefix(c.token, "tally_AAAA")
				if !anonymous && strings.Contains(path, "%s/readings") { // compare with what nobody has below the camera
					twin = strings.Replace(real, "/readings", "/notthere", 1)
				}
				body := ""
				if method == "POST" || method == "PUT" {
					body = `{"m2m:cnt":{}}`
				}
				client := webClient(source())
				status, got := c.crawl(t, client, method, s.URL()+real, body)
				_, want := c.crawl(t, client, method, s.URL()+twin, body)
				own := strings.NewReplacer(real[1:], "<address>", twin[1:], "<address>", canary, "<name>", absent, "<name>", "readings", "<child>", "notthere", "<child>")
				length := regexp.MustCompile(`Content-Length: \d+`) // of the name
				got, want = length.ReplaceAllString(own.Replace(got), ""), length.ReplaceAllString(own.Replace(want), "")
				if strings.Contains(got, "picture") || strings.Contains(got, "-label") && !strings.Contains(path, "-label") || status >= 200 && status < 300 && !c.mayKnow("fu=1", got) {
					t.Errorf("%s: %s %s is answered %d: %s", c.name, method, real, status, got)
				}
				registered := path == "/tally/%s" || strings.HasPrefix(path, "/C%s") && !strings.Contains(path, "readings") || strings.HasPrefix(path, "/tally/%s?")
				if got != want && (anonymous || !registered) {
					t.Errorf("%s: %s tells %s from %s:\n%s\n%s", c.name, method, real, twin, got, want)
				}
			}
		}
	}
}

// crawlHTTP2 walks over TLS, where HTTP/2 is spoken.
func crawlHTTP2(t *testing.T, s *site, crawlers []crawler) {
	base := "https://" + s.address(t, "https")
	for _, c := range crawlers {
		client := &http.Client{Transport: &http.Transport{
			DialContext: dialer(source()).DialContext, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // a crawler trusts anybody
		}}
		for _, path := range []string{"/", "/tally", "/tally?fu=1", "/favicon.ico", "/-/status", "/-/audit", "/-/credentials", "/~/tally/-", "/ingest/x/y", "/-/checkpoint"} {
			for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "TRACE"} {
				status, answer := c.crawl(t, client, method, base+path, "")
				if why := tells(answer); why != "" {
					t.Errorf("%s: %s %s tells %s: %s", c.name, method, path, why, answer)
				}
				if status >= 200 && status < 400 && !public[path] && !c.mayKnow(path, answer) && method != "HEAD" {
					t.Errorf("%s: %s %s is answered %d: %s", c.name, method, path, status, answer)
				}
			}
		}
		client.CloseIdleConnections()
	}
}

// crawlMQTT connects with nothing, and subscribes to everything as a stranger while the camera sends.
func crawlMQTT(t *testing.T, s *site, crawlers []crawler, camera credential) {
	for _, o := range []mqttOptions{{id: "x"}, {id: "x", user: "Cstranger"}, {id: camera.id}, {user: camera.id, id: camera.id}, {id: "x", user: "admin", password: "admin"}, {id: "x", user: "anonymous", password: "anonymous"}} {
		o.from = source()
		if c, refused := dialMQTT(t, s, o); c != nil || !strings.HasPrefix(refused, "CONNACK 0x8") {
			t.Errorf("CONNECT %+v: %s", o, refused)
		}
	}
	// CONNACK and whatever else comes before a client is known.
	for _, packet := range []string{
		"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc", "\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03abc", "\x82\x06\x00\x01\x00\x01#\x00", "\xc0\x00", "\xf0\x01\x00", "\x30\x03\x00\x01a", "GET / HTTP/1.1\r\n\r\n",
	} {
		if why := tells(raw(t, source(), s.MQTT, packet)); why != "" {
			t.Errorf("%q tells %s", packet, why)
		}
	}
	owner := mustMQTT(t, s, mqttOptions{id: "owner", user: camera.id, password: camera.token})
	owner.subscribe(t, "tally/"+canary+"/#")
	var all []*mqttClient
	for i, who := range crawlers[3:] {
		filters := []string{"#", "+/+", "+/+/+", "+/+/+/+/+", "$SYS/#", "$share/x/#", "/oneM2M/#", "/oneM2M/resp/+/+/+", "/oneM2M/req/+/+/+", "tally/#", "tally/+/readings", "tally/" + canary + "/readings"}
		for j, filter := range filters {
			c := mustMQTT(t, s, mqttOptions{id: fmt.Sprint("crawl", i, "-", j), user: who.id, password: who.token})
			real := c.subscribe(t, filter)
			if strings.Contains(filter, canary) {
				if twin := c.subscribe(t, "tally/"+canary+"/notthere"); real != twin || real < 0x80 {
					t.Errorf("%s: SUBSCRIBE tells a container from none: 0x%02x and 0x%02x", who.name, real, twin)
				}
			}
			c.subscribe(t, "tally/stranger/readings")
			all = append(all, c)
		}
	}
	askMQTT(t, s, "", ask{op: 2, to: "tally/" + canary + "/readings/la", fr: camera.id, token: camera.token})
	owner.send(t, "tally/"+canary+"/readings", canary+"-film")
	owner.until(t, canary+"-film")
	web := s.as(credential{id: crawlers[3].id, token: crawlers[3].token})
	defer web.Close()
	if _, err := web.Create(t.Context(), "tally/stranger/readings", onem2m.TypeContentInstance, map[string]any{"m2m:cin": map[string]any{"con": "mark"}}); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		if i == 0 {
			c.until(t, "mark") // its own comes, and with it would have come what was sent before
		}
		for len(c.got) > 0 {
			if p := <-c.got; tells(p.Topic+" "+string(p.Payload)) != "" {
				t.Errorf("got %s %q", p.Topic, p.Payload)
			}
		}
	}
}

// crawlCoAP asks for what RFC 6690 and RFC 7641 have for crawlers, and for pieces of others' transfers (RFC 7959).
func crawlCoAP(t *testing.T, s *site, crawlers []crawler, camera credential) {
	paths := []string{".well-known/core", ".well-known/rd", "", "tally", "-", "cb", "~/tally/-", "_/tallystick.local/tally/-", "ingest", "ingest/x/y", "-/status", "-/checkpoint", "tally/la", "tally/fopt", "rd", "large"}
	for _, c := range crawlers {
		for _, path := range paths {
			for _, code := range []codes.Code{codes.GET, codes.POST, codes.PUT, codes.DELETE, 5, 6, 7} { // FETCH, PATCH, iPATCH
				for variant := range 3 {
					r := sendCoAP(t, s, source(), code, path, c.token, func(m coapMessage) {
						m.AddOptionString(coapRequest, "1")
						m.AddOptionString(coapRelease, "4")
						if c.id != "" {
							m.AddOptionString(coapOrigin, c.id)
						}
						switch variant {
						case 1:
							m.SetOptionUint32(message.Observe, 0)
						case 2:
							m.SetOptionUint32(message.Block2, 1<<4|2) // the second block of 64 bytes
						}
					})
					if why := tells(r.raw); why != "" {
						t.Errorf("%s: %v %s tells %s: %s", c.name, code, path, why, r.raw)
					}
					if strings.HasPrefix(r.code, "2") {
						t.Errorf("%s: %v %s is answered %s", c.name, code, path, r.code)
					}
				}
				if code != codes.GET && c.token != "" {
					break
				}
			}
		}
	}
	// The camera's owner gets a large picture in pieces; a stranger asks for a later piece by the same address, and sends a
	// later piece of what the owner has begun.
	big := canary + strings.Repeat("0123456789", 500)
	web := s.as(camera)
	defer web.Close()
	if _, err := web.Create(t.Context(), "tally/"+canary+"/readings", onem2m.TypeContentInstance, map[string]any{"m2m:cin": map[string]any{"con": big}}); err != nil {
		t.Fatal(err)
	}
	owner := ask{op: 2, to: "tally/" + canary + "/readings/la", fr: camera.id, token: camera.token}
	if r := askCoAP(t, s, "", owner); !strings.Contains(r.raw, big) {
		t.Fatalf("the owner gets %s %.80s", r.code, r.raw)
	}
	for _, c := range crawlers {
		for _, option := range []message.OptionID{message.Block2, message.Block1} {
			code := codes.GET
			if option == message.Block1 {
				code = codes.PUT
			}
			r := sendCoAP(t, s, source(), code, "tally/"+canary+"/readings/la", c.token, func(m coapMessage) {
				m.AddOptionString(coapRequest, "attack")
				m.AddOptionString(coapRelease, "4")
				m.AddOptionString(coapOrigin, camera.id)
				m.SetOptionUint32(option, 1<<4|6)
			})
			if strings.HasPrefix(r.code, "2") || strings.Contains(r.raw, "0123456789") {
				t.Errorf("%s gets a piece: %s %s", c.name, r.code, r.raw)
			}
		}
	}
}

// crawlWebSocket tries all paths, and says something on those that open.
func crawlWebSocket(t *testing.T, s *site, crawlers []crawler) {
	for _, c := range crawlers {
		for _, path := range []string{"/", "/ws", "/mqtt", "/tally", "/tally/x", "/-/status", "/-/ws", "/socket.io/", "/ingest/x/y", "/ingest/*", "/?access_token=admin", "/websocket"} {
			conn, refused := dialWebSocket(t, s, source(), path, c.token)
			if conn == nil {
				if why := tells(refused.raw); why != "" {
					t.Errorf("%s: %s tells %s: %s", c.name, path, why, refused.raw)
				}
				continue
			}
			for _, message := range []string{
				`{"op":2,"to":"tally","fr":"` + c.id + `","rqi":"1","rvi":"4"}`, `{"op":2,"to":"tally","fr":"Coperator","rqi":"1","rvi":"4","fc":{"fu":1}}`, `{"m2m:rqp":{"op":2,"to":"cb","rqi":"1"}}`, `{`, `[]`, `{"op":99}`, "\x00",
			} {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				err := conn.Write(ctx, websocket.MessageText, []byte(message))
				var b []byte
				if err == nil {
					_, b, err = conn.Read(ctx)
				}
				cancel()
				if err != nil {
					if why := tells(err.Error()); why != "" && !strings.Contains(err.Error(), "context") {
						t.Errorf("%s: closed with %v", c.name, err)
					}
					break
				}
				if code := statusIn(b); code == "2000" && !strings.Contains(message, `"fu":1`) || tells(string(b)) != "" {
					t.Errorf("%s: %s is answered %s", c.name, message, b)
				}
			}
			conn.CloseNow()
		}
	}
}

// readCertificates looks at what a handshake shows to whoever connects: names of this machine, and nothing else.
func readCertificates(t *testing.T, s *site) {
	host, _ := os.Hostname()
	for _, field := range []string{"https", "mqtts"} {
		c, err := tls.DialWithDialer(dialer(source()), "tcp", s.address(t, field), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		state := c.ConnectionState()
		c.Close()
		for _, cert := range state.PeerCertificates {
			if why := tells(string(cert.Raw) + cert.Subject.String() + cert.Issuer.String()); why != "" {
				t.Errorf("%s: the certificate tells %s", field, why)
			}
			for _, name := range cert.DNSNames {
				if name != "localhost" && name != host {
					t.Errorf("%s: the certificate names %s", field, name)
				}
			}
			for _, ip := range cert.IPAddresses {
				if !ip.IsLoopback() {
					t.Errorf("%s: the certificate names %s", field, ip)
				}
			}
		}
		if state.Version != tls.VersionTLS13 {
			t.Errorf("%s: %s", field, tls.VersionName(state.Version))
		}
		if old, err := tls.DialWithDialer(dialer(source()), "tcp", s.address(t, field), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
			old.Close()
			t.Errorf("%s speaks TLS 1.2", field)
		}
	}
}

// readTransparency: what everybody may see says how long the log is, who its members are, and hashes that are salted.
func readTransparency(t *testing.T, s *site) {
	get := func(path string) string {
		status, answer := crawler{}.crawl(t, webClient(source()), "GET", s.URL()+path, "")
		if status != 200 {
			t.Fatalf("GET %s: %d %s", path, status, answer)
		}
		_, body, _ := strings.Cut(answer, "\r\n\r\n")
		return body
	}
	checkpoint := strings.Split(get("/-/checkpoint"), "\n")
	if len(checkpoint) < 5 || !strings.HasPrefix(checkpoint[0], "tallystick.local/") || !regexp.MustCompile(`^\d+$`).MatchString(checkpoint[1]) || checkpoint[3] != "" {
		t.Fatalf("the checkpoint has more than a name, a size, a hash and signatures: %q", checkpoint)
	}
	size := 0
	fmt.Sscan(checkpoint[1], &size)
	tile := get(fmt.Sprintf("/-/tile/0/000.p/%d", min(size, 255)))
	if len(tile) != 32*min(size, 255) {
		t.Errorf("a tile of %d hashes has %d bytes", min(size, 255), len(tile))
	}
	for _, known := range []string{canary, canary + "-picture", `{"m2m:cin":{"con":"` + canary + `-picture"}}`, "C" + canary, "tally/" + canary} {
		for _, guess := range []string{known, "\x00" + known} { // as it is, and as a leaf of RFC 6962
			if h := sha256.Sum256([]byte(guess)); strings.Contains(tile, string(h[:])) {
				t.Errorf("whoever guesses %q finds it confirmed by the tile", known)
			}
		}
	}
	for _, page := range []string{strings.Join(checkpoint, "\n"), get("/-/policy"), get("/-/ca.pem"), tile} {
		if why := tells(page); why != "" {
			t.Errorf("%.80q tells %s", page, why)
		}
	}
}

// enrolAdmin: a camera enrolled as admin with the password admin is what made Insecam and Mirai. There is no way to make
// one: nobody chooses what the server draws, and no name is a credential.
func enrolAdmin(t *testing.T, s *site) {
	if b := s.api(t, "POST", "/-/credentials", map[string]string{"originator": "Ccontrol"}); !strings.Contains(string(b), `"token"`) {
		t.Fatalf("a camera is enrolled in the right way: %s", b)
	}
	for _, body := range []any{
		map[string]string{"originator": "admin"}, map[string]string{"originator": "Cadmin", "token": "admin"}, map[string]string{"originator": "Cadmin", "password": "admin"},
		map[string]string{"originator": "Cadmin", "tokenHash": "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918"},
		map[string]string{"originator": "Cadmin", "publicKey": "admin"}, map[string]string{"originator": "Cadmin", "publicKey": strings.Repeat("00", 32)},
		map[string]string{"originator": "Cadmin", "key": "admin"}, map[string]string{"originator": "Cadmin", "role": "admin"}, map[string]string{"originator": "admin:admin"},
	} {
		if b, err := s.operator.API(t.Context(), "POST", "/-/credentials", body); err == nil {
			t.Errorf("%v is enrolled: %s", body, b)
		}
	}
	for _, args := range [][]string{
		{"device", "enrol", "--data", s.Dir, "admin"}, {"device", "enrol", "--data", s.Dir, "Cadmin", "--token", "admin"}, {"device", "enrol", "--data", s.Dir, "Cadmin", "--password", "admin"},
		{"device", "enrol", "--data", s.Dir, "Cadmin", "admin"},
	} {
		if r := scenario.Run(t, args...); r.Code == 0 {
			t.Errorf("tally %v: %s", args, r)
		}
	}
	for _, login := range []ask{{fr: "admin", token: "admin"}, {fr: "Cadmin", token: "admin"}, {fr: "Ccontrol", token: "admin"}, {fr: "Coperator", token: "admin"}, {fr: "admin"}} {
		login.op, login.to = 2, "tally"
		for name, way := range wires {
			if r := way(t, s, source(), login); !refusedAs(r.code) {
				t.Errorf("%s: %s with %q: %s", name, login.fr, login.token, r.code)
			}
		}
	}
	for _, doc := range []string{
		`{"name":"node1","users":{"admin":"admin"}}`, `{"name":"node1","password":"admin"}`, `{"name":"node1","registrar":{"cseID":"/in","url":"http://admin:admin@in.example"}}`,
		`{"name":"node1","pointsOfAccess":["mqtt://admin:admin@in.example"]}`,
	} {
		dir := t.TempDir()
		if r := scenario.Run(t, "network", "init", "--data", dir, "--https", "127.0.0.1:0"); r.Code != 0 {
			t.Fatal(r)
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := scenario.Run(t, "node", "start", "--data", dir); r.Code == 0 || strings.Contains(r.Stdout, "Node ready") {
			t.Errorf("a node starts with %s: %s", doc, r)
		}
	}
}
