package ingress

import (
	"sync"
	"time"
)

// deadlines ends what takes too long to be committed. Nearly all requests have the same time to wait, so that their
// deadlines come in the order in which they were added: one timer, for the oldest, does for all, where one for each would
// cost more than to queue the request. A deadline that comes before one added earlier gets a timer of its own.
type deadlines struct {
	mu          sync.Mutex
	first, last *deadline
	timer       *time.Timer
	stopped     bool
}

// deadline is when something ends that is not taken back before.
type deadline struct {
	at         time.Time
	end        func() // called once at most
	prev, next *deadline
	in         *deadlines // nil when it is not in the list
	timer      *time.Timer
}

// add begins to wait for d, whose end is set.
func (l *deadlines) add(d *deadline, wait time.Duration) {
	d.at = time.Now().Add(wait)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.last != nil && d.at.Before(l.last.at):
		d.timer = time.AfterFunc(wait, d.end)
		return
	case l.last == nil:
		l.first = d
		l.arm(wait)
	default:
		l.last.next, d.prev = d, l.last
	}
	l.last, d.in = d, l
}

// arm sets the timer. mu is held.
func (l *deadlines) arm(wait time.Duration) {
	switch {
	case l.stopped:
	case l.timer == nil:
		l.timer = time.AfterFunc(wait, l.pass)
	default:
		l.timer.Reset(wait)
	}
}

// take takes a deadline back. It may be passing at this moment all the same.
func (l *deadlines) take(d *deadline) {
	if d.timer != nil {
		d.timer.Stop()
		return
	}
	l.mu.Lock()
	l.remove(d)
	l.mu.Unlock()
}

// remove takes d out of the list, if it is in it. The timer stays as it is: it finds nothing to do then, and is set anew.
// mu is held.
func (l *deadlines) remove(d *deadline) {
	if d.in == nil {
		return
	}
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		l.first = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	} else {
		l.last = d.prev
	}
	d.prev, d.next, d.in = nil, nil, nil
}

// pass ends what is due.
func (l *deadlines) pass() {
	var due []*deadline
	l.mu.Lock()
	now := time.Now()
	for l.first != nil && !l.first.at.After(now) {
		due = append(due, l.first)
		l.remove(l.first)
	}
	if l.first != nil {
		l.arm(l.first.at.Sub(now))
	}
	l.mu.Unlock()
	for _, d := range due {
		d.end()
	}
}

// stop ends the timer; what is in the list is ended by others.
func (l *deadlines) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
	}
}
