package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/onem2m"
	"github.com/tallystick/tallystick/proof"
)

// auditLines fetches one page of the audit trail.
func auditLines(t testing.TB, c *client.Client, query string) (page []AuditEntry, end AuditEnd) {
	t.Helper()
	b, err := c.API(t.Context(), http.MethodGet, "/-/audit?"+query, nil)
	must(t, err)
	lines := bytes.Split(bytes.TrimSpace(b), []byte{'\n'})
	for _, line := range lines[:len(lines)-1] {
		var e AuditEntry
		must(t, json.Unmarshal(line, &e))
		page = append(page, e)
	}
	must(t, json.Unmarshal(lines[len(lines)-1], &end))
	return page, end
}

// TestAuditTrail: what was refused and what was administered is found by kind, originator and time, page by page, with a
// proof that says the same; and a refusal that was counted before the node stopped is told.
func TestAuditTrail(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	dev, _ := enrol(t, n, "Cdev")
	thief, _ := enrol(t, n, "Cthief")
	_, err := dev.Create(t.Context(), "tally", onem2m.TypeAE, json.RawMessage(`{"m2m:ae":{"rn":"dev","api":"Nx","rr":false,"srv":["4"]}}`))
	must(t, err)
	_, err = dev.Create(t.Context(), "tally/dev", onem2m.TypeACP, json.RawMessage(`{"m2m:acp":{"rn":"p","pv":{"acr":[{"acor":["Cdev"],"acop":63}]},"pvs":{"acr":[{"acor":["Cdev"],"acop":63}]}}}`))
	must(t, err)
	if _, err := thief.Retrieve(t.Context(), "tally/dev"); err == nil {
		t.Fatal("a stranger reads")
	}
	resp, err := http.Get("http://" + n.Addr() + "/-/status")
	must(t, err)
	resp.Body.Close()
	stopNode(t, n)
	n = startNode(t, dir)
	defer stopNode(t, n)
	op := client.New("http://"+n.Addr(), OperatorID, token(t, dir), 2)
	defer op.Close()

	refused, _ := auditLines(t, op, "kind=denied")
	found := make(map[string]bool)
	for _, e := range refused {
		a, err := ledger.DecodeAudit(e.Payload)
		must(t, err)
		for _, d := range a.Denied {
			found[fmt.Sprintf("%s %s %s %s %s from %s", d.Originator, d.Doing, d.On, d.Reason, d.Binding, d.Source)] = true
		}
		b, err := op.Proof(t.Context(), "", e.Index)
		must(t, err)
		v, err := n.app.Policy().Verify(b)
		must(t, err)
		if v.Entry.Operation != proof.OpAudit || !bytes.Equal(v.Payload, e.Payload) {
			t.Errorf("the proof of entry %d says %s", e.Index, v.Payload)
		}
	}
	for _, want := range []string{"Cthief retrieve tally/dev privilege http from 127.0.0.1", " get /-/status credential api from 127.0.0.1"} {
		if !found[want] {
			t.Errorf("no refusal %q among %v", want, found)
		}
	}
	if page, _ := auditLines(t, op, "kind=denied&originator=Cdev"); len(page) != 0 {
		t.Errorf("refusals of who was refused nothing: %+v", page)
	}
	if page, _ := auditLines(t, op, "kind=rights"); len(page) != 3 || page[2].Originator != "Cdev" || page[2].Payload != nil {
		t.Errorf("changes of rights: %+v", page) // the operator may not read the device's policy
	}
	if page, _ := auditLines(t, op, "kind=enrolment&originator=Cdev"); len(page) != 1 || page[0].Operation != "ENROL" || page[0].Payload == nil {
		t.Errorf("enrolments of Cdev: %+v", page)
	}
	all, end := auditLines(t, op, "limit=1000")
	if end.More || end.Next != all[len(all)-1].Index {
		t.Errorf("the end is %+v", end)
	}
	var paged []AuditEntry
	query := url.Values{"limit": {"2"}}
	for {
		page, end := auditLines(t, op, query.Encode())
		paged = append(paged, page...)
		if !end.More {
			break
		}
		query.Set("after", fmt.Sprint(end.Next))
	}
	if fmt.Sprint(paged) != fmt.Sprint(all) {
		t.Errorf("page by page %d entries, at once %d", len(paged), len(all))
	}
	last := all[len(all)-1].Time
	if page, _ := auditLines(t, op, "from="+url.QueryEscape(last.Format("2006-01-02T15:04:05.999999Z07:00"))); len(page) == 0 || page[0].Time.Before(last) {
		t.Errorf("since the last: %+v", page)
	}
	if page, _ := auditLines(t, op, "to=1999-01-01T00:00:00Z"); len(page) != 0 {
		t.Errorf("%d entries before there was a network", len(page))
	}
	for _, bad := range []string{"limit=0", "limit=1001", "kind=x", "from=now", "after=-1", "unknown=1", "limit=1&limit=2"} {
		if _, err := op.API(t.Context(), http.MethodGet, "/-/audit?"+bad, nil); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := dev.API(context.Background(), http.MethodGet, "/-/audit", nil); err == nil {
		t.Error("a device reads the audit trail")
	}
}

// FuzzParseAuditQuery: a query that is taken is within its bounds.
func FuzzParseAuditQuery(f *testing.F) {
	f.Add("kind=denied,rights&from=2026-11-23T12:00:00Z&to=2026-11-24T12:00:00Z&limit=7&after=9&originator=C&resource=r")
	f.Add("kind=&limit=0")
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, err := parseAuditQuery(values)
		if err == nil && (q.limit < 1 || q.limit > maxAuditPage || q.after > 1<<63-1) {
			t.Fatalf("%q: %+v", raw, q)
		}
	})
}
