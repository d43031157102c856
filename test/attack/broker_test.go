//go:build scenario

package attack

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// TestBrokerBypasses: brokers ask about rights when a client subscribes, or when a message is queued, and then hand out
// what the client has lost the right to: retained messages, messages in flight, last wills (Jia and others, "Burglars' IoT
// paradise", IEEE S&P 2020; CVE-2017-7653 to 7655, CVE-2018-12546 and CVE-2020-13821 are of this kind). Here each of these
// is tried against readings of B by A, with and without the right.
func TestBrokerBypasses(t *testing.T) {
	s := open(t)
	alice := s.device(t, "alice", "alice-reading")
	bob := s.device(t, "bob", "bob-reading")
	policy := s.grant(t, bob, "bob", "readers", 2, "Calice")
	sender := mustMQTT(t, s, mqttOptions{id: "sender", user: "Cbob", password: bob.token})
	witness := mustMQTT(t, s, mqttOptions{id: "witness", user: "Cbob", password: bob.token})
	if code := witness.subscribe(t, "tally/bob/#"); code > 1 {
		t.Fatalf("bob subscribes: 0x%02x", code)
	}
	b := &bypass{s: s, alice: alice, bob: bob, policy: policy, sender: sender, witness: witness}
	t.Run("wildcards", b.wildcards)
	t.Run("right lost", b.rightLost)
	t.Run("right lost while away", b.rightLostWhileAway)
	t.Run("retained", b.retained)
	t.Run("client ID", b.clientID)
	t.Run("response topic", b.responseTopic)
	t.Run("topics", b.topics)
	t.Run("http", b.overHTTP)
	t.Run("revoked", b.revoked)
	t.Run("will", b.will)
}

type bypass struct {
	s               *site
	alice, bob      credential
	policy          string
	sender, witness *mqttClient
	n               int
	seen            []string // what the witness, who subscribes to all of bob's, got
}

// say has bob send a reading and waits until it was delivered to him.
func (b *bypass) say(t *testing.T, retain bool) string {
	t.Helper()
	b.n++
	text := fmt.Sprintf("bob-says-%d.", b.n)
	if code := b.sender.publish(t, &paho.Publish{Topic: "tally/bob/readings", Payload: []byte(text), QoS: 1, Retain: retain}); code != 0 {
		t.Fatalf("bob publishes: 0x%02x", code)
	}
	for _, p := range b.witness.until(t, text) {
		b.seen = append(b.seen, p.Topic+" "+string(p.Payload))
	}
	return text
}

// never requires that nothing with a text came to bob's containers.
func (b *bypass) never(t *testing.T, text string) {
	t.Helper()
	b.say(t, false)
	for _, m := range b.seen {
		if strings.Contains(m, text) {
			t.Errorf("bob's subscription got %q", m)
		}
	}
}

// give and take change what alice may read of bob's.
func (b *bypass) give(t *testing.T) {
	t.Helper()
	web := b.s.as(b.bob)
	defer web.Close()
	_, err := web.Update(t.Context(), b.policy, map[string]any{"m2m:acp": map[string]any{"pv": map[string]any{"acr": []map[string]any{
		{"acor": []string{"Cbob"}, "acop": 63}, {"acor": []string{"Calice"}, "acop": 2}}}}})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bypass) take(t *testing.T) { t.Helper(); b.s.withdraw(t, b.bob, b.policy) }

