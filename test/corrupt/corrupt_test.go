//go:build scenario

// Package corrupt damages every kind of file in a stopped node's data folder and sees what tally fsck says about it,
// and what --repair and the next start make of it.
package corrupt

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/test/scenario"
)

func TestMain(m *testing.M) {
	code := m.Run()
	scenario.Cleanup()
	os.Exit(code)
}

// damage is what happens to a file.
type damage struct {
	name string
	do   func(tb testing.TB, path string)
}

var (
	truncated = damage{"truncated", func(tb testing.TB, path string) {
		st, err := os.Stat(path)
		if err != nil {
			tb.Fatal(err)
		}
		if err := os.Truncate(path, st.Size()*2/3); err != nil {
			tb.Fatal(err)
		}
	}}
	flipped = damage{"bit flipped", func(tb testing.TB, path string) {
		b, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		b[len(b)/2] ^= 0x10
		if err := os.WriteFile(path, b, 0o600); err != nil {
			tb.Fatal(err)
		}
	}}
	missing = damage{"missing", func(tb testing.TB, path string) {
		if err := os.Remove(path); err != nil {
			tb.Fatal(err)
		}
	}}
)

// outcome is what a user gets to see.
type outcome int

const (
	// healed: fsck names it and exits with 3, --repair heals it and everything is there again.
	healed outcome = iota
	// mended: opening makes the file again, the same bytes, from the copy that counts; fsck has nothing to say.
	mended
	// survived: what the file held is in another copy, so the next start goes on; or fsck names it and --repair heals it.
	survived
	// harmless: the file holds nothing that is not elsewhere; fsck and start do without it.
	harmless
	// told: fsck or start says what is wrong in one line; another node's copy or the operator has to help.
	told
)

// kind is one kind of file.
type kind struct {
	name string
	// file chooses one in the data folder.
	file func(tb testing.TB, dir string) string
	// names are texts of which fsck's finding, or the refusal to start, must contain one.
	names []string
	want  map[string]outcome
}

func fixed(name string) func(testing.TB, string) string {
	return func(_ testing.TB, dir string) string { return filepath.Join(dir, name) }
}

// largest chooses the largest file that matches.
func largest(pattern string) func(testing.TB, string) string {
	return func(tb testing.TB, dir string) string {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			tb.Skipf("no file %s in this data folder", pattern)
		}
		return slices.MaxFunc(files, func(a, b string) int { return size(tb, a) - size(tb, b) })
	}
}

// newest chooses the one with the highest number: the one in use.
func newest(pattern string) func(testing.TB, string) string {
	return func(tb testing.TB, dir string) string {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			tb.Skipf("no file %s in this data folder", pattern)
		}
		return slices.Max(files)
	}
}

func size(tb testing.TB, path string) int {
	st, err := os.Stat(path)
	if err != nil {
		tb.Fatal(err)
	}
	return int(st.Size())
}

func all(o outcome) map[string]outcome {
	return map[string]outcome{truncated.name: o, flipped.name: o, missing.name: o}
}

var kinds = []kind{
	{"log segment", largest("log/*.seg"), []string{".seg", "the log ends at index"}, all(healed)},
	{"log hashes", largest("log/hash-[0-9]*"), []string{"hash-"}, all(mended)},
	{"log hash mark", fixed("log/hash-mark"), []string{"hash-mark"}, all(survived)},
	{"tree table", largest("tree/*.sst"), []string{"tree"}, all(healed)},
	{"tree write-ahead log", newest("tree/*.log"), []string{"tree"}, all(survived)},
	{"tree manifest", newest("tree/MANIFEST-*"), []string{"tree"}, all(healed)},
	{"block table", largest("chain/blocks/*.sst"), []string{"blocks", "block store"}, all(told)},
	{"block write-ahead log", newest("chain/blocks/*.log"), []string{"blocks", "block store"}, all(told)},
	{"block manifest", newest("chain/blocks/MANIFEST-*"), []string{"blocks", "block store"}, all(told)},
	{"consensus write-ahead log", fixed("chain/data/cs.wal/wal"), []string{"wal", "WAL"}, all(harmless)},
	{"validator state", fixed("chain/validator.state"), []string{"validator.state"}, all(told)},
	{"genesis document", fixed("genesis.json"), []string{"genesis"}, all(told)},
	{"configuration", fixed("config.json"), []string{"config.json"}, all(told)},
	{"policy", fixed("policy.txt"), []string{"policy.txt"}, all(healed)},
	{"node key", fixed("keys/node.key"), []string{"node.key", "key"}, all(told)},
}

