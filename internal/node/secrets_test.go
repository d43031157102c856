package node

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/onem2m"
)

// handedOut is the form of what is handed out: tokens, one-time codes, keys in PEM.
var handedOut = regexp.MustCompile(`tally_[A-Za-z0-9_-]{43}|\b[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){3}\b|PRIVATE KEY`)

// leaks are the lines with secrets that nodes of the tests logged, at whatever level.
var leaks struct {
	sync.Mutex
	lines []string
}

type leakFinder struct{}

func (leakFinder) Write(line []byte) (int, error) {
	if handedOut.Match(line) {
		leaks.Lock()
		leaks.lines = append(leaks.lines, string(line))
		leaks.Unlock()
	}
	return len(line), nil
}

// watchedLog is the log of all nodes of the tests.
var watchedLog = slog.New(slog.NewTextHandler(leakFinder{}, &slog.HandlerOptions{Level: slog.LevelDebug}))

func TestMain(m *testing.M) {
	code := m.Run()
	for _, line := range leaks.lines {
		fmt.Fprint(os.Stderr, "a secret was logged: ", line)
		code = 1
	}
	os.Exit(code)
}

// TestSecretsStayAway: what is handed out to devices is neither in the log of the node nor in any file of its data folder
// but those that it was put into for the operator, whatever is done with it, rightly or not.
func TestSecretsStayAway(t *testing.T) {
	dir := initNode(t)
	n := startNode(t, dir)
	secrets := map[string]string{"the operator's token": token(t, dir)}
	device, e := enrol(t, n, "Cdevice")
	secrets["a token"] = e.Token
	_, err := device.Create(t.Context(), "tally", onem2m.TypeAE, map[string]any{"m2m:ae": map[string]any{"api": "Nx", "rr": false, "srv": []string{"4"}}})
	must(t, err)
	op := client.New("http://"+n.Addr(), OperatorID, token(t, dir), 1)
	for i := range 3 {
		b, err := op.API(t.Context(), "POST", "/-/invitations", InviteRequest{Originator: fmt.Sprint("Ci", i)})
		must(t, err)
		code := regexp.MustCompile(`"code": "([^"]+)"`).FindSubmatch(b)
		if code == nil {
			t.Fatalf("%s", b)
		}
		secrets[fmt.Sprint("code ", i)] = string(code[1])
		if i == 2 {
			break // never used
		}
		in := client.Invitation{URL: "http://" + n.Addr(), Code: string(code[1])}
		got, err := in.Enrol(t.Context(), nil)
		must(t, err)
		secrets[fmt.Sprint("the token of code ", i)] = got.Token
		if _, err := in.Enrol(t.Context(), nil); err == nil {
			t.Error("a code counts twice")
		}
	}
	// Shown where they do not belong, and after they ended.
	stranger := client.New("http://"+n.Addr(), "Cother", e.Token, 1)
	for _, to := range []string{"tally", "tally/" + e.Token, "tally?access_token=" + e.Token} {
		if _, err := stranger.Retrieve(t.Context(), to); err == nil {
			t.Errorf("%s was served", to)
		}
	}
	_, err = op.API(t.Context(), "DELETE", "/-/credentials/"+e.Key, nil)
	must(t, err)
	if _, err := device.Retrieve(t.Context(), "tally"); err == nil {
		t.Error("a revoked token counts")
	}
	for _, k := range []string{nodeKeyFile, validatorFile, peerKeyFile} {
		b, err := os.ReadFile(filepath.Join(dir, keysDir, k))
		must(t, err)
		secrets["the key "+k] = strings.TrimSpace(string(b))
	}
	for blk, err := range n.App().Log().Blocks(0) {
		must(t, err)
		for i := range blk.Records {
			r := &blk.Records[i]
			find(t, secrets, fmt.Sprintf("entry %d", blk.First+uint64(i)), fmt.Append(nil, r.Entry.Originator, r.Entry.Target, r.Entry.Resource, string(r.Payload)))
		}
	}
	must(t, n.Stop(context.Background()))
	files := 0
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.Name() == keysDir {
				return fs.SkipDir
			}
			return err
		}
		b, err := os.ReadFile(path)
		must(t, err)
		files++
		find(t, secrets, path, b)
		return nil
	}))
	if files < 8 {
		t.Errorf("only %d files were searched", files)
	}
}

// find looks for secrets as they were handed out, without hyphens, and in any case of letters.
func find(t *testing.T, secrets map[string]string, where string, b []byte) {
	for what, s := range secrets {
		for _, form := range []string{s, strings.ReplaceAll(s, "-", ""), strings.TrimPrefix(s, "tally_")} {
			if bytes.Contains(b, []byte(form)) || bytes.Contains(bytes.ToUpper(b), bytes.ToUpper([]byte(form))) {
				t.Errorf("%s is in %s", what, where)
			}
		}
	}
}
