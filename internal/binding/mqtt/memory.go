package mqttbinding

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// memory bounds the bytes of packets that are under way, of all clients and of each originator: one that fills its
// share, with slow packets or with requests that wait, keeps nobody else waiting.
type memory struct {
	all *semaphore.Weighted

	mu     sync.Mutex
	shares map[string]*share
}

// share is what one originator has of the memory.
type share struct {
	memory *memory
	owner  string
	users  int // connections and packets; memory.mu guards this and what follows
	conns  int
	bytes  *semaphore.Weighted
}

func newMemory() memory {
	return memory{all: semaphore.NewWeighted(maxMemory), shares: make(map[string]*share)}
}

// connect returns the share of an originator for another of its connections, nil when it has max already. disconnect
// must be called.
func (m *memory) connect(owner string, max int) *share {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.shares[owner]
	if s == nil {
		s = &share{memory: m, owner: owner, bytes: semaphore.NewWeighted(maxMemoryOf)}
		m.shares[owner] = s
	}
	if s.conns >= max {
		return nil
	}
	s.conns++
	s.users++
	return s
}

func (s *share) disconnect() {
	s.memory.mu.Lock()
	s.conns--
	s.memory.mu.Unlock()
	s.leave()
}

// leave ends a use of the share. It is forgotten when there is no other: not while packets of it are under way, or who
// connects again would have another share.
func (s *share) leave() {
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(s.memory.shares, s.owner)
	}
}

// take waits until n bytes have room. release must be called.
func (s *share) take(ctx context.Context, n int) error {
	if err := s.bytes.Acquire(ctx, int64(n)); err != nil {
		return err
	}
	if err := s.memory.all.Acquire(ctx, int64(n)); err != nil {
		s.bytes.Release(int64(n))
		return err
	}
	s.memory.mu.Lock()
	s.users++
	s.memory.mu.Unlock()
	return nil
}

// release gives back what take took; 0 is nothing.
func (s *share) release(n int) {
	if n == 0 {
		return
	}
	s.bytes.Release(int64(n))
	s.memory.all.Release(int64(n))
	s.leave()
}
