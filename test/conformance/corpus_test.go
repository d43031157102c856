//go:build scenario

// Package conformance sends one corpus of oneM2M requests through every binding in every encoding, to a real node that
// is new each time. What a request primitive must be answered does not depend on the way it came, so a difference
// between two bindings fails a test.
//
// The corpus is the folder of that name. A file is a list of steps, which run in order:
//
//	-- TS-0004 7.4.6.2.1: create a container
//	{"op":1,"fr":"CA","to":"tally/a","ty":3,"pc":{"m2m:cnt":{"rn":"c"}}}
//	= 2001
//	pc {"m2m:cnt":{"rn":"c","ri":"$container"}}
//	has "cni":0
//	not "mni"
//
// The first line has the clause and what it is about, the second the request primitive by short names; rqi and rvi are
// added where they are missing. Then comes the response status code, and what the content must be like: pc is a pattern of
// which every member must be there, where "*" stands for any value and "$name" for a value that is remembered and may
// be used later as $name, also in requests; has and not are pieces of the content as compact JSON.
//
// What devices send that speak no oneM2M has a corpus of its own, plainMessages, for HTTP, WebSocket, MQTT and CoAP: the
// answer, the reason and what is stored must be the same every way.
package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/test/scenario"
)

func TestMain(m *testing.M) {
	code := m.Run()
	scenario.Cleanup()
	os.Exit(code)
}

// step is one request and what must come back.
type step struct {
	file   string
	line   int
	title  string // with the clause
	req    string // JSON
	status int
	pc     string // pattern, "" for none
	has    []string
	not    []string
}

func readCorpus(t *testing.T) map[string][]step {
	files, err := filepath.Glob("corpus/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	corpus := make(map[string][]step)
	for _, f := range files {
		steps, err := readSteps(f)
		if err != nil {
			t.Fatal(err)
		}
		corpus[strings.TrimSuffix(filepath.Base(f), ".txt")] = steps
	}
	return corpus
}

func readSteps(path string) ([]step, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var steps []step
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 4<<20)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		if title, ok := strings.CutPrefix(text, "-- "); ok {
			if !strings.HasPrefix(title, "TS-") && !strings.HasPrefix(title, "RFC ") {
				return nil, fmt.Errorf("%s:%d: the step names no clause", path, n)
			}
			steps = append(steps, step{file: path, line: n, title: title})
			continue
		}
		if len(steps) == 0 {
			return nil, fmt.Errorf("%s:%d: before the first step", path, n)
		}
		s := &steps[len(steps)-1]
		word, rest, _ := strings.Cut(text, " ")
		switch {
		case text[0] == '{':
			s.req = text
		case word == "=":
			if s.status, err = strconv.Atoi(rest); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, n, err)
			}
		case word == "pc":
			s.pc = rest
		case word == "has":
			s.has = append(s.has, rest)
		case word == "not":
			s.not = append(s.not, rest)
		default:
			return nil, fmt.Errorf("%s:%d: cannot read %q", path, n, text)
		}
	}
	for _, s := range steps {
		if s.req == "" || s.status == 0 {
			return nil, fmt.Errorf("%s:%d: no request or no status", s.file, s.line)
		}
	}
	return steps, lines.Err()
}

// primitive is a request or response primitive by short names.
type primitive map[string]json.RawMessage

func (p primitive) text(name string) string {
	var s string
	if json.Unmarshal(p[name], &s) != nil {
		return string(p[name])
	}
	return s
}

// wire sends request primitives over one binding in one encoding.
type wire interface {
	// do sends a request for its originator, who has that token, and returns the response primitive.
	do(t *testing.T, req primitive, token string) primitive
}

// bindings makes a wire for a node, by "binding/encoding".
var bindings = map[string]func(t *testing.T, n *scenario.Network, cbor bool) wire{}

