package node

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/binding"
	coapbinding "github.com/tallystick/tallystick/internal/binding/coap"
	httpbinding "github.com/tallystick/tallystick/internal/binding/http"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// TestSignedOverEveryBinding: a device that has nothing but its key is served by HTTP, CoAP without DTLS, MQTT and
// WebSocket, in JSON and CBOR, and each reading proves offline that the device itself signed it.
func TestSignedOverEveryBinding(t *testing.T) {
	dir := initNode(t)
	configure(t, dir, func(c *Config) { c.MQTT, c.CoAP = "127.0.0.1:0", "127.0.0.1:0" })
	n := startNode(t, dir)
	t.Cleanup(func() { stopNode(t, n) })
	_, withToken := enrol(t, n, "Cdev")
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, ed25519.SeedSize))
	op := client.New("http://"+n.Addr(), OperatorID, token(t, dir), 4)
	t.Cleanup(op.Close)
	public := hex.EncodeToString(key.Public().(ed25519.PublicKey))
	_, err := op.API(t.Context(), "POST", "/-/credentials", EnrolRequest{Originator: "Cdev", PublicKey: public})
	must(t, err)
	enrolment, err := op.Proof(t.Context(), "", n.app.Head().LogSize-1)
	must(t, err)
	policyFile, err := op.API(t.Context(), "GET", "/-/policy", nil)
	must(t, err)
	policy, err := proof.ParsePolicy(policyFile)
	must(t, err)
	bound, err := policy.Verify(enrolment)
	must(t, err)

	signer := client.NewSigner(n.app.Genesis().Origin, key, 0, 0)
	device := client.New("http://"+n.Addr(), "Cdev", "", 1)
	t.Cleanup(device.Close)
	device.SignWith(signer)
	_, err = device.Create(t.Context(), "tally", onem2m.TypeAE, json.RawMessage(`{"m2m:ae":{"rn":"dev","api":"Nx","rr":false,"srv":["4"]}}`))
	must(t, err)
	_, err = device.Create(t.Context(), "tally/dev", onem2m.TypeContainer, json.RawMessage(`{"m2m:cnt":{"rn":"c"}}`))
	must(t, err)
	_, err = device.Update(t.Context(), "/tally/tally/dev/c", json.RawMessage(`{"m2m:cnt":{"lbl":["signed"]}}`))
	must(t, err)

	reading := func(con string) *onem2m.Request {
		req := &onem2m.Request{
			Operation: onem2m.Create, From: "Cdev", To: "/tally/tally/dev/c", Type: onem2m.TypeContentInstance, RequestID: "r-" + con, ReleaseVersion: "4",
			ResultContent: onem2m.ResultContentNothing, Content: fmt.Appendf(nil, `{"m2m:cin":{"con":"%s"}}`, con),
		}
		if !strings.Contains(con, "cbor") { // in JSON every character counts, in CBOR there is only one text of a value
			req.Content = fmt.Appendf(nil, `{"m2m:cin": {"con": "%s" } }`, con)
		}
		must(t, signer.Sign(req))
		return req
	}
	created := func(how string, rsp *onem2m.Response, err error) {
		t.Helper()
		if err != nil || rsp.Status != onem2m.StatusCreated {
			t.Fatalf("%s: %v %+v", how, err, rsp)
		}
		b, err := op.Proof(t.Context(), "", n.app.Head().LogSize-1)
		must(t, err)
		v, err := policy.Verify(b)
		must(t, err)
		if v.Device != nil || !v.Erased {
			t.Errorf("%s: an operator without the right to read is shown what the device signed", how)
		}
		index := n.app.Head().LogSize - 1
		shown, err := n.app.Bundle(t.Context(), index)
		must(t, err)
		if v, err = policy.Verify(shown.Marshal()); err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if v.Device == nil || !v.Device.Direct || v.Entry.Auth.Counter != signer.Last() || !strings.Contains(string(v.Payload), how) {
			t.Errorf("%s: %+v", how, v.Device)
		}
		must(t, v.Device.CheckEnrolment(bound))
	}

	httpPeer := httpbinding.NewClient(http.DefaultTransport)
	for _, how := range []string{"http json", "http cbor"} {
		rsp, err := httpPeer.Send(t.Context(), binding.Address{URL: "http://" + n.Addr(), CBOR: strings.Contains(how, "cbor")}, reading(how))
		created(how, rsp, err)
	}
	coapPeer := coapbinding.NewClient(coapbinding.ClientOptions{})
	t.Cleanup(coapPeer.Close)
	for _, how := range []string{"coap json", "coap cbor"} {
		rsp, err := coapPeer.Send(t.Context(), binding.Address{URL: "coap://127.0.0.1:" + listensOn(t, n, "coap"), CBOR: strings.Contains(how, "cbor")}, reading(how))
		created(how, rsp, err)
	}
	mq := dialMQTT(t, n, "Cdev", withToken.Token)
	mq.subscribe("/oneM2M/resp/Cdev/#")
	created("mqtt json", mq.do(onem2m.StatusCreated, "Cdev", string(onem2m.AppendRequest(nil, reading("mqtt json")))), nil)
	for how, protocol := range map[string]string{"ws json": "oneM2M.json", "ws cbor": "oneM2M.cbor"} {
		ws, _, err := websocket.Dial(t.Context(), "ws://"+n.Addr()+"/", &websocket.DialOptions{Subprotocols: []string{protocol}})
		must(t, err)
		text, typ := onem2m.AppendRequest(nil, reading(how)), websocket.MessageText
		if strings.Contains(how, "cbor") {
			typ = websocket.MessageBinary
			text, err = onem2m.JSONToCBOR(text)
			must(t, err)
		}
		must(t, ws.Write(t.Context(), typ, text))
		_, answer, err := ws.Read(t.Context())
		must(t, err)
		if strings.Contains(how, "cbor") {
			answer, err = onem2m.CBORToJSON(answer)
			must(t, err)
		}
		rsp, err := onem2m.ParseResponse(answer)
		created(how, rsp, err)
		ws.CloseNow()
	}

	// The same request again is nobody's, whatever it comes by.
	again := reading("again")
	if rsp, err := httpPeer.Send(t.Context(), binding.Address{URL: "http://" + n.Addr()}, again); err != nil || rsp.Status != onem2m.StatusCreated {
		t.Fatal(err, rsp)
	}
	rsp, err := coapPeer.Send(t.Context(), binding.Address{URL: "coap://127.0.0.1:" + listensOn(t, n, "coap")}, again)
	if err != nil || rsp.Status != onem2m.StatusConflict {
		t.Errorf("replayed over CoAP: %v %+v", err, rsp)
	}
	forged := reading("forged")
	forged.Content = []byte(`{"m2m:cin":{"con":"other"}}`)
	for _, c := range []struct {
		url  string
		send binding.Client
	}{{"http://" + n.Addr(), httpPeer}, {"coap://127.0.0.1:" + listensOn(t, n, "coap"), coapPeer}} {
		if rsp, err := c.send.Send(t.Context(), binding.Address{URL: c.url}, forged); err != nil || rsp.Status != onem2m.StatusSecurityAssociationRequired {
			t.Errorf("%s: forged: %v %+v", c.url, err, rsp)
		}
	}

	// Erased: payload and signature are gone, everything else still proves itself.
	index := n.app.Head().LogSize - 1
	_, err = op.API(t.Context(), "POST", "/-/erase", map[string]uint64{"index": index})
	must(t, err)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b, err := n.app.Bundle(t.Context(), index)
		must(t, err)
		v, err := policy.Verify(b.Marshal())
		must(t, err)
		if v.Erased {
			if v.Device != nil || v.Entry.Auth.Method != proof.AuthSignature || v.Entry.Auth.Counter == 0 {
				t.Errorf("erased: %+v", v)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("not erased")
		}
	}
}
