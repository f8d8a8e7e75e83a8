package conformance_test

import (
	_ "embed"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed cases.txt
var casesText string

var update = flag.Bool("update", false, "write CONFORMANCE.md")

const (
	repository = "../.."
	tableFile  = repository + "/CONFORMANCE.md"
	planCases  = 230 // of TP-469 1.4.0
)

// tests lists the test functions of a package of the repository.
func tests(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, pkg, "*_test.go"))
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

// TestConformanceTable: the table lists every case, is current, and names no test that there is not.
func TestConformanceTable(t *testing.T) {
	const here = "translate/conformance"
	own := tests(t, here)
	used := map[string]bool{}
	var rows strings.Builder
	var all, passes, open, out int
	for line := range strings.SplitSeq(strings.TrimSpace(casesText), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "|")
		if len(f) != 4 {
			t.Fatalf("bad line %q", line)
		}
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		number, title, where, tag := f[0], f[1], f[2], f[3]
		all++
		prefix := "TestTP469_" + strings.ReplaceAll(number, ".", "_") + "_"
		var proof []string
		for name := range own {
			if strings.HasPrefix(name, prefix) {
				proof = append(proof, name)
				used[name] = true
			}
		}
		pkg, name, elsewhere := strings.Cut(strings.TrimPrefix(where, "in "), " ")
		elsewhere = elsewhere && strings.HasPrefix(where, "in ")
		var result, by string
		switch {
		case elsewhere && len(proof) == 0:
			if !tests(t, pkg)[name] {
				t.Errorf("%s: there is no %s in %s", number, name, pkg)
			}
			result, by = "passes", fmt.Sprintf("`%s` in %s", name, pkg)
			passes++
		case where == "" && len(proof) == 1:
			result, by = "passes", "`"+proof[0]+"`"
			passes++
		case where == "" || elsewhere || len(proof) > 1 || len(proof) == 1 && !strings.Contains(where, proof[0]):
			t.Errorf("%s: %q and %v", number, where, proof)
		default:
			result, by = "left out", where
			if strings.HasPrefix(where, "open") {
				result = "open"
				open++
			} else {
				out++
			}
			if tag != "" {
				by += ". Tag: “" + tag + "”"
			}
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", number, title, result, by)
	}
	for name := range own {
		if !used[name] && strings.HasPrefix(name, "TestTP469") { // others are beside the plan
			t.Errorf("%s is in no row", name)
		}
	}
	if all != planCases {
		t.Errorf("%d cases, want %d", all, planCases)
	}
	want := fmt.Sprintf(`# Conformance

The cases of the Broadband Forum's test plan for USP Agents, TP-469 1.4.0, run against an Agent in front of a simulated CPE over real
WebSocket. Tests without a package are in %s. Written by %s; do not edit.

%d cases: %d pass, %d are open, %d are left out as not applicable.

| case | what | result | test, or reason |
|---|---|---|---|
%s`, here, "`go test ./"+here+" -run TestConformanceTable -update`", all, passes, open, out, rows.String())
	if *update {
		if err := os.WriteFile(tableFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("CONFORMANCE.md is not current: run with -update")
	}
}
