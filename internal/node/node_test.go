package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func initNode(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, Init(InitOptions{Dir: dir, HTTP: "127.0.0.1:0"}))
	path := filepath.Join(dir, configFile) // a machine that is short of space runs the tests all the same
	b, err := os.ReadFile(path)
	must(t, err)
	var c Config
	must(t, json.Unmarshal(b, &c))
	c.MinFreeBytes = 1
	b, err = json.Marshal(c)
	must(t, err)
	must(t, os.WriteFile(path, b, 0o644))
	return dir
}

func startNode(t testing.TB, dir string) *Node {
	t.Helper()
	n, err := Start(context.Background(), dir, watchedLog)
	must(t, err)
	return n
}

func stopNode(t testing.TB, n *Node) {
	t.Helper()
	must(t, n.Stop(context.Background()))
}

func token(t testing.TB, dir string) string {
	t.Helper()
	b, err := os.ReadFile(Operator(dir).Token)
	must(t, err)
	return strings.TrimSpace(string(b))
}

// enrol makes a device and returns its client, its token and its credential's ID.
func enrol(t testing.TB, n *Node, id string) (*client.Client, Enrolled) {
	t.Helper()
	op := client.New("http://"+n.Addr(), OperatorID, token(t, n.Dir()), 4)
	defer op.Close()
	b, err := op.API(t.Context(), "POST", "/-/credentials", map[string]string{"originator": id})
	must(t, err)
	var e Enrolled
	must(t, json.Unmarshal(b, &e))
	c := client.New("http://"+n.Addr(), id, e.Token, 4)
	t.Cleanup(c.Close)
	return c, e
}

