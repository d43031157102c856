package node

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/onem2m"
)

// mqttNode starts a node with a broker.
func mqttNode(t *testing.T) *Node {
	t.Helper()
	dir := initNode(t)
	configure(t, dir, func(c *Config) { c.MQTT = "127.0.0.1:0" })
	n := startNode(t, dir)
	t.Cleanup(func() { stopNode(t, n) })
	return n
}

func (n *Node) mqttAddr() string { return n.mqttPlain.Addr().String() }

// mqttClient is a client of a node's broker.
type mqttClient struct {
	*testing.T
	*paho.Client
	got chan *paho.Publish
}

func dialMQTT(t *testing.T, n *Node, id, token string) *mqttClient {
	t.Helper()
	nc, err := net.Dial("tcp", n.mqttAddr())
	must(t, err)
	return connectMQTT(t, nc, id, token, true)
}

func connectMQTT(t *testing.T, nc net.Conn, id, token string, clean bool) *mqttClient {
	t.Helper()
	c := &mqttClient{T: t, got: make(chan *paho.Publish, 1000)}
	c.Client = paho.NewClient(paho.ClientConfig{
		ClientID: id, Conn: nc, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(p paho.PublishReceived) (bool, error) { c.got <- p.Packet; return true, nil },
		},
	})
	connect := &paho.Connect{
		KeepAlive: 30, ClientID: id, CleanStart: clean, UsernameFlag: true, PasswordFlag: token != "", Password: []byte(token),
	}
	if !clean {
		day := uint32(24 * 60 * 60)
		connect.Properties = &paho.ConnectProperties{SessionExpiryInterval: &day}
	}
	ack, err := c.Connect(t.Context(), connect)
	if err != nil {
		t.Fatalf("CONNECT: %v, %+v", err, ack)
	}
	t.Cleanup(func() { c.Disconnect(&paho.Disconnect{}) })
	return c
}

func (c *mqttClient) subscribe(filter string) {
	c.Helper()
	_, err := c.Subscribe(c.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1}}})
	must(c, err)
}

func (c *mqttClient) publish(topic, payload string, change ...func(*paho.Publish)) {
	c.Helper()
	p := &paho.Publish{Topic: topic, Payload: []byte(payload), QoS: 1}
	for _, f := range change {
		f(p)
	}
	if r, err := c.Publish(c.Context(), p); err != nil {
		c.Fatalf("publish to %s: %v %+v", topic, err, r)
	}
}

// expect takes the next message. One that was not acknowledged when its client left may come again before.
func (c *mqttClient) expect(topic, payload string) *paho.Publish {
	c.Helper()
	for {
		select {
		case p := <-c.got:
			if p.Topic == topic && string(p.Payload) == payload {
				return p
			}
			if !p.Duplicate() {
				c.Fatalf("got %s %q; want %s %q", p.Topic, p.Payload, topic, payload)
			}
		case <-time.After(20 * time.Second):
			c.Fatalf("nothing came; want %s %q", topic, payload)
			return nil
		}
	}
}

func (c *mqttClient) expectNothing() {
	c.Helper()
	select {
	case p := <-c.got:
		c.Fatalf("got %s %q; want nothing", p.Topic, p.Payload)
	case <-time.After(100 * time.Millisecond):
	}
}

// do sends a request primitive and returns the response.
func (c *mqttClient) do(status onem2m.StatusCode, aei, text string) *onem2m.Response {
	c.Helper()
	_, err := c.Publish(c.Context(), &paho.Publish{Topic: "/oneM2M/req/" + aei + "/tally/json", Payload: []byte(text), QoS: 1})
	must(c, err)
	for {
		select {
		case p := <-c.got:
			if !strings.HasPrefix(p.Topic, "/oneM2M/resp/") {
				continue
			}
			resp, err := onem2m.ParseResponse(p.Payload)
			must(c, err)
			if resp.Status != status {
				c.Fatalf("%s: %s; want %d", text, p.Payload, status)
			}
			return resp
		case <-time.After(20 * time.Second):
			c.Fatalf("%s: no response", text)
		}
	}
}

