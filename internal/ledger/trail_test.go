package ledger

import (
	"slices"
	"testing"

	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"

	"github.com/tallystick/tallystick/internal/translog"
)

func trail(t testing.TB, a *App, from uint64) (all []TrailEntry) {
	t.Helper()
	for e, err := range a.Trail(from) {
		must(t, err)
		all = append(all, e)
	}
	return all
}

// TestTrail: the index of the audit trail has what the entries say, from any index and any time on, and is the same when the
// tree is made again from the log.
func TestTrail(t *testing.T) {
	fs := memFS(t)
	a := openApp(t, "data", fs)
	h := newHistory(7, a.Head)
	_, err := apply(a, 1, nil)
	must(t, err)
	for height := range int64(60) {
		_, err := apply(a, height+2, h.next())
		must(t, err)
	}
	var want []TrailEntry
	seen := make(map[TrailKind]bool)
	for i := uint64(0); i < a.Head().LogSize; i++ {
		rec, err := a.Log().Record(i)
		must(t, err)
		if k, ok := trailKind(&rec); ok {
			want = append(want, TrailEntry{i, k, rec.Entry.Time})
			seen[k] = true
		}
	}
	all := trail(t, a, 0)
	if !slices.Equal(all, want) {
		t.Fatalf("the index has %d entries, the log %d", len(all), len(want))
	}
	for _, k := range []TrailKind{TrailDenied, TrailEnrolment, TrailRights, TrailAdministration} {
		if !seen[k] {
			t.Errorf("the history has no %s", k)
		}
	}
	for from := range a.Head().LogSize + 2 {
		i := slices.IndexFunc(want, func(e TrailEntry) bool { return e.Index >= from })
		if i < 0 {
			i = len(want)
		}
		if got := trail(t, a, from); !slices.Equal(got, want[i:]) {
			t.Fatalf("from %d on: %v", from, got)
		}
	}
	for _, e := range want {
		for _, at := range []int64{e.Time - 1, e.Time, e.Time + 1} {
			from, err := a.TrailSince(at)
			must(t, err)
			i := slices.IndexFunc(want, func(e TrailEntry) bool { return e.Time >= at })
			if i < 0 {
				i = len(want)
			}
			if got := trail(t, a, from); !slices.Equal(got, want[i:]) {
				t.Fatalf("since %d: %d entries, want %d", at, len(got), len(want[i:]))
			}
		}
	}
	must(t, a.Close())
}

func TestTrailKinds(t *testing.T) {
	for _, c := range []struct {
		e       proof.Entry
		payload string
		want    TrailKind
	}{
		{proof.Entry{Operation: 1, Type: uint32(onem2m.TypeACP)}, ``, TrailRights},
		{proof.Entry{Operation: 4, Type: uint32(onem2m.TypeACP)}, ``, TrailRights},
		{proof.Entry{Operation: 1, Type: uint32(onem2m.TypeRole)}, ``, TrailRights},
		{proof.Entry{Operation: 3, Type: uint32(onem2m.TypeContainer)}, `{"m2m:cnt":{"lbl":["x"],"acpi":null}}`, TrailRights},
		{proof.Entry{Operation: 3, Type: uint32(onem2m.TypeCSEBase)}, `{"m2m:cb":{"acpi":["x"]}}`, TrailRights},
		{proof.Entry{Operation: 3, Type: uint32(onem2m.TypeCSEBase)}, `{"m2m:cb":{"lbl":["x"]}}`, TrailAdministration},
		{proof.Entry{Operation: 3, Type: uint32(onem2m.TypeGroup)}, `{"m2m:grp":{"macp":["x"]}}`, TrailRights},
		{proof.Entry{Operation: 3, Type: uint32(onem2m.TypeContainer)}, `{"m2m:cnt":{"lbl":["acpi"]}}`, 0},
		{proof.Entry{Operation: 1, Type: uint32(onem2m.TypeContentInstance)}, `{"m2m:cin":{"con":"x","acpi":[]}}`, 0},
		{proof.Entry{Operation: proof.OpDeliver}, ``, 0},
		{proof.Entry{Operation: proof.OpQuarantine}, ``, TrailQuarantine},
	} {
		got, ok := trailKind(&translog.Record{Entry: c.e, Payload: []byte(c.payload)})
		if got != c.want || ok != (c.want != 0) {
			t.Errorf("%+v %s: %s, %t", c.e, c.payload, got, ok)
		}
	}
	for k := TrailDenied; k <= TrailQuarantine; k++ {
		if again, err := ParseTrailKind(k.String()); err != nil || again != k {
			t.Errorf("%s: %s, %v", k, again, err)
		}
	}
}
