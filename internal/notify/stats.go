package notify

import "sync/atomic"

// Stats are counts since the start, but for Waiting.
type Stats struct {
	Delivered uint64 // notifications that a target took, one for each target
	Failed    uint64 // attempts that will be made again
	Dropped   uint64 // notifications given up for a target
	Replaced  uint64 // notifications that a newer one replaced
	Waiting   int    // queues that have something to deliver now or later
}

type counters struct{ delivered, failed, dropped, replaced atomic.Uint64 }

// Stats gives the counts at this moment.
func (d *Deliverer) Stats() Stats {
	d.mu.Lock()
	waiting := len(d.queues)
	d.mu.Unlock()
	return Stats{
		Delivered: d.stats.delivered.Load(), Failed: d.stats.failed.Load(), Dropped: d.stats.dropped.Load(),
		Replaced: d.stats.replaced.Load(), Waiting: waiting,
	}
}
