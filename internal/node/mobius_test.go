package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// startMobius starts a lab network that is known as Mobius is, and admits what was written for it.
func startMobius(t *testing.T) *Node { return startLabAs(t, true) }

// startLabAs starts a lab network with the names of Mobius, which admits what was written for it or does not.
func startLabAs(t *testing.T, mobius bool) *Node {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, Init(InitOptions{
		Dir: dir, HTTP: "127.0.0.1:0", Lab: true, Mobius: mobius,
		CSE: Identity{SPID: "keti.example", CSEID: "/Mobius2", Name: "Mobius", BaseRI: "3-20240101", Admin: "Superman"},
	}))
	configure(t, dir, func(c *Config) { c.MinFreeBytes, c.MQTT, c.CoAP = 1, "127.0.0.1:0", "127.0.0.1:0" })
	n, err := StartLab(context.Background(), dir, watchedLog)
	must(t, err)
	t.Cleanup(func() { stopNode(t, n) })
	return n
}

// nCube sends a request over HTTP as nCube-Thyme does: no release version, the resource type after a blank, headers of
// its own. It reads every answer as JSON and ends when there is none.
func nCube(t *testing.T, n *Node, method, path, ty, body string) string {
	t.Helper()
	return nCubeAs(t, n, "SKETI3_DEMO", method, path, ty, body)
}

func nCubeAs(t *testing.T, n *Node, originator, method, path, ty, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.Addr()+path, strings.NewReader(body))
	must(t, err)
	req.Header.Set("X-M2M-RI", "HJ8aT0rAG")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-M2M-Origin", originator)
	req.Header.Set("Locale", "en")
	switch {
	case ty != "":
		req.Header.Set("Content-Type", "application/vnd.onem2m-res+json; ty="+ty)
	case method == "PUT":
		req.Header.Set("Content-Type", "application/vnd.onem2m-res+json")
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	if !json.Valid(b) {
		t.Errorf("%s %s: the answer %q is no JSON", method, path, b)
	}
	if got := resp.Header.Get("X-M2M-RI"); got != "HJ8aT0rAG" {
		t.Errorf("%s %s: request identifier %q", method, path, got)
	}
	return resp.Header.Get("X-M2M-RSC") + " " + string(b)
}

// TestMobiusHTTP is the whole life of nCube-Thyme over HTTP: its start, its readings, a command to it, and its second
// start, at which everything is there already.
func TestMobiusHTTP(t *testing.T) {
	n := startMobius(t)
	notified := make(chan string, 8)
	// It answers a notification it knows with 201 and a page, and no other at all.
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(b), `"m2m:cin"`) {
			<-r.Context().Done()
			return
		}
		w.Header().Set("X-M2M-RSC", "2001")
		w.Header().Set("X-M2M-RI", r.Header.Get("X-M2M-RI"))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "<h1>success to receive notification</h1>")
		notified <- r.Header.Get("Content-Type") + " " + string(b)
	}))
	defer app.Close()

	for _, restart := range []bool{false, true} {
		if restart {
			wants(t, "AE again", nCube(t, n, "POST", "/Mobius", "2", `{"m2m:ae":{"api":"measure_co2","rn":"KETI3_DEMO","rr":true}}`), "4105")
			wants(t, "look the AE up", nCube(t, n, "GET", "/Mobius/KETI3_DEMO", "", ""), "2000", `"aei":"SKETI3_DEMO"`)
			wants(t, "container again", nCube(t, n, "POST", "/Mobius/KETI3_DEMO", "3", `{"m2m:cnt":{"rn":"led","lbl":["led"]}}`), "4105")
			wants(t, "delete the subscription", nCube(t, n, "DELETE", "/Mobius/KETI3_DEMO/led/sub1", "", ""), "2002", `"m2m:sub"`)
		} else {
			wants(t, "AE", nCube(t, n, "POST", "/Mobius", "2", `{"m2m:ae":{"api":"measure_co2","rn":"KETI3_DEMO","rr":true}}`), "2001", `"aei":"SKETI3_DEMO"`, `"api":"measure_co2"`)
			wants(t, "update of the AE", nCube(t, n, "PUT", "/Mobius/KETI3_DEMO", "", `{"m2m:ae":{"lbl":"seahorse"}}`), "2004", `"lbl":["seahorse"]`)
			for _, c := range []string{"tvoc", "co2", "temp", "led"} {
				wants(t, "container", nCube(t, n, "POST", "/Mobius/KETI3_DEMO", "3", `{"m2m:cnt":{"rn":"`+c+`","lbl":["`+c+`"]}}`), "2001")
			}
			wants(t, "update of a container", nCube(t, n, "PUT", "/Mobius/KETI3_DEMO/led", "", `{"m2m:cnt":{"lbl":"led","mni":"100"}}`), "2004", `"mni":100`)
			wants(t, "no subscription yet", nCube(t, n, "DELETE", "/Mobius/KETI3_DEMO/led/sub1", "", ""), "4004")
		}
		wants(t, "subscription", nCube(t, n, "POST", "/Mobius/KETI3_DEMO/led", "23",
			`{"m2m:sub":{"rn":"sub1","enc":{"net":[3]},"nu":["`+app.URL+`/noti?ct=json"],"nct":2}}`), "2001")
		wants(t, "reading", nCube(t, n, "POST", "/Mobius/KETI3_DEMO/co2", "4", `{"m2m:cin":{"con":"417"}}`), "2001", `"con":"417"`)
		wants(t, "latest", nCube(t, n, "GET", "/Mobius/KETI3_DEMO/co2/la", "", ""), "2000", `"con":"417"`)
		wants(t, "command", nCube(t, n, "POST", "/Mobius/KETI3_DEMO/led", "4", `{"m2m:cin":{"con":"5"}}`), "2001")
		select {
		case got := <-notified:
			wants(t, "notification", got, "application/json {", `"sur":"Mobius/KETI3_DEMO/led/sub1"`, `"con":"5"`)
		case <-time.After(10 * time.Second):
			t.Fatal("no notification")
		}
	}
}

