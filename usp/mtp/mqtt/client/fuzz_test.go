package client

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"
)

// deaf is a net.Conn that has only these bytes to read.
type deaf struct{ *bytes.Reader }

func (deaf) Write(b []byte) (int, error)      { return len(b), nil }
func (deaf) Close() error                     { return nil }
func (deaf) LocalAddr() net.Addr              { return nil }
func (deaf) RemoteAddr() net.Addr             { return nil }
func (deaf) SetDeadline(time.Time) error      { return nil }
func (deaf) SetReadDeadline(time.Time) error  { return nil }
func (deaf) SetWriteDeadline(time.Time) error { return nil }

// FuzzBroker reads what a broker may send, in both versions: it comes to an end, without a panic, and what is handled could have been sent.
func FuzzBroker(f *testing.F) {
	for _, v := range versions {
		f.Add(byte(v), accepted(v))
		f.Add(byte(v), append(accepted(v), packet(publish<<4|2, str("a/b"), []byte{0, 1}, props(), []byte("payload"))...))
		f.Add(byte(v), append(accepted(v), packet(suback<<4, []byte{0, 1}, props(), []byte{1})...))
		f.Add(byte(v), append(accepted(v), packet(unsuback<<4, []byte{0, 1})...))
		f.Add(byte(v), append(accepted(v), []byte{pingresp << 4, 0, puback << 4, 4, 0, 1, 0x97, 0}...))
	}
	f.Add(byte(V5), packet(connack<<4, []byte{1, 0}, props(prop(assignedClientIdentifier, str("x")...), prop(maximumQoS, 1), prop(userProperty, append(str("a"), str("b")...)...))))
	f.Add(byte(V5), append(accepted(V5), packet(publish<<4, str("a"), props(prop(responseTopic, str("r")...), prop(correlationData, str("c")...), prop(0x0B, 1)))...))
	f.Add(byte(V5), append(accepted(V5), packet(disconnect<<4, []byte{0x8E}, props(prop(reasonString, str("x")...)))...))
	w := NewWheel()
	f.Cleanup(w.Close)
	f.Fuzz(func(t *testing.T, version byte, b []byte) {
		v := V5
		if Version(version) == V311 {
			v = V311
		}
		down := make(chan error, 1)
		handle := func(p *Publish) {
			if err := p.check(); err != nil && p.ResponseTopic == "" {
				t.Errorf("%+v was handled: %v", p, err)
			}
		}
		_, _, err := Connect(t.Context(), deaf{bytes.NewReader(b)}, Options{Version: v, Wheel: w, MaxPacket: 1 << 16, Handle: handle, Down: func(err error) { down <- err }})
		if err == nil {
			err = <-down
		}
		if p := (*Panic)(nil); err == nil || errors.As(err, &p) {
			t.Fatal(err)
		}
		if err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