func TestCorpus(t *testing.T) {
	corpus := readCorpus(t)
	files := slices.Sorted(maps.Keys(corpus))
	var originators []string
	for _, f := range files {
		for _, s := range corpus[f] {
			var p primitive
			if err := json.Unmarshal([]byte(s.req), &p); err != nil {
				t.Fatalf("%s:%d: %v", s.file, s.line, err)
			}
			if who := p.text("fr"); who != "" && who != "Coperator" && !strings.Contains(who, "/") && !slices.Contains(originators, who) {
				originators = append(originators, who)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bindings)) {
		for _, encoding := range []string{"json", "cbor"} {
			t.Run(name+"/"+encoding, func(t *testing.T) {
				t.Parallel()
				n := scenario.Init(t, t.TempDir())
				p := n.Start(t)
				tokens := map[string]string{"Coperator": n.Token(t)}
				for _, id := range originators {
					tokens[id] = n.EnrolToken(t, id)
				}
				r := runner{wire: bindings[name](t, n, encoding == "cbor"), tokens: tokens, known: make(map[string]string)}
				for _, f := range files {
					t.Run(f, func(t *testing.T) {
						for _, s := range corpus[f] {
							t.Run(s.title, func(t *testing.T) { r.run(t, s) })
						}
					})
				}
				if code := p.Stop(); code != 0 {
					t.Errorf("stop: exit %d:\n%s", code, p.Output())
				}
				n.Fsck(t)
			})
		}
	}
}

// runner runs the steps of a corpus over one wire.
type runner struct {
	wire   wire
	tokens map[string]string
	known  map[string]string // by $name
	count  int
}

func (r *runner) run(t *testing.T, s step) {
	t.Helper()
	var req primitive
	if err := json.Unmarshal([]byte(r.expand(s.req)), &req); err != nil {
		t.Fatalf("%s:%d: %v", s.file, s.line, err)
	}
	r.count++
	set := func(name, value string) {
		if _, ok := req[name]; !ok {
			req[name], _ = json.Marshal(value)
		}
	}
	set("rqi", fmt.Sprint("r", r.count))
	set("rvi", "4")
	who := req.text("fr")
	if i := strings.LastIndexByte(who, '/'); i >= 0 {
		who = who[i+1:]
	}
	resp := r.wire.do(t, req, r.tokens[who])
	if got := resp.text("rsc"); got != strconv.Itoa(s.status) {
		t.Errorf("%s:%d: status %s, want %d: %s", s.file, s.line, got, s.status, resp["pc"])
		return
	}
	if got, want := resp.text("rqi"), req.text("rqi"); got != want {
		t.Errorf("%s:%d: request identifier %q, want %q", s.file, s.line, got, want)
	}
	var compact bytes.Buffer
	if len(resp["pc"]) > 0 {
		if err := json.Compact(&compact, resp["pc"]); err != nil {
			t.Fatalf("the content is no JSON: %v: %s", err, resp["pc"])
		}
	}
	content := compact.String()
	for _, x := range s.has {
		if !strings.Contains(content, r.expand(x)) {
			t.Errorf("%s:%d: no %s in %s", s.file, s.line, r.expand(x), content)
		}
	}
	for _, x := range s.not {
		if strings.Contains(content, r.expand(x)) {
			t.Errorf("%s:%d: %s in %s", s.file, s.line, r.expand(x), content)
		}
	}
	if s.pc != "" {
		if err := r.match(decode(t, []byte(r.expand(s.pc))), decode(t, compact.Bytes())); err != nil {
			t.Errorf("%s:%d: %v in %s", s.file, s.line, err, content)
		}
	}
}

var variable = regexp.MustCompile(`\$[a-z][A-Za-z0-9]*`)

// expand puts what is known in the place of $name.
func (r *runner) expand(s string) string {
	return variable.ReplaceAllStringFunc(s, func(v string) string {
		if value, ok := r.known[v]; ok {
			return value
		}
		return v
	})
}

func decode(t *testing.T, b []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return v
}

// match compares a value with a pattern.
func (r *runner) match(pattern, value any) error {
	switch p := pattern.(type) {
	case string:
		if p == "*" {
			return nil
		}
		if variable.FindString(p) == p && p != "" {
			r.known[p] = fmt.Sprint(value)
			return nil
		}
	case map[string]any:
		m, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("no object, but %v", value)
		}
		for k, want := range p {
			got, ok := m[k]
			if !ok {
				return fmt.Errorf("no %s", k)
			}
			if err := r.match(want, got); err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
		}
		return nil
	case []any:
		list, ok := value.([]any)
		if !ok || len(list) != len(p) {
			return fmt.Errorf("not %d elements, but %v", len(p), value)
		}
		for i := range p {
			if err := r.match(p[i], list[i]); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	}
	if fmt.Sprint(pattern) != fmt.Sprint(value) {
		return fmt.Errorf("%v, want %v", value, pattern)
	}
	return nil
}
