package legacy

import (
	"os"
	"strings"
	"testing"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

func TestPackedTablesAreCurrent(t *testing.T) {
	for _, name := range []string{tr098Table, device1Table} {
		text, err := os.ReadFile("tables/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var want, got []Rule
		if err := parseTable(name, string(text), func(r Rule) error { want = append(want, r); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := readTable(name, func(r Rule) error { got = append(got, r); return nil }); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if len(got) != len(want) || got[i] != want[i] {
				t.Fatalf("gz/%s.gz differs from tables/%[1]s: run go generate", name)
			}
		}
	}
}

// models are the data models with the table that maps each.
var models = []struct{ table, model string }{{tr098Table, "igd1.tsv"}, {device1Table, "device1.tsv"}}

// TestRulesHoldToTheModels: every path of a rule is in its data model, every entry of the older one has a rule, no two rules say the same.
func TestRulesHoldToTheModels(t *testing.T) {
	for _, m := range models {
		older := map[string]bool{}
		for _, e := range olderModel(t, m.model) {
			older[e.path] = false
		}
		seen := map[Rule]bool{}
		if err := readTable(m.table, func(r Rule) error {
			if _, ok := older[r.Own]; !ok && r.Own != "" {
				t.Errorf("%s is not in %s", r.Own, m.model)
			}
			older[r.Own] = true
			if r.Target != "" && !inDevice2(r.Target) {
				t.Errorf("%s is not in Device:2", r.Target)
			}
			if (r.Kind == "none") != (r.Target == "") {
				t.Errorf("%s: kind %s, target %q", r.Own, r.Kind, r.Target)
			}
			key := Rule{Own: r.Own, Target: r.Target, Instance: r.Instance}
			if seen[key] {
				t.Errorf("%s becomes %s twice", r.Own, r.Target)
			}
			seen[key] = true
			return nil
		}); err != nil {
			t.Error(err)
		}
		for path, ok := range older {
			if !ok {
				t.Errorf("%s has no rule", path)
			}
		}
	}
}

func inDevice2(path string) bool {
	if owner, _, ok := strings.Cut(path, "()"); ok {
		_, ok = datamodel.LookupCommand(owner + "()")
		return ok
	}
	if strings.HasSuffix(path, ".") {
		_, ok := datamodel.LookupObject(path)
		return ok || path == "Device.Services."
	}
	_, ok := datamodel.LookupParam(path)
	return ok
}

// TestEveryRuleIsServed: what a table promises is shown, and can be written where it says so, by a CPE with everything; or it says why not.
func TestEveryRuleIsServed(t *testing.T) {
	show, write := map[string]bool{}, map[string]bool{}
	for _, w := range worlds {
		s := project(w.m(), w.top(t))
		for path := range s.value {
			g := w.name[:6] + agent.GenericPath(path)
			show[g] = true
			write[g] = write[g] || s.settable[path]
			for up := agent.ParentPath(agent.GenericPath(path)); up != ""; up = agent.ParentPath(up) {
				show[w.name[:6]+up] = true
			}
		}
	}
	served := 0
	for i, m := range models {
		world := []string{"TR-098", "Device"}[i]
		if err := readTable(m.table, func(r Rule) error {
			if r.Target == "" || r.Kind == "command" || strings.Contains(r.Target, "()") {
				return nil
			}
			if name, ok := strings.CutSuffix(r.Target, countSuffix); ok {
				if _, counted := datamodel.LookupParam(name + countSuffix); counted {
					return nil // rows of Device:2 are counted where they are
				}
			}
			_, unusual := covered(unusedSources, r.Own)
			why, ok := covered(unshown, r.Target)
			switch {
			case show[world+r.Target]:
				served++
			case !ok && !unusual:
				t.Errorf("%s: %s is not shown (%s %q, %s)", world, r.Target, r.Kind, r.Transform, r.Own)
			}
			_, not := covered(unwritten, r.Target)
			param, _ := datamodel.LookupParam(r.Target)
			if strings.Contains(r.Direction, "w") && !strings.HasSuffix(r.Target, ".") && param.Writable && show[world+r.Target] && !write[world+r.Target] && !not && why == "" {
				t.Errorf("%s: %s cannot be written (%s %q, %s)", world, r.Target, r.Kind, r.Transform, r.Own)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	for _, o := range unshown {
		if show["TR-098"+o.target] || show["Device"+o.target] {
			t.Errorf("%s is shown, though: %s", o.target, o.why)
		}
	}
	t.Log(served, "rules served")
}
