package ingest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tallystick/tallystick/internal/binding"
	"github.com/tallystick/tallystick/onem2m"
)

// TestStartKeepsOrder: what one goroutine starts for one container is stored in that order, also while the container
// is still missing, and with packs in between.
func TestStartKeepsOrder(t *testing.T) { synctest.Test(t, testStartKeepsOrder) }

func testStartKeepsOrder(t *testing.T) {
	d := newDoor()
	g := d.ingest()
	var all sync.WaitGroup
	want := 0
	for i := range 300 {
		m := &binding.Message{Path: "dev/a/b", Body: fmt.Append(nil, want)}
		want++
		if i%7 == 3 {
			m.MediaType, m.Body = "application/jsonl", fmt.Appendf(nil, "%d\n%d", want-1, want)
			want++
		}
		all.Add(1)
		g.Start(context.Background(), m, shown("dev"), func(rsp *onem2m.Response) {
			wantStatus(t, m.Path, rsp, onem2m.StatusCreated)
			all.Done()
		})
	}
	all.Wait()
	synctest.Wait()
	if len(d.stored) != want {
		t.Fatalf("%d stored, want %d", len(d.stored), want)
	}
	for i, s := range d.stored {
		if !strings.HasSuffix(s, fmt.Sprintf(`"con":"%d"}}`, i)) {
			t.Fatalf("number %d is %s", i, s)
		}
	}
	if len(g.lanes) != 0 {
		t.Errorf("%d lanes stay", len(g.lanes))
	}
}

// TestStartSeries: what is started for a timeSeries is stored as its instances.
func TestStartSeries(t *testing.T) {
	d := newDoor("tally/dev", "tally/dev/series")
	g := d.ingest()
	for i := range 3 {
		done := make(chan *onem2m.Response, 1)
		m := &binding.Message{Path: "dev/series", Body: fmt.Append(nil, i)}
		g.Start(context.Background(), m, shown("dev"), func(rsp *onem2m.Response) { done <- rsp })
		wantStatus(t, "series", <-done, onem2m.StatusCreated)
	}
	if len(d.stored) != 3 || !strings.Contains(d.stored[0], `{"m2m:tsi":{"dgt":`) {
		t.Errorf("stored %v", d.stored)
	}
}
