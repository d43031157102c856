package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// initCSE makes a network whose CSE is /<name>, with the CSEBase cse-<name>.
func initCSE(t *testing.T, name string, lab bool, mayRegister ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	must(t, Init(InitOptions{
		Dir: dir, HTTP: "127.0.0.1:0", Lab: lab, MayRegister: mayRegister,
		CSE: Identity{SPID: "sp.example", CSEID: "/" + name, Name: "cse-" + name, BaseRI: name, Admin: "CAdmin"},
	}))
	configure(t, dir, func(c *Config) { c.MinFreeBytes = 1 })
	return dir
}

// ask sends one request over HTTP and gives its response status code, a blank and its content.
func ask(t *testing.T, n *Node, method, path, from, token, typ, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.Addr()+path, strings.NewReader(body))
	must(t, err)
	for k, v := range map[string]string{"X-M2M-Origin": from, "X-M2M-RI": fmt.Sprint("q", time.Now().UnixNano()), "X-M2M-RVI": "4"} {
		if v != "" {
			req.Header.Set(k, v)
		}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if typ != "" {
		req.Header.Set("Content-Type", "application/json;ty="+typ)
	} else if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.Header.Get("X-M2M-RSC") + " " + string(b)
}

// eventually repeats a request until its answer begins as wanted.
func eventually(t *testing.T, want string, do func() string) string {
	t.Helper()
	var got string
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = do(); strings.HasPrefix(got, want) {
			return got
		}
	}
	t.Fatalf("got %s, want %s", got, want)
	return ""
}

func wants(t *testing.T, what, got, want string, has ...string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
	for _, h := range has {
		if !strings.Contains(got, h) {
			t.Errorf("%s: %s lacks %s", what, got, h)
		}
	}
}

const aeBody = `{"m2m:ae":{"rn":"ae","api":"Na","rr":true,"srv":["4"]}}`

// TestTwoLabCSEs registers one CSE at another, both in labs, and sends requests through each to the other (TS-0001 clauses
// 10.1.1.2.1 and 10.1.1.2.2, TS-0004 clauses 7.3.2.6 and 7.4.4).
func TestTwoLabCSEs(t *testing.T) {
	for _, scheme := range []string{"http", "ws"} {
		t.Run(scheme, func(t *testing.T) { twoLabCSEs(t, scheme) })
	}
}

