package cse

import (
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// reportName is the hidden attribute of a subscription that keeps the data points that it has seen missing.
const reportName = "~md"

// report is what a subscription has seen of missing data points (TS-0004 clause 7.5.1.2.9): how many since the first of
// them, until the time of its missingData condition ends, and the ones that no notification has told of yet.
type report struct {
	end   int64 // Unix microseconds
	count int64
	times []string // at most maxMissing, the most recent ones
}

func reportOf(sub *Resource) (r report) {
	i := 0
	for element := range onem2m.Elements(sub.Get(reportName)) {
		switch i {
		case 0:
			r.end, _ = onem2m.Int(element)
		case 1:
			r.count, _ = onem2m.Int(element)
		default:
			r.times = append(r.times, text(element))
		}
		i++
	}
	return r
}

func (r *report) keep(sub *Resource) *Resource {
	value := strconv.AppendInt([]byte{'['}, r.end, 10)
	value = strconv.AppendInt(append(value, ','), r.count, 10)
	for _, t := range r.times {
		value = onem2m.AppendQuote(append(value, ','), t)
	}
	after := sub.clone()
	after.set(reportName, append(value, ']'))
	return after
}

// notice is the representation in the notification (m2m:timeSeriesNotification).
func (r *report) notice() []byte {
	dst := appendStrings([]byte(`{"m2m:tsn":{"mdlt":`), r.times)
	dst = strconv.AppendInt(append(dst, `,"mdc":`...), r.count, 10)
	return append(dst, '}', '}')
}

// countMissing counts missing data points for a subscription and gives it as it is now. told is what to notify of, nil
// when there are not enough of them yet. Data points that are found missing together are told together.
func countMissing(st State, sub *Resource, w *watch, missing []int64, now int64) (after *Resource, told *report, err error) {
	r := reportOf(sub)
	if now >= r.end {
		r = report{end: now + min(w.missingWithin, 1000*maxInterval)}
	}
	r.count += int64(len(missing))
	for _, at := range missing {
		r.times = append(r.times, onem2m.FormatTime(at))
	}
	r.times = r.times[max(len(r.times)-maxMissing, 0):]
	if r.count >= w.missing {
		reported := r
		told, r.times = &reported, nil
	}
	after = r.keep(sub)
	return after, told, st.Put(after)
}
