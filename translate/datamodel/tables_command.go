package datamodel

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"isthmus/usp/agent"
)

// servicesRoot has models of its own, which are not among the tables read here.
const servicesRoot = "Device.Services."

func (s *schema) addCommand(path, access string) error {
	if access != "sync" && access != "async" {
		return fmt.Errorf("access %q", access)
	}
	if s.command(path) != nil {
		return errors.New("second row for the path")
	}
	object, name := splitPath(path)
	if s.objects[object] == nil {
		return errors.New("object is missing")
	}
	s.commands[object] = append(s.commands[object], Command{CommandDef: agent.CommandDef{Name: name, Async: access == "async"}})
	return nil
}

func (s *schema) addEvent(path string) error {
	if s.event(path) != nil {
		return errors.New("second row for the path")
	}
	object, name := splitPath(path)
	if s.objects[object] == nil {
		return errors.New("object is missing")
	}
	s.events[object] = append(s.events[object], Event{EventDef: agent.EventDef{Name: name}})
	return nil
}

// addArgument takes "Device.Reboot()/in/Cause".
func (s *schema) addArgument(path, kind, access, typ, flags, enum string) error {
	t, ok := schemaTypes[typ]
	if !ok {
		return fmt.Errorf("type %q", typ)
	}
	owner, name, ok := strings.Cut(path, "/"+kind+"/")
	if !ok {
		return fmt.Errorf("no /%s/ in the path", kind)
	}
	if kind == "arg" {
		e := s.event(owner)
		if e == nil {
			return errors.New("event is missing")
		}
		e.Args = append(e.Args, name)
		return nil
	}
	c := s.command(owner)
	if c == nil {
		return errors.New("command is missing")
	}
	switch kind + " " + access {
	case "in mandatory":
		c.Mandatory = append(c.Mandatory, name)
	case "in optional":
	case "out -":
		if c.Out = append(c.Out, name); name == "Status" && enum != "" {
			c.Statuses = strings.Split(enum, "|")
		}
		return nil
	default:
		return fmt.Errorf("access %q", access)
	}
	arg := &agent.ArgDef{ParamDef: agent.ParamDef{Name: name, Type: t}}
	if enum != "" {
		arg.Enum = strings.Split(enum, "|")
	}
	if c.In = append(c.In, name); c.Args == nil {
		c.Args = make(map[string]*agent.ArgDef)
	}
	c.Args[name] = arg
	return setArgument(arg, flags)
}

// setArgument reads column flags of an input argument, as far as they say what values it may have.
func setArgument(arg *agent.ArgDef, flags string) (err error) {
	for f := range words(flags) {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "list":
			arg.List = true
		case "max":
			if arg.MaxLength, err = strconv.Atoi(value); err != nil {
				return fmt.Errorf("flag %q", f)
			}
		case "range":
			r, ok := parseRange(value)
			if !ok {
				return fmt.Errorf("flag %q", f)
			}
			arg.Ranges = append(arg.Ranges, r)
		case "def":
			value = strings.Trim(value, `"`)
			arg.Default = &value
		case "hidden", "secured", "ref", "an", "dt", "items", "units", "enumref", "forced":
		default:
			return fmt.Errorf("flag %q", f)
		}
	}
	return nil
}

// parseRange reads "1:10", of which either end may be missing.
func parseRange(s string) (agent.Range, bool) {
	r := agent.Range{Min: math.MinInt64, Max: math.MaxInt64}
	low, high, ok := strings.Cut(s, ":")
	var err1, err2 error
	if low != "" {
		r.Min, err1 = strconv.ParseInt(low, 10, 64)
	}
	if high != "" {
		r.Max, err2 = strconv.ParseInt(high, 10, 64)
	}
	return r, ok && err1 == nil && err2 == nil
}

