package check

import (
	"encoding/json"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
)

type datasource struct{ Type, UID string }

type panel struct {
	ID          int
	Type, Title string
	Datasource  datasource
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct {
		RefID, Expr string
		Datasource  datasource
	}
}

// TestDashboard: its parts are such as Grafana reads, nothing lies over anything, and every query parses and asks for metrics that there are.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../grafana/isthmus.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID, Title    string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type string }
		}
		Panels []panel
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID != "isthmus" || d.Title == "" || d.SchemaVersion < 36 || len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" {
		t.Errorf("uid %q, title %q, schema %d, variables %v", d.UID, d.Title, d.SchemaVersion, d.Templating.List)
	}
	names := metrics(t)
	names["ALERTS"] = true
	groups, errs := rulefmt.ParseFile("../prometheus-rules.yml", false, model.LegacyValidation, queries, slog.New(slog.DiscardHandler))
	if errs != nil {
		t.Fatal(errs)
	}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			names[r.Record] = true
		}
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", "isthmus", "$instance", ".*")
	var rows []string
	var ids []int
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if slices.Contains(ids, p.ID) {
			t.Errorf("%s: panel %d is there twice", p.Title, p.ID)
		}
		ids = append(ids, p.ID)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies over %q or past the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%s: %d queries of %q", p.Title, len(p.Targets), p.Datasource.UID)
		}
		for _, q := range p.Targets {
			if q.Datasource != p.Datasource || q.RefID == "" {
				t.Errorf("%s: query %q of %v", p.Title, q.RefID, q.Datasource)
			}
			known(t, names, p.Title, variables.Replace(q.Expr))
		}
	}
	want := []string{"Overview", "CWMP sessions", "Connection Requests", "USP requests", "Cache", "Notifications", "MTPs", "Storms", "Store", "Process"}
	if !slices.Equal(rows, want) {
		t.Errorf("rows %q", rows)
	}
}
