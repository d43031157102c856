package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// appendConnect appends a CONNECT of MQTT 3.1.1 with a clean session, the password a token.
func appendConnect(dst []byte, client, user, token string) []byte {
	n := 10 + 2 + len(client) + 2 + len(user) + 2 + len(token)
	dst = append(dst, 0x10)
	dst = appendLength(dst, n)
	dst = append(dst, "\x00\x04MQTT\x04\xc2\x00\x00"...)
	for _, s := range []string{client, user, token} {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

func appendLength(dst []byte, n int) []byte {
	for n >= 128 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// readAck reads a packet of four bytes: CONNACK or PUBACK.
func readAck(r io.Reader, first byte) (b [4]byte, err error) {
	if _, err = io.ReadFull(r, b[:]); err == nil && (b[0] != first || b[1] != 2) {
		err = fmt.Errorf("the broker sends % x", b)
	}
	return b, err
}

// driveMQTT publishes readings over one connection with QoS 1, as many under way as the window allows, until the job is
// over.
func (g *generator) driveMQTT(c net.Conn, sensor int) error {
	in := bufio.NewReaderSize(c, 16<<10)
	out := appendConnect(nil, "load-"+c.LocalAddr().String(), deviceID(sensor), g.Tokens[sensor])
	if _, err := c.Write(out); err != nil {
		return fmt.Errorf("send CONNECT: %w", err)
	}
	if ack, err := readAck(in, 0x20); err != nil || ack[3] != 0 {
		return fmt.Errorf("CONNECT is answered % x: %w", ack, err)
	}
	var (
		h         histogram
		sent, got uint64
		body      []byte
		begun     = make([]time.Time, g.Window)
		from, to  = g.begin.Add(g.Warm), g.begin.Add(g.Warm + g.Measure)
	)
	for more := true; more || got < sent; {
		out = out[:0]
		for more = more && !g.over(to); more && sent-got < uint64(g.Window); more = !g.over(to) {
			body = g.readings.appendContent(body[:0], sensor, g.take(sensor, 1))
			out = appendPublish(out, container(sensor), uint16(sent%60000+1), body)
			begun[sent%uint64(g.Window)] = time.Now()
			sent++
		}
		if len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return fmt.Errorf("publish: %w", err)
			}
		}
		for first := true; got < sent && (first || in.Buffered() >= 4); first = false {
			ack, err := readAck(in, 0x40)
			if err != nil {
				return fmt.Errorf("read PUBACK: %w", err)
			}
			if id := binary.BigEndian.Uint16(ack[2:]); id != uint16(got%60000+1) {
				return fmt.Errorf("PUBACK of %d, want %d: out of order", id, got%60000+1)
			}
			begin := begun[got%uint64(g.Window)]
			got++
			if end := time.Now(); g.Total > 0 || begin.After(from) && end.Before(to) {
				h.add(end.Sub(begin))
			}
		}
		if g.Pause > 0 {
			time.Sleep(g.Pause)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counted.merge(&h)
	g.all += got
	return nil
}

func appendPublish(dst []byte, topic string, id uint16, payload []byte) []byte {
	dst = append(dst, 0x32)
	dst = appendLength(dst, 2+len(topic)+2+len(payload))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(topic)))
	dst = append(dst, topic...)
	dst = binary.BigEndian.AppendUint16(dst, id)
	return append(dst, payload...)
}
