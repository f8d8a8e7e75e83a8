package tr106

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/beevik/etree"
)

// Row is a line of a model table, see FORMAT.md of package datamodel.
type Row struct {
	Path, Kind, Access, Type string
	Flags, Keys              []string
	Since, Status            string
	Enum                     []string
}

// String gives the row as a line without its end.
func (r *Row) String() string {
	return strings.Join([]string{r.Path, r.Kind, r.Access, r.Type, strings.Join(r.Flags, ";"), strings.Join(r.Keys, ";"), r.Since,
		r.Status, strings.Join(r.Enum, "|")}, "\t")
}

// Import reads the model in a file of a directory, with what it takes from the files beside it; of several models it is the last, as it is
// in the Forum's. Known tells which paths the standard model has: a model that is based on one whose file is not there need only say
// what it adds to it. The names of a service are below Device.Services.
func Import(dir fs.FS, file string, known func(path string) bool) ([]*Row, error) {
	lib := &library{dir: dir, files: map[string]*document{}}
	d, err := lib.open(file)
	if err != nil {
		return nil, err
	}
	models := d.root.SelectElements("model")
	if len(models) == 0 {
		return nil, fmt.Errorf("%s: has no model", file)
	}
	x := &expander{main: d, known: known, rows: map[string]*Row{}}
	if err := x.model(d, models[len(models)-1], 0); err != nil {
		return nil, err
	}
	return x.order, nil
}

// expander writes a model out.
type expander struct {
	main  *document
	known func(path string) bool
	rows  map[string]*Row
	order []*Row
	steps int
	based bool // on a model whose file is not there
}

// place is where in the model elements belong.
type place struct {
	path          string // of the object, with its final dot, or of a command's or an event's arguments
	kind          string // what a parameter is there: param, in, out or arg
	since, status string
	depth         int
}

func (x *expander) model(d *document, el *etree.Element, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: models are based on one another more than %d deep", d.file, maxDepth)
	}
	name := attr(el, "name")
	if base := attr(el, "base"); base != "" {
		bd, bel, err := d.find("model", base)
		switch {
		case err == nil:
			err = x.model(bd, bel, depth+1)
		case errors.Is(err, ErrMissing) && strings.HasPrefix(baseName(d, base), "Device:2."):
			x.based, err = true, nil
		}
		if err != nil {
			return err
		}
	}
	p := place{kind: "param", since: version(name), status: "current"}
	if attr(el, "isService") == "true" {
		p.path = "Device.Services."
	}
	return x.body(d, el, p)
}

// baseName is what an imported model is called where it is defined.
func baseName(d *document, name string) string {
	if from, ok := d.imports[definition{"model", name}]; ok {
		return from.name
	}
	return name
}

// version is that of a model's name, "2.15" of "Device:2.15".
func version(name string) string {
	_, v, _ := strings.Cut(name, ":")
	return v
}

// body takes what a model, component, object, command or event consists of.
func (x *expander) body(d *document, el *etree.Element, p place) error {
	if p.depth++; p.depth > maxDepth {
		return fmt.Errorf("%s: %s: components are in one another more than %d deep", d.file, p.path, maxDepth)
	}
	for _, c := range el.ChildElements() {
		if x.steps++; x.steps > maxSteps {
			return fmt.Errorf("%s: comes to more than %d elements", d.file, maxSteps)
		}
		if err := x.element(d, c, p); err != nil {
			return err
		}
	}
	return nil
}

func (x *expander) element(d *document, el *etree.Element, p place) error {
	p.since, p.status = either(attr(el, "version"), p.since), either(attr(el, "status"), p.status)
	switch el.Tag {
	case "component":
		p.path += attr(el, "path")
		at, def, err := x.component(d, attr(el, "ref"))
		if err != nil {
			return err
		}
		return x.body(at, def, p)
	case "object":
		return x.object(d, el, p)
	case "parameter":
		return x.parameter(d, el, p)
	case "command":
		access := "sync"
		if attr(el, "async") == "true" {
			access = "async"
		}
		return x.owner(d, el, p, "command", access)
	case "event":
		return x.owner(d, el, p, "event", "-")
	case "input", "output":
		p.kind = strings.TrimSuffix(el.Tag, "put")
		p.path += "/" + p.kind + "/"
		return x.body(d, el, p)
	}
	return nil // descriptions, profiles and the like
}