func TestParseTilePath(t *testing.T) {
	for path, want := range map[string]string{
		"0/000": "0 0 256", "1/255": "1 255 256", "0/x001/000": "0 1000 256", "0/x001/x234/067": "0 1234067 256",
		"5/000.p/1": "5 0 1", "0/x001/000.p/255": "0 1000 255", "entries/000": "-1 0 256", "entries/x001/234.p/7": "-1 1234 7",
		"0/x999/x999/x999/x999/x999/999": "0 999999999999999999 256",
		"":                               "", "0": "", "0/": "", "/000": "", "0/0": "", "0/00": "", "0/0000": "", "00/000": "", "+0/000": "", "-1/000": "", "64/000": "",
		"0/x000/001": "", "0/x001": "", "0/001/001": "", "0/x001/x001": "", "0/X001/001": "", "0/+01": "", "0/-01": "", "0/0x1": "", "0/1_0": "",
		"0/000.p/0": "", "0/000.p/256": "", "0/000.p/01": "", "0/000.p/": "", "0/000.p/-1": "", "0/000.p/1.p/1": "", "0/000/": "", "0//000": "",
		"entry/000": "", "data/000": "", "0/x999/x999/x999/x999/x999/x999/999": "", "0/x000/x001/000": "",
	} {
		level, index, width, err := parseTilePath(path)
		got := ""
		if err == nil {
			got = fmt.Sprint(level, index, width)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func FuzzParseTilePath(f *testing.F) {
	f.Add("0/x001/x234/067.p/8")
	f.Fuzz(func(t *testing.T, p string) {
		level, index, width, err := parseTilePath(p)
		if err != nil {
			return
		}
		n := fmt.Sprintf("%03d", index%1000)
		for rest := index / 1000; rest > 0; rest /= 1000 {
			n = fmt.Sprintf("x%03d/", rest%1000) + n
		}
		want := fmt.Sprintf("%d/%s", level, n)
		if level == entriesLevel {
			want = "entries/" + n
		}
		if width < 256 {
			want += fmt.Sprint(".p/", width)
		}
		if p != want {
			t.Fatalf("%q is taken, its one form is %q", p, want)
		}
	})
}

// TestInit: secrets are for the owner only, a second Init changes nothing, and a folder with a node's data is not made
// anew when its configuration is lost.
func TestInit(t *testing.T) {
	dir := initNode(t)
	secrets := 0
	must(t, filepath.WalkDir(filepath.Join(dir, keysDir), func(path string, e fs.DirEntry, err error) error {
		info, _ := e.Info()
		if mode := info.Mode().Perm(); e.IsDir() && mode != 0o700 || !e.IsDir() && mode != 0o600 {
			t.Errorf("%s has mode %o", path, mode)
		}
		if !e.IsDir() {
			secrets++
		}
		return err
	}))
	if secrets != 5 {
		t.Errorf("%d secrets, want 5", secrets)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	before := token(t, dir)
	genesis, err := os.ReadFile(filepath.Join(dir, genesisFile))
	must(t, err)
	if strings.Contains(string(genesis), before) {
		t.Error("the operator's token is in the genesis document")
	}
	if err := Init(InitOptions{Dir: dir}); err == nil {
		t.Error("made twice")
	}
	stopNode(t, startNode(t, dir))
	must(t, os.Remove(filepath.Join(dir, configFile)))
	if err := Init(InitOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), configFile) {
		t.Errorf("made anew over a node's data: %v", err)
	}
	if token(t, dir) != before {
		t.Error("the token was replaced")
	}
}

// TestStartErrors: each hindrance has its own message, and loses nothing.
func TestStartErrors(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	if _, err := Start(t.Context(), dir, watchedLog); !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second start: %v", err)
	}
	if _, err := Fsck(t.Context(), dir, true, nil); !errors.Is(err, ErrRunning) {
		t.Errorf("fsck of a running node's folder: %v", err)
	}
	stopNode(t, n)
	stopNode(t, startNode(t, dir)) // the lock went with the node

	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	busy := filepath.Join(t.TempDir(), "busy")
	must(t, Init(InitOptions{Dir: busy, HTTP: l.Addr().String()}))
	if _, err := Start(t.Context(), busy, watchedLog); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("busy port: %v", err)
	}
	if _, err := os.Stat(filepath.Join(busy, "chain")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a start on a busy port left something: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := Init(InitOptions{Dir: filepath.Join(file, "data")}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a folder that cannot be made: %v", err)
	}
	if _, err := Start(t.Context(), t.TempDir(), watchedLog); err == nil || !strings.Contains(err.Error(), "init --data") {
		t.Errorf("an empty folder: %v", err)
	}
	must(t, os.Truncate(filepath.Join(dir, "chain", signStateFile), 0))
	if _, err := Start(t.Context(), dir, watchedLog); err == nil || !strings.Contains(err.Error(), "sign twice") {
		t.Errorf("without a sign state: %v", err)
	}
}

func TestDisk(t *testing.T) {
	if _, err := watchDisk(t.TempDir(), 1<<62); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("a full disk: %v", err)
	}
	d, err := watchDisk(t.TempDir(), 1)
	must(t, err)
	must(t, d.refuse())
	d.free.Store(0)
	if d.refuse() == nil {
		t.Error("writes are taken on a full disk")
	}
	if _, err := watchDisk(filepath.Join(t.TempDir(), "none"), 1); err == nil {
		t.Error("a folder that is not there has space")
	}
}

// TestAuthorisation tries every page of the node with no token, a device's, a revoked one, and an operator's.
func TestAuthorisation(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	defer stopNode(t, n)
	_, dev := enrol(t, n, "Cdev")
	_, gone := enrol(t, n, "Cgone")
	ask := func(method, path, authorization, body string) (int, string) {
		req, err := http.NewRequest(method, "http://"+n.Addr()+path, strings.NewReader(body))
		must(t, err)
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s: 401 without WWW-Authenticate", method, path)
		}
		if strings.Contains(path, "entries") && resp.StatusCode == 200 && !strings.Contains(resp.Header.Get("Cache-Control"), "private") {
			t.Errorf("%s: what is for operators may be cached for all: %q", path, resp.Header.Get("Cache-Control"))
		}
		return resp.StatusCode, string(b)
	}
	operator := "Bearer " + token(t, dir)
	if status, body := ask("DELETE", "/-/credentials/"+gone.Key, operator, ""); status != 204 {
		t.Fatal(status, body)
	}
	size := n.App().Head().LogSize
	partial := fmt.Sprintf(".p/%d", size)
	for _, c := range []struct {
		method, path, body          string
		anonymous, device, operator int
	}{
		{"GET", "/-/checkpoint", "", 200, 200, 200},
		{"GET", "/-/policy", "", 200, 200, 200},
		{"GET", "/-/tile/0/000" + partial, "", 200, 200, 200},
		{"GET", "/-/tile/0/001", "", 404, 404, 404},
		{"GET", "/-/tile/0/00", "", 400, 400, 400},
		{"GET", "/-/tile/entries/000" + partial, "", 401, 403, 200},
		{"GET", "/-/status", "", 401, 200, 200},
		{"GET", "/-/proof?index=0", "", 401, 403, 200},
		{"GET", "/-/proof?index=99999", "", 401, 403, 404},
		{"GET", "/-/proof?index=x", "", 401, 403, 400},
		{"GET", "/-/proof", "", 401, 400, 400},
		{"GET", "/-/proof?resource=tally", "", 401, 403, 200},
		{"GET", "/-/proof?resource=tally/none", "", 401, 404, 404},
		{"POST", "/-/credentials", `{"originator":"Cnew"}`, 401, 403, 200},
		{"POST", "/-/credentials", `{"originator":"no id"}`, 401, 403, 400},
		{"POST", "/-/credentials", `{"originator":"Cnew","role":"root"}`, 401, 403, 400},
		{"POST", "/-/credentials", `{"unknown":1}`, 401, 403, 400},
		{"DELETE", "/-/credentials/0000000000000000", "", 401, 403, 404},
		{"DELETE", "/-/credentials/xyz", "", 401, 403, 400},
		{"POST", "/-/erase", `{"index":99999}`, 401, 403, 404},
		{"POST", "/-/erase", `{"index":0}`, 401, 403, 405},
		{"POST", "/-/fsck", "", 401, 403, 200},
		{"GET", "/-/nothing", "", 404, 404, 404},
		{"PUT", "/-/status", "", 405, 405, 405},
	} {
		for who, x := range map[string]struct {
			authorization string
			want          int
		}{
			"anonymous": {"", c.anonymous}, "no token": {"Bearer x", c.anonymous}, "another scheme": {token(t, dir), c.anonymous},
			"revoked": {"Bearer " + gone.Token, c.anonymous}, "device": {"Bearer " + dev.Token, c.device},
			"operator": {operator, c.operator}, "operator, other case": {"bearer " + token(t, dir), c.operator},
		} {
			status, body := ask(c.method, c.path, x.authorization, c.body)
			if status == 429 && x.want == 401 {
				continue // so many strangers from one address are locked out, which is their own test
			}
			if status != x.want {
				t.Errorf("%s %s as %s: %d %s, want %d", c.method, c.path, who, status, body, x.want)
			}
		}
	}
}

