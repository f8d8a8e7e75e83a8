// Package stun is what TR-069 Annex G uses of STUN: Binding Requests and their answers in the form of RFC 3489, with the two attributes
// that Annex G adds. What RFC 5389 made of them is read, too.
package stun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Type says what a message is.
type Type uint16

// The messages of Binding discovery (RFC 3489 11.1).
const (
	BindingRequest  Type = 0x0001
	BindingResponse Type = 0x0101
	BindingError    Type = 0x0111
)

// Attribute is the type of an attribute.
type Attribute uint16

// The attributes of RFC 3489 11.2, RFC 5389's XOR-MAPPED-ADDRESS, and those of TR-069 G.2.1.4.
const (
	MappedAddress            Attribute = 0x0001
	ResponseAddress          Attribute = 0x0002
	ChangeRequest            Attribute = 0x0003
	SourceAddress            Attribute = 0x0004
	ChangedAddress           Attribute = 0x0005
	Username                 Attribute = 0x0006
	MessageIntegrity         Attribute = 0x0008
	ErrorCode                Attribute = 0x0009
	ReflectedFrom            Attribute = 0x000B
	XORMappedAddress         Attribute = 0x0020
	ConnectionRequestBinding Attribute = 0xC001
	BindingChange            Attribute = 0xC002
)

// ConnectionRequestBindingValue is what a CONNECTION-REQUEST-BINDING holds.
const ConnectionRequestBindingValue = "dslforum.org/TR-111 "

// Unauthorized is the ERROR-CODE that asks for USERNAME and MESSAGE-INTEGRITY.
const Unauthorized = 401

// MaxSize bounds a message, in bytes; RFC 3489 keeps them below the smallest MTU.
const MaxSize = 548

const (
	headerSize    = 20
	attributeSize = 4 // of an attribute's header
	align         = 4
	magicCookie   = 0x2112A442
	maxAttributes = 32
	familyIPv4    = 1
	familyIPv6    = 2
	changeFlags   = 0x06 // change IP, change port
)

// ID is a transaction ID as RFC 3489 has it; in RFC 5389 its first four bytes are the magic cookie.
type ID [16]byte

// Classic says that the ID has no magic cookie, so its sender may know no attribute of RFC 5389.
func (id *ID) Classic() bool { return binary.BigEndian.Uint32(id[:]) != magicCookie }

// Message is a message that was read. It refers to the bytes it was read from.
type Message struct {
	Type Type
	ID   ID

	raw        []byte
	attributes []attribute
}

type attribute struct {
	kind   Attribute
	offset int // of its header in raw
	value  []byte
}

// ErrMessage says that bytes are no STUN message.
var ErrMessage = errors.New("stun: no STUN message")

// Parse reads a message. Bytes behind the message are left out.
func Parse(b []byte) (*Message, error) {
	if len(b) < headerSize || b[0]&0xC0 != 0 {
		return nil, ErrMessage
	}
	end := headerSize + int(binary.BigEndian.Uint16(b[2:]))
	if end > len(b) || end > MaxSize {
		return nil, fmt.Errorf("%w: its length is wrong", ErrMessage)
	}
	m := &Message{Type: Type(binary.BigEndian.Uint16(b)), raw: b[:end]}
	copy(m.ID[:], b[4:])
	for at := headerSize; at < end; {
		if end-at < attributeSize || len(m.attributes) == maxAttributes {
			return nil, fmt.Errorf("%w: its attributes are wrong", ErrMessage)
		}
		value := at + attributeSize
		next := value + int(binary.BigEndian.Uint16(b[at+2:]))
		if next > end {
			return nil, fmt.Errorf("%w: its attributes are wrong", ErrMessage)
		}
		m.attributes = append(m.attributes, attribute{Attribute(binary.BigEndian.Uint16(b[at:])), at, b[value:next]})
		at = min(next+(align-next%align)%align, end) // some do not pad the last one
	}
	return m, nil
}

// Get gives the value of the first attribute of a type.
func (m *Message) Get(kind Attribute) (value []byte, ok bool) {
	if a := m.find(kind); a != nil {
		return a.value, true
	}
	return nil, false
}

func (m *Message) find(kind Attribute) *attribute {
	for i := range m.attributes {
		if m.attributes[i].kind == kind {
			return &m.attributes[i]
		}
	}
	return nil
}

// Has tells whether there is an attribute of a type.
func (m *Message) Has(kind Attribute) bool { return m.find(kind) != nil }

// Username is USERNAME without the blanks that pad it (TR-069 G.2.1.4); "" if there is none.
func (m *Message) Username() string {
	v, _ := m.Get(Username)
	return strings.TrimRight(string(v), " \x00")
}

// Changes tells whether CHANGE-REQUEST wants the answer from another address or port.
func (m *Message) Changes() bool {
	v, ok := m.Get(ChangeRequest)
	return ok && len(v) == align && v[align-1]&changeFlags != 0
}

// Address reads an attribute that is an address; the zero AddrPort if there is none.
func (m *Message) Address(kind Attribute) netip.AddrPort {
	v, _ := m.Get(kind)
	if len(v) < attributeSize {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(v[2:])
	addr, ok := netip.AddrFromSlice(v[attributeSize:])
	if !ok || addr.Is4() != (v[1] == familyIPv4) {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap(), port)
}

// Error is the number in ERROR-CODE, such as 401; 0 if there is none.
func (m *Message) Error() int {
	v, _ := m.Get(ErrorCode)
	if len(v) < attributeSize {
		return 0
	}
	return int(v[2]&0x07)*100 + int(v[3])
}
