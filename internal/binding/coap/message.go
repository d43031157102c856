package coapbinding

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/udp/coder"
)

const (
	headerSize  = 4
	maxDatagram = 65507 // what UDP over IPv4 carries
	// maxOptions is how many options a message may have: 64 levels of an address and as many parameters, and the rest.
	maxOptions = 160
	// fewOptions is what nearly all messages have at most.
	fewOptions = 24
)

// errNotCoAP is of a datagram that gets no answer at all: it is no CoAP message, or one of another version
// (RFC 7252 clause 3).
var errNotCoAP = errors.New("no CoAP message of version 1")

// decode reads a message (RFC 7252 clause 3). Its parts share the datagram's memory. Options are as they came, whether
// known or not, of any length. With an error other than errNotCoAP, type and message ID are set: a malformed
// confirmable message is answered with a Reset (clause 4.2).
func decode(datagram []byte) (*message.Message, error) {
	if len(datagram) < headerSize || datagram[0]>>6 != 1 {
		return nil, errNotCoAP
	}
	m := &message.Message{
		Type: message.Type(datagram[0] >> 4 & 3), Code: codes.Code(datagram[1]),
		MessageID: int32(datagram[2])<<8 | int32(datagram[3]),
	}
	tokenLength := int(datagram[0] & 15)
	rest := datagram[headerSize:]
	if tokenLength > message.MaxTokenSize || len(rest) < tokenLength {
		return m, fmt.Errorf("the token has %d bytes", tokenLength)
	}
	if m.Code == codes.Empty && len(datagram) > headerSize {
		return m, errors.New("an Empty message has more than a header")
	}
	m.Token = message.Token(rest[:tokenLength])
	rest = rest[tokenLength:]
	m.Options = make(message.Options, 0, fewOptions)
	n, err := m.Options.Unmarshal(rest, nil)
	if errors.Is(err, message.ErrOptionsTooSmall) {
		m.Options = make(message.Options, 0, maxOptions)
		n, err = m.Options.Unmarshal(rest, nil)
	}
	if err != nil {
		return m, fmt.Errorf("read the options: %w", err)
	}
	m.Payload = rest[n:]
	if n > 0 && n <= len(rest) && len(m.Payload) == 0 && endsWithMarker(rest[:n], m.Options) {
		return m, errors.New("a payload marker is followed by no payload")
	}
	return m, nil
}

// endsWithMarker says whether encoded options end with a payload marker rather than with an option's value.
func endsWithMarker(encoded []byte, options message.Options) bool {
	if encoded[len(encoded)-1] != 0xff {
		return false
	}
	size, _ := options.Marshal(nil) // the error says that nil is too small for them
	return size != len(encoded)
}

// encode writes a message. Its options must be in order.
func encode(m *message.Message) ([]byte, error) {
	size, err := coder.DefaultCoder.Size(*m)
	if err != nil {
		return nil, fmt.Errorf("encode a CoAP message: %w", err)
	}
	b := make([]byte, size)
	if _, err := coder.DefaultCoder.Encode(*m, b); err != nil {
		return nil, fmt.Errorf("encode a CoAP message: %w", err)
	}
	return b, nil
}

// header is an Empty message: an acknowledgement or a Reset.
func header(t message.Type, mid uint16) []byte {
	return []byte{1<<6 | byte(t)<<4, byte(codes.Empty), byte(mid >> 8), byte(mid)}
}

// isRequest says whether a code is a method, known or not (class 0 but Empty).
func isRequest(c codes.Code) bool { return c != codes.Empty && c>>5 == 0 }

// isResponse says whether a code is a response's (classes 2, 4 and 5).
func isResponse(c codes.Code) bool { return c>>5 == 2 || c>>5 == 4 || c>>5 == 5 }

// critical says whether a message with an option that is not understood must be refused (RFC 7252 clause 5.4.6).
func critical(id message.OptionID) bool { return id&1 == 1 }

// uintValue reads an option of format uint: big-endian, up to four bytes.
func uintValue(b []byte) (uint32, bool) {
	if len(b) > 4 {
		return 0, false
	}
	var v uint32
	for _, c := range b {
		v = v<<8 | uint32(c)
	}
	return v, true
}

// appendUint adds an option of format uint in its shortest form.
func appendUint(o message.Options, id message.OptionID, v uint32) message.Options {
	var b []byte
	for shift := 24; shift >= 0; shift -= 8 {
		if v>>shift != 0 {
			b = append(b, byte(v>>shift))
		}
	}
	return append(o, message.Option{ID: id, Value: b})
}

// appendString adds an option of format string, none when the value is empty.
func appendString(o message.Options, id message.OptionID, v string) message.Options {
	if v == "" {
		return o
	}
	return append(o, message.Option{ID: id, Value: []byte(v)})
}

// isText says whether an option's value can be a parameter: UTF-8 without control characters.
func isText(b []byte) bool {
	return utf8.Valid(b) && !strings.ContainsFunc(string(b), func(r rune) bool { return r < ' ' || r == 0x7f })
}
