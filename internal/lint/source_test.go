package lint

import (
	"bytes"
	"go/format"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maxLines is how long a Go file may be: one idea each.
const maxLines = 700

// words that must not be in the repository. They are put together here so that this file does not have them.
var words = []struct {
	pattern *regexp.Regexp
	why     string
}{
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`), "finish it, or say in plain words what is not there and why"},
	{regexp.MustCompile(`(^|[\s"'=(:` + "`" + `])/(ro` + `ot|wo` + `rk|home|Users)/`), "a path of one machine"},
}

func isSource(path string) bool {
	switch filepath.Ext(path) {
	case ".go", ".md", ".sh", ".yml", ".yaml", ".txtar":
		return true
	}
	return filepath.Base(path) == "run"
}

func TestSources(t *testing.T) {
	eachFile(t, isSource, func(path string, text []byte) {
		for i, line := range bytes.Split(text, []byte("\n")) {
			for _, w := range words {
				if m := w.pattern.Find(line); m != nil {
					t.Errorf("%s:%d: %q: %s", path, i+1, m, w.why)
				}
			}
		}
		if bytes.Contains(text, []byte("\r")) {
			t.Errorf("%s: lines end with a carriage return", path)
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			t.Errorf("%s: the last line has no end", path)
		}
	})
}

func isGo(path string) bool { return strings.HasSuffix(path, ".go") }

func TestGoFiles(t *testing.T) {
	eachFile(t, isGo, func(path string, text []byte) {
		if n := bytes.Count(text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, %d are allowed: give each idea a file of its own", path, n, maxLines)
		}
		formatted, err := format.Source(text)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if !bytes.Equal(formatted, text) {
			t.Errorf("%s is not formatted: gofmt -w %s", path, path)
		}
	})
}
