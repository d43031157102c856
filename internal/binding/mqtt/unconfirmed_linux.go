package mqttbinding

import (
	"net"

	"golang.org/x/sys/unix"
)

// unconfirmed is how many bytes written to a connection the peer's machine has not confirmed (SIOCOUTQ, tcp(7)); ok is
// false when that cannot be known.
func unconfirmed(c net.Conn) (n int, ok bool) {
	for { // below TLS, whose records are larger than what they carry, and what counts connections
		t, is := c.(interface{ NetConn() net.Conn })
		if !is {
			break
		}
		c = t.NetConn()
	}
	tcp, is := c.(*net.TCPConn)
	if !is {
		return 0, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, false
	}
	if raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }) != nil || err != nil {
		return 0, false
	}
	return n, true
}
