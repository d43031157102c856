package wsbinding

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// raw makes the handshake over a TCP connection of its own.
func raw(t testing.TB, url, protocol string) net.Conn {
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	must(t, err)
	fmt.Fprintf(c, "GET /ingest/a/b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%sAuthorization: Bearer Cdev-token\r\n\r\n", protocol)
	r := bufio.NewReader(c)
	rsp, err := http.ReadResponse(r, nil)
	if err != nil || rsp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", rsp, err)
	}
	return c
}

// Whatever comes after the handshake, the connection ends when the client has gone, nothing is left behind, and the next
// client is served.
func FuzzFrames(f *testing.F) {
	text := fmt.Sprintf(reading, 1, 5)
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
	f.Add(uint8(0), frame)
	f.Add(uint8(1), append([]byte{0x82, 0x83, 0, 0, 0, 0}, 0xa1, 0x61, 0x01))
	f.Add(uint8(2), []byte("\x81\x82\x00\x00\x00\x00{}\x89\x80\x00\x00\x00\x00\x88\x82\x00\x00\x00\x00\x03\xe8"))
	f.Add(uint8(0), []byte("\x01\x81\x00\x00\x00\x00{\x00\x80\x00\x00\x00\x00\x80\x81\x00\x00\x00\x00}"))
	f.Add(uint8(0), []byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Add(uint8(0), []byte{0xc1, 0x80, 0, 0, 0, 0})
	protocols := []string{"Sec-WebSocket-Protocol: oneM2M.json\r\n", "Sec-WebSocket-Protocol: oneM2M.cbor\r\n", ""}
	b, url := serve(f, &world{}, func(o *Options) { o.MaxMessage = 10_000 })
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		c := raw(t, url, protocols[int(which)%len(protocols)])
		c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = c.Write(data) // the server may have hung up
		_ = c.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatalf("the connection goes on: %v", err)
		}
		c.Close()
		until(t, "no connection is left", func() bool { return b.connections() == 0 })
	})
}

// Strangers take no more than their share of connections; who shows a credential gets in.
func TestFloodOfStrangers(t *testing.T) {
	b, url := serve(t, &world{}, nil)
	refused := 0
	for range maxStrangers + 20 {
		ws, rsp, err := try(url, "oneM2M.json", "")
		if err != nil {
			if rsp.StatusCode != http.StatusServiceUnavailable {
				t.Fatalf("%v, %v", rsp, err)
			}
			refused++
			continue
		}
		defer ws.CloseNow()
	}
	if refused != 20 {
		t.Errorf("%d handshakes were refused, want 20", refused)
	}
	c := dial(t, url, "oneM2M.json", "Cdev-token")
	c.send(fmt.Sprintf(reading, 1, 5))
	c.want(`{"rsc":2001,"rqi":"1","rvi":"4","to":"Cdev","pc":{"m2m:cin":{"con":"5"}}}`)
	for n := 1; ; n++ {
		ws, rsp, err := try(url, "oneM2M.json", "Cdev-token")
		if err != nil {
			if n != maxSame || rsp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("connection %d with the same credential: %v, %v", n+1, rsp, err)
			}
			break
		}
		defer ws.CloseNow()
	}
	dial(t, url, "oneM2M.json", "Cother-token")
	tick(b, ticks(strangerTime)+1)
	until(t, "no stranger is left", func() bool { return b.strangers.Load() == 0 })
}

// TS-0001 clause 8.1.2: noResponse gets an answer only when it is refused.
func TestNoResponse(t *testing.T) {
	w := &world{do: func(_ context.Context, req *onem2m.Request, _ binding.Evidence) *onem2m.Response {
		status := onem2m.StatusOK
		if req.To == "none" {
			status = onem2m.StatusNotFound
		}
		return &onem2m.Response{Status: status, RequestID: req.RequestID, ReleaseVersion: "4"}
	}}
	_, url := serve(t, w, nil)
	c := dial(t, url, "oneM2M.json", "Cdev-token")
	c.send(`{"op":2,"to":"c","fr":"Cdev","rqi":"1","rt":{"rtv":5}}`)
	c.send(`{"op":2,"to":"none","fr":"Cdev","rqi":"3","rt":{"rtv":5}}`)
	c.want(`{"rsc":4004,"rqi":"3","rvi":"4"}`)
	c.send(`{"op":9,"to":"c","fr":"Cdev","rqi":"2","rt":{"rtv":5}}`)
	c.want(`{"rsc":4000,"rqi":"2","rvi":"4","to":"Cdev","pc":{"m2m:dbg":"parameter op: \"9\" is not an integer from 1 to 5"}}`)
}

// A client that takes nothing of what is written to it loses the connection, and with it what was to be written.
func TestStuckReader(t *testing.T) {
	w := &world{}
	big := []byte(`"` + strings.Repeat("x", 500_000) + `"`)
	b, url := serve(t, w, nil)
	c := raw(t, url, "Sec-WebSocket-Protocol: oneM2M.json\r\n")
	defer c.Close()
	until(t, "it is connected", func() bool { return b.Connected("Cdev") })
	b.mu.Lock()
	peer := b.peers["Cdev"][0]
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	slow := 0
	for i := range 40 {
		n := notification(fmt.Sprint(i))
		n.Content = big
		short, stop := context.WithTimeout(ctx, 2*time.Millisecond)
		if _, err := peer.ask(short, n); err == errSlow {
			slow++
		}
		stop()
	}
	if slow == 0 {
		t.Error("requests for a client that takes none were kept without a bound")
	}
	peer.mu.Lock()
	kept := len(peer.out)
	peer.mu.Unlock()
	if kept > maxUnwritten+len(big)+1000 {
		t.Errorf("%d bytes are kept for it", kept)
	}
}
