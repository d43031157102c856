package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/node"
)

// bulkRow is a line of the file of devices.
type bulkRow struct {
	line                           int
	name, role, organisation, kind string
	until                          time.Time
}

// bulkResults is the list of what was enrolled, in the folder that gets the secrets. A row is there when its secret is
// safe, and is not enrolled again.
const bulkResults = "enrolled.csv"

var bulkHeader = []string{"name", "role", "organisation", "kind", "key", "file"}

// bulkAtOnce is how many enrolments are under way: the node puts those that wait together into one batch.
const bulkAtOnce = 64

func (c *deviceEnrolCmd) bulk(ctx context.Context, s *streams, cl *client.Client) error {
	if c.Out == "" {
		return errors.New("say where the secrets go: --out FOLDER")
	}
	f, err := os.Open(c.CSV)
	if err != nil {
		return fmt.Errorf("read the devices: %w", err)
	}
	rows, bad := readRows(f)
	f.Close()
	if len(bad) > 0 {
		return fmt.Errorf("%s is not enrolled, nothing of it:\n%w", c.CSV, errors.Join(bad...))
	}
	if err := os.MkdirAll(c.Out, 0o700); err != nil {
		return fmt.Errorf("make the folder of the secrets: %w", err)
	}
	results, done, err := openResults(filepath.Join(c.Out, bulkResults))
	if err != nil {
		return err
	}
	defer results.Close()
	var (
		mu               sync.Mutex
		failed, enrolled int
		work             = make(chan *bulkRow)
		workers          sync.WaitGroup
		w                = csv.NewWriter(results)
	)
	keep := func(r *bulkRow, key, file string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			w.Write([]string{r.name, r.role, r.organisation, r.kind, key, file})
			w.Flush()
			err = w.Error()
		}
		if err != nil {
			failed++
			fmt.Fprintf(s.err, "%s:%d: %s: %v\n", c.CSV, r.line, r.name, err)
			return
		}
		if enrolled++; enrolled%1000 == 0 {
			fmt.Fprintf(s.err, "%d of %d enrolled\n", enrolled+len(done), len(rows))
		}
	}
	for range bulkAtOnce {
		workers.Go(func() {
			for r := range work {
				key, file, err := c.bulkOne(ctx, cl, r)
				keep(r, key, file, err)
			}
		})
	}
	skipped := 0
	for i := range rows {
		if done[rows[i].name] {
			skipped++
			continue
		}
		if ctx.Err() != nil {
			break
		}
		work <- &rows[i]
	}
	close(work)
	workers.Wait()
	if err := errors.Join(results.Sync(), ctx.Err()); err != nil {
		return fmt.Errorf("broken off after %d of %d; run it again to go on: %w", enrolled+skipped, len(rows), err)
	}
	fmt.Fprintf(s.out, "Enrolled %d, %d were already; the list is %s, the secrets are beside it.\n", enrolled, skipped, filepath.Join(c.Out, bulkResults))
	if failed > 0 {
		return fmt.Errorf("%d of %d failed, see above; run it again when their cause is gone", failed, len(rows))
	}
	return nil
}

// bulkOne enrols one row and writes its secret.
func (c *deviceEnrolCmd) bulkOne(ctx context.Context, cl *client.Client, r *bulkRow) (key, file string, err error) {
	name := strings.TrimPrefix(r.name, "/")
	if r.kind == "code" {
		v, out, err := c.invitation(ctx, cl, node.InviteRequest{
			Originator: r.name, Role: r.role, Organisation: r.organisation, NotAfter: r.until, Seconds: int64(c.For / time.Second),
		})
		if err != nil {
			return "", "", err
		}
		return out.Key, name + ".url", replace(filepath.Join(c.Out, name+".url"), v.String()+"\n")
	}
	req := node.EnrolRequest{Originator: r.name, Role: r.role, Organisation: r.organisation, NotAfter: r.until}
	file = name + ".token"
	if r.kind == "key" {
		file = name + ".key"
		public, err := keyFor(filepath.Join(c.Out, file))
		if err != nil {
			return "", "", err
		}
		req.PublicKey = hex.EncodeToString(public)
	}
	e, err := enrol(ctx, cl, req)
	var refused *client.StatusError
	if r.kind == "key" && errors.As(err, &refused) && refused.HTTP == http.StatusConflict {
		// A run before may have been broken off between the enrolment of this key and the list.
		id := keyID(req.PublicKey)
		if d, missing := registered(ctx, cl, r.name); missing == nil && slices.ContainsFunc(d.Credentials, func(c node.RegisteredCredential) bool { return c.Key == id && c.State == "valid" }) {
			return id, file, nil
		}
	}
	if err != nil {
		return "", "", err
	}
	if e.Token != "" {
		err = replace(filepath.Join(c.Out, file), e.Token+"\n")
	}
	if e.Certificate != "" {
		err = replace(filepath.Join(c.Out, name+".crt"), e.Certificate)
	}
	return e.Key, file, err
}

