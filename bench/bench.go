// Package bench measures a node side by side with references in the same run: bare servers, bare hashing and
// writing, bare compression. Every process that serves or sends is one of its own. It works on real disks only.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options of a run.
type Options struct {
	Program Program
	Dir     string        // existing folder on a real disk; the run works in a folder of its own below it, which it removes
	Only    []string      // sections to run, all when empty
	Long    bool          // grow to 10 million readings instead of one million
	Rounds  int           // of which the median counts; 3 when 0
	Round   time.Duration // length of a round of HTTP load; 2 s when 0
	Scale   float64       // shrinks or stretches the fixed numbers of readings; 1 when 0
	Profile string        // folder for profiles of the apply path (CPU) and of the growing ledger (memory); "" for none
	Out     io.Writer     // gets tables as they are done; may be nil
}

// Bench is one run.
type Bench struct {
	Options
	dir     string
	report  Report
	running *pair
}

type section struct {
	name string
	run  func(*Bench, context.Context) (*Section, error)
}

// all sections in the order in which they run.
var all = []section{
	{"apply", (*Bench).apply},
	{"signed", (*Bench).signed},
	{"http", (*Bench).http},
	{"ingest", (*Bench).ingest},
	{"ws", (*Bench).ws},
	{"ws-ledger", (*Bench).wsInstant},
	{"la", (*Bench).latest},
	{"idle", (*Bench).idle},
	{"mqtt", (*Bench).mqtt},
	{"mqtt-crowd", (*Bench).mqttIdle},
	{"coap", (*Bench).coap},
	{"abuse", (*Bench).abuse},
	{"secure", (*Bench).secure},
	{"disk", (*Bench).disk},
	{"proof", (*Bench).proof},
	{"scale", (*Bench).scale},
}

// Sections names what can be measured.
func Sections() []string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.name
	}
	return names
}

// Run measures and reports. It refuses to run in a folder that is not on a disk. However it ends, nothing that it
// started goes on and nothing that it wrote stays, but what Options asks for.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if o.Round == 0 {
		o.Round = 2 * time.Second
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	todo, err := choose(o.Only)
	if err != nil {
		return nil, err
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	b := &Bench{Options: o}
	if b.dir, err = os.MkdirTemp(o.Dir, "tally-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder to work in: %w", err)
	}
	defer func() { err = errors.Join(err, b.endPair(), os.RemoveAll(b.dir)) }()
	if b.report.Machine, err = describeMachine(b.dir); err != nil {
		return nil, err
	}
	b.report.Machine.Dir = o.Dir
	b.report.Machine.print(o.Out)
	for _, s := range todo {
		if err := b.section(ctx, s); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("measure %s: %w", s.name, err)
		}
	}
	return &b.report, nil
}

func (b *Bench) section(ctx context.Context, s section) error {
	if !slices.Contains([]string{"http", "ingest", "ws", "ws-ledger", "la", "idle"}, s.name) {
		if err := b.endPair(); err != nil { // the pair would compete for the machine
			return err
		}
	}
	res, err := s.run(b, ctx)
	if err != nil {
		return err
	}
	b.report.Sections = append(b.report.Sections, *res)
	return res.print(b.Out)
}

func choose(names []string) ([]section, error) {
	if len(names) == 0 {
		return all, nil
	}
	wanted := make(map[string]bool)
	for _, n := range names {
		wanted[n] = true
	}
	var todo []section
	for _, s := range all {
		if wanted[s.name] {
			todo = append(todo, s)
			delete(wanted, s.name)
		}
	}
	for n := range wanted {
		return nil, fmt.Errorf("there is no section %q; there are %s", n, strings.Join(Sections(), ", "))
	}
	return todo, nil
}

// scaled is a fixed number of readings in the size of this run.
func (b *Bench) scaled(n int) int { return max(int(float64(n)*b.Scale), sensors) }
