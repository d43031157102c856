package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/identity"
)

// Credentials that end soon are told once a day.
const (
	endsSoon       = 30 * 24 * time.Hour
	expiryInterval = 24 * time.Hour
	maxToldEnding  = 10 // by name; the others are counted
)

// warnOfExpiry tells in the log which credentials end soon, at the start and then once a day.
func (n *Node) warnOfExpiry(ctx context.Context) {
	tick := time.NewTicker(expiryInterval)
	defer tick.Stop()
	for {
		names, count, err := n.ending(ctx, time.Now())
		switch {
		case err != nil && ctx.Err() == nil:
			n.log.Error("look for credentials that end soon", "err", err)
		case count > 0:
			n.log.Warn("credentials end soon; tally device list shows all of them", "within", endsSoon.String(), "count", count, "some", strings.Join(names, ", "))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// ending gives the first names and the number of credentials that are valid and end soon.
func (n *Node) ending(ctx context.Context, now time.Time) (names []string, count int, err error) {
	view := n.app.View()
	defer view.Close()
	root := strings.TrimSuffix(identity.RegistryKey("", ""), "/")
	for name, err := range view.AuxNames(root, "") {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, 0, err
		}
		_, originator, _ := strings.Cut(strings.TrimPrefix(name, root), "/")
		h, err := identity.LookupHolder(view, originator)
		if err != nil {
			return nil, 0, err
		}
		if h == nil {
			continue
		}
		for _, id := range h.Keys {
			c, err := identity.Lookup(view, id)
			if err != nil {
				return nil, 0, err
			}
			if c == nil || !c.Valid(now.UnixMicro()) || c.NotAfter == 0 || c.NotAfter > now.Add(endsSoon).UnixMicro() {
				continue
			}
			if count++; len(names) < maxToldEnding {
				names = append(names, fmt.Sprintf("%s (%x) on %s", originator, id, identity.Time(c.NotAfter).Format(time.DateOnly)))
			}
		}
	}
	return names, count, nil
}
