package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A configuration with a factory password, or with one password in two places, is refused, by the name of the field and
// without the password.
func TestPasswords(t *testing.T) {
	for line := range strings.Lines(mirai) {
		user, password, _ := strings.Cut(strings.TrimSpace(line), " ")
		dir := t.TempDir()
		text := `{"name":"n","registrar":{"cseID":"/in","url":"mqtt://` + user + ":" + password + `@broker.example"}}`
		must(t, os.WriteFile(filepath.Join(dir, configFile), []byte(text), 0o600))
		if _, err := LoadConfig(dir); err == nil || !strings.Contains(err.Error(), "registrar.url") || !strings.Contains(err.Error(), "Mirai") {
			t.Errorf("%s: %v", line, err)
		}
	}
	for text, want := range map[string]string{
		`"pointsOfAccess":["http://a.example","mqtt://gw:hi3518@b.example"]`: "pointsOfAccess[1] has a password",
		`"name":"admin:admin"`: "name has a password",
		`"registrar":{"cseID":"/in","url":"mqtt://root@b.example"}`:                                                    "registrar.url has a password",
		`"peerTokens":{"/in":"weak"}`:                                                                                  "peerTokens./in has a password",
		`"peerTokens":{"/in":"good","/mn":"same"}`:                                                                     "peerTokens./in and peerTokens./mn have the same",
		`"peerTokens":{"/in":"own"},"registrar":{"cseID":"/in","url":"mqtt://gw:4bWq0xT9@b.example"}`:                  "peerTokens./in and registrar.url have the same",
		`"peerTokens":{"/in":"good","/mn":"other"},"registrar":{"cseID":"/in","url":"mqtt://gw:4bWq0xT9@b.example"}`:   "",
		`"peerTokens":{"/in":"none"},"registrar":{"cseID":"/in","url":"https://in.example:7380"},"https":"[::1]:7380"`: "",
	} {
		dir := t.TempDir()
		for name, token := range map[string]string{"weak": "password", "good": "tally_AAAA", "same": "tally_AAAA\n", "other": "tally_BBBB", "own": "4bWq0xT9"} {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(token), 0o600))
		}
		if !strings.Contains(text, `"name"`) {
			text += `,"name":"n"`
		}
		must(t, os.WriteFile(filepath.Join(dir, configFile), []byte("{"+text+"}"), 0o600))
		_, err := LoadConfig(dir)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "4bWq0xT9") || strings.Contains(err.Error(), "AAAA")) {
			t.Errorf("the error has the password: %v", err)
		}
	}
}
