package cse

import (
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/onem2m"
)

// maxInterval bounds periodicInterval, periodicIntervalDelta and missingDataDetectTimer: a hundred years, in milliseconds.
const maxInterval = 100 * 365 * 24 * 3600 * 1000

// detection are the attributes of a timeSeries that say how missing data is detected. They change only while nothing is
// being detected (TS-0004 clause 7.4.38.2.3).
var detection = []string{"mdn", "mdt", "pei", "peid"}

// completeTimeSeries checks what the attributes of a timeSeries say together (TS-0004 clauses 7.4.38.2.1 and 7.4.38.2.3)
// and sets what the CSE assigns. Detection starts with the next instance after missingDataDetect (mdd) was set; setting
// it again starts anew. The missing data found so far stays when detection ends, and goes when it starts or when one of
// its parameters changes.
func completeTimeSeries(req *onem2m.Request, before, after *Resource) error {
	if cnf := after.Get("cnf"); cnf != nil && !validContentInfo(text(cnf)) {
		return refuse(onem2m.StatusBadRequest, "contentInfo (cnf) %s is not a media type with an optional encoding 0 to 2 and security 0 to 5", cnf)
	}
	for _, name := range []string{"mdt", "pei", "peid"} {
		if n, ok := onem2m.Int(after.Get(name)); ok && n > maxInterval {
			return refuse(onem2m.StatusBadRequest, "%s: %d ms are more than a hundred years", name, n)
		}
	}
	if before == nil {
		if after.Get("mdd") == nil {
			after.set("mdd", []byte("false"))
		}
		forgetMissing(after)
	} else if err := updateDetection(req, before, after); err != nil {
		return err
	}
	pei, periodic := onem2m.Int(after.Get("pei"))
	mdt, timed := onem2m.Int(after.Get("mdt"))
	if periodic && after.Get("peid") == nil {
		// Half the interval is the most that the standard allows; a shorter timer needs a shorter one.
		peid := pei / 2
		if timed && mdt <= peid {
			peid = mdt / 2
		}
		after.set("peid", strconv.AppendInt(nil, peid, 10))
	}
	peid, ranged := onem2m.Int(after.Get("peid"))
	switch {
	case periodic && peid > pei-peid:
		return refuse(onem2m.StatusBadRequest, "periodicIntervalDelta (peid) %d is more than half of periodicInterval (pei) %d", peid, pei)
	case !trueValue(after.Get("mdd")):
	case !timed:
		return refuse(onem2m.StatusBadRequest, "missingDataDetect (mdd) needs missingDataDetectTimer (mdt)")
	case ranged && mdt <= peid:
		return refuse(onem2m.StatusBadRequest, "missingDataDetectTimer (mdt) %d is not greater than periodicIntervalDelta (peid) %d", mdt, peid)
	}
	return nil
}

// updateDetection does what an UPDATE means for the detection of missing data.
func updateDetection(req *onem2m.Request, before, after *Resource) error {
	// The request passed its checks, so its content is well formed.
	_, members, _ := onem2m.ParseContent(req.Content)
	sent := func(name string) bool {
		return slices.ContainsFunc(members, func(m onem2m.Member) bool { return m.Name == name })
	}
	changes := slices.ContainsFunc(detection, sent)
	switch {
	case changes && sent("mdd"):
		return refuse(onem2m.StatusBadRequest, "missingDataDetect (mdd) is not updated together with mdn, mdt, pei or peid")
	case changes && trueValue(before.Get("mdd")):
		return refuse(onem2m.StatusBadRequest, "mdn, mdt, pei and peid are not updated while missingDataDetect (mdd) is true")
	case changes:
		forgetMissing(after)
	case sent("mdd"):
		after.unset(detectorName)
		after.Wake = 0
		if trueValue(after.Get("mdd")) {
			forgetMissing(after)
		}
	}
	if sent("pei") && !sent("peid") {
		after.unset("peid")
	}
	return nil
}

// forgetMissing clears missingDataList and missingDataCurrentNr. An empty list is not shown.
func forgetMissing(ts *Resource) {
	ts.unset("mdlt")
	ts.set("mdc", []byte("0"))
}

// checkGenerated refuses a timeSeriesInstance with the dataGenerationTime of another one of the same timeSeries (TS-0004
// clause 7.4.39.2.1). Times are compared to the microsecond.
func checkGenerated(r Reader, ri string, at int64) error {
	taken, err := r.Generated(ri, at)
	if err == nil && taken {
		err = refuse(onem2m.StatusConflict, "timeSeries %s already has an instance with dataGenerationTime (dgt) %s", ri, onem2m.FormatTime(at))
	}
	return err
}
