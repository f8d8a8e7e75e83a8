package legacy

import "strings"

// Interface is the argument of a test by which a Controller chooses among several of the CPE's: TR-098 has one of each in the WANDevice or WANConnectionDevice
// that it is over.
const Interface = "Interface"

// Diagnostics gives the CPE's object behind a diagnostics object of Device:2, "" where there is none, and what its parameters are called there whose names
// differ: Interface is "" where it has chosen the object. over is that argument; none is enough where the CPE has the object once.
func (m *Map) Diagnostics(root Node, object, over string) (own string, params map[string]string) {
	params = map[string]string{}
	generic := ""
	for _, r := range m.sources[object] {
		if !r.object {
			continue
		}
		generic, own = r.source, r.source
		if r.chosen {
			own, params[Interface] = m.chosen(root, r, over), ""
		}
	}
	for _, target := range m.below(object) {
		for _, r := range m.sources[target] {
			if source, ok := strings.CutPrefix(r.source, generic); ok && generic != "" && !r.object && source != target[len(object):] {
				params[target[len(object):]] = source
			}
		}
	}
	return own, params
}

// chosen is the one of a rule's objects that is over an interface of Device:2, "" where none is.
func (m *Map) chosen(root Node, r *rule, over string) string {
	row := ""
	if over != "" {
		if row = m.Row(strings.TrimSuffix(over, ".") + "."); row == "" {
			return ""
		}
	}
	found := ""
	for _, l := range all(root, strings.TrimSuffix(strings.TrimPrefix(r.source, m.root), ".")) {
		own := m.root + l.path + "."
		switch in := strings.TrimSuffix(own, r.from[len(r.from)-1][1:]); {
		case !strings.HasPrefix(row, in) && over != "":
		case found != "":
			return "" // it is not said which
		default:
			found = own
		}
	}
	return found
}
