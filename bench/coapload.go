package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// How long a client waits for an answer before it sends a request again, ACK_TIMEOUT, and how often it does
// (RFC 7252 clause 4.8).
const (
	coapTimeout     = 2 * time.Second
	coapRetransmits = 4
)

// Codes and types of messages (RFC 7252 clauses 3 and 12.1).
const (
	coapPOST    = 0x02
	coapCreated = 0x41
	coapCON     = 0
	coapACK     = 2
)

// coapRequest is a request that is not answered.
type coapRequest struct {
	under    bool
	number   uint64
	datagram []byte
	begun    time.Time
	resend   time.Time // when it is sent again
	tries    int
	acked    bool // the answer comes as a message of its own
}

// coapClient is one socket's side of a load.
type coapClient struct {
	*generator
	conn     net.Conn
	sensor   int
	options  []byte
	requests []coapRequest
	under    int
	body     []byte
	counted  histogram
	all      uint64
	again    uint64
}

// driveCoAP posts readings from one socket in confirmable messages, as many under way as the window allows, until the
// job is over.
func (g *generator) driveCoAP(conn net.Conn, sensor int) error {
	c := &coapClient{
		generator: g, conn: conn, sensor: sensor,
		options: appendPlainOptions(nil, plainPath(sensor), g.Tokens[sensor], deviceID(sensor)), requests: make([]coapRequest, g.Window),
	}
	var (
		sent     uint64
		in       = make([]byte, 1500)
		from, to = g.begin.Add(g.Warm), g.begin.Add(g.Warm + g.Measure)
	)
	for more := true; more || c.under > 0; {
		for i := 0; i < len(c.requests) && more; i++ {
			if c.requests[i].under {
				continue
			}
			if more = !g.over(to); more {
				if err := c.post(i, sent); err != nil {
					return err
				}
				sent++
			}
		}
		if c.under == 0 {
			break
		}
		r, err := c.next(in)
		if err != nil {
			return err
		}
		if end := time.Now(); r != nil && (g.Total > 0 || r.begun.After(from) && end.Before(to)) {
			c.counted.add(end.Sub(r.begun))
		}
		if g.Pause > 0 {
			time.Sleep(g.Pause)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counted.merge(&c.counted)
	g.all += c.all
	g.again += c.again
	return nil
}

// post sends the next reading as request n, in place i. The token says both.
func (c *coapClient) post(i int, n uint64) error {
	r := &c.requests[i]
	now := time.Now()
	c.body = c.readings.appendContent(c.body[:0], c.sensor, c.take(c.sensor, 1))
	d := append(r.datagram[:0], 1<<6|coapCON<<4|4, coapPOST)
	d = binary.BigEndian.AppendUint16(d, uint16(n))
	d = binary.BigEndian.AppendUint32(d, uint32(n)<<8|uint32(i))
	d = append(append(d, c.options...), 0xff)
	*r = coapRequest{under: true, number: n, datagram: append(d, c.body...), begun: now, resend: now.Add(coapTimeout)}
	c.under++
	if _, err := c.conn.Write(r.datagram); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	return nil
}

// next takes a datagram, and gives the request that it answers, nil when it answers none. What is due is sent again.
func (c *coapClient) next(in []byte) (*coapRequest, error) {
	if err := c.conn.SetReadDeadline(c.due()); err != nil {
		return nil, err
	}
	n, err := c.conn.Read(in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, c.repeat(time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("read an answer: %w", err)
	}
	return c.answer(in[:n])
}

// due is when the first request is to be sent again.
func (c *coapClient) due() time.Time {
	var due time.Time
	for i := range c.requests {
		if r := &c.requests[i]; r.under && (due.IsZero() || r.resend.Before(due)) {
			due = r.resend
		}
	}
	return due
}

func (c *coapClient) repeat(now time.Time) error {
	for i := range c.requests {
		r := &c.requests[i]
		if !r.under || r.resend.After(now) {
			continue
		}
		if r.acked || r.tries == coapRetransmits {
			return fmt.Errorf("a request has no answer after %s", now.Sub(r.begun))
		}
		if r.tries++; r.tries == 1 {
			c.again++
		}
		r.resend = now.Add(coapTimeout << r.tries)
		if _, err := c.conn.Write(r.datagram); err != nil {
			return fmt.Errorf("send a request again: %w", err)
		}
	}
	return nil
}

// answer reads a message of the server. Anything but 2.01 and an empty acknowledgement is an error.
func (c *coapClient) answer(b []byte) (*coapRequest, error) {
	switch {
	case len(b) == 4 && b[0] == 1<<6|coapACK<<4 && b[1] == 0:
		for i := range c.requests {
			if r := &c.requests[i]; r.under && uint16(r.number) == binary.BigEndian.Uint16(b[2:]) {
				r.acked, r.resend = true, r.begun.Add(time.Minute)
			}
		}
		return nil, nil
	case len(b) < 8 || b[0]>>6 != 1 || b[0]&15 != 4 || b[1] != coapCreated:
		return nil, fmt.Errorf("the server answers % x (%q)", b[:min(len(b), 8)], b[min(len(b), 8):])
	}
	if b[0]>>4&3 == coapCON {
		if _, err := c.conn.Write([]byte{1<<6 | coapACK<<4, 0, b[2], b[3]}); err != nil {
			return nil, fmt.Errorf("acknowledge an answer: %w", err)
		}
	}
	token := binary.BigEndian.Uint32(b[4:])
	i := int(token & 0xff)
	if i >= len(c.requests) {
		return nil, fmt.Errorf("the server answers with token %08x, which no request has", token)
	}
	r := &c.requests[i]
	if !r.under || uint32(r.number)<<8 != token&^0xff {
		return nil, nil // it was answered before
	}
	r.under = false
	c.under--
	c.all++
	return r, nil
}

// appendPlainOptions appends the options of a device's POST of JSON that speaks no oneM2M: Uri-Path, Content-Format and
// Uri-Query, or, without a token, oneM2M-FR (TS-0008 clause 6.2.2.4).
func appendPlainOptions(dst []byte, path, token, originator string) []byte {
	last := 0
	add := func(number int, value string) {
		at := len(dst)
		if delta := number - last; delta < 13 {
			dst = append(dst, byte(delta)<<4)
		} else {
			dst = append(dst, 13<<4, byte(delta-13)) // an extended delta of up to 268
		}
		head := &dst[at]
		last = number
		if len(value) < 13 {
			*head |= byte(len(value))
		} else {
			*head |= 13 // an extended length of up to 268 bytes
			dst = append(dst, byte(len(value)-13))
		}
		dst = append(dst, value...)
	}
	add(11, "ingest")
	for name := range strings.SplitSeq(path, "/") {
		add(11, name)
	}
	add(12, "\x32") // application/json
	if token != "" {
		add(15, "tkns="+token)
	} else {
		add(279, originator)
	}
	return dst
}
