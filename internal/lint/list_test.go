package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	module = "github.com/tallystick/tallystick"
	root   = "../.." // of the repository; tests run in their package's folder
)

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath, Dir, Export            string
	GoFiles, CgoFiles                  []string
	Imports, TestImports, XTestImports []string
	Error                              *struct{ Err string }

	name string // import path relative to the module
}

func goList(t *testing.T, env []string, args ...string) []pkg {
	t.Helper()
	fields := "-json=ImportPath,Dir,Export,GoFiles,CgoFiles,Imports,TestImports,XTestImports,Error"
	cmd := exec.Command("go", append([]string{"list", fields}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	var list []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("read what go list says: %v", err)
		}
		p.name = strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		list = append(list, p)
	}
}

// modulePackages lists the packages of this module, those that only a build tag shows included.
func modulePackages(t *testing.T) []pkg { return goList(t, nil, "-e", "-tags=scenario", "./...") }

// eachFile calls f with every file of the repository that a person wrote: path relative to the root, and contents.
func eachFile(t *testing.T, match func(path string) bool, f func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "bin", "testdata", "data", "tally-data":
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil || !d.Type().IsRegular() || !match(rel) {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil {
			f(filepath.ToSlash(rel), b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
