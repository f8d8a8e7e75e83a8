package agent

import (
	"slices"
	"strings"

	"isthmus/usp"
)

// arguments are those of a command that it knows (R-OPR.6), if it has those that it must have (R-OPR.5). One that is in an object, such as
// "TimeWindow.{i}.Start", must be in each such object that is given.
func (def *CommandDef) arguments(given map[string]string) (map[string]string, error) {
	args := make(map[string]string)
	for name, v := range given {
		if slices.Contains(def.In, GenericPath(name)) {
			args[name] = v
		}
	}
	for _, name := range def.Mandatory {
		object := name[:strings.LastIndexByte(name, '.')+1]
		if object == "" {
			if _, ok := args[name]; !ok {
				return nil, usp.Errorf(usp.InvalidCommandArguments, "%s is missing", name)
			}
			continue
		}
		for other := range args {
			in := other[:strings.LastIndexByte(other, '.')+1]
			if GenericPath(in) != object {
				continue
			}
			if _, ok := args[in+name[len(object):]]; !ok {
				return nil, usp.Errorf(usp.InvalidCommandArguments, "%s is missing", in+name[len(object):])
			}
		}
	}
	return args, nil
}
