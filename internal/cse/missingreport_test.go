package cse_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/internal/cse/csetest"
	"github.com/tallystick/tallystick/onem2m"
)

// TS-0004 clause 7.5.1.2.9: a report when so many data points are missing within so long, and one for each that follows
// in that time; then the counting starts again.
func TestMissingDataReport(t *testing.T) {
	n := csetest.NewNetwork(t)
	n.Register("Ca", "ae1")
	n.Time = csetest.Start
	series := n.MustCreate("Ca", "Ca", ts, `{"rn":"t1","pei":1000,"mdd":true,"mdn":5,"mdt":500,"peid":100}`)
	for body, want := range map[string]onem2m.StatusCode{
		`{"nu":["Ca"],"enc":{"net":[8]}}`:                                            onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[8],"md":{"num":3}}}`:                             onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[8],"md":{"num":3,"dur":"10"}}}`:                  onem2m.StatusBadRequest,
		`{"nu":["Ca"],"nct":1,"enc":{"net":[8],"md":{"num":3,"dur":"PT10S"}}}`:       onem2m.StatusBadRequest,
		`{"nu":["Ca"],"enc":{"net":[1,8],"md":{"num":3,"dur":"PT10S"}}}`:             onem2m.StatusBadRequest,
		`{"rn":"s","nu":["http://h"],"enc":{"net":[8],"md":{"num":3,"dur":"PT5S"}}}`: onem2m.StatusCreated,
	} {
		_, got := n.Create("Ca", series, onem2m.TypeSubscription, body)
		wantStatus(t, body, got, want)
	}
	point(t, n, 0, 0)
	var got []string
	for ms := int64(0); ms < 12_000; ms += 100 {
		for _, e := range sgn(tick(t, n, csetest.Start+ms*1000)) {
			got = append(got, fmt.Sprint(ms, " ", e[strings.Index(e, "{"):]))
		}
	}
	told := func(ms, count int64, times ...int64) string {
		list := `"` + strings.Join(at(times...), `","`) + `"`
		res, _ := n.State.Child(series, "s")
		return fmt.Sprintf(`%d {"m2m:sgn":{"nev":{"net":8,"rep":{"m2m:tsn":{"mdlt":[%s],"mdc":%d}}},"sur":"/tally/%s"}}`, ms, list, count, res)
	}
	// The time runs from 1.5 s, when the first was found, to 6.5 s, and from then on again.
	want := []string{
		told(3500, 3, 1000, 2000, 3000), told(4500, 4, 4000), told(5500, 5, 5000),
		told(8500, 3, 6000, 7000, 8000), told(9500, 4, 9000), told(10500, 5, 10000),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	if got := n.Retrieve("Ca", "Ca/t1/s"); strings.Contains(string(got.Response.Content), "~md") {
		t.Errorf("shows what it keeps for itself: %s", got.Response.Content)
	}
}
