package translate

import (
	"slices"
	"strings"

	"isthmus/translate/datamodel"
)

// guarded is what names of parameters contain, in small letters, whose values an operator is not shown: secrets, and the user names that go with them.
// It is wider than what reads as empty for Controllers, since nothing is lost but a look at it.
var guarded = []string{"passw", "passphrase", "passcode", "pwd", "secret", "key", "psk", "credential", "token", "community", "username", "private"}

// Secret says whether the value of a parameter, by its name at a CPE of any data model, may be one that no operator is to see.
func Secret(path string) bool {
	dot := strings.LastIndexByte(path, '.') + 1
	object, name := path[:dot], path[dot:]
	if name == "ParameterKey" || name == "CommandKey" { // by which a change or a command is known
		return false
	}
	small := strings.ToLower(name)
	return isSecret(name) || strings.HasSuffix(small, "pin") || datamodel.Secured(object, name) ||
		slices.ContainsFunc(guarded, func(s string) bool { return strings.Contains(small, s) })
}
