package agent

import (
	"strings"

	"isthmus/usp"
)

// read answers one Query from the Agent's own tables.
func (v *view) read(q Query) Reading {
	obj := q.Path[:strings.LastIndexByte(q.Path, '.')+1]
	name := q.Path[len(obj):]
	t := tableOf(obj)
	if name != "" {
		if t == nil || t.column(name) == nil {
			return Reading{Err: unsupported(q.Path)}
		}
		c := t.column(name)
		var r Reading
		for _, p := range v.expand(obj) {
			if !v.has(t, p) {
				continue
			}
			o := Object{Path: p}
			if !q.RowsOnly {
				o.Params = []Param{{name, v.value(p, c)}}
			}
			r.Objects = append(r.Objects, o)
		}
		return r
	}
	depth := q.Depth
	if depth == 0 {
		depth = usp.MaxSegments
	}
	var r Reading
	if t == nil {
		if t = byPath[GenericPath(obj)+"{i}."]; t == nil {
			return Reading{Err: unsupported(q.Path)}
		}
		for _, p := range v.expand(obj) {
			for _, row := range v.rows.instances(p) {
				r.Objects = v.walk(r.Objects, t, row, depth, q.RowsOnly)
			}
		}
		return r
	}
	for _, p := range v.expand(obj) {
		if v.has(t, p) {
			r.Objects = v.walk(r.Objects, t, p, depth, q.RowsOnly)
		}
	}
	return r
}

// expand gives the objects that a path with "*" denotes and that exist; a table exists where its parent does.
func (v *view) expand(pattern string) []string {
	found := []string{""}
	for rest := pattern; rest != ""; {
		seg, tail, _ := strings.Cut(rest, ".")
		rest = tail
		var next []string
		for _, p := range found {
			switch {
			case seg == "*":
				next = append(next, v.rows.instances(p)...)
			case !IsInstance(seg) || v.exists(p+seg+"."):
				next = append(next, p+seg+".")
			}
		}
		found = next
	}
	return found
}

// has says whether an object that is no row is there, its parent being so.
func (v *view) has(t *table, path string) bool {
	return (!t.optional || v.exists(path)) && (t.protocol == "" || v.rows.get(ParentPath(path), "Protocol") == t.protocol)
}

func (v *view) exists(row string) bool {
	_, ok := v.rows.values[row]
	return ok
}

// walk appends an object and what is below it.
func (v *view) walk(to []Object, t *table, path string, depth int, rowsOnly bool) []Object {
	o := Object{Path: path}
	if !rowsOnly {
		o.Params = make([]Param, len(t.columns))
		for i := range t.columns {
			o.Params[i] = Param{t.columns[i].Name, v.value(path, &t.columns[i])}
		}
	}
	to = append(to, o)
	if depth == 1 {
		return to
	}
	for _, c := range t.children {
		below := path + c.name()
		if !c.Multi {
			if !v.has(c, below) {
				continue
			}
			to = v.walk(to, c, below, depth-1, rowsOnly)
			continue
		}
		for _, row := range v.rows.instances(below) {
			to = v.walk(to, c, row, depth-1, rowsOnly)
		}
	}
	return to
}
