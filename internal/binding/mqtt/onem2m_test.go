package mqttbinding

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// TestRequests: requests on the request topic are answered on the response topic, in the format of the topic (TS-0010
// clauses 6.4.2 to 6.5.4).
func TestRequests(t *testing.T) {
	eachVersion(t, func(t *testing.T, v byte) {
		b := newBed(t)
		b.answer = func(req *onem2m.Request, ev binding.Evidence) *onem2m.Response {
			return &onem2m.Response{
				Status: onem2m.StatusCreated, RequestID: req.RequestID, ReleaseVersion: req.ReleaseVersion,
				Content: fmt.Appendf(nil, `{"m2m:dbg":"%d %s %s %s %d"}`, req.Operation, req.To, req.From, ev.Token, req.Type),
			}
		}
		p := b.client(t, v, "dev", "t-dev")
		p.subscribe("/oneM2M/resp/Cdev/+/#", 1)
		p.subscribe("/oneM2M/reg_resp/dev/cse/json", 1)
		const body = `{"op":1,"to":"-/x","fr":"Cdev","rqi":"r1","rvi":"4","ty":3,"pc":{"m2m:cnt":{}}}`
		const dbg = `"pc":{"m2m:dbg":"1 -/x Cdev t-dev 3"}}`
		p.publish("/oneM2M/req/Cdev/cse/json", body, 1, 1)
		m, ack := p.next(), p.next() // in either order
		if m.FixedHeader.Type == packets.Puback {
			m, ack = ack, m
		}
		if ack.FixedHeader.Type != packets.Puback || ack.ReasonCode != 0 {
			t.Errorf("PUBLISH was answered by %+v", ack)
		}
		if m.TopicName != "/oneM2M/resp/Cdev/cse/json" || string(m.Payload) != `{"rsc":2001,"rqi":"r1","rvi":"4","to":"Cdev","fr":"/cse",`+dbg {
			t.Errorf("%s %s", m.TopicName, m.Payload)
		}
		p.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: m.PacketID})

		cbor, err := onem2m.JSONToCBOR([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		p.publish("/oneM2M/req/cse:Cdev/tally/cbor", string(cbor), 0, 0)
		p.expectNothing() // /oneM2M/resp/cse:Cdev is another topic
		p.subscribe("/oneM2M/resp/cse:Cdev/tally/cbor", 0)
		p.publish("/oneM2M/req/cse:Cdev/tally/cbor", string(cbor), 0, 0)
		m = p.next()
		if text, err := onem2m.CBORToJSON(m.Payload); err != nil || !strings.Contains(string(text), dbg) {
			t.Errorf("%s %v", text, err)
		}
		p.publish("/oneM2M/reg_req/dev/cse/json", `{"m2m:rqp":`+strings.Replace(body, `"fr":"Cdev",`, "", 1)+`}`, 0, 0)
		m = p.next()
		if m.TopicName != "/oneM2M/reg_resp/dev/cse/json" || !strings.HasPrefix(string(m.Payload), `{"m2m:rsp":{"rsc":2001`) {
			t.Errorf("%s %s", m.TopicName, m.Payload)
		}
	})
}

