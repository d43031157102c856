package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigErrors: a configuration that says something that cannot be meant is refused with the reason.
func TestConfigErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"name":"n","htps":":7443"}`:                             "htps",
		`{"name":"n","tls":{"cert":"a","keys":"b"}}`:              "keys",
		`{"name":"n"} {"https":":7443"}`:                          "after its end",
		`{"name":"n","retainBlocks":-1}`:                          "retainBlocks",
		`{"name":"n","maxBody":2000000}`:                          "maxBody",
		`{"name":"n","minFreeBytes":-1}`:                          "minFreeBytes",
		`{"name":"n","tls":{"cert":"a","key":"b","names":["c"]}}`: "names",
		`{"name":"n","tls":{"cert":"a"}}`:                         "key",
		`{"name":"n","registrar":{"cseID":"/in"}}`:                "registrar",
		`{"http":"127.0.0.1:1"}`:                                  "no name",
		`{"name":"n","coapTokensInClear":"certainly"}`:            "coapTokensInClear",
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, configFile), []byte(text), 0o600))
		if _, err := LoadConfig(dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), configFile) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
