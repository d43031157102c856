package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// arduino is nCube-Thyme for Arduino on PubSubClient: MQTT 3.1.1, QoS 0, no user, and a buffer of 400 bytes, which a
// larger packet does not reach at all.
type arduino struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
	id   uint16
}

func newArduino(t *testing.T, n *Node, client string) *arduino {
	t.Helper()
	conn, err := net.Dial("tcp", n.mqttAddr())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	a := &arduino{T: t, conn: conn, in: bufio.NewReader(conn)}
	a.send(0x10, append([]byte("\x00\x04MQTT\x04\x02\x00\x14"), mqttString(client)...))
	if kind, b := a.packet(); kind != 0x20 || !bytes.Equal(b, []byte{0, 0}) {
		t.Fatalf("CONNACK: %#x %v", kind, b)
	}
	return a
}

func mqttString(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }

func (a *arduino) send(kind byte, body []byte) {
	a.Helper()
	_, err := a.conn.Write(append(binary.AppendUvarint([]byte{kind}, uint64(len(body))), body...))
	must(a, err)
}

func (a *arduino) packet() (kind byte, body []byte) {
	a.Helper()
	must(a, a.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	kind, err := a.in.ReadByte()
	must(a, err)
	size, err := binary.ReadUvarint(a.in)
	must(a, err)
	if size+3 > 400 {
		a.Errorf("a packet of %d bytes; the device has room for 400", size+3)
	}
	body = make([]byte, size)
	_, err = io.ReadFull(a.in, body)
	must(a, err)
	return kind, body
}

// listen subscribes as the sketches do, which unsubscribe first.
func (a *arduino) listen(topics ...string) {
	a.Helper()
	for _, kind := range []byte{0xa2, 0x82} {
		for _, topic := range topics {
			a.id++
			body := append([]byte{byte(a.id >> 8), byte(a.id)}, mqttString(topic)...)
			if kind == 0x82 {
				body = append(body, 0)
			}
			a.send(kind, body)
			if got, b := a.packet(); got != kind&0xf0+0x10 || kind == 0x82 && b[2] != 0 {
				a.Fatalf("%#x %s: answered %#x %v", kind, topic, got, b)
			}
		}
	}
}

func (a *arduino) publish(topic, payload string) {
	a.Helper()
	a.send(0x30, append(mqttString(topic), payload...))
}

func (a *arduino) receive() (topic string, payload []byte) {
	a.Helper()
	kind, b := a.packet()
	if kind != 0x30 {
		a.Fatalf("got a packet %#x %q; want PUBLISH with QoS 0", kind, b)
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return string(b[2:n]), b[n:]
}

// TestMobiusArduino is two lives of the sketch nCube-Air: requests with a query in their target, notifications that it
// compares with the target of its own subscription, answers with the status as a string. It reads "rsc" and "pc" of
// the bare primitive only.
func TestMobiusArduino(t *testing.T) {
	n := startMobius(t)
	const ae, cse = "Sair1", "/Mobius2"
	for boot := range 2 {
		a := newArduino(t, n, "nCube-1A2B")
		a.listen("/oneM2M/resp/"+ae+cse+"/json", "/oneM2M/req"+cse+"/"+ae+"/json")
		request := func(what string, want int, text string) {
			t.Helper()
			rqi := fmt.Sprintf("k%d%06d", boot, time.Now().Nanosecond()/1000)
			a.publish("/oneM2M/req/"+ae+cse+"/json", strings.Replace(text, `RQI`, rqi, 1))
			topic, b := a.receive()
			var root struct {
				RSC int
				RQI string
			}
			must(t, json.Unmarshal(b, &root))
			if topic != "/oneM2M/resp/Sair1/Mobius2/json" || root.RSC != want || root.RQI != rqi {
				t.Errorf("%s: %s %s, want %d", what, topic, b, want)
			}
		}
		made, gone := 2001, 4004
		if boot > 0 {
			made, gone = 4105, 2002
		}
		request("AE", made, `{"op":"1","to":"/Mobius?rcn=0","fr":"Sair1","rqi":"RQI","ty":"2","pc":{"m2m:ae":{"rn":"air1","api":"3.14","rr":"true"}}}`)
		for _, c := range []string{"update", "co2", "led"} {
			request(c, made, `{"op":"1","to":"/Mobius/air1?rcn=0","fr":"Sair1","rqi":"RQI","ty":"3","pc":{"m2m:cnt":{"rn":"`+c+`"}}}`)
		}
		request("delete the subscription", gone, `{"op":"4","to":"/Mobius/air1/led/sub?rcn=0","fr":"Sair1","rqi":"RQI","pc":{}}`)
		// Its port is not the broker's here, and the name could be one that the node does not know.
		request("subscription", 2001, `{"op":"1","to":"/Mobius/air1/led?rcn=0","fr":"Sair1","rqi":"RQI","ty":"23","pc":{"m2m:sub":{"rn":"sub","enc":{"net":[3]},"nu":["mqtt://203.253.128.161:1883/Sair1?ct=json&rcn=9"],"nct":"2"}}}`)
		a.publish("/nCube/heartbeat", ae+":0")
		request("reading", 2001, `{"op":"1","to":"/Mobius/air1/co2?rcn=0","fr":"Sair1","rqi":"RQI","ty":"4","pc":{"m2m:cin":{"con":417}}}`)

		for _, command := range []string{"5", "0"} {
			wants(t, "command", nCube(t, n, "POST", "/Mobius/air1/led", "4", `{"m2m:cin":{"con":"`+command+`"}}`), "4103")
			wants(t, "command", nCubeAs(t, n, "Superman", "POST", "/Mobius/air1/led", "4", `{"m2m:cin":{"con":"`+command+`"}}`), "2001")
			topic, b := a.receive()
			var root struct {
				RQI string
				PC  struct {
					SGN struct {
						Sur string
						Nev struct{ Rep map[string]map[string]any }
					} `json:"m2m:sgn"`
				}
			}
			must(t, json.Unmarshal(b, &root))
			sur := root.PC.SGN.Sur
			if !strings.HasPrefix(sur, "/") {
				sur = "/" + sur
			}
			if topic != "/oneM2M/req/Mobius2/Sair1/json" || sur != "/Mobius/air1/led"+"/"+"sub" || root.PC.SGN.Nev.Rep["m2m:cin"]["con"] != command {
				t.Errorf("notification: %s %s", topic, b)
			}
			a.publish("/oneM2M/resp"+cse+"/"+ae+"/json", `{"rsc":"2000","to":"","fr":"Sair1","pc":"","rqi":"`+root.RQI+`"}`)
		}
	}
}

// TestMobiusCSEName: earlier sketches use the name of the CSEBase where TS-0010 has the CSE-ID, and get their answers
// there.
func TestMobiusCSEName(t *testing.T) {
	n := startMobius(t)
	a := newArduino(t, n, "nCube-3C4D")
	a.listen("/oneM2M/resp/Sbase/Mobius/json")
	a.publish("/oneM2M/req/Sbase/Mobius/json", `{"op":"1","to":"/Mobius?rcn=0","fr":"Sbase","rqi":"abc","ty":"2","pc":{"m2m:ae":{"rn":"base","api":"3.14","rr":"true"}}}`)
	if topic, b := a.receive(); topic != "/oneM2M/resp/Sbase/Mobius/json" || !strings.HasPrefix(string(b), `{"rsc":2001,`) {
		t.Errorf("%s %s", topic, b)
	}
}

// TestMobiusEvents: clients ask for modified attributes (nct 2) of every event (net 1 to 4), as nCube-MUV does, with
// objects as content.
func TestMobiusEvents(t *testing.T) {
	n := startMobius(t)
	notified := make(chan string, 8)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		notified <- string(b)
	}))
	defer app.Close()
	wants(t, "AE", nCube(t, n, "POST", "/Mobius", "2", `{"m2m:ae":{"api":"fc","rn":"KETI3_DEMO","rr":true}}`), "2001")
	wants(t, "container", nCube(t, n, "POST", "/Mobius/KETI3_DEMO", "3", `{"m2m:cnt":{"rn":"drone","lbl":["drone"]}}`), "2001")
	wants(t, "subscription", nCube(t, n, "POST", "/Mobius/KETI3_DEMO/drone", "23",
		`{"m2m:sub":{"rn":"sub1","enc":{"net":[1,2,3,4]},"nu":["`+app.URL+`/noti?ct=json"],"nct":2}}`), "2001")
	wants(t, "position", nCube(t, n, "POST", "/Mobius/KETI3_DEMO/drone", "4", `{"m2m:cin":{"con":{"lat":37.4,"lon":127.1}}}`), "2001")
	wants(t, "update", nCube(t, n, "PUT", "/Mobius/KETI3_DEMO/drone", "", `{"m2m:cnt":{"lbl":"x"}}`), "2004")
	wants(t, "delete", nCube(t, n, "DELETE", "/Mobius/KETI3_DEMO/drone/la", "", ""), "2002")
	wants(t, "delete", nCube(t, n, "DELETE", "/Mobius/KETI3_DEMO/drone", "", ""), "2002")
	for _, want := range [][]string{
		{`"net":3,`, `"con":{"lat":37.4,"lon":127.1}`}, {`"net":1,`, `"lbl":["x"]`}, {`"net":4,`, `"con":{"lat":37.4,"lon":127.1}`}, {`"net":2,`, `"rn":"drone"`},
	} {
		select {
		case got := <-notified:
			wants(t, "notification", got, `{"m2m:sgn":{`, append(want, `"sur":"Mobius/KETI3_DEMO/drone/sub1"`)...)
		case <-time.After(10 * time.Second):
			t.Fatalf("no notification with %s", want)
		}
	}
}

