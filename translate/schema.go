package translate

import (
	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// schemaType is the type that the Device:2 schema gives a parameter, TypeUnknown where it knows none.
func schemaType(path string) agent.ValueType {
	p, _ := datamodel.LookupParam(agent.GenericPath(path))
	return p.Type
}
