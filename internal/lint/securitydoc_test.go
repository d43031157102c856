package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityDocument checks that the tests exist that docs/security.md says try something, and that its table has every
// provision of ETSI EN 303 645 V2.1.1 once.
func TestSecurityDocument(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	eachFile(t, func(path string) bool { return strings.HasSuffix(path, "_test.go") }, func(_ string, text []byte) {
		for _, m := range declared.FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
	})
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(doc), -1) {
		if !tests[name] {
			t.Errorf("docs/security.md names %s, which does not exist", name)
		}
	}
	provisions := map[string]int{
		"5.1": 5, "5.2": 3, "5.3": 16, "5.4": 4, "5.5": 8, "5.6": 9, "5.7": 2, "5.8": 3, "5.9": 3, "5.10": 1, "5.11": 4, "5.12": 3, "5.13": 1, "6": 5,
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+(?:\.\d+)?)-(\d+) \|`).FindAllStringSubmatch(string(doc), -1)
	seen := make(map[string]bool)
	for _, m := range rows {
		if seen[m[0]] {
			t.Errorf("docs/security.md has two rows for %s", m[0])
		}
		seen[m[0]] = true
		provisions[m[1]]--
	}
	for clause, left := range provisions {
		if left != 0 {
			t.Errorf("docs/security.md lacks %d provisions of clause %s", left, clause)
		}
	}
}
