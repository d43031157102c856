package mqttbinding

import (
	"sync"

	"github.com/tallystick/tallystick/onem2m"
)

// maxCalls bounds the requests to clients of one broker that are not answered.
const maxCalls = 1 << 14

// calls are the requests that went out and wait for their responses.
type calls struct {
	mu      sync.Mutex
	waiting map[callKey]chan *onem2m.Response
}

// callKey names a request: who is to answer it, as in topics, and its request identifier.
type callKey struct{ receiver, request string }

// expect notes that a response is waited for; ok is false when too many are. forget must be called.
func (c *calls) expect(k callKey) (ch <-chan *onem2m.Response, forget func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, twice := c.waiting[k]; twice || len(c.waiting) >= maxCalls {
		return nil, nil, false
	}
	if c.waiting == nil {
		c.waiting = make(map[callKey]chan *onem2m.Response)
	}
	w := make(chan *onem2m.Response, 1)
	c.waiting[k] = w
	return w, func() {
		c.mu.Lock()
		delete(c.waiting, k)
		c.mu.Unlock()
	}, true
}

// answer gives a response to who waits for it. One that nobody waits for is dropped.
func (c *calls) answer(receiver string, resp *onem2m.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waiting[callKey{receiver, resp.RequestID}]; w != nil {
		select {
		case w <- resp:
		default:
		}
	}
}
