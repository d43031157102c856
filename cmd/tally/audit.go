package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/ledger"
	"github.com/tallystick/tallystick/internal/node"
)

type auditCmd struct {
	remote
	From       string `help:"Only what was recorded since then: a time such as 2026-11-23T12:00:00Z, or how long ago, such as 24h." placeholder:"TIME"`
	To         string `help:"Only what was recorded until then, likewise." placeholder:"TIME"`
	Originator string `help:"Only what this originator did, claimed to be, or had done to it." placeholder:"AE-ID"`
	Resource   string `help:"Only what was done to this resource, by its ID; of refusals, by the address in the request." placeholder:"ID"`
	Kind       string `help:"Only these kinds: denied, enrolment, rights, administration, quarantine." placeholder:"KIND,..."`
	Follow     bool   `short:"f" help:"Go on with what is recorded from now on."`
	JSON       bool   `name:"json" help:"Print lines of JSON."`
	Export     string `help:"Folder to write the entries to, each with its proof bundle." placeholder:"DIR" type:"path"`
}

// followPause is the pause between two looks for more.
const followPause = time.Second

func (c *auditCmd) Run(ctx context.Context, s *streams) error {
	query, err := c.query(time.Now())
	if err != nil {
		return err
	}
	cl, err := c.connect()
	if err != nil {
		return err
	}
	out := auditOutput{w: s.out, json: c.JSON, client: cl, dir: c.Export}
	if err := out.begin(); err != nil {
		return err
	}
	for {
		page, end, err := fetchAudit(ctx, cl, query)
		if err == nil {
			err = out.page(ctx, page)
		}
		switch {
		case c.Follow && ctx.Err() != nil:
			return out.end()
		case err != nil:
			return errors.Join(fmt.Errorf("read the audit trail: %w", err), out.end())
		}
		query.Set("after", strconv.FormatUint(end.Next, 10))
		if end.More {
			continue
		}
		if !c.Follow {
			return out.end()
		}
		select {
		case <-time.After(followPause):
		case <-ctx.Done():
		}
	}
}

func (c *auditCmd) query(now time.Time) (url.Values, error) {
	q := url.Values{"limit": {"1000"}}
	for name, value := range map[string]string{"from": c.From, "to": c.To} {
		if value == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, value)
		if ago, err2 := time.ParseDuration(value); err2 == nil && ago >= 0 {
			t, err = now.Add(-ago), nil
		}
		if err != nil {
			return nil, fmt.Errorf("--%s %q is neither a time such as 2026-11-23T12:00:00Z nor how long ago, such as 24h", name, value)
		}
		q.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
	for name, value := range map[string]string{"originator": c.Originator, "resource": c.Resource, "kind": c.Kind} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q, nil
}

// fetchAudit fetches one page of the audit trail.
func fetchAudit(ctx context.Context, cl *client.Client, query url.Values) (page []node.AuditEntry, end node.AuditEnd, err error) {
	b, err := cl.API(ctx, http.MethodGet, node.Prefix+"/audit?"+query.Encode(), nil)
	if err != nil {
		return nil, end, err
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte{'\n'})
	for i, line := range lines {
		if i == len(lines)-1 {
			if err := json.Unmarshal(line, &end); err != nil {
				return nil, end, fmt.Errorf("the node's answer is cut off: %w", err)
			}
			break
		}
		var e node.AuditEntry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, end, fmt.Errorf("line %d of the node's answer: %w", i+1, err)
		}
		page = append(page, e)
	}
	return page, end, nil
}

// auditOutput prints entries and writes them to a folder.
type auditOutput struct {
	w       io.Writer
	json    bool
	headed  bool
	client  *client.Client
	dir     string // "" for none
	file    *os.File
	written int
	without int // entries that no proof could be had of
}

