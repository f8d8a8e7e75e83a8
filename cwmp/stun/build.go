package stun

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what RFC 3489 asks for
	"encoding/binary"
	"net/netip"
	"strings"
)

// Builder writes a message, attribute by attribute.
type Builder struct{ b []byte }

// New begins a message.
func New(t Type, id ID) *Builder {
	b := make([]byte, headerSize, MaxSize)
	binary.BigEndian.PutUint16(b, uint16(t))
	copy(b[4:], id[:])
	return &Builder{b}
}

// Text adds an attribute, padded with blanks to a multiple of 4 bytes, as Annex G asks of USERNAME.
func (w *Builder) Text(kind Attribute, value string) {
	w.add(kind, value+strings.Repeat(" ", (align-len(value)%align)%align))
}

func (w *Builder) add(kind Attribute, value string) {
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(kind))
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(value)))
	w.b = append(w.b, value...)
	w.setLength(len(w.b))
}

func (w *Builder) setLength(end int) { binary.BigEndian.PutUint16(w.b[2:], uint16(end-headerSize)) }

// Address adds an attribute that is an address.
func (w *Builder) Address(kind Attribute, to netip.AddrPort) {
	addr := to.Addr().Unmap().AsSlice()
	family := byte(familyIPv4)
	if len(addr) > net4 {
		family = familyIPv6
	}
	value := binary.BigEndian.AppendUint16([]byte{0, family}, to.Port())
	value = append(value, addr...)
	if kind == XORMappedAddress {
		for i := range value[2:attributeSize] {
			value[2+i] ^= w.b[4+i] // the cookie's first half
		}
		for i := range addr {
			value[attributeSize+i] ^= w.b[4+i]
		}
	}
	w.add(kind, string(value))
}

const net4 = 4 // bytes of an IPv4 address

// Error adds ERROR-CODE.
func (w *Builder) Error(code int, reason string) {
	w.Text(ErrorCode, string([]byte{0, 0, byte(code / 100), byte(code % 100)})+reason)
}

// Sign adds MESSAGE-INTEGRITY, which must be the last attribute.
func (w *Builder) Sign(key string) {
	end := len(w.b)
	w.add(MessageIntegrity, strings.Repeat("\x00", sha1.Size))
	copy(w.b[end+attributeSize:], integrity(w.b[:end], key, (*ID)(w.b[4:headerSize]).Classic()))
}

// Bytes is the message.
func (w *Builder) Bytes() []byte { return w.b }

// integrity is the HMAC over a message up to its MESSAGE-INTEGRITY, whose length is in the header already. RFC 3489 pads the text with
// zeros to a multiple of 64 bytes, RFC 5389 doesn't.
func integrity(text []byte, key string, classic bool) []byte {
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write(text)
	if over := len(text) % sha1.BlockSize; classic && over > 0 {
		mac.Write(make([]byte, sha1.BlockSize-over))
	}
	return mac.Sum(nil)
}

// Authentic tells whether the message has a MESSAGE-INTEGRITY made with key.
func (m *Message) Authentic(key string) bool {
	a := m.find(MessageIntegrity)
	if a == nil || len(a.value) != sha1.Size {
		return false
	}
	// The header's length ends with MESSAGE-INTEGRITY in RFC 5389, whatever follows, and covers all in RFC 3489, where nothing does.
	text := append([]byte(nil), m.raw[:a.offset]...)
	binary.BigEndian.PutUint16(text[2:], uint16(a.offset+attributeSize+sha1.Size-headerSize))
	return hmac.Equal(a.value, integrity(text, key, true)) || hmac.Equal(a.value, integrity(text, key, false))
}
