package node

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	coapbinding "github.com/tallystick/tallystick/internal/binding/coap"
	"github.com/tallystick/tallystick/onem2m"
)

// startCoAP starts a node that serves CoAP on every address, over UDP and over DTLS, and gives a client that trusts it.
func startCoAP(t *testing.T, tokensInClear bool, also ...net.IP) (*Node, *coapbinding.Client) {
	t.Helper()
	dir := initNode(t)
	peer := coapbinding.NewClient(coapbinding.ClientOptions{RootCAs: writeCertificate(t, dir, 1, also...)})
	t.Cleanup(peer.Close)
	configure(t, dir, func(c *Config) {
		c.CoAP, c.CoAPS, c.TLS, c.CoAPTokensInClear = "0.0.0.0:0", "0.0.0.0:0", TLSFiles{Cert: "cert.pem", Key: "key.pem"}, tokensInClear
	})
	return startNode(t, dir), peer
}

// listensOn gives the port of a protocol.
func listensOn(t *testing.T, n *Node, protocol string) string {
	t.Helper()
	for _, l := range n.Listens() {
		if l.Protocol == protocol {
			_, port, err := net.SplitHostPort(l.Address)
			must(t, err)
			return port
		}
	}
	t.Fatalf("%s is not among %q", protocol, n.Listens())
	return ""
}

// TestCoAPS is a device over DTLS: a oneM2M request and a plain reading do what they do over HTTP, with the same rights;
// a new certificate needs no restart (TS-0008 clause 6.2, RFC 7252 clause 9).
func TestCoAPS(t *testing.T) {
	n, peer := startCoAP(t, false)
	c, e := enrol(t, n, "Cpump")
	_, stranger := enrol(t, n, "Cstranger")
	_, err := c.Create(t.Context(), "tally", onem2m.TypeAE, json.RawMessage(`{"m2m:ae":{"rn":"pump","api":"Npump","rr":false,"srv":["4"]}}`))
	must(t, err)
	for _, scheme := range []string{"coap", "coaps"} {
		url := scheme + "://127.0.0.1:" + listensOn(t, n, scheme)
		send := func(from, token string, op onem2m.Operation, to string, ty onem2m.ResourceType, content string) *onem2m.Response {
			t.Helper()
			req := &onem2m.Request{
				Operation: op, To: to, From: from, RequestID: "r1", ReleaseVersion: "4", Type: ty, ResultContent: onem2m.ResultContentAttributes, Content: []byte(content),
			}
			rsp, err := peer.Send(t.Context(), binding.Address{URL: url, Token: token}, req)
			must(t, err)
			return rsp
		}
		for _, x := range []struct {
			what, from, token string
			op                onem2m.Operation
			to                string
			ty                onem2m.ResourceType
			content           string
			want              onem2m.StatusCode
		}{
			{"container", "Cpump", e.Token, onem2m.Create, "pump", onem2m.TypeContainer, `{"m2m:cnt":{"rn":"` + scheme + `"}}`, onem2m.StatusCreated},
			{"reading", "Cpump", e.Token, onem2m.Create, "pump/" + scheme, onem2m.TypeContentInstance, `{"m2m:cin":{"con":"21.5"}}`, onem2m.StatusCreated},
			{"latest", "Cpump", e.Token, onem2m.Retrieve, "pump/" + scheme + "/la", 0, "", onem2m.StatusOK},
			{"another's name", "Cpump", stranger.Token, onem2m.Retrieve, "pump/" + scheme, 0, "", onem2m.StatusOriginatorHasNoPrivilege},
			{"no right", "Cstranger", stranger.Token, onem2m.Retrieve, "pump/" + scheme, 0, "", onem2m.StatusOriginatorHasNoPrivilege},
			{"no token", "Cpump", "", onem2m.Retrieve, "pump/" + scheme, 0, "", onem2m.StatusSecurityAssociationRequired},
		} {
			if rsp := send(x.from, x.token, x.op, "/tally/tally/"+x.to, x.ty, x.content); rsp.Status != x.want {
				t.Errorf("%s: %s: %d %s, want %d", url, x.what, rsp.Status, rsp.Content, x.want)
			}
		}
		rsp, err := postPlain(t, peer, url, "pump/plain", e.Token)
		must(t, err)
		if rsp.Status != onem2m.StatusCreated {
			t.Errorf("%s: a plain reading: %+v", url, rsp)
		}
		b, err := c.Retrieve(t.Context(), "tally/pump/"+scheme+"/la")
		must(t, err)
		if !strings.Contains(string(b), `"con":"21.5"`) {
			t.Errorf("%s: HTTP sees %s", url, b)
		}
	}
	port := listensOn(t, n, "coaps")
	url := "coaps://127.0.0.1:" + port
	look := func(at time.Time) { // for a new certificate, a second after at
		n.tls.mu.Lock()
		defer n.tls.mu.Unlock()
		n.tls.checked = at
	}
	look(time.Now().Add(time.Hour))
	renewed := coapbinding.NewClient(coapbinding.ClientOptions{RootCAs: writeCertificate(t, n.Dir(), 2)})
	defer renewed.Close()
	if _, err := postPlain(t, renewed, url, "pump/plain", e.Token); err == nil {
		t.Error("a certificate that is not trusted is")
	}
	look(time.Time{})
	if rsp, err := postPlain(t, renewed, url, "pump/plain", e.Token); err != nil || rsp.Status != onem2m.StatusCreated {
		t.Errorf("the new certificate is not used: %+v, %v", rsp, err)
	}
	b, err := c.Retrieve(t.Context(), "tally/pump/plain")
	must(t, err)
	if !strings.Contains(string(b), `"cni":3`) {
		t.Errorf("3 plain readings: %s", b)
	}
	stopNode(t, n)
	if conn, err := net.ListenPacket("udp", "0.0.0.0:"+port); err != nil {
		t.Errorf("a node that has stopped still listens: %v", err)
	} else {
		conn.Close()
	}
}

