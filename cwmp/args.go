package cwmp

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// args are the children of one element, being read into a struct or written from it: each message states its arguments once, for
// both directions. Reading never fails: what a CPE left out or garbled stays the zero value. Writing fails on what XML cannot carry.
type args struct {
	el    *etree.Element
	write bool
	next  int  // reading: where to look first, since arguments mostly come in order
	lacks bool // reading: a member is missing without which the struct means nothing
	*outcome
}

// outcome is what is told about a whole message.
type outcome struct {
	err     error // of writing
	skipped int   // entries without name or value
	words   bool  // writing: Booleans are words
}

func (a *args) inside(el *etree.Element) *args {
	return &args{el: el, write: a.write, outcome: a.outcome}
}

// find returns the child with a local name, or nil.
func (a *args) find(name string) *etree.Element {
	children := a.el.Child
	for i := range children {
		at := a.next + i
		if at >= len(children) {
			at -= len(children)
		}
		if el, ok := children[at].(*etree.Element); ok && el.Tag == name {
			a.next = at + 1
			return el
		}
	}
	return nil
}

func (a *args) put(name, text string) *etree.Element {
	el := a.el.CreateElement(name)
	a.putText(el, text)
	return el
}

func (a *args) putText(el *etree.Element, text string) {
	if text == "" {
		return
	}
	if !carries(text) && a.err == nil {
		a.err = fmt.Errorf("%s: %w", el.Tag, ErrUnencodable)
	}
	el.CreateText(text)
}

// carries tells whether XML 1.0 has a way to write all of s.
func carries(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' && c != '\n' && c != '\r' || c >= utf8.RuneSelf {
			return carriesRunes(s[i:])
		}
	}
	return true
}

func carriesRunes(s string) bool {
	for i, r := range s {
		if !isChar(r) {
			return false
		}
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return false
			}
		}
	}
	return true
}

// isChar is the production Char of XML 1.0.
func isChar(r rune) bool {
	return r >= ' ' && r < 0xD800 || r == '\t' || r == '\n' || r == '\r' || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= utf8.MaxRune
}

// textOf is all character data of an element, whatever comments stand in it. Blanks around elements are none.
func textOf(el *etree.Element) string {
	switch len(el.Child) {
	case 0:
		return ""
	case 1:
		if c, ok := el.Child[0].(*etree.CharData); ok {
			return c.Data
		}
		return ""
	}
	var b strings.Builder
	elements := false
	for _, t := range el.Child {
		switch t := t.(type) {
		case *etree.CharData:
			b.WriteString(t.Data)
		case *etree.Element:
			elements = true
		}
	}
	if elements {
		return strings.TrimSpace(b.String())
	}
	return b.String()
}

// text is a string as it is, blanks and all.
func (a *args) text(name string, v *string) {
	if a.write {
		a.put(name, *v)
	} else if el := a.find(name); el != nil {
		*v = textOf(el)
	}
}

// optional is text that is left out if empty.
func (a *args) optional(name string, v *string) {
	if !a.write || *v != "" {
		a.text(name, v)
	}
}

// token is a string in which blanks at either end mean nothing.
func (a *args) token(name string, v *string) {
	a.text(name, v)
	if !a.write {
		*v = strings.TrimSpace(*v)
	}
}

// name is a token without which an entry is skipped.
func (a *args) name(v *string) {
	a.token("Name", v)
	a.lacks = a.lacks || *v == ""
}

// value is a string with its type; an entry without it is skipped.
func (a *args) value(name string, v, typ *string) {
	if a.write {
		t := *typ
		if t == "" {
			t = "string"
		}
		a.put(name, *v).CreateAttr("xsi:type", "xsd:"+t)
		if strings.ContainsFunc(t, notAlphanumeric) && a.err == nil {
			a.err = fmt.Errorf("type %q: %w", t, ErrUnencodable)
		}
		return
	}
	el := a.find(name)
	if el == nil {
		a.lacks = true
		return
	}
	*v, *typ = textOf(el), xsdType(el)
}

func notAlphanumeric(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
}

// xsdType is the local name in xsi:type, whatever prefix, namespace or length "(256)" comes with it.
func xsdType(el *etree.Element) string {
	for i := range el.Attr {
		if el.Attr[i].Key != "type" {
			continue
		}
		t := el.Attr[i].Value
		t = t[strings.LastIndexByte(t, ':')+1:]
		t, _, _ = strings.Cut(t, "(")
		return strings.TrimSpace(t)
	}
	return ""
}

func (a *args) number(name string, v *int) {
	if a.write {
		a.put(name, strconv.Itoa(*v))
	} else if el := a.find(name); el != nil {
		*v = parseInt(textOf(el))
	}
}