// TestMobiusWebSocket is the start of nCube-Thyme over WebSocket: its subprotocol, primitives without a wrapper, numbers
// and booleans as strings, targets with a slash.
func TestMobiusWebSocket(t *testing.T) {
	n := startMobius(t)
	ws, _, err := websocket.Dial(t.Context(), "ws://"+n.Addr()+"/", &websocket.DialOptions{Subprotocols: []string{"onem2m.r2.0.json"}})
	must(t, err)
	defer ws.CloseNow()
	if ws.Subprotocol() != "onem2m.r2.0.json" {
		t.Errorf("subprotocol %q", ws.Subprotocol())
	}
	for i, c := range mobiusPrimitives {
		must(t, ws.Write(t.Context(), websocket.MessageText, []byte(fmt.Sprintf(c.send, i))))
		_, got, err := ws.Read(t.Context())
		must(t, err)
		checkPrimitive(t, c.what, got, fmt.Sprint("r", i), c.want, c.has)
	}
}

// mobiusPrimitives are the requests with which nCube-Thyme starts over WebSocket and MQTT.
var mobiusPrimitives = []struct {
	what, send string
	want       int
	has        string
}{
	{"AE", `{"op":"1","to":"/Mobius","fr":"SKETI3_DEMO","rqi":"r%d","ty":"2","pc":{"m2m:ae":{"rn":"KETI3_DEMO","api":"measure_co2","rr":"true"}}}`, 2001, `"aei":"SKETI3_DEMO"`},
	{"AE again", `{"op":"1","to":"/Mobius","fr":"SKETI3_DEMO","rqi":"r%d","ty":"2","pc":{"m2m:ae":{"rn":"KETI3_DEMO","api":"measure_co2","rr":"true"}}}`, 4105, ``},
	{"retrieve the AE", `{"op":"2","to":"/Mobius/KETI3_DEMO","fr":"SKETI3_DEMO","rqi":"r%d","pc":{}}`, 2000, `"rr":true`},
	{"container", `{"op":"1","to":"/Mobius/KETI3_DEMO","fr":"SKETI3_DEMO","rqi":"r%d","ty":"3","pc":{"m2m:cnt":{"rn":"led","lbl":["led"]}}}`, 2001, `"lbl":["led"]`},
	{"no subscription yet", `{"op":"4","to":"/Mobius/KETI3_DEMO/led/sub1","fr":"SKETI3_DEMO","rqi":"r%d","pc":{}}`, 4004, ``},
	{"subscription", `{"op":"1","to":"/Mobius/KETI3_DEMO/led","fr":"SKETI3_DEMO","rqi":"r%d","ty":"23","pc":{"m2m:sub":{"rn":"sub1","enc":{"net":["3"]},"nu":["mqtt://127.0.0.1:1/SKETI3_DEMO?ct=json"],"nct":"2"}}}`, 2001, `"net":[3]`},
	{"delete the subscription", `{"op":"4","to":"/Mobius/KETI3_DEMO/led/sub1","fr":"SKETI3_DEMO","rqi":"r%d","pc":{}}`, 2002, `"nct":2`},
	{"reading", `{"op":"1","to":"/Mobius/KETI3_DEMO/led","fr":"SKETI3_DEMO","rqi":"r%d","ty":"4","pc":{"m2m:cin":{"con":"5"}}}`, 2001, `"con":"5"`},
	{"latest", `{"op":"2","to":"/Mobius/KETI3_DEMO/led/la","fr":"SKETI3_DEMO","rqi":"r%d","pc":{}}`, 2000, `"con":"5"`},
}

