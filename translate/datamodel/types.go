package datamodel

import (
	"strings"

	"isthmus/usp/agent"
)

// schemaTypes are the types in column type of the tables.
var schemaTypes = map[string]agent.ValueType{
	"base64":       agent.TypeBase64,
	"boolean":      agent.TypeBoolean,
	"dateTime":     agent.TypeDateTime,
	"decimal":      agent.TypeDecimal,
	"hexBinary":    agent.TypeHexBinary,
	"int":          agent.TypeInt,
	"long":         agent.TypeLong,
	"string":       agent.TypeString,
	"unsignedInt":  agent.TypeUnsignedInt,
	"unsignedLong": agent.TypeUnsignedLong,
}

// xsdTypes are the types that CPE use, by their local names. The order is part of the encoding of a Shape: only append.
var xsdTypes = []struct {
	name string
	typ  agent.ValueType
}{
	{"", agent.TypeUnknown},
	{"string", agent.TypeString},
	{"boolean", agent.TypeBoolean},
	{"int", agent.TypeInt},
	{"unsignedInt", agent.TypeUnsignedInt},
	{"long", agent.TypeLong},
	{"unsignedLong", agent.TypeUnsignedLong},
	{"dateTime", agent.TypeDateTime},
	{"base64", agent.TypeBase64},
	{"base64Binary", agent.TypeBase64},
	{"hexBinary", agent.TypeHexBinary},
	{"integer", agent.TypeInt},
	{"decimal", agent.TypeDecimal},
	{"float", agent.TypeDecimal},
	{"double", agent.TypeDecimal},
}

// xsdString is the code of string in xsdTypes.
const xsdString = 1

// xsdCode finds a type as CPE write it: any prefix, any letter case, "xsd:string(256)". What is no type is 0.
func xsdCode(name string) uint8 {
	name = name[strings.LastIndexByte(name, ':')+1:]
	name, _, _ = strings.Cut(name, "(")
	name = strings.TrimSpace(name)
	for i := range xsdTypes {
		if strings.EqualFold(xsdTypes[i].name, name) {
			return uint8(i)
		}
	}
	return 0
}

// TypeOf gives the USP type for the xsi:type of a CWMP value. A missing or unknown one is TypeUnknown: it says nothing.
func TypeOf(xsdType string) agent.ValueType { return xsdTypes[xsdCode(xsdType)].typ }

// XSDType gives the local name of the type that CWMP has for t; string for TypeUnknown.
func XSDType(t agent.ValueType) string {
	if t == agent.TypeUnknown {
		return xsdTypes[xsdString].name
	}
	if t == agent.TypeBase64 {
		return "base64Binary" // base64 is no type of XML Schema
	}
	for i := range xsdTypes {
		if xsdTypes[i].typ == t {
			return xsdTypes[i].name
		}
	}
	return xsdTypes[xsdString].name
}

// WireType chooses the type to write a parameter with: the one that the CPE used for it, else the schema's, else string.
func WireType(learnt string, schema agent.ValueType) string {
	if c := xsdCode(learnt); c != 0 {
		return xsdTypes[c].name
	}
	return XSDType(schema)
}

// settle chooses between the type that a CPE gives a parameter and the schema's, which holds unless it is contradicted: CPE call
// everything a string, and take one integer type for the other.
func settle(learnt, schema agent.ValueType) agent.ValueType {
	switch {
	case schema == agent.TypeUnknown && learnt == agent.TypeUnknown:
		return agent.TypeString
	case schema == agent.TypeUnknown:
		return learnt
	case learnt == agent.TypeUnknown, learnt == agent.TypeString:
		return schema
	case isInteger(learnt) && (isInteger(schema) || schema == agent.TypeDecimal):
		return schema
	}
	return learnt
}

func isInteger(t agent.ValueType) bool {
	switch t {
	case agent.TypeInt, agent.TypeLong, agent.TypeUnsignedInt, agent.TypeUnsignedLong:
		return true
	}
	return false
}

func isUnsigned(t agent.ValueType) bool {
	return t == agent.TypeUnsignedInt || t == agent.TypeUnsignedLong
}
