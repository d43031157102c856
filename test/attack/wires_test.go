//go:build scenario

package attack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/eclipse/paho.golang/paho"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/udp"
	"github.com/plgd-dev/go-coap/v3/udp/client"
)

// ask is a oneM2M request as an attacker writes it. Nothing in it is checked before it is sent.
type ask struct {
	op    int // 1 CREATE, 2 RETRIEVE, 3 UPDATE, 4 DELETE, 5 NOTIFY
	to    string
	fr    string
	token string
	ty    int
	pc    string         // JSON
	topic string         // name in the topic of MQTT; that of fr when it is ""
	more  map[string]any // other parameters by short name
}

// reply is what came back.
type reply struct {
	code string // the response status code, or what the protocol says instead of one
	raw  string // everything
}

func (r reply) success() bool {
	return strings.HasPrefix(r.code, "2") || strings.HasPrefix(r.code, "1")
}

// wire sends a request from an address of this machine.
type wire func(t *testing.T, s *site, from string, a ask) reply

// wires are the ways to speak oneM2M to a node.
var wires = map[string]wire{"http": askHTTP, "ws": askWebSocket, "mqtt": askMQTT, "coap": askCoAP}

// primitive is the request as WebSocket and MQTT carry it.
func (a ask) primitive() []byte {
	p := map[string]any{"op": a.op, "to": a.to, "rqi": "attack", "rvi": "4"}
	if a.fr != "" {
		p["fr"] = a.fr
	}
	if a.ty != 0 {
		p["ty"] = a.ty
	}
	if a.pc != "" {
		p["pc"] = json.RawMessage(a.pc)
	}
	for name, v := range a.more {
		p[name] = v
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return b
}

func webClient(from string) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DialContext: dialer(from).DialContext, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       30 * time.Second,
	}
}

// fetched is everything of an HTTP response, as text.
func fetched(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	var head bytes.Buffer
	resp.Header.Write(&head)
	return resp.Proto + " " + resp.Status + "\r\n" + head.String() + "\r\n" + string(b)
}

// pathOf is the path in HTTP and CoAP of a To (TS-0009 clause 6.2.2, TS-0008 clause 6.2.2.1).
func pathOf(to string) string {
	if rest, ok := strings.CutPrefix(to, "//"); ok {
		return "_/" + rest
	}
	if rest, ok := strings.CutPrefix(to, "/"); ok {
		return "~/" + rest
	}
	return to
}

func askHTTP(t *testing.T, s *site, from string, a ask) reply {
	t.Helper()
	method := map[int]string{1: "POST", 2: "GET", 3: "PUT", 4: "DELETE", 5: "POST"}[a.op]
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL()+"/"+pathOf(a.to), strings.NewReader(a.pc))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-M2M-RI", "attack")
	r.Header.Set("X-M2M-RVI", "4")
	if a.fr != "" {
		r.Header.Set("X-M2M-Origin", a.fr)
	}
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	if a.pc != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.ty != 0 {
		r.Header.Set("Content-Type", fmt.Sprint("application/json;ty=", a.ty))
	}
	if v, ok := a.more["vsi"].(string); ok {
		r.Header.Set("X-M2M-VSI", v)
	}
	resp, err := webClient(from).Do(r)
	if err != nil {
		return reply{code: "no connection", raw: err.Error()}
	}
	code := resp.Header.Get("X-M2M-RSC")
	if code == "" {
		code = "HTTP " + strconv.Itoa(resp.StatusCode)
	}
	return reply{code, fetched(t, resp)}
}

// dialWebSocket connects, or says by its reply why it could not.
func dialWebSocket(t *testing.T, s *site, from, path, token string) (*websocket.Conn, reply) {
	t.Helper()
	o := &websocket.DialOptions{Subprotocols: []string{"oneM2M.json"}, HTTPHeader: http.Header{}, HTTPClient: webClient(from)}
	if strings.HasPrefix(path, "/ingest/") {
		o.Subprotocols = nil
	}
	if token != "" {
		o.HTTPHeader.Set("Authorization", "Bearer "+token)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(s.URL(), "http")+path, o)
	if err != nil {
		if resp == nil {
			return nil, reply{"no connection", err.Error()}
		}
		return nil, reply{"handshake " + strconv.Itoa(resp.StatusCode), fetched(t, resp)}
	}
	return c, reply{}
}

func askWebSocket(t *testing.T, s *site, from string, a ask) reply {
	t.Helper()
	c, refused := dialWebSocket(t, s, from, "/", a.token)
	if c == nil {
		return refused
	}
	defer c.CloseNow()
	return exchange(t, c, a)
}

