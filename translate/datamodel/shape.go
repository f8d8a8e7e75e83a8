package datamodel

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"isthmus/usp/agent"
)

// The bounds of what is kept of a CPE's names. TR-069 A.3.2.3 allows 256 characters; Device:2 has fewer than 9,000 generic names.
const (
	maxName  = 512
	maxNames = 1 << 15
)

// The roots of the trees that a CPE may have.
const (
	rootDevice = "Device."
	rootIGD    = "InternetGatewayDevice."
)

// Shape is what a CPE's tree looks like whatever rows it has: the set of its own object and parameter names with "{i}" for
// instance numbers, whether each is writable in any row, and the types met. It is immutable.
type Shape struct {
	names   []string // sorted, so that an object comes before what it holds; objects end in a dot, rows in "{i}."
	entries []entry
	hash    string
}

// entry is what is known of one name.
type entry struct {
	flags uint8
	typ   uint8 // an index into xsdTypes
}

// The flags of an entry. A name that was not reported is implied by one further down.
const (
	writable = 1 << iota
	reported

	allFlags = writable | reported
	typShift = 2
)

// join is what two reports of one name say together. Types that disagree are string.
func (e entry) join(o entry) entry {
	e.flags |= o.flags
	switch {
	case e.typ == 0:
		e.typ = o.typ
	case o.typ != 0 && o.typ != e.typ:
		e.typ = xsdString
	}
	return e
}

// Name is a parameter or object (with its final dot) as a CPE reports it in GetParameterNames, with the xsi:type of its value
// where one is known.
type Name struct {
	Path     string
	Writable bool
	Type     string
}

// BuildShape generalises the names of a CPE. It leaves out what is no CWMP path below Device. or InternetGatewayDevice. and
// whatever goes beyond 32,768 different names.
func BuildShape(names []Name) *Shape {
	b := make(builder, len(names))
	for _, n := range names {
		e := entry{flags: reported, typ: xsdCode(n.Type)}
		if n.Writable {
			e.flags |= writable
		}
		b.add(n.Path, e)
	}
	return b.shape()
}

// builder collects the entries of a Shape by generic path.
type builder map[string]entry

func (b builder) add(path string, e entry) {
	if !wellFormed(path) {
		return
	}
	g := agent.GenericPath(path)
	added := []string{g}
	if _, known := b[g]; known {
		added = nil
	}
	for i := strings.LastIndexByte(g[:len(g)-1], '.'); i > 0; i = strings.LastIndexByte(g[:i], '.') {
		if _, known := b[g[:i+1]]; known {
			break // and so are those above
		}
		added = append(added, g[:i+1])
	}
	if len(b)+len(added) > maxNames {
		return
	}
	for _, a := range added {
		b[a] = entry{}
	}
	b[g] = b[g].join(e)
}

func (b builder) shape() *Shape {
	s := &Shape{names: slices.Sorted(maps.Keys(b))}
	s.entries = make([]entry, len(s.names))
	for i, n := range s.names {
		s.entries[i] = b[n]
	}
	s.hash = hash(s.payload())
	return s
}

func wellFormed(path string) bool {
	if len(path) > maxName || strings.Contains(path, "..") || !utf8.ValidString(path) {
		return false
	}
	return (strings.HasPrefix(path, rootDevice) || strings.HasPrefix(path, rootIGD)) && strings.IndexFunc(path, unicode.IsControl) < 0
}

// Merge gives a Shape of what either knows. It is s itself when more adds nothing.
func (s *Shape) Merge(more *Shape) *Shape {
	b := make(builder, len(s.names))
	for i, n := range s.names {
		b[n] = s.entries[i]
	}
	for i, n := range more.names {
		b.add(n, more.entries[i])
	}
	if m := b.shape(); m.hash != s.hash {
		return m
	}
	return s
}

// Lookup finds a name by its generic path. Type is the local name of the type that the CPE uses, "" if unknown.
func (s *Shape) Lookup(generic string) (Name, bool) {
	e, ok := s.entry(generic)
	if !ok {
		return Name{}, false
	}
	return Name{Path: generic, Writable: e.flags&writable != 0, Type: xsdTypes[e.typ].name}, true
}

func (s *Shape) entry(generic string) (entry, bool) {
	i, ok := slices.BinarySearch(s.names, generic)
	if !ok {
		return entry{}, false
	}
	return s.entries[i], true
}

func (s *Shape) has(generic string) bool {
	_, ok := s.entry(generic)
	return ok
}

// Device2 says whether the tree is a Device:2 one, rather than InternetGatewayDevice or Device:1.
func (s *Shape) Device2() bool { return Device2(s.has) }

// Device2 is Shape.Device2 for a tree that is no Shape yet: has tells whether it has a name.
func Device2(has func(name string) bool) bool {
	return has(rootDevice) && (has("Device.RootDataModelVersion") || !has("Device.DeviceSummary") && !has("Device.LAN."))
}
