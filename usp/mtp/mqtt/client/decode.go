package client

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// The properties that are spoken of (2.2.2.2).
const (
	contentType                = 0x03
	responseTopic              = 0x08
	correlationData            = 0x09
	subscriptionIdentifier     = 0x0B
	sessionExpiryInterval      = 0x11
	assignedClientIdentifier   = 0x12
	serverKeepAlive            = 0x13
	requestResponseInformation = 0x19
	responseInformation        = 0x1A
	serverReference            = 0x1C
	reasonString               = 0x1F
	receiveMaximum             = 0x21
	topicAlias                 = 0x23
	maximumQoS                 = 0x24
	retainAvailable            = 0x25
	userProperty               = 0x26
	maximumPacketSize          = 0x27
)

// form is how a property is encoded.
type form byte

const (
	octet form = iota + 1
	twoBytes
	fourBytes
	varint
	binaryData
	text
	textPair
)

// property says in which of a broker's packets one may be.
type property struct {
	form form
	in   uint16 // a bit for each type of packet
}

const (
	inConnack    = 1 << connack
	inPublish    = 1 << publish
	inDisconnect = 1 << disconnect
	inAcks       = 1<<puback | 1<<suback | 1<<unsuback
)

// properties are all that a broker may send, by identifier.
var properties = [...]property{
	0x01:                     {octet, inPublish},     // Payload Format Indicator
	0x02:                     {fourBytes, inPublish}, // Message Expiry Interval
	contentType:              {text, inPublish},
	responseTopic:            {text, inPublish},
	correlationData:          {binaryData, inPublish},
	subscriptionIdentifier:   {varint, inPublish},
	sessionExpiryInterval:    {fourBytes, inConnack},
	assignedClientIdentifier: {text, inConnack},
	serverKeepAlive:          {twoBytes, inConnack},
	0x15:                     {text, inConnack},       // Authentication Method
	0x16:                     {binaryData, inConnack}, // Authentication Data
	responseInformation:      {text, inConnack},
	serverReference:          {text, inConnack | inDisconnect},
	reasonString:             {text, inConnack | inAcks | inDisconnect},
	receiveMaximum:           {twoBytes, inConnack},
	0x22:                     {twoBytes, inConnack}, // Topic Alias Maximum
	topicAlias:               {twoBytes, inPublish},
	maximumQoS:               {octet, inConnack},
	retainAvailable:          {octet, inConnack},
	userProperty:             {textPair, 1<<16 - 1},
	maximumPacketSize:        {fourBytes, inConnack},
	0x28:                     {octet, inConnack}, // Wildcard Subscription Available
	0x29:                     {octet, inConnack}, // Subscription Identifiers Available
	0x2A:                     {octet, inConnack}, // Shared Subscription Available
}

// fields takes a packet's body apart. After the first error all that it gives is empty.
type fields struct {
	b   []byte
	err error
}

func (f *fields) take(n int) []byte {
	if f.err != nil || n > len(f.b) {
		f.fail("a field is longer than its packet")
		return nil
	}
	b := f.b[:n:n]
	f.b = f.b[n:]
	return b
}

func (f *fields) fail(text string) {
	if f.err == nil {
		f.err = malformed(text)
	}
	f.b = nil
}

func (f *fields) byte() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint16() uint16 {
	if b := f.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// varint reads a Variable Byte Integer, of four bytes at most and no longer than it needs to be [1.5.5-1].
func (f *fields) varint() int {
	n := 0
	for shift := 0; shift < 28; shift += 7 {
		b := f.byte()
		n |= int(b&0x7F) << shift
		if b&0x80 == 0 {
			if b == 0 && shift > 0 {
				f.fail("a length has more bytes than it needs")
			}
			return n
		}
	}
	f.fail("a length has more than four bytes")
	return 0
}

func (f *fields) data() []byte { return f.take(int(f.uint16())) }

// text reads a UTF-8 string, without U+0000 [1.5.4-1, 1.5.4-2].
func (f *fields) text() []byte {
	b := f.data()
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		f.fail("a string is no UTF-8, or has U+0000")
		return nil
	}
	return b
}

// end is for what must be a packet's last field.
func (f *fields) end() error {
	if f.err == nil && len(f.b) > 0 {
		f.fail("a packet is longer than its fields")
	}
	return f.err
}

// value is a property's: a number, a string, or a User Property's name and value.
type value struct {
	number       uint32
	data, second []byte
}

// each reads a packet's properties and hands them over one by one. What a packet cannot have, or has twice (2.2.2.2), is an error.
func (f *fields) each(packet byte, is func(id byte, v value)) {
	p := fields{b: f.take(f.varint()), err: f.err}
	var seen uint64
	for len(p.b) > 0 {
		id := p.varint()
		if id >= len(properties) || properties[id].in&(1<<packet) == 0 {
			p.fail("a packet has a property that it cannot have")
			break
		}
		if id != userProperty && id != subscriptionIdentifier && seen&(1<<id) != 0 {
			p.err = violation("a packet has a property twice")
			break
		}
		seen |= 1 << id
		var v value
		switch properties[id].form {
		case octet:
			v.number = uint32(p.byte())
		case twoBytes:
			v.number = uint32(p.uint16())
		case fourBytes:
			v.number = p.uint32()
		case varint:
			v.number = uint32(p.varint())
		case binaryData:
			v.data = p.data()
		case text:
			v.data = p.text()
		case textPair:
			v.data, v.second = p.text(), p.text()
		}
		if p.err == nil {
			is(byte(id), v)
		}
	}
	if p.err != nil {
		f.b, f.err = nil, p.err
	}
}
