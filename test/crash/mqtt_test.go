//go:build scenario

package crash

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/test/scenario"
)

// mqttWindow is how many publishes of a client are in flight at a time.
const mqttWindow = 64

// A client with a persistent session publishes with QoS 1, many messages in flight, while its node is killed again and
// again. It sends again what was not acknowledged, with DUP and the same packet identifier (MQTT 3.1.1 clause 4.4).
// Then everything acknowledged is there, and nothing is there twice.
func TestKilledBrokerKeepsWhatItAcknowledged(t *testing.T) {
	t.Logf("seed %d", *seed)
	rnd := rand.New(rand.NewPCG(*seed, 1))
	n := scenario.Init(t, t.TempDir())
	p := n.Start(t)
	clients := make([]*mqttDevice, 3)
	for i := range clients {
		clients[i] = newMQTTDevice(t, n, fmt.Sprint("mqtt-", i))
	}
	rounds := max(4, *kills/4)
	for kill := 1; kill <= rounds; kill++ {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() {
				if err := c.publish(ctx, kill > 1); err != nil && ctx.Err() == nil {
					t.Errorf("%s: before the node was killed: %v; the node said:\n%s", c.id, err, p.Output())
				}
			})
		}
		delay := 100*time.Millisecond + time.Duration(rnd.Int64N(int64(600*time.Millisecond)))
		time.Sleep(delay)
		cancel()
		p.Kill()
		wg.Wait()
		if t.Failed() {
			return
		}
		p = n.Start(t)
		t.Logf("kill %d after %s: %d sent", kill, delay.Round(time.Millisecond), clients[0].next)
	}
	for _, c := range clients {
		if err := c.settle(t.Context()); err != nil {
			t.Fatalf("%s: %v; the node said:\n%s", c.id, err, p.Output())
		}
		c.check(t)
	}
	if code := p.Stop(); code != 0 {
		t.Fatalf("the node ended with exit code %d:\n%s", code, p.Output())
	}
	n.Fsck(t)
}

// mqttDevice is a client of MQTT 3.1.1 whose session goes on when its node is killed.
type mqttDevice struct {
	id, addr, token string
	web             *client.Client
	next            int            // number of the next message
	pending         map[uint16]int // message by packet identifier
	order           []uint16       // of pending
}

func newMQTTDevice(t *testing.T, n *scenario.Network, name string) *mqttDevice {
	t.Helper()
	d := &mqttDevice{id: "C" + name, addr: n.MQTT, pending: make(map[uint16]int)}
	d.token = n.EnrolToken(t, d.id)
	d.web = client.New(n.URL(), d.id, d.token, 4)
	t.Cleanup(d.web.Close)
	_, err := d.web.Create(t.Context(), "tally", onem2m.TypeAE, map[string]any{"m2m:ae": map[string]any{
		"rn": name, "api": "Nscenario", "rr": false, "srv": []string{"4"}}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *mqttDevice) topic() string { return "tally/" + d.id[1:] + "/readings" }

// connect resumes the session and sends what was not acknowledged once more.
func (d *mqttDevice) connect(resumes bool) (net.Conn, *bufio.Reader, error) {
	c, err := net.Dial("tcp", d.addr)
	if err != nil {
		return nil, nil, err
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: 4}
	pk.Connect = packets.ConnectParams{
		ProtocolName: []byte("MQTT"), ClientIdentifier: "device", Keepalive: 60,
		UsernameFlag: true, Username: []byte(d.id), PasswordFlag: true, Password: []byte(d.token),
	}
	var buf bytes.Buffer
	if err := pk.ConnectEncode(&buf); err != nil {
		return nil, nil, err
	}
	if _, err := c.Write(buf.Bytes()); err != nil {
		return nil, nil, err
	}
	r := bufio.NewReader(c)
	ack := make([]byte, 4)
	if _, err := io.ReadFull(r, ack); err != nil {
		return nil, nil, fmt.Errorf("read CONNACK: %w", err)
	}
	if ack[3] != 0 || resumes && ack[2] != 1 {
		return nil, nil, fmt.Errorf("CONNACK % x; resumes a session: %v", ack, resumes)
	}
	for _, id := range d.order {
		if err := d.send(c, id, true); err != nil {
			return nil, nil, err
		}
	}
	return c, r, nil
}

func (d *mqttDevice) send(c net.Conn, id uint16, dup bool) error {
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1, Dup: dup}, ProtocolVersion: 4,
		TopicName: d.topic(), PacketID: id, Payload: strconv.AppendInt(nil, int64(d.pending[id]), 10),
	}
	var buf bytes.Buffer
	if err := pk.PublishEncode(&buf); err != nil {
		return err
	}
	_, err := c.Write(buf.Bytes())
	return err
}

// acknowledged reads one PUBACK.
func (d *mqttDevice) acknowledged(r *bufio.Reader) error {
	ack := make([]byte, 4)
	if _, err := io.ReadFull(r, ack); err != nil {
		return err
	}
	id := uint16(ack[2])<<8 | uint16(ack[3])
	if ack[0] != packets.Puback<<4 || len(d.order) == 0 || d.order[0] != id {
		return fmt.Errorf("got % x, want the PUBACK of %v [MQTT-4.6.0-2]", ack, d.order)
	}
	d.order = d.order[1:]
	delete(d.pending, id)
	return nil
}

// publish publishes until the node dies.
func (d *mqttDevice) publish(ctx context.Context, resumes bool) error {
	c, r, err := d.connect(resumes)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		for len(d.order) < mqttWindow && ctx.Err() == nil {
			id := uint16(d.next%1000 + 1)
			d.pending[id] = d.next
			d.order = append(d.order, id)
			d.next++
			if err := d.send(c, id, false); err != nil {
				return err
			}
		}
		if err := d.acknowledged(r); err != nil {
			return err
		}
	}
}

// settle sends what is left until all is acknowledged.
func (d *mqttDevice) settle(ctx context.Context) error {
	c, r, err := d.connect(true)
	if err != nil {
		return err
	}
	defer c.Close()
	for len(d.order) > 0 {
		if err := d.acknowledged(r); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// check requires every message that was sent, once: all are acknowledged now.
func (d *mqttDevice) check(t *testing.T) {
	t.Helper()
	seen := make([]bool, d.next)
	const page = 500
	for at := 0; ; at += page {
		b, err := d.web.Retrieve(t.Context(), fmt.Sprintf("%s?rcn=4&ty=4&lim=%d&ofst=%d", d.topic(), page, at+1))
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Container struct {
				Children []struct {
					Con json.RawMessage `json:"con"`
				} `json:"m2m:cin"`
			} `json:"m2m:cnt"`
		}
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		for _, in := range r.Container.Children {
			k, err := strconv.Atoi(string(bytes.Trim(in.Con, `"`)))
			if err != nil || k >= d.next {
				t.Fatalf("%s: %s was never sent", d.id, in.Con)
			}
			if seen[k] {
				t.Errorf("%s: message %d is there twice", d.id, k)
			}
			seen[k] = true
		}
		if len(r.Container.Children) < page {
			break
		}
	}
	for k, ok := range seen {
		if !ok {
			t.Fatalf("%s: message %d of %d was acknowledged and is lost", d.id, k, d.next)
		}
	}
	t.Logf("%s: %d messages, each there once", d.id, d.next)
}