// commandRow takes a row of commands-to-cwmp.tsv.
func (s *schema) commandRow(c []string) error {
	path, class, target := c[0], c[3], c[4]
	switch class {
	case "rpc", diagnostics, triggerParam, "agent", "emulate", "none":
	default:
		return fmt.Errorf("%s: class %q", path, class)
	}
	cmd := s.command(path)
	switch {
	case cmd != nil:
		cmd.Class, cmd.Target = class, strings.TrimPrefix(target, "-")
		switch class {
		case triggerParam:
			s.served.add(target, cmd.In)
		case diagnostics:
			if err := s.diagnosticsRow(path, cmd, c[5], c[6]); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	case !strings.HasPrefix(path, servicesRoot):
		return fmt.Errorf("%s: command is missing in the model", path)
	}
	return nil
}

const (
	diagnostics      = "diagnostics" // a class of commands
	diagnosticsState = "DiagnosticsState"
)

// diagnosticsRow reads the arguments of a diagnostics command: "Host Port->TestPort [trigger TestState=Requested]" and
// "SuccessCount Status<-DiagnosticsState". Every one must be an argument of the command, and a parameter of the object.
func (s *schema) diagnosticsRow(path string, c *Command, inputs, outputs string) error {
	c.State = diagnosticsState
	inputs, trigger, ok := strings.Cut(inputs, "[trigger ")
	if ok {
		c.State = strings.TrimSuffix(trigger, "=Requested]")
	}
	if p := s.params[c.Target+c.State]; p == nil || !p.Writable {
		return fmt.Errorf("no parameter %s%s that starts it", c.Target, c.State)
	}
	arguments := func(cell, arrow string, names []string) (args []Argument, err error) {
		for _, word := range strings.Fields(cell) {
			name, param, ok := strings.Cut(word, arrow)
			if !ok {
				param = name
			}
			if !slices.Contains(names, name) || s.params[c.Target+param] == nil {
				return nil, fmt.Errorf("argument %q", word)
			}
			args = append(args, Argument{name, param})
		}
		return args, nil
	}
	var err1, err2 error
	c.Inputs, err1 = arguments(inputs, "->", c.In)
	c.Outputs, err2 = arguments(outputs, "<-", c.Out)
	if object, _ := splitPath(path); object == c.Target { // which is there, with the command
		for _, a := range slices.Concat(c.Inputs, c.Outputs) {
			s.served.add(c.Target+c.State, []string{a.Param})
		}
	} else if err := s.served.addObject(c.Target); err != nil {
		return err
	}
	return errors.Join(err1, err2)
}

// eventRow takes a row of events-to-cwmp.tsv.
func (s *schema) eventRow(c []string) error {
	path, class := c[0], c[2]
	switch class {
	case "event-code", newRow, "value-change", "rpc", "agent", "none":
	default:
		return fmt.Errorf("%s: class %q", path, class)
	}
	e := s.event(path)
	switch {
	case e != nil:
		if e.Class = class; class == "value-change" || class == newRow {
			return s.eventSource(path, e, c[3], c[4])
		}
	case !strings.HasPrefix(path, "(notification) "):
		return fmt.Errorf("%s: event is missing in the model", path)
	}
	return nil
}

// eventSource reads what an event is the change of, or the new row of. Every parameter must be one of its object, or of that row, every argument one of
// its own.
func (s *schema) eventSource(path string, e *Event, source, args string) error {
	object, _ := splitPath(path)
	names := ""
	if e.Class == newRow {
		e.Rows = source
		if object += source; s.objects[object] == nil {
			return fmt.Errorf("%s: table %q is missing in the model", path, source)
		}
	} else {
		var becomes string
		names, becomes, _ = strings.Cut(source, "=")
		e.Triggers, e.Becomes = strings.Split(names, ","), becomes
		if was, becomes, ok := strings.Cut(becomes, ">"); ok {
			e.Was, e.Becomes = was, becomes
		}
	}
	for a := range words(args) {
		name, param, ok := strings.Cut(a, "=")
		if !ok || !slices.Contains(e.Args, name) {
			return fmt.Errorf("%s: argument %q", path, a)
		}
		switch param, last := strings.CutPrefix(param, "last "); param {
		case "-":
		case "now":
			e.Sources = append(e.Sources, Source{Arg: name, Now: true})
		case "":
			e.Sources = append(e.Sources, Source{Arg: name})
		default:
			e.Sources = append(e.Sources, Source{Arg: name, Param: param, Last: last})
			names += "," + param
		}
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(names, ","), ",") {
		if s.params[object+name] == nil {
			return fmt.Errorf("%s: parameter %q is missing in the model", path, name)
		}
	}
	return nil
}

func (s *schema) command(path string) *Command {
	object, name := splitPath(path)
	for i := range s.commands[object] {
		if c := &s.commands[object][i]; c.Name == name {
			return c
		}
	}
	return nil
}

func (s *schema) event(path string) *Event {
	object, name := splitPath(path)
	for i := range s.events[object] {
		if e := &s.events[object][i]; e.Name == name {
			return e
		}
	}
	return nil
}

// splitPath parts a path behind its last dot.
func splitPath(path string) (object, name string) {
	i := strings.LastIndexByte(path, '.') + 1
	return path[:i], path[i:]
}