// TestBadRequests: what is no request, or is somebody else's, is answered with the status that says so.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	p := b.client(t, version5, "dev", "t-dev")
	p.subscribe("/oneM2M/resp/Cdev/cse/#", 0)
	for _, c := range []struct {
		format, payload string
		want            int
	}{
		{"json", `{`, 4000},
		{"json", ``, 4000},
		{"cbor", `{`, 4000},
		{"json", `{"rsc":2000,"rqi":"1"}`, 4000},
		{"json", `{"op":9,"to":"-","fr":"Cdev","rqi":"1","rvi":"4"}`, 4000},
		{"json", `{"op":2,"to":"-","fr":"Cother","rqi":"1","rvi":"4"}`, 4103},
		{"json", `{"op":2,"to":"-","fr":"/cse/Cdev","rqi":"1","rvi":"4"}`, 2000},
	} {
		p.publish("/oneM2M/req/Cdev/cse/"+c.format, c.payload, 0, 0)
		text := p.next().Payload
		if c.format == "cbor" {
			text, _ = onem2m.CBORToJSON(text)
		}
		if !strings.HasPrefix(string(text), fmt.Sprintf(`{"rsc":%d`, c.want)) {
			t.Errorf("%s: %s, want %d", c.payload, text, c.want)
		}
	}
	for topic, code := range map[string]byte{
		"/oneM2M/req/Cother/cse/json":     0x87,
		"/oneM2M/req/Cdev/elsewhere/json": 0x90,
		"/oneM2M/req/Cdev/cse/xml":        0x90,
		"/oneM2M/req/Cdev/cse":            0x90,
		"/oneM2M/resp/Cdev/cse/json":      0x90,
		"/oneM2M/resp/cse/Cother/json":    0x87,
		"/oneM2M/reg_resp/dev/cse/json":   0x87,
		"/oneM2M/req/cse/Cdev/json":       0x90,
	} {
		p.publish(topic, `{"op":2,"to":"-","fr":"Cdev","rqi":"1","rvi":"4"}`, 1, 5)
		p.expect(packets.Puback, 5, code)
	}
	p.expectNothing()
}

// TestResponsesArePrivate: nobody gets another's responses or requests, by no filter.
func TestResponsesArePrivate(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	p, o := b.client(t, version5, "dev", "t-dev"), b.client(t, version5, "dev", "t-other")
	p.subscribe("#", 0)
	for _, f := range []string{"#", "/oneM2M/resp/+/+/json", "/oneM2M/#", "/oneM2M/reg_resp/dev/#", "/+/+/Cdev/#"} {
		if code := o.subscribe(f, 0); code != 0 {
			t.Errorf("%s: %#x", f, code)
		}
	}
	p.publish("/oneM2M/req/Cdev/cse/json", `{"op":2,"to":"-","fr":"Cdev","rqi":"1","rvi":"4"}`, 0, 0)
	p.next()
	p.publish("/oneM2M/reg_req/dev/cse/json", `{"op":2,"to":"-","fr":"Cdev","rqi":"1","rvi":"4"}`, 0, 0)
	p.next()
	o.expectNothing()
}

func notification() *onem2m.Request {
	return &onem2m.Request{
		Operation: onem2m.Notify, From: "/cse", RequestID: "n1", ReleaseVersion: "4", ResultContent: onem2m.ResultContentDefault,
		Content: []byte(`{"m2m:sgn":{"vrq":true}}`),
	}
}

