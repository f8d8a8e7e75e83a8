package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// TestLab loads the compose file as compose does, and holds it to deploy/lab/run, which CI runs: both start the same.
func TestLab(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../lab/compose.yaml"}, cli.WithConsistency(true), cli.WithInterpolation(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("../lab/run")
	if err != nil {
		t.Fatal(err)
	}
	// What the script has in other words.
	same := strings.NewReplacer("/deploy/lab/", "$lab/", "ops::00D09E-Simulated-000001", "$agent", "--count 50", "--count $fleet", "/prometheus ", "$work/prometheus ")
	text := strings.NewReplacer(`"`, "").Replace(string(script))
	for _, name := range []string{"isthmus", "fleet", "controller", "mosquitto", "prometheus"} {
		s, ok := project.Services[name]
		if !ok {
			t.Errorf("there is no %s", name)
			continue
		}
		if command := same.Replace(strings.Join(s.Command, " ")); !strings.Contains(text, command) {
			t.Errorf("deploy/lab/run does not start %s with %s", name, command)
		}
	}
	for name, s := range project.Services {
		if s.NetworkMode != "host" {
			t.Errorf("%s has a network of its own: its files name loopback addresses", name)
		}
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if strings.HasPrefix(s.Image, "isthmus") && (!s.ReadOnly || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL") {
			t.Errorf("%s may do more than it needs", name)
		}
	}
	if boards, err := filepath.Glob("../grafana/*.json"); err != nil || len(boards) == 0 {
		t.Errorf("Grafana is given no dashboard: %v", err)
	}
	if len(project.Services) != 6 {
		t.Errorf("%d services, want 6", len(project.Services))
	}
}
