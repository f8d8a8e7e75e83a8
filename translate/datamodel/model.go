package datamodel

import (
	"slices"
	"strings"

	"isthmus/usp/agent"
)

// The commands of Device. that are RPCs of TR-069.
const (
	cmdReboot       = "Reboot()"
	cmdFactoryReset = "FactoryReset()"
	eventBoot       = "Boot!"
)

// identity are the parameters of DeviceInfo that every CPE has, whatever its data model; ModelName follows if it has one.
var identity = []string{"HardwareVersion", "Manufacturer", "ManufacturerOUI", "ProductClass", "SerialNumber", "SoftwareVersion"}

// Model gives the supported data model of the CPE that have a Shape, in Device:2 names. rpcs is what they answer to
// GetRPCMethods, nil while that is unknown. A CPE whose tree is not Device:2 has its identity in Device.DeviceInfo. and no more.
func Model(s *Shape, rpcs []string) *agent.Model {
	m := modeller{shape: s, schema: tables(), rpcs: rpcs, objects: make(map[string]*agent.ObjectDef)}
	m.addRoot()
	if s.Device2() {
		m.addTree()
		m.addKeys()
		m.addEvents()
	} else {
		m.addIdentity()
	}
	m.addCommands()
	return agent.NewModel(m.order)
}

// modeller makes a Model.
type modeller struct {
	shape   *Shape
	schema  *schema
	rpcs    []string // that the CPE has; none: unknown
	objects map[string]*agent.ObjectDef
	order   []*agent.ObjectDef
}

// object finds an object, or makes it.
func (m *modeller) object(path string) *agent.ObjectDef {
	o := m.objects[path]
	if o == nil {
		o = &agent.ObjectDef{Path: path, Multi: strings.HasSuffix(path, "{i}.")}
		m.objects[path] = o
		m.order = append(m.order, o)
	}
	return o
}

func (m *modeller) addRoot() {
	root := m.object(rootDevice)
	for _, c := range m.schema.commands[rootDevice] {
		// A CPE must have Reboot (TR-069 A.3.2.9); FactoryReset is optional (A.4.1.6).
		if c.Name == cmdReboot || c.Name == cmdFactoryReset && (m.rpcs == nil || slices.Contains(m.rpcs, c.Target)) {
			root.Commands = append(root.Commands, c.CommandDef)
		} else if c.Class == diagnostics && m.offers(rootDevice, &c) {
			root.Commands = append(root.Commands, c.CommandDef)
		}
	}
	root.Events = append(root.Events, m.schema.event(rootDevice+eventBoot).EventDef)
}

func (m *modeller) addIdentity() {
	const info = "DeviceInfo."
	o := m.object(rootDevice + info)
	names := identity
	if m.shape.has(rootDevice+info+"ModelName") || m.shape.has(rootIGD+info+"ModelName") {
		names = append(slices.Clone(names), "ModelName")
	}
	for _, n := range names {
		o.Params = append(o.Params, agent.ParamDef{Name: n, Type: agent.TypeString})
	}
	if m.shape.has(imageRow) {
		m.addImage(o)
	}
}

// imageRow is what a CPE that takes firmware is shown with, whatever its data model.
const imageRow = rootDevice + "DeviceInfo.FirmwareImage.{i}."

func (m *modeller) addImage(info *agent.ObjectDef) {
	for i, path := range m.shape.names {
		parent, _ := splitPath(path)
		switch {
		case parent == imageRow && path != imageRow:
			row := m.object(imageRow)
			row.Params = append(row.Params, m.param(path, m.shape.entries[i]))
		case parent == info.Path && strings.Contains(path, "FirmwareImage") && !strings.HasSuffix(path, "."):
			info.Params = append(info.Params, m.param(path, m.shape.entries[i]))
		}
	}
}

// addTree adds what the CPE has. Since names are sorted, an object is met before what it holds.
func (m *modeller) addTree() {
	for i, path := range m.shape.names {
		if !strings.HasPrefix(path, rootDevice) || Hidden(path) || Served(path) || strings.ContainsAny(path, unaddressable) {
			continue
		}
		switch {
		case strings.HasSuffix(path, "{i}."):
			// Its table has added it.
		case strings.HasSuffix(path, "."):
			m.addObject(path, m.shape.entries[i])
		default:
			parent, _ := splitPath(path)
			o := m.object(parent)
			o.Params = append(o.Params, m.param(path, m.shape.entries[i]))
		}
	}
}

// unaddressable are characters that have a meaning in a USP path; some CPE have names with a blank at the end.
const unaddressable = " []*#()+!?\"&=<>~,"

