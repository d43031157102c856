package lint

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// deterministic packages run on every validator and must do the same everywhere: no clock, no goroutines, no order
// that differs from run to run, no floating-point arithmetic.
var deterministic = []string{"internal/cse", "internal/identity"}

// anyOrder, in a comment on the line of a loop over a map or the line before, says why its order does not show.
const anyOrder = "in any order"

// clock lists what package time has that is not a function of its arguments.
var clock = []string{
	"After", "AfterFunc", "LoadLocation", "Local", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until",
}

func TestDeterminism(t *testing.T) {
	args := []string{"-export", "-deps"}
	for _, name := range deterministic {
		args = append(args, "./"+name)
	}
	exports := make(map[string]string)
	var check []pkg
	for _, p := range goList(t, nil, args...) {
		exports[p.ImportPath] = p.Export
		if slices.Contains(deterministic, p.name) {
			check = append(check, p)
		}
	}
	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(exports[path])
	})
	for _, p := range check {
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		info := &types.Info{Types: make(map[ast.Expr]types.TypeAndValue), Uses: make(map[*ast.Ident]types.Object)}
		if _, err := (&types.Config{Importer: imp}).Check(p.ImportPath, fset, files, info); err != nil {
			t.Fatal(err)
		}
		for _, problem := range nondeterminism(fset, files, info) {
			t.Error(problem)
		}
	}
}

// nondeterminism lists the places in type-checked files that could differ from node to node.
func nondeterminism(fset *token.FileSet, files []*ast.File, info *types.Info) (problems []string) {
	bad := func(n ast.Node, format string, args ...any) {
		pos := fset.Position(n.Pos())
		problems = append(problems, fmt.Sprintf("%s:%d: %s", filepath.Base(pos.Filename), pos.Line, fmt.Sprintf(format, args...)))
	}
	for _, f := range files {
		excused := excusedLines(fset, f)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				bad(n, "a goroutine: its progress depends on the scheduler")
			case *ast.SelectStmt:
				bad(n, "a select statement: it picks at random")
			case *ast.RangeStmt:
				if _, ok := info.TypeOf(n.X).Underlying().(*types.Map); ok && !excused[fset.Position(n.Pos()).Line] {
					bad(n, "a loop over a map: sort the keys, or say %q in a comment and why that does not show", anyOrder)
				}
			case *ast.BinaryExpr:
				if isFloat(info.TypeOf(n.X)) && isArithmetic(n.Op) {
					bad(n, "floating-point arithmetic: it may round differently on another machine")
				}
			case *ast.Ident:
				if problem := nondeterministic(info.Uses[n]); problem != "" {
					bad(n, "%s", problem)
				}
			}
			return true
		})
	}
	return problems
}

// excusedLines are the lines that a comment with anyOrder is on or directly before.
func excusedLines(fset *token.FileSet, f *ast.File) map[int]bool {
	lines := make(map[int]bool)
	for _, c := range f.Comments {
		if strings.Contains(c.Text(), anyOrder) {
			end := fset.Position(c.End()).Line
			lines[end], lines[end+1] = true, true
		}
	}
	return lines
}

func nondeterministic(o types.Object) string {
	if o == nil || o.Pkg() == nil || o.Parent() != o.Pkg().Scope() {
		return ""
	}
	switch path := o.Pkg().Path(); {
	case path == "time" && slices.Contains(clock, o.Name()):
		return "time." + o.Name() + ": the only time is that of the block"
	case path == "maps" && (o.Name() == "Keys" || o.Name() == "Values" || o.Name() == "All"):
		return "maps." + o.Name() + ": its order differs from run to run"
	}
	return ""
}

func isFloat(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&(types.IsFloat|types.IsComplex) != 0
}

func isArithmetic(op token.Token) bool {
	return op == token.ADD || op == token.SUB || op == token.MUL || op == token.QUO
}

// TestDeterminismFinds shows that the check finds what it is for.
func TestDeterminismFinds(t *testing.T) {
	const source = `package p
func f(m map[int]float64, c chan int) (sum float64) {
	go f(m, c)
	select { case <-c: default: }
	for _, v := range m {
		sum = sum + v
	}
	for k := range m { // in any order: all go
		delete(m, k)
	}
	return sum
}`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	info := &types.Info{Types: make(map[ast.Expr]types.TypeAndValue), Uses: make(map[*ast.Ident]types.Object)}
	if _, err := new(types.Config).Check("p", fset, []*ast.File{file}, info); err != nil {
		t.Fatal(err)
	}
	got := nondeterminism(fset, []*ast.File{file}, info)
	for i, line := range []string{"p.go:3: a goroutine", "p.go:4: a select", "p.go:5: a loop over a map", "p.go:6: floating-point"} {
		if i >= len(got) || !strings.HasPrefix(got[i], line) {
			t.Fatalf("finding %d is not %q: %q", i, line, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d findings, want 4: %q", len(got), got)
	}
}
