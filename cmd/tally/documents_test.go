package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// inDocuments is a command line at the begin of a line or of a piece of code within one; inSources is what a message tells
// the user to run.
var (
	inDocuments = regexp.MustCompile("(?m)(?:^ {0,4}|`)(?:\\./)?tally ([^`\n]*)")
	inSources   = regexp.MustCompile("tally ((?:demo|network|lab|node|device|rights|status|events|proof|verify|audit|erase|fsck|bench|propose|proposals|approve)\\b[^\"`\n]*)")
)

// TestCommandsThatAreNamed checks that every command and flag that a document or a message names is there.
func TestCommandsThatAreNamed(t *testing.T) {
	parser, err := kong.New(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join("..", "..")
	checked := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		pattern := inDocuments
		switch {
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			return nil
		case strings.HasSuffix(path, ".go"):
			pattern = inSources
		case !strings.HasSuffix(path, ".md"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		joined := strings.ReplaceAll(string(text), "\\\n", " ")
		for _, m := range pattern.FindAllStringSubmatch(joined, -1) {
			checked++
			if wrong := unknown(parser.Model.Node, m[1]); wrong != "" {
				t.Errorf("%s: tally %s: there is no %s", path, m[1], wrong)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 50 {
		t.Errorf("only %d command lines were found", checked)
	}
}

// unknown returns the first command or flag of a command line that is not there, or "".
func unknown(at *kong.Node, line string) string {
	line, _, _ = strings.Cut(strings.ReplaceAll(line, "%s", ""), " #")
	if i := strings.IndexAny(line, ";|&<>()"); i >= 0 {
		line = line[:i]
	}
	words := strings.Fields(line)
	for len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		next := child(at, strings.TrimRight(words[0], ".,:"))
		if next == nil {
			break
		}
		at, words = next, words[1:]
	}
	if len(at.Children) > 0 && len(words) > 0 && at.Parent == nil && !strings.HasPrefix(words[0], "-") {
		return "command " + words[0]
	}
	flags := map[string]bool{"--help": true}
	for _, group := range at.AllFlags(false) {
		for _, f := range group {
			flags["--"+f.Name] = true
		}
	}
	for _, w := range words {
		name, _, _ := strings.Cut(strings.TrimRight(w, ".,:"), "=")
		if strings.HasPrefix(name, "--") && !flags[name] {
			return "flag " + name
		}
	}
	return ""
}

func child(at *kong.Node, name string) *kong.Node {
	for _, c := range at.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}