func (o *auditOutput) begin() (err error) {
	if o.dir == "" {
		return nil
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the export: %w", err)
	}
	o.file, err = os.OpenFile(filepath.Join(o.dir, "audit.ndjson"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s has an export already: choose another folder", o.dir)
	}
	return err
}

func (o *auditOutput) page(ctx context.Context, page []node.AuditEntry) error {
	table := tabwriter.NewWriter(o.w, 0, 0, 2, ' ', 0)
	for i := range page {
		e := &page[i]
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		switch {
		case o.dir != "":
			if err := o.export(ctx, e, line); err != nil {
				return err
			}
		case o.json:
			fmt.Fprintf(o.w, "%s\n", line)
		default:
			if !o.headed {
				fmt.Fprintln(table, "ENTRY\tTIME\tKIND\tWHO\tWHAT\tTIMES")
				o.headed = true
			}
			printAudit(table, e)
		}
	}
	return table.Flush()
}

// export writes an entry and its proof.
func (o *auditOutput) export(ctx context.Context, e *node.AuditEntry, line []byte) error {
	if _, err := o.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	bundle, err := o.prove(ctx, e.Index)
	var status *client.StatusError
	if errors.As(err, &status) && status.HTTP == http.StatusForbidden {
		o.without++ // it tells of other organisations too
		return nil
	}
	if err != nil {
		return fmt.Errorf("fetch the proof of entry %d: %w", e.Index, err)
	}
	o.written++
	if err := os.WriteFile(filepath.Join(o.dir, fmt.Sprintf("%d.proof", e.Index)), bundle, 0o644); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	return nil
}

// prove fetches a bundle, and waits a moment for the checkpoint over a fresh entry.
func (o *auditOutput) prove(ctx context.Context, index uint64) (bundle []byte, err error) {
	for range 20 {
		bundle, err = o.client.Proof(ctx, "", index)
		var status *client.StatusError
		if !errors.As(err, &status) || status.HTTP != http.StatusServiceUnavailable {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return bundle, err
}

func (o *auditOutput) end() error {
	if o.file == nil {
		return nil
	}
	fmt.Fprintf(o.w, "Wrote %d entries with their proofs to %s. Check one with: tally verify %s --policy <file>\n",
		o.written, o.dir, filepath.Join(o.dir, "<entry>.proof"))
	if o.without > 0 {
		fmt.Fprintf(o.w, "%d more are in audit.ndjson without proof: they also tell of other organisations.\n", o.without)
	}
	return errors.Join(o.file.Sync(), o.file.Close())
}

// printAudit prints the lines of a table for an entry: one, or one for each client that was refused.
func printAudit(w io.Writer, e *node.AuditEntry) {
	at := e.Time.Format(time.RFC3339)
	if e.Kind != ledger.TrailDenied.String() {
		what := e.Operation + " " + e.Resource
		if e.Target != "" && e.Target != e.Resource {
			what += " of " + e.Target
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t\n", e.Index, at, e.Kind, shown(e.Originator), shown(what))
		return
	}
	a, err := ledger.DecodeAudit(e.Payload)
	if err != nil {
		fmt.Fprintf(w, "%d\t%s\t%s\t\tcannot be read: %v\t\n", e.Index, at, e.Kind, err)
		return
	}
	for _, row := range auditRows(a) {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\n", e.Index, at, e.Kind, shown(row.who), shown(row.what), row.count)
	}
}

// auditRow is a refusal in words.
type auditRow struct {
	who, what string
	count     uint64
}

func auditRows(a *ledger.Audit) (rows []auditRow) {
	for i := range a.Denied {
		d := &a.Denied[i]
		who := d.Originator
		if who == "" {
			who = "nobody known"
		}
		if d.Claimed != "" {
			who += ", as " + d.Claimed
		}
		if d.Source != "" {
			who += ", from " + d.Source
		}
		what := d.Doing
		if d.On != "" {
			what += " " + d.On
		}
		if d.Binding != "" {
			what += " (" + d.Binding + ")"
		}
		rows = append(rows, auditRow{who, what + ": " + auditReason(d.Reason), d.Count})
	}
	for _, o := range a.Others {
		rows = append(rows, auditRow{"others", auditReason(o.Reason), o.Count})
	}
	if a.Unsure > 0 {
		rows = append(rows, auditRow{"others", "told before, it is not known whether that was recorded", a.Unsure})
	}
	return rows
}

func auditReason(reason string) string {
	switch reason {
	case "credential":
		return "no valid credential"
	case "originator":
		return "the credential is another's"
	case "privilege":
		return "no right to"
	case "quarantine":
		return "in quarantine"
	case "lockout":
		return "no valid credential, after too many others"
	case "signature":
		return "the request's signature is not valid"
	}
	return reason
}

// shown is a text that others chose, as it may go to a terminal.
func shown(s string) string {
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
