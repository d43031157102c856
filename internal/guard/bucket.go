package guard

import "time"

// bucket is a token bucket that may go into debt: who takes more than there is waits until it is paid.
type bucket struct {
	level float64
	last  int64 // Unix nanoseconds; 0 before the first use
}

// take takes n and returns how long to wait for it. What would take longer than most is not taken.
func (b *bucket) take(now int64, n, rate, burst float64, most time.Duration) (wait time.Duration, ok bool) {
	if b.last == 0 {
		b.level = burst
	} else if now > b.last {
		b.level = min(burst, b.level+float64(now-b.last)/1e9*rate)
	}
	b.last = now
	left := b.level - n
	if left < 0 {
		wait = time.Duration(-left / rate * 1e9)
	}
	if wait > most && b.level < burst { // more than the burst passes a full bucket, and leaves the debt
		return wait, false
	}
	b.level = left
	return min(wait, most), true
}