func twoLabCSEs(t *testing.T, scheme string) {
	in, err := StartLab(context.Background(), initCSE(t, "id-in", true, "/id-mn"), watchedLog)
	must(t, err)
	defer stopNode(t, in)
	dir := initCSE(t, "id-mn", true)
	configure(t, dir, func(c *Config) { c.Registrar = Registrar{CSEID: "/id-in", URL: scheme + "://" + in.Addr()} })
	mn, err := StartLab(context.Background(), dir, watchedLog)
	must(t, err)
	stopped := false
	defer func() {
		if !stopped {
			stopNode(t, mn)
		}
	}()

	got := eventually(t, "2000 ", func() string { return ask(t, in, "GET", "/cse-id-in/id-mn", "CAdmin", "", "", "") })
	wants(t, "registree", got, "2000", `"ri":"id-mn"`, `"csi":"/id-mn"`, `"cb":"/id-mn/cse-id-mn"`, `"poa":["http://`+mn.Addr()+`"]`)
	got = eventually(t, "2000 ", func() string { return ask(t, mn, "GET", "/cse-id-mn/id-in", "CAdmin", "", "", "") })
	wants(t, "registrar", got, "2000", `"ri":"id-in"`, `"csi":"/id-in"`, `"cb":"/id-in/cse-id-in"`, `"poa":["`+scheme+`://`+in.Addr()+`"]`)

	// Down and up, as an AE that is registered here and acts there.
	wants(t, "AE", ask(t, in, "POST", "/cse-id-in", "Clocal", "", "2", aeBody), "2001")
	wants(t, "register there by way of here", ask(t, in, "POST", "/~/id-mn/-", "/id-in/Clocal", "", "2", aeBody), "4000") // TS-0004 7.3.2.8
	wants(t, "a CSE by way of here", ask(t, in, "POST", "/~/id-mn/-", "/id-third", "", "16", `{"m2m:csr":{"cb":"/id-third/x","csi":"/id-third","rr":true,"srv":["4"]}}`), "4000")
	wants(t, "register there", ask(t, mn, "POST", "/cse-id-mn", "/id-in/Clocal", "", "2", aeBody), "2001", `"aei":"/id-in/Clocal"`)
	wants(t, "create there", ask(t, in, "POST", "/~/id-mn/-/ae", "Clocal", "", "3", `{"m2m:cnt":{"rn":"cnt"}}`), "2001")
	wants(t, "it is there", ask(t, mn, "GET", "/cse-id-mn/ae/cnt", "CAdmin", "", "", ""), "2000")
	wants(t, "instance, absolute", ask(t, in, "POST", "/_/sp.example/id-mn/-/ae/cnt", "Clocal", "", "4", `{"m2m:cin":{"con":"21"}}`), "2001")
	wants(t, "latest", ask(t, in, "GET", "/~/id-mn/-/ae/cnt/la", "Clocal", "", "", ""), "2000", `"con":"21"`)
	wants(t, "update", ask(t, in, "PUT", "/~/id-mn/-/ae/cnt", "Clocal", "", "", `{"m2m:cnt":{"lbl":["a"]}}`), "2004")
	wants(t, "stranger", ask(t, in, "GET", "/~/id-mn/-/ae/cnt", "Cother", "", "", ""), "4103")
	wants(t, "namesake there", ask(t, mn, "GET", "/cse-id-mn/ae/cnt", "Clocal", "", "", ""), "4103")
	wants(t, "no such resource", ask(t, in, "GET", "/~/id-mn/-/nothing", "CAdmin", "", "", ""), "4004")
	wants(t, "CSEBase there by its administrator", ask(t, in, "GET", "/~/id-mn/cse-id-mn", "/id-mn/CAdmin", "", "", ""), "2000", `"csi":"/id-mn"`)
	wants(t, "discovery", ask(t, in, "GET", "/~/id-mn/cse-id-mn?fu=1&drt=1", "/id-mn/CAdmin", "", "", ""), "2000", `"/id-mn/cse-id-mn/ae/cnt"`)
	wants(t, "discovery by one without rights", ask(t, in, "GET", "/~/id-mn/cse-id-mn?fu=1&drt=1", "CAdmin", "", "", ""), "2000", `"m2m:uril":[]`)
	wants(t, "up", ask(t, mn, "GET", "/~/id-in/cse-id-in/ae", "/id-in/Clocal", "", "", ""), "2000")
	wants(t, "delete", ask(t, in, "DELETE", "/~/id-mn/-/ae", "Clocal", "", "", ""), "2002")

	// A CSE that nobody knows: not found here; by way of the registrar, which does not know it either.
	wants(t, "unknown", ask(t, in, "GET", "/~/id-none/x", "CAdmin", "", "", ""), "4004")
	wants(t, "unknown by way of the registrar", ask(t, mn, "GET", "/~/id-none/x", "CAdmin", "", "", ""), "4004")
	wants(t, "other service provider", ask(t, in, "GET", "/_/other.example/id-mn/x", "CAdmin", "", "", ""), "4004")
	wants(t, "says to be the CSE", ask(t, in, "GET", "/cse-id-in", "/id-in", "", "", ""), "2000")

	// A circle ends at once: each of the two takes the other for the way to a third.
	wants(t, "behind the registree", ask(t, in, "PUT", "/cse-id-in/id-mn", "CAdmin", "", "", `{"m2m:csr":{"dcse":["/id-loop"]}}`), "2004")
	wants(t, "behind the registrar", ask(t, mn, "PUT", "/cse-id-mn/id-in", "CAdmin", "", "", `{"m2m:csr":{"dcse":["/id-loop"]}}`), "2004")
	begin := time.Now()
	wants(t, "circle", ask(t, in, "GET", "/~/id-loop/x", "CAdmin", "", "", ""), "5103")
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the circle took %s", took)
	}
	checkData(t, in)
	checkData(t, mn)

	stopped = true
	stopNode(t, mn)
	wants(t, "not reachable", ask(t, in, "GET", "/~/id-mn/-/ae", "CAdmin", "", "", ""), "5103")
}

// TestTwoCSEs does so with credentials: each CSE shows the other a token that is bound to its CSE-ID.
func TestTwoCSEs(t *testing.T) {
	for _, scheme := range []string{"http", "ws"} {
		t.Run(scheme, func(t *testing.T) { twoCSEs(t, scheme) })
	}
}

