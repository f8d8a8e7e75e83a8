package translate

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"isthmus/translate/datamodel"
	"isthmus/translate/internal/proof"
)

//go:embed commands.txt
var commandsText string

const (
	allCommands = 182
	allEvents   = 53
	allKinds    = 5 // of notification that are no events
)

// served is a line of COMMANDS.md.
type served struct{ path, class, by, proof string }

// proofs reads commands.txt.
func proofs(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(commandsText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		path, by, ok := strings.Cut(strings.TrimSpace(line), " | ")
		if _, twice := out[path]; !ok || twice {
			t.Fatalf("bad line %q", line)
		}
		out[path] = by
	}
	return out
}

// eventRow is one of events-to-cwmp.tsv.
type eventRow struct{ event, class, source string }

func eventRows(t *testing.T) (rows []eventRow) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("datamodel", "tables", "events-to-cwmp.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if c := strings.Split(line, "\t"); strings.HasPrefix(c[0], "Device.") || strings.HasPrefix(c[0], "(") {
			rows = append(rows, eventRow{c[0], c[2], c[3]})
		}
	}
	return rows
}

// def is what the tables say of an event.
func (r eventRow) def() (e datamodel.Event) {
	for _, e := range datamodel.Events(objectOf(r.event)) {
		if e.Name == r.event[len(objectOf(r.event)):] {
			return e
		}
	}
	return e
}

// servedBy says what of CWMP a command comes to.
func (r row) servedBy() string {
	switch r.class {
	case "agent":
		return "the Agent"
	case "rpc":
		return "RPC " + r.target
	case "diagnostics":
		return "`" + r.target + "`, run by its DiagnosticsState"
	}
	return "`" + r.target + "` is written" // trigger-param, emulate
}

// servedBy says what of CWMP an event comes from.
func (r eventRow) servedBy() string {
	switch e := r.def(); {
	case len(e.Triggers) > 0:
		return "change of " + strings.Join(e.Triggers, ", ")
	case e.Rows != "":
		return "new row of " + e.Rows
	}
	return strings.ReplaceAll(r.source, "|", "\\|")
}

// TestCommandsTable: COMMANDS.md lists every command, event and kind of notification there is, is current, names no test that there is not, and has a
// test for whatever the supported data model of a CPE that has everything lists, and a reason for what it does not.
func TestCommandsTable(t *testing.T) {
	w := newWorld(t, nil)
	_, id := w.boot(withEveryEvent(t))
	text := proofs(t)
	used := map[string]bool{}
	of := func(path, class string) string {
		for _, key := range []string{path, class} {
			if by, ok := text[key]; ok {
				used[key] = true
				return by
			}
		}
		return ""
	}
	var commands, events []served
	for _, r := range commandRows(t) {
		s := served{path: r.command, class: r.class, by: r.servedBy()}
		switch listed := w.listed(id, r.command); {
		case listed:
			s.proof = of(r.command, "class "+r.class)
		case strings.HasPrefix(r.command, "Device.Services."):
			s.proof = "no: the models of services are not in this version"
		case r.class == "none":
			s.proof = "no: CWMP has nothing like it"
		case unserved[r.command] != "":
			s.proof = "no: " + unserved[r.command]
		default:
			s.proof = of(r.command, "class "+r.class)
			if !strings.HasPrefix(s.proof, "open: ") {
				t.Errorf("%s is not offered, and without a reason", r.command)
			}
		}
		commands = append(commands, s)
	}
	for _, r := range eventRows(t) {
		s := served{path: r.event, class: r.class, by: r.servedBy()}
		kind := strings.HasPrefix(r.event, "(")
		if s.proof = of(r.event, "event class "+r.class); s.proof == "" && r.class == "none" {
			s.proof = "no: CWMP has nothing like it"
		}
		if listed := kind || w.listed(id, r.event); listed == strings.HasPrefix(s.proof, "no: ") {
			t.Errorf("%s offered: %v, but %q", r.event, listed, s.proof)
		}
		events = append(events, s)
	}
	if len(commands) != allCommands || len(events) != allEvents+allKinds {
		t.Errorf("%d commands and %d events", len(commands), len(events))
	}
	for key := range text {
		if !used[key] {
			t.Errorf("%q is of no row", key)
		}
	}
	proof.Page(t, "COMMANDS.md", fmt.Sprintf(`# Commands and events

What of CWMP serves each command and event of Device:2, and each kind of notification, and the tests that prove it. What is offered here is in the
supported data model of a CPE that has the object, the parameter or the RPC; the rest is refused with 7026. Tests without a package are in translate, and
/* is the subtest of that name. Written by %s; do not edit.

## Commands

%s
## Events and notifications

%s`, "`go test ./translate -run TestCommandsTable -update`", page(t, commands), page(t, events)))
}

// page makes a table of what is served, and checks that its tests are there.
func page(t *testing.T, all []served) string {
	t.Helper()
	packages := map[string]proof.Tests{}
	var rows strings.Builder
	var tested, open int
	for _, s := range all {
		reason, refused := strings.CutPrefix(s.proof, "no: ")
		switch {
		case refused:
			s.by, s.proof = "refused", reason
		case strings.HasPrefix(s.proof, "open"):
			open++
		default:
			tested++
			var names []string
			for one := range strings.SplitSeq(s.proof, ", ") {
				pkg, name, elsewhere := strings.Cut(one, " ")
				if !elsewhere {
					pkg, name = "", one
				}
				if packages[pkg] == nil {
					packages[pkg] = proof.Of(t, directoryOf(pkg))
				}
				if !packages[pkg].Has(strings.Replace(name, "*", s.path, 1)) {
					t.Errorf("%s: there is no test %q", s.path, one)
				}
				names = append(names, strings.TrimSuffix("`"+name+"` in "+pkg, " in "))
			}
			s.proof = strings.Join(names, ", ")
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", s.path, s.class, s.by, s.proof)
	}
	return fmt.Sprintf("%d: %d are served and tested, %d are open, %d are refused.\n\n| path | class | served by | test, or reason |\n|---|---|---|---|\n%s",
		len(all), tested, open, len(all)-tested-open, rows.String())
}

// directoryOf is where a package is that commands.txt names.
func directoryOf(pkg string) string {
	if pkg == "" || pkg == "conformance" {
		return filepath.Join(".", pkg)
	}
	return filepath.Join("..", pkg)
}