// TestMobiusServers: the servers for notifications that nCube-Thyme runs over WebSocket and CoAP. The former takes its
// own subprotocol alone, the latter answers a page and no oneM2M option.
func TestMobiusServers(t *testing.T) {
	n := startMobius(t)
	notified := make(chan string, 8)
	ws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"onem2m.r2.0.json"}})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		for {
			_, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			var rqp struct{ RQI string }
			if err := json.Unmarshal(b, &rqp); err != nil || rqp.RQI == "" {
				t.Errorf("%s: %v", b, err)
			}
			notified <- "ws " + string(b)
			if err := c.Write(r.Context(), websocket.MessageText, []byte(`{"rsc":2001,"to":"","fr":"SKETI3_DEMO","rqi":"`+rqp.RQI+`","pc":""}`)); err != nil {
				return
			}
		}
	}))
	defer ws.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer udp.Close()
	go func() {
		var b [2048]byte
		for {
			size, from, err := udp.ReadFrom(b[:])
			if err != nil {
				return
			}
			options, payload := coapOptions(b[:size])
			notified <- fmt.Sprintf("coap %d %s %v %s", b[1], options[11], options[12], payload)
			answer := append([]byte{0x60 | b[0]&15, 0x41}, b[2:4+b[0]&15]...)
			if _, err := udp.WriteTo(append(answer, "\xff<h1>success to receive notification</h1>"...), from); err != nil {
				return
			}
		}
	}()

	wants(t, "AE", nCube(t, n, "POST", "/Mobius", "2", `{"m2m:ae":{"api":"measure_co2","rn":"KETI3_DEMO","rr":true}}`), "2001")
	for i, nu := range []string{"ws" + strings.TrimPrefix(ws.URL, "http") + "/noti?ct=json", "coap://" + udp.LocalAddr().String() + "/noti?ct=json"} {
		cnt := fmt.Sprint("led", i)
		wants(t, "container", nCube(t, n, "POST", "/Mobius/KETI3_DEMO", "3", `{"m2m:cnt":{"rn":"`+cnt+`"}}`), "2001")
		wants(t, "subscription", nCube(t, n, "POST", "/Mobius/KETI3_DEMO/"+cnt, "23", `{"m2m:sub":{"rn":"sub1","enc":{"net":[3]},"nu":["`+nu+`"],"nct":2}}`), "2001")
		for _, con := range []string{"on", "off"} {
			wants(t, "command", nCube(t, n, "POST", "/Mobius/KETI3_DEMO/"+cnt, "4", `{"m2m:cin":{"con":"`+con+`"}}`), "2001")
			select {
			case got := <-notified:
				wants(t, "notification", got, []string{"ws ", "coap 2 noti [50] "}[i], `"sur":"Mobius/KETI3_DEMO/`+cnt+`/sub1"`, `"con":"`+con+`"`)
			case <-time.After(10 * time.Second):
				t.Fatalf("no notification to %s", nu)
			}
		}
	}
}

