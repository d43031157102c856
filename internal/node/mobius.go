package node

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/internal/mobius"
	"github.com/tallystick/tallystick/onem2m"
)

// How long clients written for Mobius may take to answer a notification.
const (
	mobiusPatience     = 5 * time.Second
	mobiusPatienceMQTT = 2 * time.Second
	// mobiusHaste is for a target over MQTT that was silent within mobiusMemory.
	mobiusHaste  = 10 * time.Millisecond
	mobiusMemory = 10 * time.Minute
	// maxSilent bounds the targets that are remembered.
	maxSilent = 4096
)

// mobiusClient sends requests as clients written for Mobius want them. Such clients answer notifications of new
// instances and no others, and many that listen over MQTT answer none: Mobius never waits. So a notification that a
// target was given and did not answer in time counts as taken; else it would hold those behind it back for a day.
type mobiusClient struct {
	binding.Client
	mqtt bool

	mu     sync.Mutex
	silent map[string]time.Time // targets over MQTT that did not answer, until they are waited for again
}

func newMobiusClient(scheme string, c binding.Client) *mobiusClient {
	return &mobiusClient{Client: c, mqtt: strings.HasPrefix(scheme, "mqtt"), silent: make(map[string]time.Time)}
}

// Send implements binding.Client.
func (c *mobiusClient) Send(ctx context.Context, to binding.Address, req *onem2m.Request) (*onem2m.Response, error) {
	if req.Operation != onem2m.Notify || !mobius.Unawaited(req.Content) {
		return c.Client.Send(ctx, to, req)
	}
	limited, cancel := context.WithTimeout(ctx, c.patience(to.URL))
	defer cancel()
	rsp, err := c.Client.Send(limited, to, mobius.Notification(req, to.URL))
	if err == nil || ctx.Err() != nil || !errors.Is(err, binding.ErrNoAnswer) {
		return rsp, err
	}
	c.unanswered(to.URL)
	return &onem2m.Response{Status: onem2m.StatusOK, RequestID: req.RequestID}, nil
}

// patience is how long to wait for the answer of a target.
func (c *mobiusClient) patience(target string) time.Duration {
	if !c.mqtt {
		return mobiusPatience
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	until, silent := c.silent[target]
	if silent && time.Now().Before(until) {
		return mobiusHaste
	}
	delete(c.silent, target)
	return mobiusPatienceMQTT
}

// unanswered notes that a target did not answer.
func (c *mobiusClient) unanswered(target string) {
	if !c.mqtt {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, noted := c.silent[target]; noted {
		return
	}
	if len(c.silent) >= maxSilent {
		clear(c.silent)
	}
	c.silent[target] = time.Now().Add(mobiusMemory)
}
