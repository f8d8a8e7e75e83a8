// Package proof checks the tables of this repository that name the test which shows that a row holds: the test must be there, and the page made
// of the table must be current.
package proof

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the pages that are made of tables")

// Tests are the test functions of a package, by name, each with the file that it is in.
type Tests map[string]*ast.File

// Of finds the test functions of the package in a directory.
func Of(t *testing.T, dir string) Tests {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := Tests{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				found[fn.Name.Name] = f
			}
		}
	}
	return found
}

// Has says whether there is a test, by its name or by "TestName/subtest". A subtest is one whose name is written in the file, or any where the
// test runs one for each row of a table, by the field that names it: t.Run(r.command, …).
func (ts Tests) Has(name string) bool {
	name, sub, deep := strings.Cut(name, "/")
	f := ts[name]
	if f == nil || !deep {
		return f != nil
	}
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return !strings.HasPrefix(n.Name.Name, "Test") || n.Name.Name == name
		case *ast.BasicLit:
			text, err := strconv.Unquote(n.Value)
			found = found || n.Kind == token.STRING && err == nil && text == sub
		case *ast.CallExpr:
			found = found || byField(n)
		}
		return !found
	})
	return found
}

// byField says that a call is t.Run(row.field, …).
func byField(call *ast.CallExpr) bool {
	run, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || run.Sel.Name != "Run" || len(call.Args) != 2 {
		return false
	}
	_, ok = call.Args[0].(*ast.SelectorExpr)
	return ok
}

// Page fails unless a file holds a text; with the flag -update it is written.
func Page(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Errorf("%s is not current: run with -update", filepath.Base(file))
	}
}
