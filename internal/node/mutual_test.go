package node

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/eclipse/paho.golang/paho"

	"github.com/tallystick/tallystick/client"
)

// encrypted makes a network as it is by default, with MQTT and CoAP, and returns what its clients trust.
func encrypted(t *testing.T) (n *Node, roots *x509.CertPool) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, Init(InitOptions{Dir: dir, HTTPS: "127.0.0.1:0", MQTTS: "127.0.0.1:0", CoAPS: "127.0.0.1:0"}))
	configure(t, dir, func(c *Config) { c.MinFreeBytes = 1 })
	file, err := os.ReadFile(CAPath(dir))
	must(t, err)
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(file)
	n = startNode(t, dir)
	t.Cleanup(func() { stopNode(t, n) })
	return n, roots
}

// operatorKey is the certificate, with its key, that the first start made for the operator.
func operatorKey(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(Operator(dir).Certificate, Operator(dir).Key)
	must(t, err)
	return pair
}

// keyOf enrols a new key for an originator; it returns the certificate that the network issued for it, and its ID.
func keyOf(t *testing.T, n *Node, op *client.Client, originator string) (tls.Certificate, string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	b, err := op.API(t.Context(), "POST", "/-/credentials", map[string]string{"originator": originator, "publicKey": hex.EncodeToString(pub)})
	must(t, err)
	var e Enrolled
	must(t, json.Unmarshal(b, &e))
	file, err := n.IssueClient(pub, originator)
	must(t, err)
	block, _ := pem.Decode(file)
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}, e.Key
}

// selfSigned is a certificate that its holder made out himself, and that has expired.
func selfSigned(t *testing.T, key ed25519.PrivateKey) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Coperator"}, NotAfter: time.Now().Add(-time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// asker sends oneM2M requests over HTTP with a TLS configuration.
type asker struct {
	*testing.T
	n      *Node
	client *http.Client
}

func newAsker(t *testing.T, n *Node, cfg *tls.Config) *asker {
	tr := &http.Transport{TLSClientConfig: cfg}
	t.Cleanup(tr.CloseIdleConnections)
	return &asker{t, n, &http.Client{Transport: tr}}
}

// ask returns X-M2M-RSC and the HTTP status.
func (a *asker) ask(method, path, from, contentType, body string, header ...string) string {
	a.Helper()
	req, err := http.NewRequest(method, a.n.URL()+path, strings.NewReader(body))
	must(a, err)
	req.Header.Set("X-M2M-Origin", from)
	req.Header.Set("X-M2M-RI", "1")
	req.Header.Set("X-M2M-RVI", "4")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rsp, err := a.client.Do(req)
	must(a, err)
	rsp.Body.Close()
	return fmt.Sprint(rsp.Header.Get("X-M2M-RSC"), " ", rsp.StatusCode)
}

