package cse_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

const (
	ts  = onem2m.TypeTimeSeries
	tsi = onem2m.TypeTimeSeriesInst
)

// TS-0004 clause 7.4.38.2.1: what the detection attributes say must fit together.
func TestCreateTimeSeries(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	runCreates(t, n, []createCase{
		{"Ca", "Ca", ts, `{}`, onem2m.StatusCreated},
		{"Ca", "Ca", ts, `{"rn":"t1","pei":10000,"mdd":true,"mdt":5001,"mdn":10,"cnf":"text/plain:0"}`, onem2m.StatusCreated},
		{"Ca", "Ca/t1", ts, `{}`, onem2m.StatusInvalidChildResourceType},
		{"Ca", "Ca/t1", onem2m.TypeContentInstance, `{"con":"x"}`, onem2m.StatusInvalidChildResourceType},
		{"Ca", "Ca/t1/la", ts, `{}`, onem2m.StatusOperationNotAllowed},
		{"Ca", "Ca", ts, `{"pei":1000,"peid":500}`, onem2m.StatusCreated},
		{"Ca", "Ca", ts, `{"pei":1000,"peid":501}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", ts, `{"peid":501}`, onem2m.StatusCreated},
		{"Ca", "Ca", ts, `{"cnf":"wrong"}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", ts, `{"pei":5000,"peid":200,"mdd":true}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", ts, `{"pei":5000,"peid":200,"mdd":true,"mdt":200}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", ts, `{"pei":5000,"peid":200,"mdd":true,"mdt":201}`, onem2m.StatusCreated},
		{"Ca", "Ca", ts, `{"mdd":true,"mdt":1}`, onem2m.StatusCreated},
		{"Ca", "Ca", ts, `{"pei":9223372036854775807}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", ts, `{"mdc":0}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", ts, `{"mdlt":[]}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", ts, `{"st":1}`, onem2m.StatusBadRequest},
		{"Ca", "Ca", ts, `{"~md":[1]}`, onem2m.StatusBadRequest},
	})
	want := `{"m2m:ts":{"ty":29,"cni":0,"cbs":0,"cnf":"text/plain:0","mdc":0,"mdd":true,"mdn":10,"mdt":5001,"pei":10000,"peid":5000}}`
	sameShown(t, n.Retrieve("Ca", "Ca/t1"), want)
}

// sameShown compares a representation but for the attributes that every resource has.
func sameShown(t *testing.T, result cse.Result, want string) {
	t.Helper()
	if result.Response.Status != onem2m.StatusOK {
		t.Fatalf("%d %s", result.Response.Status, result.Response.Content)
	}
	if diff := cmp.Diff(want, string(shown(t, result.Response.Content))); diff != "" {
		t.Errorf("representation (-want +got):\n%s", diff)
	}
}

// shown drops the universal attributes, ty excepted.
func shown(t *testing.T, content []byte) []byte {
	t.Helper()
	tag, members, err := onem2m.ParseContent(content)
	if err != nil {
		t.Fatalf("%s: %v", content, err)
	}
	out := fmt.Appendf(nil, `{%q:{`, tag)
	separator := ""
	for _, m := range members {
		if slices.Contains([]string{"ri", "pi", "rn", "ct", "lt", "et"}, m.Name) {
			continue
		}
		out = fmt.Appendf(out, `%s%q:%s`, separator, m.Name, m.Value)
		separator = ","
	}
	return append(out, "}}"...)
}

// TS-0004 clause 7.4.38.2.3: parameters of the detection change only while it is off, and then what was found goes.
func TestUpdateTimeSeries(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.MustCreate("Ca", "Ca", ts, `{"rn":"t1","pei":10000,"mdd":true,"mdt":5001,"mdn":10}`)
	steps := []struct {
		body string
		want onem2m.StatusCode
	}{
		{`{"mni":10}`, 2004}, {`{"mbs":1000}`, 2004}, {`{"pei":1000}`, 4000}, {`{"peid":1000}`, 4000},
		{`{"mdd":true}`, 2004}, {`{"mdn":2000}`, 4000}, {`{"mdn":null}`, 4000}, {`{"mdd":null}`, 4000},
		{`{"mdd":false,"mdt":2000}`, 4000}, {`{"mdd":false}`, 2004}, {`{"mdd":false,"mdn":10}`, 4000},
		{`{"pei":2000,"peid":2000}`, 4000}, {`{"mdn":5}`, 2004}, {`{"mdc":5}`, 4000}, {`{"mdlt":[]}`, 4000},
		{`{"cnf":"text/plain:0"}`, 4000}, {`{"mdn":null}`, 2004}, {`{"mdt":null}`, 2004}, {`{"mdd":true}`, 4000},
		{`{"pei":3000}`, 2004},
	}
	for _, s := range steps {
		if got := n.Update("Ca", "Ca/t1", ts, s.body).Response; got.Status != s.want {
			t.Errorf("%s: %d %s, want %d", s.body, got.Status, got.Content, s.want)
		}
	}
	// A new interval without a delta of its own gets one.
	sameShown(t, n.Retrieve("Ca", "Ca/t1"), `{"m2m:ts":{"ty":29,"cni":0,"cbs":0,"mbs":1000,"mdc":0,"mdd":false,"mni":10,"pei":3000,"peid":1500}}`)
}

// TS-0004 clause 7.4.39: instances of a timeSeries.
func TestTimeSeriesInstance(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	series := n.MustCreate("Ca", "Ca", ts, `{"rn":"t1","mni":3,"mbs":20}`)
	runCreates(t, n, []createCase{
		{"Ca", series, tsi, `{"con":"a"}`, onem2m.StatusBadRequest},
		{"Ca", series, tsi, `{"dgt":"20261123T070000"}`, onem2m.StatusBadRequest},
		{"Ca", series, tsi, `{"con":"a","dgt":"23 November"}`, onem2m.StatusBadRequest},
		{"Ca", series, tsi, `{"con":"aValue","dgt":"20261123T070000","snr":1}`, onem2m.StatusCreated},
		{"Ca", series, tsi, `{"con":"b","dgt":"20261123T070000"}`, onem2m.StatusConflict},
		{"Ca", series, tsi, `{"con":"b","dgt":"20261123T070000,000000"}`, onem2m.StatusConflict},
		{"Ca", series, tsi, `{"con":"b","dgt":"20261123T070000,000001","rn":"first"}`, onem2m.StatusCreated},
		{"Ca", series, tsi, `{"con":"b","dgt":"20261123T070001","rn":"first"}`, onem2m.StatusConflict},
		{"Ca", series, tsi, `{"con":"012345678901234567890","dgt":"20261123T070002"}`, onem2m.StatusNotAcceptable},
		{"Ca", series, tsi, `{"con":"c","dgt":"19700101T000000"}`, onem2m.StatusCreated},
		{"Ca", series, tsi, `{"con":"c","dgt":"19700101T000000"}`, onem2m.StatusConflict},
		{"Cb", series, tsi, `{"con":"c","dgt":"20261123T070003"}`, onem2m.StatusOriginatorHasNoPrivilege},
		{"Ca", "Ca", tsi, `{"con":"c","dgt":"20261123T070003"}`, onem2m.StatusInvalidChildResourceType},
		{"Ca", series, tsi, `{"con":"c","dgt":"20261123T070003","cnf":"text/plain"}`, onem2m.StatusBadRequest},
	})
	// The oldest is the one that was created first, whatever its dataGenerationTime.
	sameShown(t, n.Retrieve("Ca", "Ca/t1/ol"), `{"m2m:tsi":{"ty":30,"cs":6,"con":"aValue","dgt":"20261123T070000","snr":1}}`)
	sameShown(t, n.Retrieve("Ca", "Ca/t1/la"), `{"m2m:tsi":{"ty":30,"cs":1,"con":"c","dgt":"19700101T000000"}}`)
	last := n.MustCreate("Ca", series, tsi, `{"con":"d","dgt":"20261123T070009"}`)
	if !strings.HasPrefix(last, "tsi") {
		t.Errorf("resource ID %s", last)
	}
	sameShown(t, n.Retrieve("Ca", series), `{"m2m:ts":{"ty":29,"cni":3,"cbs":3,"mbs":20,"mdc":0,"mdd":false,"mni":3}}`)
	sameShown(t, n.Retrieve("Ca", last), `{"m2m:tsi":{"ty":30,"cs":1,"con":"d","dgt":"20261123T070009"}}`)
	sameShown(t, n.Retrieve("Ca", "Ca/t1/"+last), `{"m2m:tsi":{"ty":30,"cs":1,"con":"d","dgt":"20261123T070009"}}`)
	sameShown(t, n.Retrieve("Ca", "Ca/t1/first"), `{"m2m:tsi":{"ty":30,"cs":1,"con":"b","dgt":"20261123T070000,000001"}}`)
	for _, other := range []string{"cin" + last[3:], "Ca/t1/cin" + last[3:]} {
		if got := n.Retrieve("Ca", other).Response; got.Status != onem2m.StatusNotFound {
			t.Errorf("%s, which is no contentInstance: %d", other, got.Status)
		}
	}
	if got := n.Update("Ca", last, tsi, `{"lbl":["x"]}`).Response; got.Status != onem2m.StatusOperationNotAllowed {
		t.Errorf("update of an instance: %d", got.Status)
	}
	// What was evicted or deleted frees its time.
	n.MustCreate("Ca", series, tsi, `{"con":"e","dgt":"20261123T070000"}`)
	if got := n.Delete("Ca", series+"/la").Response; got.Status != onem2m.StatusDeleted {
		t.Fatalf("delete: %d %s", got.Status, got.Content)
	}
	n.MustCreate("Ca", series, tsi, `{"con":"e","dgt":"20261123T070000"}`)
	found := n.Read(n.State, n.Complete(onem2m.Request{
		Operation: onem2m.Retrieve, From: "Ca", To: "Ca",
		Filter: &onem2m.FilterCriteria{Usage: onem2m.FilterUsageDiscovery, Types: []onem2m.ResourceType{tsi}},
	}), n.Env())
	if got := strings.Count(string(found.Response.Content), "tally/ae1/t1/"); got != 3 {
		t.Errorf("discovery of instances: %s", found.Response.Content)
	}
	nested := n.Read(n.State, n.Complete(onem2m.Request{
		Operation: onem2m.Retrieve, From: "Ca", To: series, ResultContent: onem2m.ResultContentAttributesAndChildren,
	}), n.Env())
	if got := string(nested.Response.Content); strings.Count(got, `"m2m:tsi"`) != 1 || strings.Count(got, `"ty":30`) != 3 {
		t.Errorf("with children: %s", got)
	}
}

// tick lets the core act on what is due at a time, as the ledger does.
func tick(t *testing.T, n *csetest.Network, at int64) cse.Result {
	t.Helper()
	n.Time = at
	result := n.Tick(n.State, n.Env(), 100)
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	n.State.Log(n.Next, n.Time, result.Effects)
	n.Next += uint64(len(result.Effects))
	return result
}

// point creates an instance at a time with a time of generation, both in milliseconds after the start.
func point(t *testing.T, n *csetest.Network, at, generated int64) {
	t.Helper()
	n.Time = csetest.Start + at*1000
	n.MustCreate("Ca", "Ca/t1", tsi, fmt.Sprintf(`{"con":"x","dgt":%q}`, onem2m.FormatTime(csetest.Start+generated*1000)))
}

func missingOf(t *testing.T, n *csetest.Network) (list []string, count int64) {
	t.Helper()
	_, members, err := onem2m.ParseContent(n.Retrieve("Ca", "Ca/t1").Response.Content)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		switch m.Name {
		case "mdlt":
			for e := range onem2m.Elements(m.Value) {
				s, _ := onem2m.Unquote(e)
				list = append(list, s)
			}
		case "mdc":
			count, _ = onem2m.Int(m.Value)
		}
	}
	return list, count
}

func at(ms ...int64) []string {
	var list []string
	for _, m := range ms {
		list = append(list, onem2m.FormatTime(csetest.Start+m*1000))
	}
	return list
}

// TS-0001 clause 10.2.4.29: a data point is missing when none was generated within the range of the expected time by the
// time of detection.
func TestMissingData(t *testing.T) {
	type create struct{ at, generated int64 }
	for name, test := range map[string]struct {
		creates []create
		until   int64
		want    []string
	}{
		"nothing came":                  {nil, 60_000, nil},
		"in time":                       {[]create{{0, 0}, {2000, 2000}, {4100, 4000}}, 5000, nil},
		"within the delta":              {[]create{{0, 0}, {3000, 3000}, {4000, 4000}}, 5000, nil},
		"at the start of the range":     {[]create{{0, 0}, {1000, 1000}}, 3600, at(2000)},
		"one is late":                   {[]create{{0, 0}, {4000, 4000}, {6000, 6000}}, 7000, at(2000)},
		"out of order, before the time": {[]create{{0, 0}, {2500, 3800}, {3500, 2000}}, 5000, nil},
		"too early":                     {[]create{{0, -2000}, {2000, 0}, {4000, 2000}, {6000, 4000}}, 8000, at(0, 2000, 4000, 6000)},
		"ahead of time":                 {[]create{{0, 0}, {2000, 4000}, {4000, 8000}, {6000, 12000}}, 8000, at(2000, 4000, 6000)},
		"hardly moving":                 {[]create{{0, 0}, {2000, 1000}, {4000, 2000}, {6000, 3000}}, 8000, at(2000, 4000, 6000)},
		"silence":                       {[]create{{0, 0}}, 14_000, at(4000, 6000, 8000, 10_000, 12_000)},
		"long ago":                      {[]create{{100_000, 0}}, 103_000, at(100_000)},
	} {
		t.Run(name, func(t *testing.T) {
			n := csetest.NewNetwork(t)
			n.Register("Ca", "ae1")
			n.Time = csetest.Start
			n.MustCreate("Ca", "Ca", ts, `{"rn":"t1","pei":2000,"mdd":true,"mdn":5,"mdt":1600}`)
			done := int64(0)
			wait := func(until int64) {
				for ; done <= until; done += 100 {
					tick(t, n, csetest.Start+done*1000)
				}
			}
			for _, c := range test.creates {
				wait(c.at)
				point(t, n, c.at, c.generated)
			}
			wait(test.until)
			list, count := missingOf(t, n)
			if diff := cmp.Diff(test.want, list); diff != "" || count != int64(len(list)) {
				t.Errorf("missing data, %d of them (-want +got):\n%s", count, diff)
			}
		})
	}
}

// TS-0004 clause 7.4.38.2.3: what was found stays when detection is paused and goes when it starts again, with the next
// instance.
func TestMissingDataPaused(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Time = csetest.Start
	n.MustCreate("Ca", "Ca", ts, `{"rn":"t1","pei":2000,"mdd":true,"mdt":1600}`)
	point(t, n, 0, 0)
	result := tick(t, n, csetest.Start+3600_000)
	want := []cse.Effect{{
		Operation: onem2m.Update, Originator: "/tally", Target: "ts4", Resource: "ts4", Type: ts, Status: onem2m.StatusUpdated,
		Payload: []byte(`{"m2m:ts":{"mdlt":["20261123T070002,000000"]}}`),
	}}
	if diff := cmp.Diff(want, result.Effects); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if more := tick(t, n, n.Time); len(more.Effects) > 0 {
		t.Errorf("found the same again: %+v", more.Effects)
	}
	update := func(body string) {
		t.Helper()
		if got := n.Update("Ca", "Ca/t1", ts, body).Response; got.Status != onem2m.StatusUpdated {
			t.Fatalf("%s: %d %s", body, got.Status, got.Content)
		}
	}
	update(`{"mdd":false}`)
	if result := tick(t, n, csetest.Start+20_000_000); len(result.Effects) > 0 {
		t.Errorf("detected while paused: %+v", result.Effects)
	}
	if list, count := missingOf(t, n); count != 1 || len(list) != 1 {
		t.Errorf("paused: %d %v", count, list)
	}
	update(`{"mdd":true}`)
	if list, count := missingOf(t, n); count != 0 || list != nil {
		t.Errorf("started again: %d %v", count, list)
	}
	if result := tick(t, n, csetest.Start+40_000_000); len(result.Effects) > 0 {
		t.Errorf("detected before the first instance: %+v", result.Effects)
	}
	point(t, n, 40_000, 40_000)
	tick(t, n, csetest.Start+43_600_000)
	if list, _ := missingOf(t, n); !slices.Equal(list, at(42_000)) {
		t.Errorf("after the first instance: %v", list)
	}
	update(`{"mdd":false}`)
	update(`{"mdn":7}`)
	if list, count := missingOf(t, n); count != 0 || list != nil {
		t.Errorf("after a new parameter: %d %v", count, list)
	}
}

// An instance from the future does not set the beat: detection would begin then only.
func TestMissingDataFuture(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.MustCreate("Ca", "Ca", onem2m.TypeTimeSeries, `{"rn":"t","pei":1000,"mdt":2000,"mdd":true}`)
	n.MustCreate("Ca", "Ca/t", onem2m.TypeTimeSeriesInst, `{"con":"a","dgt":"99991231T235959"}`)
	n.MustCreate("Ca", "Ca/t", onem2m.TypeTimeSeriesInst, fmt.Sprintf(`{"con":"b","dgt":%q}`, onem2m.FormatTime(n.Time)))
	n.Time += 10_000_000
	if result := n.Tick(n.State, n.Env(), 10); result.Err != nil || len(result.Effects) != 1 {
		t.Errorf("%d effects, %v", len(result.Effects), result.Err)
	}
}

// A silent timeSeries with an interval of a millisecond costs the log little.
func TestMissingDataRate(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.MustCreate("Ca", "Ca", onem2m.TypeTimeSeries, `{"rn":"t","pei":1,"peid":0,"mdt":1,"mdd":true}`)
	n.MustCreate("Ca", "Ca/t", onem2m.TypeTimeSeriesInst, fmt.Sprintf(`{"con":"a","dgt":%q}`, onem2m.FormatTime(n.Time)))
	bytes, start := 0, n.Time
	for n.Time < start+1000_000_000 {
		n.Time += 500_000
		result := n.Tick(n.State, n.Env(), 10)
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		for _, e := range result.Effects {
			bytes += len(e.Payload)
		}
	}
	if bytes == 0 || bytes > 1000*10*30 {
		t.Errorf("%d bytes in 1000 s", bytes)
	}
}

// However long nobody looked and however short the interval, one detection is bounded, and so is the list.
func TestMissingDataBounds(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Time = csetest.Start
	series := n.MustCreate("Ca", "Ca", ts, `{"rn":"t1","pei":1,"mdd":true,"mdt":1}`)
	point(t, n, 0, 0)
	point(t, n, 0, 3)
	const year = 365 * 24 * 3600 * 1_000_000
	tick(t, n, csetest.Start+year)
	list, count := missingOf(t, n)
	if count != 1000 || len(list) != 1000 || list[999] != onem2m.FormatTime(csetest.Start+year-1000) {
		t.Errorf("%d missing, the last %v", count, list[len(list)-1])
	}
	res, _ := n.State.Resource(series)
	if res.Wake != n.Time+100_000_000 {
		t.Errorf("wakes %d µs later", res.Wake-n.Time)
	}
}

// What the monitoring of a timeSeries writes follows from the log, also of readings that were erased.
func TestMissingDataReplay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := csetest.NewNetwork(t)
		n.Register("Ca", "ae1")
		n.Time = csetest.Start
		start := n.State.Snapshot()
		var log []logged
		keep := func(result cse.Result, first uint64, time int64) {
			for i, e := range result.Effects {
				log = append(log, logged{e, first + uint64(i), time})
			}
		}
		first := n.Next
		_, result := n.Create("Ca", "Ca", ts, `{"rn":"t1","pei":2000,"mdd":true,"mdn":3,"mdt":5000,"mni":20}`)
		keep(result, first, csetest.Start)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			n.Time += rapid.Int64Range(0, 4_000_000).Draw(rt, "wait")
			first, now := n.Next, n.Time
			switch rapid.SampledFrom([]string{"tick", "tick", "reading", "reading", "reading", "pause", "go"}).Draw(rt, "step") {
			case "tick":
				keep(tick(t, n, n.Time), first, now)
				if res, _ := n.State.Resource(log[0].Resource); res.Wake != 0 && res.Wake <= n.Time {
					rt.Fatalf("still to be woken at %d, now being %d", res.Wake, n.Time)
				}
			case "reading":
				dgt := onem2m.FormatTime(n.Time + rapid.Int64Range(-9_000_000, 4_000_000).Draw(rt, "late"))
				_, result := n.Create("Ca", "Ca/t1", tsi, fmt.Sprintf(`{"con":"x","dgt":%q}`, dgt))
				keep(result, first, now)
			case "pause":
				keep(n.Update("Ca", "Ca/t1", ts, `{"mdd":false}`), first, now)
			case "go":
				keep(n.Update("Ca", "Ca/t1", ts, `{"mdd":true}`), first, now)
			}
			if list, count := missingOf(t, n); int64(len(list)) != count || count > 3 {
				rt.Fatalf("%d missing: %v", count, list)
			}
		}
		for _, redact := range []bool{false, true} {
			again := csetest.NewNetwork(t)
			again.State.Rollback(start)
			for _, e := range log {
				payload := e.Payload
				if redact && e.Type == tsi {
					payload = cse.Redact(payload)
				}
				repeat(t, again.Core, again.State, e, payload)
			}
			if diff := cmp.Diff(n.State.Dump(), again.State.Dump()); diff != "" {
				rt.Fatalf("rebuilt state differs (-first +rebuilt):\n%s", diff)
			}
		}
	})
}

// A request cannot pass itself off as a detection.
func TestMissingDataForged(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.MustCreate("Ca", "Ca", ts, `{"rn":"t1","pei":2000,"mdd":true,"mdt":1600}`)
	for _, from := range []string{"/tally", "Ca", "Coperator"} {
		got := n.Update(from, "Ca/t1", ts, `{"mdlt":["20261123T070002"]}`).Response
		if got.Status != onem2m.StatusBadRequest && got.Status != onem2m.StatusOriginatorHasNoPrivilege {
			t.Errorf("%s: %d %s", from, got.Status, got.Content)
		}
	}
}
