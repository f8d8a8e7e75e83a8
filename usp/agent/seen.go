package agent

import (
	"context"
	"strings"

	"isthmus/usp"
)

// What a Controller may not know of is to it as if it were not there, also where it would write: else the codes of errors would tell. What it knows of
// and may not write is 7006.

// anyOf are the rights of each class that let a Controller know of something.
var anyOf = [classes]right{params: mayRead | mayWrite, objects: mayRead | mayWrite, instances: mayRead | mayWrite, commands: mayRead | mayExecute}

// elements calls yield with each element of an object until it says true.
func elements(def *ObjectDef, yield func(k class, name string) bool) bool {
	for i := range def.Params {
		if yield(params, def.Params[i].Name) {
			return true
		}
	}
	for i := range def.Commands {
		if yield(commands, def.Commands[i].Name) {
			return true
		}
	}
	return yield(objects, "") || yield(instances, "")
}

// supports says whether the Controller may know of an object of the supported data model, or of what it names in it.
func (c *access) supports(def *ObjectDef, names ...string) bool {
	if c == nil || elements(def, func(k class, name string) bool { return c.shows(k, anyOf[k], def.Path+name) }) {
		return true
	}
	for _, name := range names {
		if c.shows(classOf(name), anyOf[classOf(name)], def.Path+name) {
			return true
		}
	}
	return false
}

// sees says the same of one object that is there.
func (c *access) sees(def *ObjectDef, object string, names ...string) bool {
	if c == nil {
		return true
	}
	p := c.at(object)
	if elements(def, func(k class, name string) bool { return p.allows(k, anyOf[k], name) }) {
		return true
	}
	for _, name := range names {
		if c.allows(classOf(name), anyOf[classOf(name)], object+name) {
			return true
		}
	}
	return false
}

// seen leaves out of the objects that a target denotes those that the Controller may not know of.
func (x *exchange) seen(ctx context.Context, t *target, found []string, names ...string) []string {
	if x.may == nil || t.err != nil || len(found) == 0 {
		return found
	}
	var m *Model
	if m, t.err = x.supported(ctx, found[0]); t.err != nil {
		return nil
	}
	var out []string
	for _, object := range found {
		if def := m.Object(object); def == nil || x.may.sees(def, object, names...) {
			out = append(out, object)
		}
	}
	if len(out) == 0 && !t.searched {
		t.err = missing(t.raw)
	}
	return out
}

func missing(path string) *usp.Error {
	return usp.Errorf(usp.ObjectDoesNotExist, "%s does not exist", path)
}

func unsupported(path string) *usp.Error {
	return usp.Errorf(usp.InvalidPath, "%s is not in the supported data model", path)
}

// errWrite is why a parameter may not be written: 7006, or 7010 where the Controller may not know of it.
func (c *access) errWrite(path string) *usp.Error {
	if c.allows(params, mayRead, path) {
		return errDenied(path)
	}
	return usp.Errorf(usp.UnsupportedParameter, "%s is not supported", path)
}

// listed says whether GetInstances may show a row: with it all rows that lead to it, but those that the Controller has named itself (R-GIN.0).
func (c *access) listed(requested, row string) bool {
	if c == nil {
		return true
	}
	if i := strings.IndexAny(requested, "*[+"); i >= 0 {
		requested = requested[:i]
	}
	for i := 0; i < len(row); i++ {
		if row[i] != '.' || i+1 < len(requested) {
			continue
		}
		if _, n := splitRow(row[:i+1]); n != 0 && !c.allows(instances, mayRead, row[:i+1]) {
			return false
		}
	}
	return true
}
