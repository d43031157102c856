package mqttbinding

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
)

// TestHostileBroker: a broker that announces a packet of 256 MiB costs this node none of them.
func TestHostileBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sent := make(chan struct{}, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.Read(make([]byte, 1000))
				c.Write([]byte("\x20\x03\x00\x00\x00\x30\xff\xff\xff\x7f"))
				sent <- struct{}{}
				io.Copy(io.Discard, c)
			}()
		}
	}()
	c := NewClient(ClientOptions{CSEID: "/cse"})
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	req := notification()
	req.To = "Capp"
	if _, err := c.Send(ctx, binding.Address{URL: "mqtt://" + l.Addr().String()}, req); err == nil {
		t.Error("no error")
	}
	<-sent
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
		t.Errorf("%d bytes were taken", took)
	}
}

type readerConn struct {
	net.Conn
	r io.Reader
}

func (c readerConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// TestBounded: packets of any size up to the bound pass, however they are cut; none over it does.
func TestBounded(t *testing.T) {
	var good bytes.Buffer
	for _, n := range []int{0, 1, 127, 128, 16383, 16384, maxAnswer} {
		good.WriteByte(0x30)
		for v := n; ; {
			b := byte(v & 127)
			if v >>= 7; v > 0 {
				good.WriteByte(b | 128)
				continue
			}
			good.WriteByte(b)
			break
		}
		good.WriteString(strings.Repeat("\xff", n))
	}
	for _, step := range []int{1, 3, 1000, 1 << 20} {
		c := &bounded{Conn: readerConn{r: bytes.NewReader(good.Bytes())}}
		total := 0
		for buf := make([]byte, step); ; {
			n, err := c.Read(buf)
			total += n
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%d bytes at a time, after %d: %v", step, total, err)
			}
		}
		if total != good.Len() || c.state != atType {
			t.Errorf("%d bytes at a time: %d of %d", step, total, good.Len())
		}
	}
	for _, text := range []string{"\x30\xff\xff\xff\x7f", "\x30\x80\x80\x80\x80\x80\x80", "\xd0\x00\x30\x81\x80\x80\x01"} {
		c := &bounded{Conn: readerConn{r: strings.NewReader(text)}}
		if _, err := c.Read(make([]byte, 100)); err == nil {
			t.Errorf("%q passes", text)
		}
	}
}

// TestManyBrokers: brokers that nobody uses make place for others.
func TestManyBrokers(t *testing.T) {
	t.Parallel()
	c := NewClient(ClientOptions{CSEID: "/cse"})
	defer c.Close()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range maxRemotes + 1 {
		_, err := c.Send(gone, binding.Address{URL: fmt.Sprintf("mqtt://127.0.0.1:%d/a/b", i+1)}, notification())
		if err != nil && strings.Contains(err.Error(), "are in use") {
			t.Fatalf("broker %d: %v", i, err)
		}
	}
}

// TestSilentBroker: a broker that acknowledges nothing is left, with what was sent to it.
func TestSilentBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan struct{})
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Read(make([]byte, 1000))
		c.Write([]byte("\x20\x03\x00\x00\x00"))
		io.Copy(io.Discard, c)
		close(ended)
	}()
	c := NewClient(ClientOptions{CSEID: "/cse"})
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := c.Send(ctx, binding.Address{URL: "mqtt://" + l.Addr().String() + "/a/b"}, notification()); err == nil {
		t.Error("no error")
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the connection goes on")
	}
}
