package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A list of results goes on where it ended; a file that is none is left as it is.
func TestOpenResults(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		done int
		ok   bool
	}{
		"none":      {"", 0, true},
		"cut off":   {"name,ro", 0, true},
		"its own":   {"name,role,organisation,kind,key,file\nCa,device,,token,00,a\nCb,dev", 1, true},
		"no header": {"\n", 0, false},
		"another":   {"a,b\nc,d\n", 0, false},
	} {
		path := filepath.Join(t.TempDir(), bulkResults)
		if c.text != "" {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, done, err := openResults(path)
		if err == nil {
			f.Close()
		}
		if (err == nil) != c.ok || len(done) != c.done {
			t.Errorf("%s: %v, %d done", name, err, len(done))
		}
	}
}
