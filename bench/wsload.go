package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// socket is the client's side of a WebSocket connection (RFC 6455), no more of it than a load needs.
type socket struct {
	net.Conn
	in  *bufio.Reader
	out []byte
}

// upgrade makes a WebSocket connection of a TCP connection.
func upgrade(c net.Conn, host, token string) (*socket, error) {
	s := &socket{Conn: c, in: bufio.NewReaderSize(c, 64<<10)}
	_, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: oneM2M.json\r\nAuthorization: Bearer %s\r\n\r\n", host, token)
	if err != nil {
		return nil, fmt.Errorf("ask for a WebSocket connection: %w", err)
	}
	rsp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return nil, fmt.Errorf("read the answer to a WebSocket handshake: %w", err)
	}
	if rsp.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(rsp.Body, 300))
		return nil, fmt.Errorf("a WebSocket handshake is answered %d: %s", rsp.StatusCode, text)
	}
	return s, nil
}

const (
	frameText   = 0x81 // FIN and opcode 1
	frameMasked = 0x80
)

// add appends a text message to what flush sends. Its mask is zero, which is a mask like any other.
func (s *socket) add(text []byte) {
	s.out = append(s.out, frameText)
	switch n := len(text); {
	case n < 126:
		s.out = append(s.out, frameMasked|byte(n))
	default:
		s.out = append(s.out, frameMasked|126, byte(n>>8), byte(n))
	}
	s.out = append(append(s.out, 0, 0, 0, 0), text...)
}

func (s *socket) flush() error {
	_, err := s.Write(s.out)
	s.out = s.out[:0]
	return err
}

// next reads a message, which is good until the next call. Anything but a short text message is an error.
func (s *socket) next() ([]byte, error) {
	head, err := s.in.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0] != frameText || head[1] > 126 {
		return nil, fmt.Errorf("the server sends a frame that begins with %x", head)
	}
	size, n := 2, int(head[1])
	if n == 126 {
		if head, err = s.in.Peek(4); err != nil {
			return nil, err
		}
		size, n = 4, int(binary.BigEndian.Uint16(head[2:]))
	}
	if _, err := s.in.Discard(size); err != nil {
		return nil, err
	}
	text, err := s.in.Peek(n)
	if err != nil {
		return nil, err
	}
	_, err = s.in.Discard(n)
	return text, err
}

// driveSocket sends requests over one WebSocket connection, as many under way as the window allows, until the job is
// over.
func (g *generator) driveSocket(c net.Conn, sensor int) error {
	s, err := upgrade(c, g.Addr, g.Tokens[sensor])
	if err != nil {
		return err
	}
	var (
		h         histogram
		sent, got uint64
		req       []byte
		begun     = make(map[uint64]time.Time, g.Window)
		from, to  = g.begin.Add(g.Warm), g.begin.Add(g.Warm + g.Measure)
	)
	for more := true; more || got < sent; {
		for more = more && !g.over(to); more && sent-got < uint64(g.Window); more = !g.over(to) {
			req = g.appendPrimitive(req[:0], sensor, sent)
			s.add(req)
			begun[sent] = time.Now()
			sent++
		}
		if err := s.flush(); err != nil {
			return fmt.Errorf("send requests: %w", err)
		}
		for first := true; got < sent && (first || s.in.Buffered() > 0); first = false {
			id, err := s.answer()
			if err != nil {
				return err
			}
			begin, ok := begun[id]
			if !ok {
				return fmt.Errorf("request %d is answered twice or was never sent", id)
			}
			delete(begun, id)
			got++
			if end := time.Now(); g.Total > 0 || begin.After(from) && end.Before(to) {
				h.add(end.Sub(begin))
			}
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counted.merge(&h)
	g.all += got
	return nil
}

func (g *generator) appendPrimitive(dst []byte, sensor int, n uint64) []byte {
	dst = append(append(dst, `{"op":1,"to":"`...), container(sensor)...)
	dst = append(append(dst, `","fr":"`...), deviceID(sensor)...)
	dst = strconv.AppendUint(append(dst, `","rqi":"`...), n, 36)
	dst = append(dst, `","rvi":"4","ty":4,"rcn":0,"pc":`...)
	dst = g.readings.append(dst, sensor, g.take(sensor, 1))
	return append(dst, '}')
}

var (
	created   = []byte(`"rsc":2001`)
	requestID = []byte(`"rqi":"`)
)

// answer reads an answer and gives the number of its request.
func (s *socket) answer() (uint64, error) {
	text, err := s.next()
	if err != nil {
		return 0, fmt.Errorf("read an answer: %w", err)
	}
	_, rest, ok := bytes.Cut(text, requestID)
	id, _, found := bytes.Cut(rest, []byte{'"'})
	n, err := strconv.ParseUint(string(id), 36, 64)
	if !ok || !found || err != nil || !bytes.Contains(text, created) {
		return 0, fmt.Errorf("the server answers %.300s", text)
	}
	return n, nil
}