const mqttAE = `{"op":1,"to":"tally","fr":"%s","rqi":"1","rvi":"4","ty":2,"pc":{"m2m:ae":{"rn":"%s","api":"Nx","rr":true,"srv":["4"],"poa":["mqtt://%s"]}}}`

// putReading stores a reading over HTTP.
func putReading(t *testing.T, c *client.Client, con string) {
	t.Helper()
	_, err := c.Create(t.Context(), "tally/dev/room/temp", onem2m.TypeContentInstance, map[string]any{"m2m:cin": map[string]string{"con": con}})
	must(t, err)
}

// TestMQTTDevice: a device registers by oneM2M primitives, publishes as a plain device, gets live data of what came by
// HTTP, and is notified on its request topic.
func TestMQTTDevice(t *testing.T) {
	n := mqttNode(t)
	web, dev := enrol(t, n, "Cdev")
	c := dialMQTT(t, n, "dev", dev.Token)
	c.subscribe("/oneM2M/resp/Cdev/tally/json")
	c.do(onem2m.StatusCreated, "Cdev", fmt.Sprintf(mqttAE, "Cdev", "dev", n.mqttAddr()))
	c.subscribe("tally/dev/#")
	c.publish("tally/dev/room/temp", "21.5", func(p *paho.Publish) {
		p.Properties = &paho.PublishProperties{ContentType: "text/plain"}
	})
	if p := c.expect("tally/dev/room/temp", "21.5"); p.Properties.ContentType != "text/plain" {
		t.Errorf("content type %q", p.Properties.ContentType)
	}
	putReading(t, web, "22")
	c.expect("tally/dev/room/temp", "22")
	c.publish("tally/dev/room/temp", "23", func(p *paho.Publish) { p.Retain = true })
	c.expect("tally/dev/room/temp", "23")
	putReading(t, web, "24")
	c.expect("tally/dev/room/temp", "24")

	d := dialMQTT(t, n, "dev2", dev.Token)
	d.subscribe("tally/dev/room/temp")
	if p := d.expect("tally/dev/room/temp", "23"); !p.Retain {
		t.Error("the retained message has no RETAIN flag")
	}
	d.expectNothing()
	d.publish("tally/dev/room/temp", "", func(p *paho.Publish) { p.Retain = true })
	d.expect("tally/dev/room/temp", "")
	c.expect("tally/dev/room/temp", "")
	d.subscribe("tally/dev/room/+")
	d.expectNothing()
	must(t, d.Disconnect(&paho.Disconnect{}))

	_, other := enrol(t, n, "Cother")
	o := dialMQTT(t, n, "other", other.Token)
	o.subscribe("tally/#")
	if _, err := o.Publish(t.Context(), &paho.Publish{Topic: "tally/dev/room/temp", Payload: []byte("66"), QoS: 1}); err == nil {
		t.Error("another device may publish")
	}

	c.subscribe("/oneM2M/req/+/Cdev/json")
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for range 2 { // verification is for others' targets only; two notifications
			p := <-c.got
			for !strings.HasPrefix(p.Topic, "/oneM2M/req/") {
				p = <-c.got
			}
			req, err := onem2m.ParseRequest(p.Payload)
			if err != nil || req.Operation != onem2m.Notify {
				t.Errorf("%s: %v", p.Payload, err)
			}
			c.Publish(t.Context(), &paho.Publish{
				Topic: "/oneM2M/resp/tally/Cdev/json", Payload: fmt.Appendf(nil, `{"rsc":2000,"rqi":%q}`, req.RequestID), QoS: 1,
			})
		}
	}()
	_, err := web.Create(t.Context(), "tally/dev/room/temp", onem2m.TypeSubscription, json.RawMessage(`{"m2m:sub":{"rn":"s","nu":["Cdev"],"enc":{"net":[3]}}}`))
	must(t, err)
	for i := range 2 {
		putReading(t, web, fmt.Sprint("notify", i))
	}
	select {
	case <-answered:
	case <-time.After(20 * time.Second):
		t.Fatal("not notified")
	}
	o.expectNothing()
}

