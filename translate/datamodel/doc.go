// Package datamodel knows what the data models say and no protocol: the tables of Device:2 (FORMAT.md), the Shape of a CPE's
// own tree, the supported data model that follows from both, and the two lexical forms of a value.
//
// Existence is the CPE's word, meaning is the schema's: a Model lists what the Shape has, with the types, keys and
// enumerations of the tables wherever the CPE does not contradict them.
package datamodel

//go:generate go run ./internal/pack tables gz commands-to-cwmp.tsv device2-cwmp-only.tsv device2-usp.tsv events-to-cwmp.tsv
