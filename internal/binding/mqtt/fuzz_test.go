package mqttbinding

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// FuzzPacket: whatever comes after CONNECT is a packet or an error, within memory and time that its length pays for.
func FuzzPacket(f *testing.F) {
	f.Add([]byte{0x30, 5, 0, 1, 'a', 'b', 'c'}, byte(version311))
	f.Add([]byte{0x82, 6, 0, 1, 0, 0, 1, 'a'}, byte(version5)) // a subscription without its options
	f.Add([]byte{0x32, 7, 0, 1, 'a', 0, 1, 200, 1}, byte(version5))
	f.Add([]byte{0xe0, 2, 0, 0xff}, byte(version5))
	f.Add([]byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 5, 0xc6, 0, 1, 0x80, 0x80}, byte(0))
	f.Add([]byte{0x62, 4, 0, 1, 0x92, 9}, byte(version5))
	f.Fuzz(func(t *testing.T, b []byte, version byte) {
		if version != 0 && version != version31 && version != version311 && version != version5 {
			version = version5
		}
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			pk := new(packets.Packet)
			if err := readPacket(r, pk, version, 1<<16, func(int) error { return nil }); err != nil {
				return
			}
			if pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos > 2 {
				t.Errorf("QoS %d", pk.FixedHeader.Qos)
			}
			if version == 0 {
				return
			}
		}
	})
}

// FuzzConnection: bytes of a client that is known, over a real connection, neither stop the broker nor hold it.
func FuzzConnection(f *testing.F) {
	connect := []byte{0x10, 24, 0, 4, 'M', 'Q', 'T', 'T', 4, 0xc2, 0, 60, 0, 1, 'c', 0, 0, 0, 5, 't', '-', 'd', 'e', 'v'}
	connect[1] = byte(len(connect) - 2)
	f.Add([]byte{0x82, 12, 0, 1, 0, 7, 't', 'a', 'l', 'l', 'y', '/', '#', 1, 0x32, 5, 0, 1, 'x', 0, 9})
	f.Add([]byte{0x34, 14, 0, 9, 't', 'a', 'l', 'l', 'y', '/', 'a', '/', 'b', 0, 1, 'x', 0x62, 2, 0, 1})
	f.Add([]byte{0x40, 2, 0, 1, 0xc0, 0, 0xe0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWorld()
		broker, err := New(Options{Handler: w, Plain: w, Live: w, CSEID: "/cse", Log: slog.New(slog.DiscardHandler), Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := net.Pipe()
		broker.accept(theirs)
		go func() {
			ours.SetWriteDeadline(time.Now().Add(5 * time.Second))
			ours.Write(connect)
			ours.Write(b)
			ours.Write([]byte{0xe0, 0})
			ours.Close()
		}()
		io.Copy(io.Discard, ours)
		ended := make(chan error, 1)
		go func() { ended <- broker.Close() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the broker does not close")
		}
	})
}