// TestMQTTRevoked: a revoked credential ends the connection, and stops live data at once.
func TestMQTTRevoked(t *testing.T) {
	n := mqttNode(t)
	_, dev := enrol(t, n, "Cdev")
	c := dialMQTT(t, n, "dev", dev.Token)
	c.subscribe("/oneM2M/resp/Cdev/tally/json")
	c.do(onem2m.StatusCreated, "Cdev", fmt.Sprintf(mqttAE, "Cdev", "dev", n.mqttAddr()))
	c.publish("tally/dev/temp", "1")
	op := client.New("http://"+n.Addr(), OperatorID, token(t, n.Dir()), 4)
	defer op.Close()
	_, err := op.API(t.Context(), "DELETE", "/-/credentials/"+dev.Key, nil)
	must(t, err)
	select {
	case <-c.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the connection goes on")
	}
}

// TestMQTTOrder: many publishes in flight are stored in their order and acknowledged when they are.
func TestMQTTOrder(t *testing.T) {
	n := mqttNode(t)
	web, dev := enrol(t, n, "Cdev")
	c := dialMQTT(t, n, "dev", dev.Token)
	c.subscribe("/oneM2M/resp/Cdev/tally/json")
	c.do(onem2m.StatusCreated, "Cdev", fmt.Sprintf(mqttAE, "Cdev", "dev", n.mqttAddr()))
	c.subscribe("tally/dev/+")
	const count = 300
	for i := range count {
		_, err := c.PublishWithOptions(t.Context(), &paho.Publish{Topic: "tally/dev/temp", Payload: fmt.Append(nil, i), QoS: 1},
			paho.PublishOptions{Method: paho.PublishMethod_AsyncSend})
		must(t, err)
	}
	for i := range count {
		c.expect("tally/dev/temp", fmt.Sprint(i))
	}
	la, err := web.Retrieve(t.Context(), "tally/dev/temp/la")
	must(t, err)
	if !strings.Contains(string(la), fmt.Sprint(count-1)) {
		t.Errorf("the newest is %s", la)
	}
	if !slices.ContainsFunc(n.Listens(), func(l Listening) bool { return l.String() == "mqtt "+n.mqttAddr() && !l.Encrypted && l.Warning == "" }) {
		t.Errorf("listens on %v", n.Listens())
	}
}

// TestMQTTRights: who loses the right to read gets nothing more from then on, and who gains it gets what comes then.
func TestMQTTRights(t *testing.T) {
	n := mqttNode(t)
	web, dev := enrol(t, n, "Cdev")
	_, app := enrol(t, n, "Capp")
	c := dialMQTT(t, n, "dev", dev.Token)
	c.subscribe("/oneM2M/resp/Cdev/tally/json")
	c.do(onem2m.StatusCreated, "Cdev", fmt.Sprintf(mqttAE, "Cdev", "dev", n.mqttAddr()))
	policy := func(readers string) json.RawMessage {
		return json.RawMessage(`{"m2m:acp":{"pv":{"acr":[{"acor":["Cdev"],"acop":63}` + readers + `]},"pvs":{"acr":[{"acor":["Cdev"],"acop":63}]}}}`)
	}
	create := json.RawMessage(strings.Replace(string(policy("")), `{"m2m:acp":{`, `{"m2m:acp":{"rn":"policy",`, 1))
	_, err := web.Create(t.Context(), "tally/dev", onem2m.TypeACP, create)
	must(t, err)
	_, err = web.Create(t.Context(), "tally/dev", onem2m.TypeContainer, json.RawMessage(`{"m2m:cnt":{"rn":"c","acpi":["tally/dev/policy"]}}`))
	must(t, err)
	a := dialMQTT(t, n, "app", app.Token)
	a.subscribe("tally/#")
	if _, err := a.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "tally/dev/c", QoS: 1}}}); err == nil {
		t.Error("a container that may not be read may be subscribed to")
	}
	for round := range 3 {
		c.publish("tally/dev/c", fmt.Sprint("secret", round))
		_, err = web.Update(t.Context(), "tally/dev/policy", policy(`,{"acor":["Capp"],"acop":2}`))
		must(t, err)
		c.publish("tally/dev/c", fmt.Sprint("open", round))
		a.expect("tally/dev/c", fmt.Sprint("open", round))
		_, err = web.Update(t.Context(), "tally/dev/policy", policy(""))
		must(t, err)
	}
	c.publish("tally/dev/c", "secret again")
	a.expectNothing()
}