// exchange sends a request over a connection and reads until its response comes.
func exchange(t *testing.T, c *websocket.Conn, a ask) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, a.primitive()); err != nil {
		return reply{"closed", err.Error()}
	}
	var all strings.Builder
	for {
		_, b, err := c.Read(ctx)
		if err != nil {
			return reply{"closed", all.String() + err.Error()}
		}
		all.Write(b)
		if code := statusIn(b); code != "" {
			return reply{code, all.String()}
		}
	}
}

// statusIn is the status of a response primitive, "" of anything else.
func statusIn(b []byte) string {
	var p struct {
		RSC     int `json:"rsc"`
		Wrapped struct {
			RSC int `json:"rsc"`
		} `json:"m2m:rsp"`
	}
	if json.Unmarshal(b, &p) != nil || p.RSC+p.Wrapped.RSC == 0 {
		return ""
	}
	return strconv.Itoa(p.RSC + p.Wrapped.RSC)
}

// mqttClient is a connection to the broker.
type mqttClient struct {
	client *paho.Client
	conn   net.Conn
	got    chan *paho.Publish
	ended  chan struct{}
}

// mqttOptions is what CONNECT has.
type mqttOptions struct {
	id, user, password string
	keep               bool // the session, for an hour
	will               *paho.WillMessage
	from               string
}

// dialMQTT connects, or returns the reason why not.
func dialMQTT(t *testing.T, s *site, o mqttOptions) (*mqttClient, string) {
	t.Helper()
	nc, err := dialer(o.from).DialContext(t.Context(), "tcp", s.MQTT)
	if err != nil {
		return nil, "no connection"
	}
	return connectMQTT(t, nc, o)
}

func connectMQTT(t *testing.T, nc net.Conn, o mqttOptions) (*mqttClient, string) {
	t.Helper()
	c := &mqttClient{conn: nc, got: make(chan *paho.Publish, 1000), ended: make(chan struct{})}
	c.client = paho.NewClient(paho.ClientConfig{
		ClientID: o.id, Conn: nc, PacketTimeout: 20 * time.Second,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(p paho.PublishReceived) (bool, error) { c.got <- p.Packet; return true, nil },
		},
	})
	p := &paho.Connect{
		KeepAlive: 60, ClientID: o.id, CleanStart: !o.keep, UsernameFlag: o.user != "", Username: o.user,
		PasswordFlag: o.password != "", Password: []byte(o.password), WillMessage: o.will,
	}
	if o.keep {
		hour := uint32(3600)
		p.Properties = &paho.ConnectProperties{SessionExpiryInterval: &hour}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ack, err := c.client.Connect(ctx, p)
	if err != nil {
		nc.Close()
		if ack != nil {
			return nil, fmt.Sprintf("CONNACK 0x%02x", ack.ReasonCode)
		}
		return nil, "no connection"
	}
	go func() {
		<-c.client.Done()
		close(c.ended)
	}()
	t.Cleanup(func() { c.client.Disconnect(&paho.Disconnect{}); nc.Close() })
	return c, ""
}

// must is dialMQTT for who may connect.
func mustMQTT(t *testing.T, s *site, o mqttOptions) *mqttClient {
	t.Helper()
	c, refused := dialMQTT(t, s, o)
	if c == nil {
		t.Fatalf("connect as %s: %s", o.user, refused)
	}
	return c
}

// subscribe returns the reason code of the filter, 0 or 1 when it is granted; -1 when the connection ended.
func (c *mqttClient) subscribe(t *testing.T, filter string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ack, _ := c.client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1}}})
	if ack == nil || len(ack.Reasons) == 0 {
		return -1
	}
	return int(ack.Reasons[0])
}

// publish returns the reason code of the acknowledgement, -1 when the connection ended.
func (c *mqttClient) publish(t *testing.T, p *paho.Publish) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	type result struct {
		ack *paho.PublishResponse
	}
	done := make(chan result, 1)
	go func() {
		ack, _ := c.client.Publish(ctx, p)
		done <- result{ack}
	}()
	select {
	case r := <-done:
		if r.ack == nil {
			return -1
		}
		return int(r.ack.ReasonCode)
	case <-c.ended:
		return -1
	}
}

// send publishes a reading with QoS 1.
func (c *mqttClient) send(t *testing.T, topic, payload string) int {
	t.Helper()
	return c.publish(t, &paho.Publish{Topic: topic, Payload: []byte(payload), QoS: 1})
}

// until returns what came before a payload that has the text last, that one included, and ends the test when it does not
// come.
func (c *mqttClient) until(t *testing.T, last string) (all []*paho.Publish) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case p := <-c.got:
			all = append(all, p)
			if strings.Contains(string(p.Payload), last) {
				return all
			}
		case <-c.ended:
			t.Fatalf("the connection ended before %q came", last)
		case <-limit:
			t.Fatalf("%q did not come", last)
		}
	}
}

