package bench

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// The load generator and the CoAP server without a ledger understand each other, also when a datagram in five is lost:
// every request is answered once.
func TestGenerateCoAP(t *testing.T) {
	in, end := io.Pipe()
	lines, out := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- RunRole(t.Context(), RoleInstantCoAP, in, out) }()
	addr, err := bufio.NewReader(lines).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr = strings.TrimSpace(addr)
	job := loadJob{At: addr, Conns: 8, Total: 500, Protocol: plainCoAP, Window: 16}
	for i := range job.Tokens {
		job.Tokens[i] = "tally_" + strings.Repeat("x", 50)
	}
	for _, lossy := range []bool{false, true} {
		if lossy {
			job.At, job.Total = lose(t, addr), 20
			job.Conns = 1
		}
		res, err := generate(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		var sent uint64
		for _, n := range res.Next {
			sent += n
		}
		if res.Requests != job.Total || sent != job.Total || (res.Again > 0) != lossy {
			t.Errorf("%d requests with loss %v: %+v", job.Total, lossy, res)
		}
	}
	end.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// lose passes datagrams of one client on and back, but for every fifth of the first ten each way.
func lose(t *testing.T, addr string) string {
	t.Helper()
	near, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	var client atomic.Pointer[net.Addr]
	pass := func(read func([]byte) (int, error), write func([]byte)) {
		b := make([]byte, 1500)
		for i := 0; ; i++ {
			n, err := read(b)
			if err != nil {
				return
			}
			if i >= 10 || i%5 != 1 {
				write(b[:n])
			}
		}
	}
	go pass(func(b []byte) (int, error) {
		n, from, err := near.ReadFrom(b)
		client.Store(&from)
		return n, err
	}, func(b []byte) { far.Write(b) })
	go pass(far.Read, func(b []byte) { near.WriteTo(b, *client.Load()) })
	return near.LocalAddr().String()
}
