package mqttbinding

import (
	"sync"
	"time"
)

// Bounds of blame.
const (
	blameLife  = 10 * time.Minute
	maxBlamed  = 1 << 14
	shortPause = time.Second
	longPause  = time.Minute
)

// blame remembers the clients of MQTT 3.1.1 whose publish was refused for good. Their session ends; one that comes back
// with the same message all the same is kept waiting longer each time, so that it costs next to nothing.
type blame struct {
	mu  sync.Mutex
	who map[sessionKey]blamed
}

type blamed struct {
	times     int
	last      time.Time
	condemned bool // its session is to end with the connection
}

func (b *blame) note(k sessionKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.who == nil || len(b.who) >= maxBlamed {
		b.who = make(map[sessionKey]blamed)
	}
	x := b.who[k]
	b.who[k] = blamed{times: x.times + 1, last: time.Now(), condemned: true}
}

// condemned says, once, whether a session is to end because of a refused publish.
func (b *blame) condemned(k sessionKey) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	x, ok := b.who[k]
	if !ok || !x.condemned {
		return false
	}
	x.condemned = false
	b.who[k] = x
	return true
}

// blamed says whether a client has to wait before it may connect again.
func (b *blame) blamed(k sessionKey, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	x, ok := b.who[k]
	return ok && now.Sub(x.last) < pause(x.times)
}

// pause is none the first time: the client may have many more messages, and only one that is refused.
func pause(times int) time.Duration {
	if times <= 1 {
		return 0
	}
	return min(shortPause<<min(times-2, 10), longPause)
}

func (b *blame) forget(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, x := range b.who {
		if now.Sub(x.last) > blameLife {
			delete(b.who, k)
		}
	}
}