// TestNotify: a request to a client of the node's own broker goes to its request topic, and its response comes back
// (TS-0010 clauses 6.4.3 and 6.6).
func TestNotify(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	c := NewClient(ClientOptions{CSEID: "/cse", Broker: b.broker})
	defer c.Close()
	app := b.client(t, version311, "app", "t-app")
	app.subscribe("/oneM2M/req/+/Capp/#", 1)
	_, port, _ := net.SplitHostPort(b.addr)
	for _, x := range []struct {
		url, to string
		cbor    bool
	}{
		{"mqtt://localhost:" + port, "Capp", false},
		{"mqtt://" + b.addr, "/cse/Capp", true},
		{"mqtt://" + b.addr + "/oneM2M/req/cse/Capp/json", "", false},
		{"mqtt://" + b.addr + "//oneM2M/req/cse/Capp/cbor", "mqtt://x", true},
	} {
		format := "json"
		if x.cbor {
			format = "cbor"
		}
		req := notification()
		req.To = x.to
		type outcome struct {
			resp *onem2m.Response
			err  error
		}
		got := make(chan outcome, 1)
		go func() {
			resp, err := c.Send(t.Context(), binding.Address{URL: x.url, CBOR: x.cbor}, req)
			got <- outcome{resp, err}
		}()
		m := app.next()
		text := m.Payload
		if x.cbor {
			text, _ = onem2m.CBORToJSON(text)
		}
		if m.TopicName != "/oneM2M/req/cse/Capp/"+format || !strings.Contains(string(text), `"pc":{"m2m:sgn":{"vrq":true}}`) {
			t.Fatalf("%s: %s %s", x.url, m.TopicName, text)
		}
		app.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: m.PacketID})
		answer := []byte(`{"rsc":2000,"rqi":"n1"}`)
		if x.cbor {
			answer, _ = onem2m.JSONToCBOR(answer)
		}
		app.publish("/oneM2M/resp/cse/Capp/"+format, string(answer), 0, 0)
		if o := <-got; o.err != nil || o.resp.Status != onem2m.StatusOK {
			t.Errorf("%s: %+v, %v", x.url, o.resp, o.err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req := notification()
	req.To = "Cother"
	if _, err := c.Send(ctx, binding.Address{URL: "mqtt://" + b.addr}, req); err == nil {
		t.Error("no error though nobody listens")
	}
	req.To = "Capp"
	if _, err := c.Send(ctx, binding.Address{URL: "mqtt://" + b.addr}, req); err == nil {
		t.Error("no error though nobody answers")
	}
	if _, err := c.Send(ctx, binding.Address{URL: "mqtt://" + b.addr}, notification()); err == nil {
		t.Error("no error though the address has no topic")
	}
}

// otherBroker answers every request that is published to it.
func otherBroker(t *testing.T) (addr string, connections *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	connections = new(atomic.Int32)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			go serveOther(c)
		}
	}()
	return l.Addr().String(), connections
}

func serveOther(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	version := byte(0)
	send := func(pk packets.Packet) {
		b, _ := encode(&pk, version5)
		c.Write(b)
	}
	for {
		pk := new(packets.Packet)
		if err := readPacket(r, pk, version, 1<<20, func(int) error { return nil }); err != nil {
			return
		}
		version = version5
		switch pk.FixedHeader.Type {
		case packets.Connect:
			send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}})
		case packets.Subscribe:
			send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Suback}, PacketID: pk.PacketID, ReasonCodes: []byte{1}})
		case packets.Publish:
			send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: pk.PacketID})
			if strings.Contains(pk.TopicName, "/req/") {
				send(packets.Packet{
					FixedHeader: packets.FixedHeader{Type: packets.Publish}, TopicName: strings.Replace(pk.TopicName, "/req/", "/resp/", 1),
					Payload: []byte(`{"m2m:rsp":{"rsc":2000,"rqi":"n1"}}`),
				})
			}
		case packets.Disconnect:
			return
		}
	}
}

// TestNotifyElsewhere: another broker is used like one's own; an address may have a path before the topics, or name the
// whole topic (TS-0010 clause 6.6).
func TestNotifyElsewhere(t *testing.T) {
	t.Parallel()
	addr, connections := otherBroker(t)
	c := NewClient(ClientOptions{CSEID: "/cse"})
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, x := range []struct{ path, to string }{
		{"", "Capp"}, {"", "/other/Cx"}, {"/site/a", "Capp"}, {"/oneM2M/req/cse/Capp/json", ""}, {"/alarms/all", ""},
	} {
		req := notification()
		req.To = x.to
		resp, err := c.Send(ctx, binding.Address{URL: "mqtt://user:secret@" + addr + x.path}, req)
		if err != nil || resp.Status != onem2m.StatusOK {
			t.Errorf("%+v: %+v, %v", x, resp, err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections to one broker", n)
	}
	mobius := NewClient(ClientOptions{CSEID: "/cse", Mobius: true})
	defer mobius.Close()
	d, err := mobius.destination(mustURL(t, "mqtt://h/Capp?ct=cbor"), false, notification())
	if err != nil || d.topic != "/oneM2M/req/cse/Capp/cbor" {
		t.Errorf("%+v, %v", d, err)
	}
	gone, cancel2 := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel2()
	if _, err := c.Send(gone, binding.Address{URL: "mqtt://127.0.0.1:1"}, notification()); err == nil {
		t.Error("no error though nothing is there")
	}
}
