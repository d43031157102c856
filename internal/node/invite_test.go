package node

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
)

// TestReachedAt: the address in an invitation is one that a device can use, whatever the operator called the node.
func TestReachedAt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	n := &Node{secure: l, certificate: func() *tls.Certificate { return &tls.Certificate{Certificate: [][]byte{{1}}} }}
	for host, want := range map[string]string{
		"node.example": "https://node.example:", "node.example:80": "https://node.example:", "[::1]": "https://[::1]:",
		"[2001:db8::1]:8080": "https://[2001:db8::1]:", "192.0.2.1": "https://192.0.2.1:",
	} {
		if got, pin := n.reachedAt(host); got != want+port || pin == "" || strings.Contains(got, "[[") {
			t.Errorf("%s: %s, pinned %q", host, got, pin)
		}
	}
}
