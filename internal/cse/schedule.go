package cse

import (
	"strconv"
	"strings"
	"time"
)

// schedule is a m2m:scheduleEntry: the seconds at which a time window is open, in UTC (TS-0001 clause 9.6.9,
// TS-0004 table 6.3.3-1): second, minute, hour, day of month, month, day of week (0 and 7 are Sunday), year.
type schedule struct {
	fields [6]uint64 // bit n is set when value n of the field matches
	years  []yearRange
}

type yearRange struct{ from, to, step int }

// scheduleBounds are the lowest and highest value of each field but the year.
var scheduleBounds = [6][2]int{{0, 59}, {0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 7}}

const maxYear = 9999

// parseSchedule reads a schedule entry. A field is '*', or a list of n, n-m, '*/step' and n-m/step joined by commas.
func parseSchedule(s string) (schedule, bool) {
	var out schedule
	fields := strings.Fields(s)
	if len(fields) != 7 {
		return out, false
	}
	for i, bounds := range scheduleBounds {
		ranges, ok := parseScheduleField(fields[i], bounds[0], bounds[1])
		if !ok {
			return out, false
		}
		for _, r := range ranges {
			for n := r.from; n <= r.to; n += r.step {
				out.fields[i] |= 1 << n
			}
		}
	}
	if out.fields[5]&(1<<7) != 0 {
		out.fields[5] |= 1
	}
	var ok bool
	out.years, ok = parseScheduleField(fields[6], 0, maxYear)
	return out, ok
}

func parseScheduleField(field string, low, high int) ([]yearRange, bool) {
	var ranges []yearRange
	for part := range strings.SplitSeq(field, ",") {
		r := yearRange{low, high, 1}
		span, step, stepped := strings.Cut(part, "/")
		if stepped {
			n, err := strconv.Atoi(step)
			if err != nil || n < 1 {
				return nil, false
			}
			r.step = min(n, high-low+1)
		}
		if span != "*" {
			from, to, isRange := strings.Cut(span, "-")
			if !isRange {
				to = from
				if stepped {
					return nil, false
				}
			}
			var errFrom, errTo error
			r.from, errFrom = strconv.Atoi(from)
			r.to, errTo = strconv.Atoi(to)
			if errFrom != nil || errTo != nil || r.from < low || r.to > high || r.from > r.to {
				return nil, false
			}
		}
		ranges = append(ranges, r)
	}
	return ranges, true
}

// contains says whether the window is open at a time in Unix microseconds.
func (s *schedule) contains(micros int64) bool {
	t := time.UnixMicro(micros).UTC()
	values := [6]int{t.Second(), t.Minute(), t.Hour(), t.Day(), int(t.Month()), int(t.Weekday())}
	for i, v := range values {
		if s.fields[i]&(1<<v) == 0 {
			return false
		}
	}
	for _, r := range s.years {
		if y := t.Year(); y >= r.from && y <= r.to && (y-r.from)%r.step == 0 {
			return true
		}
	}
	return false
}
