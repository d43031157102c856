package mqttbinding

import "github.com/mochi-mqtt/server/v2/packets"

type calls struct{}

func (c *conn) primitive(pk *packets.Packet, p *publication, t *oneM2MTopic) {
	c.settle(p, result{code: packets.ErrTopicNameInvalid})
}