// postPlain sends a reading as a device does that speaks no oneM2M: a POST to the URL, nothing more.
func postPlain(t *testing.T, c *coapbinding.Client, url, path, token string) (*onem2m.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return c.Send(ctx, binding.Address{URL: url + "/ingest/" + path + "?tkns=" + token},
		&onem2m.Request{Operation: onem2m.Notify, RequestID: "r", ReleaseVersion: "4", Content: []byte("21.5")})
}

// TestCoAPTokensInClear: a token that another machine sends over UDP is refused, unless the configuration says
// otherwise; over DTLS it is taken.
func TestCoAPTokensInClear(t *testing.T) {
	own := ownAddress(t)
	for _, allowed := range []bool{false, true} {
		n, peer := startCoAP(t, allowed, own)
		_, e := enrol(t, n, "Cpump")
		for url, ok := range map[string]bool{
			"coap://" + own.String() + ":" + listensOn(t, n, "coap"):   allowed,
			"coap://127.0.0.1:" + listensOn(t, n, "coap"):              true,
			"coaps://" + own.String() + ":" + listensOn(t, n, "coaps"): true,
		} {
			rsp, err := postPlain(t, peer, url, "pump/c", e.Token)
			var refused *binding.AnswerError
			switch {
			case ok && (err != nil || rsp.Status != onem2m.StatusCreated):
				t.Errorf("allowed %v, %s: %+v, %v", allowed, url, rsp, err)
			case !ok && (!errors.As(err, &refused) || refused.Code != 403):
				t.Errorf("allowed %v, %s: %+v, %v; want 4.03", allowed, url, rsp, err)
			}
		}
		stopNode(t, n)
	}
}

// asked takes every request that comes.
type asked chan *onem2m.Request

func (asked) Known(binding.Evidence) bool { return true }

func (a asked) Do(_ context.Context, req *onem2m.Request, _ binding.Evidence) *onem2m.Response {
	a <- req
	return &onem2m.Response{Status: onem2m.StatusOK, RequestID: req.RequestID, ReleaseVersion: "4"}
}

// TestCoAPNotification: a subscriber that names a coap address is asked there, and told there what is new (TS-0008 clause
// 6.2, TS-0004 clause 7.5.1.2.2). The node itself need not serve CoAP.
func TestCoAPNotification(t *testing.T) {
	n := startNode(t, initNode(t))
	defer stopNode(t, n)
	c, _ := enrol(t, n, "Cpump")
	got := make(asked, 10)
	subscriber := coapbinding.New(got, coapbinding.Options{})
	conn, err := coapbinding.ListenUDP("127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- subscriber.Serve(conn) }()
	defer func() {
		must(t, subscriber.Shutdown(context.Background()))
		must(t, <-served)
	}()
	for _, r := range []struct {
		parent, content string
		ty              onem2m.ResourceType
	}{
		{"tally", `{"m2m:ae":{"rn":"pump","api":"Npump","rr":false,"srv":["4"]}}`, onem2m.TypeAE},
		{"tally/pump", `{"m2m:cnt":{"rn":"c"}}`, onem2m.TypeContainer},
		{"tally/pump/c", `{"m2m:sub":{"rn":"s","nu":["coap://` + conn.LocalAddr().String() + `/inbox"],"enc":{"net":[3]}}}`, onem2m.TypeSubscription},
		{"tally/pump/c", `{"m2m:cin":{"con":"21.5"}}`, onem2m.TypeContentInstance},
	} {
		_, err := c.Create(t.Context(), r.parent, r.ty, json.RawMessage(r.content))
		must(t, err)
	}
	for _, want := range []string{`"vrq":true`, `"con":"21.5"`} {
		select {
		case req := <-got:
			if req.Operation != onem2m.Notify || !strings.Contains(string(req.Content), want) {
				t.Errorf("operation %d with %s, want %s", req.Operation, req.Content, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing came, want %s", want)
		}
	}
}

// ownAddress is an address of this machine that other machines could send from.
func ownAddress(t *testing.T) net.IP {
	t.Helper()
	all, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range all {
		if a, ok := a.(*net.IPNet); ok && a.IP.To4() != nil && a.IP.IsGlobalUnicast() {
			return a.IP
		}
	}
	t.Skip("this machine has only its loopback interface")
	return nil
}

// TestBadCoAP: what keeps CoAP from being served stops the start, and names the field.
func TestBadCoAP(t *testing.T) {
	taken, err := coapbinding.ListenUDP("127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	for want, set := range map[string]func(*Config){
		"(coap in config.json)": func(c *Config) { c.CoAP = taken.LocalAddr().String() },
		"(coaps in config.json)": func(c *Config) {
			c.CoAP, c.CoAPS, c.TLS = "127.0.0.1:0", "127.0.0.1:"+strconv.Itoa(1<<16), TLSFiles{Cert: "cert.pem", Key: "key.pem"}
		},
	} {
		dir := initNode(t)
		writeCertificate(t, dir, 1)
		configure(t, dir, set)
		if _, err := Start(context.Background(), dir, watchedLog); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
