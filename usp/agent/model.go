package agent

import (
	"sort"
	"strings"
)

// Model is a supported data model, the source of GetSupportedDM. It is immutable once built and may be shared by all Agents
// whose devices have the same shape.
type Model struct {
	// URI is what GetSupportedDM gives as data_model_inst_uri; "" stands for DefaultURI. Set it before the Model is shared.
	URI string

	objects map[string]*ObjectDef
	order   []*ObjectDef
}

// ObjectDef is one supported object. Path has "{i}." for every instance number, the last one included: "Device.WiFi.SSID.{i}.".
type ObjectDef struct {
	Path     string
	Multi    bool // it is a table row: Path ends in "{i}."
	Access   ObjectAccess
	Params   []ParamDef
	Commands []CommandDef
	Events   []EventDef
	Keys     [][]string // unique key sets
}

// ObjectAccess says whether rows can be added and deleted; the values are those of ObjAccessType.
type ObjectAccess int

// The kinds of access to an object.
const (
	ReadOnly ObjectAccess = iota
	AddDelete
	AddOnly
	DeleteOnly
)

// ParamDef is one supported parameter.
type ParamDef struct {
	Name      string
	Type      ValueType
	Writable  bool
	WriteOnce bool // writable in Add only (USP Alias); GetSupportedDM says PARAM_READ_WRITE, Set says 7013
	Secured   bool // reads as empty
	Quiet     bool // changes are not reported: VALUE_CHANGE_WILL_IGNORE
	Refers    bool // holds paths of what the data model has, which Controllers may write with keys (R-ARC.11)
	List      bool // comma separated list; Type is that of the items
	Enum      []string
}

// ValueType is a parameter's type; the values are those of ParamValueType.
type ValueType int

// The value types of USP.
const (
	TypeUnknown ValueType = iota
	TypeBase64
	TypeBoolean
	TypeDateTime
	TypeDecimal
	TypeHexBinary
	TypeInt
	TypeLong
	TypeString
	TypeUnsignedInt
	TypeUnsignedLong
)

// CommandDef is one supported command; Name ends in "()".
type CommandDef struct {
	Name      string
	Async     bool
	In, Out   []string
	Mandatory []string           // of In
	Args      map[string]*ArgDef // by name of In; one that is not there may have any value
}

// ArgDef says what values an input argument of a command may have.
type ArgDef struct {
	ParamDef          // of which Name, Type, List and Enum count
	Ranges    []Range // of which a number must be in one; none: it may be any
	MaxLength int     // characters of a string; 0: it may be any
	Default   *string // what it is where it is not given; nil: nothing
}

// Range has both its ends.
type Range struct{ Min, Max int64 }

// EventDef is one supported event; Name ends in "!".
type EventDef struct {
	Name string
	Args []string
}

// DefaultURI names the data model that Device:2 names are taken from.
const DefaultURI = "urn:broadband-forum-org:tr-181-2-19-0"

// NewModel makes a Model of objects with distinct paths. Parents that are missing are made up as read-only objects.
func NewModel(objects []*ObjectDef) *Model {
	m := &Model{objects: make(map[string]*ObjectDef, len(objects))}
	for _, o := range objects {
		m.objects[o.Path] = o
	}
	for _, o := range objects {
		for p := ParentPath(o.Path); p != "" && m.objects[p] == nil; p = ParentPath(p) {
			m.objects[p] = &ObjectDef{Path: p, Multi: strings.HasSuffix(p, "{i}.")}
		}
	}
	for _, o := range m.objects {
		m.order = append(m.order, o)
	}
	sort.Slice(m.order, func(i, j int) bool { return m.order[i].Path < m.order[j].Path })
	return m
}

// Objects lists the objects, parents before children. The caller must not change it.
func (m *Model) Objects() []*ObjectDef { return m.order }

// Object finds an object by its path, with "{i}", "*" or numbers for instances and with or without the final "{i}.".
// It returns nil where there is none.
func (m *Model) Object(path string) *ObjectDef {
	g := GenericPath(path)
	if o := m.objects[g]; o != nil {
		return o
	}
	return m.objects[g+"{i}."]
}

// Param finds a parameter of an object by name, nil where there is none.
func (o *ObjectDef) Param(name string) *ParamDef {
	for i := range o.Params {
		if o.Params[i].Name == name {
			return &o.Params[i]
		}
	}
	return nil
}

// Command finds a command by its name with "()".
func (o *ObjectDef) Command(name string) *CommandDef {
	for i := range o.Commands {
		if o.Commands[i].Name == name {
			return &o.Commands[i]
		}
	}
	return nil
}

// Event finds an event by its name with "!".
func (o *ObjectDef) Event(name string) *EventDef {
	for i := range o.Events {
		if o.Events[i].Name == name {
			return &o.Events[i]
		}
	}
	return nil
}

// GenericPath replaces instance numbers and "*" by "{i}": "Device.WiFi.SSID.1.SSID" gives "Device.WiFi.SSID.{i}.SSID".
func GenericPath(path string) string {
	var b strings.Builder
	b.Grow(len(path) + 8)
	rest := path
	for rest != "" {
		seg, tail, dot := strings.Cut(rest, ".")
		if IsInstance(seg) || seg == "*" {
			seg = "{i}"
		}
		b.WriteString(seg)
		if dot {
			b.WriteByte('.')
		}
		rest = tail
	}
	return b.String()
}

// IsInstance says whether a path segment is an instance number.
func IsInstance(seg string) bool {
	if seg == "" {
		return false
	}
	for i := 0; i < len(seg); i++ {
		if seg[i] < '0' || seg[i] > '9' {
			return false
		}
	}
	return true
}

// ParentPath gives the object that holds a path: of "Device.A.{i}.B" "Device.A.{i}.", of "Device.A.{i}." (a row and its table
// are one ObjectDef) "Device.", of "Device." "".
func ParentPath(path string) string {
	p := strings.TrimSuffix(path, ".")
	if last := p[strings.LastIndexByte(p, '.')+1:]; path != p && (last == "{i}" || last == "*" || IsInstance(last)) {
		p = strings.TrimSuffix(p[:len(p)-len(last)], ".")
	}
	return p[:strings.LastIndexByte(p, '.')+1]
}
