package mqttbinding

import (
	"encoding/binary"

	"github.com/mochi-mqtt/server/v2/packets"
)

// What the codec does not look for in the properties of MQTT 5.0 (clause 2.2.2): one that is given twice, one that goes
// beyond their end, and values that it cannot tell from none.

// The forms of properties (MQTT 5.0 clause 1.5).
const (
	formByte = iota + 1
	formTwoBytes
	formFourBytes
	formVariable
	formString // or binary data
	formPair
)

var propertyForms = [...]byte{
	packets.PropPayloadFormat: formByte, packets.PropRequestProblemInfo: formByte, packets.PropRequestResponseInfo: formByte,
	packets.PropReceiveMaximum: formTwoBytes, packets.PropTopicAliasMaximum: formTwoBytes, packets.PropTopicAlias: formTwoBytes,
	packets.PropMessageExpiryInterval: formFourBytes, packets.PropSessionExpiryInterval: formFourBytes,
	packets.PropWillDelayInterval: formFourBytes, packets.PropMaximumPacketSize: formFourBytes,
	packets.PropSubscriptionIdentifier: formVariable,
	packets.PropContentType:            formString, packets.PropResponseTopic: formString, packets.PropCorrelationData: formString,
	packets.PropAuthenticationMethod: formString, packets.PropAuthenticationData: formString, packets.PropReasonString: formString,
	packets.PropUser: formPair,
}

// checkProperties checks the properties of a packet that is no CONNECT, and the options of SUBSCRIBE.
func checkProperties(h packets.FixedHeader, body []byte) error {
	at := 0 // where they begin
	switch h.Type {
	case packets.Publish:
		at = skipString(body, 0)
		if h.Qos > 0 {
			at += 2
		}
	case packets.Subscribe, packets.Unsubscribe:
		at = 2
	case packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp:
		if at = 3; len(body) <= at {
			return nil
		}
	case packets.Disconnect:
		if at = 1; len(body) <= at {
			return nil
		}
	default:
		return nil
	}
	at, err := skipProperties(body, at)
	if err != nil || h.Type != packets.Subscribe {
		return err
	}
	for at < len(body) {
		at = skipString(body, at)
		if body[at]&0xc0 != 0 {
			return packets.ErrMalformedFlags // [MQTT-3.8.3-5]
		}
		at++
	}
	return nil
}

// checkConnectProperties checks the properties of a CONNECT of MQTT 5.0 and of its will. The flags are body[7].
func checkConnectProperties(body []byte) error {
	at, err := skipProperties(body, 10)
	if err != nil || body[7]&4 == 0 {
		return err
	}
	_, err = skipProperties(body, skipString(body, at))
	return err
}

// skipString returns where the string at a place ends. Like the functions below it panics at the end of the body, which
// decode takes for malformed.
func skipString(body []byte, at int) int {
	return at + 2 + int(binary.BigEndian.Uint16(body[at:]))
}

// skipProperties checks the properties at a place and returns where they end.
func skipProperties(body []byte, at int) (end int, err error) {
	length, at := variable(body, at)
	end = at + length
	body = body[:end]
	var seen [len(propertyForms)]bool
	for at < end {
		id := body[at]
		at++
		if int(id) >= len(propertyForms) || propertyForms[id] == 0 {
			return 0, packets.ErrProtocolViolationUnsupportedProperty
		}
		if seen[id] && id != packets.PropUser {
			return 0, packets.ErrProtocolViolation
		}
		seen[id] = true
		value := uint32(0)
		switch propertyForms[id] {
		case formByte:
			value = uint32(body[at])
			at++
			if value > 1 {
				return 0, packets.ErrProtocolViolation // all are 0 or 1
			}
			continue
		case formTwoBytes:
			value = uint32(binary.BigEndian.Uint16(body[at:]))
			at += 2
		case formFourBytes:
			value = binary.BigEndian.Uint32(body[at:])
			at += 4
		case formVariable:
			var n int
			n, at = variable(body, at)
			value = uint32(n)
		case formPair:
			at = skipString(body, at)
			fallthrough
		case formString:
			at = skipString(body, at)
		}
		switch id {
		case packets.PropReceiveMaximum, packets.PropMaximumPacketSize, packets.PropSubscriptionIdentifier:
			if value == 0 {
				return 0, packets.ErrProtocolViolation // MQTT 5.0 clauses 3.1.2.11.3, 3.1.2.11.4 and 3.8.2.1.2
			}
		}
	}
	if at != end {
		return 0, packets.ErrMalformedProperties
	}
	return end, nil
}

// variable reads a variable byte integer and returns where it ends.
func variable(body []byte, at int) (n, end int) {
	for shift := 0; ; shift += 7 {
		b := body[at]
		at++
		n |= int(b&127) << shift
		if b < 128 || shift == 21 {
			return n, at
		}
	}
}
