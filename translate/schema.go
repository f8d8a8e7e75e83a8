package translate

import (
	"strings"

	"isthmus/translate/datamodel"
	"isthmus/translate/legacy"
	"isthmus/usp/agent"
)

// localTime is in the CPE's own zone, which it need not name: it is passed on as it is.
const localTime = ".Time.CurrentLocalTime"

// schemaType is the type that the schema gives a parameter, TypeUnknown where it knows none. A list is a string on the wire.
func schemaType(path string) agent.ValueType {
	if !strings.HasPrefix(path, deviceRoot) {
		return legacy.TR098().Type(path)
	}
	p, ok := datamodel.LookupParam(agent.GenericPath(path))
	switch {
	case !ok:
		return legacy.Device1().Type(path)
	case p.List, strings.HasSuffix(path, localTime):
		return agent.TypeString
	}
	return p.Type
}

// normalize gives a value as the CPE wrote it the form that USP has for it.
func normalize(path, xsdType, raw string) string {
	if strings.HasSuffix(path, localTime) {
		xsdType = "string"
	}
	return datamodel.Normalize(xsdType, schemaType(path), raw)
}
