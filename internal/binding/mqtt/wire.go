package mqttbinding

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/mochi-mqtt/server/v2/packets"
)

// The codec of packets is mochi's; nothing outside this file and the tests of it turns bytes into packets or back.

// Protocol levels (MQTT 3.1.1 clause 3.1.2.2, MQTT 5.0 clause 3.1.2.2).
const (
	version31  = 3
	version311 = 4
	version5   = 5
)

// maxConnect is the largest CONNECT, in bytes: two strings of credentials and a small will.
const maxConnect = 16 << 10

// readPacket reads the next packet of at most max bytes into pk. version is that of the connection, 0 before CONNECT, which is
// then the only packet accepted. An error of type packets.Code is the client's fault.
//
// reserve is called with the size of the body before that is read.
func readPacket(r *bufio.Reader, pk *packets.Packet, version byte, max int, reserve func(n int) error) error {
	first, err := r.ReadByte()
	if err != nil {
		return err
	}
	*pk = packets.Packet{ProtocolVersion: version}
	if err := pk.FixedHeader.Decode(first); err != nil {
		return err
	}
	if version == 0 && pk.FixedHeader.Type != packets.Connect {
		return packets.ErrProtocolViolationRequireFirstConnect // [MQTT-3.1.0-1]
	}
	n, err := remainingLength(r)
	if err != nil {
		return err
	}
	if n > max {
		return packets.ErrPacketTooLarge
	}
	pk.FixedHeader.Remaining = n
	if err := reserve(n); err != nil {
		return err
	}
	body, err := readBody(r, n)
	if err != nil {
		return err
	}
	return decode(pk, body)
}

// remainingLength reads a variable byte integer of four bytes at most (MQTT 5.0 clause 1.5.5).
func remainingLength(r io.ByteReader) (n int, err error) {
	for shift := 0; shift < 28; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if n |= int(b&127) << shift; b < 128 {
			return n, nil
		}
	}
	return 0, packets.ErrMalformedVariableByteInteger
}

// readBody reads n bytes. Memory is taken as they come: a length alone costs nothing.
func readBody(r *bufio.Reader, n int) ([]byte, error) {
	const step = 16 << 10
	if n <= step {
		body := make([]byte, n)
		_, err := io.ReadFull(r, body)
		return body, err
	}
	var buf bytes.Buffer
	buf.Grow(step)
	if _, err := io.CopyN(&buf, r, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf.Bytes(), nil
}

// decode fills pk. The codec does not check all lengths: what panics in it is malformed.
func decode(pk *packets.Packet, body []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = packets.ErrMalformedPacket
		}
	}()
	if pk.ProtocolVersion == version5 {
		if err := checkProperties(pk.FixedHeader, body); err != nil {
			return err
		}
	}
	switch pk.FixedHeader.Type {
	case packets.Connect:
		if err := connectVersion(body); err != nil {
			return err
		}
		if body[6] == version5 {
			if err := checkConnectProperties(body); err != nil {
				return err
			}
		}
		return asCode(pk.ConnectDecode(body))
	case packets.Publish:
		if err := asCode(pk.PublishDecode(body)); err != nil {
			return err
		}
		if code := pk.PublishValidate(maxTopicAlias); code.Code != 0 {
			return code
		}
		return nil
	case packets.Puback:
		return asCode(pk.PubackDecode(body))
	case packets.Pubrec:
		return asCode(pk.PubrecDecode(body))
	case packets.Pubrel:
		return asCode(pk.PubrelDecode(body))
	case packets.Pubcomp:
		return asCode(pk.PubcompDecode(body))
	case packets.Subscribe:
		if err := asCode(pk.SubscribeDecode(body)); err != nil {
			return err
		}
		if code := pk.SubscribeValidate(); code.Code != 0 {
			return code
		}
		return nil
	case packets.Unsubscribe:
		if err := asCode(pk.UnsubscribeDecode(body)); err != nil {
			return err
		}
		if code := pk.UnsubscribeValidate(); code.Code != 0 {
			return code
		}
		return nil
	case packets.Pingreq:
		if len(body) > 0 {
			return packets.ErrMalformedPacket
		}
		return nil
	case packets.Disconnect:
		if pk.ProtocolVersion == version5 && len(body) == 1 {
			pk.ReasonCode = body[0] // the properties may be left out (MQTT 5.0 clause 3.14.2.2.1); the codec wants them
			return nil
		}
		return asCode(pk.DisconnectDecode(body))
	default: // what only a server sends, and AUTH, which needs a method that no CONNECT was accepted with
		return packets.ErrProtocolViolation
	}
}

// connectVersion refuses other protocols before their fields are read as if they were this one's.
func connectVersion(body []byte) error {
	switch {
	case len(body) >= 7 && string(body[:6]) == "\x00\x04MQTT":
		if v := body[6]; v == version311 || v == version5 {
			return nil
		}
		return packets.ErrUnsupportedProtocolVersion // [MQTT-3.1.2-2]
	case len(body) >= 9 && string(body[:8]) == "\x00\x06MQIsdp":
		if body[8] == version31 {
			return nil
		}
		return packets.ErrUnsupportedProtocolVersion
	}
	return packets.ErrProtocolViolationProtocolName // [MQTT-3.1.2-1]
}

// asCode gives an error of the codec as the reason code that it wraps.
func asCode(err error) error {
	if err == nil {
		return nil
	}
	var code packets.Code
	if errors.As(err, &code) {
		return code
	}
	return packets.ErrMalformedPacket
}

// encode writes a packet for a connection of a version.
func encode(pk *packets.Packet, version byte) ([]byte, error) {
	pk.ProtocolVersion = version
	pk.Mods.AllowResponseInfo = pk.FixedHeader.Type != packets.Connack
	var buf bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackEncode(&buf)
	case packets.Publish:
		buf.Grow(len(pk.TopicName) + len(pk.Payload) + 64)
		err = pk.PublishEncode(&buf)
	case packets.Puback:
		err = pk.PubackEncode(&buf)
	case packets.Pubrec:
		err = pk.PubrecEncode(&buf)
	case packets.Pubrel:
		err = pk.PubrelEncode(&buf)
	case packets.Pubcomp:
		err = pk.PubcompEncode(&buf)
	case packets.Suback:
		err = pk.SubackEncode(&buf)
	case packets.Unsuback:
		err = pk.UnsubackEncode(&buf)
	case packets.Pingresp:
		err = pk.PingrespEncode(&buf)
	case packets.Disconnect:
		err = pk.DisconnectEncode(&buf)
	default:
		err = packets.ErrNoValidPacketAvailable
	}
	if err != nil {
		return nil, fmt.Errorf("encode a packet of type %d: %w", pk.FixedHeader.Type, err)
	}
	return buf.Bytes(), nil
}

// encodeAck writes PUBACK, PUBREC, PUBREL or PUBCOMP.
func encodeAck(typ byte, id uint16, code byte, why string, version byte) []byte {
	if version < version5 || code == 0 {
		flags := byte(0)
		if typ == packets.Pubrel {
			flags = 2
		}
		return []byte{typ<<4 | flags, 2, byte(id >> 8), byte(id)}
	}
	pk := &packets.Packet{FixedHeader: packets.FixedHeader{Type: typ}, PacketID: id, ReasonCode: code}
	if typ == packets.Pubrel {
		pk.FixedHeader.Qos = 1
	}
	pk.Properties.ReasonString = why
	b, err := encode(pk, version)
	if err != nil {
		return []byte{typ << 4, 3, byte(id >> 8), byte(id), code}
	}
	return b
}