// mute is a client whose targets take everything and answer nothing, or cannot be reached.
type mute struct{ err error }

func (m mute) Send(ctx context.Context, _ binding.Address, _ *onem2m.Request) (*onem2m.Response, error) {
	<-ctx.Done()
	return nil, m.err
}

// TestMobiusMute: a target that answers no notification does not hold the next ones back; what asks for its leave, and
// what it was not given, is as ever.
func TestMobiusMute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		event := &onem2m.Request{Operation: onem2m.Notify, Content: []byte(`{"m2m:sgn":{"nev":{"net":3,"rep":{"m2m:cin":{"con":"1"}}},"sur":"Mobius/a/s"}}`)}
		leave := &onem2m.Request{Operation: onem2m.Notify, Content: []byte(`{"m2m:sgn":{"nev":{"net":7},"sur":"Mobius/a/s"}}`)}
		for _, scheme := range []string{"http", "mqtt"} {
			c := newMobiusClient(scheme, mute{binding.ErrNoAnswer})
			send := func(req *onem2m.Request) (time.Duration, error) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				start := time.Now()
				rsp, err := c.Send(ctx, binding.Address{URL: scheme + "://h/Sa"}, req)
				if err == nil && !rsp.Status.Success() {
					t.Errorf("%s: %v", scheme, rsp.Status)
				}
				return time.Since(start), err
			}
			want := []time.Duration{mobiusPatience, mobiusPatience, mobiusPatience}
			if scheme == "mqtt" {
				want = []time.Duration{mobiusPatienceMQTT, mobiusHaste, mobiusPatienceMQTT}
			}
			for i, d := range want {
				if i == 2 {
					time.Sleep(mobiusMemory)
				}
				if took, err := send(event); err != nil || took != d {
					t.Errorf("%s, %d: took %v, %v; want %v", scheme, i, took, err, d)
				}
			}
			if took, err := send(leave); !errors.Is(err, binding.ErrNoAnswer) || took != 20*time.Second {
				t.Errorf("%s, blocking update: %v after %v", scheme, err, took)
			}
			c.Client = mute{errors.New("no way there")}
			if _, err := send(event); err == nil {
				t.Errorf("%s: what the target was not given counts as taken", scheme)
			}
		}
	})
}

