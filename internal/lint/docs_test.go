package lint

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

func isMarkdown(path string) bool { return strings.HasSuffix(path, ".md") }

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	// pathInText is a file or folder of this repository named in running text between backquotes.
	pathInText = regexp.MustCompile("`((?:bench|client|cmd|docs|internal|onem2m|proof|test)(?:/[\\w.-]+)+)`")
	fence      = regexp.MustCompile("(?ms)^```.*?^```")
)

// TestDocuments checks that what documents point to exists: files, headings, packages.
func TestDocuments(t *testing.T) {
	headings := make(map[string]map[string]bool)
	eachFile(t, isMarkdown, func(name string, text []byte) { headings[name] = anchors(string(text)) })
	eachFile(t, isMarkdown, func(name string, text []byte) {
		prose := fence.ReplaceAllString(string(text), "")
		for _, m := range markdownLink.FindAllStringSubmatch(prose, -1) {
			checkLink(t, name, m[1], headings)
		}
		for _, m := range pathInText.FindAllStringSubmatch(prose, -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which does not exist", name, m[1])
			}
		}
	})
}

func checkLink(t *testing.T, from, link string, headings map[string]map[string]bool) {
	t.Helper()
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return
	}
	file, anchor, _ := strings.Cut(link, "#")
	target := from
	if file != "" {
		target = path.Join(path.Dir(from), file)
	}
	if _, err := os.Stat(filepath.Join(root, target)); err != nil {
		t.Errorf("%s links to %s, which does not exist", from, link)
	} else if anchor != "" && !headings[target][anchor] {
		t.Errorf("%s links to %s: %s has no such heading", from, link, target)
	}
}

// anchors are the names by which headings can be linked to: lower case, spaces as hyphens, no punctuation.
func anchors(text string) map[string]bool {
	out := make(map[string]bool)
	for line := range strings.SplitSeq(fence.ReplaceAllString(text, ""), "\n") {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		out[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(heading))] = true
	}
	return out
}

// TestConfigurationReference checks that docs/operate.md has every field of the node's configuration, in the words of
// the source and in its complete example.
func TestConfigurationReference(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs/operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "internal/node/config.go"), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(doc), "One with every field")
	example, _, _ = strings.Cut(example, "\n```\n")
	found := 0
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Config" {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			if !field.Names[0].IsExported() {
				continue
			}
			found++
			tag, err := strconv.Unquote(field.Tag.Value)
			if err != nil {
				t.Fatal(err)
			}
			key, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
			meaning := strings.Join(strings.Fields(strings.TrimPrefix(field.Doc.Text(), field.Names[0].Name+" is ")), " ")
			if row := "| `" + key + "` | " + meaning + " |"; !strings.Contains(string(doc), row) {
				t.Errorf("docs/operate.md lacks this row:\n%s", row)
			}
			if !strings.Contains(example, "\n  \""+key+"\": ") {
				t.Errorf("the complete configuration in docs/operate.md lacks %q", key)
			}
		}
		return false
	})
	if found == 0 {
		t.Error("internal/node/config.go has no Config")
	}
}

// TestLayersAreDocumented checks that ARCHITECTURE.md shows the same table of layers as this package enforces.
func TestLayersAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range layers {
		own := "nothing of this module"
		if len(l.own) > 0 {
			own = "`" + strings.Join(l.own, "` `") + "`"
		}
		if row := "| `" + name + "` | " + own + " |"; !strings.Contains(string(doc), row) {
			t.Errorf("ARCHITECTURE.md lacks this row:\n%s", row)
		}
	}
}

// TestJSONInDocuments checks that examples marked as JSON are JSON.
func TestJSONInDocuments(t *testing.T) {
	block := regexp.MustCompile("(?ms)^```json\n(.*?)^```")
	eachFile(t, isMarkdown, func(name string, text []byte) {
		for _, m := range block.FindAllSubmatch(text, -1) {
			if !json.Valid(m[1]) {
				t.Errorf("%s: this is no JSON:\n%s", name, m[1])
			}
		}
	})
}
