//go:build scenario

package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/tallystick/tallystick/test/scenario"
)

func init() {
	for name, qos := range map[string]byte{"mqtt": 1, "mqtt-qos2": 2} {
		plainWays[name] = func(t *testing.T, n *scenario.Network) plainWay {
			w := &plainMQTT{addr: n.MQTT, qos: qos, conns: make(map[string]*plainMQTTConn)}
			t.Cleanup(func() {
				for _, c := range w.conns {
					c.client.Disconnect(&paho.Disconnect{})
				}
			})
			return w
		}
	}
}

// plainMQTT publishes to tally/<ae>/<path> with MQTT 5.0, over one connection for each credential.
type plainMQTT struct {
	addr  string
	qos   byte
	conns map[string]*plainMQTTConn
}

type plainMQTTConn struct {
	client *paho.Client
	ended  chan byte // the reason code of the broker's DISCONNECT
}

func (*plainMQTT) has(m *plainMessage) bool { return m.method == "" && m.query == "" }

func (w *plainMQTT) send(t *testing.T, path string, m *plainMessage, token string) plainAnswer {
	t.Helper()
	c, refused := w.conn(t, token)
	if c == nil {
		return plainAnswer{code: fmt.Sprintf("CONNECT 0x%02x", refused)}
	}
	p := &paho.Publish{Topic: "tally/" + path, Payload: []byte(m.body), QoS: w.qos}
	if m.media != "" {
		p.Properties = &paho.PublishProperties{ContentType: m.media}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	type result struct {
		rsp *paho.PublishResponse
		err error
	}
	done := make(chan result, 1)
	go func() {
		rsp, err := c.client.Publish(ctx, p)
		done <- result{rsp, err}
	}()
	select {
	case code := <-c.ended:
		delete(w.conns, token)
		return plainAnswer{code: fmt.Sprintf("DISCONNECT 0x%02x", code)}
	case r := <-done:
		if r.rsp == nil {
			t.Fatal(r.err)
		}
		a := plainAnswer{code: fmt.Sprintf("0x%02x", r.rsp.ReasonCode)}
		if r.rsp.Properties != nil {
			a.why = r.rsp.Properties.ReasonString
		}
		return a
	}
}

// conn gives the connection of a credential, or the reason code of the CONNACK that refuses it.
func (w *plainMQTT) conn(t *testing.T, token string) (c *plainMQTTConn, refused byte) {
	t.Helper()
	if c := w.conns[token]; c != nil {
		return c, 0
	}
	nc, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprint("plain-", w.qos)
	c = &plainMQTTConn{ended: make(chan byte, 1)}
	c.client = paho.NewClient(paho.ClientConfig{
		ClientID: id, Conn: nc, OnServerDisconnect: func(d *paho.Disconnect) { c.ended <- d.ReasonCode },
	})
	ack, err := c.client.Connect(t.Context(), &paho.Connect{
		KeepAlive: 30, ClientID: id, CleanStart: true, PasswordFlag: token != "", Password: []byte(token),
	})
	if err != nil && ack != nil {
		return nil, ack.ReasonCode
	}
	if err != nil {
		t.Fatal(errors.Join(err, nc.Close()))
	}
	w.conns[token] = c
	return c, 0
}
