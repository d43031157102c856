package mqttbinding

import (
	"net"
	"runtime"
	"testing"
)

type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

// TestUnconfirmed: what a connection has sent can be asked for also where a listener wraps its connections.
func TestUnconfirmed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system does not tell which bytes a peer has received; the broker judges without it then")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, ok := unconfirmed(wrapped{wrapped{c}}); !ok || n != 0 {
		t.Errorf("%d bytes, known %v", n, ok)
	}
}
