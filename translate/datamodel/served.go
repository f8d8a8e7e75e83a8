package datamodel

import (
	"fmt"
	"strings"

	"isthmus/usp/agent"
)

// served are the parameters that CWMP has in place of commands: those whose writing is the command, and those beside them that are its arguments, one by
// one or a whole object of them.
type served struct {
	paths   map[string]bool // generic
	names   map[string]bool // that they have, which most others do not share
	last    [256]bool       // the letters in which these end
	objects map[string]bool // generic, with the final dot
}

func (s *served) add(target string, args []string) {
	object, name := splitPath(target)
	for _, name := range append([]string{name}, args...) {
		s.paths[object+name], s.names[name], s.last[name[len(name)-1]] = true, true, true
	}
}

// mark is what the paths of diagnostics objects have in them, and few others.
const mark = "Diagnostic"

func (s *served) addObject(path string) error {
	if !strings.Contains(path, mark) {
		return fmt.Errorf("%s has no %q in its path", path, mark)
	}
	s.objects[path] = true
	return nil
}

// Served says whether a parameter or object, by its path, is a command in USP or an argument of one, and so not there for Get and Set. It is cheap to ask
// of any.
func Served(path string) bool {
	s := &tables().served
	if path == "" {
		return false
	}
	if s.last[path[len(path)-1]] {
		if _, name := splitPath(path); s.names[name] && s.paths[agent.GenericPath(path)] {
			return true
		}
	}
	if !strings.Contains(path, mark) {
		return false
	}
	generic := agent.GenericPath(path)
	for i := range len(generic) {
		if generic[i] == '.' && s.objects[generic[:i+1]] {
			return true
		}
	}
	return false
}
