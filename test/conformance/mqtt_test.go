//go:build scenario

package conformance

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/tallystick/tallystick/test/scenario"
)

func init() {
	bindings["mqtt"] = func(t *testing.T, n *scenario.Network, cbor bool) wire {
		w := &mqttWire{addr: n.MQTT, format: "json", conns: make(map[string]*mqttConn)}
		if cbor {
			w.format = "cbor"
		}
		t.Cleanup(func() {
			for _, c := range w.conns {
				c.client.Disconnect(&paho.Disconnect{})
			}
		})
		return w
	}
}

// mqttWire speaks TS-0010, over one connection for each credential.
type mqttWire struct {
	addr, format string
	conns        map[string]*mqttConn
}

type mqttConn struct {
	id     string
	client *paho.Client
	got    chan *paho.Publish
}

// do sends a request on the topic of its originator. Where the topic may not be used, for the originator is not the
// client's, the request goes to the registration topic: there the primitive alone says who it is from.
func (w *mqttWire) do(t *testing.T, req primitive, token string) primitive {
	t.Helper()
	c, refused := w.conn(t, token)
	if refused { // TS-0010 clause 7.4: nobody unidentified publishes anything
		return primitive{"rsc": json.RawMessage("4107"), "rqi": req["rqi"]}
	}
	payload := encodePrimitive(t, req, w.format == "cbor")
	who := strings.ReplaceAll(strings.TrimLeft(req.text("fr"), "/"), "/", ":")
	topics := []string{"/oneM2M/reg_req/" + c.id + "/tally/" + w.format}
	if who != "" {
		topics = append([]string{"/oneM2M/req/" + who + "/tally/" + w.format}, topics...)
	}
	var err error
	for _, topic := range topics {
		c.subscribe(t, strings.Replace(topic, "req/", "resp/", 1))
		if _, err = c.client.Publish(t.Context(), &paho.Publish{Topic: topic, Payload: payload, QoS: 1}); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case m := <-c.got:
			if !strings.HasSuffix(m.Topic, w.format) {
				t.Errorf("TS-0010 clause 6.5.3: a response on %s, want %s", m.Topic, w.format)
			}
			if p := decodePrimitive(t, m.Payload, w.format == "cbor"); p["rsc"] != nil {
				return p
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no response")
		}
	}
}

func (w *mqttWire) conn(t *testing.T, token string) (c *mqttConn, refused bool) {
	t.Helper()
	if c := w.conns[token]; c != nil {
		return c, false
	}
	nc, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	c = &mqttConn{id: "conformance", got: make(chan *paho.Publish, 100)}
	c.client = paho.NewClient(paho.ClientConfig{
		ClientID: c.id, Conn: nc, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(p paho.PublishReceived) (bool, error) { c.got <- p.Packet; return true, nil },
		},
	})
	ack, err := c.client.Connect(t.Context(), &paho.Connect{
		KeepAlive: 30, ClientID: c.id, CleanStart: true, UsernameFlag: true, PasswordFlag: token != "", Password: []byte(token),
	})
	if err != nil && ack != nil && ack.ReasonCode == 0x86 {
		return nil, true
	}
	if err != nil {
		t.Fatal(errors.Join(err, nc.Close()))
	}
	w.conns[token] = c
	return c, false
}

// subscribe subscribes to a response topic; one of somebody else's is refused, and gets no messages.
func (c *mqttConn) subscribe(t *testing.T, topic string) {
	t.Helper()
	ack, err := c.client.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: 1}}})
	if err != nil && ack == nil {
		t.Fatal(err)
	}
}
