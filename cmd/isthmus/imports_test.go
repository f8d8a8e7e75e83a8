package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath, Doc string
	Imports, Deps   []string
	GoFiles         []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,Deps,GoFiles", "isthmus/...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// under says whether a package is a directory's or below it.
func under(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// TestImports keeps the packages apart as ARCHITECTURE.md says: each of the libraries is fit to be published alone.
func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, dep := range p.Deps {
			if !under(dep, "isthmus") {
				continue
			}
			for _, library := range []string{"isthmus/cwmp", "isthmus/usp", "isthmus/store"} {
				if under(p.ImportPath, library) && !under(dep, library) {
					t.Errorf("%s depends on %s: cwmp, usp and store know nothing of each other", p.ImportPath, dep)
				}
			}
			if under(p.ImportPath, "isthmus/translate") && under(dep, "isthmus/cmd") {
				t.Errorf("%s depends on %s", p.ImportPath, dep)
			}
			transport := strings.HasPrefix(dep, "isthmus/usp/mtp/")
			if (transport || dep == "isthmus/store/badger") && dep != p.ImportPath && !under(p.ImportPath, "isthmus/cmd") && !allowed(p.ImportPath, dep) {
				t.Errorf("%s depends on %s: only cmd and tests may", p.ImportPath, dep)
			}
		}
	}
}

// allowed lists the exceptions: the small Controller is a peer with transports of its own, and transports share what they have in common.
func allowed(path, dep string) bool {
	return path == "isthmus/usp/controller" || strings.HasPrefix(path, "isthmus/usp/mtp/")
}

// TestImporters keeps these in as few packages as there can be: XML is what CPE send, and what data models are written in. The MQTT libraries are
// peers of tests, the broker the demonstration's, too.
func TestImporters(t *testing.T) {
	most := map[string]int{
		"github.com/gorilla/websocket": 1, "github.com/dgraph-io/badger/v4": 1, "github.com/beevik/etree": 2,
		"github.com/mochi-mqtt/server/v2": 1, "github.com/eclipse/paho.golang": 0, "github.com/eclipse/paho.mqtt.golang": 0,
		"go.opentelemetry.io/otel": 1,
	}
	importers := map[string][]string{}
	for _, p := range packages(t) {
		for module := range most {
			if slices.ContainsFunc(p.Imports, func(i string) bool { return under(i, module) }) {
				importers[module] = append(importers[module], p.ImportPath)
			}
		}
	}
	for module, want := range most {
		by := importers[module]
		if len(by) != want {
			t.Errorf("%s is imported by %d packages, want %d: %v", module, len(by), want, by)
		}
	}
}

func TestEveryPackageHasADocComment(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
