package node

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// TestIngest: a device that speaks no oneM2M sends readings right after its enrolment; AE and containers are made on
// the way, a pack is stored as a whole, and what it may not do is refused.
func TestIngest(t *testing.T) {
	n := startNode(t, initNode(t))
	defer stopNode(t, n)
	c, e := enrol(t, n, "Cdev")
	_, stranger := enrol(t, n, "Cstranger")
	send := func(method, target, token, mediaType, body string, status int) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.Addr()+target, strings.NewReader(body))
		must(t, err)
		req.Header.Set("Content-Type", mediaType)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		rsp, err := http.DefaultClient.Do(req)
		must(t, err)
		defer rsp.Body.Close()
		b, err := io.ReadAll(rsp.Body)
		must(t, err)
		if rsp.StatusCode != status || !strings.Contains(string(b), `{"rsc":`+rsp.Header.Get("X-M2M-RSC")) {
			t.Errorf("%s %s: %s %v %s, want %d", method, target, rsp.Status, rsp.Header, b, status)
		}
		return string(b)
	}
	latest := func(path string, want ...string) {
		t.Helper()
		b, err := c.Retrieve(t.Context(), path)
		must(t, err)
		for _, w := range want {
			if !bytes.Contains(b, []byte(w)) {
				t.Errorf("%s: %s, want %s", path, b, w)
			}
		}
	}
	if got := send("POST", "/ingest/dev/room/temperature", e.Token, "text/plain", "21.50", 201); got != `{"rsc":2001}` {
		t.Error(got)
	}
	latest("tally/dev", `"api":"N.tallystick.plain"`, `"aei":"Cdev"`)
	latest("tally/dev/room/temperature/la", `"con":"21.50"`, `"cnf":"text/plain:0"`)
	send("POST", "/ingest/Cdev/room/temperature", e.Token, "application/octet-stream", "\x01\x02", 201)
	latest("tally/dev/room/temperature/la", `"con":"AQI="`, `"cnf":"application/octet-stream:1"`)
	send("POST", "/ingest/dev/pack", e.Token, "application/senml+json", `[{"bn":"urn:dev:mac:0024befffe804ff1/","bt":1276020076,"bu":"A","n":"i","v":1.2},{"n":"i","t":-5,"v":1.30}]`, 201)
	latest("tally/dev/pack/ol", `\"t\":1276020071`, `\"v\":1.30`)
	latest("tally/dev/pack/la", `\"t\":1276020076`)
	send("POST", "/ingest/dev/pack", e.Token, "application/senml+json", `[{"n":"i","v":1},{"n":"i","v":1,"vs":"x"}]`, 400)
	send("POST", "/ingest/dev/lines", e.Token, "application/x-ndjson", strings.Repeat("{\"a\":1}\n", 4000), 201)
	latest("tally/dev/lines", `"cni":4000`)
	latest("tally/dev/pack", `"cni":2`)

	send("GET", "/ingest/dev/room/temperature?t=1", e.Token, "", "", 405)
	send("GET", "/ingest/dev/nothing?t=1", e.Token, "", "", 404)
	send("GET", "/ingest/dev/room/temperature", e.Token, "", "", 400)
	_, err := c.Update(t.Context(), "tally/dev/room/temperature", json.RawMessage(`{"m2m:cnt":{"lbl":["tally:ingest-get"]}}`))
	must(t, err)
	send("GET", "/ingest/dev/room/temperature?temperature=21.5&humidity=40", e.Token, "", "", 201)
	latest("tally/dev/room/temperature/la", `"con":"{\"temperature\":21.5,\"humidity\":40}"`)

	_, err = c.Create(t.Context(), "tally/dev", onem2m.TypeTimeSeries, json.RawMessage(`{"m2m:ts":{"rn":"series"}}`))
	must(t, err)
	send("POST", "/ingest/dev/series", e.Token, "application/senml+json", `[{"bn":"x","bt":1276020076,"v":1},{"t":5,"v":2}]`, 201)
	latest("tally/dev/series/la", `"dgt":"20100608T180121`, `\"v\":2`)
	send("POST", "/ingest/dev/series", e.Token, "text/plain", "7", 201)
	latest("tally/dev/series", `"cni":3`)

	size := n.App().Head().LogSize
	send("POST", "/ingest/dev/room/temperature", stranger.Token, "text/plain", "1", 403)
	send("POST", "/ingest/dev/room/other", stranger.Token, "text/plain", "1", 403)
	send("GET", "/ingest/dev/room/temperature?t=1", stranger.Token, "", "", 403)
	send("POST", "/ingest/dev/room/temperature", "", "text/plain", "1", 401)
	send("POST", "/ingest/dev/room/temperature", "nonsense", "text/plain", strings.Repeat("1", 10000), 401)
	send("POST", "/ingest/nobody/room", e.Token, "text/plain", "1", 404)
	send("POST", "/ingest/dev/room/temperature", e.Token, "text/plain", strings.Repeat("1", 2<<20), 413)
	send("DELETE", "/ingest/dev/room/temperature", e.Token, "", "", 405)
	send("POST", "/ingest/dev/lines", e.Token, "application/x-ndjson", strings.Repeat("1\n", 5000), 400)
	if got := n.App().Head().LogSize; got != size {
		t.Errorf("%d entries for what was refused", got-size)
	}
}

// TestBaseBesideIngest: no CSEBase takes the path that plain devices send to.
func TestBaseBesideIngest(t *testing.T) {
	for _, id := range []Identity{{Name: "ingest"}, {BaseRI: "ingest"}} {
		if err := Init(InitOptions{Dir: t.TempDir() + "/data", CSE: id}); err == nil || !strings.Contains(err.Error(), "cannot be called ingest") {
			t.Errorf("%+v: %v", id, err)
		}
	}
}

// TestIngestBurst: the first messages of a device come all at once, find AE and containers missing, and are all stored.
func TestIngestBurst(t *testing.T) {
	n := startNode(t, initNode(t))
	defer stopNode(t, n)
	c, e := enrol(t, n, "Cburst")
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			m := &binding.Message{Path: []string{"burst", "Cburst"}[i%2] + "/a/b", Body: []byte("1")}
			if rsp := n.plain.Ingest(t.Context(), m, binding.Evidence{Token: e.Token}); rsp.Status != onem2m.StatusCreated {
				t.Errorf("%d: %d %s", i, rsp.Status, rsp.Content)
			}
		})
	}
	wg.Wait()
	b, err := c.Retrieve(t.Context(), "tally/burst/a/b")
	must(t, err)
	if !bytes.Contains(b, []byte(`"cni":64`)) {
		t.Errorf("%s", b)
	}
}
