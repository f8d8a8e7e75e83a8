package translate

import (
	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// localTime is in the CPE's own zone, which it need not name: it is passed on as it is.
const localTime = "Device.Time.CurrentLocalTime"

// schemaType is the type that the Device:2 schema gives a parameter, TypeUnknown where it knows none. A list is a string on the wire.
func schemaType(path string) agent.ValueType {
	p, ok := datamodel.LookupParam(agent.GenericPath(path))
	switch {
	case !ok:
		return agent.TypeUnknown
	case p.List, path == localTime:
		return agent.TypeString
	}
	return p.Type
}

// normalize gives a value as the CPE wrote it the form that USP has for it.
func normalize(path, xsdType, raw string) string {
	if path == localTime {
		xsdType = "string"
	}
	return datamodel.Normalize(xsdType, schemaType(path), raw)
}
