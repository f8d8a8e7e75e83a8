package agent

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestRules: RULES.md names no test that there is not.
func TestRules(t *testing.T) {
	found := map[string]bool{}
	for _, dir := range []string{".", "..", "../../translate", "../../translate/datamodel", "../../translate/conformance"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func ((Test|Fuzz)\w+)\(`).FindAllSubmatch(text, -1) {
				found[string(m[1])] = true
			}
		}
	}
	text, err := os.ReadFile("RULES.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`((Test|Fuzz)\\w+)`").FindAllSubmatch(text, -1)
	if len(names) < 80 {
		t.Errorf("only %d tests are named", len(names))
	}
	for _, m := range names {
		if !found[string(m[1])] {
			t.Errorf("there is no %s", m[1])
		}
	}
}
