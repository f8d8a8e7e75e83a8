package check

import (
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

var queries = parser.NewParser(parser.Options{})

// metrics are the names in METRICS.md, which is made from the code; histograms with their series.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{"up": true}
	for _, m := range regexp.MustCompile("(?m)^\\| `(isthmus_[a-z0-9_]+)` \\| ([a-z]+) ").FindAllStringSubmatch(string(text), -1) {
		names[m[1]] = true
		if m[2] == "histogram" {
			names[m[1]+"_bucket"], names[m[1]+"_sum"], names[m[1]+"_count"] = true, true, true
		}
	}
	return names
}

// known fails the test where a query does not parse or asks for what nothing gives.
func known(t *testing.T, names map[string]bool, where, query string) {
	t.Helper()
	e, err := queries.ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok && !names[s.Name] && !strings.HasPrefix(s.Name, "go_") && !strings.HasPrefix(s.Name, "process_") {
			t.Errorf("%s: there is no metric %s", where, s.Name)
		}
		return nil
	})
}

// fires finds the alerts that promtool's tests expect to fire.
var fires = regexp.MustCompile(`(?m)^ +alertname: (\w+)\n +exp_alerts:\n`)

// TestRules: the rules are valid and ask for metrics that there are, and each alert has its section in the runbook and a test in which it fires, and no
// section is of none.
func TestRules(t *testing.T) {
	groups, errs := rulefmt.ParseFile("../prometheus-rules.yml", false, model.LegacyValidation, queries, slog.New(slog.DiscardHandler))
	if errs != nil {
		t.Fatal(errs)
	}
	book, err := os.ReadFile("../RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("../prometheus-rules.test.yml")
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]bool{}
	for _, m := range fires.FindAllStringSubmatch(string(tests), -1) {
		tested[m[1]] = true
	}
	var sections []string
	for _, part := range strings.Split(string(book), "\n## ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		sections = append(sections, name)
		for _, word := range []string{"**Means**", "**Causes**", "**Look**", "**Do**"} {
			if !strings.Contains(text, word) {
				t.Errorf("RUNBOOK.md: %s: no %s", name, word)
			}
		}
	}
	for _, m := range regexp.MustCompile(`\]\(#([a-z0-9]+)\)`).FindAllStringSubmatch(string(book), -1) {
		if !slices.ContainsFunc(sections, func(s string) bool { return strings.ToLower(s) == m[1] }) {
			t.Errorf("RUNBOOK.md: link to #%s, which is not there", m[1])
		}
	}
	names := metrics(t)
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				names[r.Record] = true
			}
		}
	}
	var alerts []string
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			known(t, names, r.Record+r.Alert, r.Expr)
			if r.Alert == "" {
				continue
			}
			alerts = append(alerts, r.Alert)
			if !tested[r.Alert] {
				t.Errorf("%s: prometheus-rules.test.yml has no test in which it fires", r.Alert)
			}
			if want := "RUNBOOK.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want || !slices.Contains(sections, r.Alert) {
				t.Errorf("%s: runbook %q, want %q and a section", r.Alert, r.Annotations["runbook"], want)
			}
			if s := r.Labels["severity"]; s != "warning" && s != "critical" || r.Annotations["summary"] == "" {
				t.Errorf("%s: severity %q, summary %q", r.Alert, s, r.Annotations["summary"])
			}
		}
	}
	for _, s := range sections {
		if !slices.Contains(alerts, s) {
			t.Errorf("RUNBOOK.md: %s is no alert", s)
		}
	}
	// What the book names is there, too.
	for _, name := range regexp.MustCompile(`isthmus_[a-z0-9_]+`).FindAllString(string(book), -1) {
		if !names[name] {
			t.Errorf("RUNBOOK.md: there is no metric %s", name)
		}
	}
}
