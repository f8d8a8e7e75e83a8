package xmpp

import (
	"bytes"
	"encoding/xml"
)

// The namespaces of stanzas, of the conditions of their errors, and of XEP-0199.
const (
	NSClient  = "jabber:client"
	NSStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"
	NSPing    = "urn:xmpp:ping"
)

const (
	nsStream  = "http://etherx.jabber.org/streams"
	nsStreams = "urn:ietf:params:xml:ns:xmpp-streams"
	nsTLS     = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL    = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsBind    = "urn:ietf:params:xml:ns:xmpp-bind"
)

// Element is an XML element: a stanza, or what is in one. Text is all its character data together.
type Element struct {
	Name     xml.Name
	Attr     []xml.Attr
	Text     string
	Children []*Element
}

// New makes an element; attributes are name and value by turns, and left out where the value is empty.
func New(space, local string, attributes ...string) *Element {
	e := &Element{Name: xml.Name{Space: space, Local: local}}
	for i := 0; i+1 < len(attributes); i += 2 {
		if attributes[i+1] != "" {
			e.Attr = append(e.Attr, xml.Attr{Name: xml.Name{Local: attributes[i]}, Value: attributes[i+1]})
		}
	}
	return e
}

// Add puts children into e and returns it.
func (e *Element) Add(children ...*Element) *Element {
	e.Children = append(e.Children, children...)
	return e
}

// Is tells whether the element has that name.
func (e *Element) Is(space, local string) bool { return e.Name.Space == space && e.Name.Local == local }

// Child is the first child of that name, nil if there is none.
func (e *Element) Child(space, local string) *Element {
	for _, c := range e.Children {
		if c.Is(space, local) {
			return c
		}
	}
	return nil
}

// Value is the text of a child, "" if there is none.
func (e *Element) Value(space, local string) string {
	if c := e.Child(space, local); c != nil {
		return c.Text
	}
	return ""
}

// Get is the value of an attribute that is in no namespace.
func (e *Element) Get(name string) string {
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// Condition is the name of the first child in a namespace of conditions, such as "not-authorized" in an error; "" if there is none.
func (e *Element) Condition(space string) string {
	for _, c := range e.Children {
		if c.Name.Space == space && c.Name.Local != "text" {
			return c.Name.Local
		}
	}
	return ""
}

// write appends the element as it is sent below an element of namespace outer.
func (e *Element) write(b *bytes.Buffer, outer string) {
	b.WriteString("<" + e.Name.Local)
	attribute := func(name, value string) {
		b.WriteString(" " + name + `="`)
		_ = xml.EscapeText(b, []byte(value)) // a Buffer takes everything
		b.WriteByte('"')
	}
	if e.Name.Space != outer {
		attribute("xmlns", e.Name.Space)
	}
	for _, a := range e.Attr {
		attribute(a.Name.Local, a.Value)
	}
	if e.Text == "" && len(e.Children) == 0 {
		b.WriteString("/>")
		return
	}
	b.WriteByte('>')
	_ = xml.EscapeText(b, []byte(e.Text))
	for _, c := range e.Children {
		c.write(b, e.Name.Space)
	}
	b.WriteString("</" + e.Name.Local + ">")
}