// Every kind of file, damaged in every way. What fsck must heal and what it can only name is what DESIGN promises of
// copies: the log is on disk as segments, in part as blocks, and the tree follows from it.
func TestDamagedFiles(t *testing.T) {
	origin := t.TempDir()
	series := record(t, origin)
	for _, k := range kinds {
		for _, d := range []damage{truncated, flipped, missing} {
			t.Run(k.name+"/"+d.name, func(t *testing.T) {
				n := &scenario.Network{Dir: t.TempDir(), Addr: series.net.Addr}
				if err := os.CopyFS(n.Dir, os.DirFS(origin)); err != nil {
					t.Fatal(err)
				}
				path := k.file(t, n.Dir)
				rel, _ := filepath.Rel(n.Dir, path)
				d.do(t, path)
				check(t, n, series, k, k.want[d.name], rel)
			})
		}
	}
}

// recorded is a network with readings in it.
type recorded struct {
	net    *scenario.Network
	series []*scenario.Series
}

// record makes a network whose files hold something each: it is stopped in order, killed, and killed again.
func record(t *testing.T, dir string) recorded {
	n := scenario.Init(t, dir)
	p := n.Start(t)
	r := recorded{net: n}
	for _, name := range []string{"one", "two", "three"} {
		r.series = append(r.series, scenario.NewSeries(t, n, name))
	}
	for round := range 3 {
		var wg sync.WaitGroup
		for _, s := range r.series {
			wg.Go(func() {
				for range 150 {
					if err := s.Send(context.Background()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if round > 0 {
			p.Kill()
		} else if code := p.Stop(); code != 0 {
			t.Fatalf("stop: exit %d:\n%s", code, p.Output())
		}
		if round < 2 {
			p = n.Start(t)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return r
}

func check(t *testing.T, n *scenario.Network, r recorded, k kind, want outcome, file string) {
	first := scenario.Run(t, "fsck", "--data", n.Dir)
	t.Logf("fsck: %s", strings.TrimSpace(first.String()))
	switch want {
	case healed:
		if first.Code != 3 || !namesOne(first.Stdout, k.names) {
			t.Errorf("%s is damaged, fsck says:\n%s", file, first)
		}
		fixed := scenario.Run(t, "fsck", "--repair", "--data", n.Dir)
		t.Logf("repair: %s", strings.TrimSpace(fixed.String()))
		if fixed.Code != 0 {
			t.Fatalf("fsck --repair does not heal %s:\n%s", file, fixed)
		}
		whole(t, n, r)
	case mended:
		if first.Code != 0 {
			t.Fatalf("%s, which can be made again, is damaged, fsck says:\n%s", file, first)
		}
		is, err := os.ReadFile(filepath.Join(n.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		was, err := os.ReadFile(filepath.Join(r.net.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(is, was) {
			t.Errorf("fsck says that all is well, but %s is not what it was", file)
		}
		whole(t, n, r)
	case survived:
		if first.Code == 3 {
			if !namesOne(first.Stdout, k.names) {
				t.Errorf("%s is damaged, fsck says:\n%s", file, first)
			}
			if fixed := scenario.Run(t, "fsck", "--repair", "--data", n.Dir); fixed.Code != 0 {
				t.Fatalf("fsck --repair does not heal %s:\n%s", file, fixed)
			}
		}
		whole(t, n, r)
	case harmless:
		if first.Code != 0 && first.Code != 3 {
			t.Errorf("fsck:\n%s", first)
		}
		whole(t, n, r)
	case told:
		if (first.Code == 3 || first.Code == 1) && namesOne(first.Stdout+first.Stderr, k.names) {
			oneLine(t, first)
			return
		}
		p := n.Launch(t)
		if p.Ready() {
			// The bytes that were hit hold nothing: then everything has to be as it was.
			t.Logf("start does without %s", file)
			p.Stop()
			whole(t, n, r)
			return
		}
		code := p.Wait(10 * time.Second)
		t.Logf("start: exit %d: %s", code, strings.TrimSpace(p.Output()))
		if code != 1 || !namesOne(p.Output(), k.names) {
			t.Errorf("%s is damaged, fsck says\n%sand start says (exit %d)\n%s", file, first, code, p.Output())
		}
	}
}

// oneLine refuses stack traces and essays.
func oneLine(t *testing.T, r scenario.Result) {
	t.Helper()
	out := strings.TrimSpace(r.Stdout + r.Stderr)
	if strings.Contains(out, "goroutine ") || bytes.Count([]byte(out), []byte("\n")) > 2 {
		t.Errorf("a finding is one line and perhaps one about what to do:\n%s", r)
	}
}

// whole requires that the node starts, has every reading, proves some and takes more, and that fsck is content after.
func whole(t *testing.T, n *scenario.Network, r recorded) {
	t.Helper()
	p := n.Start(t)
	policy := r.net.Policy(t)
	for _, s := range r.series {
		s.Check(t, true)
		s.Prove(t, policy, 3)
		s.Prove(t, policy, s.Sent()-1)
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("stop: exit %d:\n%s", code, p.Output())
	}
	n.Fsck(t)
}

func namesOne(text string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(text, name) })
}
