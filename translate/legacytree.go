package translate

import (
	"slices"
	"strings"

	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// withLegacyTree is a view of a CPE of an older data model that also shows the CPE's tree as it is, in its own names, below agent.LegacyRoot. What the
// management of the CPE hangs on is left out there, too. Being below "Device.", it is shown to who asks for it, not to who asks for all.
type withLegacyTree struct {
	View
	root string
}

// own is the CPE's name behind one of the legacy tree.
func (v withLegacyTree) own(path string) (own string, ok bool) {
	own, ok = strings.CutPrefix(path, agent.LegacyRoot)
	return own, ok && strings.HasPrefix(own, v.root) && !v.hidden(own)
}

// hidden says whether one of the CPE's own names is of its management.
func (v withLegacyTree) hidden(own string) bool {
	rest, ok := strings.CutPrefix(own, v.root)
	return !ok || datamodel.Hidden(deviceRoot+rest)
}

// query turns a query of the legacy tree into one of the CPE's own; false where nothing is to be asked for.
func (v withLegacyTree) query(q agent.Query) (agent.Query, bool) {
	if q.Path == agent.LegacyRoot {
		q.Path = v.root
		if q.Depth == 1 {
			return q, false
		}
		q.Depth = max(q.Depth-1, 0)
		return q, true
	}
	own, ok := v.own(q.Path)
	q.Path = own
	return q, ok
}

func (v withLegacyTree) Needs(q agent.Query) []need {
	if !agent.Legacy(q.Path) {
		return v.View.Needs(q)
	}
	q, ok := v.query(q)
	if !ok {
		return nil
	}
	return []need{{path: q.Path, depth: q.Depth, rowsOnly: q.RowsOnly}}
}

func (v withLegacyTree) Render(t *tree, q agent.Query) (out []agent.Object) {
	if !agent.Legacy(q.Path) {
		return v.View.Render(t, q)
	}
	if q.Path == agent.LegacyRoot {
		out = append(out, agent.Object{Path: q.Path})
	}
	q, ok := v.query(q)
	if !ok {
		return out
	}
	return append(out, render(t, q, func(own string) (string, bool) { return agent.LegacyRoot + own, !v.hidden(own) })...)
}

// Writes lets one message write below LegacyRoot and elsewhere; the same parameter of the CPE cannot have two values (7014).
func (v withLegacyTree) Writes(t *tree, writes []agent.Write) ([]cpeWrite, error) {
	var rest []agent.Write
	var at []int
	var own []cpeWrite
	for i, w := range writes {
		if !agent.Legacy(w.Path) {
			rest, at = append(rest, w), append(at, i)
			continue
		}
		path, ok := v.own(w.Path)
		if !ok {
			return nil, &usp.Error{Code: usp.InvalidPath, Msg: w.Path + " is not supported",
				Params: []usp.ParamError{{Path: w.Path, Code: usp.UnsupportedParameter, Msg: "not supported"}}}
		}
		own = append(own, cpeWrite{path: path, value: w.Value, from: []int{i}})
	}
	if len(rest) == len(writes) {
		return v.View.Writes(t, writes)
	}
	var out []cpeWrite
	if len(rest) > 0 {
		var err error
		if out, err = v.View.Writes(t, rest); err != nil {
			return nil, err
		}
		for i := range out {
			for j := range out[i].from {
				out[i].from[j] = at[out[i].from[j]]
			}
		}
	}
	for _, w := range own {
		i := slices.IndexFunc(out, func(have cpeWrite) bool { return have.path == w.path })
		switch {
		case i < 0:
			out = append(out, w)
		case out[i].value != w.value:
			const msg = "set to two values in one message"
			path := writes[w.from[0]].Path
			return nil, &usp.Error{Code: usp.ValueConflict, Msg: path + " is " + msg, Params: []usp.ParamError{{Path: path, Code: usp.ValueConflict, Msg: msg}}}
		default:
			out[i].from = append(out[i].from, w.from...)
		}
	}
	return out, nil
}

func (v withLegacyTree) Table(t *tree, table string, values []agent.Setting) string {
	if !agent.Legacy(table) {
		return v.View.Table(t, table, values)
	}
	own, ok := v.own(table)
	if !ok {
		return ""
	}
	return own
}

func (v withLegacyTree) Row(row string) string {
	if !agent.Legacy(row) {
		return v.View.Row(row)
	}
	own, ok := v.own(row)
	if !ok {
		return ""
	}
	return own
}

func (v withLegacyTree) Rows(own string) []string { return v.with(v.View.Rows(own), own) }

func (v withLegacyTree) Params(own string) []string { return v.with(v.View.Params(own), own) }

func (v withLegacyTree) with(paths []string, own string) []string {
	if v.hidden(own) {
		return paths
	}
	return append(slices.Clip(paths), agent.LegacyRoot+own)
}

func (v withLegacyTree) Changes(t *tree, changes []change) []*agent.ValueChange {
	out := v.View.Changes(t, changes)
	for _, c := range changes {
		if !v.hidden(c.path) {
			out = append(out, &agent.ValueChange{Path: agent.LegacyRoot + c.path, Value: c.value, Old: c.old})
		}
	}
	return out
}

func (v withLegacyTree) Names(t *tree) []datamodel.Name {
	names := append(slices.Clip(v.View.Names(t)), datamodel.Name{Path: agent.LegacyRoot})
	t.walk(v.root, 0, func(path string, n *node) {
		if !v.hidden(path) {
			names = append(names, datamodel.Name{Path: agent.LegacyRoot + path, Writable: n.writable, Type: n.typ})
		}
	})
	return names
}

// secrets are what names of secrets contain in older data models and in the extensions of makers to them.
var secrets = []string{"Passw", "Passphrase", "PassPhrase", "PreSharedKey", "WEPKey", "Secret", "PIN", "PinPhrase"}

func isSecret(name string) bool {
	return slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(name, s) })
}