// A client is who its key is bound to, over HTTP, WebSocket and MQTT; the certificate around the key counts for nothing.
// Whatever was opened with a key ends within a second of the commit that revokes it, and a TLS session that is resumed
// brings nothing back (TS-0003 clause 7.2).
func TestMutualTLS(t *testing.T) {
	n, roots := encrypted(t)
	op := client.NewWithKey(roots, operatorKey(t, n.Dir()), n.URL(), OperatorID, 4)
	defer op.Close()
	cert, id := keyOf(t, n, op, "Cdev")
	other, _ := keyOf(t, n, op, "Cother")
	with := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: roots, Certificates: certs, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	}
	cfg := with(cert)
	dev := newAsker(t, n, cfg)
	const ae, cin = "application/json;ty=2", "application/json;ty=4"
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	want("an AE", dev.ask("POST", "/tally", "Cdev", ae, `{"m2m:ae":{"rn":"dev","api":"Nx","rr":true,"srv":["4"]}}`), "2001 201")
	want("a container", dev.ask("POST", "/tally/dev", "Cdev", "application/json;ty=3", `{"m2m:cnt":{"rn":"c"}}`), "2001 201")
	want("its own", dev.ask("GET", "/tally/dev", "Cdev", "", ""), "2000 200")
	want("as somebody else", dev.ask("GET", "/tally/dev", "Cother", "", ""), "4103 403")
	want("for another site", dev.ask("GET", "/tally/dev", "Cdev", "", "", "Origin", "https://evil.example"), "4103 403")
	want("for another site, told by the browser", dev.ask("POST", "/tally/dev/c", "Cdev", cin, `{"m2m:cin":{"con":"1"}}`, "Sec-Fetch-Site", "cross-site"), "4103 403")
	want("for its own site", dev.ask("GET", "/tally/dev", "Cdev", "", "", "Origin", n.URL(), "Sec-Fetch-Site", "same-origin"), "2000 200")
	own := newAsker(t, n, with(selfSigned(t, cert.PrivateKey.(ed25519.PrivateKey))))
	want("a certificate of its own", own.ask("GET", "/tally/dev", "Cdev", "", ""), "2000 200")
	want("the name in a certificate", own.ask("GET", "/tally", OperatorID, "", ""), "4103 403")

	// WebSocket.
	address := n.Listens()[0].Address
	dial := func(cfg *tls.Config, header http.Header) (*websocket.Conn, *http.Response, error) {
		return websocket.Dial(t.Context(), "wss://"+address+"/", &websocket.DialOptions{
			HTTPClient: newAsker(t, n, cfg).client, Subprotocols: []string{"oneM2M.json"}, HTTPHeader: header,
		})
	}
	if _, rsp, err := dial(cfg, http.Header{"Origin": {"https://evil.example"}}); err == nil || rsp.StatusCode != http.StatusForbidden {
		t.Errorf("a connection for another site: %v", err)
	}
	ws, _, err := dial(cfg, nil)
	must(t, err)
	defer ws.CloseNow()
	must(t, ws.Write(t.Context(), websocket.MessageText, []byte(`{"op":2,"to":"tally/dev","fr":"Cdev","rqi":"1","rvi":"4"}`)))
	if _, b, err := ws.Read(t.Context()); err != nil || !strings.Contains(string(b), `"rsc":2000`) {
		t.Errorf("over WebSocket: %s, %v", b, err)
	}

	// MQTT, without user name or password.
	broker := n.mqttTLS.Addr().String()
	connect := func(cfg *tls.Config, id string, ended chan<- byte) (*paho.Client, error) {
		nc, err := tls.Dial("tcp", broker, cfg)
		must(t, err)
		c := paho.NewClient(paho.ClientConfig{ClientID: id, Conn: nc, OnServerDisconnect: func(d *paho.Disconnect) { ended <- d.ReasonCode }})
		_, err = c.Connect(t.Context(), &paho.Connect{KeepAlive: 30, ClientID: id, CleanStart: true})
		return c, err
	}
	mqttEnd := make(chan byte, 1)
	mqtt, err := connect(cfg, "one", mqttEnd)
	must(t, err)
	if _, err := mqtt.Publish(t.Context(), &paho.Publish{Topic: "tally/dev/c", Payload: []byte("1"), QoS: 1}); err != nil {
		t.Errorf("publish: %v", err)
	}
	othersEnd := make(chan byte, 1)
	if _, err := connect(with(other), "three", othersEnd); err != nil {
		t.Error(err)
	}

	// A connection of HTTP on which nothing is under way.
	idle, err := tls.Dial("tcp", address, cfg)
	must(t, err)
	defer idle.Close()
	get := "GET /tally/dev HTTP/1.1\r\nHost: localhost\r\nX-M2M-Origin: Cdev\r\nX-M2M-RI: 1\r\nX-M2M-RVI: 4\r\n\r\n"
	_, err = idle.Write([]byte(get))
	must(t, err)
	reader := bufio.NewReader(idle)
	rsp, err := http.ReadResponse(reader, nil)
	must(t, err)
	rsp.Body.Close()
	want("before", rsp.Header.Get("X-M2M-RSC"), "2000")

	if _, err := op.API(t.Context(), "DELETE", "/-/credentials/"+id, nil); err != nil {
		t.Fatal(err)
	}
	committed := time.Now()
	soon := func(what string) {
		t.Helper()
		if took := time.Since(committed); took > time.Second {
			t.Errorf("%s ended %s after the commit", what, took)
		}
	}
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("WebSocket: %v", err)
	}
	soon("WebSocket")
	if code := <-mqttEnd; code != 0x87 {
		t.Errorf("MQTT: %#x", code)
	}
	soon("MQTT")
	must(t, idle.SetReadDeadline(time.Now().Add(5*time.Second)))
	if _, err := reader.ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("an idle connection of HTTP: %v", err)
	}
	soon("HTTP")
	again, err := tls.Dial("tcp", address, cfg)
	must(t, err)
	defer again.Close()
	_, err = again.Write([]byte(get))
	must(t, err)
	rsp, err = http.ReadResponse(bufio.NewReader(again), nil)
	must(t, err)
	rsp.Body.Close()
	if !again.ConnectionState().DidResume {
		t.Error("the session was not resumed: nothing is shown by this test")
	}
	want("a resumed session", rsp.Header.Get("X-M2M-RSC"), "4107")
	if _, err := connect(cfg, "one", nil); err == nil {
		t.Error("a revoked key connects over MQTT")
	}
	select {
	case code := <-othersEnd:
		t.Errorf("another's connection ended with %#x", code)
	default:
	}

	// Last, because an address that shows what is not valid is soon locked out.
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	b, err := op.API(t.Context(), "POST", "/-/credentials", map[string]string{"originator": OperatorID, "role": "operator"})
	must(t, err)
	var second Enrolled
	must(t, json.Unmarshal(b, &second))
	bearer := "Bearer " + second.Token
	nobody := newAsker(t, n, with(selfSigned(t, stranger)))
	want("a key that nobody knows beside a token", nobody.ask("GET", "/tally", OperatorID, "", "", "Authorization", bearer), "2000 200")
	for _, got := range []string{
		newAsker(t, n, with(other)).ask("GET", "/tally", OperatorID, "", "", "Authorization", bearer), // one's key, another's token
		nobody.ask("GET", "/tally/dev", "Cdev", "", ""),                                               // a key that nobody knows
	} {
		if got != "4107 401" && got != "4141 429" {
			t.Error(got)
		}
	}
	if _, err := connect(with(selfSigned(t, stranger)), "two", nil); err == nil {
		t.Error("a key that nobody knows connects over MQTT")
	}
}

