package cse

import (
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of the detection of missing data.
const (
	// maxMissing bounds missingDataList when missingDataMaxNr does not bound it more.
	maxMissing = 1000
	// maxAhead bounds the data points beyond the next expected one that are remembered to have come.
	maxAhead = 1000
	// detectEvery is the least time between two detections of one timeSeries, in microseconds, and detectEach for each data
	// point that the first of them found missing: a silent timeSeries with a short interval must not fill the log.
	detectEvery = second
	detectEach  = second / 10
)

// detectorName is the hidden attribute that keeps a detector.
const detectorName = "~md"

// detector is the detection of missing data of a timeSeries under way (TS-0001 clause 10.2.4.29). Data points are expected
// at the dataGenerationTime of the first instance plus N times periodicInterval, within periodicIntervalDelta. One that
// is not there missingDataDetectTimer after it was expected is missing.
//
// An instance that claims to be generated later than it was received, by more than periodicIntervalDelta, is no expected
// data point, so that nobody can hide a silence to come.
type detector struct {
	pei, peid, mdt int64 // microseconds
	// next is when the next data point is expected that has not come yet.
	next int64
	// ahead are the data points after that one that have come, as multiples of pei from next, ascending.
	ahead []int64
}

// detectorOf gives the detector of a timeSeries. on says that missing data is to be detected at all; the detector has run
// since the first instance when it has a next.
func detectorOf(ts *Resource) (d detector, on bool) {
	pei, periodic := onem2m.Int(ts.Get("pei"))
	mdt, timed := onem2m.Int(ts.Get("mdt"))
	if !periodic || !timed || !trueValue(ts.Get("mdd")) {
		return d, false
	}
	peid, _ := onem2m.Int(ts.Get("peid"))
	d.pei, d.peid, d.mdt = 1000*pei, 1000*peid, 1000*mdt
	for element := range onem2m.Elements(ts.Get(detectorName)) {
		n, _ := onem2m.Int(element)
		if d.next == 0 {
			d.next = n
		} else {
			d.ahead = append(d.ahead, n)
		}
	}
	return d, true
}

// keep gives a timeSeries with the detector as it is now, to wake at the detection of the next data point.
func (d *detector) keep(ts *Resource) *Resource {
	after := ts.clone()
	value := strconv.AppendInt([]byte{'['}, d.next, 10)
	for _, k := range d.ahead {
		value = strconv.AppendInt(append(value, ','), k, 10)
	}
	after.set(detectorName, append(value, ']'))
	after.Wake = d.next + d.mdt
	return after
}

// start expects the first data point after that of the first instance whose detection lies ahead.
func (d *detector) start(generated, now int64) {
	d.next = generated + d.pei
	if late := now - d.mdt - d.next; late >= 0 {
		d.next += (late/d.pei + 1) * d.pei
	}
}

// arrive notes an instance and says whether it was one that the detector waits for.
func (d *detector) arrive(generated, now int64) bool {
	if generated > now+d.peid {
		return false
	}
	from := generated - d.peid - d.next
	if from <= -d.pei {
		return false // of a data point that was expected before
	}
	k := int64(0)
	if from > 0 {
		k = (from + d.pei - 1) / d.pei
	}
	// Of two ranges that touch, the earlier one has the time at which they do.
	if expected := d.next + k*d.pei; generated != expected && generated <= expected-d.peid {
		return false
	}
	if k == 0 {
		d.advance(1)
		return true
	}
	at, found := slices.BinarySearch(d.ahead, k)
	if found || len(d.ahead) == maxAhead {
		return false
	}
	d.ahead = slices.Insert(d.ahead, at, k)
	return true
}

// advance goes on by n data points, and past those that have come already.
func (d *detector) advance(n int64) {
	for {
		d.next += n * d.pei
		gone := 0
		for i := range d.ahead {
			if d.ahead[i] < n {
				gone++
			}
			d.ahead[i] -= n
		}
		d.ahead = d.ahead[gone:]
		if len(d.ahead) == 0 || d.ahead[0] != 0 {
			return
		}
		n, d.ahead = 1, d.ahead[1:]
	}
}

// detect gives the expected times of the data points that are missing by now, oldest first, at most maxMissing, the most
// recent ones. It goes on to the first one whose detection lies ahead.
func (d *detector) detect(now int64) []int64 {
	if now < d.next+d.mdt {
		return nil
	}
	due := (now-d.mdt-d.next)/d.pei + 1
	var missing []int64
	for k := due - 1; k >= 0 && len(missing) < maxMissing; k-- {
		if _, came := slices.BinarySearch(d.ahead, k); !came {
			missing = append(missing, d.next+k*d.pei)
		}
	}
	slices.Reverse(missing)
	d.advance(due)
	return missing
}

// observe tells the detector of a timeSeries, if it has one, of a new instance. What it writes follows from the
// CREATE of the instance.
func observe(st State, ts *Resource, ref InstanceRef, now int64) error {
	if ts.Type != onem2m.TypeTimeSeries {
		return nil
	}
	d, on := detectorOf(ts)
	switch {
	case !on:
		return nil
	case d.next == 0:
		if ref.Generated > now+d.peid {
			return nil
		}
		d.start(ref.Generated, now)
	case !d.arrive(ref.Generated, now):
		return nil
	}
	return st.Put(d.keep(ts))
}

// detectMissing adds the data points that are missing by now to missingDataList and missingDataCurrentNr, of which only
// the newest missingDataMaxNr stay. It is an UPDATE by the CSE, with the new ones as payload: {"m2m:ts":{"mdlt":[...]}}.
// No request can be one, since nobody may write mdlt. Executed again from the log, it finds the same.
func (c *Core) detectMissing(st State, ts *Resource, env Env) (Result, error) {
	d, on := detectorOf(ts)
	if !on || d.next == 0 {
		return Result{}, &corruption{"timeSeries " + ts.RI + " has nothing to detect"}
	}
	missing := d.detect(env.Time)
	if len(missing) == 0 {
		return Result{}, &corruption{"timeSeries " + ts.RI + " lacks no data"}
	}
	var times []string
	for _, at := range missing {
		times = append(times, onem2m.FormatTime(at))
	}
	limit := maxMissing
	if mdn, ok := onem2m.Int(ts.Get("mdn")); ok {
		limit = int(min(mdn, maxMissing))
	}
	all := append(stringsOf(ts.Get("mdlt")), times...)
	all = all[max(len(all)-limit, 0):]
	after := d.keep(ts)
	after.Wake = max(after.Wake, env.Time+detectEvery, env.Time+int64(len(missing))*detectEach)
	after.set("mdlt", appendStrings(nil, all))
	after.set("mdc", strconv.AppendInt(nil, int64(len(all)), 10))
	after.Modified = env.Time
	counters, ok, err := st.Container(ts.RI)
	if err == nil && !ok {
		err = noCounters(ts.RI)
	}
	if err != nil {
		return Result{}, err
	}
	parent, err := st.Resource(ts.PI)
	if err != nil {
		return Result{}, err
	}
	if err := st.Put(after); err != nil {
		return Result{}, err
	}
	if err := st.SetCounters(ts.RI, counters.StateTag, env.Time); err != nil {
		return Result{}, err
	}
	if env.used == nil {
		env.used = &usage{lossy: true} // nobody is there to be refused
	}
	payload := appendStrings([]byte(`{"m2m:ts":{"mdlt":`), times)
	req := onem2m.Request{Operation: onem2m.Update, From: c.cfg.CSEID, To: ts.RI, ResultContent: onem2m.ResultContentNothing}
	return c.committed(st, &req, env, &outcome{
		change: change{
			kind: changeMissing, originator: c.cfg.CSEID, parent: parent, before: ts, after: after, missing: missing,
			modified: []string{"mdlt", "mdc"},
		},
		effects: [1]Effect{{
			Operation: onem2m.Update, Originator: c.cfg.CSEID, Target: ts.RI, Resource: ts.RI,
			Type: onem2m.TypeTimeSeries, Status: onem2m.StatusUpdated, Payload: append(payload, '}', '}'),
		}},
	})
}

// repeatsDetection says whether a request is detectMissing repeated from the log.
func (c *Core) repeatsDetection(req *onem2m.Request, env Env, t *target) bool {
	if !env.Agreed || req.From != c.cfg.CSEID || t.typ() != onem2m.TypeTimeSeries {
		return false
	}
	_, members, err := onem2m.ParseContent(req.Content)
	return err == nil && len(members) == 1 && members[0].Name == "mdlt"
}