// TestMQTTS: the broker over TLS, and a session that goes on after a restart of the node.
func TestMQTTS(t *testing.T) {
	dir := initNode(t)
	pool := writeCertificate(t, dir, 1)
	configure(t, dir, func(c *Config) { c.MQTTS, c.TLS = "127.0.0.1:0", TLSFiles{Cert: "cert.pem", Key: "key.pem"} })
	n := startNode(t, dir)
	dial := func(id, token string) *mqttClient {
		nc, err := tls.Dial("tcp", n.mqttTLS.Addr().String(), &tls.Config{RootCAs: pool})
		must(t, err)
		return connectMQTT(t, nc, id, token, false)
	}
	web, dev := enrol(t, n, "Cdev")
	_, err := web.Create(t.Context(), "tally", onem2m.TypeAE, json.RawMessage(`{"m2m:ae":{"rn":"dev","api":"Nx","rr":false,"srv":["4"]}}`))
	must(t, err)
	c := dial("dev", dev.Token)
	c.subscribe("tally/dev/#")
	c.publish("tally/dev/temp", "1")
	c.expect("tally/dev/temp", "1")
	must(t, c.Disconnect(&paho.Disconnect{}))
	_, err = web.Create(t.Context(), "tally/dev/temp", onem2m.TypeContentInstance, json.RawMessage(`{"m2m:cin":{"con":"2"}}`))
	must(t, err)
	stopNode(t, n)
	n = startNode(t, dir)
	defer stopNode(t, n)
	c = dial("dev", dev.Token)
	c.expect("tally/dev/temp", "2")
	c.publish("tally/dev/temp", "3")
	c.expect("tally/dev/temp", "3")
}

// TestMQTTLab: in a lab network one client without a password, or with one that cannot be a token, may speak for any
// originator.
func TestMQTTLab(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	must(t, Init(InitOptions{Dir: dir, HTTP: "127.0.0.1:0", MQTT: "127.0.0.1:0", Lab: true}))
	configure(t, dir, func(c *Config) { c.MinFreeBytes = 1 })
	n, err := StartLab(context.Background(), dir, watchedLog)
	must(t, err)
	defer stopNode(t, n)
	dialMQTT(t, n, "test", "mqtt")
	c := dialMQTT(t, n, "suite", "")
	c.subscribe("/oneM2M/resp/+/tally/json")
	for _, id := range []string{"Cone", "Ctwo"} {
		c.do(onem2m.StatusCreated, id, fmt.Sprintf(mqttAE, id, id[1:], n.mqttAddr()))
	}
	c.do(onem2m.StatusOriginatorHasNoPrivilege, "Cone", `{"op":4,"to":"tally/two","fr":"Cone","rqi":"3","rvi":"4"}`)
	c.do(onem2m.StatusDeleted, "Ctwo", `{"op":4,"to":"tally/two","fr":"Ctwo","rqi":"4","rvi":"4"}`)
}
