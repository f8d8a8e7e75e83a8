package translate

import (
	"strings"

	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// View translates between a CPE's own names and Device:2 names, many to many and whole messages at a time. It has no state; tree
// gives it what it needs to know of the CPE. The Agent, and all code that speaks for it, sees Device:2 names only; tree, shape,
// snapshot and journal hold the CPE's own.
type View interface {
	// Needs says which of the CPE's own names have to be known to render a query: objects to be listed and parameters to be read.
	// Paths may hold "*" where the query does. A path that the view hides needs nothing.
	Needs(q agent.Query) []need
	// Render gives the objects that a query denotes, from what the tree knows: parents before children, instances by number.
	Render(t *tree, q agent.Query) []agent.Object
	// Writes turns Device:2 writes into one set of the CPE's own, of what is a command in USP (datamodel.Served) too. An *usp.Error (7014) says that they
	// contradict one another.
	Writes(t *tree, writes []agent.Write) ([]cpeWrite, error)
	// Table gives the CPE's own table in which a row of a Device:2 table is created that is to have these values, "" where there is none (7019).
	Table(t *tree, table string, values []agent.Setting) string
	// Row gives the CPE's own row behind a Device:2 row, "" where there is none.
	Row(row string) string
	// Rows gives the Device:2 rows that a row of the CPE stands for.
	Rows(own string) []string
	// Params gives the Device:2 parameters that depend on a parameter of the CPE.
	Params(own string) []string
	// Changes gives what changes of the CPE's parameters, which the tree holds already, come to in Device:2. Old is the value before, "" where that
	// is not known.
	Changes(t *tree, changes []change) []*agent.ValueChange
	// Moves gives the Device:2 rows that come and go with changes of the CPE's parameters, which the tree holds already: rows that are made of values.
	Moves(t *tree, changes []change) (created, deleted []string)
	// Diagnostics gives the CPE's own object behind a diagnostics object of Device:2 for the arguments of a command, "" where there is none, and which of its
	// parameters have other names than in Device:2; {i} stands for rows, "" for what has chosen the object and is no parameter of it.
	Diagnostics(t *tree, object string, args map[string]string) (own string, params map[string]string)
	// Names gives the Device:2 names of what the CPE has, for the supported data model.
	Names(t *tree) []datamodel.Name
}

// need is one of the CPE's own names: a parameter, or an object that must have been listed and whose parameters must be read down
// to Depth levels.
type need struct {
	path     string
	depth    int
	rowsOnly bool
}

// cpeWrite sets one of the CPE's own parameters. from are the indices of the Device:2 writes it carries out.
type cpeWrite struct {
	path, value string
	from        []int
	follow      []string // parameters that are expected to have the value then, and are written if they do not
}

// identity is the view of a Device:2 CPE: its names are the names. What isthmus keeps to itself is hidden.
type identity struct{}

func (identity) Needs(q agent.Query) []need {
	if concealed(q.Path) {
		return nil
	}
	return []need{{path: q.Path, depth: q.Depth, rowsOnly: q.RowsOnly}}
}

// concealed says whether USP has no such object or parameter, though the CPE may.
func concealed(path string) bool { return datamodel.Hidden(path) || datamodel.Served(path) }

func (identity) Render(t *tree, q agent.Query) []agent.Object {
	if concealed(q.Path) {
		return nil
	}
	return render(t, q, func(path string) (string, bool) { return path, !concealed(path) })
}

// render walks the tree; name gives the Device:2 path of an object or parameter, or false to leave it out with all below.
func render(t *tree, q agent.Query, name func(own string) (string, bool)) []agent.Object {
	var out []agent.Object
	skip := "\x00"
	t.walk(q.Path, q.Depth, func(path string, n *node) {
		if strings.HasPrefix(path, skip) {
			return
		}
		p, ok := name(path)
		switch {
		case !ok && !n.param:
			skip = path
		case !ok:
		case n.param && q.RowsOnly:
		case n.param:
			obj := p[:strings.LastIndexByte(p, '.')+1]
			if len(out) == 0 || out[len(out)-1].Path != obj {
				out = append(out, agent.Object{Path: strings.Clone(obj)})
			}
			o := &out[len(out)-1]
			o.Params = append(o.Params, agent.Param{Name: n.name, Value: n.value})
		case isTable(n):
			// a table is no object of its own; its rows are
		default:
			out = append(out, agent.Object{Path: strings.Clone(p)})
		}
	})
	return out
}

// isTable says whether an object has rows. An empty table cannot be told from an empty object here; neither has anything to show.
func isTable(n *node) bool {
	if n.param || len(n.kids) == 0 {
		return n.num == 0 && !n.param
	}
	for _, k := range n.kids {
		if k.num == 0 {
			return false
		}
	}
	return true
}

func (identity) Writes(_ *tree, writes []agent.Write) ([]cpeWrite, error) {
	out := make([]cpeWrite, 0, len(writes))
	at := map[string]int{}
	for i, w := range writes {
		if datamodel.Hidden(w.Path) {
			return nil, &usp.Error{Code: usp.InvalidPath, Msg: w.Path + " is not supported",
				Params: []usp.ParamError{{Path: w.Path, Code: usp.UnsupportedParameter, Msg: "not supported"}}}
		}
		if j, ok := at[w.Path]; ok {
			if out[j].value != w.Value {
				return nil, &usp.Error{Code: usp.ValueConflict, Msg: w.Path + " is set to two values",
					Params: []usp.ParamError{{Path: w.Path, Code: usp.ValueConflict, Msg: "set to two values in one message"}}}
			}
			out[j].from = append(out[j].from, i)
			continue
		}
		at[w.Path] = len(out)
		out = append(out, cpeWrite{path: w.Path, value: w.Value, from: []int{i}})
	}
	return out, nil
}

func (identity) Table(_ *tree, table string, _ []agent.Setting) string {
	if datamodel.Hidden(table) {
		return ""
	}
	return table
}

func (identity) Row(row string) string {
	if datamodel.Hidden(row) {
		return ""
	}
	return row
}

func (identity) Rows(own string) []string {
	if datamodel.Hidden(own) {
		return nil
	}
	return []string{own}
}

func (identity) Params(own string) []string {
	if concealed(own) {
		return nil
	}
	return []string{own}
}

func (identity) Moves(*tree, []change) (created, deleted []string) { return nil, nil }

func (v identity) Changes(t *tree, changes []change) []*agent.ValueChange {
	return rendered(v, t, changes)
}

// rendered are the parameters that depend on changes, with the values that a view gives them. What they were before is known where the view shows
// the CPE's own value.
func rendered(v View, t *tree, changes []change) (out []*agent.ValueChange) {
	for _, c := range changes {
		for _, path := range v.Params(c.path) {
			out = append(out, changed(v, t, path, c))
		}
	}
	return out
}

func changed(v View, t *tree, path string, c change) *agent.ValueChange {
	if t != nil {
		for _, o := range v.Render(t, agent.Query{Path: path}) {
			for _, p := range o.Params {
				if p.Value != c.value {
					return &agent.ValueChange{Path: path, Value: p.Value}
				}
			}
		}
	}
	return &agent.ValueChange{Path: path, Value: c.value, Old: c.old}
}

func (identity) Diagnostics(_ *tree, object string, _ map[string]string) (string, map[string]string) {
	return object, nil
}

func (identity) Names(t *tree) []datamodel.Name { return t.names(deviceRoot) }

// The parameters that say who a CPE is. They are answered from the Inform where nothing better is known, at once, always.
var identityParams = []string{"Manufacturer", "ManufacturerOUI", "ModelName", "ProductClass", "SerialNumber", "SoftwareVersion", "HardwareVersion"}

const deviceInfo = "Device.DeviceInfo."