// only requires that of bob's readings a client got exactly these before one of alice's own, which she sends now: the log
// is read in order, so what comes after would have come before.
func (b *bypass) only(t *testing.T, c *mqttClient, want ...string) {
	t.Helper()
	b.n++
	mark := fmt.Sprintf("alice-marks-%d.", b.n)
	web := b.s.as(b.alice)
	defer web.Close()
	if _, err := web.Create(t.Context(), "tally/alice/readings", 4, map[string]any{"m2m:cin": map[string]any{"con": mark}}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range c.until(t, mark) {
		if text := string(p.Payload); strings.HasPrefix(text, "bob-") {
			got = append(got, text)
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("alice got %q of bob's, want %q", got, want)
	}
}

// wildcards: a subscription gives what one may read, however wide its filter is, and $SYS and others' requests never.
func (b *bypass) wildcards(t *testing.T) {
	filters := []string{"#", "+/+/+", "tally/#", "tally/+/readings", "+/bob/#", "$share/group/tally/#", "/oneM2M/#", "/oneM2M/+/+/+/+", "/#"}
	var all []*mqttClient
	for i, filter := range filters {
		c := mustMQTT(t, b.s, mqttOptions{id: fmt.Sprint("wild", i), user: "Calice", password: b.alice.token})
		if code := c.subscribe(t, filter); code > 2 && filter[0] != '/' {
			t.Errorf("filter %s: 0x%02x", filter, code)
		}
		c.subscribe(t, "tally/alice/readings")
		all = append(all, c)
	}
	for i, filter := range []string{"$SYS/#", "$SYS/broker/clients/connected", "$SYS/broker/version"} {
		c := mustMQTT(t, b.s, mqttOptions{id: fmt.Sprint("sys", i), user: "Calice", password: b.alice.token})
		c.subscribe(t, filter)
		c.subscribe(t, "tally/alice/readings")
		all = append(all, c)
	}
	may := b.say(t, false)
	b.take(t)
	b.say(t, false)
	askMQTT(t, b.s, "", ask{op: 2, to: "tally/bob/readings/la", fr: "Cbob", token: b.bob.token}) // its response has a reading
	for i, c := range all {
		if i < 6 {
			b.only(t, c, may)
		} else {
			b.only(t, c)
		}
		c.client.Disconnect(&paho.Disconnect{})
	}
	b.give(t)
}

// rightLost: who has lost the right gets nothing more on a subscription that was made with it, and may not make it again.
func (b *bypass) rightLost(t *testing.T) {
	for _, filter := range []string{"tally/bob/readings", "$share/group2/tally/bob/readings"} {
		c := mustMQTT(t, b.s, mqttOptions{id: "lost", user: "Calice", password: b.alice.token})
		if code := c.subscribe(t, filter); code > 1 {
			t.Fatalf("subscribe to %s: 0x%02x", filter, code)
		}
		c.subscribe(t, "tally/alice/readings")
		first := b.say(t, false)
		b.take(t)
		b.say(t, false)
		b.only(t, c, first)
		if code := c.subscribe(t, filter); code < 0x80 {
			t.Errorf("subscribes to %s again: 0x%02x", filter, code)
		}
		b.give(t)
		b.only(t, c)
		c.client.Disconnect(&paho.Disconnect{})
	}
}

// rightLostWhileAway: what was queued for a client that is away is not its own when the right is gone by the time that it
// comes back.
func (b *bypass) rightLostWhileAway(t *testing.T) {
	o := mqttOptions{id: "away", user: "Calice", password: b.alice.token, keep: true}
	leave := func() {
		c := mustMQTT(t, b.s, o)
		c.subscribe(t, "tally/bob/readings")
		c.subscribe(t, "tally/alice/readings")
		b.only(t, c)
		c.conn.Close()
	}
	leave()
	queued := b.say(t, false)
	b.only(t, mustMQTT(t, b.s, o), queued) // with the right it is delivered
	leave()
	b.say(t, false)
	b.take(t)
	b.only(t, mustMQTT(t, b.s, o))
	b.give(t)
}

// retained: the retained message of a topic is for who may read it when it is sent, and ends with the reading.
func (b *bypass) retained(t *testing.T) {
	kept := b.say(t, true)
	subscribe := func(filter string) *mqttClient {
		c := mustMQTT(t, b.s, mqttOptions{id: "retained", user: "Calice", password: b.alice.token})
		c.subscribe(t, filter)
		c.subscribe(t, "tally/alice/readings")
		return c
	}
	for _, filter := range []string{"tally/bob/readings", "tally/bob/#", "#"} {
		b.only(t, subscribe(filter), kept)
	}
	b.take(t)
	for _, filter := range []string{"tally/bob/readings", "tally/bob/#", "tally/+/readings", "#"} {
		b.only(t, subscribe(filter))
	}
	c := mustMQTT(t, b.s, mqttOptions{id: "eraser", user: "Calice", password: b.alice.token, from: source()})
	if code := c.publish(t, &paho.Publish{Topic: "tally/bob/readings", QoS: 1, Retain: true}); code < 0x80 && code != -1 {
		t.Errorf("alice ends bob's retained message: 0x%02x", code)
	}
	b.give(t)
	b.only(t, subscribe("tally/bob/readings"), kept)
	web := b.s.as(b.bob)
	defer web.Close()
	if err := web.Delete(t.Context(), "tally/bob/readings/la"); err != nil {
		t.Fatal(err)
	}
	b.only(t, subscribe("tally/bob/readings"))
}

// clientID: a session belongs to its originator, not to who knows its client identifier.
func (b *bypass) clientID(t *testing.T) {
	bobs := mqttOptions{id: "same", user: "Cbob", password: b.bob.token, keep: true}
	c := mustMQTT(t, b.s, bobs)
	c.subscribe(t, "tally/bob/readings")
	c.conn.Close()
	b.take(t)
	queued := b.say(t, false)
	thief := mustMQTT(t, b.s, mqttOptions{id: "same", user: "Calice", password: b.alice.token, keep: true})
	thief.subscribe(t, "tally/alice/readings")
	b.only(t, thief)
	c = mustMQTT(t, b.s, bobs)
	if got := c.until(t, queued); len(got) == 0 {
		t.Error("bob's session is lost")
	}
	select {
	case <-thief.ended:
		t.Error("bob's connection ended alice's of the same client ID")
	default:
	}
	b.give(t)
}

// responseTopic: MQTT 5 lets a publisher name the topic of the answer. The node answers on the topics of the proven
// originator alone, wherever a request points to, and a reading does not carry another's correlation data.
func (b *bypass) responseTopic(t *testing.T) {
	c := mustMQTT(t, b.s, mqttOptions{id: "pointer", user: "Calice", password: b.alice.token})
	c.subscribe(t, "/oneM2M/resp/Calice/#")
	victim := mustMQTT(t, b.s, mqttOptions{id: "victim", user: "Cbob", password: b.bob.token})
	victim.subscribe(t, "/oneM2M/resp/Cbob/#")
	victim.subscribe(t, "tally/bob/#")
	point := &paho.PublishProperties{ResponseTopic: "/oneM2M/resp/Cbob/tally/json", CorrelationData: []byte("bob-fooled")}
	request := ask{op: 2, to: "tally/alice/readings/la", fr: "Calice"}.primitive()
	if code := c.publish(t, &paho.Publish{Topic: "/oneM2M/req/Calice/tally/json", Payload: request, QoS: 1, Properties: point}); code != 0 && code != 0x10 {
		t.Errorf("a request with a response topic: 0x%02x", code)
	}
	c.until(t, "alice-") // the answer comes where it belongs
	point = &paho.PublishProperties{ResponseTopic: "tally/bob/readings", CorrelationData: []byte("bob-fooled")}
	c.publish(t, &paho.Publish{Topic: "tally/alice/readings", Payload: []byte("alice-points"), QoS: 1, Properties: point})
	for _, p := range victim.until(t, b.say(t, false)) {
		if !strings.HasPrefix(string(p.Payload), "bob-says") || p.Properties != nil && (len(p.Properties.CorrelationData) > 0 || p.Properties.ResponseTopic != "") {
			t.Errorf("bob gets %q on %s", p.Payload, p.Topic)
		}
	}
	// The victim's own request is answered there.
	victim.send(t, "/oneM2M/req/Cbob/tally/json", string(ask{op: 2, to: "tally/bob/readings/la", fr: "Cbob"}.primitive()))
	victim.until(t, "bob-says")
}

// topics: a PUBLISH to a filter is no PUBLISH (MQTT 5.0 clause 3.3.2.1), and nobody publishes what the broker says itself.
func (b *bypass) topics(t *testing.T) {
	for _, topic := range []string{"tally/+/readings", "tally/#", "#", "+", "$SYS/broker/clients", "$share/group/tally/bob/readings", "$share/group/tally/alice/readings", "/oneM2M/resp/Cbob/tally/json", "bob/readings", "tally/alice/readings\x00", ""} {
		c := mustMQTT(t, b.s, mqttOptions{id: "topics", user: "Calice", password: b.alice.token, from: source()})
		if code := c.send(t, topic, "bob-forged"); code < 0x80 && code != -1 {
			t.Errorf("PUBLISH to %q: 0x%02x", topic, code)
		}
		c.conn.Close()
	}
	c := mustMQTT(t, b.s, mqttOptions{id: "topics", user: "Calice", password: b.alice.token})
	if code := c.send(t, "tally/alice/readings", "alice-own"); code != 0 {
		t.Errorf("PUBLISH to one's own: 0x%02x", code)
	}
	b.never(t, "forged")
}

// overHTTP: brokers with a second way to publish have had rights for the first one only.
func (b *bypass) overHTTP(t *testing.T) {
	b.take(t)
	post := func(c credential, method, path string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, b.s.URL()+path, strings.NewReader(c.id[1:]+"-over-http"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+c.token)
		r.Header.Set("Content-Type", "text/plain")
		resp, err := webClient(source()).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		fetched(t, resp)
		return resp.StatusCode
	}
	for _, path := range []string{"/ingest/bob/readings", "/tally/bob/readings", "/mqtt/publish?topic=tally/bob/readings", "/api/v5/publish", "/topics/tally/bob/readings", "/-/mqtt"} {
		for _, method := range []string{http.MethodPost, http.MethodPut} {
			if status := post(b.alice, method, path); status < 400 {
				t.Errorf("%s %s: %d", method, path, status)
			}
		}
	}
	if status := post(b.bob, http.MethodPost, "/ingest/bob/readings"); status != 201 {
		t.Errorf("bob's own: %d", status)
	}
	b.witness.until(t, "bob-over-http")
	b.never(t, "alice")
	b.give(t)
}

// revoked: with the credential end its connections, within a second of the commit, and what was in flight and queued for
// them; a session that was kept is nobody's.
func (b *bypass) revoked(t *testing.T) {
	eve := b.s.device(t, "eve", "eve-reading")
	web := b.s.as(b.bob)
	_, err := web.Update(t.Context(), b.policy, map[string]any{"m2m:acp": map[string]any{"pv": map[string]any{"acr": []map[string]any{
		{"acor": []string{"Cbob"}, "acop": 63}, {"acor": []string{"Ceve"}, "acop": 2}}}}})
	web.Close()
	if err != nil {
		t.Fatal(err)
	}
	o := mqttOptions{id: "eve", user: "Ceve", password: eve.token, keep: true}
	c := mustMQTT(t, b.s, o)
	c.subscribe(t, "tally/bob/readings")
	c.until(t, b.say(t, false))
	b.s.revoke(t, eve)
	begin := time.Now()
	b.say(t, false)
	select {
	case <-c.ended:
	case <-time.After(5 * time.Second): // a second is promised; a busy machine gets more
		t.Error("the connection goes on")
	}
	t.Logf("the connection ended %s after the commit", time.Since(begin).Round(time.Millisecond))
	for len(c.got) > 0 {
		t.Errorf("after the revocation came %q", (<-c.got).Payload)
	}
	b.say(t, false)
	if _, refused := dialMQTT(t, b.s, o); !strings.HasPrefix(refused, "CONNACK 0x8") {
		t.Errorf("connects again: %q", refused)
	}
	// Whoever is enrolled as Ceve anew has the same name, and so may come back to the session.
	b.give(t)
	o.password = b.s.enrol(t, "Ceve", "device", "").token
	c = mustMQTT(t, b.s, o)
	c.subscribe(t, "tally/eve/readings")
	if c.send(t, "tally/eve/readings", "eve-again") != 0 {
		t.Error("the new credential does not work")
	}
	for _, p := range c.until(t, "eve-again") {
		if strings.HasPrefix(string(p.Payload), "bob-") {
			t.Errorf("the session still has %q", p.Payload)
		}
	}
}

// will: the last message of a client is published with the rights that it has when it is lost; none when it was shut out.
func (b *bypass) will(t *testing.T) {
	mallory := b.s.device(t, "mallory", "mallory-reading")
	o := mqttOptions{id: "mallory", user: "Cmallory", password: mallory.token}
	watch := mustMQTT(t, b.s, mqttOptions{id: "watch", user: "Cmallory", password: mallory.token})
	watch.subscribe(t, "tally/mallory/#")
	for _, to := range []string{"tally/mallory/readings", "tally/bob/readings"} {
		o.will = &paho.WillMessage{Topic: to, Payload: []byte("bob-or-mallory-will"), QoS: 1}
		if c, _ := dialMQTT(t, b.s, o); c != nil {
			c.conn.Close()
		}
	}
	watch.until(t, "mallory-will") // the positive control: its own
	o.will = &paho.WillMessage{Topic: "tally/mallory/readings", Payload: []byte("forbidden-will"), QoS: 1}
	c := mustMQTT(t, b.s, o)
	b.s.revoke(t, mallory)
	select {
	case <-c.ended:
	case <-time.After(5 * time.Second):
		t.Error("the connection goes on")
	}
	web := b.s.as(b.s.enrol(t, "Cmallory", "device", ""))
	defer web.Close()
	if body, err := web.Retrieve(t.Context(), "tally/mallory/readings?rcn=4"); err != nil || strings.Contains(string(body), "forbidden-will") || !strings.Contains(string(body), "mallory-will") {
		t.Errorf("mallory's readings are %s %v", body, err)
	}
	b.never(t, "will")
}