// keyID is the name on the ledger of a public key in hex.
func keyID(public string) string {
	b, _ := hex.DecodeString(public)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// keyFor gives the public half of the key in a file, which is made if a run before has not left one.
func keyFor(path string) (ed25519.PublicKey, error) {
	if _, err := os.Lstat(path); err == nil {
		return readKey(path)
	}
	return makeKey(path)
}

// replace writes a secret; what a run that was broken off left there was never told to anybody.
func replace(path, secret string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return create(path, []byte(secret), 0o600)
}

// openResults opens the list of what was enrolled and tells what is there.
func openResults(path string) (*os.File, map[string]bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open the list of what is enrolled: %w", err)
	}
	all, err := io.ReadAll(f)
	if err == nil {
		// A line that a crash cut off was not acted on as if it were whole: it goes.
		whole := int64(strings.LastIndexByte(string(all), '\n') + 1)
		all = all[:whole]
		err = errors.Join(f.Truncate(whole), seekEnd(f))
	}
	done := make(map[string]bool)
	if err == nil && len(all) == 0 {
		w := csv.NewWriter(f)
		w.Write(bulkHeader)
		w.Flush()
		err = w.Error()
	} else if err == nil {
		var lines [][]string
		if lines, err = csv.NewReader(strings.NewReader(string(all))).ReadAll(); err == nil {
			if len(lines) == 0 || !slices.Equal(lines[0], bulkHeader) {
				err = fmt.Errorf("%s does not begin with %q: it is no list of this command", path, strings.Join(bulkHeader, ","))
			}
			for i := 1; i < len(lines) && err == nil; i++ {
				done[lines[i][0]] = true
			}
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("read the list of what is enrolled: %w", err)
	}
	return f, done, nil
}

func seekEnd(f *os.File) error {
	_, err := f.Seek(0, io.SeekEnd)
	return err
}

// readRows reads a file of devices: name, role, organisation, kind, valid until; what follows the name may be missing. A
// first line that begins with "name" is a heading, empty lines and those that begin with # do not count.
func readRows(r io.Reader) (rows []bulkRow, bad []error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord, c.TrimLeadingSpace, c.Comment = -1, true, '#'
	seen := make(map[string]int)
	for first := true; ; first = false {
		fields, err := c.Read()
		if errors.Is(err, io.EOF) {
			return rows, bad
		}
		if err != nil {
			return nil, append(bad, err)
		}
		line, _ := c.FieldPos(0)
		if first && strings.EqualFold(strings.TrimSpace(fields[0]), "name") {
			continue
		}
		row, err := parseRow(fields)
		if err == nil && seen[row.name] != 0 {
			err = fmt.Errorf("%s is in line %d already", row.name, seen[row.name])
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("line %d: %w", line, err))
			continue
		}
		row.line = line
		seen[row.name] = line
		rows = append(rows, row)
	}
}

func parseRow(fields []string) (row bulkRow, err error) {
	if len(fields) > 5 {
		return row, fmt.Errorf("%d fields: name, role, organisation, kind and valid until are all", len(fields))
	}
	var f [5]string
	for i := range fields {
		f[i] = strings.TrimSpace(fields[i])
	}
	row = bulkRow{name: f[0], role: f[1], organisation: f[2], kind: f[3]}
	if row.role == "" {
		row.role = "device"
	}
	if row.kind == "" {
		row.kind = "token"
	}
	// The name is one of a file too, so that it is looked at here and not only by the node.
	rest := strings.TrimPrefix(row.name, "/")
	if rest == "" || strings.ContainsAny(rest, `/\:`) || strings.HasPrefix(rest, ".") {
		return row, fmt.Errorf("%q is no AE-ID", row.name)
	}
	if row.kind != "token" && row.kind != "key" && row.kind != "code" {
		return row, fmt.Errorf("kind %q is none of token, key and code", row.kind)
	}
	row.until, err = parseUntil(f[4])
	return row, err
}
