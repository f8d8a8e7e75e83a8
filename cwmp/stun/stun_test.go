package stun

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

var client = netip.MustParseAddrPort("192.0.2.7:61000")

func request(change func(*Builder)) []byte {
	w := New(BindingRequest, ID{1, 2, 3, 15: 16})
	w.Text(Username, "00D09E-S1")
	w.Text(ConnectionRequestBinding, ConnectionRequestBindingValue)
	if change != nil {
		change(w)
	}
	return w.Bytes()
}

func parse(t *testing.T, b []byte) *Message {
	t.Helper()
	m, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRequest(t *testing.T) {
	b := request(func(w *Builder) { w.Text(BindingChange, ""); w.Sign("secret") })
	m := parse(t, b)
	if m.Type != BindingRequest || m.ID != (ID{1, 2, 3, 15: 16}) || m.Username() != "00D09E-S1" || !m.Has(BindingChange) || m.Changes() {
		t.Errorf("%+v", m)
	}
	if v, _ := m.Get(ConnectionRequestBinding); string(v) != ConnectionRequestBindingValue {
		t.Errorf("CONNECTION-REQUEST-BINDING %q", v)
	}
	if !m.Authentic("secret") || m.Authentic("Secret") || parse(t, request(nil)).Authentic("") {
		t.Error("MESSAGE-INTEGRITY")
	}
	for i := range b {
		changed := bytes.Clone(b)
		changed[i] ^= 0x10
		if m, err := Parse(changed); err == nil && m.Authentic("secret") {
			t.Errorf("byte %d changed, and still authentic", i)
		}
	}
}

// The message of RFC 5769 2.1, whose MESSAGE-INTEGRITY is RFC 5389's and which goes on behind it.
func TestRFC5769(t *testing.T) {
	b, err := hex.DecodeString(strings.ReplaceAll("00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e20746573 7420636c69656e74 "+
		"00240004 6e0001ff 80290008 932ff9b151263b36 00060009 6576746a3a683676 59202020 "+
		"00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf", " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	m := parse(t, b)
	if m.Username() != "evtj:h6vY" || !m.Authentic("VOkJxbRl1RmTxUk/WvJxBt") || m.ID.Classic() {
		t.Errorf("%q, authentic %t", m.Username(), m.Authentic("VOkJxbRl1RmTxUk/WvJxBt"))
	}
}

func TestResponse(t *testing.T) {
	for _, at := range []netip.AddrPort{client, netip.MustParseAddrPort("[2001:db8::7]:3478")} {
		w := New(BindingResponse, ID{0x21, 0x12, 0xA4, 0x42})
		w.Address(MappedAddress, at)
		w.Address(XORMappedAddress, at)
		m := parse(t, w.Bytes())
		if m.Address(MappedAddress) != at || m.Address(XORMappedAddress) == at || m.Address(SourceAddress).IsValid() {
			t.Errorf("%v and %v of %v", m.Address(MappedAddress), m.Address(XORMappedAddress), at)
		}
	}
	// RFC 5769 2.2: 192.0.2.1:32853 is a147 e112a643 there.
	w := New(BindingResponse, ID{0x21, 0x12, 0xA4, 0x42})
	w.Address(XORMappedAddress, netip.MustParseAddrPort("192.0.2.1:32853"))
	if got := hex.EncodeToString(w.Bytes()[headerSize+attributeSize:]); got != "0001a147e112a643" {
		t.Error(got)
	}
	w = New(BindingError, ID{})
	w.Error(Unauthorized, "Unauthorized")
	if m := parse(t, w.Bytes()); m.Error() != Unauthorized || len(m.raw)%align != 0 {
		t.Error(m.Error())
	}
}

func TestOdd(t *testing.T) {
	good := request(nil)
	for name, b := range map[string][]byte{
		"empty":           nil,
		"short":           good[:headerSize-1],
		"HTTP":            []byte("GET http://192.0.2.1 HTTP/1.1\r\n\r\n"),
		"cut":             good[:len(good)-1],
		"length too long": append([]byte{0, 1, 0xFF, 0xFC}, good[4:]...),
		"half attribute":  append([]byte{0, 1, 0, 3}, good[4:]...),
		"value too long":  append(append([]byte{0, 1, 0, 4}, good[4:headerSize]...), 0, 6, 0, 4),
	} {
		if m, err := Parse(b); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
	// Some leave out the last blank of CONNECTION-REQUEST-BINDING, and the padding with it.
	w := New(BindingRequest, ID{})
	w.add(ConnectionRequestBinding, strings.TrimRight(ConnectionRequestBindingValue, " "))
	if !parse(t, w.Bytes()).Has(ConnectionRequestBinding) {
		t.Error("not padded, and refused")
	}
	w = New(BindingRequest, ID{})
	w.add(ChangeRequest, "\x00\x00\x00\x04")
	if !parse(t, append(w.Bytes(), "trailing"...)).Changes() {
		t.Error("CHANGE-REQUEST overlooked")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(request(nil))
	f.Add(request(func(w *Builder) { w.Sign("secret") }))
	f.Add([]byte("GET http://192.0.2.1?ts=1&id=2&un=u&cn=c&sig=00 HTTP/1.1\r\n\r\n"))
	w := New(BindingResponse, ID{0x21, 0x12, 0xA4, 0x42})
	w.Address(XORMappedAddress, client)
	w.Error(Unauthorized, "Unauthorized")
	f.Add(w.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		m.Username()
		m.Changes()
		m.Error()
		m.Address(MappedAddress)
		m.Authentic("secret")
		if len(m.raw) > MaxSize || len(m.attributes) > maxAttributes {
			t.Errorf("%d bytes, %d attributes", len(m.raw), len(m.attributes))
		}
	})
}