func twoCSEs(t *testing.T, scheme string) {
	inDir, mnDir := initCSE(t, "id-in", false), initCSE(t, "id-mn", false)
	in := startNode(t, inDir)
	mn := startNode(t, mnDir)
	forIn, forMn := enrolCSE(t, in, "/id-mn"), enrolCSE(t, mn, "/id-in")
	_, device := enrolAs(t, mn, "Cdevice")
	stopNode(t, in)
	stopNode(t, mn)
	must(t, os.WriteFile(filepath.Join(mnDir, "in.token"), []byte(forIn+"\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(inDir, "mn.token"), []byte(forMn+"\n"), 0o600))
	configure(t, inDir, func(c *Config) { c.PeerTokens = map[string]string{"/id-mn": "mn.token"} })
	in = startNode(t, inDir)
	defer stopNode(t, in)
	configure(t, mnDir, func(c *Config) {
		c.Registrar, c.PeerTokens = Registrar{CSEID: "/id-in", URL: scheme + "://" + in.Addr()}, map[string]string{"/id-in": "in.token"}
	})
	mn = startNode(t, mnDir)
	defer stopNode(t, mn)
	inAdmin, mnAdmin := token(t, inDir), token(t, mnDir)
	eventually(t, "2000 ", func() string { return ask(t, in, "GET", "/cse-id-in/id-mn", "/id-mn", forIn, "", "") })
	eventually(t, "2000 ", func() string { return ask(t, mn, "GET", "/cse-id-mn?rcn=6", "CAdmin", mnAdmin, "", "") })

	wants(t, "policy there", ask(t, in, "POST", "/cse-id-in", "CAdmin", inAdmin, "1", `{"m2m:acp":{"rn":"acp","pv":{"acr":[{"acor":["/id-mn/Cdevice"],"acop":63}]},"pvs":{"acr":[{"acor":["CAdmin"],"acop":63}]}}}`), "2001")
	wants(t, "container there", ask(t, in, "POST", "/cse-id-in", "CAdmin", inAdmin, "3", `{"m2m:cnt":{"rn":"cnt","acpi":["cse-id-in/acp"]}}`), "2001")
	eventually(t, "2001 ", func() string {
		return ask(t, mn, "POST", "/~/id-in/-/cnt", "Cdevice", device, "4", `{"m2m:cin":{"con":"from afar"}}`)
	})
	wants(t, "instance there", ask(t, in, "GET", "/cse-id-in/cnt/la", "/id-mn/Cdevice", forIn, "", ""), "2000", "from afar")
	wants(t, "nobody without rights", ask(t, mn, "GET", "/~/id-in/-/cnt/la", "CAdmin", mnAdmin, "", ""), "4103")
	wants(t, "nobody without a token", ask(t, mn, "GET", "/~/id-in/-/cnt/la", "Cdevice", "", "", ""), "4107")
	wants(t, "down", ask(t, in, "GET", "/~/id-mn/-", "CAdmin", inAdmin, "", ""), "4103")

	// A credential of a CSE is for what is behind it.
	wants(t, "ours", ask(t, in, "GET", "/cse-id-in", "CAdmin", forIn, "", ""), "4103")
	wants(t, "ours, SP-relative", ask(t, in, "GET", "/cse-id-in", "/id-in/CAdmin", forIn, "", ""), "4103")
	wants(t, "another's", ask(t, in, "GET", "/cse-id-in", "/id-third/Ca", forIn, "", ""), "4103")
	wants(t, "a device's for a CSE", ask(t, mn, "GET", "/cse-id-mn", "/id-in/Ca", device, "", ""), "4103")
	wants(t, "back where it came from", ask(t, in, "GET", "/~/id-mn/-", "/id-mn/Ca", forIn, "", ""), "4004")
}

// checkData has a running node check its data: what it made for itself is repeated from the log like anything else.
func checkData(t *testing.T, n *Node) {
	t.Helper()
	_, err := n.app.Check(t.Context(), n.consensus.History(), filepath.Join(n.dir, scratchDir), func(string, uint64, uint64) {})
	if err != nil {
		t.Errorf("check of the data: %v", err)
	}
}

func enrolCSE(t *testing.T, n *Node, id string) string {
	t.Helper()
	_, token := enrolAs(t, n, id)
	return token
}

func enrolAs(t *testing.T, n *Node, id string) (key, token string) {
	t.Helper()
	_, e := enrol(t, n, id)
	return e.Key, e.Token
}
