package datamodel

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"isthmus/usp/agent"
)

//go:embed gz/*.tsv.gz
var packed embed.FS

// schema is the contents of the tables by generic path; commands and events by their object's.
type schema struct {
	params   map[string]*Param
	objects  map[string]*Object
	commands map[string][]Command
	events   map[string][]Event
	secured  map[string]bool // the names that secured parameters have, which most others do not share
	served   served
}

// standard reads the embedded tables once. They are part of the program and tested with it, so a flaw in them is one in the program.
var standard = sync.OnceValue(func() *schema {
	s, err := loadSchema(unpack)
	if err != nil {
		panic("datamodel: embedded tables: " + err.Error())
	}
	return s
})

func unpack(name string) (string, error) {
	b, err := packed.ReadFile("gz/" + name + ".gz")
	if err != nil {
		return "", err
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	return string(text), nil
}

// ModelHeader names the columns of a model table (FORMAT.md), parted by blanks here and by tabs there.
const ModelHeader = "path kind access type flags keys since status enum"

// The columns of the other tables.
const (
	commandsHeader = "command sync status class cwmp_target inputs outputs completion tr098_target tr098_inputs tr098_outputs if_absent confidence note"
	eventsHeader   = "event status class cwmp_source args confidence note"
)

// loadSchema reads the tables that open gives by name.
func loadSchema(open func(name string) (string, error)) (*schema, error) {
	const names = 1 << 13 // of either kind together, so that the maps need not grow
	s := &schema{
		params:   make(map[string]*Param, names),
		objects:  make(map[string]*Object, names/8),
		commands: make(map[string][]Command),
		events:   make(map[string][]Event),
		secured:  make(map[string]bool),
		served:   served{paths: make(map[string]bool), names: make(map[string]bool), objects: make(map[string]bool)},
	}
	for _, t := range []struct {
		name, header string
		row          func(cells []string) error
	}{
		{"device2-usp.tsv", ModelHeader, s.modelRow},
		{"device2-cwmp-only.tsv", ModelHeader, s.modelRow},
		{"commands-to-cwmp.tsv", commandsHeader, s.commandRow},
		{"events-to-cwmp.tsv", eventsHeader, s.eventRow},
	} {
		text, err := open(t.name)
		if err != nil {
			return nil, err
		}
		if err := readTable(t.name, text, strings.Fields(t.header), t.row); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readTable calls row for each line of a table but the first, which must be the header. The cells are valid until row returns.
func readTable(name, text string, header []string, row func(cells []string) error) error {
	cells := make([]string, 0, len(header))
	n := 0
	for line := range strings.Lines(text) {
		n++
		cells = cells[:0]
		for cell := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), "\t") {
			cells = append(cells, cell)
		}
		switch {
		case n == 1 && !slices.Equal(cells, header):
			return fmt.Errorf("%s:1: columns are %q, want %q", name, cells, header)
		case n == 1:
			continue
		case len(cells) != len(header):
			return fmt.Errorf("%s:%d: %d cells, want %d", name, n, len(cells), len(header))
		}
		if err := row(cells); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if n == 0 {
		return fmt.Errorf("%s: empty", name)
	}
	return nil
}

// modelRow takes a row of a model table.
func (s *schema) modelRow(c []string) error {
	path, kind, access, typ, flags, keys, status, enum := c[0], c[1], c[2], c[3], c[4], c[5], c[7], c[8]
	retired, err := isRetired(status)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch kind {
	case "param":
		err = s.addParam(path, access, typ, flags, enum, retired)
	case "object":
		err = s.addObject(path, access, flags, keys)
	case "command":
		err = s.addCommand(path, access)
	case "event":
		err = s.addEvent(path)
	case "in", "out", "arg":
		err = s.addArgument(path, kind, access, typ, flags, enum)
	case "in-object", "out-object", "arg-object":
		// An argument that is an object shows in the names of the arguments inside.
	default:
		err = fmt.Errorf("kind %q", kind)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// isRetired says whether a name should no longer be offered: "deleted:2.15".
func isRetired(status string) (bool, error) {
	switch word, _, _ := strings.Cut(status, ":"); word {
	case "current", "deprecated":
		return false, nil
	case "obsoleted", "deleted", "removed-after":
		return true, nil
	}
	return false, fmt.Errorf("status %q", status)
}

func (s *schema) addParam(path, access, typ, flags, enum string, retired bool) error {
	p := &Param{Path: path}
	var ok bool
	if p.Type, ok = schemaTypes[typ]; !ok {
		return fmt.Errorf("type %q", typ)
	}
	if s.params[path] != nil {
		return errors.New("second row for the path")
	}
	switch access {
	case "r":
	case "rw":
		p.Writable = true
	case "w1":
		p.Writable, p.WriteOnce = true, true
	default:
		return fmt.Errorf("access %q", access)
	}
	if err := p.setFlags(flags); err != nil {
		return err
	}
	p.Quiet = p.Quiet || quiet(path, p.Type, p.Writable)
	if enum != "" {
		p.Enum = strings.Split(enum, "|")
	}
	o := s.objects[agent.ParentPath(path)]
	if o == nil {
		return errors.New("object is missing")
	}
	if !retired {
		o.columns = append(o.columns, p)
	}
	s.params[path] = p
	if p.Secured {
		_, name := splitPath(path)
		s.secured[name] = true
	}
	return nil
}

// setFlags reads column flags. Those that only inform the reader are checked for being known.
func (p *Param) setFlags(flags string) error {
	for f := range words(flags) {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "list":
			p.List = true
		case "hidden", "secured":
			p.Secured = true
		case "command":
			p.Trigger = true
		case "ref":
			switch value {
			case "strong":
				p.Reference = StrongReference
			case "weak":
				p.Reference = WeakReference
			default:
				return fmt.Errorf("flag %q", f)
			}
		case "an":
			p.CanDeny = p.CanDeny || value == "canDeny"
		case "dt":
			p.Quiet = p.Quiet || strings.HasPrefix(value, "StatsCounter")
		case "def":
			p.Default = strings.Trim(value, `"`)
		case "items", "max", "range", "units", "enumref", "forced":
		default:
			return fmt.Errorf("flag %q", f)
		}
	}
	return nil
}

func (s *schema) addObject(path, access, flags, keys string) error {
	if s.objects[path] != nil {
		return errors.New("second row for the path")
	}
	o := &Object{Path: path, Multi: strings.HasSuffix(path, "{i}.")}
	switch access {
	case "fixed":
	case "add-del":
		o.Writable = true
	default:
		return fmt.Errorf("access %q", access)
	}
	for f := range words(flags) {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "num":
			o.Count = value
		case "enable":
			o.Enable = value
		case "multi", "single":
			if o.Multi != (name == "multi") {
				return fmt.Errorf("flag %q", f)
			}
		case "optional", "min", "max", "disc", "mount":
		default:
			return fmt.Errorf("flag %q", f)
		}
	}
	for k := range words(keys) {
		members, nonFunctional := strings.CutPrefix(k, "!")
		o.Keys = append(o.Keys, Key{Params: strings.Split(members, ","), NonFunctional: nonFunctional})
	}
	parent := agent.ParentPath(path)
	if s.objects[parent] == nil && parent != "" {
		return errors.New("parent is missing")
	}
	if parent != "" && !o.Multi {
		s.objects[parent].parts = append(s.objects[parent].parts, o)
	}
	s.objects[path] = o
	return nil
}

// words are the parts of a cell, between semicolons; an empty cell has none.
func words(cell string) func(yield func(string) bool) {
	if cell == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(cell, ";")
}