// A network is encrypted unless something else is asked for, with the hybrid key exchange, and says what is open.
func TestEncryptedByDefault(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	must(t, Init(InitOptions{Dir: dir}))
	cfg, err := LoadConfig(dir)
	must(t, err)
	if cfg.HTTPS != "127.0.0.1:7380" || cfg.HTTP+cfg.MQTT+cfg.CoAP != "" || cfg.URL() != "https://127.0.0.1:7380" {
		t.Errorf("%+v", cfg)
	}
	configure(t, dir, func(c *Config) {
		c.HTTPS, c.MinFreeBytes, c.MQTT, c.TLS.Names = "0.0.0.0:0", 1, "0.0.0.0:0", []string{"node.example"}
	})
	n := startNode(t, dir)
	defer stopNode(t, n)
	all := n.Listens()
	if len(all) != 2 || all[0].Warning != "" || !all[0].Encrypted || all[0].Why != "https in config.json" || !strings.Contains(all[1].Warning, "use mqtts") {
		t.Errorf("%+v", all)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "node.example"} {
		c, err := tls.Dial("tcp", strings.Replace(all[0].Address, "[::]", "127.0.0.1", 1), &tls.Config{RootCAs: n.authority.Pool(), ServerName: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s := c.ConnectionState(); s.Version != tls.VersionTLS13 || s.CurveID != tls.X25519MLKEM768 {
			t.Errorf("%s: version %x, key exchange %s", name, s.Version, s.CurveID)
		}
		c.Close()
	}
}
