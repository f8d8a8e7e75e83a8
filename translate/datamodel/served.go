package datamodel

import "isthmus/usp/agent"

// served are the parameters that CWMP has in place of commands: those whose writing is the command, and those beside them that are its arguments.
type served struct {
	paths map[string]bool // generic
	names map[string]bool // that they have, which most others do not share
	last  [256]bool       // the letters in which these end
}

func (s *served) add(target string, args []string) {
	object, name := splitPath(target)
	for _, name := range append([]string{name}, args...) {
		s.paths[object+name], s.names[name], s.last[name[len(name)-1]] = true, true, true
	}
}

// Served says whether a parameter, by its path, is a command in USP or an argument of one, and so no parameter there. It is cheap to ask of any.
func Served(path string) bool {
	s := &tables().served
	if path == "" || !s.last[path[len(path)-1]] {
		return false
	}
	_, name := splitPath(path)
	return s.names[name] && s.paths[agent.GenericPath(path)]
}