// checkPrimitive reads a response as nCube does, with or without the wrapper.
func checkPrimitive(t *testing.T, what string, text []byte, rqi string, want int, has string) {
	t.Helper()
	type response struct {
		RSC int             `json:"rsc"`
		RQI string          `json:"rqi"`
		PC  json.RawMessage `json:"pc"`
	}
	var r struct {
		response
		Inner *response `json:"m2m:rsp"`
	}
	must(t, json.Unmarshal(text, &r))
	if r.Inner != nil {
		r.response = *r.Inner
	}
	if r.RSC != want || r.RQI != rqi || !strings.Contains(string(r.PC), has) {
		t.Errorf("%s: %s, want %d with %s", what, text, want, has)
	}
}

// TestMobiusMQTT is the start of nCube-Thyme over MQTT, a reading, and a command that comes as a notification to
// the topic that it listens to, from the embedded broker.
func TestMobiusMQTT(t *testing.T) {
	n := startMobius(t)
	c := dialMQTT(t, n, "mqttjs_1a2b3c4d", "")
	c.subscribe("/oneM2M/reg_resp/SKETI3_DEMO/+/#")
	c.subscribe("/oneM2M/resp/SKETI3_DEMO/+/#")
	c.subscribe("/oneM2M/req/+/SKETI3_DEMO/#")
	receive := func() (topic string, payload []byte) {
		t.Helper()
		select {
		case p := <-c.got:
			return p.Topic, p.Payload
		case <-time.After(10 * time.Second):
			t.Fatal("no message")
			return "", nil
		}
	}
	for i, p := range mobiusPrimitives {
		c.publish("/oneM2M/req/SKETI3_DEMO/Mobius2/json", fmt.Sprintf(p.send, i))
		topic, got := receive()
		if topic != "/oneM2M/resp/SKETI3_DEMO/Mobius2/json" {
			t.Errorf("%s: answered at %s", p.what, topic)
		}
		checkPrimitive(t, p.what, got, fmt.Sprint("r", i), p.want, p.has)
	}

	c.publish("/oneM2M/req/SKETI3_DEMO/Mobius2/json", `{"op":"1","to":"/Mobius/KETI3_DEMO/led","fr":"SKETI3_DEMO","rqi":"sub","ty":"23","pc":{"m2m:sub":{"rn":"sub1","enc":{"net":["3"]},"nu":["mqtt://`+n.mqttAddr()+`/SKETI3_DEMO?ct=json"],"nct":"2"}}}`)
	_, got := receive()
	checkPrimitive(t, "subscription", got, "sub", 2001, `"nct":2`)
	wants(t, "command", nCube(t, n, "POST", "/Mobius/KETI3_DEMO/led", "4", `{"m2m:cin":{"con":"on"}}`), "2001")
	topic, got := receive()
	if topic != "/oneM2M/req/Mobius2/SKETI3_DEMO/json" || !strings.Contains(string(got), `"sur":"Mobius/KETI3_DEMO/led/sub1"`) || !strings.Contains(string(got), `"con":"on"`) {
		t.Errorf("notification at %s: %s", topic, got)
	}
	var rqp struct {
		OP  int    `json:"op"`
		RQI string `json:"rqi"`
	}
	must(t, json.Unmarshal(got, &rqp))
	if rqp.OP != 5 || rqp.RQI == "" {
		t.Errorf("notification: %s", got)
	}
	c.publish("/oneM2M/resp/Mobius2/SKETI3_DEMO/json", `{"rsc":2001,"to":"","fr":"SKETI3_DEMO","rqi":"`+rqp.RQI+`","pc":""}`)
	select {
	case p := <-c.got:
		t.Errorf("it came again, or something else did: %s %s", p.Topic, p.Payload)
	case <-time.After(300 * time.Millisecond):
	}
}

