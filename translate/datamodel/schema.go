package datamodel

import (
	"strings"

	"isthmus/usp/agent"
)

// Param is what the schema says of a parameter.
type Param struct {
	Path      string // generic: "Device.WiFi.SSID.{i}.SSID"
	Type      agent.ValueType
	List      bool // comma separated; Type is that of the items
	Writable  bool
	WriteOnce bool // in USP settable only while its row is added
	Secured   bool // reads as empty
	Trigger   bool // writing true is an action of CWMP; it reads false
	CanDeny   bool // a CPE may refuse to notify its changes (TR-069 A.3.2.4)
	Quiet     bool // a counter or clock, whose changes are not worth a notification
	Reference Reference
	Enum      []string // the values allowed, nil if any
	Default   string   // of a new row, "" if it is empty or none is promised
}

// Reference says whether a parameter holds the path of another object or parameter.
type Reference uint8

// The kinds of reference. A strong one becomes empty when what it refers to is deleted.
const (
	NoReference Reference = iota
	StrongReference
	WeakReference
)

// Object is what the schema says of an object; a table and its rows are one Object, named by the row: "Device.WiFi.SSID.{i}.".
type Object struct {
	Path     string
	Multi    bool
	Writable bool // rows can be added and deleted
	Keys     []Key
	Count    string // the parameter beside the table that counts its rows, "" if none
	Enable   string // the parameter of a row that functional keys depend on, "" if none

	columns []*Param  // its parameters that are in force
	parts   []*Object // the single-instance objects directly in it
}

// Key is a unique key.
type Key struct {
	Params        []string
	NonFunctional bool // it holds for disabled rows too
}

// Command is what the schema says of a command, and how CWMP does it.
type Command struct {
	agent.CommandDef
	Class  string // rpc, diagnostics, trigger-param, agent, emulate or none
	Target string // the RPC, object or parameter that does it in CWMP, "" if none

	// Of class diagnostics: the parameter of Target that starts and tells, and which of its other parameters are arguments.
	State           string
	Inputs, Outputs []Argument
	Statuses        []string // what its output Status may be
}

// Argument is a parameter of a diagnostics object that is an argument of its command. Rows are {i} in both.
type Argument struct{ Name, Param string }

// Event is what the schema says of an event, and where in CWMP it comes from.
type Event struct {
	agent.EventDef
	Class string // event-code, new-row, value-change, rpc, agent or none

	// Of class value-change: the parameters of the object whose change is the event, the value that it has to be ("" any, "*" any but the
	// empty) and to have been ("" any).
	Triggers     []string
	Becomes, Was string
	// Of class new-row: the table, by its row relative to the object ("AssociationEventData.{i}."), in which a new row is the event.
	Rows string
	// Of both: where the arguments come from.
	Sources []Source
}

// Source is what fills an argument of an event.
type Source struct {
	Arg   string
	Param string // relative to the object, or to the new row; "": none
	Last  bool   // the last item of the list that Param is
	Now   bool   // the time at which the event is seen
}

// LookupParam finds a Device:2 parameter by its generic path. What it points to is shared: the caller must not change Enum.
func LookupParam(generic string) (Param, bool) {
	if p := tables().params[generic]; p != nil {
		return *p, true
	}
	return Param{}, false
}

// Secured says whether a parameter, by the path of its object and its name, reads as empty. It is cheap to ask of any parameter.
func Secured(object, name string) bool {
	if !tables().secured[name] {
		return false
	}
	p := tables().params[agent.GenericPath(object)+name]
	return p != nil && p.Secured
}

// LookupObject finds a Device:2 object by its generic path with its final dot; a table by its row, "Device.WiFi.SSID.{i}.".
// The caller must not change Keys.
func LookupObject(generic string) (Object, bool) {
	if o := tables().objects[generic]; o != nil {
		return *o, true
	}
	return Object{}, false
}

// Known says whether the tables have a generic path: of an object, parameter, command or event, or of an argument of one of these two.
func Known(generic string) bool {
	s := tables()
	owner, _, _ := strings.Cut(generic, "/")
	return s.params[owner] != nil || s.objects[owner] != nil || s.command(owner) != nil || s.event(owner) != nil
}

// LookupCommand finds a Device:2 command by its generic path: "Device.DeviceInfo.FirmwareImage.{i}.Download()".
func LookupCommand(generic string) (Command, bool) {
	if c := tables().command(generic); c != nil {
		return *c, true
	}
	return Command{}, false
}

// Commands lists the commands of an object, by its generic path. The caller must not change them.
func Commands(object string) []Command { return tables().commands[object] }

// Events lists the events of an object, by its generic path. The caller must not change them.
func Events(object string) []Event { return tables().events[object] }
