package translate

import (
	"strings"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// referenceForm gives the value of a parameter that refers to objects in the form that the CPE itself uses there: many end references in a dot, USP
// does not. Where the CPE has shown none it stays as it is. d.mu is held.
func (d *Device) referenceForm(path, value string) string {
	if value == "" {
		return value
	}
	generic := agent.GenericPath(path)
	p, ok := datamodel.LookupParam(generic)
	if !ok || p.Reference == datamodel.NoReference {
		return value
	}
	dotted, known := false, false
	d.tree.walk(strings.ReplaceAll(generic, "{i}", "*"), 0, func(_ string, n *node) {
		if n.param && n.value != "" && !known {
			dotted, known = strings.HasSuffix(n.value, "."), true
		}
	})
	if !known {
		return value
	}
	items := strings.Split(value, ",")
	for i, item := range items {
		item = strings.TrimSpace(item)
		bare := strings.TrimSuffix(item, ".")
		if last := bare[strings.LastIndexByte(bare, '.')+1:]; !agent.IsInstance(last) {
			continue // a parameter, or nothing of this kind
		}
		if items[i] = bare; dotted {
			items[i] += "."
		}
	}
	return strings.Join(items, ",")
}
