package node

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/identity"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/translog"
	"github.com/tallystick/tallystick/proof"
)

// Bounds of one page of the audit trail.
const (
	auditPage     = 100   // entries, unless another limit is asked for
	maxAuditPage  = 1000  // entries
	maxAuditReads = 2000  // entries read from the log
	maxAuditLooks = 50000 // entries of other kinds that are passed over
)

// AuditEntry is one line of GET /-/audit: an entry of the log that is on the audit trail.
type AuditEntry struct {
	Index      uint64    `json:"index"`
	Time       time.Time `json:"time"`
	Height     uint64    `json:"height"`
	Kind       string    `json:"kind"`      // denied, enrolment, rights, administration or quarantine
	Operation  string    `json:"operation"` // CREATE, ENROL, ...
	Originator string    `json:"originator"`
	Key        string    `json:"key,omitempty"` // ID of the originator's credential, in hex
	Target     string    `json:"target,omitempty"`
	Resource   string    `json:"resource,omitempty"`
	Type       uint32    `json:"type,omitempty"`
	Status     uint32    `json:"status"`
	// Payload is what the request carried, nil when it had nothing, was erased, or no policy lets who asks retrieve the
	// resource. Of refusals it has only the rows that were asked for, and that are for who asks.
	Payload json.RawMessage `json:"payload,omitempty"`
}

// AuditEnd is the last line of GET /-/audit.
type AuditEnd struct {
	// Next is what to give as after for the page that follows; More says whether there may be one already.
	Next uint64 `json:"next"`
	More bool   `json:"more"`
}

// auditQuery is what GET /-/audit asks for.
type auditQuery struct {
	after, from, to      uint64 // log index; from and to in Unix microseconds, 0 for no bound
	limit                int
	originator, resource string
	kinds                []ledger.TrailKind // nil for all
}

func parseAuditQuery(q url.Values) (a auditQuery, err error) {
	a.limit, a.originator, a.resource = auditPage, q.Get("originator"), q.Get("resource")
	for name, value := range q {
		switch {
		case len(value) != 1:
			return a, fmt.Errorf("parameter %.40q is given %d times", name, len(value))
		case name == "originator" || name == "resource":
			continue
		case name == "from":
			a.from, err = parseAuditTime(value[0])
		case name == "to":
			a.to, err = parseAuditTime(value[0])
		case name == "after":
			a.after, err = strconv.ParseUint(value[0], 10, 63)
		case name == "limit":
			a.limit, err = strconv.Atoi(value[0])
			if err == nil && (a.limit < 1 || a.limit > maxAuditPage) {
				err = fmt.Errorf("%d is not within 1 to %d", a.limit, maxAuditPage)
			}
		case name == "kind":
			for k := range strings.SplitSeq(value[0], ",") {
				var kind ledger.TrailKind
				if kind, err = ledger.ParseTrailKind(k); err != nil {
					break
				}
				a.kinds = append(a.kinds, kind)
			}
		default:
			return a, fmt.Errorf("parameter %.40q is not known", name)
		}
		if err != nil {
			return a, fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	return a, nil
}

// parseAuditTime parses a time in the form of RFC 3339.
func parseAuditTime(s string) (uint64, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.UnixMicro() <= 0 {
		return 0, fmt.Errorf("%.40q is no time such as 2026-11-23T12:00:00Z", s)
	}
	return uint64(t.UnixMicro()), nil
}

// serveAudit serves a page of the audit trail to operators: a line of JSON for each entry (AuditEntry), oldest first, and
// one that says where to go on (AuditEnd). An operator of an organisation sees what concerns that only.
func (n *Node) serveAudit(w http.ResponseWriter, r *http.Request) {
	c := n.asOperator(w, r)
	if c == nil {
		return
	}
	q, err := parseAuditQuery(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	page, end, err := n.auditPage(c, &q, r)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "read the audit trail: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "private, no-store")
	e := json.NewEncoder(w)
	for i := range page {
		if e.Encode(&page[i]) != nil {
			return // the client went away
		}
	}
	e.Encode(end)
}

func (n *Node) auditPage(c *identity.Credential, q *auditQuery, r *http.Request) (page []AuditEntry, end AuditEnd, err error) {
	from := uint64(0)
	if q.from != 0 {
		if from, err = n.app.TrailSince(int64(q.from)); err != nil {
			return nil, end, err
		}
	}
	if r.URL.Query().Has("after") {
		from = max(from, q.after+1)
	}
	end.Next = max(from, 1) - 1
	looks, reads := 0, 0
	for t, err := range n.app.Trail(from) {
		switch {
		case err != nil:
			return nil, end, err
		case q.to != 0 && t.Time > int64(q.to):
			return page, end, nil
		case len(page) >= q.limit || reads >= maxAuditReads || looks >= maxAuditLooks:
			end.More = true
			return page, end, nil
		}
		looks++
		end.Next = t.Index
		if q.kinds != nil && !slices.Contains(q.kinds, t.Kind) {
			continue
		}
		reads++
		rec, err := n.app.Log().Record(t.Index)
		if err != nil {
			return nil, end, err
		}
		if line := n.auditEntry(c, q, t, &rec, r); line != nil {
			page = append(page, *line)
		}
	}
	return page, end, nil
}

// auditEntry is the line of an entry, nil when it was not asked for or is not for who asks.
func (n *Node) auditEntry(c *identity.Credential, q *auditQuery, t ledger.TrailEntry, rec *translog.Record, r *http.Request) *AuditEntry {
	e := &rec.Entry
	line := &AuditEntry{
		Index: t.Index, Time: time.UnixMicro(e.Time).UTC(), Height: e.Height, Kind: t.Kind.String(), Operation: e.Operation.String(),
		Originator: e.Originator, Target: e.Target, Resource: e.Resource, Type: e.Type, Status: e.Status,
	}
	if e.Auth.Method != proof.AuthNone {
		line.Key = hex.EncodeToString(e.Auth.Key[:])
	}
	if e.Operation == proof.OpAudit {
		return n.auditDenials(c, q, line, rec.Payload)
	}
	if q.originator != "" && q.originator != e.Originator && q.originator != e.Target ||
		q.resource != "" && q.resource != e.Resource && q.resource != e.Target || !n.mayAudit(c, e) {
		return nil
	}
	if len(rec.Payload) > 0 && n.mayShow(c, e, r) {
		line.Payload = rec.Payload
	}
	return line
}

// auditDenials leaves of an entry about refusals the rows that were asked for.
func (n *Node) auditDenials(c *identity.Credential, q *auditQuery, line *AuditEntry, payload []byte) *AuditEntry {
	a, err := ledger.DecodeAudit(payload)
	if err != nil {
		return nil // no validator takes such a one
	}
	network := c.MayActFor("")
	view := n.app.View()
	defer view.Close()
	own := func(originator string) bool {
		organisation, err := identity.OrganisationOf(view, originator)
		return err == nil && c.MayActFor(organisation)
	}
	a.Denied = slices.DeleteFunc(a.Denied, func(d ledger.Denied) bool {
		return q.originator != "" && q.originator != d.Originator && q.originator != d.Claimed ||
			q.resource != "" && q.resource != d.On || !network && !own(d.Originator) && !own(d.Claimed)
	})
	if q.originator != "" || q.resource != "" || !network {
		a.Others, a.Unsure = nil, 0
	}
	if len(a.Denied)+len(a.Others) == 0 && a.Unsure == 0 {
		return nil
	}
	if line.Payload, err = a.Encode(); err != nil {
		return nil
	}
	return line
}
