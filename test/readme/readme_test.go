//go:build scenario

// Package readme runs what README.md tells people to paste.
package readme

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const root = "../.." // of the repository

// address is what the quick start has its node listen on; the test takes a free one instead.
const address = "127.0.0.1:7381"

// build is the one command of the quick start that is not run in an empty folder.
const build = "go build -o tally ./cmd/tally\n"

// TestQuickStart runs the commands of the quick start as they stand, in an empty folder, stopping at the first that
// fails.
func TestQuickStart(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the quick start needs %s", tool)
		}
	}
	dir := t.TempDir()
	script := "set -eum\ntrap 'kill %1 2>/dev/null || :' EXIT\n" + quickStart(t)
	script = strings.ReplaceAll(script, address, freeAddress(t))

	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "tally"), "./cmd/tally")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	out := run(t, dir, script)
	for _, want := range []string{
		`"rn":"thermo"`, `"con":"21.5"`, "VALID.", "NOT VALID.", "payload    not shown: erased", "All is well: ", "Node ready: ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if strings.Contains(out, "m2m:dbg") {
		t.Error("a request was refused")
	}
	if t.Failed() {
		t.Log(out)
	}
}

// quickStart takes the commands out of README.md, without the build.
func quickStart(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllSubmatch(readme, -1) {
		script.Write(m[1])
	}
	text, found := strings.CutPrefix(script.String(), build)
	if !found {
		t.Fatalf("the quick start does not begin with %q", build)
	}
	if !strings.Contains(text, address) {
		t.Fatalf("the quick start does not use %s", address)
	}
	return text
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func run(t *testing.T, dir, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	return out.String()
}