// addObject adds a node of the CPE's tree that is no row: a single object, or a table with or without rows.
func (m *modeller) addObject(path string, e entry) {
	row, hasRows := m.shape.entry(path + "{i}.")
	if !hasRows && !m.isEmptyTable(path, e) {
		m.object(path)
		return
	}
	o := m.object(path + "{i}.")
	addable := e.flags&writable != 0
	deletable := row.flags&writable != 0
	if row.flags&reported == 0 {
		deletable = addable // no row is known; whoever can add can delete
	}
	switch {
	case addable && deletable:
		o.Access = agent.AddDelete
	case addable:
		o.Access = agent.AddOnly
	case deletable:
		o.Access = agent.DeleteOnly
	}
	if !hasRows && (addable || m.installs(o.Path)) {
		m.addColumns(o.Path)
	}
}

// isEmptyTable says whether a node without rows is a table nevertheless: the schema knows, else that the CPE allows AddObject,
// or counts its rows.
func (m *modeller) isEmptyTable(path string, e entry) bool {
	i, _ := slices.BinarySearch(m.shape.names, path)
	if i+1 < len(m.shape.names) && strings.HasPrefix(m.shape.names[i+1], path) {
		return false
	}
	if m.schema.objects[path+"{i}."] != nil {
		return true
	}
	if m.schema.objects[path] != nil {
		return false
	}
	return e.flags&writable != 0 || m.shape.has(strings.TrimSuffix(path, ".")+"NumberOfEntries")
}

// addColumns gives a table of which no row was ever seen the schema's columns, since a Controller needs to know them for Add.
func (m *modeller) addColumns(path string) {
	obj := m.schema.objects[path]
	if obj == nil {
		return
	}
	o := m.object(path)
	for _, p := range obj.columns {
		o.Params = append(o.Params, p.def(p.Type, p.Writable))
	}
	for _, part := range obj.parts {
		m.addColumns(part.Path)
	}
}

// param describes a parameter of the CPE.
func (m *modeller) param(path string, e entry) agent.ParamDef {
	learnt, w := xsdTypes[e.typ].typ, e.flags&writable != 0
	if p := m.schema.params[path]; p != nil {
		return p.def(settle(learnt, p.Type), w)
	}
	object, name := splitPath(path)
	t := settle(learnt, agent.TypeUnknown)
	return agent.ParamDef{
		Name:      name,
		Type:      t,
		Writable:  w,
		WriteOnce: w && name == alias && strings.HasSuffix(object, "{i}."),
		Quiet:     quiet(path, t, w),
	}
}

// alias is the key that any table may have; USP lets it be set in Add alone.
const alias = "Alias"

// def is the parameter of a CPE that the schema knows: what the schema says of its values does not hold for another type.
func (p *Param) def(t agent.ValueType, writable bool) agent.ParamDef {
	_, name := splitPath(p.Path)
	d := agent.ParamDef{
		Name:      name,
		Type:      t,
		Writable:  writable,
		WriteOnce: writable && p.WriteOnce,
		Secured:   p.Secured,
		Quiet:     p.Quiet,
		Refers:    p.Reference != NoReference,
	}
	if t == p.Type {
		d.List, d.Enum = p.List, p.Enum
	}
	return d
}

// addEvents gives objects the events that are changes of parameters, or new rows of tables, which they have, with the arguments that can be told.
func (m *modeller) addEvents() {
	for _, o := range m.order {
		for _, e := range m.schema.events[o.Path] {
			if !m.happens(o, &e) {
				continue
			}
			def := agent.EventDef{Name: e.Name}
			for _, p := range e.Sources {
				if p.Param == "" || m.shape.has(o.Path+e.Rows+p.Param) || e.Rows != "" && !m.shape.has(o.Path+e.Rows) {
					def.Args = append(def.Args, p.Arg)
				}
			}
			o.Events = append(o.Events, def)
		}
	}
}

// happens says whether an event can be seen at a CPE that has an object. Of a table that was never seen with a row it is taken to have all columns.
func (m *modeller) happens(o *agent.ObjectDef, e *Event) bool {
	if e.Rows != "" {
		return m.shape.has(o.Path + strings.TrimSuffix(e.Rows, "{i}."))
	}
	return slices.ContainsFunc(e.Triggers, func(name string) bool { return o.Param(name) != nil })
}

// addKeys gives tables the unique keys of which they have all parameters. Those that are not functional are set in Add alone.
func (m *modeller) addKeys() {
	for _, o := range m.order {
		if !o.Multi {
			continue
		}
		aliased := o.Param(alias) != nil
		if obj := m.schema.objects[o.Path]; obj != nil {
			for _, k := range obj.Keys {
				if slices.ContainsFunc(k.Params, func(name string) bool { return o.Param(name) == nil }) {
					continue
				}
				o.Keys = append(o.Keys, k.Params)
				for _, name := range k.Params {
					if p := o.Param(name); k.NonFunctional {
						p.WriteOnce = p.Writable // R-KEY.1
					}
				}
				aliased = aliased && !slices.Equal(k.Params, []string{alias})
			}
		}
		if aliased {
			o.Keys = append(o.Keys, []string{alias})
		}
	}
}
