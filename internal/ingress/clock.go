package ingress

import (
	"math"
	"time"
)

const (
	// clockRest is the least time between two looks at what is due, and so between two blocks that only time calls for.
	clockRest = 20 * time.Millisecond
	// clockRetry is the pause after a failure.
	clockRetry = time.Second
)

// keepTime has a block made when time alone calls for a change, for example because a resource expires: the core acts
// at the beginning of a block, and on an idle network nobody else would order one. The batch that it sends is empty.
func (g *Ingress) keepTime() {
	defer close(g.clock)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		grown := g.o.App.Grown()
		at, err := g.firstDue()
		pause := time.Until(time.UnixMicro(at))
		switch {
		case err != nil:
			pause = clockRetry // who reads the tree for a request meets the error too
		case pause > 0:
		case g.o.Refuse() != nil || !g.passTime():
			pause = clockRetry
		default:
			pause = clockRest
		}
		timer.Reset(max(pause, clockRest))
		select {
		case <-timer.C:
		case <-grown:
			// A block may have brought an earlier time. Under load every block looks at the time anyway.
			if !g.rest() {
				return
			}
		case <-g.pending.stop:
			return
		}
	}
}

// rest waits for a moment, and says whether to go on after it.
func (g *Ingress) rest() bool {
	timer := time.NewTimer(clockRest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-g.pending.stop:
		return false
	}
}

// never is when nothing is due: beyond all times that oneM2M can name, and within what a clock can wait for.
const never = math.MaxInt64 / 4

// firstDue is the first moment at which time alone changes something, Unix microseconds.
func (g *Ingress) firstDue() (int64, error) {
	view := g.o.App.View()
	defer view.Close()
	for ri, err := range view.Due(never) {
		if err != nil {
			return 0, err
		}
		r, err := view.Resource(ri)
		if err != nil {
			return 0, err
		}
		if r != nil {
			return r.Due(), nil
		}
	}
	return never, nil
}

// passTime orders a batch without requests and waits until it is committed.
func (g *Ingress) passTime() bool {
	w, err := g.pending.add()
	if err != nil {
		return false
	}
	timer := time.NewTimer(g.o.Timeout)
	defer timer.Stop()
	select {
	case <-w.done:
		g.pending.release(w)
		return true
	case <-timer.C:
	case <-g.pending.stop:
	}
	w.gone.Store(true)
	return false
}