// TestMobiusCoAP is a registration and a reading over CoAP with the option numbers of earlier releases (TS-0008 as of
// release 2): 256 originator, 257 request identifier, 267 resource type; the answer has its status in 265.
func TestMobiusCoAP(t *testing.T) {
	n := startMobius(t)
	c, err := net.Dial("udp", n.coap.udp.LocalAddr().String())
	must(t, err)
	defer c.Close()
	for i, x := range []struct {
		what  string
		code  byte
		path  []string
		ty    byte
		body  string
		want  uint16
		reply string
	}{
		{"AE", 2, []string{"Mobius"}, 2, `{"m2m:ae":{"api":"measure_co2","rn":"KETI3_DEMO","rr":true}}`, 2001, `"aei":"SKETI3_DEMO"`},
		{"AE again", 2, []string{"Mobius"}, 2, `{"m2m:ae":{"api":"measure_co2","rn":"KETI3_DEMO","rr":true}}`, 4105, ""},
		{"look the AE up", 1, []string{"Mobius", "KETI3_DEMO"}, 0, "", 2000, `"aei":"SKETI3_DEMO"`},
		{"container", 2, []string{"Mobius", "KETI3_DEMO"}, 3, `{"m2m:cnt":{"rn":"led","lbl":["led"]}}`, 2001, `"rn":"led"`},
		{"reading", 2, []string{"Mobius", "KETI3_DEMO", "led"}, 4, `{"m2m:cin":{"con":"5"}}`, 2001, `"con":"5"`},
		{"latest", 1, []string{"Mobius", "KETI3_DEMO", "led", "la"}, 0, "", 2000, `"con":"5"`},
		{"no subscription", 4, []string{"Mobius", "KETI3_DEMO", "led", "sub1"}, 0, "", 4004, ""},
	} {
		id := uint16(0x1000 + i)
		options := []coapOption{}
		for _, p := range x.path {
			options = append(options, coapOption{11, []byte(p)})
		}
		if x.body != "" {
			options = append(options, coapOption{12, []byte{50}})
		}
		options = append(options, coapOption{17, []byte{50}}, coapOption{256, []byte("SKETI3_DEMO")}, coapOption{257, fmt.Append(nil, "r", i)})
		if x.ty != 0 {
			options = append(options, coapOption{267, []byte{x.ty}})
		}
		_, err := c.Write(coapMessage(x.code, id, options, x.body))
		must(t, err)
		must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		var b [4096]byte
		size := 0
		for size < 5 || b[1] == 0 { // an empty message acknowledges only
			size, err = c.Read(b[:])
			must(t, err)
		}
		got, payload := coapOptions(b[:size])
		if rsc := got[265]; len(rsc) != 2 || binary.BigEndian.Uint16(rsc) != x.want || string(got[257]) != fmt.Sprint("r", i) || !strings.Contains(payload, x.reply) {
			t.Errorf("%s: options %v, %s; want %d with %s", x.what, got, payload, x.want, x.reply)
		}
		if !json.Valid([]byte(payload)) {
			t.Errorf("%s: the answer %q is no JSON", x.what, payload)
		}
	}
}

type coapOption struct {
	number int
	value  []byte
}

// coapMessage is a confirmable message (RFC 7252 clause 3); the options are in ascending order.
func coapMessage(code byte, id uint16, options []coapOption, body string) []byte {
	b := []byte{0x41, code, byte(id >> 8), byte(id), 0x77}
	last := 0
	for _, o := range options {
		nibble := func(v int) (byte, []byte) {
			switch {
			case v < 13:
				return byte(v), nil
			case v < 269:
				return 13, []byte{byte(v - 13)}
			}
			return 14, []byte{byte((v - 269) >> 8), byte(v - 269)}
		}
		d, more := nibble(o.number - last)
		l, longer := nibble(len(o.value))
		b = append(append(append(append(b, d<<4|l), more...), longer...), o.value...)
		last = o.number
	}
	if body != "" {
		b = append(append(b, 0xff), body...)
	}
	return b
}

// coapOptions takes a message apart.
func coapOptions(b []byte) (options map[int][]byte, payload string) {
	options = make(map[int][]byte)
	number := 0
	for b = b[4+int(b[0]&15):]; len(b) > 0; {
		if b[0] == 0xff {
			return options, string(b[1:])
		}
		head := b[0]
		b = b[1:]
		extended := func(v int) int {
			switch v {
			case 13:
				v, b = int(b[0])+13, b[1:]
			case 14:
				v, b = int(binary.BigEndian.Uint16(b))+269, b[2:]
			}
			return v
		}
		number += extended(int(head >> 4))
		size := extended(int(head & 15))
		options[number] = b[:size]
		b = b[size:]
	}
	return options, ""
}
