package coapbinding

import (
	"slices"
	"strings"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"

	"github.com/tallystick/tallystick/onem2m"
)

const (
	// mtu is what a response takes at most, unless its options alone are longer: it passes every network unfragmented
	// (RFC 7252 clause 4.6).
	mtu = 1152
	// maxLocation is the longest created address that a response repeats in options, in bytes.
	maxLocation = 512
)

// respond maps a response primitive (TS-0008 clause 6.2).
func (s *Server) respond(c *call, rsp *onem2m.Response) *message.Message {
	reply := &message.Message{Code: responseCode(c.req.Operation, rsp)}
	release := rsp.ReleaseVersion
	if release == "" {
		release = c.req.ReleaseVersion
	}
	if release == "" {
		release = s.o.Release
	}
	if c.req.ResponseType == onem2m.ResponseTypeNone && rsp.Status.Success() {
		return reply // the client wants no more, and CoAP cannot do with less
	}
	options := make(message.Options, 0, 12)
	if len(rsp.Location) <= maxLocation && (rsp.Status == onem2m.StatusCreated || rsp.Status/1000 == 1) {
		options = appendPath(options, rsp.Location)
	}
	options = appendString(options, c.number(optionRQI), c.req.RequestID)
	options = appendString(options, optionRVI, release)
	options = appendString(options, optionOT, rsp.OriginatingTimestamp)
	options = appendString(options, c.number(optionRSET), rsp.ResultExpiration)
	options = appendString(options, optionVSI, rsp.VendorInformation)
	options = appendUint(options, c.number(optionRSC), uint32(rsp.Status))
	if rsp.ContentStatus != 0 {
		options = appendUint(options, optionCTS, uint32(rsp.ContentStatus))
	}
	if rsp.ContentOffset != 0 {
		options = appendUint(options, optionCTO, uint32(rsp.ContentOffset))
	}
	if c.req.Operation == onem2m.Retrieve {
		// A resource may change at any moment (TS-0008 clause 6.4).
		options = appendUint(options, message.MaxAge, 0)
	}
	// The response to a NOTIFY has no payload (TS-0008 clause 6.2.4).
	if len(rsp.Content) > 0 && (c.req.Operation != onem2m.Notify || rsp.Status != onem2m.StatusOK) {
		content, format := rsp.Content, c.answer
		if cbor, _ := isCBOR(format); cbor {
			if b, err := onem2m.JSONToCBOR(content); err == nil {
				content = b
			} else {
				// A number in the resource has no CBOR form. The request is done: JSON says so, an error would not.
				format = uint32(message.AppJSON)
			}
		}
		options = appendUint(options, message.ContentFormat, format)
		reply.Payload = content
	}
	reply.Options = options
	return reply
}

// number gives the option number in the form that the client uses.
func (c *call) number(id message.OptionID) message.OptionID {
	if !c.mobius {
		return id
	}
	switch id {
	case optionRQI:
		return mobiusRQI
	case optionRSC:
		return mobiusRSC
	}
	return id
}

// appendPath adds an address as Location-Path options, none when one of its segments is too long for that.
func appendPath(o message.Options, address string) message.Options {
	if address == "" {
		return o
	}
	n := len(o)
	for segment := range strings.SplitSeq(strings.TrimPrefix(address, "/"), "/") {
		if len(segment) > 255 {
			return o[:n]
		}
		o = append(o, message.Option{ID: message.LocationPath, Value: []byte(segment)})
	}
	return o
}

// sortOptions puts options in the order of their numbers, repeated ones in the order they are in.
func sortOptions(o message.Options) {
	slices.SortStableFunc(o, func(a, b message.Option) int { return int(a.ID) - int(b.ID) })
}

// refuseInCoAP makes the response to what is wrong below oneM2M.
func (s *Server) refuseInCoAP(c *call, r *refusal) *message.Message {
	reply := &message.Message{Code: r.code, Payload: []byte(r.why)}
	if r.maxAge > 0 {
		reply.Options = appendUint(reply.Options, message.MaxAge, r.maxAge)
	}
	if r.size1 > 0 {
		reply.Options = appendUint(reply.Options, message.Size1, r.size1)
	}
	if c.block1.given {
		reply.Options = appendUint(reply.Options, message.Block1, c.block1.value())
	}
	if !c.plain {
		reply.Options = appendString(reply.Options, c.number(optionRQI), c.req.RequestID)
		reply.Options = appendUint(reply.Options, c.number(optionRSC), uint32(r.status))
	}
	return reply
}

// fit gives the response as it is when it fits into one message, else its first block; the rest is kept for the peer
// to fetch (RFC 7959 clause 2.4).
func (s *Server) fit(c *call, key transferKey, reply *message.Message) *message.Message {
	b := block{given: true, szx: maxSZX}
	if c.block2.given {
		b.szx = c.block2.szx
	}
	optionBytes, _ := reply.Options.Marshal(nil) // the error says that nil is too small for them
	for b.szx > 2 && b.size()+optionBytes+32 > mtu {
		b.szx--
	}
	if len(reply.Payload) <= b.size() {
		return reply
	}
	if s.downloads.keep(key, reply, time.Now()) {
		return s.part(c, reply, b)
	}
	if c.req.Operation == onem2m.Retrieve {
		return s.refuse(c, errFull)
	}
	// It is done, which is more important than what it looks like now.
	reply.Payload = nil
	reply.Options = slices.DeleteFunc(reply.Options, func(o message.Option) bool { return o.ID == message.ContentFormat })
	return reply
}

// part gives one block of a response.
func (s *Server) part(c *call, whole *message.Message, b block) *message.Message {
	begin := b.offset()
	if begin >= len(whole.Payload) {
		return s.refuse(c, errBeyond)
	}
	end := min(begin+b.size(), len(whole.Payload))
	b.more = end < len(whole.Payload)
	options := appendUint(slices.Clone(whole.Options), message.Block2, b.value())
	if b.num == 0 {
		options = appendUint(options, message.Size2, uint32(len(whole.Payload)))
	}
	return &message.Message{Code: whole.Code, Options: options, Payload: whole.Payload[begin:end]}
}
