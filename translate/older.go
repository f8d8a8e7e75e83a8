package translate

import (
	"slices"
	"strconv"
	"strings"

	"isthmus/translate/datamodel"
	"isthmus/translate/legacy"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// older is the view of a CPE of a data model before Device:2. What it shows is made as a whole, when it is asked for and something has changed since,
// and kept beside the tree that it is made of.
type older struct {
	m       *legacy.Map
	root    string
	aliases map[string]string // of rows that the CPE has no Alias for, by their paths
}

// A node is a legacy.Node.

func (n *node) Segment() string { return n.name }
func (n *node) Number() uint32  { return n.num }
func (n *node) Param() bool     { return n.param }
func (n *node) Text() string    { return n.value }
func (n *node) Settable() bool  { return n.writable }

func (n *node) Each(f func(legacy.Node)) {
	for _, k := range n.kids {
		f(k)
	}
}

func (n *node) Child(segment string) legacy.Node {
	if k := n.kid(segment); k != nil {
		return k
	}
	return nil
}

// earlier is a node as it was before some values changed.
type earlier struct {
	*node
	was map[*node]string
}

func (e earlier) Text() string {
	if v, ok := e.was[e.node]; ok {
		return v
	}
	return e.value
}

func (e earlier) Each(f func(legacy.Node)) {
	for _, k := range e.kids {
		f(earlier{k, e.was})
	}
}

func (e earlier) Child(segment string) legacy.Node {
	if k := e.kid(segment); k != nil {
		return earlier{k, e.was}
	}
	return nil
}

// top is the root object, nil where nothing is known.
func (v older) top(t *tree) *node { return t.get(v.root) }

// shown is the CPE's tree in Device:2.
func (v older) shown(t *tree) *tree {
	if s := t.shown.Load(); s != nil {
		return s
	}
	s := newTree()
	if top := v.top(t); top != nil {
		s = v.project(top)
	}
	t.shown.Store(s)
	return s
}

func (v older) project(top legacy.Node) *tree {
	s := newTree()
	v.m.Project(top, func(path, value string, settable bool) {
		if strings.Contains(path, "{i}") {
			return
		}
		n := s.put(path)
		if n.param {
			n.value = value
		}
		n.writable = n.writable || settable
	})
	count(s, s.root, "")
	v.alias(s)
	return s
}

// count gives every table that the schema counts its number of rows: it is that of Device:2, whatever the CPE counts.
func count(s *tree, n *node, at string) {
	for _, k := range slices.Clone(n.kids) {
		if k.param {
			continue
		}
		path := at + k.name + "."
		count(s, k, path)
		if k.num != 0 || !isTable(k) {
			continue
		}
		name := at + k.name + countSuffix
		if _, counted := datamodel.LookupParam(agent.GenericPath(name)); counted {
			s.put(name).value = strconv.Itoa(len(k.kids))
		}
	}
}

func (v older) Needs(q agent.Query) (needs []need) {
	if concealed(q.Path) {
		return nil
	}
	for _, n := range v.m.Needs(q.Path, q.RowsOnly) {
		depth := 1
		if n.Path == v.root || n.Deep {
			depth = 0
		}
		needs = append(needs, need{path: n.Path, depth: depth, rowsOnly: n.Rows})
	}
	return needs
}

func (v older) Render(t *tree, q agent.Query) []agent.Object { return identity{}.Render(v.shown(t), q) }

func (v older) Writes(t *tree, writes []agent.Write) ([]cpeWrite, error) {
	top := v.top(t)
	if top == nil {
		return nil, usp.Errorf(usp.Unreachable, "the data model of the CPE is being read again")
	}
	var rest []agent.Write
	var at []int // of rest, in writes
	for i, w := range writes {
		if !strings.HasSuffix(w.Path, "."+aliasName) || !v.kept(t, w.Path) {
			rest, at = append(rest, w), append(at, i)
		} else if err := v.fits(t, w); err != nil {
			return nil, err
		}
	}
	changes, err := v.m.Writes(top, rest)
	if err != nil {
		return nil, err
	}
	out := make([]cpeWrite, len(changes))
	for i, c := range changes {
		for j := range c.From {
			c.From[j] = at[c.From[j]]
		}
		out[i] = cpeWrite{path: c.Path, value: c.Value, from: c.From, follow: c.Follow}
	}
	// What is enabled has all else by then, even where a CPE takes one parameter after the other.
	slices.SortStableFunc(out, func(a, b cpeWrite) int {
		return int(b2i(enables(writes[a.from[0]].Path)) - b2i(enables(writes[b.from[0]].Path)))
	})
	return out, nil
}

func enables(path string) bool { return strings.HasSuffix(path, ".Enable") }

func (v older) Table(t *tree, table string, values []agent.Setting) string {
	top := v.top(t)
	if top == nil || concealed(table) {
		return ""
	}
	return v.m.Table(top, table, func(name string) string {
		if i := slices.IndexFunc(values, func(s agent.Setting) bool { return s.Name == name }); i >= 0 {
			return values[i].Value
		}
		return ""
	})
}

func (v older) Row(row string) string {
	if concealed(row) {
		return ""
	}
	return v.m.Row(row)
}

func (v older) Rows(own string) []string { return v.m.Rows(own) }

func (v older) Params(own string) []string {
	return slices.DeleteFunc(v.m.Params(own), datamodel.Hidden)
}

// before is what was shown before some values changed, nil where nothing has.
func (v older) before(t *tree, changes []change) *tree {
	top := (*node)(nil)
	if t != nil {
		top = v.top(t)
	}
	if top == nil {
		return nil
	}
	was := map[*node]string{}
	for _, c := range changes {
		if n := t.get(c.path); n != nil {
			if _, first := was[n]; !first {
				was[n] = c.old
			}
		}
	}
	if len(was) == 0 {
		return nil
	}
	return v.project(earlier{top, was})
}

// Moves holds the rows that are shown against those before.
func (v older) Moves(t *tree, changes []change) (created, deleted []string) {
	before := v.before(t, changes)
	if before == nil {
		return nil, nil
	}
	return missing(v.shown(t), before), missing(before, v.shown(t))
}

// missing are the rows of one tree that another has not.
func missing(in, of *tree) (rows []string) {
	in.walk(deviceRoot, 0, func(path string, n *node) {
		if n.num != 0 && !n.param && !concealed(path) && of.get(path) == nil {
			rows = append(rows, strings.Clone(path))
		}
	})
	return rows
}

// Changes holds all that is shown against what was before.
func (v older) Changes(t *tree, changes []change) (out []*agent.ValueChange) {
	before := v.before(t, changes)
	if before == nil {
		return nil
	}
	v.shown(t).walk(deviceRoot, 0, func(path string, n *node) {
		if !n.param || concealed(path) {
			return
		}
		if b := before.get(path); b != nil && b.value != n.value {
			out = append(out, &agent.ValueChange{Path: strings.Clone(path), Value: n.value, Old: b.value})
		}
	})
	return out
}

// typeOf is the CPE's type of a parameter that Device:2 has not, such as a maker's; "" where the schema knows.
func (v older) typeOf(t *tree, path string, n *node) string {
	if _, known := datamodel.LookupParam(agent.GenericPath(path)); known || !n.param {
		return ""
	}
	for _, need := range v.m.Needs(path, false) {
		if own := t.get(need.Path); own != nil && own.param {
			return own.typ
		}
	}
	return ""
}

func (v older) Diagnostics(t *tree, object string, args map[string]string) (string, map[string]string) {
	top := v.top(t)
	if top == nil {
		return "", nil
	}
	return v.m.Diagnostics(top, object, args[legacy.Interface])
}

func (v older) Names(t *tree) (names []datamodel.Name) {
	top := v.top(t)
	if top == nil {
		return nil
	}
	v.shown(t).walk(deviceRoot, 0, func(path string, n *node) {
		names = append(names, datamodel.Name{Path: path, Writable: n.writable, Type: v.typeOf(t, path, n)})
	})
	v.m.Project(top, func(path, _ string, settable bool) {
		if strings.Contains(path, "{i}") {
			names = append(names, datamodel.Name{Path: path, Writable: settable})
		}
	})
	for _, table := range aliased(v.shown(t)) {
		names = append(names, datamodel.Name{Path: table + "{i}." + aliasName, Writable: true})
	}
	return names
}