// receiver is an application that takes notifications.
type receiver struct {
	*httptest.Server
	refuse atomic.Bool
	vrq    atomic.Int32
	got    chan string
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{got: make(chan string, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		w.Header().Set("X-M2M-RI", req.Header.Get("X-M2M-RI"))
		w.Header().Set("X-M2M-RVI", "4")
		if r.refuse.Load() {
			w.Header().Set("X-M2M-RSC", "5000")
			w.WriteHeader(500)
			return
		}
		w.Header().Set("X-M2M-RSC", "2000")
		if bytes.Contains(b, []byte(`"vrq":true`)) {
			r.vrq.Add(1)
			return
		}
		r.got <- string(b)
	}))
	t.Cleanup(r.Close)
	return r
}

// TestEndToEnd is a device's whole story over HTTP: registration, readings, a subscription that is verified and
// notifies, also over a restart; proofs, an erasure, and the log as an independent reader of tiles sees it.
func TestEndToEnd(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	ctx := t.Context()
	dev, cred := enrol(t, n, "Cdev")
	recv := newReceiver(t)
	create := func(c *client.Client, to string, ty onem2m.ResourceType, content string) json.RawMessage {
		t.Helper()
		b, err := c.Create(ctx, to, ty, json.RawMessage(content))
		must(t, err)
		return b
	}
	create(dev, "tally", onem2m.TypeAE, `{"m2m:ae":{"rn":"dev","api":"Nx","rr":false,"srv":["4"]}}`)
	create(dev, "tally/dev", onem2m.TypeContainer, `{"m2m:cnt":{"rn":"c"}}`)
	sub := json.RawMessage(fmt.Sprintf(`{"m2m:sub":{"rn":"s","nu":[%q],"enc":{"net":[3]}}}`, recv.URL))
	recv.refuse.Store(true)
	if _, err := dev.Create(ctx, "tally/dev/c", onem2m.TypeSubscription, sub); !client.IsStatus(err, onem2m.StatusSubscriptionVerificationInitiationFailed) {
		t.Errorf("a subscription that its target refuses: %v", err)
	}
	recv.refuse.Store(false)
	create(dev, "tally/dev/c", onem2m.TypeSubscription, string(sub))
	if recv.vrq.Load() == 0 {
		t.Error("the target was not asked")
	}
	expect := func(content string) {
		t.Helper()
		select {
		case b := <-recv.got:
			if !strings.Contains(b, content) {
				t.Errorf("notified of %s, want %s", b, content)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no notification of %s", content)
		}
	}
	create(dev, "tally/dev/c", onem2m.TypeContentInstance, `{"m2m:cin":{"rn":"one","con":"reading one"}}`)
	expect("reading one")

	// A notification that cannot be delivered goes out after a restart.
	recv.refuse.Store(true)
	create(dev, "tally/dev/c", onem2m.TypeContentInstance, `{"m2m:cin":{"rn":"two","con":"reading two"}}`)
	for i := range 300 {
		create(dev, "tally/dev", onem2m.TypeContainer, fmt.Sprintf(`{"m2m:cnt":{"rn":"x%d"}}`, i))
	}
	before := n.App().Head()
	stopNode(t, n)
	recv.refuse.Store(false)
	n = startNode(t, dir)
	defer func() { stopNode(t, n) }()
	expect("reading two")
	if after := n.App().Head(); after.LogSize != before.LogSize || after.AppHash != before.AppHash {
		t.Errorf("after a restart the log has size %d, before %d", after.LogSize, before.LogSize)
	}
	dev = client.New("http://"+n.Addr(), "Cdev", cred.Token, 4)
	defer dev.Close()
	op := client.New("http://"+n.Addr(), OperatorID, token(t, dir), 4)
	defer op.Close()
	b, err := os.ReadFile(PolicyPath(dir))
	must(t, err)
	policy, err := proof.ParsePolicy(b)
	must(t, err)
	bundle, err := dev.Proof(ctx, "tally/dev/c/one", 0)
	must(t, err)
	v, err := policy.Verify(bundle)
	must(t, err)
	if v.Entry.Originator != "Cdev" || !strings.Contains(string(v.Payload), "reading one") {
		t.Errorf("the proof says %+v %s", v.Entry, v.Payload)
	}
	checkTiles(t, n, v.Index, bundle)

	// Erasure: the same entry, proven, without its payload. Each node takes it out soon after the commit.
	_, err = op.API(ctx, "POST", "/-/erase", map[string]uint64{"index": v.Index})
	must(t, err)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		bundle, err = op.Proof(ctx, "", v.Index)
		must(t, err)
		e, err := policy.Verify(bundle)
		must(t, err)
		if e.Erased {
			if e.Payload != nil || e.Entry != v.Entry {
				t.Errorf("the erased entry is %+v with %q, was %+v", e.Entry, e.Payload, v.Entry)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the payload is still there")
		}
	}
	if _, err := dev.Retrieve(ctx, "tally/dev/c/one"); !client.IsStatus(err, onem2m.StatusNotFound) {
		t.Errorf("retrieve of an erased instance: %v", err)
	}
	checkTiles(t, n, v.Index, bundle)
	stream, err := op.Stream(ctx, "POST", "/-/fsck", nil)
	must(t, err)
	defer stream.Close()
	rep, err := ReadFsck(stream, func(string, uint64, uint64) {})
	if err != nil || rep.Entries != n.App().Head().LogSize {
		t.Errorf("fsck: %+v, %v", rep, err)
	}
	stopNode(t, n)
	_, err = Fsck(ctx, dir, false, func(string, uint64, uint64) {})
	must(t, err)
	n = startNode(t, dir)
}

// tiles reads tiles over HTTP for the checksum database's client, which knows nothing of this project.
type tiles struct {
	t    testing.TB
	base string
}

func (r tiles) Height() int                     { return 8 }
func (r tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (r tiles) ReadTiles(list []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range list {
		b := get(r.t, r.base+"/-/tile/"+strings.TrimPrefix(tile.Path(), "tile/8/"))
		data = append(data, b)
	}
	return data, nil
}

func get(t testing.TB, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != 200 {
		t.Fatalf("%s: %d %s", url, resp.StatusCode, b)
	}
	return b
}

// checkTiles proves an entry from checkpoint and tiles alone (c2sp.org/tlog-tiles, RFC 6962).
func checkTiles(t testing.TB, n *Node, index uint64, bundle []byte) {
	t.Helper()
	base := "http://" + n.Addr()
	lines := strings.Split(string(get(t, base+"/-/checkpoint")), "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(t, err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	must(t, err)
	tree := tlog.Tree{N: size, Hash: tlog.Hash(root)}
	reader := tlog.TileHashReader(tree, tiles{t, base})
	if got, err := tlog.TreeHash(size, reader); err != nil || got != tree.Hash {
		t.Fatalf("the tiles give the root %v, the checkpoint has %v (%v)", got, tree.Hash, err)
	}
	path, err := tlog.ProveRecord(size, int64(index), reader)
	must(t, err)
	b, err := proof.ParseBundle(bundle)
	must(t, err)
	if err := tlog.CheckRecord(path, size, tree.Hash, int64(index), tlog.RecordHash(b.Entry)); err != nil {
		t.Fatalf("entry %d (%s): %v", index, hex.EncodeToString(b.Entry), err)
	}
}