func askMQTT(t *testing.T, s *site, from string, a ask) reply {
	t.Helper()
	c, refused := dialMQTT(t, s, mqttOptions{id: "attack" + strings.ReplaceAll(from, ".", ""), password: a.token, from: from})
	if c == nil {
		return reply{refused, refused}
	}
	defer c.client.Disconnect(&paho.Disconnect{})
	who := strings.ReplaceAll(strings.TrimLeft(a.fr, "/"), "/", ":")
	if a.topic != "" {
		who = a.topic
	}
	topic := "/oneM2M/req/" + who + "/tally/json"
	c.subscribe(t, "/oneM2M/resp/"+who+"/tally/json")
	if code := c.send(t, topic, string(a.primitive())); code != 0 && code != 0x10 {
		return reply{fmt.Sprintf("PUBACK 0x%02x", code), ""}
	}
	select {
	case p := <-c.got:
		return reply{statusIn(p.Payload), p.Topic + " " + string(p.Payload)}
	case <-c.ended:
		return reply{"closed", ""}
	case <-time.After(20 * time.Second):
		return reply{"silence", ""}
	}
}

// Options of TS-0008 clause 6.2.2.4.
const (
	coapOrigin  message.OptionID = 279
	coapRequest message.OptionID = 283
	coapRelease message.OptionID = 271
	coapType    message.OptionID = 267
	coapStatus  message.OptionID = 307
	coapVendor  message.OptionID = 331
)

func askCoAP(t *testing.T, s *site, from string, a ask) reply {
	t.Helper()
	return sendCoAP(t, s, from, map[int]codes.Code{1: codes.POST, 2: codes.GET, 3: codes.PUT, 4: codes.DELETE, 5: codes.POST}[a.op], pathOf(a.to), a.token, a.options)
}

// options writes the parameters of a request into a message of CoAP.
func (a ask) options(m coapMessage) {
	m.AddOptionString(coapRequest, "attack")
	m.AddOptionString(coapRelease, "4")
	if a.fr != "" {
		m.AddOptionString(coapOrigin, a.fr)
	}
	if a.ty != 0 {
		m.SetOptionUint32(coapType, uint32(a.ty))
	}
	if v, ok := a.more["vsi"].(string); ok {
		m.AddOptionString(coapVendor, v)
	}
	if a.pc != "" {
		m.SetContentFormat(message.AppJSON)
		m.SetBody(strings.NewReader(a.pc))
	}
}

// coapMessage is what a request is filled with.
type coapMessage interface {
	AddOptionString(message.OptionID, string)
	SetOptionUint32(message.OptionID, uint32)
	SetContentFormat(message.MediaType)
	SetBody(io.ReadSeeker)
}

// sendCoAP sends one request from an endpoint of its own. The reply's code is the oneM2M status, or that of CoAP.
func sendCoAP(t *testing.T, s *site, from string, code codes.Code, path, token string, fill func(coapMessage)) reply {
	t.Helper()
	var o []udp.Option
	if from != "" {
		o = append(o, options.WithDialer(&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}))
	}
	c, err := udp.Dial(s.CoAP, o...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return sendOn(t, c, code, path, token, fill)
}

// sendOn sends a request from an endpoint that is open.
func sendOn(t *testing.T, c *client.Conn, code codes.Code, path, token string, fill func(coapMessage)) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m := c.AcquireMessage(ctx)
	defer c.ReleaseMessage(m)
	m.SetCode(code)
	tok, err := message.GetToken()
	if err != nil {
		t.Fatal(err)
	}
	m.SetToken(tok)
	for segment := range strings.SplitSeq(path, "/") {
		m.AddOptionString(message.URIPath, segment)
	}
	if token != "" {
		m.AddOptionString(message.URIQuery, "tkns="+token)
	}
	fill(m)
	resp, err := c.Do(m)
	if err != nil {
		return reply{"silence", err.Error()}
	}
	out := reply{code: fmt.Sprintf("%d.%02d", resp.Code()>>5, resp.Code()&31)}
	if rsc, err := resp.Options().GetUint32(coapStatus); err == nil {
		out.code = strconv.Itoa(int(rsc))
	}
	var all strings.Builder
	for _, o := range resp.Options() {
		fmt.Fprintf(&all, "%d=%q ", o.ID, o.Value)
	}
	if resp.Body() != nil {
		b, err := io.ReadAll(resp.Body())
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	out.raw = all.String()
	return out
}
