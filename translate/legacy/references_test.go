package legacy

import (
	"strings"
	"testing"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// TestReferences: what a reference names is there.
func TestReferences(t *testing.T) {
	for _, w := range worlds {
		is := project(w.m(), w.top(t)).value
		objects := map[string]bool{}
		for path := range is {
			for up := path; up != ""; up = agent.ParentPath(up) {
				objects[up] = true
			}
		}
		for path, value := range is {
			if p, ok := datamodel.LookupParam(agent.GenericPath(path)); !ok || p.Reference == datamodel.NoReference {
				continue
			}
			for item := range strings.SplitSeq(value, ",") {
				if item != "" && !objects[item+"."] && !objects[item] {
					t.Errorf("%s: %s refers to %s, which is not there", w.name, path, item)
				}
			}
		}
	}
}
