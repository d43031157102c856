package mqttbinding

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// TestNothingMissed: a subscriber of QoS 1 that comes and goes, loses connections before it acknowledges, takes nothing
// for a while, and whose broker restarts, gets every reading at least once, and the first time in order.
func TestNothingMissed(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 7))
			b := newBed(t)
			got := make(map[string]int)
			next, last := 0, -1
			pad := strings.Repeat(".", 2000)
			connect := func() *peer {
				return b.client(t, version311, "app", "t-app", persistent(0), receiveMax(uint16(1+rnd.IntN(200))))
			}
			take := func(p *peer, n int, wait time.Duration, ack bool) bool {
				for range n {
					pk, err := p.read(wait)
					var timeout net.Error
					if errors.As(err, &timeout) && timeout.Timeout() {
						return false
					}
					if err != nil {
						t.Fatal(err)
					}
					if pk.FixedHeader.Type != packets.Publish {
						continue
					}
					name, _, _ := strings.Cut(string(pk.Payload), ".")
					var k int
					fmt.Sscan(name, &k)
					if got[name] == 0 {
						if k < last {
							t.Fatalf("reading %d comes after %d", k, last)
						}
						last = k
					}
					got[name]++
					if ack {
						p.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: pk.PacketID})
					}
				}
				return true
			}
			p := connect()
			p.subscribe("tally/dev/#", 1)
			for range 25 {
				for range rnd.IntN(500) {
					b.put("dev/temp", fmt.Sprint(next, pad))
					next++
				}
				switch rnd.IntN(5) {
				case 0:
					take(p, rnd.IntN(600), 5*time.Millisecond, true)
				case 1:
					take(p, rnd.IntN(50), 5*time.Millisecond, false)
				case 2:
					p.Close()
					p = connect()
				case 3:
					p.goodbye()
					b.put("dev/temp", fmt.Sprint(next, pad))
					next++
					p = connect()
				case 4:
					if rnd.IntN(3) == 0 {
						b.restart()
						p = connect()
					}
				}
			}
			p.Close()
			p = connect()
			for len(got) < next && take(p, 1, 10*time.Second, true) {
			}
			for k := range next {
				if got[fmt.Sprint(k)] == 0 {
					t.Fatalf("reading %d of %d never came", k, next)
				}
			}
		})
	}
}
