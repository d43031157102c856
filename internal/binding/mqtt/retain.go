package mqttbinding

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/tallystick/tallystick/onem2m"
)

// maxRetained bounds the topics with a retained message.
const maxRetained = 1 << 18

// retained knows which readings are retained messages: of each topic the last that was published with the RETAIN flag
// on this node. The messages themselves are in the log.
type retained struct {
	mu    sync.Mutex
	index map[string]uint64 // log index by container path
}

// note makes what a publish stored the retained message of its topic.
func (t *retained) note(container string, resp *onem2m.Response) {
	index, ok := instanceOf(resp)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.index == nil {
		t.index = make(map[string]uint64)
	}
	old, known := t.index[container]
	if known && old > index || !known && len(t.index) >= maxRetained {
		return
	}
	t.index[strings.Clone(container)] = index // it shares the memory of the message
}

// instanceOf returns the log index of the instance that a response tells of.
func instanceOf(resp *onem2m.Response) (index uint64, ok bool) {
	var content struct {
		Instance struct {
			RI string `json:"ri"`
		} `json:"m2m:cin"`
	}
	if json.Unmarshal(resp.Content, &content) == nil && content.Instance.RI != "" {
		return instanceIndex(content.Instance.RI)
	}
	return instanceIndex(path.Base(resp.Location))
}

// clearRetained handles an empty message with the RETAIN flag: the topic has no retained message any more
// [MQTT-3.3.1-6]. It is a reading like others, an empty one, so that only those who may write to the container can do
// it, and the log tells that they did.
func (c *conn) clearRetained(pk *packets.Packet, p *publication, container string) {
	req := clearing(container, c.session.owner, c.ip)
	req.Delivery = p.delivery
	c.start(c.broker.ctx, req, func(resp *onem2m.Response) {
		p.recorded = resp.Status.Success()
		c.settle(p, outcome(c.broker.cleared(container, resp)))
	})
}

// clearing is the request that stores the empty reading.
func clearing(container, from, ip string) *onem2m.Request {
	return &onem2m.Request{
		Operation: onem2m.Create, To: "-/" + container, From: from, RequestID: "mqtt-clear", ReleaseVersion: "4",
		Type: onem2m.TypeContentInstance, ResultContent: onem2m.ResultContentNothing, SourceIP: ip,
		Content: []byte(`{"m2m:cin":{"con":"","cnf":"text/plain:0"}}`),
	}
}

// cleared takes the response to it, and gives that of the publish.
func (b *Broker) cleared(container string, resp *onem2m.Response) *onem2m.Response {
	if resp.Status == onem2m.StatusNotFound { // there is no container, and so no message
		resp = &onem2m.Response{Status: onem2m.StatusOK}
	}
	if resp.Status.Success() {
		b.retain.clear(container)
		b.moved.Add(1)
	}
	return resp
}

// clear removes the retained message of a topic.
func (t *retained) clear(container string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.index, container)
}

// matching returns the containers with a retained message that a filter matches, in order.
func (t *retained) matching(f *filter) map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := make(map[string]uint64)
	if !f.wild() {
		if p, ok := pathOf(f.topic()); ok {
			if index, ok := t.index[p]; ok {
				found[p] = index
			}
		}
		return found
	}
	for p, index := range t.index {
		if f.matches(plainPrefix + p) {
			found[p] = index
		}
	}
	return found
}

// sendRetained queues the retained messages for a new subscription (MQTT 5.0 clause 3.3.1.3), as the client takes them.
func (c *conn) sendRetained(sub *subscription) {
	found := c.broker.retain.matching(&sub.filter)
	for _, p := range slices.Sorted(maps.Keys(found)) {
		r, ok, err := c.broker.o.Live.Reading(found[p])
		if err != nil {
			c.broker.o.Log.Error("read a retained message", "topic", plainPrefix+p, "error", err)
			return
		}
		if !ok || r.Path != p {
			continue // deleted or evicted since
		}
		m := &outgoing{message: newMessage(&r), qos: min(sub.options.Qos, 1), retain: true}
		if id := sub.options.Identifier; id > 0 {
			m.ids = []int{id}
		}
		if !c.session.offer(m) {
			return // more than the client has room for
		}
	}
}

func instanceIndex(ri string) (index uint64, ok bool) {
	_, index, ok = onem2m.ParseInstanceRI(ri)
	return index, ok
}
