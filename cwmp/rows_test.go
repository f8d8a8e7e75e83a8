package cwmp

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed rows.txt
var rowsText string

const (
	rowsFile = "QUIRKS.md"
	allRows  = 23 + 12 + 24 + 20 + 29 + 13 // of H, A, X, S, R and N
)

// testsOf lists the test functions of a package by its path in the repository.
func testsOf(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				found[fn.Name.Name] = true
			}
		}
	}
	return found
}

// TestQuirksTable: QUIRKS.md lists every row, is current, and names no test that there is not.
func TestQuirksTable(t *testing.T) {
	packages := map[string]map[string]bool{}
	exists := func(pkg, name string) bool {
		if packages[pkg] == nil {
			packages[pkg] = testsOf(t, pkg)
		}
		return packages[pkg][name]
	}
	var rows strings.Builder
	var all, tested, open int
	for line := range strings.SplitSeq(strings.TrimSpace(rowsText), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, " | ")
		if len(f) != 3 {
			t.Fatalf("bad line %q", line)
		}
		all++
		proof := f[2]
		switch {
		case strings.HasPrefix(proof, "open"):
			open++
		case !strings.HasPrefix(proof, "no: "):
			tested++
			var names []string
			for one := range strings.SplitSeq(proof, ", ") {
				pkg, name, elsewhere := strings.Cut(one, " ")
				if !elsewhere {
					pkg, name = "cwmp", one
				}
				if !exists(pkg, name) {
					t.Errorf("%s: there is no %s in %s", f[0], name, pkg)
				}
				names = append(names, "`"+name+"` in "+pkg)
			}
			proof = strings.Join(names, ", ")
		}
		fmt.Fprintf(&rows, "| %s | %s | %s |\n", f[0], f[1], proof)
	}
	if all != allRows {
		t.Errorf("%d rows, want %d", all, allRows)
	}
	want := fmt.Sprintf(`# Quirks

What real CPE do, and the test that shows that it does no harm. H is HTTP, A authentication, X is XML and SOAP, S sessions, R the RPCs and the data
model, N Connection Requests. Written by %s; do not edit.

%d rows: %d are tested, %d are open, for %d nothing has to be done.

| row | a CPE | test, or reason |
|---|---|---|
%s`, "`go test ./cwmp -run TestQuirksTable -update`", all, tested, open, all-tested-open, rows.String())
	if *update {
		if err := os.WriteFile(rowsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(rowsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("QUIRKS.md is not current: run with -update")
	}
}