// parseInt reads what CPE write for a whole number: "3", "+3", " 3 ", "3.0"; anything else is 0.
func parseInt(s string) int {
	whole, _, _ := strings.Cut(strings.TrimSpace(s), ".")
	n, err := strconv.Atoi(whole)
	if err != nil {
		return 0
	}
	return n
}

// boolean is written as 0 or 1, which nearly all CPE that know but one form take.
func (a *args) boolean(name string, v *bool) {
	if a.write {
		text := "0"
		switch {
		case a.words:
			text = strconv.FormatBool(*v)
		case *v:
			text = "1"
		}
		a.put(name, text)
	} else if el := a.find(name); el != nil {
		*v = parseBool(textOf(el))
	}
}

func parseBool(s string) bool {
	s = strings.TrimSpace(s)
	return s == "1" || strings.EqualFold(s, "true") || strings.EqualFold(s, "yes")
}

// time is a dateTime without fraction; the zero time is TR-069's Unknown Time (3.2).
func (a *args) time(name string, v *time.Time) {
	if a.write {
		a.put(name, v.Format(time.RFC3339))
	} else if el := a.find(name); el != nil {
		*v = parseTime(textOf(el))
	}
}

// parseTime reads the forms that CPE write; without zone it is UTC, and what is no time is unknown.
func parseTime(s string) time.Time {
	s = strings.TrimSpace(s)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// group is a struct.
func (a *args) group(name string, each func(*args)) {
	if a.write {
		each(a.inside(a.el.CreateElement(name)))
	} else if el := a.find(name); el != nil {
		each(a.inside(el))
	}
}

func (a *args) array(name, itemType string, n int) *etree.Element {
	el := a.el.CreateElement(name)
	el.CreateAttr("SOAP-ENC:arrayType", itemType+"["+strconv.Itoa(n)+"]")
	return el
}

// list is a SOAP array of structs, named after their type. Reading goes by position: names and counts in there are not reliable.
func list[T any](a *args, name, item string, v *[]T, each func(*T, *args)) {
	if a.write {
		el := a.array(name, "cwmp:"+item, len(*v))
		for i := range *v {
			each(&(*v)[i], a.inside(el.CreateElement(item)))
		}
		return
	}
	el := a.find(name)
	if el == nil {
		return
	}
	*v = make([]T, 0, len(el.Child))
	for _, t := range el.Child {
		child, ok := t.(*etree.Element)
		if !ok {
			continue
		}
		var member T
		in := args{el: child, outcome: a.outcome}
		each(&member, &in)
		if in.lacks {
			a.skipped++
			continue
		}
		*v = append(*v, member)
	}
}

// strings is a SOAP array of strings.
func (a *args) strings(name string, v *[]string) {
	if a.write {
		el := a.array(name, "xsd:string", len(*v))
		for _, s := range *v {
			a.putText(el.CreateElement("string"), s)
		}
		return
	}
	if el := a.find(name); el != nil {
		for _, child := range el.ChildElements() {
			*v = append(*v, strings.TrimSpace(textOf(child)))
		}
	}
}

// base64 is a SOAP array of octets; an entry that is none is skipped.
func (a *args) base64(name string, v *[][]byte) {
	if a.write {
		el := a.array(name, "xsd:base64", len(*v))
		for _, b := range *v {
			a.putText(el.CreateElement("base64"), base64.StdEncoding.EncodeToString(b))
		}
		return
	}
	if el := a.find(name); el != nil {
		for _, child := range el.ChildElements() {
			b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(textOf(child)))
			if err != nil {
				a.skipped++
				continue
			}
			*v = append(*v, b)
		}
	}
}

// operations is ChangeDUState's array of any mix of operations.
func (a *args) operations(v *[]OperationStruct) {
	if a.write {
		el := a.array("Operations", "cwmp:OperationStruct", len(*v))
		for _, op := range *v {
			op.arguments(a.inside(el.CreateElement(op.operation())))
		}
		return
	}
	el := a.find("Operations")
	if el == nil {
		return
	}
	for _, child := range el.ChildElements() {
		op := newOperation(child.Tag)
		if op == nil {
			op = newOperation(xsdType(child))
		}
		if op == nil {
			a.skipped++
			continue
		}
		op.arguments(a.inside(child))
		*v = append(*v, op)
	}
}

func newOperation(name string) OperationStruct {
	switch name {
	case "InstallOpStruct":
		return new(InstallOpStruct)
	case "UpdateOpStruct":
		return new(UpdateOpStruct)
	case "UninstallOpStruct":
		return new(UninstallOpStruct)
	}
	return nil
}