// TestStrictWithoutMobius: without the switch, nothing of what it admits is.
func TestStrictWithoutMobius(t *testing.T) {
	n := startLabAs(t, false)
	do := func(header map[string]string, ty, path, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+n.Addr()+path, strings.NewReader(body))
		must(t, err)
		req.Header.Set("X-M2M-RI", "1")
		req.Header.Set("X-M2M-RVI", "4")
		req.Header.Set("X-M2M-Origin", "Sae")
		req.Header.Set("Content-Type", "application/json;ty="+ty)
		for k, v := range header {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.Header.Get("X-M2M-RSC") + " " + string(b)
	}
	wants(t, "no release version", do(map[string]string{"X-M2M-RVI": ""}, "2", "/Mobius", `{"m2m:ae":{"rn":"ae","api":"Na","rr":true,"srv":["4"]}}`), "4001")
	for _, c := range []struct{ what, body string }{
		{"no srv", `{"m2m:ae":{"rn":"ae","api":"Na","rr":true}}`},
		{"api without a prefix", `{"m2m:ae":{"rn":"ae","api":"measure_co2","rr":true,"srv":["4"]}}`},
		{"a boolean as string", `{"m2m:ae":{"rn":"ae","api":"Na","rr":"true","srv":["4"]}}`},
		{"one value for a list", `{"m2m:ae":{"rn":"ae","api":"Na","rr":true,"srv":"4"}}`},
	} {
		wants(t, c.what, do(nil, "2", "/Mobius", c.body), "4000")
	}
	wants(t, "AE", do(nil, "2", "/Mobius", `{"m2m:ae":{"rn":"ae","api":"Na","rr":true,"srv":["4"]}}`), "2001")
	wants(t, "AE again", do(nil, "2", "/Mobius", `{"m2m:ae":{"rn":"ae","api":"Na","rr":true,"srv":["4"]}}`), "4117")
	wants(t, "container", do(nil, "3", "/Mobius/ae", `{"m2m:cnt":{"rn":"led"}}`), "2001")
	wants(t, "a number as string", do(nil, "3", "/Mobius/ae", `{"m2m:cnt":{"rn":"x","mni":"10"}}`), "4000")
	wants(t, "nct 2 with net 3", do(nil, "23", "/Mobius/ae/led", `{"m2m:sub":{"rn":"s","enc":{"net":[3]},"nct":2,"nu":["Sae"]}}`), "4000")

	if ws, _, err := websocket.Dial(t.Context(), "ws://"+n.Addr()+"/", &websocket.DialOptions{Subprotocols: []string{"onem2m.r2.0.json"}}); err == nil {
		if ws.Subprotocol() != "" {
			t.Errorf("the server took the subprotocol %q", ws.Subprotocol())
		}
		ws.CloseNow()
	}
	ws, _, err := websocket.Dial(t.Context(), "ws://"+n.Addr()+"/", &websocket.DialOptions{Subprotocols: []string{"oneM2M.json"}})
	must(t, err)
	defer ws.CloseNow()
	for to, want := range map[string]string{"/Mobius/ae": `"rsc":4004`, "Mobius/ae?rcn=1": `"rsc":4004`, "Mobius/ae": `"rsc":2000`} {
		must(t, ws.Write(t.Context(), websocket.MessageText, []byte(`{"op":2,"to":"`+to+`","fr":"Sae","rqi":"1","rvi":"4"}`)))
		_, b, err := ws.Read(t.Context())
		must(t, err)
		if !strings.Contains(string(b), want) {
			t.Errorf("target %s: %s, want %s", to, b, want)
		}
	}

	c, err := net.Dial("udp", n.coap.udp.LocalAddr().String())
	must(t, err)
	defer c.Close()
	_, err = c.Write(coapMessage(1, 7, []coapOption{{11, []byte("Mobius")}, {11, []byte("ae")}, {256, []byte("Sae")}, {257, []byte("r")}}, ""))
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	var b [2048]byte
	size, err := c.Read(b[:])
	must(t, err)
	// 257 is odd, so critical, and unknown: 4.02 Bad Option (RFC 7252 clause 5.4.1).
	if size < 4 || b[1] != 0x82 {
		t.Errorf("the older option numbers are answered with %#x", b[1])
	}
}
