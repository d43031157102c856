package coapbinding

import (
	"encoding/json"
	"strings"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// plainPrefix begins the path of devices that speak no oneM2M.
const plainPrefix = "ingest"

// ingest stores what a device sent.
func (s *Server) ingest(c *call, payload []byte) *message.Message {
	if c.code != codes.POST {
		return s.refuse(c, onem2m.Errorf(onem2m.StatusOperationNotAllowed, "use POST with the content as payload"))
	}
	if len(c.query) > 0 {
		return s.refuse(c, onem2m.Errorf(onem2m.StatusBadRequest, "parameter %.64q: only tkns is known here", c.query[0]))
	}
	c.req.Operation = onem2m.Create
	return s.respondPlain(s.plain.Ingest(s.ctx, &binding.Message{
		Path: strings.Join(c.path[1:], "/"), MediaType: mediaType(c.contentFormat), Body: payload,
		From: c.req.From, SourceIP: c.req.SourceIP,
	}, c.evidence))
}

// respondPlain answers such a device: a code, and why it is refused in words.
func (s *Server) respondPlain(rsp *onem2m.Response) *message.Message {
	reply := &message.Message{Code: responseCode(onem2m.Create, rsp)}
	if rsp.Status.Success() {
		return reply
	}
	var content struct {
		Debug string `json:"m2m:dbg"`
	}
	if json.Unmarshal(rsp.Content, &content) == nil {
		reply.Payload = []byte(content.Debug)
	}
	return reply
}
