package tr106

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/beevik/etree"
)

func (x *expander) parameter(d *document, el *etree.Element, p place) error {
	r, err := x.row(d, el, p, p.kind)
	if err != nil || r == nil {
		return err
	}
	switch access := attr(el, "access"); {
	case r.Kind == "in" && attr(el, "mandatory") == "true":
		r.Access = "mandatory"
	case r.Kind == "in":
		r.Access = "optional"
	case r.Kind != "param":
	case access == "readWrite":
		r.Access = "rw"
	case access == "writeOnceReadOnly":
		r.Access = "w1"
	case access != "" || r.Access == "-":
		r.Access = "r"
	}
	if notify := attr(el, "activeNotify"); r.Kind == "param" && notify != "normal" {
		r.valued("an", notify)
	}
	if r.Kind == "param" && attr(el, "forcedInform") == "true" {
		r.flag("forced", "")
	}
	s := el.SelectElement("syntax")
	if s == nil {
		if r.Type == "" {
			return fmt.Errorf("%s: %s has no syntax", d.file, r.Path)
		}
		return nil
	}
	for _, name := range []string{"hidden", "secured", "command"} {
		if attr(s, name) == "true" {
			r.flag(name, "")
		}
	}
	if err := x.syntax(d, s, r, 0); err != nil {
		return fmt.Errorf("%s: %w", r.Path, err)
	}
	if r.Type == "" {
		return fmt.Errorf("%s: %s: its syntax has no type", d.file, r.Path)
	}
	return nil
}

// syntax takes what a syntax, a dataType or a primitive type in one says of values. What is nearer to the parameter counts, so types come before
// what refines them.
func (x *expander) syntax(d *document, el *etree.Element, r *Row, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: types are based on one another more than %d deep", d.file, maxDepth)
	}
	if base := attr(el, "base"); base != "" && el.Tag == "dataType" {
		if err := x.dataType(d, base, r, depth); err != nil {
			return err
		}
	}
	for _, c := range el.SelectElements("dataType") {
		name := either(attr(c, "ref"), attr(c, "base"))
		if err := x.dataType(d, name, r, depth); err != nil {
			return err
		}
		r.valued("dt", name)
		if err := x.facets(d, c, r, depth); err != nil {
			return err
		}
	}
	var ranges, enum []string
	longest := -1
	for _, c := range el.ChildElements() {
		switch c.Tag {
		case "list":
			r.flag("list", "")
			r.valued("items", span(attr(c, "minItems"), attr(c, "maxItems")))
		case "size":
			if n, err := strconv.Atoi(attr(c, "maxLength")); err == nil && n > longest {
				longest = n
				r.flag("max", strconv.Itoa(n))
			}
		case "range":
			ranges = append(ranges, span(attr(c, "minInclusive"), attr(c, "maxInclusive")))
		case "units":
			r.valued("units", attr(c, "value"))
		case "enumeration":
			if v := attr(c, "value"); !retired(attr(c, "status")) && !strings.ContainsAny(v, "|\t\n\r") {
				enum = append(enum, v)
			}
		case "enumerationRef":
			r.flag("enumref", "")
		case "pathRef", "instanceRef":
			if kind := attr(c, "refType"); kind == "strong" || kind == "weak" {
				r.flag("ref", kind)
			}
		case "default":
			if attr(c, "type") == "object" {
				r.valued("def", either(attr(c, "value"), `""`))
			}
		case "description", "pattern", "dataType":
		default:
			if primitive, ok := primitives[c.Tag]; ok {
				r.Type = primitive
				if err := x.facets(d, c, r, depth); err != nil {
					return err
				}
			}
		}
	}
	if len(ranges) > 0 {
		r.flag("range", strings.Join(ranges, ";range="))
	}
	if len(enum) > 0 {
		r.Enum = enum
	}
	return nil
}

func retired(status string) bool { return status == "deleted" || status == "obsoleted" }

// facets are those inside a reference to a type or a primitive type.
func (x *expander) facets(d *document, el *etree.Element, r *Row, depth int) error {
	return x.syntax(d, &etree.Element{Tag: "syntax", Child: el.Child}, r, depth+1)
}

func (x *expander) dataType(d *document, name string, r *Row, depth int) error {
	at, def, err := d.find("dataType", name)
	if err != nil {
		return err
	}
	return x.syntax(at, def, r, depth+1)
}

// primitives are the types of TR-106 and their names in the tables.
var primitives = map[string]string{
	"base64": "base64", "boolean": "boolean", "dateTime": "dateTime", "decimal": "decimal", "hexBinary": "hexBinary", "int": "int",
	"long": "long", "string": "string", "unsignedInt": "unsignedInt", "unsignedLong": "unsignedLong",
}

// span is "1:5" or half of it, "" where neither end is said.
func span(low, high string) string {
	if low == "" && high == "" {
		return ""
	}
	return low + ":" + high
}
