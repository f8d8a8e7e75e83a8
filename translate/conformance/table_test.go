package conformance_test

import (
	_ "embed"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"isthmus/translate/internal/proof"
)

//go:embed cases.txt
var casesText string

const (
	repository = "../.."
	tableFile  = repository + "/CONFORMANCE.md"
	planCases  = 230 // of TP-469 1.4.0
)

// TestConformanceTable: the table lists every case, is current, and names no test that there is not.
func TestConformanceTable(t *testing.T) {
	const here = "translate/conformance"
	own := proof.Of(t, ".")
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
		var found []string
		for name := range own {
			if strings.HasPrefix(name, prefix) {
				found = append(found, name)
				used[name] = true
			}
		}
		pkg, name, elsewhere := strings.Cut(strings.TrimPrefix(where, "in "), " ")
		elsewhere = elsewhere && strings.HasPrefix(where, "in ")
		var result, by string
		switch {
		case elsewhere && len(found) == 0:
			if !proof.Of(t, filepath.Join(repository, pkg)).Has(name) {
				t.Errorf("%s: there is no %s in %s", number, name, pkg)
			}
			result, by = "passes", fmt.Sprintf("`%s` in %s", name, pkg)
			passes++
		case where == "" && len(found) == 1:
			result, by = "passes", "`"+found[0]+"`"
			passes++
		case where == "" || elsewhere || len(found) > 1 || len(found) == 1 && !strings.Contains(where, found[0]):
			t.Errorf("%s: %q and %v", number, where, found)
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
WebSocket, an MQTT broker and a STOMP server. These two are in the process; `+"`make test-brokers`"+` runs the same cases at Mosquitto
(`+"`TestBrokerMQTT`"+`) and RabbitMQ (`+"`TestBrokerSTOMP`"+`). Tests without a package are in %s. Written by %s; do not edit.

%d cases: %d pass, %d are open, %d are left out as not applicable.

| case | what | result | test, or reason |
|---|---|---|---|
%s`, here, "`go test ./"+here+" -run TestConformanceTable -update`", all, passes, open, out, rows.String())
	proof.Page(t, tableFile, want)
}
