package agent

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"isthmus/usp"
)

// arguments are those of a command that it knows (R-OPR.6), if it has those that it must have (R-OPR.5), with values that it may have, and the defaults
// of those that were not given (R-OPR.7). One that is in an object, such as "TimeWindow.{i}.Start", counts for each such object that is given.
func (def *CommandDef) arguments(given map[string]string) (map[string]string, error) {
	args := make(map[string]string)
	for name, v := range given {
		generic := GenericPath(name)
		if !slices.Contains(def.In, generic) {
			continue
		}
		arg := def.Args[generic]
		if v == "" && arg != nil && !arg.mayBeEmpty() && !slices.Contains(def.Mandatory, generic) {
			continue // which is how many a Controller leaves an argument out
		}
		if err := arg.check(v); err != nil {
			return nil, err
		}
		args[name] = v
	}
	for _, name := range def.Mandatory {
		for _, full := range named(args, name) {
			if _, ok := args[full]; !ok {
				return nil, usp.Errorf(usp.InvalidCommandArguments, "%s is missing", full)
			}
		}
	}
	for name, arg := range def.Args {
		if arg.Default == nil {
			continue
		}
		for _, full := range named(args, name) {
			if _, ok := args[full]; !ok {
				args[full] = *arg.Default
			}
		}
	}
	return args, nil
}

// named gives the names under which an argument may have been given: its own, or for one that is in an object one for each such object that was.
func named(args map[string]string, name string) []string {
	object := name[:strings.LastIndexByte(name, '.')+1]
	if object == "" {
		return []string{name}
	}
	var full []string
	for other := range args {
		if in := other[:strings.LastIndexByte(other, '.')+1]; GenericPath(in) == object {
			full = append(full, in+name[len(object):])
		}
	}
	slices.Sort(full)
	return slices.Compact(full)
}

// mayBeEmpty says whether the empty string is a value of the argument.
func (a *ArgDef) mayBeEmpty() bool {
	return a.List || len(a.Enum) == 0 && (a.Type == TypeString || a.Type == TypeBase64 || a.Type == TypeHexBinary || a.Type == TypeUnknown)
}

// check is the error of a value that the argument may not have.
func (a *ArgDef) check(value string) error {
	if a == nil {
		return nil
	}
	if err := checkValue(&a.ParamDef, value); err != nil {
		return usp.Errorf(usp.InvalidArguments, "%s", err.Msg)
	}
	items := []string{value}
	if a.List {
		items = splitList(value)
	}
	for _, item := range items {
		switch {
		case a.MaxLength > 0 && a.Type == TypeString && utf8.RuneCountInString(item) > a.MaxLength:
			return usp.Errorf(usp.InvalidArguments, "%s is longer than %d characters", a.Name, a.MaxLength)
		case len(a.Ranges) > 0 && !a.inRange(item):
			return usp.Errorf(usp.InvalidArguments, "%s is out of range: %s", a.Name, item)
		}
	}
	return nil
}

func (a *ArgDef) inRange(number string) bool {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		n = math.MaxInt64 // it is a number, as was checked
	}
	return slices.ContainsFunc(a.Ranges, func(r Range) bool { return r.Min <= n && n <= r.Max })
}
