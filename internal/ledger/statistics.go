package ledger

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// Statistics of notifications (TS-0001 clause 10.2.10.8) are each node's own, as notifications are. What the blocks call
// for is counted with them; what was sent and answered is counted as it happens, in a record for each target.
const (
	localEvents = "nsi/" // + subscription
	localSent   = "nss/" // + subscription, 0 and target
)

// eventCount is how many notifications each target was to get, of the targets that the subscription has. It begins with
// the first one that is counted.
type eventCount struct {
	Since  uint64            `json:"since"` // log index of the entry that called for that one
	Events map[string]uint64 `json:"noec"`  // by target
}

// sentCount is what was sent to one target and answered by it, since the eventCount of the same index began.
type sentCount struct {
	Since    uint64 `json:"since"`
	Sent     uint64 `json:"rqs"`
	Answered uint64 `json:"rsr"`
}

func sentKey(subscription, target string) string { return localSent + subscription + "\x00" + target }

// countEvent counts an event of the block, or begins anew.
func (b *building) countEvent(e *event) error {
	key := localEvents + e.Subscription
	switch e.Statistics {
	case cse.CountAnew:
		b.state.SetLocal(key, nil)
		b.uncounted = append(b.uncounted, e.Subscription)
		return nil
	case cse.Counted:
	default:
		return nil
	}
	c, err := readCount[eventCount](b.state.Local, key)
	if err != nil {
		return err
	}
	if c == nil {
		c = &eventCount{Since: e.index, Events: make(map[string]uint64)}
	}
	maps.DeleteFunc(c.Events, func(target string, _ uint64) bool { return !slices.Contains(e.Targets, target) })
	for _, target := range e.Targets {
		c.Events[target]++
	}
	v, err := json.Marshal(c)
	if err != nil {
		return err
	}
	b.state.SetLocal(key, v)
	return nil
}

// dropCounts removes what was sent for subscriptions that count anew, or no more.
func (a *App) dropCounts(subscriptions []string) error {
	for _, sub := range subscriptions {
		if err := a.tree.DropLocals(sentKey(sub, ""), localSent+sub+"\x01"); err != nil {
			return err
		}
	}
	return nil
}

// readCount reads a record of counts, nil when there is none.
func readCount[T any](local func(string) ([]byte, error), key string) (*T, error) {
	v, err := local(key)
	if err != nil || v == nil {
		return nil, err
	}
	c := new(T)
	if err := json.Unmarshal(v, c); err != nil {
		return nil, fmt.Errorf("read statistics of notifications: %w", err)
	}
	return c, nil
}

// CountSent counts notifications that were sent to a target of a subscription, and those that it answered. What a crash
// takes of it is not counted again.
func (a *App) CountSent(subscription, target string, sent, answered int) {
	a.counting.Lock()
	defer a.counting.Unlock()
	if err := a.countSent(subscription, target, sent, answered); err != nil {
		a.Logger.Error("the statistics of a notification cannot be kept", "subscription", subscription, "err", err)
	}
}

func (a *App) countSent(subscription, target string, sent, answered int) error {
	events, err := readCount[eventCount](a.tree.Local, localEvents+subscription)
	if err != nil || events == nil {
		return err // it is not counted any more
	}
	key := sentKey(subscription, target)
	c, err := readCount[sentCount](a.tree.Local, key)
	if err != nil {
		return err
	}
	if c == nil || c.Since != events.Since {
		c = &sentCount{Since: events.Since}
	}
	c.Sent += uint64(sent)
	c.Answered += uint64(answered)
	v, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return a.tree.SetLocal(key, v)
}

// Statistics gives notificationStatsInfo of a subscription: cse.Env.Statistics.
func (a *App) Statistics(subscription string, targets []string) []byte {
	return a.statistics(a.tree.Local)(subscription, targets)
}

// statistics is Statistics with what a block has counted so far.
func (a *App) statistics(local func(string) ([]byte, error)) func(subscription string, targets []string) []byte {
	return func(subscription string, targets []string) []byte {
		events, err := readCount[eventCount](local, localEvents+subscription)
		if err != nil || events == nil {
			return nil
		}
		dst := []byte{'['}
		for i, target := range targets {
			c, err := readCount[sentCount](a.tree.Local, sentKey(subscription, target))
			if err != nil || c == nil || c.Since != events.Since {
				c = &sentCount{}
			}
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = onem2m.AppendQuote(append(dst, `{"tg":`...), target)
			dst = fmt.Appendf(dst, `,"rqs":%d,"rsr":%d,"noec":%d}`, c.Sent, c.Answered, events.Events[target])
		}
		return append(dst, ']')
	}
}