// component finds a component. A virtual one is what the outermost file says it is.
func (x *expander) component(d *document, name string) (*document, *etree.Element, error) {
	at, def, err := d.find("component", name)
	if err == nil && attr(def, "virtual") == "true" && d != x.main {
		if _, overridden := x.main.imports[definition{"component", name}]; overridden {
			return x.main.find("component", name)
		}
	}
	return at, def, err
}

// row finds the row of an element that changes one (base), or makes that of a new one (name). It is nil for one that the standard has.
func (x *expander) row(d *document, el *etree.Element, p place, kind string) (*Row, error) {
	base, name := attr(el, "base"), attr(el, "name")
	path := p.path + either(name, base)
	switch r := x.rows[path]; {
	case base == "" && name == "":
		return nil, fmt.Errorf("%s: %s in %s has no name", d.file, el.Tag, p.path)
	case strings.ContainsAny(path, "\t\n\r"):
		return nil, fmt.Errorf("%s: %s in %s has a name that is none: %q", d.file, el.Tag, p.path, name)
	case r != nil:
		return r, nil // in components the same name comes again
	case x.based && x.known(path):
		return nil, nil
	case base != "":
		return nil, fmt.Errorf("%s: changes %s, which is in no file: %w", d.file, path, ErrMissing)
	case len(x.order) == maxRows:
		return nil, fmt.Errorf("%s: more than %d names", d.file, maxRows)
	}
	r := &Row{Path: path, Kind: kind, Access: "-", Since: p.since, Status: p.status}
	x.rows[path], x.order = r, append(x.order, r)
	return r, nil
}

// owner takes a command or event with its arguments.
func (x *expander) owner(d *document, el *etree.Element, p place, kind, access string) error {
	r, err := x.row(d, el, p, kind)
	if err != nil {
		return err
	}
	if r != nil {
		r.Access = access
	}
	p.path += either(attr(el, "name"), attr(el, "base"))
	if kind == "event" {
		p.kind = "arg"
		p.path += "/arg/"
	}
	return x.body(d, el, p)
}

func (x *expander) object(d *document, el *etree.Element, p place) error {
	kind := "object"
	if p.kind != "param" {
		kind = p.kind + "-object"
	}
	r, err := x.row(d, el, p, kind)
	if err != nil {
		return err
	}
	p.path += either(attr(el, "name"), attr(el, "base"))
	if r != nil {
		r.setObject(el)
	}
	return x.body(d, el, p)
}

func (r *Row) setObject(el *etree.Element) {
	switch {
	case strings.HasSuffix(r.Path, "{i}."):
		r.flag("multi", "")
		if n := attr(el, "minEntries"); n != "0" {
			r.valued("min", n)
		}
		if n := attr(el, "maxEntries"); n != "unbounded" {
			r.valued("max", n)
		}
	case attr(el, "minEntries") == "0":
		r.flag("optional", "")
		fallthrough
	case r.Kind == "object":
		r.flag("single", "")
	}
	if r.Kind == "object" {
		switch attr(el, "access") {
		case "":
		case "readOnly":
			r.Access = "fixed"
		default: // what of the two a CPE can do it says itself
			r.Access = "add-del"
		}
		if r.Access == "-" {
			r.Access = "fixed"
		}
		r.valued("num", attr(el, "numEntriesParameter"))
		r.valued("enable", attr(el, "enableParameter"))
		r.valued("disc", attr(el, "discriminatorParameter"))
	}
	for _, key := range el.SelectElements("uniqueKey") {
		var names []string
		for _, p := range key.SelectElements("parameter") {
			names = append(names, attr(p, "ref"))
		}
		text := strings.Join(names, ",")
		if attr(key, "functional") == "false" {
			text = "!" + text
		}
		if text != "" && !slices.Contains(r.Keys, text) {
			r.Keys = append(r.Keys, text)
		}
	}
}

// flag adds a flag, in place of one of its name.
func (r *Row) flag(name, value string) {
	if value != "" {
		name += "=" + value
	}
	key, _, _ := strings.Cut(name, "=")
	r.Flags = slices.DeleteFunc(r.Flags, func(f string) bool { have, _, _ := strings.Cut(f, "="); return have == key })
	r.Flags = append(r.Flags, name)
}

// valued adds a flag that says nothing without a value. A value that the table cannot hold is left out.
func (r *Row) valued(name, value string) {
	if value != "" && !strings.ContainsAny(value, ";\t\n\r") {
		r.flag(name, value)
	}
}
